"""Trials: what one reply about one item became, and how that stands against what the item expects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import polars as pl

from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.describe import describe_reply, example_aspects
from sourcing.generation.descriptions.judge import apply_verdicts
from sourcing.generation.descriptions.scraped import rejected_row
from sourcing.generation.grounding.context import PackRules, rules_of
from sourcing.generation.packs.lint_schema import plain_examples
from sourcing.generation.packs.pack import Pack
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.generation.replies.payload import read_payload
from sourcing.store.schemas import Description, Row
from sourcing.workbench.items import Item
from sourcing.workbench.measures.gold import GoldDocument
from sourcing.workbench.measures.rules import vetted_by_rules

__all__ = ["Outcome", "Trial", "Usage", "make_trial", "payload_of", "trial_by_rules"]

_AT = datetime(2000, 1, 1, tzinfo=UTC)  # nothing in a trial depends on the time
_SHOWN_CHARS = 20_000  # of a reply


class Outcome(StrEnum):
    """What a trial came to; see `tests/workbench` and docs/prompts.md for what each means."""

    PASS = "PASS"
    FAIL = "FAIL"
    STALE = "STALE"  # its recording answers another request than the case sends now
    NEEDS_RECORDING = "NEEDS RECORDING"
    NEEDS_REVIEW = "NEEDS REVIEW"  # nothing is asserted, or a verdict that only a person or a judge can give is missing
    ERROR = "ERROR"  # it could not be tried: the service did not answer, or pack, case or recording is broken


@dataclass(frozen=True)
class Usage:
    """What a reply cost: tokens, US dollars and seconds; None where it is not known."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Trial:
    """One reply and what became of it; plain data, as it stands in a run's file.

    `aspects` are rows of text, facet and spans ([start, end) in the item's source); `rejected` rows of reason, finding
    and, where there is one, the piece of the reply.
    """

    name: str
    sample: int = 0
    aspects: list[Row] = field(default_factory=list)
    caption: str | None = None
    rejected: list[Row] = field(default_factory=list)
    reply: str | None = None
    model: str = ""
    request_key: str = ""
    usage: Usage = field(default_factory=Usage)
    problems: list[str] = field(default_factory=list)
    outcome: Outcome = Outcome.PASS

    @property
    def texts(self) -> list[str]:
        return [aspect["text"] for aspect in self.aspects]

    @property
    def reasons(self) -> list[str]:
        return sorted({row["reason"] for row in self.rejected})

    def with_problems(self, problems: Sequence[str], outcome: Outcome) -> Trial:
        return replace(self, problems=list(problems), outcome=outcome)


def make_trial(pack: Pack, item: Item, raw: bytes, *, sample: int = 0, request_key: str, usage: Usage) -> Trial:
    """Describe an item by a reply's bytes, by the same rules as a run; for a judge's pack, apply its verdicts."""
    parsed = ParsedReply.read(raw)
    reply = Reply(
        request_key=request_key,
        prompt_id=pack.id,
        prompt_version=pack.version,
        prompt_hash=pack.prompt_hash,
        track_id=item.track["track_id"],
        doc_id=item.doc_id,
        sample_idx=sample,
        language=item.language,
        model=parsed.model,
        finish_reason=parsed.finish_reason,
        content=parsed.content,
        replied_at=_AT,
        usage=parsed.usage,
        reason=parsed.reason,
        words=parsed.words,
    )
    description, rejected = _judged(item.judged, reply) if item.judged is not None else _described(pack, item, reply)
    trial = Trial(
        item.name, sample, rejected=[_left_out(row) for row in rejected], reply=(parsed.content or "")[:_SHOWN_CHARS],
        model=parsed.model, request_key=request_key, usage=_used(usage, parsed),
    )  # fmt: skip
    if description is None:
        return trial
    return replace(trial, aspects=_placed(description["aspects"]), caption=description["caption"])


def trial_by_rules(document: GoldDocument) -> Trial:
    """What the rules alone take from a gold document, as a trial."""
    result = vetted_by_rules(document)
    rejected = [_left_out(rejected_row(document.id, finding)) for finding in result.findings]
    return Trial(document.id, aspects=_placed(result.aspects), caption=result.caption, rejected=rejected)


def _placed(aspects: Sequence[Row]) -> list[Row]:
    """Aspects with the spans of their evidence."""
    return [
        {"text": a["text"], "facet": a["facet"], "spans": [[e["start"], e["end"]] for e in a.get("evidence") or ()]}
        for a in aspects
    ]


def _described(pack: Pack, item: Item, reply: Reply) -> tuple[Row | None, list[Row]]:
    about = [item.source] if item.source and reply.doc_id is None else ()
    return describe_reply(reply, item.track, item.document, rules=_rules(pack), about_track=about)


def _judged(judged: Row, reply: Reply) -> tuple[Row | None, list[Row]]:
    frame = pl.DataFrame([judged], schema=Description.create_empty().schema)
    unjudged = Description.validate(frame)
    descriptions, rejected = apply_verdicts(unjudged, unjudged, [reply])
    return next(iter(descriptions.to_dicts()), None), rejected.to_dicts()


def _rules(pack: Pack) -> PackRules:
    return rules_of(pack.blocks, may_name=pack.may_name, examples=example_aspects(plain_examples(pack)))


def _left_out(row: Row) -> Row:
    piece = json.loads(row["row"]) if row.get("row") else None
    text = piece.get("text") or piece.get("quote") or piece.get("caption") if isinstance(piece, dict) else piece
    return {"reason": row["reason"], "finding": row["finding"], "text": text if isinstance(text, str) else None}


def _used(usage: Usage, parsed: ParsedReply) -> Usage:
    """Tokens as the reply tells them, where nobody counted them before."""
    if usage.input_tokens is not None:
        return usage
    tokens = [parsed.usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    own = [number if isinstance(number, int) else None for number in tokens]
    return replace(usage, input_tokens=own[0], output_tokens=own[1])


def payload_of(trial: Trial) -> Any:
    """The JSON value of a trial's reply; None where it holds none."""
    return read_payload(trial.reply or "").last(lambda value: isinstance(value, dict))
