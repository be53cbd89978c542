"""RawReply and CallFailed: what calls end in, and what each failure means for this call and for others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sourcing.generation.limits.headers import read_limits
from sourcing.generation.replies.bounded_json import whole_text
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.generation.replies.server_error import SPENT

__all__ = [
    "CallFailed",
    "CallRefused",
    "GatewayTimedOut",
    "MaybeAnswered",
    "NoAddress",
    "NotSent",
    "RawReply",
    "RefusedForAll",
    "RefusedForNow",
    "failure_of",
    "refusal",
]

_RETRIED_STATUSES = (408, 409, 429)
_FATAL_STATUSES = (401, 402, 403, 404)
_GATEWAY_TIMEOUTS = (504, 524)


@dataclass(frozen=True)
class RawReply:
    """Bytes of a reply with status and headers."""

    raw: bytes
    status: int
    headers: Mapping[str, str]


class CallFailed(Exception):
    """A call that brought no reply. Its class says what that means for this call and for others, in three flags.

    `retry`: another try may help; `fatal`: no call of this run can succeed; `maybe_answered`: the server may have
    answered, and billed, what never reached us whole. Such a call is not retried by itself, for that would pay twice
    without a word; only where a gateway timed out are both flags set.

    CallFailed
    ├── NotSent              nothing was sent; another try may help
    │   └── NoAddress        nothing can ever be sent
    ├── MaybeAnswered        it was on its way when it broke off, or what came cannot be read
    └── CallRefused          the server serves, only not this call
        ├── RefusedForNow    another try may help
        ├── RefusedForAll    key, account, address or model: the same for every call
        └── GatewayTimedOut  (504, 524) the model behind the gateway may go on, finish and bill
    """

    retry = fatal = maybe_answered = False

    def __init__(
        self,
        outcome: str,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """`outcome` is the journal's word for the failure.

        connection_refused (never sent), connection_lost (no byte of a reply), reply_cut (it began and broke off),
        timeout, http_<status>, quota_exhausted; of a 200: error_<status> (it carries that error), reply_unreadable
        """
        super().__init__(message)
        self.outcome, self.message = outcome, whole_text(message)  # both are written down
        self.status, self.headers, self.raw, self.retry_after_s = status, headers or {}, raw, retry_after_s

    def __str__(self) -> str:
        return self.message

    def recast(self, kind: type[CallFailed]) -> CallFailed:
        """Same failure as another class, as when the server is known to have died with the call."""
        return kind(
            self.outcome,
            self.message,
            status=self.status,
            headers=self.headers,
            raw=self.raw,
            retry_after_s=self.retry_after_s,
        )

    @property
    def is_throttled(self) -> bool:
        """Refused as too much: no fault of the call's, and no attempt of it."""
        if self.outcome == "quota_exhausted":
            return False
        return self.status == 429 or (self.status == 503 and self.retry_after_s is not None)

    def cure(self, key_variable: str) -> str:
        """Cure for the user, for failures that hold for every call."""
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


class NotSent(CallFailed):
    """No byte reached the server."""

    retry = True


class NoAddress(NotSent):
    """The address cannot be sent to."""

    retry, fatal = False, True


class MaybeAnswered(CallFailed):
    """The connection broke after the request was sent; whether it was answered and billed, nobody told."""

    maybe_answered = True


class CallRefused(CallFailed):
    """The server refused this one call."""


class RefusedForNow(CallRefused):
    """The server is busy, limited or broken at the moment."""

    retry = True


class RefusedForAll(CallRefused):
    """The server refuses every call of this run."""

    fatal = True


class GatewayTimedOut(CallRefused):
    """A gateway gave up waiting; the model behind it may go on, finish and bill."""

    retry = maybe_answered = True


def failure_of(reply: ParsedReply, raw_reply: RawReply) -> CallFailed | None:
    """Failure of a call with a good HTTP status, or None for an answer.

    An error in the place of an answer is that error, and nothing was charged. What cannot be read may have been billed.
    """
    if reply.error is not None:
        status = reply.error.status
        failure = refusal(status or 400, reply.error.code, raw_reply.headers)
        failure.outcome = failure.outcome.replace("http_", "error_") if status else "error"
        failure.status = status
        its_status = f" {status}" if status else ""
        failure.message = whole_text(f"HTTP {raw_reply.status} with an error{its_status}: {reply.words}")
        return failure
    if reply.reason == "reply_unreadable":
        message = f"HTTP {raw_reply.status}, but {reply.words}; it may have been billed"
        return MaybeAnswered(reply.reason, message, status=raw_reply.status, headers=raw_reply.headers)
    return None


def refusal(
    status: int, code: str, headers: Mapping[str, str], *, message: str = "", raw: bytes | None = None
) -> CallRefused:
    """Failure class for a status and an error code, with the meaning for this call and for others."""
    is_spent = code == SPENT
    return _refusal_class(status, is_spent=is_spent)(
        "quota_exhausted" if is_spent else f"http_{status}",
        f"HTTP {status}: {message}" if message else f"HTTP {status}",
        status=status,
        headers=headers,
        raw=raw,
        retry_after_s=read_limits(headers, now=time.time()).retry_after_s,
    )


def _refusal_class(status: int, *, is_spent: bool) -> type[CallRefused]:
    if is_spent or status in _FATAL_STATUSES or status < 400:
        return RefusedForAll
    if status in _GATEWAY_TIMEOUTS:
        return GatewayTimedOut
    return RefusedForNow if status in _RETRIED_STATUSES or status >= 500 else CallRefused
