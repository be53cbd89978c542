"""The doctor: probes a model server by a handful of tiny calls, and gives a `Diagnosis`.

The calls are real ones and are billed like any other; the diagnosis counts them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from sourcing.generation.cost.prices import read_usage
from sourcing.generation.endpoint.client import ChatClient
from sourcing.generation.endpoint.diagnosis import Diagnosis, missing
from sourcing.generation.endpoint.dialect import choose_dialect, fit_body
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.endpoint.local import LocalEndpoint
from sourcing.generation.replies.bounded_json import load_json
from sourcing.generation.replies.failures import CallFailed, CallRefused, RawReply, failure_of
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.generation.replies.payload import read_payload, thought_chars
from sourcing.generation.wire import body_bytes, unstreamed

__all__ = ["diagnose"]

#: An answer of this shape to "say hello" comes from the schema or not at all.
_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["kelp_index", "verdict"],
    "properties": {
        "kelp_index": {"type": "integer", "enum": [4711, 1815]},
        "verdict": {"type": "string", "enum": ["umber", "celadon"]},
    },
}
_SCHEMA_TOKENS = 64
_REASONING_TOKENS = 2048  # it thinks first, and thoughts count
_LONG_TOKENS = 24  # far fewer than the answer asked for needs
_CHARS_A_TOKEN = 4
_OWNERS = {"vllm": "vllm", "llamacpp": "llama.cpp"}
_CONTEXT_NAMES = ("max_model_len", "n_ctx", "context_length", "context_window", "max_context_length")


def diagnose(
    endpoint: Endpoint, *, timeout_s: float, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Diagnosis:
    """Probe the endpoint once, starting the embedded model if needed. Never raises for what a server does."""
    diagnosis = Diagnosis(
        endpoint=endpoint.name,
        identity=endpoint.identity,
        model=endpoint.model,
        dialect=endpoint.dialect.name,
        checked_at=clock().isoformat(timespec="seconds"),
    )
    if endpoint.is_local:
        with LocalEndpoint() as server:
            local_endpoint = replace(endpoint, base_url=server.base_url, api_key=server.api_key)
            asyncio.run(_Probe(local_endpoint, diagnosis).examine(timeout_s))
    else:
        asyncio.run(_Probe(endpoint, diagnosis).examine(timeout_s))
    return diagnosis


class _Probe:
    """One examination. `dialect` may turn out to be another one than the endpoint's."""

    def __init__(self, endpoint: Endpoint, diagnosis: Diagnosis) -> None:
        self.endpoint, self.diagnosis, self.dialect = endpoint, diagnosis, endpoint.dialect
        self.latencies_s: list[float] = []
        self.counts_usage: list[bool] = []  # of each reply, whether it said what it used

    async def examine(self, timeout_s: float) -> None:
        async with ChatClient(self.endpoint, timeout_s=timeout_s, concurrency=1) as self.client:
            try:
                await self._look_at_models()
                await self._try_schema()
            except CallFailed as failure:
                self._of_no_use(failure)
            else:
                try:
                    await self._try_seed()
                except CallFailed as failure:
                    self.diagnosis.findings.append(f"not all could be tried ({failure}); ask the doctor again later")
                await self._look_for_offers()
        diagnosis = self.diagnosis
        diagnosis.latency_s = round(median(self.latencies_s), 4) if self.latencies_s else None
        diagnosis.usage = all(self.counts_usage) if self.counts_usage else None
        diagnosis.findings += missing(diagnosis, self.endpoint)

    def _of_no_use(self, failure: CallFailed) -> None:
        diagnosis = self.diagnosis
        diagnosis.problem, diagnosis.cure = str(failure), failure.cure(self.endpoint.dialect.key_variable)
        diagnosis.reachable = failure.outcome != "connection_refused"
        if failure.status in (401, 403):
            diagnosis.authorised = False

    async def _look_at_models(self) -> None:
        diagnosis = self.diagnosis
        if not self.dialect.lists_models:
            return
        catalogue = await self._get("models")
        models = catalogue.get("data") if isinstance(catalogue, dict) else None
        if not isinstance(models, list):
            return
        entries = {entry.get("id"): entry for entry in models if isinstance(entry, dict)}
        diagnosis.model_known = self.endpoint.model in entries
        entry = entries.get(self.endpoint.model, {})
        diagnosis.max_context_tokens = _context_tokens(entry)
        diagnosis.dialect_seen = _OWNERS.get(str(entry.get("owned_by")))
        if diagnosis.dialect_seen is None and (entry.get("owned_by") == "library" or self.dialect.name == "ollama"):
            version = await self._get("/api/version")
            diagnosis.dialect_seen = "ollama" if isinstance(version, dict) and "version" in version else None

    async def _try_schema(self) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "probe", "strict": True, "schema": _SCHEMA}}
        body = {"messages": _asking("Say hello in one short sentence."), "seed": 7, "response_format": form}
        try:
            completion = await self._chat({"temperature": 0, **body}, _SCHEMA_TOKENS)
        except CallFailed as failure:
            if failure.status not in (400, 422) or self.dialect.reasoning:
                raise
            if "max_completion_tokens" in str(failure) or "temperature" in str(failure):
                self._take_for_reasoning()
                completion = await self._chat({"temperature": 0, **body}, _SCHEMA_TOKENS)
            else:
                del body["response_format"]
                completion = await self._chat({"temperature": 0, **body}, _SCHEMA_TOKENS)
                self.diagnosis.findings.append(f"a schema is refused ({failure}); see whether a newer server takes it")
        payload = read_payload(completion.content or "")
        self.diagnosis.schema_enforced = not payload.around and payload.last(_fits) is not None
        if payload.around and payload.last(_fits) is not None:
            self.diagnosis.around_json = payload.around

    def _take_for_reasoning(self) -> None:
        assert self.endpoint.base_url is not None
        self.dialect = choose_dialect(
            self.endpoint.base_url,
            self.endpoint.model,
            name=self.dialect.name,
            api_version=self.dialect.api_version,
            reasoning=True,
        )
        self.diagnosis.findings.append(
            "the model takes max_completion_tokens and no temperature, as reasoning models do:"
            " set [generation] reasoning = true"
        )

    async def _try_seed(self) -> None:
        body = {"messages": _asking("Write two hundred unrelated words."), "temperature": 1, "seed": 7}
        first = await self._chat(body, _LONG_TOKENS)
        self.diagnosis.max_tokens_obeyed = _obeyed(first)
        second = await self._chat(body, _LONG_TOKENS)
        if first.content:
            self.diagnosis.seed_honoured = first.content == second.content

    async def _look_for_offers(self) -> None:
        if self.dialect.key_header == "api-key":  # Azure keeps them at other addresses
            return
        self.diagnosis.batch = _is_list(await self._get("batches?limit=1"))
        self.diagnosis.stored = _is_list(await self._get("chat/completions?limit=1"))

    async def _chat(self, body: Mapping[str, Any], max_tokens: int) -> ParsedReply:
        """Send one counted call, and note headers and features of its reply."""
        diagnosis = self.diagnosis
        if self.dialect.reasoning and max_tokens == _SCHEMA_TOKENS:
            max_tokens = _REASONING_TOKENS
        whole = {"model": self.endpoint.model, **body, "max_tokens": max_tokens}
        diagnosis.calls += 1
        started_s = time.monotonic()
        answer: RawReply = await self.client.send_bytes(unstreamed(body_bytes(fit_body(whole, self.dialect))))
        self.latencies_s.append(time.monotonic() - started_s)
        completion = ParsedReply.read(answer.raw)
        failure = failure_of(completion, answer)
        if failure is not None and completion.error is not None:
            raise failure
        used = read_usage(completion.usage)
        self.counts_usage.append(used is not None)
        diagnosis.input_tokens += used.input_tokens if used else 0
        diagnosis.output_tokens += used.output_tokens if used else 0
        diagnosis.thinking_tokens += thinking_tokens(completion)
        diagnosis.streams = diagnosis.streams or completion.is_streamed
        diagnosis.reachable = diagnosis.authorised = True
        if completion.content is None and not completion.finish_reason:
            problem = completion.words or "what it answers is no chat completion"
            raise failure or CallRefused("not_a_completion", problem, status=answer.status)
        diagnosis.model_reported = completion.model or None
        diagnosis.rate_headers = sorted({*diagnosis.rate_headers, *_telling(answer.headers)})
        return completion

    async def _get(self, path: str) -> Any:
        """The JSON that a free question brings; None when it is not answered. A server not there at all raises."""
        try:
            return load_json((await self.client.get(path)).raw.decode(errors="replace"))
        except CallFailed as failure:
            if failure.outcome == "connection_refused":
                raise
            return None
        except ValueError:
            return None


