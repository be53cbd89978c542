"""Estimates: the most that one call can use, and what a whole run will probably use, cost and take.

**The most.** Tokenizers of language models are byte-level: every token of a text stands for at least one of its
bytes, in byte-pair encodings by construction and in SentencePiece by its fallback to bytes. A prompt is cut out of
the request body, whose JSON around each message (some thirty bytes) and around schema and parameters (some hundred
more) is longer than the few tokens a chat template adds. So the input never has more tokens than the body has bytes.
The output never has more than the body's own limit, which counts a model's reasoning too.

**The probable.** Replies seen for the same pack and model give the ratio of tokens to bytes, the tokens of an answer
and its latency. A sum over N calls has the mean N·m; its variance is N·s² for how calls differ, plus N²·s²/n because
m itself comes from n replies. With many calls the second part rules, and only more replies narrow it. The median is
taken at the mean and p95 at Student's quantile, as sums of many calls have it; neither passes the most possible.
Fewer than eight replies are filled up with defaults, which count towards s but never towards n.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sourcing.errors import PromptError
from sourcing.generation.cost.budget import Ceilings
from sourcing.generation.cost.prices import Price

__all__ = [
    "EMBEDDED",
    "HOSTED",
    "Estimate",
    "Load",
    "Sample",
    "Speed",
    "WorstCase",
    "estimate",
    "expected_tokens",
    "require_bound",
    "worst_case",
]

_BYTES_PER_TOKEN = 4  # English prose and JSON; Chinese, in UTF-8, comes to about the same
_OUTPUT_SHARE = 0.5  # of the limit a pack sets
_OUTPUT_TOKENS = 500  # where it sets none
_FEW = 8
_SPREAD = (0.0, -0.3, 0.3, -0.2, 0.2, -0.1, 0.1, 0.0)  # around a default; any part of it from the left is centred
_P95 = statistics.NormalDist().inv_cdf(0.95)

# Inside a JSON string a quote is escaped, so these are keys; only the schema can hold another of that name, and the
# last before it is the body's own. Reading all of the JSON would cost ten times as much.
_LIMIT = re.compile(rb'"max_(?:completion_)?tokens": ?([0-9]+)[,}]')
_SCHEMA = b'"response_format":'


class WorstCase(NamedTuple):
    """The most a call can use: both zero where its body sets no limit, which is no bound."""

    tokens: int
    nusd: int


class Sample(NamedTuple):
    """One reply seen: bytes of its request body, tokens as billed, and how long it took."""

    input_bytes: int
    input_tokens: int
    output_tokens: int
    latency_s: float | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """Assumed latency of a server without any answer seen."""

    first_s: float
    input_tokens_per_s: float
    output_tokens_per_s: float


HOSTED = Speed(first_s=0.5, input_tokens_per_s=5000, output_tokens_per_s=60)
EMBEDDED = Speed(first_s=0.0, input_tokens_per_s=150, output_tokens_per_s=49)


@dataclass
class Load:
    """The calls that will be sent, added up one by one. `worst_*` are sums of what the calls will reserve."""

    price: Price
    calls: int = 0
    input_bytes: int = 0
    output_limit: int = 0
    worst_tokens: int = 0
    worst_nusd: int = 0
    is_bounded: bool = True

    def add(self, body: bytes) -> None:
        limit = _output_limit(body)
        worst = _worst(len(body), limit, self.price)
        self.calls += 1
        self.input_bytes += len(body)
        self.output_limit += limit or 0
        self.worst_tokens += worst.tokens
        self.worst_nusd += worst.nusd
        self.is_bounded = self.is_bounded and limit is not None


@dataclass(frozen=True)
class Estimate:
    """The tokens, cost and time that a plan prints.

    Costs are None where the price is not known, `worst_*` where nothing bounds the output.

    First tries only: larger tries, repairs and retries come on top.
    """

    calls: int
    input_tokens_p50: int
    input_tokens_p95: int
    output_tokens_p50: int
    output_tokens_p95: int
    worst_tokens: int | None
    cost_nusd_p50: int | None
    cost_nusd_p95: int | None
    worst_nusd: int | None
    seconds_p50: float
    seconds_p95: float
    calibrated_by: int  # replies seen


def worst_case(body: bytes, price: Price) -> WorstCase:
    """Most tokens and money a call with this body can use."""
    return _worst(len(body), _output_limit(body), price)


def expected_tokens(body: bytes) -> int:
    """Tokens that a rate limit counts for a call before the answer: input by length, output in full."""
    return len(body) // _BYTES_PER_TOKEN + (_output_limit(body) or 0)


def require_bound(pack_name: str, max_tokens: int | None, ceilings: Ceilings) -> None:
    """PromptError for a pack without max_tokens under a ceiling of money or tokens: no call of it has a worst case."""
    if max_tokens is None and ceilings.need_bounds:
        raise PromptError(
            f"prompt pack {pack_name}",
            "it sets no max_tokens, so nothing bounds what a call may cost",
            "add max_tokens under `model` in its front matter, or leave --max-usd and --max-tokens out",
        )


def estimate(
    load: Load,
    *,
    samples: Sequence[Sample] = (),
    speed: Speed = HOSTED,
    in_flight: int = 1,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
) -> Estimate:
    """The probable tokens, cost and time of the calls of a load; `samples` are of the same pack and model.

    Time is that of the latencies over the calls in flight, or of the endpoint's limits where those are slower.
    """
    n = load.calls
    inputs = _input_tokens(load, samples).at_most(load.input_bytes)
    outputs = _output_tokens(load, samples).at_most(load.output_limit if load.is_bounded else math.inf)
    is_bounded, is_priced = load.is_bounded, load.price.known
    cost = _cost(load, inputs, outputs).at_most(load.worst_nusd if is_bounded else math.inf)
    latency, one = _latencies(load, samples, speed, inputs.p50 / max(n, 1), outputs.p50 / max(n, 1))
    slots = max(min(in_flight, n), 1)
    by_requests = n * 60 / requests_per_minute if requests_per_minute else 0.0
    tokens_per_s = tokens_per_minute / 60 if tokens_per_minute else math.inf
    return Estimate(
        calls=n,
        input_tokens_p50=round(inputs.p50),
        input_tokens_p95=round(inputs.p95),
        output_tokens_p50=round(outputs.p50),
        output_tokens_p95=round(outputs.p95),
        worst_tokens=load.worst_tokens if is_bounded else None,
        cost_nusd_p50=round(cost.p50) if is_priced else None,
        cost_nusd_p95=round(cost.p95) if is_priced else None,
        worst_nusd=load.worst_nusd if is_bounded and is_priced else None,
        seconds_p50=max(latency.p50 / slots, one.p50, by_requests, (inputs.p50 + outputs.p50) / tokens_per_s),
        seconds_p95=max(latency.p95 / slots, one.p95, by_requests, (inputs.p95 + outputs.p95) / tokens_per_s),
        calibrated_by=len(samples),
    )


@dataclass(frozen=True)
class _Sum:
    """A sum over calls: its mean, its standard deviation, and the degrees of freedom behind that."""

    mean: float
    deviation: float
    freedom: int
    most: float = math.inf

    def at_most(self, most: float) -> _Sum:
        return _Sum(self.mean, self.deviation, self.freedom, most)

    @property
    def p50(self) -> float:
        return min(self.mean, self.most)

    @property
    def p95(self) -> float:
        # Student's quantile by the first term of its expansion around the normal one: 1.86 for 7 degrees, exact 1.89.
        quantile = _P95 + (_P95**3 + _P95) / (4 * self.freedom)
        return min(self.mean + quantile * self.deviation, self.most)


def _sum(calls: int, mean: float, deviation: float, sample_count: int, freedom: int) -> _Sum:
    variance = calls * deviation**2 + (calls * deviation) ** 2 / max(sample_count, 1)
    return _Sum(calls * mean, math.sqrt(variance), freedom)


def _input_tokens(load: Load, samples: Sequence[Sample]) -> _Sum:
    """The input tokens of a load, by the ratio of all tokens to all bytes of the samples.

    Calls differ by what is left over after that ratio.
    """
    mean_bytes = load.input_bytes / max(load.calls, 1)
    points = [(float(sample.input_bytes), float(sample.input_tokens)) for sample in samples]
    points += [(mean_bytes, mean_bytes / _BYTES_PER_TOKEN * (1 + spread)) for spread in _filling(len(samples))]
    all_bytes = sum(size for size, _ in points)
    ratio = sum(tokens for _, tokens in points) / all_bytes if all_bytes else 0.0
    left_over = math.sqrt(sum((tokens - ratio * size) ** 2 for size, tokens in points) / (len(points) - 1))
    longer = mean_bytes * len(points) / all_bytes if all_bytes else 0.0  # than those seen
    return _sum(load.calls, ratio * mean_bytes, left_over * longer, len(samples), len(points) - 1)


def _output_tokens(load: Load, samples: Sequence[Sample]) -> _Sum:
    default = load.output_limit / max(load.calls, 1) * _OUTPUT_SHARE if load.is_bounded else _OUTPUT_TOKENS
    counts = [float(sample.output_tokens) for sample in samples]
    counts += [default * (1 + 2 * spread) for spread in _filling(len(samples))]
    return _sum(load.calls, statistics.fmean(counts), statistics.stdev(counts), len(samples), len(counts) - 1)


def _latencies(load: Load, samples: Sequence[Sample], speed: Speed, inputs: float, outputs: float) -> tuple[_Sum, _Sum]:
    """Latency of all calls one after the other, and of one call: a run is never shorter than its last call."""
    default_s = speed.first_s + inputs / speed.input_tokens_per_s + outputs / speed.output_tokens_per_s
    seen_s = [sample.latency_s for sample in samples if sample.latency_s is not None]
    n = len(seen_s)
    seen_s += [default_s * (1 + 2 * spread) for spread in _filling(n)]
    mean_s, deviation_s = statistics.fmean(seen_s), statistics.stdev(seen_s)
    total, one = (_sum(calls, mean_s, deviation_s, n, len(seen_s) - 1) for calls in (load.calls, min(load.calls, 1)))
    return total, one


def _cost(load: Load, inputs: _Sum, outputs: _Sum) -> _Sum:
    """Cost of a load, input at the full price, with input and output taken as independent."""
    if not load.price.known or not load.calls:
        return _Sum(0.0, 0.0, inputs.freedom)
    rates = load.price.rates_for(math.ceil(inputs.p50 / load.calls))
    mean_fusd = rates.input_fusd * inputs.p50 + rates.output_fusd * outputs.p50 + load.price.request_fusd * load.calls
    deviation_fusd = math.hypot(rates.input_fusd * inputs.deviation, rates.output_fusd * outputs.deviation)
    return _Sum(mean_fusd / 1e6, deviation_fusd / 1e6, min(inputs.freedom, outputs.freedom))


def _filling(sample_count: int) -> Sequence[float]:
    return _SPREAD[: max(_FEW - sample_count, 0)]


def _worst(input_bytes: int, limit: int | None, price: Price) -> WorstCase:
    if limit is None:
        return WorstCase(0, 0)
    return WorstCase(input_bytes + limit, price.most_nusd(input_bytes, limit))


def _output_limit(body: bytes) -> int | None:
    key = body.rfind(b'"max_', 0, max(body.find(_SCHEMA), 0))
    match = _LIMIT.match(body, max(key, 0))
    if match is not None:
        return int(match[1])
    request = json.loads(body)
    limits = (request.get(name) for name in ("max_completion_tokens", "max_tokens"))
    return next((limit for limit in limits if isinstance(limit, int) and not isinstance(limit, bool)), None)
