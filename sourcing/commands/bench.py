"""`crossmusim prompts bench`: packs, or the rules alone, held against the gold documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from sourcing.commands.invocation import Invocation
    from sourcing.workbench.gold import GoldDocument
    from sourcing.workbench.scores import DocumentScore, Estimate

__all__ = ["bench"]

RULES = "rules alone"
_SHOWN = ("precision", "recall", "f1", "exact_f1", "facet", "ragged", "denied")
_UNSET: dict[str, Any] = {
    "limit": None, "track_ids": (), "languages": (), "samples": None, "shard": None, "dialect": None, "workers": None,
    "on_unknown": "hold",
}  # fmt: skip


@click.command
@click.argument("pack_ids", metavar="[PACK]...", nargs=-1)
@click.option("--language", "languages", multiple=True, metavar="TAG", help="Only gold documents in it; repeatable.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind, as `review`; repeatable.")
@click.option(
    "--gold", "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Another gold set."
)
@click.option("--details", is_flag=True, help="Show each document: what was taken, what is wrong, what was missed.")
@click.option("--endpoint", type=click.Choice(["local"]), help="`local`: the embedded model, offline.")
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server, e.g. http://host:8000/v1.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="The model; several are asked in turn.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Calls in flight, at most.")
@click.option("--max-usd", metavar="USD", help="What this pack version may cost here, all its benches together.")
@click.option("--max-calls", type=click.IntRange(min=1), help="Requests it may make here.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Tokens it may use here.")
@click.option("--price", metavar="IN,OUT", help="USD per million tokens in and out, or 0 for a free server.")
@click.pass_obj
def bench(
    invocation: Invocation,
    /,
    pack_ids: tuple[str, ...],
    languages: tuple[str, ...],
    kinds: tuple[str, ...],
    folder: Path | None,
    details: bool,
    **call_options: Any,
) -> None:
    """Measure PACKs on the gold documents: precision, recall, facets, ragged and denied phrases, captions, cost.

    Without a PACK the rules are measured by themselves, as if a model had copied every sentence. An aspect is right
    when it is the same as a gold one, or one of them implies the other. Intervals are of 95 %, by resampling documents.
    Replies are kept in the workspace under `workbench/gold`, so that nothing is paid twice.

    \b
    Example:
      crossmusim prompts bench
      crossmusim prompts bench mine --endpoint local --language en --kind review
    """
    from sourcing.commands.generate.options import prompt_roots
    from sourcing.errors import UsageError
    from sourcing.nearest import nearest
    from sourcing.workbench.bench import as_dict, gold_folder
    from sourcing.workbench.gold import KINDS, load_gold

    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"--kind {kind}", f"the kinds are {', '.join(KINDS)}", nearest(kind, KINDS, "name one"))
    documents = [
        document
        for document in load_gold(folder or gold_folder(prompt_roots(invocation)), languages)
        if not kinds or document.kind in kinds
    ]
    results: dict[str, tuple[list[DocumentScore], float]] = {}
    if not pack_ids:
        results[RULES] = _by_rules(invocation, documents), 0.0
    for pack_id in pack_ids:
        results |= _by_pack(invocation, pack_id, documents, call_options)
    lines: list[Any] = []
    for name, (scores, _) in results.items():
        lines += [name, _table(scores), *(_details(scores) if details else ())]
    invocation.emit({"variants": {name: as_dict(scores, usd) for name, (scores, usd) in results.items()}}, lines)


def _by_rules(invocation: Invocation, documents: Sequence[GoldDocument]) -> list[DocumentScore]:
    from sourcing.workbench.bench import score_all
    from sourcing.workbench.rules import by_rules

    with invocation.progress("reading gold documents by rules", len(documents)) as advance:
        return score_all(documents, by_rules, on_document=advance)


def _by_pack(
    invocation: Invocation, pack_id: str, documents: Sequence[GoldDocument], call_options: dict[str, Any]
) -> dict[str, tuple[list[DocumentScore], float]]:
    """Ask a pack about the documents, and score what became of its replies, model by model."""
    import polars as pl

    from sourcing.commands.generate.options import make_jobs, prompt_roots
    from sourcing.commands.invocation import Invocation as OwnInvocation
    from sourcing.generation.descriptions.rebuild import make_unjudged
    from sourcing.generation.journal.journal import Journal
    from sourcing.generation.run.job import run_job
    from sourcing.workbench.bench import lay_out, words_of
    from sourcing.workbench.scores import score

    roots = prompt_roots(invocation)
    own = OwnInvocation(invocation.workspace.root / "workbench" / "gold", flags=dict(invocation.flags))
    own.flags["prompts_dir"] = (invocation.workspace.root / (invocation.settings.prompts_dir or "prompts")).resolve()
    lay_out(own.workspace, documents)
    results: dict[str, tuple[list[DocumentScore], float]] = {}
    jobs = make_jobs(own, {**_UNSET, **call_options, "pack_id": pack_id})
    for job in jobs:
        with invocation.progress(f"asking {job.endpoint.name}, {job.endpoint.model}", len(documents)) as advance:
            result = run_job(job, on_reply=advance)
        if result.stopped:
            raise result.stopped
        with Journal.read(own.workspace.generation_dir) as journal:
            descriptions = make_unjudged(own.workspace, journal, roots).descriptions
            replies = journal.reader.replies([job.pack.id], model=job.endpoint.model)
            request_keys = [reply.request_key for reply in replies if reply.prompt_hash == job.pack.prompt_hash]
            usd = journal.reader.spend().get(job.pack.name, {}).get("usd", 0.0)
        words = words_of(documents, descriptions.filter(pl.col("request_key").is_in(request_keys)))
        name = f"{job.pack.name}, {job.endpoint.model}"
        results[name] = [score(document, words[document.id]) for document in documents], usd
    return results


def _table(scores: Sequence[DocumentScore]) -> Table:
    from sourcing.commands.console import number_table
    from sourcing.workbench.bench import grouped
    from sourcing.workbench.scores import MEASURES, estimates

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
