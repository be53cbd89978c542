"""The desk that batch commands work at, and the look-up of endpoints and packs named in the journal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sourcing.commands.generate.options import prompt_roots

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.generation.batch.desk import BatchDesk
    from sourcing.generation.endpoint.endpoint import Endpoint
    from sourcing.generation.journal.journal import Journal
    from sourcing.generation.run.reply_checker import ReplyChecker

__all__ = ["Finder", "batch_lock", "open_desk"]

_TURN_S = 600.0


@contextlib.contextmanager
def open_desk(invocation: Invocation, *, reading: bool = False) -> Iterator[BatchDesk]:
    from sourcing.generation.batch.desk import BatchDesk, BatchOptions
    from sourcing.generation.journal.journal import Journal, enter_journal

    settings = invocation.settings.generation
    options = BatchOptions(
        max_lines=settings.batch_max_lines,
        max_bytes=int(settings.batch_max_mb * 1_000_000),
        enqueued_tokens=settings.batch_enqueued_tokens,
        poll_s=settings.batch_poll_s,
        timeout_s=settings.timeout_s,
        max_attempts=settings.max_attempts,
    )
    folder = invocation.workspace.generation_dir
    with contextlib.ExitStack() as stack:
        if reading:
            journal = stack.enter_context(Journal.read(folder))
        else:
            journal, _ = stack.enter_context(enter_journal(folder))
        find = Finder(invocation, journal)
        with BatchDesk(
            journal, options, endpoint_of=find.endpoint_of, checker_of=find.checker_of, lock=batch_lock(invocation)
        ) as desk:
            yield desk


def batch_lock(invocation: Invocation) -> Callable[[], contextlib.AbstractContextManager[None]]:
    return lambda: invocation.workspace.lock("batch", wait_s=_TURN_S)


class Finder:
    """Finds the endpoints and packs that a journal names."""

    def __init__(self, invocation: Invocation, journal: Journal) -> None:
        self._invocation, self._journal = invocation, journal
        self._checkers: dict[int, ReplyChecker | None] = {}

    def endpoint_of(self, identity: str, model: str) -> Endpoint:
        """The server that a shard went to; its key comes from the environment, as when it was submitted."""
        from sourcing.errors import UsageError
        from sourcing.generation.endpoint.endpoint import resolve_endpoint

        settings = self._invocation.settings.generation
        shard_settings = settings.model_copy(update={"base_url": identity.removesuffix(f" {model}"), "model": model})
        endpoint = resolve_endpoint(
            shard_settings,
            local=False,
            environment=os.environ,
        )
        if endpoint.identity != identity:
            finding = f"the journal knows a shard at {identity!r}, which reads as {endpoint.identity!r} now"
            raise UsageError("generation endpoint", finding, "use the crossmusim version that submitted it")
        return endpoint

    def checker_of(self, run_id: int) -> ReplyChecker | None:
        """The reply checker of a run; None when its pack has changed or is gone: its replies are kept, not followed."""
        if run_id not in self._checkers:
            self._checkers[run_id] = self._find_checker(run_id)
        return self._checkers[run_id]

    def _find_checker(self, run_id: int) -> ReplyChecker | None:
        from sourcing.generation.endpoint.endpoint import Endpoint
        from sourcing.generation.packs.pack_files import load_pack, pack_folders
        from sourcing.generation.run.reply_checker import ReplyChecker

        target = self._journal.reader.run_target(run_id)
        folder = pack_folders(prompt_roots(self._invocation)).get(target.prompt_id)
        pack = None if folder is None else load_pack(folder)
        if pack is None or pack.prompt_hash != target.prompt_hash:
            self._invocation.note(
                f"prompt pack {target.prompt_id} is not the one that was asked: no reply is followed up"
            )
            return None
        endpoint = Endpoint(name=target.identity, identity=target.identity, model=target.model, base_url=None)
        return ReplyChecker(pack, endpoint)
