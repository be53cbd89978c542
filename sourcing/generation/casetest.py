"""Prompt tests: a pack's cases, whose recorded replies go the way every reply goes, held against what they expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import dataframely as dy
import polars as pl

from sourcing.generation.describe import describe, example_aspects
from sourcing.generation.leaks import rules_of
from sourcing.generation.pack import Pack
from sourcing.generation.packcheck import Case, Expect, golden_path, plain_examples
from sourcing.generation.plan import CAPTION_LANGUAGE
from sourcing.generation.replies import Reply
from sourcing.generation.wire import read_completion
from sourcing.store.schemas import Document, Match, Track

__all__ = ["CaseResult", "run_case"]

_S = TypeVar("_S", bound=dy.Schema)
_KEY = "case"
_AT = datetime(2000, 1, 1, tzinfo=UTC)  # nothing a case asserts depends on the time


@dataclass(frozen=True)
class CaseResult:
    """What became of one case; no problems is a pass."""

    name: str
    aspects: list[str]
    caption: str | None
    rejected: list[str]  # reasons
    problems: list[str]


def run_case(pack: Pack, case: Case) -> CaseResult:
    """Replay the case's recorded reply through grounding and description; PromptError when the reply is missing."""
    said = read_completion(golden_path(pack, case).read_bytes())
    inputs = case.inputs
    reads_document = "document" in inputs
    reply = Reply(
        request_key=_KEY,
        prompt_id=pack.id,
        prompt_version=pack.version,
        prompt_hash=pack.prompt_hash,
        track_id=_KEY,
        doc_id=_KEY if reads_document else None,
        sample_idx=0,
        language=str(inputs.get("language") or CAPTION_LANGUAGE),
        model=said.model,
        finish_reason=said.finish_reason,
        content=said.content,
        replied_at=_AT,
        usage=said.usage,
    )
    descriptions, rejected = describe(
        _rows(Track, [_track(inputs)]),
        _rows(Document, [_document(inputs)] if reads_document else []),
        _rows(Match, [_MATCH] if reads_document else []),
        [reply],
        echoes={pack.id: example_aspects(plain_examples(pack))},
        rules={pack.id: rules_of(pack.blocks)},
    )
    made = descriptions.filter(pl.col("request_key") == _KEY).to_dicts()
    aspects = [text for row in made for text in row["aspect_list"]]
    caption = next((row["caption"] for row in made), None)
    reasons = sorted(set(rejected["reason"]))
    return CaseResult(case.name, aspects, caption, reasons, _problems(case.expect, aspects, caption or "", reasons))


def _problems(expect: Expect, aspects: Sequence[str], caption: str, reasons: Sequence[str]) -> list[str]:
    folded, text = {aspect.casefold() for aspect in aspects}, caption.casefold()
    return [
        *(f"aspect {a!r} is missing" for a in expect.aspects_include if a.casefold() not in folded),
        *(f"aspect {a!r} should not be there" for a in expect.aspects_exclude if a.casefold() in folded),
        *(f"caption lacks {words!r}" for words in expect.caption_contains if words.casefold() not in text),
        *(f"caption should not say {words!r}" for words in expect.caption_excludes if words.casefold() in text),
        *(f"nothing was rejected as {reason}" for reason in expect.rejected_reasons if reason not in reasons),
    ]


_MATCH = {"track_id": _KEY, "doc_id": _KEY, "score": 1.0, "band": "accept", "method": "text", "reasons": []}


def _track(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "track_id": _KEY,
        "title": inputs.get("title") or "untitled",
        "artist": inputs.get("artist") or "unnamed",
        "album": inputs.get("album") or None,
        "year": inputs.get("year"),
        "tags": list(inputs.get("tags") or []),
        "labels": [],
    }


def _document(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "doc_id": _KEY,
        "source": "case",
        "url": "case:",
        "retrieved_at": _AT,
        "content_sha256": "0" * 64,
        "granularity": "recording",
        "title": inputs.get("document_title") or None,
        "isrcs": [],
        "tags": [],
        "text": inputs["document"],
        "licences": [{"field": "*", "licence": "CC0-1.0"}],  # a case is about the words, not the terms
        "consent": "allow",
        "consent_evidence": [],
    }


def _rows(schema: type[_S], rows: list[dict[str, Any]]) -> dy.DataFrame[_S]:
    return schema.validate(pl.DataFrame(rows, schema=schema.create_empty().schema))
