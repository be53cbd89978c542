"""BatchWire: client of OpenAI's Files and Batches API, with retries that never create the same batch twice."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, TypeGuard, TypeVar
from urllib.parse import urlsplit

import httpx2
import openai
from openai.pagination import SyncCursorPage
from openai.types import Batch, FileObject
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from sourcing.errors import CrossmusimError, UpstreamError, UsageError
from sourcing.generation.batch.jsonl import CHAT_URL, CutShort, json_lines
from sourcing.generation.endpoint.connection import CONNECT_TIMEOUT_S
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.replies.bounded_json import whole_text
from sourcing.redactor import know, redact
from sourcing.store.retry_after import retry_after_s

__all__ = ["ENDED", "BatchRefused", "BatchSeen", "BatchWire", "NotThere", "require_batches"]

#: Statuses that a batch never leaves.
ENDED = ("completed", "failed", "expired", "cancelled")

_SHARD = "crossmusim_shard"
_PASSING = (408, 409, 429)
_LONGEST_PAUSE_S = 600.0

T = TypeVar("T")


class BatchRefused(UpstreamError):
    """The server refused a request for good, and created no file or batch."""


class NotThere(UpstreamError):
    """The server does not know the batch or file, or no longer."""


class _Odd(Exception):
    """A response with a success status and an unusable body, such as a proxy's page or a cut body."""


