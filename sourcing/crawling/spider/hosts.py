"""Pace of one host: how far apart its requests lie, and until when it is left alone."""

from __future__ import annotations

from dataclasses import dataclass

from sourcing.crawling.policy.politeness import retry_delay_s

__all__ = ["SLOW_S", "Host"]

SLOW_S = 5.0  # a host with such an interval is not asked too early by whoever takes it from a process that was killed

_FAST_S = 0.001  # below this interval requests are not held apart
#: A delay that a site asks for lies between requests as *it* sees them, and each is on its way for a time that varies.
#: A site has surely seen a request once its answer is in: so the delay counts from there, or from this long after the
#: request where the answer takes longer, lest a slow site's pages be asked for one by one.
_LONGEST_ON_ITS_WAY_S = 2.0
_LONGEST_LEARNT_S = 60.0
_SLOW_FACTOR = 3.0  # latency beyond so many times its usual value is a host asking for less
_SLOW_S = 0.5  # and only when it is this long
_SMOOTHING = 0.2
_EASING = 0.9
_BREAKER_FAILURES = 5  # in a row: the circuit opens
_BREAKER_OPENINGS = 3  # in a row: the host is left alone for the rest of the run
_BREAKER_PAUSE = 30.0  # times the run's backoff; doubles with each opening


@dataclass
class Host:
    """Politeness towards one host. `now` is wall time in Unix seconds, `tick` a monotonic clock's seconds.

    Requests go out by a token bucket: `burst` of them after a rest, else `interval_s` apart.
    The interval is the slowest of what the source declares, what robots.txt asks for and what the host taught us:
    it doubles when the host says "too much", grows while answers take much longer than they used to, and eases
    back with every quick answer. What robots.txt asks for is kept as the site sees it (`margin_s`).
    """

    netloc: str
    delay_s: float
    concurrency: int
    burst: int = 1
    delay_is_theirs: bool = False  # robots.txt asks for it
    in_flight: int = 0
    paused_until: float = 0.0
    down: str = ""  # why it is left alone for the rest of the run
    learnt_s: float = 0.0
    failures: int = 0  # in a row: connection errors, time-outs, 5xx
    openings: int = 0  # times in a row that the circuit opened
    refusals: int = 0  # times its robots.txt was refused with a wait
    usual_latency_s: float = 0.0
    latency_s: float = 0.0  # smoothed
    saved: float = 1.0  # requests that may go out now: refills by one per interval, up to `burst`
    refilled_at: float = 0.0  # tick
    sent_at: float = 0.0  # tick of the last request
    asked_at: float = 0.0  # wall time of the last request
    answered_after_s: float | None = None  # the last request; None while one is under way

    @property
    def interval_s(self) -> float:
        return max(self.delay_s, self.learnt_s)

    @property
    def paced(self) -> bool:
        """Whether requests are held apart at all."""
        return self.interval_s >= _FAST_S

    @property
    def margin_s(self) -> float:
        """Seconds after sending until a site with a delay of its own has surely seen the last request."""
        if not self.delay_is_theirs:
            return 0.0
        return _LONGEST_ON_ITS_WAY_S if self.answered_after_s is None else self.answered_after_s

    @property
    def next_at(self) -> float:
        """Wall time of the next permitted request; 0 where it has not been asked yet."""
        return self.asked_at + self.margin_s + self.interval_s if self.asked_at else 0.0

    @property
    def due_at(self) -> float:
        """`next_at` of a slow host; 0 for the others."""
        return self.next_at if self.interval_s >= SLOW_S else 0.0

    @property
    def half_open(self) -> bool:
        """After a run of failures one request at a time finds out whether the host is back."""
        return self.failures >= _BREAKER_FAILURES

    @property
    def window(self) -> int:
        """Requests worth having under way: those transferring, and a few queued if the host is fast."""
        if self.half_open:
            return 1
        fast = min(32, int(1 / self.interval_s)) if self.interval_s > 0 else 32
        return self.concurrency + max(1, fast)

    def wait_s(self, tick: float) -> float:
        """Seconds until the next request may go out."""
        if not self.paced:
            return 0.0
        self._refill(tick)
        wait_s = max(0.0, (1.0 - self.saved) * self.interval_s)
        if self.delay_is_theirs and (self.answered_after_s is not None or not wait_s):  # till then it may be answered
            return max(wait_s, self.sent_at + self.margin_s + self.interval_s - tick)
        return wait_s

    def asked(self, tick: float, now: float) -> None:
        """A request goes out."""
        self._refill(tick)
        self.saved -= 1.0
        self.sent_at, self.asked_at, self.answered_after_s = tick, now, None

    def all_answered(self, tick: float) -> None:
        """Note that no request is under way."""
        self.answered_after_s = min(tick - self.sent_at, _LONGEST_ON_ITS_WAY_S)

    def _refill(self, tick: float) -> None:
        if not self.refilled_at:
            self.saved = float(self.burst)
        elif self.interval_s > 0:
            self.saved = min(float(self.burst), self.saved + (tick - self.refilled_at) / self.interval_s)
        self.refilled_at = tick

    def slow_down_to(self, delay_s: float, *, theirs: bool = False) -> None:
        """Raise the delay to the slower of declaration and robots.txt; a site that names a delay wants no burst."""
        if delay_s > self.delay_s:
            self.delay_s, self.burst, self.saved, self.refilled_at = delay_s, 1, 0.0, self.sent_at
            self.delay_is_theirs = theirs
        elif theirs and self.delay_s and delay_s == self.delay_s:
            self.delay_is_theirs = True

    def pause(self, until: float) -> None:
        self.paused_until = max(self.paused_until, until)

    def throttled(self, until: float, now: float) -> None:
        """Slow down after a "too much": leave it alone until then and be slower after; one burst of refusals slows
        once.
        """
        if self.paused_until <= now:
            self.learnt_s = min(_LONGEST_LEARNT_S, max(2 * self.interval_s, 0.05))
        self.pause(until)

    def answered(self, latency_s: float) -> None:
        """Note an answer: failures are forgotten, and the interval follows its latency."""
        self.failures = self.openings = 0
        first = self.latency_s == 0.0
        self.latency_s = latency_s if first else self.latency_s + _SMOOTHING * (latency_s - self.latency_s)
        usual = latency_s if first else min(self.usual_latency_s * 1.001, self.latency_s)
        self.usual_latency_s = max(usual, 1e-3)
        if self.latency_s > max(_SLOW_S, _SLOW_FACTOR * self.usual_latency_s):
            self.learnt_s = min(_LONGEST_LEARNT_S, max(1.5 * self.learnt_s, self.latency_s))
        else:
            lower_s = self.learnt_s * _EASING
            self.learnt_s = lower_s if lower_s > max(self.delay_s, _FAST_S) else 0.0

    def unreachable(self, why: str, now: float, *, backoff_s: float, limit: int) -> None:
        """No connection: leave it alone for a while, longer each time, and after `limit` times for the whole run."""
        self.failures += 1
        self.pause(now + retry_delay_s(self.failures, backoff_s))
        if self.failures >= limit:
            self.down = why

    def failed(self, why: str, now: float, *, backoff_s: float) -> None:
        """A time-out, a cut connection or a 5xx: several in a row open the circuit, several openings end it."""
        self.failures += 1
        if not self.half_open:
            return
        self.openings += 1
        self.pause(now + retry_delay_s(self.openings, _BREAKER_PAUSE * backoff_s))
        if self.openings >= _BREAKER_OPENINGS:
            self.down = f"{self.netloc} failed {self.failures} times in a row ({why})"
