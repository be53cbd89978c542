"""`crossmusim prompts bench`: packs, or the rules alone, held against the gold documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.prompts.asked import ask, load_sound, make_askings, with_model_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from sourcing.commands.invocation import Invocation
    from sourcing.workbench.measures.gold import GoldDocument
    from sourcing.workbench.measures.scores import DocumentScore, Estimate
    from sourcing.workbench.runs import Run

__all__ = ["bench"]

_SHOWN = ("precision", "recall", "f1", "exact_f1", "facet", "ragged", "denied")

@click.command
@click.argument("pack_ids", metavar="[PACK]...", nargs=-1)
@click.option("--language", "languages", multiple=True, metavar="TAG", help="Only gold documents in it; repeatable.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind, as `review`; repeatable.")
@click.option(
    "--gold", "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Another gold set."
)
@click.option("--details", is_flag=True, help="Show each document: what was taken, what is wrong, what was missed.")
@with_model_options
@click.pass_obj
def bench(
    invocation: Invocation,
    /,
    pack_ids: tuple[str, ...],
    languages: tuple[str, ...],
    kinds: tuple[str, ...],
    folder: Path | None,
    details: bool,
    **options: Any,
) -> None:
    """Measure PACKs on the gold documents: precision, recall, facets, ragged and denied phrases, captions, cost.

    Without a PACK the rules are measured by themselves, as if a model had copied every sentence. An aspect is right
    when it is the same as a gold one, or one of them implies the other. Intervals are of 95 %, by resampling documents.
    Replies and findings are kept in the workspace under `workbench/`: nothing is paid twice, and `prompts report` shows
    each document with what was taken from it.

    \b
    Example:
      crossmusim prompts bench
      crossmusim prompts bench mine --endpoint local --language en --kind review
    """
    from sourcing.commands.generate.options import prompt_roots
    from sourcing.errors import UsageError
    from sourcing.nearest import nearest
    from sourcing.workbench.bench import as_dict, gold_folder
    from sourcing.workbench.items import items_of_gold
    from sourcing.workbench.measures.gold import KINDS, load_gold
    from sourcing.workbench.measures.scores import score
    from sourcing.workbench.runs import words_of

    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--kind {kind}", f"the kinds are {', '.join(KINDS)}", nearest(kind, KINDS, "name one"))
    documents = [
        document
        for document in load_gold(folder or gold_folder(prompt_roots(invocation)), languages)
        if not kinds or document.kind in kinds
    ]
    runs = [_by_rules(invocation, documents)] if not pack_ids else []
    for pack_id in pack_ids:
        pack = load_sound(invocation, pack_id)
        for asking in make_askings(invocation, pack, items_of_gold(pack, documents), options):
            runs.append(ask(invocation, asking, "gold"))
    lines: list[Any] = []
    variants: dict[str, Any] = {}
    for run in runs:
        first = {trial.name: words_of(trial) for trial in run.trials if trial.sample == 0}
        scores = [score(document, first[document.id]) for document in documents]
        lines += [run.variant, _table(scores), *(_details(scores) if details else ())]
        variants[run.variant] = {**as_dict(scores, run.usd or 0.0), "run": run.id}
    lines.append(f"next: crossmusim prompts report {' '.join(run.id for run in runs)}")
    invocation.emit({"variants": variants}, lines)


def _by_rules(invocation: Invocation, documents: Sequence[GoldDocument]) -> Run:
    from datetime import UTC, datetime

    from sourcing.workbench.items import item_of_gold
    from sourcing.workbench.runs import RULES, Variant, make_run, runs_dir, save_run, subject
    from sourcing.workbench.trials import trial_by_rules

    trials = []
    with invocation.progress("reading gold documents by rules", len(documents)) as advance:
        for document in documents:
            trials.append(trial_by_rules(document))
            advance()
    items = [item_of_gold(document) for document in documents]
    run = make_run(Variant(RULES), "gold", [subject(item) for item in items], trials, items, at=datetime.now(UTC))
    return save_run(runs_dir(invocation.workspace), run)


def _table(scores: Sequence[DocumentScore]) -> Table:
    from sourcing.commands.console import number_table
    from sourcing.workbench.bench import grouped
    from sourcing.workbench.measures.scores import MEASURES, estimates

    def row(name: str, own: Sequence[DocumentScore]) -> list[str]:
        figures = estimates(own)
        return [name, str(len(own)), *(_share(figures[key].value) for key in _SHOWN)]

    whole = estimates(scores)
    spans = [_span(whole[key]) for key in _SHOWN]
    rows = [row("all", scores), ["95 %", "", *spans]]
    rows += [row(value, own) for values in grouped(scores).values() for value, own in values.items()]
    return number_table(["", "n", *(MEASURES[key].title for key in _SHOWN)], rows)


def _span(figure: Estimate) -> str:
    return "" if figure.low is None or figure.high is None else f"{100 * figure.low:.0f}-{100 * figure.high:.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _details(scores: Sequence[DocumentScore]) -> list[str]:
    lines = []
    for each in scores:
        lines.append(f"{each.document.id} ({each.document.manner})")
        for aspect in each.aspects:
            verdict = "same" if aspect.exact else "says" if aspect.gold else "denied" if aspect.denied else "not gold"
            notes = [verdict, aspect.facet, *filter(None, [aspect.fault and f"ragged: {aspect.fault}"])]
            lines.append(f"  {aspect.text} ({', '.join(notes)})")
        lines += [f"  missed: {text}" for text in each.missed]
    return lines
