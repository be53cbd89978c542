"""A small world for generation tests: tracks, documents, matches and a prompt pack, made of plain rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from sourcing.generation.calls import PlannedCall
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.journal.journal import Journal
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.planning.plan import Scope, Tables, plan_calls
from sourcing.generation.run.job import Job, run_job
from sourcing.generation.run.options import RunOptions, RunResult
from sourcing.store import Document, Match, Track, Workspace

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)

PROSE = (
    "The piece opens with slow solo piano and warm strings. Brushed drums enter halfway, "
    "and the mood stays calm and wistful until a quiet coda."
)

PROMPT = """---
format: 1
id: {id}
version: {version}
description: {description}
owners: [someone]
inputs:
{inputs}
output:
  type: object
  additionalProperties: false
  required: [aspects, caption]
  properties:
    aspects:
      type: array
      items:
        type: object
        additionalProperties: false
        required: [quote, text, facet]
        properties:
          quote: {{type: string}}
          text: {{type: string}}
          facet: {{type: string}}
    caption: {{type: string}}
model: {{temperature: {temperature}, max_tokens: 200, seed: 3}}
samples: {samples}
---
--- system ---
Name what you hear.
--- user ---
{user}
"""


def write_pack(root: Path, pack_id: str = "mine", **changes: Any) -> Path:
    """Write a pack folder and return it; `inputs` is a mapping name → type."""
    values: dict[str, Any] = {
        "id": pack_id,
        "version": "1.0.0",
        "description": "a pack",
        "inputs": {"title": "string", "document": "string"},
        "temperature": 0.5,
        "samples": 1,
        "user": "{{ title }}: {{ document }}",
        **changes,
    }
    lines = [
        f"  {name}: {kind if kind.startswith('{') else '{type: ' + kind + '}'}"
        for name, kind in values["inputs"].items()
    ]
    folder = root / pack_id
    folder.mkdir(parents=True, exist_ok=True)
    text = PROMPT.format(**{**values, "inputs": "\n".join(lines)})
    (folder / "prompt.j2").write_text(text, encoding="utf-8")
    return folder


def tracks(count: int = 3, **columns: Any) -> pl.DataFrame:
    """Tracks t-000 ..., two to an artist."""
    rows = [
        {
            "track_id": f"t-{n:03}",
            "title": f"Song {n}",
            "artist": f"Artist {n // 2}",
            "tags": [],
            "labels": [],
            **columns,
        }
        for n in range(count)
    ]
    return Track.validate(pl.DataFrame(rows, schema=Track.create_empty().schema), cast=True)


def documents(texts: dict[str, str], **columns: Any) -> pl.DataFrame:
    """Documents by id → text."""
    rows = [
        {
            "doc_id": doc_id,
            "source": "pages",
            "url": f"http://localhost/{doc_id}",
            "retrieved_at": AT,
            "content_sha256": "0" * 64,
            "granularity": "recording",
            "title": doc_id,
            "isrcs": [],
            "language": "en",
            "tags": [],
            "text": text,
            "licences": [{"field": "text", "licence": "CC0-1.0", "attribution": None}],
            "consent": "allow",
            "consent_evidence": [],
            **columns,
        }
        for doc_id, text in texts.items()
    ]
    return Document.validate(pl.DataFrame(rows, schema=Document.create_empty().schema), cast=True)


def matches(pairs: list[tuple[str, str]], band: str = "accept") -> pl.DataFrame:
    rows = [
        {"track_id": track_id, "doc_id": doc_id, "score": 1.0, "band": band, "method": "text", "reasons": []}
        for track_id, doc_id in pairs
    ]
    return Match.validate(pl.DataFrame(rows, schema=Match.create_empty().schema), cast=True)


def fill(root: Path, count: int = 4, text: str = PROSE) -> Workspace:
    """A workspace with `count` tracks and one accepted document for each."""
    workspace = Workspace(root)
    workspace.write(Track, tracks(count))
    workspace.write(Document, documents({f"d-{n:03}": f"Song {n} is described here. {text}" for n in range(count)}))
    workspace.write(Match, matches([(f"t-{n:03}", f"d-{n:03}") for n in range(count)]))
    return workspace


SECRET = "sk-very-secret-0123456789"
#: A reply that the document of each track in `fill` bears out.
MINED = json.dumps(
    {
        "aspects": ["The piece opens with slow solo piano and warm strings."],
        "caption": "A calm piece with slow solo piano and warm strings.",
    }
)


class World:
    """A workspace with tracks, a pack that asks for each by its title, and runs of it against one server."""

    def __init__(self, root: Path, url: str, count: int = 4, **pack: Any) -> None:
        self.workspace = Workspace(root)
        self.folder = self.workspace.generation_dir
        self.workspace.write(Track, tracks(count))
        asked = {"inputs": {"title": "string"}, "user": "{{ title }}", **pack}
        self.pack_folder = write_pack(root / "prompts", "recall", **asked)
        base = f"{url}/v1"
        self.endpoint = Endpoint(name=base, identity=f"{base} m", model="m", base_url=base, api_key=SECRET)

    @property
    def calls(self) -> tuple[PlannedCall, ...]:
        return plan_calls(load_pack(self.pack_folder), self.endpoint, Tables(self.workspace.read(Track))).calls

    @property
    def account(self) -> str:
        return load_pack(self.pack_folder).prompt_hash

    def job(self, scope: Scope | None = None, **changes: Any) -> Job:
        options = {"concurrency": 2, "timeout_s": 10.0, "max_attempts": 3, "backoff_s": 0.001, **changes}
        options["account"] = self.account
        return Job(self.workspace.root, self.pack_folder, self.endpoint, scope or Scope(), RunOptions(**options))

    def run(self, scope: Scope | None = None, **changes: Any) -> RunResult:
        return run_job(self.job(scope, **changes))

    def journal(self) -> Journal:
        return Journal.open(self.folder)
