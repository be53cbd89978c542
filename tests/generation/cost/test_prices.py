"""Prices: what the bundled table says, what a user says, and what a reply is charged."""

from __future__ import annotations

import functools
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from sourcing.errors import UsageError
from sourcing.generation.cost.prices import (
    FREE,
    UNKNOWN,
    Price,
    Rates,
    TokenUsage,
    actual_cost,
    named_price,
    price_of,
    read_usage,
)

OPENAI = "https://api.openai.com/v1"
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
ASKED = ["gpt-4o-mini", "gpt-4.1", "gpt-5-nano", "gpt-5.5", "gpt-5.6-luna", "o3", "gpt-4"]


@functools.cache
def openai_price(model: str, batch: bool) -> Price:
    return price_of(model, OPENAI, batch=batch, at=AT)


def usage(
    inputs: int, outputs: int, *, cached_tokens: int = 0, cache_write_tokens: int = 0, reasoning: int = 0
) -> dict[str, object]:
    """As OpenAI sends it."""
    return {
        "prompt_tokens": inputs,
        "completion_tokens": outputs,
        "total_tokens": inputs + outputs,
        "prompt_tokens_details": {
            "cached_tokens": cached_tokens,
            "cache_write_tokens": cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


@given(
    st.sampled_from(ASKED),
    st.booleans(),
    st.integers(0, 400_000),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 50_000),
)
def test_costs_are_those_of_the_table_to_the_nano_usd(
    model: str, batch: bool, asked: int, cached: float, written: float, said: int
) -> None:
    cached_tokens = int(asked * cached)
    written_tokens = int((asked - cached_tokens) * written)
    told = calc_price(
        Usage(
            input_tokens=asked,
            output_tokens=said,
            cache_read_tokens=cached_tokens,
            cache_write_tokens=written_tokens,
        ),
        model,
        provider_id="openai",
        genai_request_timestamp=AT,
        price_context={"processing": "batch"} if batch else None,
    ).total_price
    price = openai_price(model, batch)
    cost = actual_cost(price, usage(asked, said, cached_tokens=cached_tokens, cache_write_tokens=written_tokens))
    assert cost is not None
    assert 0 <= cost - told * 10**9 < 1


@given(st.sampled_from(ASKED), st.integers(0, 400_000), st.integers(0, 400_000), st.floats(0, 1), st.floats(0, 1))
def test_no_reply_within_its_bounds_costs_more_than_the_worst_case(
    model: str, most_in: int, most_out: int, share: float, cached: float
) -> None:
    price = openai_price(model, False)
    asked = int(most_in * share)
    reply = usage(
        asked, int(most_out * share), cached_tokens=int(asked * cached), cache_write_tokens=asked - int(asked * cached)
    )
    cost = actual_cost(price, reply)
    assert cost is not None
    assert cost <= price.most_nusd(most_in, most_out)


def test_the_worst_case_looks_at_every_tier_it_can_reach() -> None:
    falling = Price("made up", (Rates(100, 1_000_000, 0, 0, 0), Rates(-1, 5_000_000, 0, 0, 0)))
    assert falling.most_nusd(100, 0) == 500
    assert falling.most_nusd(101, 0) == 505  # 100 tokens of the first tier would cost 500, 101 of the second 101
    assert actual_cost(falling, usage(100, 0)) == 500
    assert actual_cost(falling, usage(101, 0)) == 101


def test_every_chat_model_of_the_table_gets_a_price_or_a_clear_no() -> None:
    """Whatever shape an entry has, it is priced, or it is one whose chats have no price of tokens."""
    (openai,) = (each for each in providers if each.id == "openai")
    for model in openai.models:
        if openai.find_model(model.id) is not model:
            continue  # hidden behind another entry's name
        now = model.get_prices(AT)
        if now.input_mtok is not None and now.output_mtok is not None:
            price = price_of(model.id, OPENAI, at=AT)
            assert (price.known, price.model) == (True, f"openai {model.id}")
        else:
            with pytest.raises(UsageError, match="does not know it"):
                price_of(model.id, OPENAI, at=AT)


def test_no_price_is_not_no_cost() -> None:
    free, openrouter = "deepseek/deepseek-r1:free", "https://openrouter.ai/api/v1"
    assert actual_cost(price_of(free, openrouter), usage(10, 10)) == 0
    for model, base_url in (
        ("gemini-2.5-pro-exp-03-25", openrouter),  # an entry without prices
        ("sonar-deep-research", "https://api.perplexity.ai"),  # bills searches that no request bounds
    ):
        with pytest.raises(UsageError, match="does not know it"):
            price_of(model, base_url)


def test_a_price_names_the_table_and_its_version() -> None:
    assert price_of("gpt-4o-mini", OPENAI).source.startswith("genai-prices 0.")
    assert price_of("gpt-4o-mini-2024-07-18", OPENAI).model == "openai gpt-4o-mini"


@pytest.mark.parametrize("base_url", [None, "http://127.0.0.1:8000/v1", "http://localhost:1/v1", "http://[::1]:9/v1"])
def test_the_embedded_model_and_servers_on_loopback_are_free(base_url: str | None) -> None:
    price = price_of("gpt-4o", base_url, must_know=True)
    assert price == FREE
    assert actual_cost(price, usage(10, 10)) == 0


def test_a_named_price_wins_on_any_host_and_holds_for_batches() -> None:
    named = named_price("0.15,0.6")
    assert named is not None
    assert named.source == "--price 0.15,0.6"
    for base_url in (OPENAI, "http://127.0.0.1:8000/v1", "http://10.0.0.7/v1", None):
        assert price_of("any", base_url, overrides=named, batch=True) == named
    assert actual_cost(named, usage(1_000_000, 1_000_000, cached_tokens=500_000)) == 750_000_000


def test_a_model_that_the_table_lacks_is_an_error_where_it_is_billed_or_budgeted() -> None:
    told = r"price of 'ft:mine' at https://\S+: genai-prices [0-9.]+ does not know it; add --price IN,OUT .*--price 0"
    for base_url, must_know in ((OPENAI, False), (OPENAI, True), ("https://llm.example.org/v1", True)):
        with pytest.raises(UsageError, match=told):
            price_of("ft:mine", base_url, must_know=must_know)
    unknown = price_of("ft:mine", "https://llm.example.org/v1")
    assert unknown == UNKNOWN
    assert actual_cost(unknown, usage(10, 10)) is None
    assert unknown.most_nusd(10, 10) == 0


def test_a_host_that_only_begins_like_a_known_one_is_unknown() -> None:
    assert price_of("gpt-4o", "https://api.openai.com.example.org/v1") == UNKNOWN
    assert price_of("gpt-4o", "https://api.openai.com:443/v1").known


def test_other_hosts_have_their_own_prices() -> None:
    assert price_of("gpt-4o", "https://acme.openai.azure.com/openai/v1").model == "azure gpt-4o"
    assert price_of("openai/gpt-4o", "https://openrouter.ai/api/v1").model == "openrouter openai/gpt-4o"
    assert price_of("sonar", "https://api.perplexity.ai").request_fusd > 0
    assert actual_cost(price_of("sonar", "https://api.perplexity.ai"), usage(0, 0)) > 10**6  # type: ignore[operator]


def test_a_price_that_changes_by_the_hour_counts_at_its_dearest() -> None:
    prices = {price_of("deepseek-chat", "https://api.deepseek.com", at=AT.replace(hour=hour)) for hour in range(24)}
    (price,) = prices
    hourly = [
        calc_price(
            Usage(input_tokens=10**6, output_tokens=10**6),
            "deepseek-chat",
            provider_id="deepseek",
            genai_request_timestamp=AT.replace(hour=hour),
        ).total_price
        for hour in range(24)
    ]
    assert actual_cost(price, usage(10**6, 10**6)) == max(hourly) * 10**9


def test_batches_cost_half_where_the_table_says_so_and_the_full_price_elsewhere() -> None:
    for model, times in (("gpt-4o-mini", 2), ("gpt-5.5", 2), ("o1-preview", 1)):
        online, batch = openai_price(model, False), openai_price(model, True)
        assert times * batch.most_nusd(1000, 1000) == online.most_nusd(1000, 1000)
    azure = "https://acme.openai.azure.com/openai/v1"
    assert price_of("gpt-4o", azure, batch=True, at=AT) == price_of("gpt-4o", azure, at=AT)


# --- prices by name ---


def test_settings_name_a_price_and_the_flag_wins() -> None:
    by_settings = named_price(None, input_usd_per_mtok=Decimal("0.1"), output_usd_per_mtok="2")
    assert by_settings == Price("settings", (Rates(-1, 10**8, 10**8, 10**8, 2 * 10**9),))
    assert named_price("0", input_usd_per_mtok="1", output_usd_per_mtok="2") == replace(FREE, source="--price 0")
    assert named_price(None) is None


@pytest.mark.parametrize("flag", ["0.5", "1,2,3", "free", "-1,2", "1,", "nan,1", "1e-3,1", "0.0000000001,1"])
def test_a_price_that_cannot_be_is_refused(flag: str) -> None:
    with pytest.raises(UsageError, match="--price"):
        named_price(flag)


def test_half_a_price_is_refused_by_the_name_of_the_other_half() -> None:
    with pytest.raises(UsageError, match="price_output_usd_per_mtok: only the other price is set"):
        named_price(None, input_usd_per_mtok="1")


# --- usage ---


def test_reasoning_is_part_of_the_output_where_the_server_says_so_and_on_top_where_it_says_so() -> None:
    openai = usage(100, 50, reasoning=40)
    assert read_usage(openai) == TokenUsage(100, 50)
    on_top = {**openai, "total_tokens": 190}
    assert read_usage(on_top) == TokenUsage(100, 90)
    without_total = {**usage(100, 5, reasoning=40), "total_tokens": None}
    assert read_usage(without_total) == TokenUsage(100, 45)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"prompt_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": None},
        {"prompt_tokens": 5, "completion_tokens": -1},
        {"prompt_tokens": 5, "completion_tokens": "7"},
        {"prompt_tokens": True, "completion_tokens": 7},
        {"prompt_tokens": 5.0, "completion_tokens": 7},
    ],
)
def test_usage_that_does_not_tell_leaves_the_cost_open(said: dict[str, object]) -> None:
    assert read_usage(said) is None
    assert actual_cost(FREE, said) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)
