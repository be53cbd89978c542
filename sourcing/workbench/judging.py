"""Judging: a judge's pack asked about trials whose cases want its word, and what its verdicts make of them."""

from __future__ import annotations

from collections.abc import Sequence

from sourcing.generation.packs.cases import Case
from sourcing.generation.packs.pack import Pack
from sourcing.workbench.items import Item, items_of_cases
from sourcing.workbench.trials import Outcome, Trial

__all__ = ["items_for_judge", "judge_key", "settled"]


def items_for_judge(judge: Pack, items: Sequence[Item], trials: Sequence[Trial]) -> list[Item]:
    """One item of a judge's pack for each trial that waits for its word; see `judge_key` for their names.

    The judge is given the title, artist and document as the describing prompt was, and what came out.
    """
    by_name = {item.name: item for item in items}
    cases = []
    for trial in trials:
        item = by_name[trial.name]
        if trial.outcome is Outcome.NEEDS_REVIEW and item.expect.judged_by == judge.id and trial.aspects:
            given = {**item.track, **item.inputs, "aspects": trial.texts, "caption": trial.caption or ""}
            inputs = {name: given[name] for name in judge.inputs if given.get(name) is not None}
            cases.append(Case(name=judge_key(trial), inputs=inputs))
    return items_of_cases(judge, cases)


def judge_key(trial: Trial) -> str:
    """The name by which a judge's item refers to a trial."""
    return f"{trial.name} [{trial.sample}]"


def settled(trial: Trial, verdict: Trial) -> Trial:
    """The trial by a judge's verdict: it fails where an aspect or the caption was denied.

    A verdict that could not be had, or is void, leaves it waiting for review.
    """
    if verdict.outcome is Outcome.ERROR or not (verdict.aspects or verdict.rejected):
        return trial.with_problems([f"its judge gave no verdict: {'; '.join(verdict.problems)}"], trial.outcome)
    left = set(verdict.texts)
    denied = [f"the judge denies {text!r}" for text in trial.texts if text not in left]
    if trial.caption and verdict.caption is None:
        denied.append("the judge denies the caption")
    return trial.with_problems(denied, Outcome.FAIL if denied else Outcome.PASS)
