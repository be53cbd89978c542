"""Prices of tokens at an endpoint, from a bundled table or by name, and the cost of a reply.

Money is whole nano-USD. Rates are whole femto-USD a token: that is exact for any price with up to nine decimals in
USD per million tokens, and finer ones are rounded up. Sums are rounded up as well, so no cost is ever too low.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sourcing.errors import UsageError
from sourcing.generation.cost.budget import parse_usd
from sourcing.generation.wire import normalise_base_url

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

__all__ = ["FREE", "UNKNOWN", "Price", "Rates", "TokenUsage", "actual_cost", "named_price", "price_of", "read_usage"]

_FUSD_PER_NUSD = 10**6
_FUSD_PER_USD_A_MTOK = 10**9
_FUSD_PER_USD_A_KREQUEST = 10**12
_BATCH = {"processing": "batch"}
_KEYS = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok", "output_reasoning_mtok")
_MOST_TOKENS = 10**8  # of one reply; more is no count but a mistake
_DEAREST_OF_HOURS = 24  # prices that change by the hour; also as long as a batch may take


@dataclass(frozen=True, slots=True)
class Rates:
    """The price of tokens in a request of more than `above` input tokens; all tokens of it cost this."""

    above: int
    input_fusd: int
    cached_fusd: int
    cache_write_fusd: int
    output_fusd: int

    @property
    def dearest_input_fusd(self) -> int:
        return max(self.input_fusd, self.cached_fusd, self.cache_write_fusd)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of calls of one model at one endpoint. `rates` falls by `above`; an unknown price has none."""

    source: str  # for the manifest: "genai-prices 0.2.3", "--price 0.15,0.6"
    rates: tuple[Rates, ...] = ()
    model: str = ""  # as the table names it, after its provider
    request_fusd: int = 0

    @property
    def known(self) -> bool:
        return bool(self.rates)

    def rates_for(self, input_tokens: int) -> Rates:
        return next(rates for rates in self.rates if input_tokens > rates.above)

    def most_nusd(self, input_tokens: int, output_tokens: int) -> int:
        """The most that a call of so many tokens can cost, in nano-USD; 0 where the price is unknown."""
        if not self.rates:
            return 0
        rates_there = (rates for rates in self.rates if input_tokens > rates.above)
        dearest = max(r.dearest_input_fusd * input_tokens + r.output_fusd * output_tokens for r in rates_there)
        return _nusd(dearest + self.request_fusd)


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one reply as they are billed: cached and written ones are input, reasoning is output."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0


FREE = Price("free", (Rates(-1, 0, 0, 0, 0),))
UNKNOWN = Price("unknown")


def named_price(
    flag: str | None,
    *,
    input_usd_per_mtok: str | Decimal | None = None,
    output_usd_per_mtok: str | Decimal | None = None,
) -> Price | None:
    """The price that `--price` or the settings name, in USD per million tokens; None when neither does.

    `flag` is "IN,OUT", or "0" where nobody bills. It wins over the settings. A named price holds for batches too.
    """
    if flag is not None:
        if flag.count(",") == 1:
            input_fusd, output_fusd = flag.split(",")
            return _flat(input_fusd, output_fusd, f"--price {flag}", "--price")
        if "," not in flag and parse_usd(flag, "--price") == 0:
            return replace(FREE, source="--price 0")
        raise UsageError("--price", f"{flag!r} is not two prices", "write IN,OUT in USD per million tokens, or 0")
    if input_usd_per_mtok is None and output_usd_per_mtok is None:
        return None
    if input_usd_per_mtok is None or output_usd_per_mtok is None:
        missing = "price_input_usd_per_mtok" if input_usd_per_mtok is None else "price_output_usd_per_mtok"
        raise UsageError(f"[generation] {missing}", "only the other price is set", "set both, or neither")
    return _flat(input_usd_per_mtok, output_usd_per_mtok, "settings", "[generation] price_*_usd_per_mtok")


def price_of(
    model: str,
    base_url: str | None,
    *,
    overrides: Price | None = None,
    must_know: bool = False,
    batch: bool = False,
    at: datetime | None = None,
) -> Price:
    """The price of `model` at an endpoint; None is the embedded model, which is free as servers on loopback are.

    Elsewhere the bundled table tells, by the host, also of batches: those it does not call cheaper cost the full
    price. Where a price changes within the coming day, its dearest hour counts. UsageError for a price that is not
    known when it must be (a budget stands on it), or where the host is one that bills; UNKNOWN else.
    """
    if overrides is not None:
        return overrides
    if base_url is None or _is_loopback(base_url):
        return FREE
    provider, entry = _look_up(model, normalise_base_url(base_url))
    table = f"genai-prices {version('genai-prices')}"
    if provider is not None and entry is not None:
        price = _price(provider, entry, table, batch=batch, at=at or datetime.now(UTC))
        if price is not None:
            return price
    if must_know or provider is not None:
        raise UsageError(
            f"price of {model!r} at {normalise_base_url(base_url)}",
            f"{table} does not know it",
            "add --price IN,OUT (USD per million tokens), or --price 0 where nobody bills",
        )
    return UNKNOWN