NAMES = [
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
]
NUMBERS = st.dictionaries(st.sampled_from(NAMES), st.integers(-5, 10**6) | JSON)


@given(NUMBERS, NUMBERS | JSON, NUMBERS | JSON)
def test_nonsense_in_usage_never_raises_and_never_makes_a_reply_cheaper_than_its_cheapest_reading(
    top: dict[str, object], asked: object, said: object
) -> None:
    read = read_usage({**top, "prompt_tokens_details": asked, "completion_tokens_details": said})
    if read is not None:
        assert read.output_tokens >= top["completion_tokens"]  # type: ignore[operator]
        assert 0 <= read.cached_tokens + read.cache_write_tokens <= read.input_tokens == top["prompt_tokens"]


# --- the library ---


def test_nothing_is_fetched_and_nothing_stays_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Callable[[], None]:
        raise AssertionError("a price was fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    before = threading.active_count()
    assert price_of("gpt-4o-mini", OPENAI).known
    assert threading.active_count() == before


def test_the_table_is_loaded_only_when_a_host_is_looked_up() -> None:
    code = (
        "import sys; from sourcing.generation.cost.prices import price_of, named_price\n"
        "price_of('m', 'http://127.0.0.1:1/v1'); price_of('m', None); named_price('1,2')\n"
        "sys.exit('genai_prices' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
