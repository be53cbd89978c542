"""Validation: the rows fit to publish, every other row with its reason, and the counts a reader asks for first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dataframely as dy
import polars as pl

from sourcing.generation.grounding.quotes import read_document
from sourcing.generation.text.lyrics import (
    NO_RUNS,
    Runs,
    lyric_runs,
    lyric_spans,
    mask_lyrics,
    shared_runs,
    takes_lyrics,
)
from sourcing.generation.text.words import words
from sourcing.publishing.withdrawals import WITHDRAWN, LostDocument
from sourcing.store.licences import UNKNOWN, may_be_passed_on
from sourcing.store.schemas import FACETS, ORIGINS, Description, Document, Rejected, Row, Track
from sourcing.store.versions import PublishedDocument

__all__ = ["ValidTables", "validate_tables", "validation_report"]

_TEXT_COLUMNS = ("text", "lead", "tags", "caption", "aspects", "aspect_list")
_NO = ("consent_denied", "the site or page denies this use")
_FINDING_WORDS = 5  # of lyrics in a row that a finding may hold: several tell line after line
_SUNG = "what it spoke of is sung, so it is not shown"
_SAMPLE_CHARACTERS = 2000  # of a quarantined row, enough for a person to see what it was


@dataclass(frozen=True)
class ValidTables:
    """Rows fit to publish, in key order, and all that is not: earlier stages' rejected rows, then ours."""

    tracks: dy.DataFrame[Track]
    documents: dy.DataFrame[PublishedDocument]
    descriptions: dy.DataFrame[Description]
    quarantine: dy.DataFrame[Rejected]


def validate_tables(
    tracks: pl.DataFrame,
    documents: pl.DataFrame | None,
    descriptions: pl.DataFrame,
    rejected_rows: pl.DataFrame,
    lost_by_id: Mapping[str, LostDocument] | None = None,
    *,
    min_confidence: float = 0.0,
) -> ValidTables:
    """Hold every row against its schema, against the rows it points to, and against licence and consent.

    Of duplicates the first in input order stays. Documents no published description draws on are left out: no track
    says which split they would belong to. `lost_by_id` tells of documents published before what became of them.
    Descriptions below `min_confidence` are left out, and so are those from a model's memory that nobody bears out.
    """
    lost_by_id = lost_by_id or {}
    if documents is None:
        documents = Document.create_empty()
    tracks, bad_tracks = _sound_rows(tracks, Track, "track")
    documents, bad_documents = _sound_rows(documents, Document, "document")
    descriptions, bad_descriptions = _sound_rows(descriptions, Description, "description")
    may_use, denied_documents = _documents_we_may_use(documents, lost_by_id)
    good, strangers = _of_known_tracks(descriptions, tracks)
    refusals = dict.fromkeys(documents["doc_id"].to_list(), _NO) | {key: lost[:2] for key, lost in lost_by_id.items()}
    good, without_evidence = _with_sound_evidence(good, may_use, refusals)
    good, with_lyrics = _without_lyrics(good, documents)
    good, doubtful = _without_doubtful(good, min_confidence)
    good, repeats = _without_repeats(good)

    doc_ids = {doc_id for ids in good["doc_ids"].to_list() for doc_id in ids}
    public_documents = _withhold(may_use.filter(pl.col("doc_id").is_in(list(doc_ids))))
    bad_rows = [*bad_tracks, *bad_documents, *bad_descriptions, *denied_documents]
    bad_rows += [*strangers, *without_evidence, *with_lyrics, *doubtful, *repeats]
    ours = pl.DataFrame(bad_rows, schema=Rejected.create_empty().schema, orient="row")
    # Samples of rows rejected earlier stay in the workspace: they may hold page text nobody allowed us to pass on.
    earlier = rejected_rows.with_columns(row=pl.lit(None, pl.String)).select(ours.columns)
    quarantine = _without_sung_findings(pl.concat([earlier, ours]), documents)
    return ValidTables(
        Track.validate(tracks.sort("track_id")),
        PublishedDocument.validate(public_documents.sort("doc_id")),
        Description.validate(good.sort("description_id")),
        Rejected.validate(quarantine.sort(quarantine.columns)),
    )


