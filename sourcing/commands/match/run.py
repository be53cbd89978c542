"""`match run | evaluate`: decide which document is about which track, and measure precision and recall of matching."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.matching.evaluation import Judged, LabelledPair
    from sourcing.matching.verdicts import Verdict

__all__ = ["evaluate", "run"]

_MISSES = 40


@click.command
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one for each core when not given.")
@click.option(
    "--labelled",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also measure on FILE, as `match evaluate` does.",
)
@click.pass_obj
def run(invocation: Invocation, workers: int | None, labelled: Path | None) -> None:
    """Hold every document against the tracks it may be about, and write the matches with their reasons.

    Scores at or above `[match] accept_score` are accepted, those down to `review_score` are left to a person
    (`match review`), whose verdicts win.

    \b
    Example:
      crossmusim match run
    """
    import os

    import polars as pl
    from rich.table import Table

    from sourcing.matching import match_documents
    from sourcing.matching.banding import Thresholds
    from sourcing.matching.verdicts import VERDICTS_FILE, VerdictLog, last_words
    from sourcing.store.schemas import Document, Match, Track

    invocation.override("match", workers=workers)
    workspace, settings = invocation.workspace, invocation.settings.match
    tracks, documents = workspace.read(Track), workspace.read(Document)
    verdict_log, torn = VerdictLog(workspace.root / VERDICTS_FILE).read()
    if torn:
        invocation.note(torn)
    verdicts = last_words(verdict_log)
    with workspace.lock("matches"), invocation.progress("matching", documents.height) as advance:
        matches = match_documents(
            documents,
            tracks,
            Thresholds(settings.accept_score, settings.review_score, settings.max_duration_gap_s),
            verdicts=verdicts,
            workers=settings.workers or os.cpu_count() or 1,
            on_progress=advance,
        )
        workspace.write(Match, matches)

    bands = {band: matches.filter(pl.col("band") == band) for band in ("accept", "review", "reject")}
    matched_pairs = matches.select("track_id", "doc_id").rows()
    result: dict[str, Any] = {
        "documents": documents.height,
        "tracks": tracks.height,
        **{band: frame.height for band, frame in bands.items()},
        "matched_tracks": bands["accept"]["track_id"].n_unique(),
        "verdicts": sum(pair in verdicts for pair in matched_pairs),
    }
    table = Table("band", "pairs", "tracks", "documents", title=f"{documents.height} documents, {tracks.height} tracks")
    for band, frame in bands.items():
        table.add_row(
            band, *(str(count) for count in (frame.height, frame["track_id"].n_unique(), frame["doc_id"].n_unique()))
        )
    lines: list[Any] = [table]
    if verdicts:
        lines.append(f"{result['verdicts']} pairs decided by people")
    if labelled:
        report = _measure(invocation, labelled)
        result["labelled"] = report
        lines += _report_lines(report)
    invocation.emit(result, lines)


@click.command
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--verdicts", is_flag=True, help="Measure on what people decided in this workspace (`match review`).")
@click.option("--split", help="Only pairs of this split, e.g. held-out.")
@click.pass_obj
def evaluate(invocation: Invocation, file: Path | None, verdicts: bool, split: str | None) -> None:
    """Print precision and recall of the matching on labelled pairs, and list what it got wrong.

    Without FILE the pairs that come with crossmusim are used; the misses of its split held-out are counted, not listed,
    so that no rule is made for them. FILE is JSONL, one pair a line:

    \b
      {"track": {"title": "Low Tide", "artist": "Harbour & Kite"},
       "document": {"title": "Low Tide (Live)", "artist": "Harbour & Kite"}, "same": false, "kind": "live"}

    `track` and `document` hold columns of those tables (`duration_s`, `isrc`, `mbid`, `granularity`, `lead`, ...);
    those left out are unknown. `same` says whether the document is about the track; `kind`, `name` and `split` are
    free. Each pair is held alone. Intervals are Wilson's at 95 %.

    \b
    Examples:
      crossmusim match evaluate
      crossmusim match evaluate --split held-out
      crossmusim match evaluate mypairs.jsonl
      crossmusim match evaluate --verdicts
    """
    from sourcing.errors import UsageError

    if file and verdicts:
        raise UsageError("match evaluate", "both FILE and --verdicts are given", "give one of them")
    report = _measure(invocation, file, own_verdicts=verdicts, split=split)
    invocation.emit(report, _report_lines(report))


def _measure(
    invocation: Invocation, file: Path | None, *, own_verdicts: bool = False, split: str | None = None
) -> dict[str, Any]:
    from functools import partial

    from sourcing.errors import InputError
    from sourcing.matching import match_one
    from sourcing.matching.banding import Thresholds
    from sourcing.matching.evaluation import SHIPPED_PAIRS, judge, read_pairs

    settings = invocation.settings.match
    pairs = _decided_pairs(invocation) if own_verdicts else read_pairs(file or SHIPPED_PAIRS)
    source = "verdicts of this workspace" if own_verdicts else str(file) if file else "shipped pairs"
    if split:
        pairs = [pair for pair in pairs if pair.split == split]
        if not pairs:
            raise InputError(source, f"no pair has the split {split!r}", "leave --split out")
    thresholds = Thresholds(settings.accept_score, settings.review_score, settings.max_duration_gap_s)
    judgements = judge(pairs, partial(match_one, thresholds=thresholds))
    kinds = sorted({pair.kind for pair in pairs})
    return {
        "source": source,
        "split": split,
        **_rates(judgements),
        "kinds": {kind: _rates([one for one in judgements if one.pair.kind == kind]) for kind in kinds},
        "misses": [_miss(one) for one in judgements if _missed(one) and one.pair.split in ("", "tuned", split)],
        "misses_not_listed": sum(_missed(one) and one.pair.split not in ("", "tuned", split) for one in judgements),
    }


def _missed(one: Judged) -> bool:
    """True of a right pair that is not accepted, and of a wrong one that is."""
    return one.pair.same != (one.band == "accept")


def _rates(judgements: list[Judged]) -> dict[str, Any]:
    from sourcing.matching.evaluation import rates

    accept, both = rates(judgements), rates(judgements, frozenset({"accept", "review"}))
    return {
        "pairs": len(judgements),
        "accept": {"precision": accept[0].as_dict(), "recall": accept[1].as_dict()},
        "accept_or_review": {"precision": both[0].as_dict(), "recall": both[1].as_dict()},
    }


def _miss(one: Judged) -> dict[str, Any]:
    def side(values: Any) -> str:
        return " ~ ".join(str(values[name]) for name in ("title", "artist") if values.get(name))

    return {
        "kind": one.pair.kind,
        "name": one.pair.name,
        "same": one.pair.same,
        "band": one.band,
        "score": one.score,
        "track": side(one.pair.track),
        "document": side(one.pair.document),
        "reasons": list(one.reasons),
    }


def _decided_pairs(invocation: Invocation) -> list[LabelledPair]:
    """Pairs that people accepted or rejected, as labelled pairs; the kind is the document's source."""
    from sourcing.errors import InputError
    from sourcing.matching.evaluation import LabelledPair
    from sourcing.matching.verdicts import VERDICTS_FILE, VerdictLog, last_words
    from sourcing.store.schemas import Document, Track

    workspace = invocation.workspace
    verdicts: dict[tuple[str, str], Verdict] = dict(last_words(VerdictLog(workspace.root / VERDICTS_FILE).read()[0]))
    tracks = {row["track_id"]: row for row in workspace.read(Track).iter_rows(named=True)}
    documents = {row["doc_id"]: row for row in workspace.read(Document).iter_rows(named=True)}
    pairs = [
        LabelledPair(
            f"{verdict.track_id} / {verdict.doc_id}",
            documents[verdict.doc_id]["source"],
            verdict.verdict == "accept",
            tracks[verdict.track_id],
            documents[verdict.doc_id],
        )
        for verdict in verdicts.values()
        if verdict.track_id in tracks and verdict.doc_id in documents
    ]
    if not pairs:
        raise InputError(
            f"workspace {workspace.root}", "nobody has decided a pair yet", "run `crossmusim match review`"
        )
    return pairs