def read_usage(usage: Mapping[str, Any]) -> TokenUsage | None:
    """The tokens that a reply's `usage` says were used; None where it does not say so in whole numbers.

    Reasoning is part of `completion_tokens` at OpenAI, and comes on top of them at xAI and Google: `total_tokens`
    tells, so the larger reading counts.
    """
    inputs, outputs = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if inputs is None or outputs is None:
        return None
    reasoning = _detail(usage, "completion_tokens_details", "reasoning_tokens")
    total = _count(usage.get("total_tokens")) or 0
    cached_tokens = min(_detail(usage, "prompt_tokens_details", "cached_tokens"), inputs)
    cache_write_tokens = min(_detail(usage, "prompt_tokens_details", "cache_write_tokens"), inputs - cached_tokens)
    return TokenUsage(
        inputs,
        max(outputs, total - inputs, outputs + reasoning if reasoning > outputs else 0),
        cached_tokens,
        cache_write_tokens,
    )


def actual_cost(price: Price, usage: Mapping[str, Any]) -> int | None:
    """The cost of a reply in nano-USD.

    None where `usage` or the price is not known: the caller then charges the worst case that it had reserved.
    """
    used = read_usage(usage)
    if used is None or not price.known:
        return None
    rates = price.rates_for(used.input_tokens)
    plain = used.input_tokens - used.cached_tokens - used.cache_write_tokens
    return _nusd(
        plain * rates.input_fusd
        + used.cached_tokens * rates.cached_fusd
        + used.cache_write_tokens * rates.cache_write_fusd
        + used.output_tokens * rates.output_fusd
        + price.request_fusd
    )


def _nusd(fusd: int) -> int:
    return -(-fusd // _FUSD_PER_NUSD)


def _fusd(usd: Decimal, fusd_per_unit: int) -> int:
    return int((usd * fusd_per_unit).to_integral_value(ROUND_CEILING))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return (_count(details.get(name)) or 0) if isinstance(details, dict) else 0


def _flat(input_usd: str | Decimal, output_usd: str | Decimal, source: str, thing: str) -> Price:
    # A nano-USD a million tokens is a femto-USD a token.
    input_fusd, output_fusd = (
        parse_usd(usd if isinstance(usd, str) else f"{usd:f}", thing) for usd in (input_usd, output_usd)
    )
    return Price(source, (Rates(-1, input_fusd, input_fusd, input_fusd, output_fusd),))


def _is_loopback(base_url: str) -> bool:
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _look_up(model: str, url: str) -> tuple[Provider | None, ModelInfo | None]:
    """The table's provider for a host and its entry for a model. The table is the bundled one, never a fetched one."""
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    table = DataSnapshot(providers=providers, from_auto_update=False)
    try:
        provider = table.find_provider(None, None, url)
    except LookupError:
        return None, None
    # Its patterns have no end: api.openai.com.example.org would pass for the host it begins with.
    match = re.match(provider.api_pattern, url)
    if match is not None and url[match.end() - 1] not in "./" and url[match.end() :][:1] not in ("", "/", ":"):
        return None, None
    return provider, provider.find_model(model, all_providers=providers)


def _price(provider: Provider, model: ModelInfo, table: str, *, batch: bool, at: datetime) -> Price | None:
    """The table's price of a model; None where it is not priced by the tokens of a chat."""
    # Batch prices are a provider's own: those of a model that it takes from another need not hold with it.
    own = any(model is its for its in provider.models)
    hours = [at + timedelta(hours=hour) for hour in range(_DEAREST_OF_HOURS)]
    hourly_prices = [model.get_prices(hour, _BATCH if batch and own else None) for hour in hours]
    name = f"{provider.id} {model.id}"
    if all(prices.input_mtok is None and prices.output_mtok is None for prices in hourly_prices):
        # OpenRouter's free models carry no prices; elsewhere an entry without prices tells nothing.
        return replace(FREE, source=table, model=name) if model.id.endswith(":free") else None
    for prices in hourly_prices:
        # A model that bills searches of its own choosing is not bounded by any request.
        if prices.input_mtok is None or prices.output_mtok is None or prices.output_citation_mtok is not None:
            return None
    starts = {start for prices in hourly_prices for key in _KEYS for start in _starts(getattr(prices, key))}
    rates = tuple(_rates(above, hourly_prices) for above in (*sorted(starts, reverse=True), -1))
    fee = max(_at(prices.requests_kcount or Decimal(0), -1) for prices in hourly_prices)
    return Price(table, rates, name, _fusd(fee, _FUSD_PER_USD_A_KREQUEST))


def _rates(above: int, hourly_prices: list[ModelPrice]) -> Rates:
    def dearest(key: str, where_none: str) -> int:
        own = [getattr(prices, key) for prices in hourly_prices]
        others = [getattr(prices, where_none) for prices in hourly_prices]
        usd = max(_at(mine if mine is not None else other, above) for mine, other in zip(own, others, strict=True))
        return _fusd(usd, _FUSD_PER_USD_A_MTOK)

    return Rates(
        above=above,
        input_fusd=dearest("input_mtok", "input_mtok"),
        cached_fusd=dearest("cache_read_mtok", "input_mtok"),
        cache_write_fusd=dearest("cache_write_mtok", "input_mtok"),
        output_fusd=max(dearest("output_mtok", "output_mtok"), dearest("output_reasoning_mtok", "output_mtok")),
    )


def _at(price: Decimal | TieredPrices, above: int) -> Decimal:
    """The price in a request of more than `above` input tokens."""
    if isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if above >= tier.start), price.base)


def _starts(price: Decimal | TieredPrices | None) -> list[int]:
    return [] if price is None or isinstance(price, Decimal) else [tier.start for tier in price.tiers]