class _Unlisted(Exception):
    """The batches at the server could not be listed, which refuses neither a file nor a batch."""

    def __init__(self, error: openai.APIStatusError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class BatchSeen:
    """State of a batch at the server; `counts`: total, completed and failed lines, None where not reported."""

    batch: str
    status: str
    output_file: str | None = None
    error_file: str | None = None
    error: str = ""  # "code: message" of one that failed as a whole
    counts: tuple[int, int, int] | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class BatchWire:
    """Batch API client, `with BatchWire(endpoint, ...) as wire: wire.look(batch)`; retries passing failures.

    UpstreamError when failures persist, NotThere for an unknown batch or file, BatchRefused for a refusal, UsageError
    where there is no Batch API.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout_s: float,
        max_attempts: int,
        backoff_s: float = 1.0,
        look_again_s: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`look_again_s`: seconds a new batch may take to appear in the server's list."""
        require_batches(endpoint)
        know(endpoint.api_key)  # should the server ever echo it
        self._endpoint, self._timeout_s, self._look_again_s = endpoint, timeout_s, look_again_s
        self._max_attempts, self._backoff_s, self._sleep = max_attempts, backoff_s, sleep

    @property
    def chat_url(self) -> str:
        """Value of `url` in request lines: /v1/chat/completions, for Azure without /v1."""
        return CHAT_URL.removeprefix("/v1") if self._endpoint.dialect.name.startswith("azure") else CHAT_URL

    def __enter__(self) -> BatchWire:
        assert self._endpoint.base_url is not None
        loopback = urlsplit(self._endpoint.base_url).hostname in ("127.0.0.1", "::1", "localhost")
        self._client = openai.OpenAI(
            base_url=self._endpoint.base_url,
            api_key=self._endpoint.api_key or "none-needed",
            max_retries=0,
            timeout=httpx2.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S, pool=None),
            # A key goes nowhere but where it was meant for.
            http_client=openai.DefaultHttpxClient(trust_env=not loopback, follow_redirects=False),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def upload(self, name: str, size: int, stream: IO[bytes], *, maybe_there: bool = False) -> str:
        """Upload a file unless listed at the server by name and size (`maybe_there`, or on a retry); returns its id."""

        def send(again: bool) -> str:
            if again and (file_there := self._listed_file(name, size)):
                return file_there
            stream.seek(0)
            new_file = _asked(
                lambda: self._client.files.create(file=(name, stream, "application/jsonl"), purpose="batch")
            )
            return _is(new_file, FileObject).id

        return self._ask("take the file", send, again=maybe_there)

    def create(self, name: str, file_id: str, *, maybe_there: bool = False) -> BatchSeen:
        """Create the batch of shard `name`, or return the batch already listed, looked up twice with a pause between.

        The look-up comes first after a lost answer or a 5xx, or with `maybe_there` (a process ended while creating).
        """

        def make(again: bool) -> BatchSeen:
            if again and (batch_there := self._listed_batch(name)):
                return batch_there
            new_batch = _asked(
                lambda: self._client.batches.create(
                    input_file_id=file_id,
                    endpoint=self.chat_url,  # type: ignore[arg-type]
                    completion_window="24h",
                    metadata={_SHARD: name},
                )
            )
            return _seen(_is(new_batch, Batch))

        return self._ask("make the batch", make, again=maybe_there)

    def find(self, name: str) -> BatchSeen | None:
        """Batch listed for shard `name`, or None."""
        return self._ask("list its batches", lambda _: self._listed_batch(name))

    def look(self, batch: str) -> BatchSeen:
        return self._ask("tell of the batch", lambda _: self._retrieved(batch), batch)

    def cancel(self, batch: str) -> BatchSeen:
        """Cancel a batch at the server and return its state; an ended batch is left unchanged."""

        def end(_: bool) -> BatchSeen:
            try:
                return _seen(_is(_asked(lambda: self._client.batches.cancel(batch)), Batch))
            except (openai.BadRequestError, openai.ConflictError):
                state = self._retrieved(batch)
                if state.ended or state.status == "cancelling":
                    return state
                raise

        return self._ask("cancel the batch", end, batch)

    def read(self, file_id: str, take: Callable[[Iterator[bytes]], T]) -> T:
        """Stream the lines of a file through `take` and return its result; a broken download calls `take` anew."""

        known_ends: set[bytes] = set()

        def download(_: bool) -> T:
            with self._client.files.with_streaming_response.content(file_id) as response:
                return take(json_lines(response.iter_bytes(), known_ends=known_ends))

        return self._ask("send the file", download, file_id)

    def _retrieved(self, batch: str) -> BatchSeen:
        return _seen(_is(_asked(lambda: self._client.batches.retrieve(batch)), Batch))

    def _listed_file(self, name: str, size: int) -> str | None:
        for entry in _pages(lambda: self._client.files.list(purpose="batch")):
            if entry.filename == name and entry.bytes == size and entry.status != "error":
                return str(entry.id)
        return None

    def _listed_batch(self, name: str) -> BatchSeen | None:
        try:
            for last in (False, True):
                for entry in _pages(lambda: self._client.batches.list(limit=100)):
                    if isinstance(entry.metadata, dict) and entry.metadata.get(_SHARD) == name:
                        return _seen(_is(entry, Batch))
                if not last:
                    self._sleep(self._look_again_s)
        except openai.APIStatusError as error:
            raise _Unlisted(error) from error
        return None

    def _ask(self, what: str, question: Callable[[bool], T], thing: str = "", *, again: bool = False) -> T:
        """Retry `question(again)` while `_passes` holds for the error; `again` is True from the second attempt on."""
        retrying = Retrying(
            retry=retry_if_exception(_passes),
            stop=stop_after_attempt(self._max_attempts),
            wait=self._pause_s,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            for attempt in retrying:
                with attempt:
                    return question(again or attempt.retry_state.attempt_number > 1)
        except _Unlisted as listing_error:
            upstream_error = self._said("list what it has", "", listing_error.error)
            raise UpstreamError(upstream_error.thing, upstream_error.found, upstream_error.cure) from None
        except (openai.OpenAIError, httpx2.HTTPError, CutShort, _Odd) as error:
            raise self._said(what, thing, error) from None
        raise AssertionError("a question ends in an answer or an error")

    def _pause_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        error = error.error if isinstance(error, _Unlisted) else error
        pause_s = _pause_asked_s(error) if isinstance(error, openai.APIStatusError) else None
        random_s = float(wait_random_exponential(multiplier=self._backoff_s, max=60)(state))
        return random_s if pause_s is None else max(pause_s, random_s)

    def _said(self, what: str, thing: str, error: Exception) -> CrossmusimError:
        name, attempt = self._endpoint.name, f"could not {what} {thing}".rstrip()
        if not isinstance(error, openai.APIStatusError):
            cure = "see that it is reachable, then run the same command again"
            return UpstreamError(name, f"{attempt} ({self._plain(error)})", cure)
        status, code = error.status_code, f"{error.code}: " if error.code else ""
        finding = f"{attempt}: HTTP {status}: {code}{self._plain(error).removeprefix(f'Error code: {status} - ')}"
        if status in (401, 403):
            variable = self._endpoint.dialect.key_variable
            return BatchRefused(name, finding, f"set {variable} to a key this endpoint and model accept")
        if status == 402 or error.code == "insufficient_quota":
            return BatchRefused(name, finding, "top up the account, then run the same command again")
        if status in (404, 405, 501):
            return _no_batches(self._endpoint, finding) if not thing else NotThere(name, finding, _OTHER_KEY)
        if _passes(error):
            return UpstreamError(name, finding, "run the same command again")
        return BatchRefused(name, finding, "mend that, then run the same command again")

    def _plain(self, error: Exception) -> str:
        text = " ".join(str(getattr(error, "message", "") or error or type(error).__name__).split())
        cause = error.__cause__
        text = f"{text} {cause}" if isinstance(error, openai.APIConnectionError) and cause else text
        return redact(whole_text(text))[:300]


_OTHER_KEY = "use the key it was submitted with; `crossmusim generate batch cancel` gives it up"


def require_batches(endpoint: Endpoint) -> None:
    """Raise UsageError for an endpoint without a Batch API: embedded model or Azure deployment; no request is sent."""
    if endpoint.base_url is None:
        raise _no_batches(endpoint, "it has no Batch API")
    if endpoint.dialect.key_header == "api-key":
        cure = "name the resource's address that ends in /openai/v1"
        raise UsageError(endpoint.name, "addresses of Azure deployments have no Batch API", cure)


def _no_batches(endpoint: Endpoint, finding: str) -> UsageError:
    export = "`crossmusim generate batch export PACK --out calls.jsonl` for a file that `vllm run-batch` reads"
    return UsageError(endpoint.name, finding, f"use `crossmusim generate run PACK`, or {export}")


def _passes(error: BaseException) -> bool:
    error = error.error if isinstance(error, _Unlisted) else error
    if isinstance(error, openai.APIStatusError):
        if error.code == "insufficient_quota" or (_pause_asked_s(error) or 0.0) > _LONGEST_PAUSE_S:
            return False
        return error.status_code in _PASSING or (error.status_code >= 500 and error.status_code != 501)
    return isinstance(error, (openai.APIConnectionError, httpx2.TransportError, CutShort, _Odd))


def _pause_asked_s(error: openai.APIStatusError) -> float | None:
    return retry_after_s(error.response.headers, now=time.time())


def _asked(question: Callable[[], T]) -> T:
    """Call the `openai` client, with its errors on malformed, deeply nested or mistyped JSON raised as _Odd."""
    try:
        return question()
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise _Odd(f"its answer cannot be read ({type(error).__name__})") from None


def _is(answer: object, kind: type[T]) -> T:
    """Return `answer` when it is a `kind` with a usable id, else raise _Odd; the `openai` client checks no types."""
    name = getattr(answer, "id", None)
    if not isinstance(answer, kind) or not _is_name(name):
        raise _Odd(f"it answered with {redact(_shown(answer))[:80]!r}")
    return answer


def _is_name(value: object) -> TypeGuard[str]:
    """True for 1 to 200 printable ASCII characters without a secret: fit for a URL and for the journal."""
    return isinstance(value, str) and re.fullmatch(r"[!-~]{1,200}", value) is not None and redact(value) == value


def _shown(answer: object) -> str:
    try:
        return whole_text(str(answer))
    except (ValueError, RecursionError):
        return type(answer).__name__


def _pages(first_page: Callable[[], Any]) -> Iterator[Any]:
    """Yield the entries of all pages of a list, up to the last, an empty or a repeated page."""
    first: set[str] = set()
    page = _asked(first_page)
    while True:
        if not isinstance(page, SyncCursorPage) or not isinstance(page.data, list):
            raise _Odd(f"it answered with {redact(_shown(page))[:80]!r}")
        entries = [entry for entry in page.data if _is_name(getattr(entry, "id", None))]
        if not entries or entries[0].id in first:
            return
        first.add(entries[0].id)
        yield from entries
        if page.has_more is not True:
            return
        page = _asked(page.get_next_page)


def _seen(batch: Batch) -> BatchSeen:
    counts = [getattr(batch.request_counts, name, None) for name in ("total", "completed", "failed")]
    errors = getattr(batch.errors, "data", None)
    error = errors[0] if isinstance(errors, list) and errors else None
    values = [getattr(error, name, None) for name in ("code", "message")]
    status, output_file, error_file = batch.status, batch.output_file_id, batch.error_file_id
    return BatchSeen(
        batch=batch.id,
        status=str(status) if _is_name(status) else "of unknown status",
        output_file=output_file if _is_name(output_file) else None,
        error_file=error_file if _is_name(error_file) else None,
        error=redact(whole_text(": ".join(part for part in values if isinstance(part, str) and part)))[:500],
        counts=_counts(counts),
    )


def _counts(values: list[Any]) -> tuple[int, int, int] | None:
    """Counts (total, completed, failed), missing as 0; None when all are missing or one is no int in 0..10**9."""
    counts = [0 if count is None else count for count in values]
    if values == [None] * 3 or not all(type(count) is int and 0 <= count <= 10**9 for count in counts):
        return None
    return (counts[0], counts[1], counts[2])
