"""Descriptions without a model: the owner's tags and text, and a document's tags and lead sentences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sourcing.generation.grounding.aspects import Finding, vet_aspect
from sourcing.generation.grounding.captions import cut_lyrics, join_sentences
from sourcing.generation.grounding.leaks import copied_leak, hide_lyrics
from sourcing.generation.grounding.names import Names
from sourcing.generation.grounding.quotes import read_document
from sourcing.generation.text.folding import tidy, tidy_phrase, wording
from sourcing.generation.text.lexicon import facet_of
from sourcing.generation.text.phrases import aspect_key, sentences
from sourcing.store.schemas import Row

__all__ = [
    "EPOCH",
    "MAX_TAG_ASPECTS",
    "UNKNOWN_LICENCE",
    "describe_catalogue",
    "describe_document",
    "licence_of",
    "rejected_row",
    "track_names",
]

MAX_TAG_ASPECTS = 12
LEAD_SENTENCES = 2
UNKNOWN_LICENCE = "unknown"
#: `created_at` of descriptions made from the catalogue alone, whose rows carry no date of their own.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def describe_catalogue(track: Mapping[str, Any]) -> tuple[Row | None, list[Row]]:
    """Description row from the owner's tags (aspects) and text (caption), None without both; and rejected rows."""
    aspects, findings = _tag_aspects(track["tags"] or [], track_names(track))
    caption, caption_findings = _own_caption(track["text"] or "", frozenset())
    rejected_rows = _filtered_rows(findings, track["track_id"])
    rejected_rows += [rejected_row(track["track_id"], finding) for finding in caption_findings]
    if not aspects and caption is None:
        return None, rejected_rows
    description = {
        "origin": "catalogue",
        "language": track["language"] or "und",
        "aspects": aspects,
        "caption": caption,
        "doc_ids": [],
        "licences": ["owner"],
        "created_at": EPOCH,
    }
    return description, rejected_rows


def describe_document(track: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[Row | None, list[Row]]:
    """Description row from a document's tags (aspects, most voted first) and lead (caption, its first two sentences).

    The lead is quoted only where its licence is known; `licences` are those of the fields in use. None without aspects
    and caption. Also returns rejected rows.
    """
    key = f"{track['track_id']} {document['doc_id']}"
    tags = sorted(document["tags"] or [], key=lambda tag: -(tag["count"] or 0))
    names = (*track_names(track), document["title"], document["artist"], document["album"])
    aspects, findings = _tag_aspects([tag["name"] for tag in tags], names)
    rejected_rows = _filtered_rows(findings, key)
    caption = None
    if document["lead"] and licence_of(document, "lead") == UNKNOWN_LICENCE:
        finding = Finding("caption_licence_unknown", "no licence is known for the lead, so it is not quoted")
        rejected_rows.append(rejected_row(key, finding))
    elif document["lead"]:
        sung = read_document(document["text"] or "").lyric_runs
        caption, caption_findings = _own_caption(document["lead"], sung, at_most=LEAD_SENTENCES)
        rejected_rows += [rejected_row(key, finding) for finding in caption_findings]
    if not aspects and caption is None:
        return None, rejected_rows
    used = [*(["tags"] if aspects else []), *(["lead"] if caption else [])]
    description = {
        "origin": "scraped",
        "language": document["language"] or "und",
        "aspects": aspects,
        "caption": caption,
        "doc_ids": [document["doc_id"]],
        "licences": sorted({licence_of(document, field) for field in used}),
        "created_at": document["retrieved_at"],
    }
    return description, rejected_rows


def licence_of(document: Mapping[str, Any], field: str) -> str:
    """Licence of one field of a document: its own entry, else the entry "*", else "unknown"."""
    licence_by_field = {entry["field"]: entry["licence"] for entry in document["licences"] or []}
    return str(licence_by_field.get(field) or licence_by_field.get("*") or UNKNOWN_LICENCE)


def track_names(track: Mapping[str, Any]) -> tuple[str | None, ...]:
    return track["artist"], track["title"], track["album"]


def rejected_row(key: str, finding: Finding) -> Row:
    """A `Rejected` row of the stage `describe`."""
    piece = None if finding.piece is None else json.dumps(finding.piece, ensure_ascii=False, sort_keys=True)
    return {"stage": "describe", "key": key, "reason": finding.reason, "finding": finding.finding, "row": piece}


def _own_caption(
    text: str, sung: frozenset[tuple[str, ...]], *, at_most: int | None = None
) -> tuple[str | None, list[Finding]]:
    """First `at_most` sentences verbatim without lyrics, None when empty or found by `copied_leak`; and findings."""
    line = tidy(wording(text))
    whole, findings = cut_lyrics(sentences(line)[:at_most], text, sung)
    caption = join_sentences(whole, line)
    leak = copied_leak(caption)
    if leak:
        return None, hide_lyrics([*findings, leak], sung)
    return caption or None, findings


def _tag_aspects(tags: Iterable[str], names: Iterable[str | None]) -> tuple[list[Row], list[Finding]]:
    tag_names = Names(whole=tuple(filter(None, names)))
    aspects: list[Row] = []
    findings: list[Finding] = []
    keys: set[tuple[str, ...]] = set()
    for tag in tags:
        text = tidy_phrase(wording(tag))
        finding = vet_aspect(text, tag_names, keys)
        if finding is None and len(aspects) >= MAX_TAG_ASPECTS:
            finding = Finding("aspect_surplus", f"{text!r} comes after {MAX_TAG_ASPECTS} others", text)
        if finding is not None:
            findings.append(finding)
            continue
        keys.add(aspect_key(text))
        aspects.append({"text": text, "facet": facet_of(text), "evidence": []})
    return aspects, findings


def _filtered_rows(findings: list[Finding], key: str) -> list[Row]:
    """One rejected row per reason with all its tags, as a page may carry hundreds of tags."""
    by_reason: dict[str, list[Any]] = {}
    for finding in findings:
        by_reason.setdefault(finding.reason, []).append(finding.piece)
    return [
        rejected_row(key, Finding(reason, f"{len(tags)} of its tags left out as {reason}", {"tags": tags}))
        for reason, tags in by_reason.items()
    ]
