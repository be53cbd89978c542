"""Scores: aspects and captions held against gold documents, as counts per document, and as shares with intervals."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sourcing.generation.text.entailment import read_phrase
from sourcing.generation.text.folding import fold_text, tidy_phrase
from sourcing.generation.text.words import content_stems, held_stems, words
from sourcing.workbench.measures.gold import GoldDocument
from sourcing.workbench.measures.ragged import ragged

__all__ = ["MEASURES", "AspectScore", "DocumentScore", "Estimate", "Measure", "Words", "estimates", "score"]

_RESAMPLES = 1000


class Words(NamedTuple):
    """What some way of describing took from one document."""

    aspects: Sequence[tuple[str, str]]  # text, facet
    caption: str | None = None


@dataclass(frozen=True)
class AspectScore:
    """One aspect beside the gold: what it equals or implies, and what is wrong with it."""

    text: str
    facet: str
    exact: bool
    gold: str | None  # text of the gold aspect that it says, or that says it
    gold_facet: str | None
    fault: str | None  # why it is ragged
    denied: bool  # among what must not be taken
    supported: bool  # every word of it stands in the document


@dataclass(frozen=True)
class DocumentScore:
    """Counts of one document; a share is the sum of one count over the sum of another."""

    document: GoldDocument
    aspects: list[AspectScore]
    missed: list[str]  # gold aspects that no aspect says
    caption: str | None
    counts: Mapping[str, int]


class Estimate(NamedTuple):
    """A share with its 95 % interval, by resampling documents; None where there is nothing to count."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Measure:
    """A share of counts: numerator over denominator, or F1 of a precision and a recall."""

    title: str
    share: Callable[[Mapping[str, float]], float | None]


def _of(part: str, whole: str) -> Callable[[Mapping[str, float]], float | None]:
    return lambda counts: counts[part] / counts[whole] if counts[whole] else None


def _f1(right: str, found: str) -> Callable[[Mapping[str, float]], float | None]:
    def share(counts: Mapping[str, float]) -> float | None:
        if not counts["aspects"] or not counts["gold"]:
            return None
        precision, recall = counts[right] / counts["aspects"], counts[found] / counts["gold"]
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    return share


#: Measure by its key, as in JSON.
MEASURES: dict[str, Measure] = {
    "precision": Measure("precision", _of("right", "aspects")),
    "recall": Measure("recall", _of("found", "gold")),
    "f1": Measure("F1", _f1("right", "found")),
    "exact_f1": Measure("exact", _f1("exact", "exact")),
    "facet": Measure("facet", _of("facet_right", "right")),
    "ragged": Measure("ragged", _of("ragged", "aspects")),
    "denied": Measure("denied", _of("denied", "aspects")),
    "unsupported": Measure("unsupported", _of("unsupported", "aspects")),
    "silent": Measure("silent", _of("silent_kept", "silent")),
    "captions": Measure("captions", _of("captions", "documents")),
    "caption_facts": Measure("facts", _of("facts_found", "facts")),
    "caption_support": Measure("caption support", _of("caption_words_held", "caption_words")),
}
_COUNTS = (
    "documents aspects gold right found exact facet_right ragged denied unsupported silent silent_kept captions facts"
    " facts_found caption_words caption_words_held"
).split()


def score(document: GoldDocument, own: Words) -> DocumentScore:
    """Hold what was taken from a document against its gold aspects and facts."""
    gold = [(aspect.text, aspect.facet) for aspect in document.aspects]
    aspects = [_score_aspect(document, text, facet, gold) for text, facet in own.aspects]
    missed = [text for text, facet in gold if not any(_agree(text, a.text, facet) for a in aspects)]
    counts = dict.fromkeys(_COUNTS, 0)
    counts |= {
        "documents": 1,
        "aspects": len(aspects),
        "gold": len(gold),
        "right": sum(a.gold is not None for a in aspects),
        "found": len(gold) - len(missed),
        "exact": len({fold_text(a.text) for a in aspects if a.exact}),
        "facet_right": sum(a.gold is not None and a.facet == a.gold_facet for a in aspects),
        "ragged": sum(a.fault is not None for a in aspects),
        "denied": sum(a.denied for a in aspects),
        "unsupported": sum(not a.supported for a in aspects),
        "silent": not gold,
        "silent_kept": not gold and not aspects,
    }
    if own.caption:
        caption_stems, stems = content_stems(own.caption), held_stems(fold_text(document.text))
        counts["captions"] = 1
        counts["caption_words"] = len(caption_stems)
        counts["caption_words_held"] = sum(stem in stems for stem in caption_stems)
        counts["facts"] = len(document.facts)
        counts["facts_found"] = sum(any(_says(own.caption, fact) for fact in facts) for facts in document.facts)
    return DocumentScore(document, aspects, missed, own.caption, counts)


def _score_aspect(document: GoldDocument, text: str, facet: str, gold: Sequence[tuple[str, str]]) -> AspectScore:
    exact = next((own for own in gold if _same(own[0], text)), None)
    agreeing = exact or next((own for own in gold if _agree(own[0], text, own[1])), None)
    stems = held_stems(fold_text(document.text))
    names = (document.artist, document.title, document.album)
    return AspectScore(
        text,
        facet,
        exact is not None,
        agreeing and agreeing[0],
        agreeing and agreeing[1],
        ragged(text, document.text, document.language, names),
        agreeing is None and any(_contains(phrase, text) for phrase in document.not_aspects),
        fold_text(text) in fold_text(document.text) or all(stem in stems for stem in content_stems(text)),
    )


def _same(one: str, other: str) -> bool:
    return fold_text(tidy_phrase(one)) == fold_text(tidy_phrase(other))


def _agree(one: str, other: str, facet: str) -> bool:
    """True when the phrases are the same, or one implies the other: "slow piano" says "piano", and not "slow"."""
    if _same(one, other):
        return True
    first, second = read_phrase(one, facet), read_phrase(other, facet)
    return bool({second.key, second.less} & set(first.says) or {first.key, first.less} & set(second.says))


def _contains(phrase: str, text: str) -> bool:
    own, parts = words(phrase), words(text)
    size = len(parts)
    return bool(parts) and any(own[at : at + size] == parts for at in range(len(own) - size + 1))


def _says(caption: str, fact: str) -> bool:
    return fold_text(fact) in fold_text(caption)


def estimates(scores: Sequence[DocumentScore], *, seed: int = 0) -> dict[str, Estimate]:
    """Each measure over these documents, with an interval from 1,000 resamples of documents (percentiles 2.5, 97.5)."""
    rows = [[float(each.counts[name]) for name in _COUNTS] for each in scores]
    rng = random.Random(seed)
    samples = [_shares(_sum(rng.choices(rows, k=len(rows)))) for _ in range(_RESAMPLES)] if rows else []
    return {
        key: _estimate(value, [share for sample in samples if (share := sample[key]) is not None])
        for key, value in _shares(_sum(rows)).items()
    }


def _sum(rows: Sequence[Sequence[float]]) -> dict[str, float]:
    return {name: sum(row[place] for row in rows) for place, name in enumerate(_COUNTS)}


def _shares(counts: Mapping[str, float]) -> dict[str, float | None]:
    return {key: measure.share(counts) for key, measure in MEASURES.items()}


def _estimate(value: float | None, shares: list[float]) -> Estimate:
    if value is None or not shares:
        return Estimate(value)
    shares.sort()
    last = len(shares) - 1
    return Estimate(value, shares[round(0.025 * last)], shares[round(0.975 * last)])
