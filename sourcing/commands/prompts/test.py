"""`crossmusim prompts test`: cases held against recorded replies, or live."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.prompts.asked import ask, load_sound, make_askings, with_model_options
from sourcing.commands.prompts.packs import each_pack
from sourcing.errors import PromptError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sourcing.commands.invocation import Invocation
    from sourcing.generation.packs.cases import Case
    from sourcing.workbench.items import Item
    from sourcing.workbench.runs import Run
    from sourcing.workbench.trials import Trial

__all__ = ["test"]

Results = list[tuple[str, "Trial"]]


@click.command
@click.argument("pack_ids", metavar="[PACK]...", nargs=-1)
@click.option("--case", "case_names", multiple=True, metavar="NAME", help="Only this case; may be repeated.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the outcomes as JUnit XML, too.")
@click.option("--live", is_flag=True, help="Ask a model now, instead of the recordings; PACK may be PACK@VERSION.")
@with_model_options
@click.option("--judge-model", metavar="NAME", help="With --live: the model of `judged_by`; not the one it judges.")
@click.pass_obj
def test(
    invocation: Invocation,
    /,
    pack_ids: tuple[str, ...],
    case_names: tuple[str, ...],
    junit: Path | None,
    live: bool,
    judge_model: str | None,
    **options: Any,
) -> None:
    """Hold what becomes of each case's recorded reply against what the case expects; asks nobody, but with --live.

    A case whose recording answers another request than the pack sends now is STALE, one without is NEEDS RECORDING,
    one that expects nothing yet NEEDS REVIEW; none of them passes. A broken pack or case is an ERROR and stops no
    other. Exits with 3 on FAIL, STALE and ERROR.

    \b
    Example:
      crossmusim prompts test mine
      crossmusim prompts test --junit outcomes.xml
      crossmusim prompts test mine --live --endpoint local
    """
    results: Results = []
    live_flags = [name for name, value in {**options, "judge_model": judge_model}.items() if value]
    if live_flags and not live:
        flag = "--" + {"models": "model"}.get(live_flags[0], live_flags[0]).replace("_", "-")
        raise UsageError(flag, "recorded replies need no model", "add --live, or leave it out")
    for name, load in each_pack(invocation, pack_ids) if not live else [(name, None) for name in pack_ids]:
        try:
            if load is None:
                results += _live(invocation, name, case_names, judge_model, options)
            else:
                results += _replayed(load(), case_names)
        except PromptError as error:
            results.append((name, _broken(error)))
    if live and not pack_ids:
        raise UsageError("prompts test --live", "it names no pack", "name the packs to ask about")
    if case_names and not results:
        raise UsageError(f"--case {case_names[0]}", "no such case", "`crossmusim prompts list` names the packs")
    if junit is not None:
        from sourcing.workbench.junit import write_junit

        write_junit(junit, results)
    _report(invocation, results)


def _replayed(pack: Any, case_names: Sequence[str]) -> Results:
    from sourcing.generation.packs.cases import load_cases
    from sourcing.workbench.replay import replay, summed_up

    def outcome(case: Case) -> Trial:
        return summed_up(replay(pack, case), case.pass_at_least or case.samples)

    return [(pack.name, outcome(case)) for case in load_cases(pack) if not case_names or case.name in case_names]


def _live(
    invocation: Invocation, name: str, case_names: Sequence[str], judge_model: str | None, options: dict[str, Any]
) -> Results:
    from sourcing.commands.prompts.run import case_options, find_items
    from sourcing.workbench.replay import summed_up
    from sourcing.workbench.trials import Outcome

    pack = load_sound(invocation, name)
    about, items = find_items(invocation, pack, case_options(case_names))
    results: Results = []
    for asking in make_askings(invocation, pack, items, options):
        live_run = ask(invocation, asking, about)
        trials = _judged(invocation, items, live_run, judge_model, options) if judge_model else live_run.trials
        for item in items:
            own = [trial for trial in trials if trial.name == item.name]
            trial = summed_up(own, max(item.pass_at_least, 1))
            if item.expect.is_empty and trial.outcome is Outcome.PASS:
                trial = trial.with_problems(["its case expects nothing yet"], Outcome.NEEDS_REVIEW)
            results.append((live_run.variant, trial))
    return results


def _judged(
    invocation: Invocation, items: Sequence[Item], live_run: Run, judge_model: str, options: dict[str, Any]
) -> list[Trial]:
    """The trials of a run, those that wait for a judge's word by what it says now."""
    from sourcing.workbench.judging import items_for_judge, judge_key, settled

    if judge_model == live_run.model:
        raise UsageError(f"--judge-model {judge_model}", "it made what it would judge", "name another model")
    trials = live_run.trials
    for name in sorted({item.expect.judged_by for item in items if item.expect.judged_by}):
        judge = load_sound(invocation, name)
        waiting = items_for_judge(judge, items, trials)
        for asking in make_askings(invocation, judge, waiting, {**options, "models": (judge_model,)}):
            verdicts = {trial.name: trial for trial in ask(invocation, asking, "verdicts", keep=False).trials}
            trials = [
                settled(trial, verdicts[judge_key(trial)]) if judge_key(trial) in verdicts else trial for trial in trials
            ]
    return trials


def _broken(error: PromptError) -> Trial:
    from sourcing.workbench.trials import Outcome, Trial

    return Trial("(pack)").with_problems([f"{error.thing}: {error.found}; {error.cure}"], Outcome.ERROR)


def _report(invocation: Invocation, results: Results) -> None:
    from sourcing.workbench.trials import Outcome

    counts = Counter(result.outcome for _, result in results)
    lines = [line for name, result in results for line in _case_lines(name, result)] or ["no cases"]
    bad = [(name, each) for name, each in results if each.outcome in (Outcome.FAIL, Outcome.STALE, Outcome.ERROR)]
    answer = {
        "passed": counts[Outcome.PASS],
        "failed": len(bad),
        "outcomes": {str(outcome): n for outcome, n in counts.items()},
        "cases": [
            {**asdict(result), "pack": name, "aspects": result.texts, "rejected": result.reasons}
            for name, result in results
        ],
    }
    summary = ", ".join(f"{n} {outcome}" for outcome, n in counts.items())
    invocation.emit(answer, [*lines, summary] if len(results) > 1 else lines)
    if bad:
        name, first = bad[0]
        invocation.note(f"error: {len(bad)} of {len(results)} cases; first {name} {first.name}: {first.problems[0]}")
        sys.exit(PromptError.exit_code)


def _case_lines(name: str, trial: Trial) -> list[str]:
    """The outcome of a case; behind a failure, what came out and what was wrong with it."""
    lines = [f"{trial.outcome} {name} {trial.name}" + (f": {len(trial.aspects)} aspects" if not trial.problems else "")]
    lines += [f"  {problem}" for problem in trial.problems]
    if trial.outcome == "FAIL":
        lines += [
            f"  aspects: {', '.join(trial.texts) or 'none'}",
            f"  caption: {trial.caption or 'none'}",
            f"  rejected: {', '.join(trial.reasons) or 'nothing'}",
        ]
    return lines
