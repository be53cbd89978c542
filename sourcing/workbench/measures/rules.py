"""What the rules alone make of a gold document, without a model: every sentence parted and grounded, tags as tags."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sourcing.generation.descriptions.scraped import describe_document
from sourcing.generation.grounding.aspects import VettedReply, ground
from sourcing.generation.grounding.context import ReplyContext
from sourcing.generation.grounding.names import names_of
from sourcing.generation.text.phrases import sentences
from sourcing.workbench.measures.gold import GoldDocument
from sourcing.workbench.measures.scores import Words

__all__ = ["by_rules", "document_row", "track_row", "vetted_by_rules"]

_TAG = re.compile(r"\s*[,;|·#\n、，；]\s*")
_COUNT = re.compile(r"\s*[(\[]?[x×]?\s*(\d+)[)\]]?$")
_AT = datetime(2000, 1, 1, tzinfo=UTC)


def by_rules(document: GoldDocument) -> Words:
    """Aspects and caption of a document as if a model had copied every sentence of it."""
    result = vetted_by_rules(document)
    return Words([(aspect["text"], aspect["facet"]) for aspect in result.aspects], result.caption)


def vetted_by_rules(document: GoldDocument) -> VettedReply:
    """The same with the places of the aspects, and with what was left out."""
    row, _ = describe_document(track_row(document), document_row(document))
    caption = row["caption"] if row else None
    if document.kind == "tags":
        return VettedReply(row["aspects"] if row else [], caption)
    names = names_of((document.artist,), (document.title,), (document.album,))
    context = ReplyContext(names, document.language)
    payload = {"aspects": sentences(document.text), "caption": ""}
    result = ground(payload, document.text, doc_id=document.id, context=context)
    return VettedReply(result.aspects, caption, result.findings)


def track_row(document: GoldDocument) -> dict[str, Any]:
    """The document's track as the catalogue would hold it."""
    return {"track_id": document.id, "artist": document.artist, "title": document.title, "album": document.album,
            "language": document.language, "tags": [], "labels": [], "text": None}  # fmt: skip


def document_row(document: GoldDocument) -> dict[str, Any]:
    """The document as a crawl would have captured it; a tag cloud in tags, with their counts."""
    is_tags = document.kind == "tags"
    tags = []
    for tag in _TAG.split(document.text) if is_tags else ():
        count = _COUNT.search(tag)
        name = tag[: count.start()] if count else tag
        if name:
            tags.append({"name": name, "count": int(count.group(1)) if count else None})
    return {
        "doc_id": document.id, "source": "gold", "url": f"gold:{document.id}", "retrieved_at": _AT,
        "content_sha256": "0" * 64, "granularity": "recording", "title": document.title, "artist": document.artist,
        "album": document.album, "isrcs": [], "language": document.language, "tags": tags,
        "text": None if is_tags else document.text, "lead": None if is_tags else document.text,
        "licences": [{"field": "*", "licence": "CC0-1.0", "attribution": None}], "consent": "allow",
        "consent_evidence": [],
    }  # fmt: skip