def _sound_rows(frame: pl.DataFrame, schema: type[dy.Schema], what: str) -> tuple[pl.DataFrame, list[Row]]:
    """Rows that keep the schema's rules; a repeated key is rejected from its second row on."""
    key = schema.primary_key()[0]
    frame = frame.select(schema.column_names())
    first = frame.select(pl.col(key).is_first_distinct()).to_series() | frame[key].is_null()
    repeats = frame.filter(~first).to_dicts()
    bad = [_bad_row(what, row, f"{what}_duplicate", f"{key} {row[key]!r} is there already") for row in repeats]
    good, failure = schema.filter(frame.filter(first), cast=True)
    outcomes = failure.details().drop(schema.column_names())
    for row, outcome_of in zip(failure.invalid().to_dicts(), outcomes.to_dicts(), strict=True):
        rules = sorted(rule for rule, outcome in outcome_of.items() if outcome == "invalid")
        bad.append(_bad_row(what, row, f"{what}_breaks_rule", f"breaks {', '.join(rules) or 'its column types'}"))
    return good, bad


def _documents_we_may_use(
    documents: pl.DataFrame, lost_by_id: Mapping[str, LostDocument]
) -> tuple[pl.DataFrame, list[Row]]:
    """Documents whose site and page allow our use. Those taken back are told of even where no row is left of them."""
    refused_rows = {row["doc_id"]: row for row in documents.filter(pl.col("consent") != "allow").to_dicts()}
    withdrawn_ids = {doc_id for doc_id, lost in lost_by_id.items() if lost.reason == WITHDRAWN}
    bad = []
    for doc_id in sorted(refused_rows.keys() | withdrawn_ids):
        row = refused_rows.get(doc_id) or {"doc_id": doc_id, "url": lost_by_id[doc_id].url}
        bad.append(_bad_row("document", row, *(lost_by_id[doc_id][:2] if doc_id in lost_by_id else _NO)))
    return documents.filter(pl.col("consent") == "allow"), bad


def _of_known_tracks(descriptions: pl.DataFrame, tracks: pl.DataFrame) -> tuple[pl.DataFrame, list[Row]]:
    track_ids = tracks.select("track_id")
    strangers = descriptions.join(track_ids, on="track_id", how="anti", maintain_order="left").to_dicts()
    return descriptions.join(track_ids, on="track_id", how="semi", maintain_order="left"), [
        _bad_row("description", row, "track_unknown", f"the catalogue has no track {row['track_id']!r}")
        for row in strangers
    ]


def _without_doubtful(descriptions: pl.DataFrame, min_confidence: float) -> tuple[pl.DataFrame, list[Row]]:
    """Descriptions at or above a confidence; those without one stay, but for `prompted` ones, whose evidence it is."""
    unknown = pl.when(pl.col("origin") == "prompted").then(0.0).otherwise(1.0)
    low = pl.coalesce("confidence", unknown) < min_confidence
    finding = f"below [publish] min_confidence, {min_confidence:g}"
    rows = descriptions.filter(low).to_dicts()
    bad = [
        _bad_row("description", row, "confidence_low", f"its confidence, {row['confidence']}, is {finding}")
        for row in rows
    ]
    return descriptions.filter(~low), bad


def _with_sound_evidence(
    descriptions: pl.DataFrame, documents: pl.DataFrame, refusals: Mapping[str, tuple[str, str]]
) -> tuple[pl.DataFrame, list[Row]]:
    length_of = dict(documents.select("doc_id", pl.col("text").str.len_chars().fill_null(0)).iter_rows())
    keep, bad = [], []
    for row in descriptions.iter_rows(named=True):
        fault = _fault(row, length_of, refusals)
        keep.append(fault is None)
        if fault:
            bad.append(_bad_row("description", row, *fault))
    return descriptions.filter(pl.Series(keep, dtype=pl.Boolean)), bad


