"""What calls end in: the answer as it arrived, or CallFailed, which says what it means for this call and for others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sourcing.generation.limits.headers import read_limits
from sourcing.generation.replies.bounded_json import whole_text
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.generation.replies.server_error import SPENT

__all__ = ["Answer", "CallFailed", "failure_of", "refusal"]

_RETRIED_STATUSES = (408, 409, 429)
_FATAL_STATUSES = (401, 402, 403, 404)
#: A gateway gave up waiting; the model behind it may go on, finish and bill.
_GATEWAY_TIMEOUTS = (504, 524)


@dataclass(frozen=True)
class Answer:
    """A reply as it arrived."""

    raw: bytes
    status: int
    headers: Mapping[str, str]


@dataclass
class CallFailed(Exception):
    """A call that brought no reply. `retry`: another try may help; `fatal`: no call of this run can succeed.

    `maybe_answered` is true where the server may have answered, and billed, what never reached us whole: from the
    moment the request is on its way until a status tells otherwise. Such a call is not retried by itself, for that
    would pay twice without a word; only where a gateway timed out (504, 524) both flags are set.
    """

    #: connection_refused (never sent), connection_lost (no byte of a reply), reply_cut (it began and broke off),
    #: timeout, http_<status>, quota_exhausted; of a 200: error_<status> (it carries that error), reply_unreadable
    outcome: str
    message: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    retry: bool = False
    fatal: bool = False
    maybe_answered: bool = False
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        self.message = whole_text(self.message)  # it is written down

    def __str__(self) -> str:
        return self.message

    @property
    def is_throttled(self) -> bool:
        """Refused as too much: no fault of the call's, and no attempt of it."""
        if self.outcome == "quota_exhausted":
            return False
        return self.status == 429 or (self.status == 503 and self.retry_after_s is not None)

    def cure(self, key_variable: str) -> str:
        """What a user can do, where it holds for every call."""
        if self.outcome == "connection_refused":
            return "start it, check the address, or use --endpoint local"
        if self.outcome == "quota_exhausted" or self.status == 402:
            return "top up the account, then run the same command again"
        if self.outcome == "timeout":
            return "raise [generation] timeout_s, or give the server a smaller model"
        match self.status:
            case 401 | 403:
                return f"set {key_variable} to a key that this server and model accept"
            case 404:
                return "check --base-url (it usually ends in /v1) and --model"
            case 429:
                return "it is busy or its limits are used up; try again later"
        if self.outcome.startswith("http_3"):
            return "name that address as --base-url, if a model server is there"
        return "see the server's own log"


def failure_of(reply: ParsedReply, answer: Answer) -> CallFailed | None:
    """What is amiss with a call whose HTTP status was a good one, or None where it was answered.

    An error in the place of an answer is that error, and nothing was charged. What cannot be read may have been billed.
    """
    if reply.error is not None:
        status = reply.error.status
        failure = refusal(status or 400, reply.error.code, answer.headers)
        outcome = failure.outcome.replace("http_", "error_") if status else "error"
        message = f"HTTP {answer.status} with an error{f' {status}' if status else ''}: {reply.words}"
        return replace(failure, outcome=outcome, message=message, status=failure.status if status else None)
    if reply.reason == "reply_unreadable":
        message = f"HTTP {answer.status}, but {reply.words}; it may have been billed"
        return CallFailed(reply.reason, message, answer.status, answer.headers, maybe_answered=True)
    return None


def refusal(status: int, code: str, headers: Mapping[str, str]) -> CallFailed:
    """What a status says of this call and of others."""
    is_spent = code == SPENT
    return CallFailed(
        outcome="quota_exhausted" if is_spent else f"http_{status}",
        message=f"HTTP {status}",
        status=status,
        headers=headers,
        retry=not is_spent and (status in _RETRIED_STATUSES or status >= 500),
        fatal=is_spent or status in _FATAL_STATUSES or status < 400,
        maybe_answered=status in _GATEWAY_TIMEOUTS,
        retry_after_s=read_limits(headers, now=time.time()).retry_after_s,
    )
