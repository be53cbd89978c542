"""Agreement of samples, models and sources on each aspect, and removal of aspects below a minimum agreement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import dataframely as dy
import polars as pl

from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.scraped import rejected_row
from sourcing.generation.grounding.aspects import Finding
from sourcing.generation.text.entailment import Form, Phrase, read_phrase
from sourcing.generation.text.phrases import sentences
from sourcing.generation.text.words import content_stems
from sourcing.store.schemas import Description, Document, Rejected, Row
from sourcing.store.workspace import rejected_frame

__all__ = ["TargetReplies", "score_agreement", "sources_of"]

#: track_id, doc_id or "", prompt id, prompt hash, language: equal for all samples and models that are compared.
Target = tuple[str, str, str, str, str]
#: Voices that state an aspect, of how many: for samples, models and sources; 0 of 0 without another voice.
Counts = tuple[int, int, int, int, int, int]

_SCORES = ("samples", "models", "sources")
_COUNTS = tuple(f"{name}_{what}" for name in _SCORES for what in ("said", "of"))


class TargetReplies:
    """Samples answered per target and model, as bits of an int.

    A reply that made no description counts as a sample that states none of the aspects. A call without a reply does
    not count. A description counts as an answer even when its reply is not noted here.
    """

    def __init__(self, replies: Iterable[Reply] = ()) -> None:
        self._samples: dict[Target, dict[str, int]] = {}
        for _ in self.noting(replies):
            pass

    def noting(self, replies: Iterable[Reply]) -> Iterator[Reply]:
        """Yield the replies unchanged and note target, model and sample of each."""
        for reply in replies:
            target = (reply.track_id, reply.doc_id or "", reply.prompt_id, reply.prompt_hash, reply.language)
            models = self._samples.setdefault(target, {})
            models[reply.model] = models.get(reply.model, 0) | 1 << reply.sample_idx
            yield reply

    def samples(self, target: Target) -> Mapping[str, int]:
        """Model → answered samples of the target, as bits; empty for a target never noted."""
        return self._samples.get(target, {})


def score_agreement(
    descriptions: dy.DataFrame[Description],
    documents: dy.DataFrame[Document],
    asked: TargetReplies,
    *,
    min_agreement: float = 0.0,
) -> tuple[dy.DataFrame[Description], dy.DataFrame[Rejected]]:
    """Score the `agreement` of each aspect; returns descriptions with scores, and rejected rows for removed aspects.

    `samples`: share of the answered samples of one model, prompt, document and language that state the aspect.
    `models`: share of the models asked about the same target of which at least one sample states the aspect.
    `sources`: share of the sources (the catalogue, or a document's source) describing this facet of the track in this
    language that state the aspect; language "und" counts as English. Null where there is no second voice.

    An aspect whose `samples` or `models` is below `min_agreement` becomes a rejected row (agreement_low), and so does
    a caption with a sentence that states the aspect. A description left with neither aspect nor caption is removed.
    A low `sources` removes no aspect, as a page is free to leave aspects out. The description's `confidence` is the
    mean, over the aspects that stay and have a second voice, of the mean of their scores.
    """
    by_track = descriptions.with_row_index("row").sort("track_id", "row")
    flat = by_track.select("row", pl.col("aspects")).explode("aspects", empty_as_null=False, keep_nulls=False)
    flat = flat.unnest("aspects").with_columns(_count(by_track, documents, asked))
    shares = [pl.when(pl.col(f"{name}_of") > 0).then(_share(name)).alias(name) for name in _SCORES]
    is_compared = pl.any_horizontal(pl.col(f"{name}_of") > 0 for name in _SCORES)
    low = pl.any_horizontal((pl.col(f"{name}_of") > 0) & (_share(name) < min_agreement) for name in _SCORES[:2])
    flat = flat.with_columns(
        agreement=pl.when(is_compared).then(pl.struct(shares)), shared=pl.mean_horizontal(shares), low=low
    )
    agreed, rejected_rows = _leave_out(descriptions, flat, min_agreement)
    return Description.validate(agreed), rejected_frame(rejected_rows)


def sources_of(description: Row, source_of: Mapping[str, str]) -> list[str]:
    """Sources of a description: ["catalogue"], or the sorted sources of its documents; [] without a document."""
    if description["origin"] == "catalogue":
        return ["catalogue"]
    return sorted({source_of[doc_id] for doc_id in description["doc_ids"]})


class _Voice(NamedTuple):
    """Model and sources behind a description; `target` is None without a prompt, `sources` is 0 without a source."""

    language: str
    sources: int  # as bits
    target: Target | None
    model: str
    sample: int  # as a bit


def _count(by_track: pl.DataFrame, documents: pl.DataFrame, asked: TargetReplies) -> list[pl.Series]:
    """Six UInt32 columns of `Counts`, one row per aspect, in the order of `by_track`."""
    source_of = dict(documents.select("doc_id", "source").iter_rows())
    bit_of = {name: 1 << place for place, name in enumerate(sorted({"catalogue", *source_of.values()}))}
    columns: list[list[int]] = [[] for _ in _COUNTS]
    lineage = ["track_id", "origin", "language", "doc_ids", "prompt", "prompt_hash", "model", "sample_idx"]
    facets = pl.col("aspects").list.eval(pl.element().struct.field("facet")).alias("facets")
    rows = by_track.select(*lineage, "aspect_list", facets).iter_rows(named=True)
    for _, own in groupby(rows, key=itemgetter("track_id")):
        statements = []
        for row in own:
            voice = _voice(row, sum(bit_of[name] for name in sources_of(row, source_of)))
            aspects = zip(row["aspect_list"], row["facets"], strict=True)
            statements += [(voice, facet, read_phrase(text, facet)) for text, facet in aspects]
        for counts in _count_track(statements, asked):
            for column, count in zip(columns, counts, strict=True):
                column.append(count)
    return [pl.Series(name, column, dtype=pl.UInt32) for name, column in zip(_COUNTS, columns, strict=True)]


def _voice(row: Row, sources: int) -> _Voice:
    language = row["language"].partition("-")[0].lower()
    language = "en" if language == "und" else language
    if row["prompt"] is None:
        return _Voice(language, sources, None, "", 0)
    doc_id = "".join(row["doc_ids"])  # a reply draws on one document, or on none
    target = (row["track_id"], doc_id, row["prompt"].partition("@")[0], row["prompt_hash"], row["language"])
    return _Voice(language, sources, target, row["model"] or "", 1 << (row["sample_idx"] or 0))


def _count_track(statements: list[tuple[_Voice, str, Phrase]], asked: TargetReplies) -> Iterator[Counts]:
    """Yield the `Counts` of each statement (voice, facet, phrase) of one track, in order and in linear time."""
    sources: dict[Form, int] = {}
    speaking: dict[tuple[str, str], int] = {}
    replies_of: dict[Target, dict[str, int]] = {}
    models: dict[Target, dict[str, dict[Form, int]]] = {}  # target → model → form → samples as bits
    for voice, facet, phrase in statements:
        if voice.sources:
            speaking[facet, voice.language] = speaking.get((facet, voice.language), 0) | voice.sources
            for form in phrase.says:
                sources[form] = sources.get(form, 0) | voice.sources
        if voice.target is not None:
            if voice.target not in replies_of:
                replies_of[voice.target] = dict(asked.samples(voice.target))
                models[voice.target] = {}
            samples = replies_of[voice.target]
            samples[voice.model] = samples.get(voice.model, 0) | voice.sample
            forms = models[voice.target].setdefault(voice.model, {})
            for form in phrase.says:
                forms[form] = forms.get(form, 0) | voice.sample
    for voice, facet, phrase in statements:
        among_models = (0, 0, 0, 0)
        if voice.target is not None:
            among_models = _among_models(voice.model, phrase, models[voice.target], replies_of[voice.target])
        saying = sources.get(phrase.key, 0) | sources.get(phrase.less, 0)
        speakers = saying | speaking.get((facet, voice.language), 0) | voice.sources
        others = speakers != voice.sources
        yield *among_models, saying.bit_count() if others else 0, speakers.bit_count() if others else 0


def _among_models(
    model: str, phrase: Phrase, models: Mapping[str, Mapping[Form, int]], replies_of: Mapping[str, int]
) -> tuple[int, int, int, int]:
    """First four of `Counts`: samples of `model` that state the phrase, of how many; then models, of how many."""
    samples_said = samples_of = models_said = models_of = 0
    if replies_of[model].bit_count() > 1:
        own = models[model]
        samples_said = (own.get(phrase.key, 0) | own.get(phrase.less, 0)).bit_count()
        samples_of = replies_of[model].bit_count()
    if len(replies_of) > 1:
        models_said = sum(phrase.key in forms or phrase.less in forms for forms in models.values())
        models_of = len(replies_of)
    return samples_said, samples_of, models_said, models_of


def _share(name: str) -> pl.Expr:
    return pl.col(f"{name}_said") / pl.col(f"{name}_of")


def _leave_out(descriptions: pl.DataFrame, flat: pl.DataFrame, min_agreement: float) -> tuple[pl.DataFrame, list[Row]]:
    """Remove aspects marked `low` in `flat`, captions stating one and empty descriptions; also rejected rows."""
    lost_rows = flat.filter("low")["row"].unique()
    lineage = descriptions.with_row_index("row").filter(pl.col("row").is_in(lost_rows.implode()))
    rejected_rows: list[Row] = []
    mute: list[int] = []
    aspects = flat.filter(pl.col("row").is_in(lost_rows.implode())).sort("row", maintain_order=True)
    by_row = groupby(aspects.iter_rows(named=True), key=itemgetter("row"))
    columns = ("row", "description_id", "track_id", "request_key", "caption")
    for own, (_, track_aspects) in zip(lineage.select(columns).iter_rows(named=True), by_row, strict=True):
        findings, caption_finding = _unagreed(own["caption"], list(track_aspects))
        if caption_finding:
            mute.append(own["row"])
        name = {"description_id": own["description_id"], "track_id": own["track_id"]}
        for finding, piece in findings:
            low_finding = Finding(
                "agreement_low", f"{finding}; [generation] min_agreement is {min_agreement:g}", {**name, **piece}
            )
            rejected_rows.append(rejected_row(own["request_key"] or own["description_id"], low_finding))
    agreed = _whole(descriptions, flat.filter(~pl.col("low")), mute)
    return agreed.filter((pl.col("aspect_list").list.len() > 0) | pl.col("caption").is_not_null()), rejected_rows


def _unagreed(caption: str | None, aspects: list[Row]) -> tuple[list[tuple[str, Row]], bool]:
    """Findings with pieces on the low aspects of one description, and True when its caption states a low aspect."""
    findings: list[tuple[str, Row]] = []
    low_aspects = [aspect for aspect in aspects if aspect["low"]]
    other_texts = [aspect["text"] for aspect in aspects if not aspect["low"]]
    for aspect in low_aspects:
        piece = {"text": aspect["text"], "facet": aspect["facet"]}
        findings.append((f"{aspect['text']!r} is said by {_counts_told(aspect)}", piece))
    caption_finding = _stated(caption, low_aspects, other_texts) if caption else None
    if caption_finding is not None:
        counts = _counts_told(caption_finding)
        findings.append((f"the caption states {caption_finding['text']!r}, said by {counts}", {"caption": caption}))
    if not other_texts and (caption is None or caption_finding is not None):
        findings.append(("nothing is left of the description: no aspect of it is said by enough", {}))
    return findings, caption_finding is not None


def _counts_told(aspect: Row) -> str:
    return " and ".join(
        f"{aspect[f'{name}_said']} of {aspect[f'{name}_of']} {name}" for name in _SCORES[:2] if aspect[f"{name}_of"]
    )


def _stated(caption: str, low_aspects: list[Row], other_texts: list[str]) -> Row | None:
    """First low aspect with all its stems in one sentence of the caption and not all in kept aspects; else None."""
    other_stems = {stem for text in other_texts for stem in content_stems(text)}
    sentence_stems = [set(content_stems(sentence)) for sentence in sentences(caption)]
    for aspect in low_aspects:
        stems = set(content_stems(aspect["text"]))
        if stems and not stems <= other_stems and any(stems <= own for own in sentence_stems):
            return aspect
    return None


def _whole(descriptions: pl.DataFrame, flat: pl.DataFrame, mute: list[int]) -> pl.DataFrame:
    """Descriptions with the aspects of `flat` (an empty list for rows not in `flat`), and no caption in `mute` rows."""
    schema = Description.create_empty().schema
    fields = [field.name for field in schema["aspects"].inner.fields]  # type: ignore[attr-defined]
    together = flat.group_by("row", maintain_order=True).agg(
        pl.struct(fields).alias("aspects"), pl.col("shared").mean().round(6).alias("confidence")
    )
    whole = descriptions.drop("aspects", "confidence").with_row_index("row")
    whole = whole.join(together, on="row", how="left", maintain_order="left").with_columns(
        pl.col("aspects").fill_null(pl.lit([], dtype=schema["aspects"])),
        caption=pl.when(~pl.col("row").is_in(mute)).then("caption"),
    )
    texts = pl.col("aspects").list.eval(pl.element().struct.field("text"))
    return whole.with_columns(aspect_list=texts).select(Description.column_names())
