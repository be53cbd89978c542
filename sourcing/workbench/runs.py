"""Runs: what a pack and model made of a set of items, kept as one JSON file each under `workbench/runs`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sourcing.errors import UsageError
from sourcing.nearest import nearest
from sourcing.store.schemas import Row
from sourcing.store.workspace import Workspace, write_json
from sourcing.workbench.items import Item
from sourcing.workbench.measures.gold import GoldDocument
from sourcing.workbench.measures.scores import Words, score
from sourcing.workbench.trials import Outcome, Trial, Usage

__all__ = [
    "RULES",
    "Run",
    "Subject",
    "Variant",
    "find_run",
    "list_runs",
    "make_run",
    "read_run",
    "runs_dir",
    "save_run",
    "subject",
    "words_of",
]

FORMAT = 1
#: The variant without a model: every sentence copied, and parted by the rules.
RULES = "rules alone"
_ID = "r{}"


@dataclass(frozen=True)
class Subject:
    """An item as a run's file and the page keep it: its source, what is known of it, and its digest."""

    name: str
    digest: str
    cluster: str
    source: str | None = None
    about: Row = field(default_factory=dict)  # title, artist, language, kind and what else a reader wants to see
    inputs: Row = field(default_factory=dict)  # of the prompt
    messages: list[Row] = field(default_factory=list)  # as sent


class Variant(NamedTuple):
    """What made a run: pack as id@version, its hash, the model as asked for, and the endpoint's name."""

    pack: str
    prompt_hash: str = ""
    model: str = ""
    endpoint: str = ""


@dataclass(frozen=True)
class Run:
    """One variant (pack version and model) over one set of items. `id` is empty until it is saved."""

    pack: str  # id@version
    prompt_hash: str
    model: str
    endpoint: str
    about: str  # cases, gold or tracks
    at: str
    subjects: list[Subject]
    trials: list[Trial]
    gold: dict[str, Row] = field(default_factory=dict)  # item → counts, findings
    id: str = ""

    @property
    def variant(self) -> str:
        return self.pack if self.pack == RULES else f"{self.pack}, {self.model}"

    @property
    def usd(self) -> float | None:
        known = [trial.usage.usd for trial in self.trials if trial.usage.usd is not None]
        return sum(known) if known else None


def subject(item: Item, messages: Sequence[Row] = ()) -> Subject:
    """What a run keeps of an item."""
    track, gold = item.track, item.gold
    given = item.inputs if item.gold is None and item.document and item.document["source"] == "case" else track
    about = {name: given[name] for name in ("title", "artist", "album") if given.get(name)}
    about |= {"language": item.language}
    if gold is not None:
        about |= {"kind": gold.kind, "manner": gold.manner}
    if item.document is not None and str(item.document["url"]).startswith("http"):
        about |= {"url": item.document["url"]}
    if item.judged is not None:
        about |= {"judged": ", ".join(item.judged["aspect_list"])}
    return Subject(item.name, item.digest, item.cluster, item.source, about, dict(item.inputs), list(messages))


def make_run(
    variant: Variant,
    about: str,
    subjects: Sequence[Subject],
    trials: Sequence[Trial],
    items: Sequence[Item],
    *,
    at: datetime,
) -> Run:
    """The run of these trials, scored where its items are gold documents."""
    golds = {item.name: item.gold for item in items if item.gold is not None}
    scores = {
        trial.name: _scored(golds[trial.name], trial) for trial in trials if trial.sample == 0 and trial.name in golds
    }
    return Run(*variant, about, at.isoformat(timespec="seconds"), list(subjects), list(trials), scores)


def _scored(document: GoldDocument, trial: Trial) -> Row:
    own = score(document, words_of(trial))
    return {
        "counts": dict(own.counts),
        "missed": own.missed,
        "denied": [aspect.text for aspect in own.aspects if aspect.denied],
        "ragged": {aspect.text: aspect.fault for aspect in own.aspects if aspect.fault},
        "right": [aspect.text for aspect in own.aspects if aspect.gold is not None],
    }


def words_of(trial: Trial) -> Words:
    """The words of a trial, as they are scored."""
    return Words([(aspect["text"], aspect["facet"]) for aspect in trial.aspects], trial.caption)


def runs_dir(workspace: Workspace) -> Path:
    return workspace.root / "workbench" / "runs"


def save_run(folder: Path, run: Run) -> Run:
    """Write a run under the next free id; returns it with its id."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((_number(path) for path in folder.glob("r*.json")), default=0)
    while True:
        path = folder / f"{_ID.format(number)}.json"
        try:
            path.open("x").close()  # two commands at once take two ids
        except FileExistsError:
            number += 1
            continue
        saved = replace(run, id=path.stem)
        write_json(path, {"format": FORMAT, **asdict(saved)})
        return saved


def read_run(path: Path) -> Run:
    """Read a run's file; UsageError for one that is damaged or of another format."""
    try:
        values = json.loads(path.read_bytes())
        if values.pop("format") != FORMAT:
            raise ValueError("another format")
        subjects = [Subject(**row) for row in values.pop("subjects")]
        trials = [
            Trial(**{**row, "usage": Usage(**row["usage"]), "outcome": Outcome(row["outcome"])})
            for row in values.pop("trials")
        ]
        return Run(subjects=subjects, trials=trials, **values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(str(path), f"it is no run of this program ({error})", "delete it and run again") from error


def list_runs(folder: Path) -> list[Run]:
    """All runs that can be read, oldest first."""
    runs = []
    for path in sorted(folder.glob("r*.json"), key=_number):
        if path.stat().st_size:  # else it is being written
            runs.append(read_run(path))
    return runs


def find_run(name: str, runs: Sequence[Run]) -> Run:
    """The run of this id, or the newest of a variant: PACK, PACK@VERSION, with `:MODEL`; UsageError where none is."""
    wanted, _, model = name.partition(":")
    for run in reversed(runs):
        same_pack = wanted in (run.id, run.pack, run.pack.partition("@")[0])
        if same_pack and (not model or run.model == model):
            return run
    known = list(dict.fromkeys(each for run in runs for each in (run.id, run.pack, run.pack.partition("@")[0])))
    cure = nearest(name, known, "`crossmusim prompts run PACK` makes one")
    raise UsageError(f"run {name}", f"there is none (there are {', '.join(known[-8:]) or 'none'})", cure)


def newest_variants(runs: Iterable[Run]) -> list[Run]:
    """The newest run of each pack version, model and set of items, oldest first."""
    newest: dict[tuple[str, ...], Run] = {}
    for run in runs:
        key = (run.pack, run.prompt_hash, run.model, run.about)
        newest.pop(key, None)
        newest[key] = run
    return list(newest.values())


def _number(path: Path) -> int:
    digits = path.stem[1:]
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0


def as_rows(run: Run) -> list[dict[str, Any]]:
    """A row per item: its name, outcome, aspects and caption, for `--json`."""
    return [
        {
            "name": trial.name, "sample": trial.sample, "outcome": trial.outcome, "aspects": trial.texts,
            "caption": trial.caption, "rejected": trial.reasons, "problems": trial.problems,
            "usage": asdict(trial.usage),
        }
        for trial in run.trials
    ]  # fmt: skip
