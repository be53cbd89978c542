"""Prompt tests: the recorded reply of each case of a pack, described or judged, compared with the case's `Expect`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

import dataframely as dy
import polars as pl

from sourcing.errors import PromptError
from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.describe import describe, example_aspects
from sourcing.generation.descriptions.judge import apply_verdicts
from sourcing.generation.grounding.context import rules_of
from sourcing.generation.packs.cases import Case, Expect, golden_path
from sourcing.generation.packs.judges import is_judge, judged_name
from sourcing.generation.packs.lint import plain_examples
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.recordings import recording_state
from sourcing.generation.packs.render import render
from sourcing.generation.planning.plan import CAPTION_LANGUAGE
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.generation.text.lexicon import facet_of
from sourcing.store.schemas import Description, Document, Match, Rejected, Track

__all__ = ["CaseResult", "Outcome", "run_case", "try_case"]

_S = TypeVar("_S", bound=dy.Schema)
_Made = tuple[dy.DataFrame[Description], dy.DataFrame[Rejected]]
_KEY = "case"
_AUTHOR = "author"
_AT = datetime(2000, 1, 1, tzinfo=UTC)  # nothing a case asserts depends on the time


class Outcome(StrEnum):
    """What a case came to."""

    PASS = "PASS"
    FAIL = "FAIL"
    STALE = "STALE"  # its recording answers another request than the case sends now
    NEEDS_RECORDING = "NEEDS RECORDING"
    ERROR = "ERROR"  # it could not be tried: the pack, the case or its recording is broken


@dataclass(frozen=True)
class CaseResult:
    """Aspects, caption, rejection reasons and problems of one case; a case without problems passes."""

    name: str
    aspects: list[str] = field(default_factory=list)
    caption: str | None = None
    rejected: list[str] = field(default_factory=list)  # reasons
    problems: list[str] = field(default_factory=list)
    outcome: Outcome = Outcome.PASS


def try_case(pack: Pack, case: Case) -> CaseResult:
    """Run a case where its recording is of its present request; never raises for a broken one."""
    try:
        state = recording_state(pack, case)
        if state == "missing":
            todo = f"`crossmusim prompts record {pack.id} --case {case.name}` asks a model for it"
            return CaseResult(case.name, problems=[todo], outcome=Outcome.NEEDS_RECORDING)
        if state == "stale":
            stale = "its recording answers another request: template, inputs, schema or sampling have changed since"
            return CaseResult(case.name, problems=[stale], outcome=Outcome.STALE)
        return run_case(pack, case)
    except PromptError as error:
        return CaseResult(case.name, problems=[f"{error.thing}: {error.found}; {error.cure}"], outcome=Outcome.ERROR)


def run_case(pack: Pack, case: Case) -> CaseResult:
    """Replay the case's recorded reply through grounding and description, or through judging for a judge's pack.

    PromptError when the messages do not render, the recorded reply is missing, or a judge's case has no aspects.
    """
    render(pack, case.inputs)
    if is_judge(pack) and not case.inputs.get("aspects"):
        raise PromptError(f"prompt pack {pack.name} case {case.name!r}", "it has no aspects", "list those to be judged")
    reply = _recorded(pack, case)
    if is_judge(pack):
        unjudged = _rows(Description, [_description(case.inputs)])
        descriptions, rejected_rows = apply_verdicts(unjudged, unjudged, [reply])
    else:
        descriptions, rejected_rows = _describe(pack, case.inputs, reply)
    own_rows = descriptions.filter(pl.col("request_key") == _KEY).to_dicts()
    aspects = [text for row in own_rows for text in row["aspect_list"]]
    caption = next((row["caption"] for row in own_rows), None)
    reasons = sorted(set(rejected_rows["reason"]))
    problems = _problems(case.expect, aspects, caption or "", reasons)
    return CaseResult(case.name, aspects, caption, reasons, problems, Outcome.FAIL if problems else Outcome.PASS)


def _recorded(pack: Pack, case: Case) -> Reply:
    parsed_reply = ParsedReply.read(golden_path(pack, case).read_bytes())
    reads_document = "document" in case.inputs
    doc_id = judged_name(_description(case.inputs)) if is_judge(pack) else _KEY if reads_document else None
    return Reply(
        request_key=_KEY,
        prompt_id=pack.id,
        prompt_version=pack.version,
        prompt_hash=pack.prompt_hash,
        track_id=_KEY,
        doc_id=doc_id,
        sample_idx=0,
        language=str(case.inputs.get("language") or CAPTION_LANGUAGE),
        model=parsed_reply.model,
        finish_reason=parsed_reply.finish_reason,
        content=parsed_reply.content,
        replied_at=_AT,
        usage=parsed_reply.usage,
        reason=parsed_reply.reason,
        words=parsed_reply.words,
    )


def _describe(pack: Pack, inputs: dict[str, Any], reply: Reply) -> _Made:
    reads_document = "document" in inputs
    return describe(
        _rows(Track, [_track(inputs)]),
        _rows(Document, [_document(inputs)] if reads_document else []),
        _rows(Match, [_MATCH] if reads_document else []),
        [reply],
        rules={pack.id: rules_of(pack.blocks, examples=example_aspects(plain_examples(pack)))},
    )


def _problems(expect: Expect, aspects: Sequence[str], caption: str, reasons: Sequence[str]) -> list[str]:
    folded_aspects, text = {aspect.casefold() for aspect in aspects}, caption.casefold()
    return [
        *(f"aspect {a!r} is missing" for a in expect.aspects_include if a.casefold() not in folded_aspects),
        *(f"aspect {a!r} should not be there" for a in expect.aspects_exclude if a.casefold() in folded_aspects),
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


def _description(inputs: dict[str, Any]) -> dict[str, Any]:
    """Description row for a judge's case, by model _AUTHOR; `mined` with a document in the inputs, else `prompted`."""
    reads_document = bool(inputs.get("document"))
    evidence = [{"doc_id": _KEY, "start": 0, "end": 1}] if reads_document else []
    aspects = [{"text": text, "facet": facet_of(text), "evidence": evidence} for text in inputs["aspects"]]
    origin = "mined" if reads_document else "prompted"
    return {
        "description_id": f"{origin}:{0:016x}",
        "track_id": _KEY,
        "origin": origin,
        "language": str(inputs.get("language") or CAPTION_LANGUAGE),
        "aspect_list": list(inputs["aspects"]),
        "caption": inputs.get("caption") or None,
        "aspects": aspects,
        "doc_ids": [_KEY] if reads_document else [],
        "licences": ["CC0-1.0"],
        "model": _AUTHOR,
        "request_key": _KEY,
        "created_at": _AT,
    }


def _rows(schema: type[_S], rows: list[dict[str, Any]]) -> dy.DataFrame[_S]:
    return schema.validate(pl.DataFrame(rows, schema=schema.create_empty().schema))
