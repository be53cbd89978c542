"""Reviews: what a person decided about trials, and how an accepted one becomes a golden reply or a new case.

Decisions come as the page exports them: `{"format": 1, "decisions": [{"run", "item", "sample", "decision", "note"}]}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from sourcing.errors import InputError, PromptError, UsageError
from sourcing.generation.journal.journal import Journal
from sourcing.generation.packs.cases import CASES_FILE, Case, load_cases
from sourcing.generation.packs.pack import Pack, Strict
from sourcing.generation.packs.pack_files import built_in_packs, read_pack_file
from sourcing.generation.packs.recordings import write_recording
from sourcing.store.schemas import Row
from sourcing.store.workspace import Workspace, atomic_path
from sourcing.workbench.expectations import supported_share
from sourcing.workbench.runs import Run, Subject, find_run
from sourcing.workbench.trials import Outcome, Trial

__all__ = ["Decision", "accept", "read_decisions"]

MAX_BYTES = 5_000_000
_REVIEWS = "reviews.jsonl"
_NOT_NAME = re.compile(r"[^a-z0-9]+")


class Decision(Strict):
    """What a person decided about one trial of a run."""

    run: str = Field(min_length=1, max_length=200)
    item: str = Field(min_length=1, max_length=2000)
    sample: int = Field(0, ge=0)
    decision: Literal["accept", "reject"]
    note: str = Field("", max_length=10_000)


class _Decisions(Strict):
    format: Literal[1]
    decisions: list[Decision]


@dataclass(frozen=True)
class Change:
    """What became of a decision, in words, and the name of the case that an accepted trial is now in."""

    decision: Decision
    case: str | None
    what: str


def read_decisions(raw: bytes, thing: str) -> list[Decision]:
    """Read decisions as the page exports them; InputError names the first entry that does not fit."""
    try:
        if len(raw) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES:,} bytes")
        return _Decisions.model_validate(json.loads(raw)).decisions
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(thing, f"{where}: {first['msg'].lower()}", "export it from the page anew") from error
    except (ValueError, RecursionError) as error:
        raise InputError(thing, f"these are no decisions ({error})", "export them from the page") from error


def accept(
    decisions: Sequence[Decision],
    workspace: Workspace,
    runs: Sequence[Run],
    find_pack: Callable[[str], Pack],
    *,
    at: datetime,
) -> list[Change]:
    """Put accepted trials into their packs, and write every decision down in the workspace's reviews.

    A case's trial becomes its golden reply, and what came out its expectation where it had none; a trial on a gold
    document or a track becomes a new case. All decisions are looked at before anything is written: InputError or
    PromptError where one of them cannot be kept.
    """
    looked_up = [(each, *_trial_of(each, runs)) for each in decisions]
    packs = {run.pack: _pack_of(run, find_pack) for each, run, _, _ in looked_up if each.decision == "accept"}
    with Journal.read(workspace.root / "workbench" / "generation") as journal:
        replies = {
            trial.request_key: _reply(journal, trial) for each, _, _, trial in looked_up if each.decision == "accept"
        }
    changes = []
    for each, run, subject, trial in looked_up:
        if each.decision == "reject":
            changes.append(Change(each, None, f"{each.item}: rejected, as noted"))
            continue
        changes.append(_keep(each, packs[run.pack], run, subject, trial, replies[trial.request_key], at))
    path = workspace.root / "workbench" / _REVIEWS
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for change in changes:
            row = {**change.decision.model_dump(), "case": change.case, "at": at.isoformat(timespec="seconds")}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return changes


def _trial_of(decision: Decision, runs: Sequence[Run]) -> tuple[Run, Subject, Trial]:
    thing = f"decision on {decision.item!r}"
    try:
        run = find_run(decision.run, runs)
    except UsageError as error:
        raise InputError(thing, f"there is no run {decision.run}", "decide on runs of this workspace") from error
    trials = [each for each in run.trials if (each.name, each.sample) == (decision.item, decision.sample)]
    if not trials:
        raise InputError(thing, f"{run.id} has no such item", "decide on items of that run")
    if decision.decision == "accept" and trials[0].outcome is Outcome.ERROR:
        raise InputError(thing, "it was not answered, so there is nothing to accept", "run it again first")
    return run, next(each for each in run.subjects if each.name == decision.item), trials[0]


def _pack_of(run: Run, find_pack: Callable[[str], Pack]) -> Pack:
    """The pack that a run's accepted trials go into: it must send what it sent then, and lie in the user's."""
    pack_id = run.pack.partition("@")[0]
    pack = find_pack(pack_id)
    if pack.prompt_hash != run.prompt_hash:
        cure = f"run it again: `crossmusim prompts run {pack_id}`"
        raise PromptError(f"run {run.id}", f"it answered another prompt than {pack.name} is now", cure)
    installed = built_in_packs()
    if pack.folder.parent == installed and installed.parts[-2:] == ("crossmusim", "prompts"):
        finding = "it came with the program, and its folder is not yours"
        raise PromptError(f"prompt pack {pack.name}", finding, f"`crossmusim prompts copy {pack_id}`, and run the copy")
    return pack


def _reply(journal: Journal, trial: Trial) -> bytes:
    answer = journal.reader.answer(trial.request_key)
    if answer is None or answer.raw is None:
        raise InputError(f"item {trial.name!r}", "its reply is no longer in the workbench's journal", "run it again")
    return answer.raw


def _keep(
    decision: Decision, pack: Pack, run: Run, subject: Subject, trial: Trial, reply: bytes, at: datetime
) -> Change:
    cases = {case.name: case for case in load_cases(pack)}
    if run.about == "cases" and decision.item in cases:
        case, what = cases[decision.item], f"{decision.item}: its reply is the golden one now"
        if case.expect.is_empty:
            _edit(pack, case, {"expect": _expected(trial)})
            what += ", and what came out is what it expects"
    else:
        case = _new_case(decision, subject, trial, set(cases))
        _append(pack, case)
        case = next(each for each in load_cases(pack) if each.name == case.name)
        what = f"{decision.item}: a new case {case.name}"
    write_recording(
        pack, case, reply, model=trial.model or run.model, at=at, sample=min(trial.sample, case.samples - 1)
    )
    return Change(decision, case.name, what)


def _expected(trial: Trial) -> Row:
    """An expectation that a trial meets, and a worse one would not."""
    share = supported_share(trial)
    expected: Row = {"aspects_include": trial.texts, "caption": trial.caption is not None}
    if not trial.aspects:
        expected = {"max_aspects": 0, "caption": trial.caption is not None}
    return {**expected, **({"min_supported": int(share * 20) / 20} if share else {})}


def _new_case(decision: Decision, subject: Subject, trial: Trial, names: set[str]) -> Case:
    stem = _NOT_NAME.sub("_", decision.item.lower()).strip("_")[:60] or "case"
    name = next(each for each in [stem, *(f"{stem}_{n}" for n in range(2, 10_000))] if each not in names)
    return Case.model_validate(
        {"name": name, "inputs": subject.inputs, "expect": _expected(trial), "note": decision.note}
    )


def _append(pack: Pack, case: Case) -> None:
    """Add a case at the end of a pack's file, which else stays as it is, comments and all."""
    path = pack.folder / CASES_FILE
    text = read_pack_file(path) if path.exists() else ""
    row = case.model_dump(exclude_unset=True, exclude_defaults=True)
    entry = _as_yaml([row])
    with atomic_path(path) as temporary:
        temporary.write_text(text + ("\n" if text and not text.endswith("\n") else "") + entry, encoding="utf-8")


