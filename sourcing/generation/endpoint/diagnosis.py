"""Diagnosis: the facts that a probe tells of a model server, and in words all that a run on it will lack."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from sourcing.generation.endpoint.dialect import DIALECTS
from sourcing.generation.endpoint.endpoint import Endpoint

__all__ = ["DOCTOR_FILE", "Diagnosis", "missing"]

DOCTOR_FILE = "doctor.json"


@dataclass
class Diagnosis:
    """The facts that a probe tells of a server; None where it could not tell.

    `problem` and `cure` are set when the server is of no use.
    """

    endpoint: str
    identity: str
    model: str
    dialect: str
    checked_at: str
    dialect_seen: str | None = None  # what the server says it is
    reachable: bool = False
    authorised: bool | None = None
    model_known: bool | None = None
    model_reported: str | None = None
    schema_enforced: bool | None = None
    around_json: str = ""  # what the server puts around the JSON it is asked for
    streams: bool = False  # it answers in pieces though asked not to
    max_tokens_obeyed: bool | None = None
    usage: bool | None = None
    rate_headers: list[str] = field(default_factory=list)
    seed_honoured: bool | None = None
    batch: bool | None = None
    stored: bool | None = None
    max_context_tokens: int | None = None
    latency_s: float | None = None  # median of the calls answered
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0  # of the output tokens, or estimated of the text of its thoughts
    findings: list[str] = field(default_factory=list)  # what will be missing, and what to do
    problem: str | None = None
    cure: str | None = None

    @property
    def usable(self) -> bool:
        return self.problem is None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "usable": self.usable}


def missing(diagnosis: Diagnosis, endpoint: Endpoint) -> list[str]:
    """Sentences on every feature a run on this server will lack, each with its cure."""
    words = []
    if diagnosis.dialect_seen not in (None, diagnosis.dialect):
        title = DIALECTS[diagnosis.dialect_seen].title
        words.append(f'it says it is {title}: set [generation] dialect = "{diagnosis.dialect_seen}"')
    if diagnosis.model_known is False and diagnosis.usable:
        words.append(
            f"its list has no {diagnosis.model}, it answered as {diagnosis.model_reported}:"
            " see that it is the one meant"
        )
    if diagnosis.around_json:
        words.append(
            f"it puts {diagnosis.around_json} around the JSON: replies are read without a repair call, but the tokens"
            " of what stands around are billed"
        )
    if diagnosis.thinking_tokens:
        words.append(
            f"it thinks before it answers: about {diagnosis.thinking_tokens} of {diagnosis.output_tokens} tokens out"
            " were thoughts, billed as output; turn thinking off at the server, or leave max_tokens room for it"
        )
    if diagnosis.streams:
        words.append(
            "it streams although asked not to: replies are put together; those without usage count at their worst"
        )
    if diagnosis.schema_enforced is False:
        words.append(
            "replies are not held to the schema: expect rejected ones, or use a server that enforces json_schema"
        )
    if diagnosis.max_tokens_obeyed is False:
        words.append("max_tokens is not obeyed: no budget can be a ceiling here; do not run it against money")
    if diagnosis.usage is False:
        words.append("replies do not say what they used: every call is counted at its worst case")
    if diagnosis.calls and diagnosis.usable and not diagnosis.rate_headers:
        words.append("limits are not told in headers: set them per minute, or they are learnt from refusals")
    if diagnosis.seed_honoured is False:
        words.append("a seed is not honoured: a reply lost is not made again word for word")
    if diagnosis.usable and diagnosis.max_context_tokens is None:
        outcome = (
            "longer prompts are cut without a word" if diagnosis.dialect == "ollama" else "a prompt too long is refused"
        )
        words.append(f"the longest context is not told: {outcome}; look it up and keep documents short enough")
    if diagnosis.batch is False and endpoint.dialect.batch:
        words.append("the Batch API does not answer here: only online calls are possible")
    return words
