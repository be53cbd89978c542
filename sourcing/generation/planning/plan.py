"""Plan: the calls of a pack on the targets of a scope, each with request key and body, rendered lazily.

A million calls are planned, journalled and sent a few at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sourcing.errors import PromptError
from sourcing.generation.calls import PlannedCall
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.packs.judges import is_author, is_judge
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.render import render
from sourcing.generation.planning.decoys import is_decoy
from sourcing.generation.planning.request_maker import RequestMaker
from sourcing.generation.planning.targets import (
    CAPTION_LANGUAGE,
    Scope,
    Tables,
    Target,
    count_targets,
    find_targets,
)

__all__ = [
    "CAPTION_LANGUAGE",
    "DOCUMENT_CHARS",
    "Plan",
    "Scope",
    "Step",
    "Tables",
    "count_calls",
    "cut_document",
    "languages_of",
    "plan_calls",
    "plan_steps",
    "target_inputs",
]

#: Characters of a document a prompt may hold, about 500 tokens; cut at the last sentence that ends within.
DOCUMENT_CHARS = 2000

_MAX_INPUT_CHARS = 50_000  # of a track's own words; no prompt has room for more
_SENTENCE_END = re.compile(r"[.!?…](?=[\"'”’)\]]?\s)|[。！？]|\n\n")
_MAY_LACK = ("year",)
_WHOLE = Scope()


@dataclass(frozen=True)
class Step:
    """Calls of one target, or the rejected row of a target not asked about; `position` counts targets from 1."""

    position: int
    calls: tuple[PlannedCall, ...]
    rejected: dict[str, Any] | None = None


@dataclass(frozen=True)
class Plan:
    """Calls sorted by track, document and sample, and rejected rows for targets without a call."""

    calls: tuple[PlannedCall, ...]
    rejected: tuple[dict[str, Any], ...] = field(default=())


def plan_calls(pack: Pack, endpoint: Endpoint, tables: Tables, scope: Scope = _WHOLE) -> Plan:
    """Plan all calls at once, for small catalogues; PromptError as from `plan_steps`."""
    steps = list(plan_steps(pack, endpoint, tables, scope))
    calls = sorted((call for step in steps for call in step.calls), key=_order)
    return Plan(tuple(calls), tuple(step.rejected for step in steps if step.rejected is not None))


def _order(call: PlannedCall) -> tuple[str, str, str, int]:
    return call.track_id, call.doc_id or "", call.language, call.sample_idx


def plan_steps(
    pack: Pack, endpoint: Endpoint, tables: Tables, scope: Scope = _WHOLE, *, start: int = 0
) -> Iterator[Step]:
    """Yield one step per target of `pack`: per model-made description for a judge, else per accepted match when the
    pack reads a document, else per track.

    PromptError, with file and line, from the first target whose messages do not render.

    Equal arguments give equal steps; `start` skips the first `start` targets. A target without a required input
    (input_missing) or with over 50,000 characters of title, artist, album and tags (input_too_long), and a description
    by the judge's own model (judge_is_author), gives a rejected row.
    """
    maker = RequestMaker(pack, endpoint)
    calls_left = scope.limit
    for position, target in enumerate(find_targets(pack, tables, scope), start=1):
        decoy = is_decoy(target.track["track_id"])
        if calls_left is not None and calls_left <= 0:
            return
        sample_slots = [
            (language, idx) for language in languages_of(pack, target, scope) for idx in range(pack.samples)
        ]
        sample_slots, refusal = sample_slots[: None if decoy else calls_left], _refusal(pack, endpoint, target)
        if calls_left is not None and refusal is None and not decoy:
            calls_left -= len(sample_slots)
        if position <= start:
            continue
        if refusal is not None:
            reason, finding = refusal
            yield Step(position, (), {"stage": "generate", "key": target.key, "reason": reason, "finding": finding})
        else:
            yield Step(position, tuple(_calls_of(pack, endpoint, maker, target, sample_slots)))


def count_calls(pack: Pack, tables: Tables, scope: Scope) -> int:
    """Upper bound on the calls of a plan, computed without rendering."""
    per_target = pack.samples * (len(scope.languages) if "language" in pack.inputs and not is_judge(pack) else 1)
    targets, decoys = count_targets(pack, tables, scope)
    most = targets * per_target
    return decoys * per_target + (most if scope.limit is None else min(most, scope.limit))


def cut_document(text: str, budget: int = DOCUMENT_CHARS) -> str:
    """Cut `text` to at most `budget` characters, at the end of a sentence past a quarter of them, else of a word."""
    text = text.strip()
    if len(text) <= budget:
        return text
    window = text[: budget + 1]
    ends = [match.end() for match in _SENTENCE_END.finditer(window) if match.end() <= budget]
    if ends and ends[-1] >= budget // 4:
        return window[: ends[-1]].rstrip()
    return window[:budget].rsplit(None, 1)[0].rstrip()


def languages_of(pack: Pack, target: Target, scope: Scope) -> Sequence[str]:
    """Languages of a target's calls: of the judged description, of the scope, or of the document (default English)."""
    if target.description is not None:
        return [target.description["language"]]
    if "language" in pack.inputs:
        return scope.languages
    return [(target.document or {}).get("language") or CAPTION_LANGUAGE]


