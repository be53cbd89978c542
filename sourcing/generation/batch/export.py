"""Export of planned calls to a file for `vllm run-batch`, and import of its output files into the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sourcing.errors import InputError, StoppedShort, UsageError
from sourcing.generation.batch.collect import Answers, Lines, Tally
from sourcing.generation.batch.jsonl import json_lines, request_line, writing_whole
from sourcing.generation.batch.select import pick_calls, register_plan
from sourcing.generation.journal.batch_shards import BatchShards, ShardTerms
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.reader import RunState
from sourcing.generation.planning.plan import Step
from sourcing.generation.run.options import RunOptions
from sourcing.generation.run.reply_checker import ReplyChecker

__all__ = ["Exported", "export_calls", "import_answers"]

_LINES = 10_000  # taken together: no other process can write the journal in the meantime
_CHUNK = 1 << 20
_NO_END = 2**62


@dataclass
class Exported:
    calls: int = 0
    bytes: int = 0
    stopped: StoppedShort | None = None  # a ceiling; what fits under it was exported


def export_calls(
    shards: BatchShards,
    run: RunState,
    steps: Callable[[int], Iterator[Step]],
    run_options: RunOptions,
    path: Path,
    *,
    lock: Callable[[], AbstractContextManager[None]],
    on_progress: Callable[[int], object] = lambda n: None,
) -> Exported:
    """Write all planned calls of the run atomically into `path` and reserve the calls, so that no run makes them.

    `import_answers` journals the replies; `BatchDesk.cancel` plans the calls again. An interrupt leaves no file, and
    the next export begins anew. A ceiling ends the export with `stopped`. UsageError when `path` exists or its folder
    does not.
    """
    if path.exists():
        raise UsageError(str(path), "there is such a file", "name another, or remove it once it is of no use")
    if not path.parent.is_dir():
        raise UsageError(str(path), "there is no such folder", "make it first")
    export, journal = Exported(), shards.journal
    with lock():
        shards.drop_unfinished_exports()
        register_plan(journal, run, steps, clock=shards.clock)
        terms = ShardTerms(run_options.account, run_options.price)
        with writing_whole(path) as stream:
            while not export.stopped:
                picks = pick_calls(journal, run.run_id, run_options.price, max_lines=_LINES, max_bytes=_NO_END)
                if not picks.calls:
                    break
                with journal.transaction():
                    shard, refusal = shards.write(
                        run.run_id, picks.calls, terms, ceilings=run_options.ceilings, state="exporting"
                    )
                if refusal:
                    export.stopped = StoppedShort(
                        "generate batch", refusal, "raise it and export the rest into another file"
                    )
                if shard is not None:
                    for key, body in shards.bodies(shard):
                        export.bytes += stream.write(request_line(key, body))
                    export.calls += shard.lines
                    on_progress(shard.lines)
        for shard in shards.in_states(("exporting",)):
            shards.move(shard, "exported")
    if not export.calls:
        path.unlink()
    return export


def import_answers(
    journal: Journal,
    paths: Sequence[Path],
    *,
    checker_of: Callable[[int], ReplyChecker | None],
    lock: Callable[[], AbstractContextManager[None]],
    on_answers: Callable[[int], object] = lambda n: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[Tally, Lines]:
    """Journal the answers in output files, also of calls in no shard; importing a file again changes nothing.

    Calls without a line stay exported, as a file may hold a part of the answers. InputError for an unreadable file, or
    one with broken lines only.
    """
    shards, tally, line_log = BatchShards(journal, clock), Tally(), Lines()
    answers = Answers(shards, checker_of, clock=clock)
    with lock():
        for path in paths:
            broken_lines, others = line_log.broken, line_log.others
            try:
                with path.open("rb") as stream:
                    chunks = iter(lambda: stream.read(_CHUNK), b"")
                    answers.take(json_lines(chunks, must_be_whole=False), line_log, tally, on_answers)
            except OSError as error:
                raise InputError(str(path), f"it cannot be read ({error.strerror})", "name an output file") from None
            if line_log.broken > broken_lines and line_log.others == others:
                cure = "name the file that `vllm run-batch -o` or the Batch API wrote"
                raise InputError(str(path), f"none of its {line_log.broken - broken_lines} lines is an answer", cure)
        answers.take_filtered(line_log, tally)
        shards.close_answered_exports()
    return tally, line_log
