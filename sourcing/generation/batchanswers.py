"""Answers: what came back of a shard, journalled line by line, charged, checked, and followed where need be."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sourcing.generation.batchfiles import AnswerLine, read_answer
from sourcing.generation.batchshards import Shard, Shards, Terms
from sourcing.generation.checking import Checked, ReplyChecker
from sourcing.generation.journal import OpenCall
from sourcing.generation.journal_schema import unpack
from sourcing.generation.parsed_reply import ParsedReply
from sourcing.generation.prices import UNKNOWN, actual_cost, read_usage

__all__ = ["Answers", "Lines", "Tally"]

_LINES = 256  # journalled together
_NAMED = 20
_CALL = (
    "SELECT c.call_id, c.request_key, body, c.kind, c.parent, c.state, c.batch, c.run_id, r.prompt_hash"
    " FROM calls c JOIN bodies USING (call_id) JOIN runs r USING (run_id) WHERE c.request_key = ?"
)


@dataclass
class Tally:
    """What became of calls. `again`: planned again, for they were not worked on; `followed`: new calls that follow."""

    replied: int = 0
    failed: int = 0
    again: int = 0
    unknown: int = 0
    followed: int = 0

    @property
    def settled(self) -> int:
        return self.replied + self.failed + self.again + self.unknown

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("replied", "failed", "again", "unknown", "followed")}


@dataclass
class Lines:
    """What lines there were. `already`: their calls were settled before; `strangers`: of no call known here."""

    answered: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    already: int = 0
    duplicates: int = 0
    broken: int = 0
    strangers: int = 0
    named: list[str] = field(default_factory=list)  # the first few strangers

    @property
    def others(self) -> int:
        """Lines that were not broken."""
        return len(self.seen) + self.duplicates + self.strangers

    def oddities(self) -> dict[str, int]:
        odd = {"duplicates": self.duplicates, "broken": self.broken, "strangers": self.strangers}
        return {name: number for name, number in odd.items() if number}


class Answers:
    """Settles calls by the lines that answer them. `checker_of` gives the checker of a run, or None without its pack.

    A line is journalled, charged at the price its shard was written down under, and followed by its larger try or
    repair in one transaction with its neighbours. A reply without a checker is charged and not followed.
    """

    def __init__(
        self,
        shards: Shards,
        checker_of: Callable[[int], ReplyChecker | None],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._shards, self._checker_of, self._clock = shards, checker_of, clock
        self._journal, self._execute = shards.journal, shards.journal.connection.execute

    def take(self, lines: Iterable[bytes], found: Lines, tally: Tally, on_answers: Callable[[int], object]) -> Lines:
        """Settle the calls that these lines answer, in whatever order they come, however often they are handed over.

        `found` is added to and returned; `on_answers` hears how many calls each transaction settled.
        """
        stream = (line for line in lines if line.strip())
        while group := list(itertools.islice(stream, _LINES)):
            before = tally.settled
            with self._journal.transaction():
                for line in group:
                    self._take(read_answer(line), found, tally)
            on_answers(tally.settled - before)
        return found

    def finish(self, shard: Shard, *, state: str, outcome: str, error: str, tally: Tally) -> None:
        """Settle what no line told of, as `planned` again or `unknown`, and close the shard."""
        terms, headers = self._shards.terms(shard), _headers(shard, "")
        with self._journal.transaction():
            for call_id in self._shards.left(shard):
                if state == "planned":
                    self._never_begun(call_id, outcome, terms, headers)
                    tally.again += 1
                else:
                    self._journal.settle(
                        call_id, "unknown", outcome="unknown", at=self._clock(), scope=terms.account, headers=headers,
                        error=error,
                    )  # fmt: skip
                    tally.unknown += 1
            self._shards.move(shard, "collected", error=error or None)

    def _take(self, answer: AnswerLine | None, found: Lines, tally: Tally) -> None:
        if answer is None:
            found.broken += 1
            return
        if answer.custom_id in found.seen:
            found.duplicates += 1
            return
        call = self._execute(_CALL, (answer.custom_id,)).fetchone()
        if call is None:
            found.strangers += 1
            if len(found.named) < _NAMED:
                found.named.append(answer.custom_id[:80])
            return
        found.seen.add(answer.custom_id)
        replied = answer.outcome == "replied"
        if replied:
            found.answered.add(answer.custom_id)
        if call["batch"] is not None:
            shard = self._shards.get(call["batch"])
            self._settle(call, answer, self._shards.terms(shard), _headers(shard, answer.request_id), tally)
        elif replied and call["state"] in ("planned", "failed", "unknown"):
            # It was given up, or it lies in a file that was written just before the power went: the answer counts.
            terms = Terms(call["prompt_hash"], UNKNOWN)
            if call["state"] != "unknown":
                self._journal.sending(call["call_id"], self._clock(), scope=terms.account)
            self._settle(call, answer, terms, _headers(None, answer.request_id), tally)
        else:
            found.already += 1

    def _settle(
        self, row: sqlite3.Row, answer: AnswerLine, terms: Terms, headers: Mapping[str, str], tally: Tally
    ) -> None:
        call_id, at = int(row["call_id"]), self._clock()
        if answer.outcome == "replied":
            self._journal.settle(
                call_id, "replied", outcome="replied", at=at, scope=terms.account, status=answer.status,
                headers=headers, raw=answer.raw,
            )  # fmt: skip
            tally.replied += 1
            self._check(row, answer.raw or b"", terms, tally)
        elif answer.never_begun:
            self._never_begun(call_id, answer.outcome, terms, headers)
            tally.again += 1
        else:
            self._journal.settle(
                call_id, "failed", outcome=answer.outcome, at=at, scope=terms.account, status=answer.status,
                headers=headers, raw=answer.raw, error=answer.message,
            )  # fmt: skip
            if answer.passing:
                self._execute("UPDATE calls SET state = 'planned', error = NULL WHERE call_id = ?", (call_id,))
                tally.again += 1
            else:
                tally.failed += 1

    def _check(self, row: sqlite3.Row, raw: bytes, terms: Terms, tally: Tally) -> None:
        call = OpenCall(row["call_id"], row["request_key"], unpack(row["body"]), row["kind"], row["parent"])
        checker = self._checker_of(int(row["run_id"]))
        checked = Checked(usage=ParsedReply.read(raw).usage) if checker is None else checker.look(call, raw)
        used = read_usage(checked.usage)
        self._journal.charge(
            call.call_id,
            input_tokens=None if used is None else used.input_tokens,
            output_tokens=None if used is None else used.output_tokens,
            cost_nusd=actual_cost(terms.price, checked.usage),
            scope=terms.account,
        )
        if (follow := checked.follow) is not None and self._journal.follow(
            call, follow.kind, follow.request_key, follow.body, self._clock()
        ):
            tally.followed += 1

    def _never_begun(self, call_id: int, outcome: str, terms: Terms, headers: Mapping[str, str]) -> None:
        """The attempt is written down, and what it reserved is given back: no model ever saw the call."""
        self._journal.settle(
            call_id, "unknown", outcome=outcome, at=self._clock(), scope=terms.account, headers=headers
        )  # keeps what is reserved, which `release` gives back
        self._journal.release(call_id, self._clock(), scope=terms.account)
        self._execute("UPDATE calls SET attempts = attempts + 1 WHERE call_id = ?", (call_id,))


def _headers(shard: Shard | None, request_id: str) -> dict[str, str]:
    named = {"x-batch-id": (shard.batch or "") if shard is not None else "", "x-request-id": request_id}
    return {name: value for name, value in named.items() if value}