def _fault(row: Row, length_of: Mapping[str, int], refusals: Mapping[str, tuple[str, str]]) -> tuple[str, str] | None:
    """Reason and finding for which a description may not be published; `length_of` holds the allowed documents.

    `refusals` tells of documents that were once there why they are not allowed.
    """
    for doc_id in row["doc_ids"]:
        if doc_id not in length_of:
            reason, finding = refusals.get(doc_id, ("document_unknown", "it is not among the documents"))
            return reason, f"it draws on {doc_id}: {finding}"
    for aspect in row["aspects"]:
        for quote in aspect["evidence"]:
            doc_id, start, end = quote["doc_id"], quote["start"], quote["end"]
            if doc_id not in row["doc_ids"] or not 0 <= start < end <= length_of[doc_id]:
                return "evidence_outside_document", f"aspect {aspect['text']!r} points to {doc_id}[{start}:{end}]"
    if row["origin"] in ("scraped", "mined") and row["caption"] is not None:
        closed_licences = [licence for licence in row["licences"] if not may_be_passed_on(licence)]
        if closed_licences:
            reason = "licence_unknown" if UNKNOWN in closed_licences else "licence_closed"
            return reason, f"its caption is a page's own words under {', '.join(closed_licences)}"
    return None


def _without_lyrics(descriptions: pl.DataFrame, documents: pl.DataFrame) -> tuple[pl.DataFrame, list[Row]]:
    """Descriptions without more than eight consecutive words of lyrics from documents about the track."""
    text_of = dict(documents.select("doc_id", "text").drop_nulls().iter_rows())
    doc_ids_of: dict[str, set[str]] = {}
    for track_id, doc_ids in descriptions.select("track_id", "doc_ids").iter_rows():
        doc_ids_of.setdefault(track_id, set()).update(doc_id for doc_id in doc_ids if doc_id in text_of)
    lyric_ids, bad = [], []
    for row in descriptions.sort("track_id").iter_rows(named=True):
        wording = " ".join([row["caption"] or "", *row["aspect_list"]])
        for doc_id in doc_ids_of[row["track_id"]]:
            source = read_document(text_of[doc_id])
            if source.may_be_quoted_in(words(wording)) and takes_lyrics(wording, source.lyric_runs):
                lyric_ids.append(row["description_id"])
                bad.append(_bad_row("description", row, "description_is_lyric", f"it takes lyrics that {doc_id} marks"))
                break
    return descriptions.filter(~pl.col("description_id").is_in(lyric_ids)), bad


def _without_sung_findings(quarantine: pl.DataFrame, documents: pl.DataFrame) -> pl.DataFrame:
    """Rejected rows; finding and sample are blanked where they hold lyrics of a document."""
    texts = [f"{finding}\n{row or ''}" for finding, row in quarantine.select("finding", "row").iter_rows()]
    runs_of = [shared_runs([text], over_words=_FINDING_WORDS) for text in texts]
    all_runs = set[tuple[str, ...]]().union(*runs_of)
    sung = set[tuple[str, ...]]()
    if all_runs:
        for text in documents["text"].drop_nulls():
            sung |= lyric_runs(text, over_words=_FINDING_WORDS) & all_runs
    clean = [not (runs & sung) and not lyric_spans(text) for text, runs in zip(texts, runs_of, strict=True)]
    may_show = pl.Series(clean, dtype=pl.Boolean)
    return quarantine.with_columns(
        finding=pl.when(may_show).then("finding").otherwise(pl.lit(_SUNG)), row=pl.when(may_show).then("row")
    )


def _without_repeats(descriptions: pl.DataFrame) -> tuple[pl.DataFrame, list[Row]]:
    """Of descriptions that say the same about a track from the same origin and documents, the first.

    How many agreed with it is not what a description says: two models may say the same with other samples beside them.
    """
    columns = ["track_id", "origin", "language", "aspect_list", "caption", "doc_ids"]
    first_of: dict[str, str] = {}
    keep, bad = [], []
    for row in descriptions.iter_rows(named=True):
        aspects = [(aspect["text"], aspect["facet"], aspect["evidence"]) for aspect in row["aspects"]]
        content = json.dumps([*(row[name] for name in columns), aspects])
        first = first_of.setdefault(content, row["description_id"])
        keep.append(first == row["description_id"])
        if not keep[-1]:
            bad.append(_bad_row("description", row, "description_repeated", f"it says what {first} says"))
    return descriptions.filter(pl.Series(keep, dtype=pl.Boolean)), bad