def _asking(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def thinking_tokens(reply: ParsedReply) -> int:
    """Number of thinking tokens of a reply, as far as told; by a rule of thumb where only their text came."""
    details = reply.usage.get("completion_tokens_details")
    reasoning_tokens = details.get("reasoning_tokens") if isinstance(details, dict) else None
    if isinstance(reasoning_tokens, int) and reasoning_tokens > 0:
        return reasoning_tokens
    return (reply.thinking + thought_chars(reply.content or "")) // _CHARS_A_TOKEN


def _fits(value: Any) -> bool:
    properties: dict[str, Any] = _SCHEMA["properties"]  # type: ignore[assignment]
    return (
        isinstance(value, dict)
        and set(value) == set(properties)
        and all(value[name] in kind["enum"] for name, kind in properties.items())
    )


def _obeyed(reply: ParsedReply) -> bool | None:
    """True when an answer was cut where it was to be; None where it ended by itself before, which tells nothing."""
    used = reply.usage.get("completion_tokens")
    least = used if isinstance(used, int) else len((reply.content or "").split())  # a word is a token, or more
    if least > _LONG_TOKENS:
        return False
    return True if reply.finish_reason == "length" else None


def _is_list(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("object") == "list"


def _context_tokens(entry: Mapping[str, Any]) -> int | None:
    meta = entry.get("meta")
    fields = {**(meta if isinstance(meta, dict) else {}), **entry}
    return next((fields[name] for name in _CONTEXT_NAMES if isinstance(fields.get(name), int)), None)


def _telling(headers: Mapping[str, str]) -> list[str]:
    """Names of the rate headers with a meaningful value: some servers send 0 or -1 for a limit they do not have."""
    limits = {name: value for name, value in headers.items() if name.startswith("x-ratelimit-limit-")}
    return [name for name, value in limits.items() if value not in ("0", "-1", "")]
