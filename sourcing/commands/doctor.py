"""`crossmusim doctor`: ask a model server a handful of tiny questions before a run asks it a million."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.generation.endpoint.diagnosis import Diagnosis

__all__ = ["doctor"]

_ANSWERS = {True: "yes", False: "no", None: "not told"}


@click.command
@click.option("--endpoint", type=click.Choice(["local"]), help="`local`: the embedded model, offline.")
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server, e.g. http://host:8000/v1.")
@click.option("--model", metavar="NAME", help="The model, by the name the server knows it by.")
@click.option("--dialect", metavar="NAME", help="openai, azure, azure-v1, vllm, llama.cpp, ollama or compatible.")
@click.option("--api-version", metavar="DATE", help="Of Azure's older form.")
@click.option("--reasoning/--no-reasoning", default=None, help="Whether the model thinks first; told by its name.")
@click.pass_obj
def doctor(
    invocation: Invocation,
    endpoint: str | None,
    base_url: str | None,
    model: str | None,
    dialect: str | None,
    api_version: str | None,
    reasoning: bool | None,
) -> None:
    """Say what a model server can do, what a run on it will have to do without, and what to do about that.

    It makes three to five tiny calls, which are billed like any other.

    \b
    Example:
      crossmusim doctor --base-url https://host/v1 --model NAME
    """
    from sourcing.errors import UpstreamError, UsageError
    from sourcing.generation.endpoint.diagnosis import DOCTOR_FILE
    from sourcing.generation.endpoint.doctor import diagnose
    from sourcing.generation.endpoint.endpoint import resolve_endpoint
    from sourcing.store.workspace import write_json

    if endpoint == "local" and (base_url or model):
        raise UsageError("--endpoint local", "it was given with --base-url or --model", "leave out one or the other")
    flags = {"base_url": base_url, "model": model, "dialect": dialect}
    invocation.override("generation", **flags, api_version=api_version, reasoning=reasoning)
    generation = invocation.settings.generation
    target = resolve_endpoint(
        generation,
        local=endpoint == "local",
        environment=os.environ,
    )
    invocation.note(f"asking {target.name} ...")
    diagnosis = diagnose(target, timeout_s=generation.timeout_s)
    write_json(invocation.workspace.generation_dir / DOCTOR_FILE, diagnosis.as_dict())
    if diagnosis.problem is not None:
        raise UpstreamError(f"model server {target.name}", diagnosis.problem, diagnosis.cure or "see its log")
    dialect_origin = "as named" if generation.dialect else "told by the address"
    invocation.emit(diagnosis.as_dict(), _lines(diagnosis, dialect_origin))


def _lines(diagnosis: Diagnosis, dialect_origin: str) -> list[object]:
    from rich.table import Table

    table = Table("", "found", title=f"{diagnosis.model} at {diagnosis.endpoint}")
    for what, value in (
        ("dialect", diagnosis.dialect_seen or f"{diagnosis.dialect} ({dialect_origin})"),
        ("model answers as", diagnosis.model_reported or _ANSWERS[None]),
        ("schema enforced", _ANSWERS[diagnosis.schema_enforced]),
        ("max_tokens obeyed", _ANSWERS[diagnosis.max_tokens_obeyed]),
        ("usage in replies", _ANSWERS[diagnosis.usage]),
        ("limits in headers", ", ".join(diagnosis.rate_headers) or "no"),
        ("seed honoured", _ANSWERS[diagnosis.seed_honoured]),
        ("Batch API", _ANSWERS[diagnosis.batch]),
        ("stored completions", _ANSWERS[diagnosis.stored]),
        ("longest context", f"{context} tokens" if (context := diagnosis.max_context_tokens) else _ANSWERS[None]),
        ("a call takes", f"{diagnosis.latency_s:.2f} s" if diagnosis.latency_s is not None else _ANSWERS[None]),
    ):
        table.add_row(what, value)
    spent = f"it took {diagnosis.calls} calls, {diagnosis.input_tokens} tokens in and {diagnosis.output_tokens} out"
    return [table, *(f"- {finding}" for finding in diagnosis.findings), f"{spent}, billed like any other"]
