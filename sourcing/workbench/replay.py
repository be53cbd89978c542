"""Replay: cases held against their recorded replies, offline, and what several samples of a case come to."""

from __future__ import annotations

from collections.abc import Sequence

from sourcing.errors import PromptError
from sourcing.generation.packs.cases import Case, Expect, golden_path
from sourcing.generation.packs.judges import is_judge
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.recordings import recording_state
from sourcing.generation.packs.render import render
from sourcing.workbench.encoder import similarity
from sourcing.workbench.expectations import problems_of
from sourcing.workbench.items import Item, items_of_cases
from sourcing.workbench.trials import Outcome, Trial, Usage, make_trial

__all__ = ["check", "replay", "run_case", "summed_up"]


def replay(pack: Pack, case: Case) -> list[Trial]:
    """The trials of a case's recorded samples; never raises for a broken case or recording.

    A recording of another request than the case sends now is STALE, a missing one is NEEDS RECORDING.
    """
    trials = []
    for sample in range(case.samples):
        try:
            trials.append(_replay_sample(pack, case, sample))
        except PromptError as error:
            problem = f"{error.thing}: {error.found}; {error.cure}"
            trials.append(Trial(case.name, sample).with_problems([problem], Outcome.ERROR))
    return trials


def _replay_sample(pack: Pack, case: Case, sample: int) -> Trial:
    trial = Trial(case.name, sample)
    state = recording_state(pack, case, sample)
    if state == "missing":
        todo = f"`crossmusim prompts record {pack.id} --case {case.name}` asks a model for it"
        return trial.with_problems([todo], Outcome.NEEDS_RECORDING)
    if state == "stale":
        stale = "its recording answers another request: template, inputs, schema or sampling have changed since"
        return trial.with_problems([stale], Outcome.STALE)
    return run_case(pack, case, sample)


def run_case(pack: Pack, case: Case, sample: int = 0) -> Trial:
    """Replay a case's recorded reply through grounding and description, or through judging for a judge's pack.

    PromptError when the messages do not render, the recorded reply is missing, or a judge's case has no aspects.
    """
    render(pack, case.inputs)
    (item,) = items_of_cases(pack, [case])
    raw = golden_path(pack, case, sample).read_bytes()
    trial = make_trial(pack, item, raw, sample=sample, request_key=case.name, usage=Usage())
    return check(pack, item, trial)


def check(pack: Pack, item: Item, trial: Trial) -> Trial:
    """The trial with what it lacks of its item's expectations, and its outcome."""
    if trial.outcome is Outcome.ERROR:
        return trial
    expect: Expect = item.expect
    try:
        problems = problems_of(expect, trial, pack, similarity=similarity)
    except PromptError as error:  # no encoder, or a schema that is none
        return trial.with_problems([f"{error.thing}: {error.found}; {error.cure}"], Outcome.ERROR)
    if expect.is_empty:
        nothing = "its case expects nothing yet; `crossmusim prompts accept` makes it expect what came out"
        return trial.with_problems([nothing], Outcome.NEEDS_REVIEW)
    if not problems and expect.judged_by is not None and not is_judge(pack):
        waiting = f"{expect.judged_by} has not judged it; --live with --judge-model asks it"
        return trial.with_problems([waiting], Outcome.NEEDS_REVIEW)
    return trial.with_problems(problems, Outcome.FAIL if problems else Outcome.PASS)


_WORST = (Outcome.ERROR, Outcome.STALE, Outcome.NEEDS_RECORDING, Outcome.FAIL, Outcome.NEEDS_REVIEW, Outcome.PASS)


def summed_up(trials: Sequence[Trial], pass_at_least: int) -> Trial:
    """One trial for all samples of a case: it passes when enough of them do, else it is the worst of them."""
    passed = sum(trial.outcome is Outcome.PASS for trial in trials)
    if len(trials) == 1:
        return trials[0]
    tried = not any(trial.outcome in _WORST[:3] for trial in trials)
    if tried and passed >= pass_at_least:
        return next(trial for trial in trials if trial.outcome is Outcome.PASS).with_problems([], Outcome.PASS)
    worst = min(trials, key=lambda trial: _WORST.index(trial.outcome))
    count = f"{passed} of {len(trials)} samples pass, at least {pass_at_least} must"
    return worst.with_problems([count, *worst.problems], worst.outcome)
