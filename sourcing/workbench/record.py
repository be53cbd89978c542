"""Record: asks a model for the replies of cases without one, or with one to an earlier request, and keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sourcing.errors import UpstreamError
from sourcing.generation.cost.estimate import worst_case
from sourcing.generation.cost.prices import Price
from sourcing.generation.endpoint.client import ChatClient
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.endpoint.local import LocalEndpoint
from sourcing.generation.packs.cases import Case
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.recordings import recording_state, write_recording
from sourcing.generation.packs.render import render
from sourcing.generation.planning.request_maker import RequestMaker
from sourcing.generation.replies.failures import CallFailed

__all__ = ["Wanted", "record", "wanted"]


@dataclass(frozen=True)
class Wanted:
    """A sample of a case to be recorded, and the body that asks for its reply."""

    case: Case
    state: str  # missing, stale, current or handmade
    body: bytes
    worst_nusd: int
    sample: int = 0


def wanted(pack: Pack, cases: Sequence[Case], endpoint: Endpoint, price: Price, *, again: bool = False) -> list[Wanted]:
    """The cases that need recording, or all of them if `again`; replies written by hand are only replaced by name."""
    maker = RequestMaker(pack, endpoint)
    needed = []
    for case, sample in [(each, sample) for each in cases for sample in range(each.samples)]:
        state = recording_state(pack, case, sample)
        if again or state in ("missing", "stale"):
            _, body = maker.make(render(pack, case.inputs), sample)
            needed.append(Wanted(case, state, body, worst_case(body, price).nusd, sample))
    return needed


def record(
    pack: Pack,
    needed: Sequence[Wanted],
    endpoint: Endpoint,
    *,
    timeout_s: float,
    on_reply: Callable[[], object] = lambda: None,
) -> None:
    """Ask for each reply in turn and keep it at once: what is recorded stays when a later call fails.

    UpstreamError names the case whose call failed; the same command goes on from there.
    """
    with ExitStack() as stack:
        if endpoint.is_local:
            server = stack.enter_context(LocalEndpoint())
            endpoint = replace(endpoint, base_url=server.base_url, api_key=server.api_key)
        asyncio.run(_record_all(pack, needed, endpoint, timeout_s, on_reply))


async def _record_all(
    pack: Pack, needed: Sequence[Wanted], endpoint: Endpoint, timeout_s: float, on_reply: Callable[[], object]
) -> None:
    async with ChatClient(endpoint, timeout_s=timeout_s, concurrency=1) as client:
        for each in needed:
            try:
                reply = await client.send_bytes(each.body)
            except CallFailed as failure:
                thing = f"prompt pack {pack.name} case {each.case.name!r}"
                cure = failure.cure(endpoint.dialect.key_variable)
                raise UpstreamError(thing, f"{endpoint.name} did not answer ({failure})", cure) from failure
            write_recording(pack, each.case, reply.raw, model=endpoint.model, at=datetime.now(UTC), sample=each.sample)
            on_reply()
