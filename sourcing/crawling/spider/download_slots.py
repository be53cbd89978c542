"""Download slots: one per host, sending its next request when the host's pace allows, if the run can wait so long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from scrapy import Request
from scrapy.core.downloader import Slot

from sourcing.crawling.spider.hosts import Host

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

__all__ = ["PacedSlot", "drain"]


class PacedSlot(Slot):
    """Download slot that sends its next request when the host's pace allows, not after a fixed delay.

    A turn that comes later than a run waits is none: what is queued for it is handed back by `put_off`. `on_send`
    hears of every request that goes out.

    Scrapy asks for the delay before each request, adds it to `lastseen`, and sets that when it sends one. It counts
    a request as transferring only once its coroutine runs (2.19), by when it may have sent all that was queued: so
    those on their way are counted here.
    """

    def __init__(
        self,
        host: Host,
        now: Callable[[], float],
        *,
        patience_s: float,
        on_send: Callable[[Host], None],
        put_off: Callable[[Host, float], None],
    ) -> None:
        self._host, self._now, self._last_sent, self._starting = host, now, 0.0, 0
        self._patience_s, self._on_send, self._put_off = patience_s, on_send, put_off
        super().__init__(host.concurrency, host.interval_s, 0.0)
        self.transferring = _Transferring(self)

    def free_transfer_slots(self) -> int:
        return self.concurrency - len(self.transferring) - self._starting

    def started(self) -> None:
        self._starting -= 1

    def ended(self) -> None:
        if not self.transferring and not self._starting:
            self._host.all_answered(time.monotonic())

    def download_delay(self) -> float:
        if not self._host.paced:
            return 0.0
        tick = time.monotonic()
        wait_s = self._host.wait_s(tick)
        if wait_s > self._patience_s:
            if self.queue:
                self._put_off(self._host, self._now() + wait_s)
            return 0.0
        # Zero would send all that is queued at once: with the smallest delay Scrapy asks again before each.
        return tick + wait_s - self._last_sent if wait_s > 0 else 1e-9

    @property
    def lastseen(self) -> float:
        return self._last_sent

    @lastseen.setter
    def lastseen(self, tick: float) -> None:
        self._last_sent = tick
        if tick:
            self._starting += 1
            self._host.asked(tick, self._now())
            self._on_send(self._host)


class _Transferring(set[Request]):
    """Requests being transferred; tells the slot when one has begun, and when one has ended."""

    def __init__(self, slot: PacedSlot) -> None:
        super().__init__()
        self._slot = slot

    def add(self, request: Request) -> None:
        self._slot.started()
        super().add(request)

    def remove(self, request: Request) -> None:
        super().remove(request)
        self._slot.ended()


def drain(crawler: Crawler, reason: Exception, netloc: str | None = None) -> None:
    """Fail the requests still waiting for their turn in one host's download slot, or in all, with `reason`."""
    slots = crawler.engine.downloader.slots
    for key in list(slots) if netloc is None else [netloc]:
        while key in slots and slots[key].queue:
            _, waiting = slots[key].queue.popleft()
            waiting.errback(reason)
