"""Answers: journals the answer lines of a shard, charges and checks the replies, and adds follow-up calls."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sourcing.generation.batch.jsonl import UNREADABLE, AnswerLine, read_answer
from sourcing.generation.calls import CallEnd
from sourcing.generation.cost.estimate import worst_case
from sourcing.generation.cost.prices import UNKNOWN, actual_cost, read_usage
from sourcing.generation.journal.batch_shards import BatchShard, BatchShards, ShardTerms
from sourcing.generation.journal.journal import Reserved
from sourcing.generation.journal.plan_writer import add_follow_up
from sourcing.generation.journal.reader import BatchCall
from sourcing.generation.replies.failures import RawReply, failure_of
from sourcing.generation.replies.parsed_reply import ParsedReply, name_of
from sourcing.generation.run.reply_checker import Checked, ReplyChecker

__all__ = ["Answers", "Lines", "Tally"]

_LINES = 256  # journalled together
_NAMED = 20


@dataclass
class Tally:
    """Counts of calls by outcome; `again`: planned again, `followed`: new follow-up calls."""

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
    """Counts of answer lines by kind; `already`: calls settled before, `strangers`: calls unknown to the journal.

    `answered` holds calls with a reply, `missed` calls with a failure; with lines of both kinds the reply counts, in
    either order. `row_errors` names unforeseen exceptions raised by lines.
    """

    answered: set[str] = field(default_factory=set)
    missed: dict[str, str] = field(default_factory=dict)  # and the number of the tally that counts it
    filtered: dict[str, AnswerLine] = field(default_factory=dict)  # the words of filters, until all files are read
    already: int = 0
    duplicates: int = 0
    broken: int = 0
    strangers: int = 0
    named: list[str] = field(default_factory=list)  # the first few strangers
    row_errors: list[str] = field(default_factory=list)

    @property
    def arrived(self) -> int:
        """Number of calls completed by the server: answered calls, and calls with an unreadable line."""
        return len(self.answered) + list(self.missed.values()).count("unknown")

    @property
    def others(self) -> int:
        """Number of lines that name a call: distinct calls answered or missed, duplicates and strangers."""
        return len(self.answered | self.missed.keys()) + self.duplicates + self.strangers

    def oddities(self) -> dict[str, int]:
        odd = {"duplicates": self.duplicates, "broken": self.broken, "strangers": self.strangers}
        return {name: number for name, number in odd.items() if number}


class Answers:
    """Settles calls by the answer lines of a batch; `checker_of` maps a run id to its checker, None without its pack.

    Lines are journalled, charged at the price in their shard's terms, and followed by `larger` and `repair` calls, 256
    lines to a transaction. A reply without a checker is charged and not followed.
    """

    def __init__(
        self,
        shards: BatchShards,
        checker_of: Callable[[int], ReplyChecker | None],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._shards, self._checker_of, self._clock = shards, checker_of, clock
        self._journal = shards.journal

    def take(
        self,
        lines: Iterable[bytes],
        line_log: Lines,
        tally: Tally,
        on_answers: Callable[[int], object],
        shard: BatchShard | None = None,
    ) -> Lines:
        """Settle the calls of answer lines, in arbitrary order and with duplicates.

        Updates `tally` and `line_log`, and returns `line_log`. `on_answers` receives the number of calls settled by
        each transaction. `shard` is the shard of the lines, if known.
        """
        stream = iter(lines)
        while group := list(itertools.islice(stream, _LINES)):
            before = tally.settled
            with self._journal.transaction():
                for line in group:
                    self._take_one(line, line_log, tally, shard)
            on_answers(tally.settled - before)
        return line_log

    def take_filtered(self, line_log: Lines, tally: Tally, shard: BatchShard | None = None) -> None:
        """Journal content-filter refusals as the replies of calls without a reply line."""
        with self._journal.transaction():
            for custom_id, answer in line_log.filtered.items():
                if custom_id in line_log.missed:
                    self._take(replace(answer, outcome="replied"), b"", line_log, tally, shard)

    def _take_one(self, line: bytes, line_log: Lines, tally: Tally, shard: BatchShard | None) -> None:
        """Settle one line; an unforeseen exception makes its call `unknown`, with its bytes kept in the journal.

        Errors of the disk (sqlite3.OperationalError, OSError) are raised.
        """
        answer = read_answer(line)
        try:
            with self._journal.savepoint():
                self._take(answer, line, line_log, tally, shard)
        except (sqlite3.OperationalError, OSError):
            raise
        except Exception as error:
            line_log.row_errors.append(name_of(error))
            odd = replace(answer, outcome=UNREADABLE, message=name_of(error))
            self._take(odd, line, line_log, tally, shard)

    def finish(self, shard: BatchShard, *, state: str, outcome: str, error: str, tally: Tally) -> None:
        """Settle calls without an answer line as `planned` again or `unknown`, and close the shard."""
        terms, headers = self._shards.terms(shard), _headers(shard, "")
        with self._journal.transaction():
            for call_id in self._shards.left(shard):
                if state == "planned":
                    self._journal.never_begun(call_id, outcome, headers=headers, at=self._clock(), scope=terms.account)
                    tally.again += 1
                else:
                    end = CallEnd("unknown", "unknown", headers=headers, error=error)
                    self._journal.settle(call_id, end, at=self._clock(), scope=terms.account)
                    tally.unknown += 1
            self._shards.move(shard, "collected", error=error or None)

    def _take(self, answer: AnswerLine, line: bytes, line_log: Lines, tally: Tally, shard: BatchShard | None) -> None:
        custom_id, is_reply = answer.custom_id, answer.outcome == "replied"
        if not custom_id:
            line_log.broken += 1
            self._journal.keep_odd_line(line, "batch_line_unreadable", answer.message)
            return
        if custom_id in line_log.answered or (custom_id in line_log.missed and not is_reply):
            line_log.duplicates += 1
            return
        call = self._journal.reader.batch_call(custom_id)
        if call is None:
            self._journal.keep_odd_line(line, "batch_line_unknown_call", f"no call is named {custom_id[:80]}")
            line_log.strangers += 1
            if len(line_log.named) < _NAMED:
                line_log.named.append(custom_id[:80])
            return
        if call.batch is not None:
            shard = self._shards.get(call.batch)
            became = self._settle(call, answer, self._shards.terms(shard), shard, line_log, tally)
        elif is_reply and call.state in ("planned", "failed", "unknown"):
            # Given up before, reported as failed by an earlier line, or lost by a power cut after the file was written.
            terms = self._terms(call, shard)
            if call.state != "unknown":
                reserve = Reserved(*worst_case(call.body, terms.price))
                self._journal.sending(call.call_id, self._clock(), scope=terms.account, reserve=reserve)
            became = self._settle(call, answer, terms, shard, line_log, tally)
        else:
            line_log.already += 1
            if is_reply or call.state == "replied":
                line_log.answered.add(custom_id)
            return
        if tally_name := line_log.missed.pop(custom_id, ""):
            setattr(tally, tally_name, getattr(tally, tally_name) - 1)
        if became == "replied":
            line_log.answered.add(custom_id)
        else:
            line_log.missed[custom_id] = became
            if answer.is_filter:
                line_log.filtered[custom_id] = answer
        setattr(tally, became, getattr(tally, became) + 1)

    def _terms(self, call: BatchCall, shard: BatchShard | None) -> ShardTerms:
        """Terms of `shard`, else of the run's last shard, else of unknown price under the prompt hash."""
        if shard is None:
            shard = self._shards.last(call.run_id)
        return ShardTerms(call.prompt_hash, UNKNOWN) if shard is None else self._shards.terms(shard)

    def _settle(
        self,
        call: BatchCall,
        answer: AnswerLine,
        terms: ShardTerms,
        shard: BatchShard | None,
        line_log: Lines,
        tally: Tally,
    ) -> str:
        """Settle one call by its answer; returns the name of the `Tally` count: replied, failed, again or unknown."""
        headers = _headers(shard, answer.request_id)
        if answer.never_begun:
            self._journal.never_begun(
                call.call_id, answer.outcome, headers=headers, at=self._clock(), scope=terms.account
            )
            return "again"
        reply = ParsedReply.read(answer.raw or b"") if answer.outcome == "replied" else None
        state, passing, outcome, message = "failed", answer.passing, answer.outcome, answer.message or None
        if answer.outcome == UNREADABLE:
            state = "unknown"
        elif reply is not None:
            failure = failure_of(reply, RawReply(answer.raw or b"", answer.status or 200, {}))
            if failure is None:
                state, message = "replied", None
            else:
                state, passing = ("unknown" if failure.maybe_answered else "failed"), failure.retry
                outcome, message = failure.outcome, str(failure)
        end = CallEnd(state, outcome, answer.status, headers, answer.raw, message)
        self._journal.settle(call.call_id, end, at=self._clock(), scope=terms.account)
        if reply is not None and state == "replied":
            self._check(call, reply, terms, line_log, tally)
        elif state == "failed" and passing:
            self._journal.plan_again(call.call_id)
            return "again"
        return state

    def _check(self, call: BatchCall, reply: ParsedReply, terms: ShardTerms, line_log: Lines, tally: Tally) -> None:
        open_call = call.open_call
        checker = self._checker_of(call.run_id)
        reply_check = Checked(usage=reply.usage) if checker is None else checker.check(open_call, reply)
        used = read_usage(reply_check.usage)
        self._journal.charge(
            call.call_id,
            input_tokens=None if used is None else used.input_tokens,
            output_tokens=None if used is None else used.output_tokens,
            cost_nusd=actual_cost(terms.price, reply_check.usage),
            scope=terms.account,
            row_error=reply_check.row_error or None,
        )
        if reply_check.row_error:
            line_log.row_errors.append(reply_check.row_error)
        if (follow := reply_check.follow) is not None and add_follow_up(
            self._journal, open_call, follow.kind, follow.request_key, follow.body, self._clock()
        ):
            tally.followed += 1


def _headers(shard: BatchShard | None, request_id: str) -> dict[str, str]:
    headers = {"x-batch-id": (shard.batch or "") if shard is not None else "", "x-request-id": request_id}
    return {name: value for name, value in headers.items() if value}
