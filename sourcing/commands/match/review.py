"""`match review`: a queue of the pairs that only a person can judge, decided key by key and kept in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.matching.verdicts import Verdict, VerdictLog

__all__ = ["review"]

_HELP = "a accept  r reject  s skip  u undo  q quit"
_TRACK = ("title", "artist", "album", "year", "duration_s", "isrc", "mbid", "language")
_DOCUMENT = ("title", "artist", "album", "year", "duration_s", "isrcs", "mbid", "language")
_PROSE_CHARS = 400


@click.command
@click.option("--reviewer", envvar="USER", help="Who decides; kept with every verdict.", show_envvar=True)
@click.option("--list", "list_only", is_flag=True, help="List what waits and what was decided, and ask nothing.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many pairs.")
@click.pass_obj
def review(invocation: Invocation, reviewer: str | None, list_only: bool, limit: int | None) -> None:
    """Decide the pairs in the band review, the likeliest first.

    Keys: a accept, r reject, s skip (asked again next time), u undo the last key, q quit. Without a terminal, a line of
    standard input is a key. Every verdict is on disk before the next pair is shown, wins at the next `match run`, and
    is kept whatever is crawled or matched again; an undone one stays in the log, beside its undoing.

    \b
    Examples:
      crossmusim match review
      crossmusim match review --list
      printf 'a\\nr\\nq\\n' | crossmusim match review --reviewer ana
    """
    from sourcing.errors import UsageError
    from sourcing.matching.verdicts import VERDICTS_FILE, VerdictLog, last_words

    log = VerdictLog(invocation.workspace.root / VERDICTS_FILE)
    verdicts, torn = log.read()
    if torn:
        invocation.note(torn)
    standing = last_words(verdicts)
    pairs = _pairs_in_review(invocation)
    if list_only:
        waiting_pairs = [pair for pair in pairs if pair.key not in standing]
        invocation.emit(
            {
                "waiting": [pair.as_dict() for pair in waiting_pairs[:limit]],
                "verdicts": [_row(v) for v in standing.values()],
            },
            [
                *(f"{pair.score:.2f} {pair.line()}" for pair in waiting_pairs[:limit]),
                *(f"{v.verdict} by {v.reviewer} at {v.at}: {v.track_id} | {v.doc_id}" for v in standing.values()),
                f"{len(waiting_pairs)} pairs wait, {len(standing)} are decided",
            ],
        )
        return
    if not reviewer:
        raise UsageError("match review", "nobody is named who decides", "give --reviewer NAME or set USER")
    with invocation.workspace.lock("verdicts"):
        order = [verdict for verdict in verdicts if standing.get(verdict.pair) is verdict]
        waiting_pairs = [pair for pair in pairs if pair.key not in standing]
        sitting = _Sitting(log, reviewer, waiting_pairs[:limit], {pair.key: pair for pair in pairs}, order)
        is_finished = sitting.go(_keys(), invocation.note)
    counts = {**sitting.counts, "left": len(waiting_pairs) - sitting.counts["accept"] - sitting.counts["reject"]}
    tally = ", ".join(f"{name} {count}" for name, count in counts.items())
    hint = ["run `crossmusim match run` to apply them"] if counts["accept"] + counts["reject"] + counts["undo"] else []
    invocation.emit({**counts, "finished": is_finished}, [tally, *hint])


@dataclass(frozen=True)
class _Waiting:
    """A pair to be judged, with both rows to show."""

    track: dict[str, Any]
    document: dict[str, Any]
    score: float
    reasons: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.track["track_id"], self.document["doc_id"]

    def line(self) -> str:
        track, document = self.track, self.document
        return (
            f"{track['title']} ~ {track['artist']} | {document['title'] or document['title_raw']} ~ "
            f"{document['artist'] or '?'} ({document['source']}): {'; '.join(self.reasons)}"
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "track_id": self.key[0],
            "doc_id": self.key[1],
            "score": self.score,
            "reasons": list(self.reasons),
            "track": {name: self.track[name] for name in _TRACK},
            "document": {name: self.document[name] for name in (*_DOCUMENT, "url", "source", "granularity", "lead")},
        }


@dataclass
class _Sitting:
    """One reviewer's pass through the queue; `undone` pairs come back at the queue's present place."""

    log: VerdictLog
    reviewer: str
    queue: list[_Waiting]
    pairs_by_key: dict[tuple[str, str], _Waiting]
    standing: list[Verdict]  # verdicts that hold, oldest first: what undo takes back
    skips: list[bool] = field(default_factory=list)  # what this sitting did, key by key: skip, or a verdict
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("accept", "reject", "skip", "undo"), 0))

    def go(self, keys: Iterator[str], say: Callable[[str], None]) -> bool:
        """Ask for a key per pair; true when the queue came to its end."""
        at = 0
        while at < len(self.queue):
            pair = self.queue[at]
            say(_side_by_side(pair, f"{at + 1} of {len(self.queue)}"))
            while (key := next(keys, "q")) not in ("a", "r", "s", "u", "q"):
                say(f"{key!r} is no key here: {_HELP}")
            if key == "q":
                return False
            if key == "u":
                at = self._undo(at, say)
                continue
            self.skips.append(key == "s")
            if key == "s":
                self.counts["skip"] += 1
            else:
                self._decide(pair, "accept" if key == "a" else "reject")
            at += 1
        return True

    def _decide(self, pair: _Waiting, verdict: str) -> None:
        self.standing.append(self._append(pair.key, verdict, pair.score, pair.reasons))
        self.counts[verdict] += 1

    def _undo(self, at: int, say: Callable[[str], None]) -> int:
        """Take back the last key: a skip, or the last verdict that holds, of this sitting or an earlier one."""
        if self.skips and self.skips.pop():
            self.counts["skip"] -= 1
            return at - 1
        if not self.standing:
            say("there is no verdict to undo")
            return at
        last = self.standing.pop()
        self._append(last.pair, "undo", last.score, last.reasons)
        self.counts["undo"] += 1
        say(f"undone: {last.verdict} of {last.track_id} | {last.doc_id}")
        before = next((n for n, pair in enumerate(self.queue) if pair.key == last.pair), None)
        if before is not None:
            self.counts[last.verdict] -= 1
            return before
        if last.pair in self.pairs_by_key:
            self.queue.insert(at, self.pairs_by_key[last.pair])
        return at

    def _append(self, pair: tuple[str, str], verdict: str, score: float, reasons: tuple[str, ...]) -> Verdict:
        from sourcing.matching.verdicts import Verdict

        at = datetime.now(UTC).isoformat(timespec="seconds")
        decision = Verdict(pair[0], pair[1], verdict, self.reviewer, at, score, reasons)
        self.log.append(decision)
        return decision


def _pairs_in_review(invocation: Invocation) -> list[_Waiting]:
    """Pairs in the band review and pairs already decided by a person, highest score first."""
    import polars as pl

    from sourcing.matching.verdicts import REVIEWED
    from sourcing.store.schemas import Document, Match, Track

    workspace = invocation.workspace
    is_reviewed = pl.col("reasons").list.first().str.starts_with(REVIEWED).fill_null(False)
    review_matches = workspace.read(Match).filter((pl.col("band") == "review") | is_reviewed)
    review_matches = review_matches.sort("score", "track_id", "doc_id", descending=[True, False, False])
    tracks = workspace.read(Track).filter(pl.col("track_id").is_in(review_matches["track_id"].implode()))
    documents = workspace.read(Document).filter(pl.col("doc_id").is_in(review_matches["doc_id"].implode()))
    track_of = {row["track_id"]: row for row in tracks.iter_rows(named=True)}
    document_of = {row["doc_id"]: row for row in documents.iter_rows(named=True)}
    return [
        _Waiting(track_of[row["track_id"]], document_of[row["doc_id"]], row["score"], tuple(row["reasons"]))
        for row in review_matches.iter_rows(named=True)
        if row["track_id"] in track_of and row["doc_id"] in document_of  # the tables may be newer than the matches
    ]


def _keys() -> Iterator[str]:
    if sys.stdin.isatty():
        while True:
            yield click.getchar().casefold()
    for line in sys.stdin:
        yield line.strip().casefold()[:1]


def _side_by_side(pair: _Waiting, progress: str) -> str:
    """Text that shows a pair side by side, for stderr: stdout is for results alone."""
    from rich.markup import escape
    from rich.table import Table

    from sourcing.commands.console import table_text

    table = Table("", "track", "document", title=f"{progress}   score {pair.score:.2f}", title_justify="left")
    for ours, theirs in zip(_TRACK, _DOCUMENT, strict=True):
        one, other = pair.track[ours], pair.document[theirs]
        if one or other:
            table.add_row(ours, *(escape(_text(value)) for value in (one, other)))
    table.add_row("about", "a recording", escape(f"{pair.document['granularity']}, {pair.document['source']}"))
    if prose := pair.document["lead"] or pair.document["text"]:
        table.add_row("says", "", escape(prose[:_PROSE_CHARS]))
    return f"{table_text(table)}{pair.document['url']}\n{'; '.join(pair.reasons)}\n{_HELP}"


def _text(value: Any) -> str:
    return "; ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _row(verdict: Verdict) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(verdict)