def _report_lines(report: dict[str, Any]) -> list[Any]:
    from rich.table import Table

    split = f", split {report['split']}" if report["split"] else ""
    table = Table(title=f"{report['pairs']} pairs, {report['source']}{split} (95 % interval)")
    table.add_column("kind")
    for head in ("pairs", "accept: precision", "recall", "with review: precision", "recall"):
        table.add_column(head, justify="right")
    for kind, rates in [("all", report), *report["kinds"].items()]:
        figures = [rates[band][rate] for band in ("accept", "accept_or_review") for rate in ("precision", "recall")]
        table.add_row(kind, str(rates["pairs"]), *map(_figure, figures), end_section=kind == "all")
    misses = report["misses"]
    lines = [
        f"{'missed' if miss['same'] else 'WRONGLY ACCEPTED'} ({miss['kind']}, {miss['band']} {miss['score']:.2f}) "
        f"{miss['track']} | {miss['document']}: {'; '.join(miss['reasons'])}"
        for miss in sorted(misses, key=lambda miss: miss["same"])[:_MISSES]
    ]
    more = [f"and {len(misses) - _MISSES} more (--json lists all)"] if len(misses) > _MISSES else []
    if hidden := report["misses_not_listed"]:
        more.append(f"and {hidden} held-out pairs, listed by --split held-out: a rule made for them spoils the measure")
    return [table, *lines, *more]


def _figure(rate: dict[str, Any]) -> str:
    if not rate["of"]:
        return "-"
    low, high = rate["interval"]
    return f"{rate['value']:.2f} ({low:.2f}-{high:.2f}) {rate['hits']}/{rate['of']}"