def _withhold(documents: pl.DataFrame) -> pl.DataFrame:
    """Null `text` and `lead` where the licence of that field does not let anyone pass it on, and blank out lyrics.

    Spaces stand in their place, so that the spans of evidence still hold. A tag of too many of them is left out.
    """
    texts, leads, tags, withheld = [], [], [], []
    for row in documents.iter_rows(named=True):
        licence_of = {entry["field"]: entry["licence"] for entry in row["licences"]}
        open_fields = {
            name: row[name] if may_be_passed_on(licence_of.get(name, licence_of.get("*", UNKNOWN))) else None
            for name in ("text", "lead")
        }
        sung: Runs = lyric_runs(row["text"]) if row["text"] else NO_RUNS
        texts.append(open_fields["text"] and mask_lyrics(open_fields["text"], sung))
        leads.append(open_fields["lead"] and mask_lyrics(open_fields["lead"], sung))
        tags.append([tag for tag in row["tags"] if not takes_lyrics(tag["name"], sung)])
        withheld.append(any(row[name] is not None and open_fields[name] is None for name in open_fields))
    return documents.with_columns(
        pl.Series("text", texts, dtype=pl.String),
        pl.Series("lead", leads, dtype=pl.String),
        pl.Series("tags", tags, dtype=documents.schema["tags"]),
        pl.Series("text_withheld", withheld, dtype=pl.Boolean),
    )


def _bad_row(what: str, row: Row, reason: str, finding: str) -> Row:
    key = row.get({"track": "track_id", "document": "doc_id", "description": "description_id"}[what])
    # a denied or closed text must not reach the published quarantine either: ids and facts suffice to find it
    facts = {name: value for name, value in row.items() if name not in _TEXT_COLUMNS}
    sample = json.dumps(facts, ensure_ascii=False, default=str)[:_SAMPLE_CHARACTERS]
    return {"stage": "publish", "key": str(key), "reason": reason, "finding": finding, "row": sample}


def validation_report(tables: ValidTables) -> dict[str, Any]:
    """Counts of rows by reason, origin, language and facet, and of tracks by field."""
    descriptions, tracks = tables.descriptions, tables.tracks
    reasons = tables.quarantine.group_by("stage", "reason").len().sort("stage", "reason")
    per_track = descriptions.group_by("track_id").len()["len"]
    aspects = descriptions.select(pl.col("aspects").explode(empty_as_null=False, keep_nulls=False)).unnest("aspects")
    by_origin = {}
    for origin in ORIGINS:
        rows = descriptions.filter(pl.col("origin") == origin)
        by_origin[origin] = {
            "descriptions": rows.height,
            "tracks": rows["track_id"].n_unique(),
            "with_caption": rows["caption"].count(),
            "with_aspects": rows.filter(pl.col("aspect_list").list.len() > 0).height,
            "aspects": int(rows["aspect_list"].list.len().sum()),
        }
    shares = aspects["agreement"].struct.unnest()
    facet_counts = dict(aspects["facet"].value_counts().iter_rows())
    return {
        "rows": {
            "descriptions": descriptions.height,
            "tracks": tracks.height,
            "documents": tables.documents.height,
            "quarantined": tables.quarantine.height,
        },
        "quarantined": {f"{stage}/{reason}": count for stage, reason, count in reasons.iter_rows()},
        "tracks_described": descriptions["track_id"].n_unique(),
        "tracks_with": {
            name: tracks[name].count()
            for name in ("album", "year", "isrc", "mbid", "duration_s", "language", "audio", "text")
        },
        "descriptions_per_described_track": {
            "least": int(per_track.min() or 0),  # type: ignore[arg-type]
            "most": int(per_track.max() or 0),  # type: ignore[arg-type]
        },
        "origins": by_origin,
        "languages": dict(sorted(descriptions["language"].value_counts().iter_rows())),
        "facets": {facet: facet_counts.get(facet, 0) for facet in FACETS},
        "agreement": {name: _share_counts(shares[name]) for name in shares.columns},
        "documents_with_text_withheld": int(tables.documents["text_withheld"].sum()),
    }


def _share_counts(shares: pl.Series) -> dict[str, Any]:
    """Of aspects compared with anybody: how many, how many are said by all or by less than half, and the mean share."""
    return {
        "aspects": shares.count(),
        "said_by_all": int((shares == 1.0).sum()),
        "said_by_less_than_half": int((shares < 0.5).sum()),
        "mean": round(float(mean), 4) if isinstance(mean := shares.mean(), float) else None,
    }
