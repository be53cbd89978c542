"""Expectations: what a case asserts, held against what its reply became; one problem a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sourcing.generation.grounding.leaks import wrong_language
from sourcing.generation.packs.cases import Expect, PathValue
from sourcing.generation.packs.pack import Pack
from sourcing.generation.text.words import words
from sourcing.workbench.trials import Trial, payload_of

__all__ = ["UNBORNE", "problems_of", "supported_share"]

#: Reasons by which a reply's aspect is not borne out by the document.
UNBORNE = frozenset(
    ("quote_not_found", "aspect_unsupported", "aspect_not_verbatim", "aspect_negated", "quote_is_lyric", "prompt_echo")
)
Similarity = Callable[[str, str], float]
_NOWHERE = object()


def problems_of(expect: Expect, trial: Trial, pack: Pack, *, similarity: Similarity | None = None) -> list[str]:
    """What a trial lacks of what is expected of it; empty when it passes.

    `similarity` gives the cosine of two texts; it is needed only for `similar_to`.
    """
    checks = (_aspects, _caption, _reply, _limits)
    problems = [problem for check in checks for problem in check(expect, trial, pack)]
    if expect.similar_to is not None and similarity is not None:
        cosine = similarity(expect.similar_to, trial.caption) if trial.caption else 0.0
        if cosine < expect.min_similarity:
            problems.append(f"caption is {cosine:.2f} like {expect.similar_to!r}, less than {expect.min_similarity:g}")
    return problems


def supported_share(trial: Trial) -> float | None:
    """Share of the aspects a reply made that its document bears out; None when it made none."""
    unborne = sum(row["reason"] in UNBORNE for row in trial.rejected)
    return len(trial.aspects) / (len(trial.aspects) + unborne) if trial.aspects or unborne else None


def _aspects(expect: Expect, trial: Trial, _pack: Pack) -> Iterator[str]:
    folded, facets = {text.casefold() for text in trial.texts}, {aspect["facet"] for aspect in trial.aspects}
    yield from (f"aspect {a!r} is missing" for a in expect.aspects_include if a.casefold() not in folded)
    yield from (f"aspect {a!r} should not be there" for a in expect.aspects_exclude if a.casefold() in folded)
    yield from (f"no aspect is of the facet {name}" for name in expect.facets_include if name not in facets)
    yield from (f"an aspect is of the facet {name}" for name in expect.facets_exclude if name in facets)
    yield from _between("aspects", len(trial.aspects), expect.min_aspects, expect.max_aspects)
    yield from (f"nothing was rejected as {name}" for name in expect.rejected_reasons if name not in trial.reasons)
    if expect.min_supported is not None:
        share = supported_share(trial)
        if share is None or share < expect.min_supported:
            finding = "no aspect was made" if share is None else f"{share:.0%} of the aspects are supported"
            yield f"{finding}, fewer than {expect.min_supported:.0%}"


def _caption(expect: Expect, trial: Trial, _pack: Pack) -> Iterator[str]:
    caption = trial.caption or ""
    folded = caption.casefold()
    yield from (f"caption lacks {part!r}" for part in expect.caption_contains if part.casefold() not in folded)
    yield from (f"caption should not say {part!r}" for part in expect.caption_excludes if part.casefold() in folded)
    if expect.caption is not None and expect.caption != bool(caption):
        yield "there is no caption" if expect.caption else "there should be no caption"
    yield from _between("words in the caption", len(words(caption)), expect.caption_min_words, expect.caption_max_words)
    if expect.language is not None:
        what, text = ("caption", caption) if caption else ("aspects", ", ".join(trial.texts))
        finding = wrong_language(text, expect.language, what)
        if finding is not None:
            yield finding.finding


def _reply(expect: Expect, trial: Trial, pack: Pack) -> Iterator[str]:
    text, payload = (trial.reply or "").casefold(), payload_of(trial)
    yield from (f"the reply should not say {part!r}" for part in expect.not_contains if part.casefold() in text)
    fits = payload is not None and pack.validator.is_valid(payload)
    if expect.schema_fits not in (None, fits):
        yield "the reply does not fit the output schema" if expect.schema_fits else "the reply fits the output schema"
    for wanted in expect.paths:
        value = _value_at(payload, wanted)
        if value != wanted.equals:
            there = "nothing" if value is _NOWHERE else repr(value)
            yield f"{wanted.path} holds {there}, not {wanted.equals!r}"


def _limits(expect: Expect, trial: Trial, _pack: Pack) -> Iterator[str]:
    usage = trial.usage
    if expect.max_usd is not None and usage.usd is not None and usage.usd > expect.max_usd:
        yield f"it cost {usage.usd:.6f} USD, more than {expect.max_usd:g}"
    if expect.max_output_tokens is not None and (usage.output_tokens or 0) > expect.max_output_tokens:
        yield f"it took {usage.output_tokens} tokens, more than {expect.max_output_tokens}"


def _between(what: str, number: int, least: int | None, most: int | None) -> Iterator[str]:
    if least is not None and number < least:
        yield f"{number} {what}, fewer than {least}"
    if most is not None and number > most:
        yield f"{number} {what}, more than {most}"


def _value_at(payload: Any, wanted: PathValue) -> Any:
    value = payload
    for part in wanted.path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return _NOWHERE
    return value