def _edit(pack: Pack, case: Case, values: Row) -> None:
    """Give a case of a pack's file these values; every other line stays as it is."""
    path = pack.folder / CASES_FILE
    text = read_pack_file(path)
    tree = yaml.compose(text, yaml.SafeLoader)
    for entry in tree.value if tree is not None else ():
        keys = {key.value: (key, value) for key, value in entry.value}
        if keys["name"][1].value == case.name:
            break
    else:
        raise PromptError(str(path), f"case {case.name!r} is no longer in it", "run it again")
    lines = text.split("\n")
    indent = " " * keys["name"][0].start_mark.column
    block = [indent + line for line in _as_yaml(values).rstrip("\n").split("\n")]
    if entry.flow_style:
        raise PromptError(str(path), f"case {case.name!r} is written on one line", "write it as lines of its own")
    (last_key, last_value) = entry.value[-1]
    end = _last_line(last_key, last_value, lines)
    for name in values:
        if name in keys:
            key, value = keys[name]
            first, last = key.start_mark.line, _last_line(key, value, lines)
            if key.start_mark.column != len(indent):  # it shares the line of the dash
                raise PromptError(str(path), f"{name} of case {case.name!r} comes first", "put its name first")
            del lines[first : last + 1]
            end -= last + 1 - first if first <= end else 0
    lines[end + 1 : end + 1] = block
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _last_line(key: yaml.Node, value: yaml.Node, lines: Sequence[str]) -> int:
    """The last line that a key and its value stand on, without blank lines and comments behind them."""
    last = value.end_mark.line - (value.end_mark.column == 0 and value.end_mark.line > key.start_mark.line)
    while last > key.start_mark.line and (not lines[last].strip() or lines[last].lstrip().startswith("#")):
        last -= 1
    return int(last)


def _as_yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=110))
