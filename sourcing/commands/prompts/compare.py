"""`crossmusim prompts compare`: two versions, models or runs, paired item by item."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.prompts.asked import ask, load_sound, make_askings, with_model_options
from sourcing.commands.prompts.run import find_items, item_options
from sourcing.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sourcing.commands.invocation import Invocation
    from sourcing.workbench.asking import Asking
    from sourcing.workbench.compare import Comparison, Difference
    from sourcing.workbench.runs import Run

__all__ = ["compare"]


@click.command
@click.argument("a")
@click.argument("b")
@item_options
@with_model_options
@click.option("--dry-run", is_flag=True, help="Say what could be shown and what it may cost; send nothing.")
@click.pass_obj
def compare(invocation: Invocation, /, a: str, b: str, dry_run: bool, **options: Any) -> None:
    """Compare A and B on the items both were asked about: differences with 95 % intervals, wins, losses, what flipped.

    A and B are runs (`r3`), or packs (`mine`, `mine@1.0.0`, `mine:MODEL`) that stand for their newest run. With a model
    (--endpoint, --base-url, --model) packs are asked first, on their cases, --gold or --tracks N; before anything is
    sent, the smallest difference so many items can show is told, and what more would cost.

    \b
    Example:
      crossmusim prompts compare r1 r2
      crossmusim prompts compare mine@1.0.0 mine --gold --endpoint local
      crossmusim prompts compare mine mine --model A --model B --base-url https://host/v1 --max-usd 2
    """
    from sourcing.workbench.compare import compare as compare_runs
    from sourcing.workbench.runs import find_run, list_runs, runs_dir

    asks = options["endpoint"] or options["base_url"] or options["models"]
    runs = list_runs(runs_dir(invocation.workspace))
    if asks:
        askings, about = _askings(invocation, (a, b), options)
        lines = _power_lines(askings, runs)
        if dry_run:
            invocation.emit({"plan": lines}, lines)
            return
        for line in lines:
            invocation.note(line)
        pair = [ask(invocation, asking, about) for asking in askings]
    elif dry_run:
        raise UsageError("--dry-run", "runs that exist cost nothing", "name a model, or leave it out")
    else:
        pair = [find_run(name, runs) for name in (a, b)]
    comparison = compare_runs(*pair)
    invocation.emit(_record(comparison), _lines(comparison))


def _askings(invocation: Invocation, names: Sequence[str], options: dict[str, Any]) -> tuple[list[Asking], str]:
    """One asking for A and one for B; with two models, the first is A's and the second B's."""
    models = options["models"]
    if len(models) > 2:
        raise UsageError("--model", f"{len(models)} models for two sides", "name one for both, or one for each")
    askings: list[Asking] = []
    about = "cases"
    for place, name in enumerate(names):
        pack = load_sound(invocation, name)
        about, items = find_items(invocation, pack, options)
        own = {**options, "models": models[place : place + 1] if len(models) == 2 else models}
        askings += make_askings(invocation, pack, items, own)
    return askings, about


def _power_lines(askings: Sequence[Asking], runs: Sequence[Run]) -> list[str]:
    """What this many items can show, and what four times as many would cost, which halves it."""
    from sourcing.commands.prompts.asked import plan_line
    from sourcing.workbench.compare import past_deviation, smallest_difference

    items = askings[0].items
    clusters = len({item.cluster or item.name for item in items})
    deviation = past_deviation(runs, askings[0].pack.id)
    basis = "going by runs of this pack" if deviation is not None else "taking a quarter of them to change"
    forecasts = [asking.forecast() for asking in askings]
    lines = [plan_line(asking, forecast) for asking, forecast in zip(askings, forecasts, strict=True)]
    lines.append(
        f"{len(items)} items in {clusters} clusters show a difference of {smallest_difference(clusters, deviation):.3f}"
        f" in the share of supported quotes (80 % power, 5 % level, {basis})"
    )
    calls = sum(forecast.planned for forecast in forecasts)
    costs = [forecast.estimate.worst_nusd for forecast in forecasts]
    each = [cost / 1e9 for cost in costs if cost is not None]
    more = f"{3 * calls} more calls" + (f", {3 * sum(each):.4f} USD at worst" if any(each) else "")
    lines.append(f"half of that takes four times as many items: {more}")
    return lines


def _record(comparison: Comparison) -> dict[str, Any]:
    return {
        "a": {"run": comparison.a.id, "variant": comparison.a.variant},
        "b": {"run": comparison.b.id, "variant": comparison.b.variant},
        "measures": {key: {**asdict(each), "sure": each.is_sure} for key, each in comparison.differences.items()},
        "usd_per_caption": {name: _usd_per_caption(run) for name, run in _sides(comparison).items()},
        "rejections": {reason: list(counts) for reason, counts in comparison.reasons.items()},
        "flipped": [{"name": name, "a": old, "b": new} for name, old, new in comparison.flipped],
        "unpaired": comparison.unpaired,
    }


def _sides(comparison: Comparison) -> dict[str, Run]:
    return {"a": comparison.a, "b": comparison.b}


def _usd_per_caption(run: Run) -> float | None:
    captions = sum(trial.caption is not None for trial in run.trials)
    return run.usd / captions if run.usd is not None and captions else None


def _lines(comparison: Comparison) -> list[Any]:
    from sourcing.commands.console import number_table
    from sourcing.workbench.compare import MEASURES

    a, b = comparison.a, comparison.b
    rows = []
    for key, each in comparison.differences.items():
        if key == "usd" and not (each.a or each.b):
            continue
        form = MEASURES[key].form
        span = "-" if each.low is None or each.high is None else f"{each.low:+{form}} to {each.high:+{form}}"
        numbers = [f"{each.a:{form}}", f"{each.b:{form}}", f"{each.value:+{form}}", span]
        rows.append([MEASURES[key].title, str(each.items), *numbers, _verdict(key, each), _counts(key, each)])
    lines: list[Any] = [f"A {a.id} {a.variant}", f"B {b.id} {b.variant}"]
    columns = ["", "n", "A", "B", "B - A", "95 %", "verdict", "w-l-t"]
    lines.append(number_table(columns, rows))
    for name, run in _sides(comparison).items():
        cost = _usd_per_caption(run)
        if cost:
            lines.append(f"{name.upper()}: {cost:.6f} USD for each caption kept")
    if comparison.reasons:
        lines.append(number_table(["rejected as", "A", "B"], [[r, *map(str, n)] for r, n in comparison.reasons.items()]))
    for name, old, new in comparison.flipped:
        lines.append(f"{name}: {old} -> {new}")
        for letter, run in _sides(comparison).items():
            trial = next(each for each in run.trials if each.name == name)
            lines.append(f"  {letter.upper()}: {', '.join(trial.texts) or 'no aspects'} | {trial.caption or 'no caption'}")
    if comparison.unpaired:
        lines.append(f"left out, as only one side was asked the same: {len(comparison.unpaired)} items")
    return lines


def _verdict(key: str, each: Difference) -> str:
    from sourcing.workbench.compare import MEASURES

    better = MEASURES[key].better
    if not each.is_sure or not better:
        return "" if not each.is_sure else "differs"
    return "B better" if each.value * better > 0 else "A better"


def _counts(key: str, each: Difference) -> str:
    from sourcing.workbench.compare import MEASURES

    return f"{each.wins}-{each.losses}-{each.ties}" if MEASURES[key].better else ""
