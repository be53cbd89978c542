"""Window: the number of calls that may be in flight, grown by replies, cut by refusals and queues at the server.

Additive increase, multiplicative decrease (RFC 5681 for the shape): doubling until something is known, then one more
per window of replies; a burst of refusals is one cut. A server that queues instead of refusing shows it by latency. A
cut for latency is an experiment: where it makes the answers come sooner there was a queue; where it does not, the calls
themselves take that long, so the cut is undone and their latency is the new normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Window"]

_START = 8
_CUT_REFUSED = 0.7
#: The step, otherwise 1, by which the window goes again where it was last refused.
_STEP_NEAR = 0.25
_CUT_SLOW = 0.75
#: A queue shorter than this is not worth a cut; a busy client looks like one.
_QUEUE_S = 0.5
#: How much slower than its best a server is when it queues, as a logarithm: half as slow again.
_SLOWER = math.log(1.5)
#: The part of a cut by which answers come sooner, as logarithms: all of it from a queue, nothing from a free server.
_HELPED = 0.5
#: After so many cuts that helped, go on cutting until one does not: what the best latency is may have been forgotten.
_SEARCH_AFTER = 4
_FEWEST_SAMPLES, _MOST_SAMPLES = 16, 256


@dataclass(frozen=True)
class _Trial:
    """The state before a cut for latency, to go back to."""

    latency_log: float
    helped_log: float  # how much sooner answers must come for the cut to stay
    size: float
    doubling_below: float


class Window:
    """The in-flight window of one endpoint and model. Calls are numbered in the order they are sent."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.size = float(min(_START, largest))
        self.latency_s: float | None = None  # geometric mean of the latest round
        self._sent_calls = 0
        self._doubling_below = math.inf
        self._refused_at = math.inf  # the size that was too much last time
        self._cut_after = 0  # calls up to this number were sent before the last cut
        self._replied_since_cut = True
        self._best_log: float | None = None
        self._trial: _Trial | None = None
        self._helpful_cuts = 0  # cuts for latency that helped, since one did not
        self._begin_round(_FEWEST_SAMPLES)

    @property
    def places(self) -> int:
        return int(self.size)

    def sent(self) -> int:
        """The number of the call that is now sent."""
        self._sent_calls += 1
        return self._sent_calls

    def replied(self, number: int, latency_s: float, *, full: bool) -> None:
        """A reply to call `number`. `full`: the window and not the supply of calls held others back."""
        self._replied_since_cut = True
        if full and self._trial is None and self._doubling_below < math.inf:
            near = self.size < self._refused_at <= self.size + 1
            self.size = min(self.size + (_STEP_NEAR if near else 1) / self.size, self.largest)
        if number <= self._round_after:
            return
        latency_log = math.log(max(latency_s, 1e-4))
        self._samples += 1
        self._sum += latency_log
        self._sum_of_squares += latency_log * latency_log
        if self._samples >= self._needed_samples:
            self._end_round(full)

    def refused(self, number: int) -> bool:
        """Call `number` was refused; true when that cuts the window, false for the rest of a burst."""
        if number <= self._cut_after:
            return False
        self._refused_at = self.size
        self.size = max(1.0, self.size * _CUT_REFUSED)
        if self._replied_since_cut:
            # Further cuts of the same storm do not forget where it began: the way back up there is quick.
            self._doubling_below = self.size
        self._replied_since_cut = False
        self._cut_after = self._sent_calls
        self._trial = None
        self._begin_round(max(_FEWEST_SAMPLES, self.places))
        return True

    def _begin_round(self, samples: int) -> None:
        """Begin a round, which looks only at calls sent after a full window of calls at the present size."""
        self._round_size = self.size
        self._round_after = self._sent_calls + self.places
        self._samples, self._needed_samples = 0, samples
        self._sum = self._sum_of_squares = 0.0

    def _end_round(self, full: bool) -> None:
        mean = self._sum / self._samples
        spread = math.sqrt(max(0.0, self._sum_of_squares / self._samples - mean * mean))
        self.latency_s = math.exp(mean)
        trial, self._trial = self._trial, None
        has_helped = trial is not None and trial.latency_log - mean >= trial.helped_log
        self._helpful_cuts += has_helped
        if trial is not None and not has_helped:
            self._best_log, self._helpful_cuts = mean, 0
            self.size, self._doubling_below = max(self.size, trial.size), trial.doubling_below
        elif self._best_log is None:
            self._best_log = mean
        elif mean < self._best_log:
            self._best_log += (mean - self._best_log) / 2
        slower = mean - self._best_log > max(_SLOWER, 3.5 * spread / math.sqrt(self._samples))
        searching = has_helped and self._helpful_cuts >= _SEARCH_AFTER
        samples = 0
        if full and self.places > 1 and self.latency_s > _QUEUE_S and (slower or searching):
            samples = self._try_smaller(mean, spread)
        elif full and self.size < self._doubling_below:
            self.size = min(2 * self.size, self._doubling_below, self.largest)
        self._begin_round(max(_FEWEST_SAMPLES, self.places, samples))

    def _try_smaller(self, mean: float, spread: float) -> int:
        """Cut for latency; the samples that tell a cut that helped from chance, for answers as uneven as these."""
        measured_at, size = (self._round_size + self.size) / 2, max(1.0, self.size * _CUT_SLOW)
        helped_log = _HELPED * math.log(measured_at / size)
        self._trial = _Trial(mean, helped_log, self.size, self._doubling_below)
        self.size = size
        self._doubling_below = min(self._doubling_below, size)
        # Calls that queued together waited for the same others: several windows of them say more than their number.
        samples = max(8 * (spread / helped_log) ** 2, 4 * size, 4.0 * _FEWEST_SAMPLES)
        return int(min(samples, _MOST_SAMPLES))
