"""Provenance: one description with all it came from: quotes in their context, prompt, reply, checks and price."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from sourcing.errors import InputError
from sourcing.generation.journal.journal import Journal
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.nearest import nearest
from sourcing.store.schemas import Description, Document, Row, Track
from sourcing.store.workspace import Workspace

__all__ = ["provenance"]

_CONTEXT_CHARS = 60  # on either side of a quote
_WITHHELD = "the text is not in this workspace's documents table"


def provenance(workspace: Workspace, journal: Journal, description_id: str) -> dict[str, Any]:
    """Everything a description came from, as JSON values; InputError names near ids for an unknown one.

    Where a document or its text is not at hand, spans and addresses are told all the same.
    """
    table = workspace.read(Description)
    rows = table.filter(pl.col("description_id") == description_id).to_dicts()
    if not rows:
        near = nearest(description_id, table["description_id"].to_list(), "its table `descriptions` has the ids")
        raise InputError(f"description {description_id}", "the workspace has none of that id", near)
    (row,) = rows
    documents = _documents(workspace, row["doc_ids"])
    tracks = workspace.read(Track).filter(pl.col("track_id") == row["track_id"]).to_dicts()
    return {
        "description_id": description_id,
        "track": {name: tracks[0][name] for name in ("track_id", "title", "artist", "album")} if tracks else None,
        "origin": row["origin"],
        "language": row["language"],
        "caption": row["caption"],
        "aspects": [_aspect(aspect, documents) for aspect in row["aspects"]],
        "documents": [_document(doc_id, documents.get(doc_id)) for doc_id in row["doc_ids"]],
        "licences": row["licences"],
        "created_at": row["created_at"].isoformat(),
        "call": _call(journal, row),
        "left_out": _left_out(workspace, row["request_key"] or description_id),
    }


def _documents(workspace: Workspace, doc_ids: list[str]) -> dict[str, Row]:
    if not doc_ids or not workspace.has(Document):
        return {}
    table = workspace.read(Document).filter(pl.col("doc_id").is_in(doc_ids))
    return {row["doc_id"]: row for row in table.to_dicts()}


def _aspect(aspect: Mapping[str, Any], documents: Mapping[str, Row]) -> Row:
    """An aspect with its quotes, each in its context: before, quote and after."""
    quotes = []
    for span in aspect["evidence"] or ():
        text = (documents.get(span["doc_id"]) or {}).get("text")
        start, end = span["start"], span["end"]
        quote = {"doc_id": span["doc_id"], "start": start, "end": end}
        if text is None:
            quotes.append({**quote, "withheld": _WITHHELD})
        else:
            before, after = text[max(0, start - _CONTEXT_CHARS) : start], text[end : end + _CONTEXT_CHARS]
            quotes.append({**quote, "before": before, "quote": text[start:end], "after": after})
    return {"text": aspect["text"], "facet": aspect["facet"], "agreement": aspect["agreement"], "quotes": quotes}


def _document(doc_id: str, document: Row | None) -> Row:
    if document is None:
        return {"doc_id": doc_id, "withheld": "the document is no longer in the documents table"}
    names = ("source", "url", "permalink", "title", "retrieved_at", "consent", "licences")
    facts = {name: document[name] for name in names if name in document}
    return {"doc_id": doc_id, **facts, "retrieved_at": str(facts["retrieved_at"]), "has_text": bool(document["text"])}


def _call(journal: Journal, row: Row) -> Row | None:
    """The model call behind a description; None for one that no model made."""
    key = row["request_key"]
    if key is None:
        return None
    call = {"request_key": key, "prompt": row["prompt"], "prompt_hash": row["prompt_hash"], "model": row["model"]}
    answer = journal.reader.answer(key)
    if answer is None:
        return {**call, "withheld": "the call is not in this workspace's journal"}
    reply = ParsedReply.read(answer.raw) if answer.raw is not None else ParsedReply()
    follow_up = None if answer.request_key == key else _messages(journal, key)
    return {
        **call,
        "sample": row["sample_idx"],
        "messages": _messages(journal, answer.request_key),
        "follow_up": follow_up,  # what asked for this very reply, after one that was cut or did not fit
        "reply": reply.content,
        "finish_reason": reply.finish_reason,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "usd": None if answer.cost_nusd is None else answer.cost_nusd / 1e9,
        "seconds": round(answer.seconds, 3),
        "attempts": journal.reader.attempts(key),
    }


def _messages(journal: Journal, key: str) -> Any:
    return json.loads(journal.reader.body(key)).get("messages")


def _left_out(workspace: Workspace, key: str) -> list[Row]:
    """What the checks took out of the same reply: reasons and findings."""
    rejected = workspace.read_rejected()
    own = rejected.filter((pl.col("key") == key) & (pl.col("stage") == "describe"))
    return [{"reason": row["reason"], "finding": row["finding"]} for row in own.to_dicts()]
