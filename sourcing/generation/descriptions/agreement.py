"""How far samples, models and sources agree on each aspect; on request, what too few of them say is left out."""

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

#: track_id, doc_id or "", prompt id, prompt hash, language: what samples and models are asked the same about.
Target = tuple[str, str, str, str, str]
#: How many say it and of how many, for samples, models and sources; of 0 where there is nobody to compare with.
Counts = tuple[int, int, int, int, int, int]

_SCORES = ("samples", "models", "sources")
_COUNTS = tuple(f"{name}_{what}" for name in _SCORES for what in ("said", "of"))


class TargetReplies:
    """Which samples of which models answered about which target, a bit for each sample.

    An answer that came to no description counts as one that does not say what the others say. A call that was never
    answered does not count: a broken line is no opinion. Descriptions count as answers by themselves.
    """

    def __init__(self, replies: Iterable[Reply] = ()) -> None:
        self._samples: dict[Target, dict[str, int]] = {}
        for _ in self.noting(replies):
            pass

    def noting(self, replies: Iterable[Reply]) -> Iterator[Reply]:
        """Pass replies through, noting the target of each."""
        for reply in replies:
            target = (reply.track_id, reply.doc_id or "", reply.prompt_id, reply.prompt_hash, reply.language)
            models = self._samples.setdefault(target, {})
            models[reply.model] = models.get(reply.model, 0) | 1 << reply.sample_idx
            yield reply

    def samples(self, target: Target) -> Mapping[str, int]:
        """Model → samples answered, as bits."""
        return self._samples.get(target, {})


def score_agreement(
    descriptions: dy.DataFrame[Description],
    documents: dy.DataFrame[Document],
    asked: TargetReplies,
    *,
    min_agreement: float = 0.0,
) -> tuple[dy.DataFrame[Description], dy.DataFrame[Rejected]]:
    """Descriptions with an `agreement` beside every aspect that several voices could have said, and findings on aspects
    left out.

    `samples`: of the answered samples of its model for the same prompt, document and language, the share that says it.
    `models`: of the models asked the same, the share of which at least one sample says it. `sources`: of the sources
    (the catalogue, or a document's source) that speak of its facet of this track in its language, the share that says
    it; words of unknown language pass for English. Null where there is no voice but its own.

    An aspect of which `samples` or `models` is below `min_agreement` becomes a rejected row (agreement_low), and so
    does a caption with a sentence that states it. A description that has neither left goes altogether. Sources leave
    nothing out: a page says only what it cares to say.
    """
    by_track = descriptions.with_row_index("row").sort("track_id", "row")
    flat = by_track.select("row", pl.col("aspects")).explode("aspects", empty_as_null=False, keep_nulls=False)
    flat = flat.unnest("aspects").with_columns(_count(by_track, documents, asked))
    shares = [pl.when(pl.col(f"{name}_of") > 0).then(_share(name)).alias(name) for name in _SCORES]
    is_compared = pl.any_horizontal(pl.col(f"{name}_of") > 0 for name in _SCORES)
    low = pl.any_horizontal((pl.col(f"{name}_of") > 0) & (_share(name) < min_agreement) for name in _SCORES[:2])
    flat = flat.with_columns(agreement=pl.when(is_compared).then(pl.struct(shares)), low=low)
    agreed, rejected_rows = _leave_out(descriptions, flat, min_agreement)
    return Description.validate(agreed), rejected_frame(rejected_rows)


def sources_of(description: Row, source_of: Mapping[str, str]) -> list[str]:
    """Where a description's words come from: the catalogue, or the sources of its documents; none for a model's own."""
    if description["origin"] == "catalogue":
        return ["catalogue"]
    return sorted({source_of[doc_id] for doc_id in description["doc_ids"]})


class _Voice(NamedTuple):
    """The voice of a description, by model and document; without a model `target` is None, without a source `sources`
    is 0.
    """

    language: str
    sources: int  # as bits
    target: Target | None
    model: str
    sample: int  # as a bit


def _count(by_track: pl.DataFrame, documents: pl.DataFrame, asked: TargetReplies) -> list[pl.Series]:
    """The columns of `Counts`, one line an aspect, in the order of the rows."""
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
    """Counts of all aspects (voice, facet, phrase) of one track, in order; each is noted once and looked up once."""
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
    """The first four of `Counts`: among the samples of the model itself, then among models."""
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
    """Descriptions with the aspects of `flat` that are not low, and the rejected rows."""
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
    """Findings about one description with their pieces, and True when the caption states a lost aspect."""
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
    """First lost aspect whose words stand in one sentence of the caption, unless the kept aspects hold all of them."""
    other_stems = {stem for text in other_texts for stem in content_stems(text)}
    sentence_stems = [set(content_stems(sentence)) for sentence in sentences(caption)]
    for aspect in low_aspects:
        stems = set(content_stems(aspect["text"]))
        if stems and not stems <= other_stems and any(stems <= own for own in sentence_stems):
            return aspect
    return None


def _whole(descriptions: pl.DataFrame, flat: pl.DataFrame, mute: list[int]) -> pl.DataFrame:
    """Descriptions with the aspects of `flat` (an empty list for rows not in it), and no caption in `mute` rows."""
    schema = Description.create_empty().schema
    fields = [field.name for field in schema["aspects"].inner.fields]  # type: ignore[attr-defined]
    together = flat.group_by("row", maintain_order=True).agg(pl.struct(fields).alias("aspects"))
    whole = descriptions.drop("aspects").with_row_index("row")
    whole = whole.join(together, on="row", how="left", maintain_order="left").with_columns(
        pl.col("aspects").fill_null(pl.lit([], dtype=schema["aspects"])),
        caption=pl.when(~pl.col("row").is_in(mute)).then("caption"),
    )
    texts = pl.col("aspects").list.eval(pl.element().struct.field("text"))
    return whole.with_columns(aspect_list=texts).select(Description.column_names())
