"""Items: what a pack is asked about on the workbench, from its cases, the gold documents or the catalogue's tracks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sourcing.errors import PromptError
from sourcing.generation.packs.cases import Case, Expect
from sourcing.generation.packs.judges import is_judge, judged_name
from sourcing.generation.packs.pack import Pack
from sourcing.generation.planning.plan import CAPTION_LANGUAGE, Scope, Tables, cut_document, languages_of, target_inputs
from sourcing.generation.planning.targets import find_targets
from sourcing.generation.text.lexicon import facet_of
from sourcing.generation.wire import canonical_json, sha256_hex
from sourcing.store.schemas import Row
from sourcing.workbench.measures.gold import GoldDocument
from sourcing.workbench.measures.rules import document_row, track_row

__all__ = ["AUTHOR", "Item", "item_of_gold", "items_of_cases", "items_of_gold", "items_of_tracks"]

#: The model that made what a judge's case judges.
AUTHOR = "author"
_AT = datetime(2000, 1, 1, tzinfo=UTC)  # nothing an item asserts depends on the time


@dataclass(frozen=True)
class Item:
    """One thing a pack is asked about: inputs of its prompt, and the rows its reply is held against.

    Items of one `cluster` (an artist, or the item itself) count as one in intervals.
    """

    name: str
    inputs: Mapping[str, Any]
    track: Row
    document: Row | None = None
    cluster: str = ""
    expect: Expect = field(default_factory=Expect)
    samples: int = 1
    pass_at_least: int = 1
    gold: GoldDocument | None = None
    judged: Row | None = None  # the description that a judge is asked about

    @property
    def language(self) -> str:
        return str(self.inputs.get("language") or (self.document or {}).get("language") or CAPTION_LANGUAGE)

    @property
    def doc_id(self) -> str | None:
        if self.judged is not None:
            return judged_name(self.judged)
        return None if self.document is None else str(self.document["doc_id"])

    @property
    def source(self) -> str | None:
        """The text that quotes are looked for in."""
        return None if self.document is None else self.document["text"]

    @property
    def digest(self) -> str:
        """Equal for items that pose the same question: name, inputs and document."""
        return sha256_hex(canonical_json([self.name, json.loads(json.dumps(dict(self.inputs))), self.source]))[:16]


def items_of_cases(pack: Pack, cases: Sequence[Case]) -> list[Item]:
    """One item per case; PromptError for a judge's case without aspects."""
    return [_item_of_case(pack, case) for case in cases]


def _item_of_case(pack: Pack, case: Case) -> Item:
    inputs = case.inputs
    if is_judge(pack) and not inputs.get("aspects"):
        raise PromptError(f"prompt pack {pack.name} case {case.name!r}", "it has no aspects", "list those to be judged")
    return Item(
        name=case.name,
        inputs=inputs,
        track=_track(case.name, inputs),
        document=_document(case.name, inputs) if "document" in inputs else None,
        cluster=str(inputs.get("artist") or case.name),
        expect=case.expect,
        samples=case.samples,
        pass_at_least=case.pass_at_least or case.samples,
        judged=_description(case.name, inputs) if is_judge(pack) else None,
    )


def items_of_gold(pack: Pack, documents: Sequence[GoldDocument]) -> list[Item]:
    """One item per gold document; PromptError for a pack that reads no document, as gold documents are all it has."""
    if is_judge(pack) or "document" not in pack.inputs:
        raise PromptError(f"prompt pack {pack.name}", "it does not describe documents", "name a pack that does")
    items = []
    for gold in documents:
        item = item_of_gold(gold)
        values = {
            "title": gold.title, "artist": gold.artist, "album": gold.album or "", "year": None,
            "tags": [tag["name"] for tag in document_row(gold)["tags"]], "language": gold.language,
            "document": cut_document(gold.text), "document_title": gold.title,
        }  # fmt: skip
        items.append(replace(item, inputs={name: values[name] for name in pack.inputs if name in values}))
    return items


def item_of_gold(gold: GoldDocument) -> Item:
    """A gold document as an item without inputs, for those who describe it without a prompt."""
    return Item(gold.id, {}, track_row(gold), {**document_row(gold), "text": gold.text}, gold.id, gold=gold)


def items_of_tracks(pack: Pack, tables: Tables, scope: Scope) -> Iterator[Item]:
    """One item per target and language of a plan: a track, or a track with one of its documents."""
    if is_judge(pack):
        raise PromptError(f"prompt pack {pack.name}", "it judges descriptions, not tracks", "run it on its cases")
    for target in find_targets(pack, tables, scope):
        track, document = dict(target.track), None if target.document is None else dict(target.document)
        names = [str(track["track_id"]), *([str(document["doc_id"])] if document else [])]
        languages = languages_of(pack, target, scope)
        for language in languages:
            yield Item(
                name=" ".join([*names, *([language] if len(languages) > 1 else [])]),
                inputs={**target_inputs(pack, target, language), "language": language}
                if "language" in pack.inputs
                else target_inputs(pack, target, language),
                track=track,
                document=document,
                cluster=str(track["group_id"] or track["artist"]),
            )


def _track(name: str, inputs: Mapping[str, Any]) -> Row:
    return {
        "track_id": name,
        "title": inputs.get("title") or "untitled",
        "artist": inputs.get("artist") or "unnamed",
        "album": inputs.get("album") or None,
        "year": inputs.get("year"),
        "language": inputs.get("language"),
        "tags": list(inputs.get("tags") or []),
        "labels": [],
        "text": None,
    }


def _document(name: str, inputs: Mapping[str, Any]) -> Row:
    return {
        "doc_id": name,
        "source": "case",
        "url": "case:",
        "retrieved_at": _AT,
        "content_sha256": "0" * 64,
        "granularity": "recording",
        "title": inputs.get("document_title") or None,
        "artist": None,
        "album": None,
        "language": inputs.get("language"),
        "isrcs": [],
        "tags": [],
        "text": inputs["document"],
        "licences": [{"field": "*", "licence": "CC0-1.0", "attribution": None}],  # it is about the words, not the terms
        "consent": "allow",
        "consent_evidence": [],
    }


def _description(name: str, inputs: Mapping[str, Any]) -> Row:
    """Description row of a judge's case, by model AUTHOR; `mined` with a document in the inputs, else `prompted`."""
    reads_document = bool(inputs.get("document"))
    evidence = [{"doc_id": name, "start": 0, "end": 1}] if reads_document else []
    origin = "mined" if reads_document else "prompted"
    return {
        "description_id": f"{origin}:{0:016x}",
        "track_id": name,
        "origin": origin,
        "language": str(inputs.get("language") or CAPTION_LANGUAGE),
        "aspect_list": list(inputs["aspects"]),
        "caption": inputs.get("caption") or None,
        "aspects": [{"text": text, "facet": facet_of(text), "evidence": evidence} for text in inputs["aspects"]],
        "doc_ids": [name] if reads_document else [],
        "licences": ["CC0-1.0"],
        "model": AUTHOR,
        "request_key": name,
        "created_at": _AT,
    }