def _refusal(pack: Pack, endpoint: Endpoint, target: Target) -> tuple[str, str] | None:
    """Reason and finding for a target not asked about, else None; a missing album or list of tags counts as empty."""
    for name in _MAY_LACK:
        if name in pack.inputs and pack.inputs[name].required and target.track[name] is None:
            return "input_missing", f"the track has no {name}, which {pack.name} requires"
    track, document = target.track, target.document or {}
    own = [track["title"], track["artist"], track["album"], document.get("title"), *(track["tags"] or ())]
    if sum(map(len, filter(None, own))) > _MAX_INPUT_CHARS:
        return "input_too_long", f"title, artist, album and tags have more than {_MAX_INPUT_CHARS:,} characters"
    if target.description is None:
        return None
    if target.document is None and "document" in pack.inputs and pack.inputs["document"].required:
        return "input_missing", f"the description draws on no document, which {pack.name} requires"
    if is_author(endpoint.model, target.description["model"]):
        return "judge_is_author", f"{endpoint.model} made this description, and may not judge it"
    return None


def _calls_of(
    pack: Pack,
    endpoint: Endpoint,
    maker: RequestMaker,
    target: Target,
    sample_slots: Iterable[tuple[str, int]],
) -> Iterator[PlannedCall]:
    messages_of: dict[str, list[dict[str, str]]] = {}
    for language, sample_idx in sample_slots:
        if language not in messages_of:
            try:
                messages_of[language] = render(pack, target_inputs(pack, target, language))
            except PromptError as error:
                finding = f"{error.found}, asked about track {target.track['track_id']}"
                raise PromptError(error.thing, finding, error.cure) from error
        request_key, body = maker.make(messages_of[language], sample_idx)
        yield PlannedCall(
            request_key=request_key,
            prompt_id=pack.id,
            prompt_version=pack.version,
            prompt_hash=pack.prompt_hash,
            track_id=str(target.track["track_id"]),
            doc_id=target.doc_id,
            sample_idx=sample_idx,
            language=language,
            model=endpoint.model,
            body=body,
        )


def target_inputs(pack: Pack, target: Target, language: str) -> dict[str, Any]:
    """Values of the pack's inputs for a target; a document is cut to DOCUMENT_CHARS."""
    track, document, description = target.track, target.document or {}, target.description or {}
    values = {
        "title": track["title"],
        "artist": track["artist"],
        "album": track["album"] or "",
        "year": track["year"],
        "tags": list(track["tags"] or []),
        "language": language,
        "document": cut_document(document.get("text") or "") if "document" in pack.inputs else "",
        "document_title": document.get("title") or "",
        "aspects": description.get("aspect_list"),
        "caption": description.get("caption") or "",
    }
    return {name: values[name] for name in pack.inputs if name in values}
