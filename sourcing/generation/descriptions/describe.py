"""Description rows from all inputs: the catalogue, matched documents and model replies."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.scraped import (
    UNKNOWN_LICENCE,
    describe_catalogue,
    describe_document,
    licence_of,
    rejected_row,
)
from sourcing.generation.descriptions.table_builder import Rows, TableBuilder
from sourcing.generation.grounding.aspects import Finding, VettedReply, accept, ground
from sourcing.generation.grounding.context import NO_RULES, PackRules, ReplyContext
from sourcing.generation.grounding.leaks import hide_lyrics
from sourcing.generation.grounding.names import names_of
from sourcing.generation.grounding.quotes import read_document
from sourcing.generation.replies.parsed_reply import ROW_ERROR, name_of
from sourcing.generation.replies.payload import answer_of
from sourcing.generation.text.folding import tidy_phrase
from sourcing.generation.text.lyrics import NO_RUNS
from sourcing.generation.text.phrases import split_phrase
from sourcing.store.processes import map_in_helpers
from sourcing.store.schemas import Description, Document, Match, Rejected, Row, Track

__all__ = ["describe", "describe_reply", "example_aspects"]

_LOT = 2000  # replies read together
_WORTH_HELPERS = 3  # lots below which starting processes costs more than it saves
_MAX_ASPECTS = 1000  # of a reply; a model that lists more repeats itself


def describe(
    tracks: dy.DataFrame[Track],
    documents: dy.DataFrame[Document],
    matches: dy.DataFrame[Match],
    replies: Iterable[Reply],
    *,
    rules: Mapping[str, PackRules] | None = None,
    helpers: int = 0,
) -> tuple[dy.DataFrame[Description], dy.DataFrame[Rejected]]:
    """Describe tracks from catalogue, documents and replies: descriptions sorted by description_id, and rejected rows.

    A pure function: rows depend neither on the order of replies nor on the clock (replies grouped by document run
    faster, as the work on a document is cached). `created_at` is the date of the newest input, and 1970-01-01 for rows
    of the catalogue, which has no dates. Only accepted matches of documents with consent "allow" are used, also for
    replies older than a change of match or consent. `rules` maps prompt ids to the leak lint's `PackRules` (see
    `rules_of`). More than 2 * _LOT replies are read by `helpers` processes.
    """
    track_of, document_of = Rows(tracks, "track_id"), Rows(documents, "doc_id")
    pairs = list(matches.filter(band="accept").select("track_id", "doc_id").iter_rows())
    builder = TableBuilder()

    def keep(track_id: str, description: Row | None, left_out: list[Row]) -> None:
        builder.keep(None if description is None else _complete(track_id, description), left_out)

    for track in tracks.iter_rows(named=True):
        keep(track["track_id"], *describe_catalogue(track))
    for track_id, doc_id in sorted(pairs):
        pair = track_of.get(track_id), document_of.get(doc_id)
        problem = _pair_problem(*pair, track_id, doc_id)
        if problem is not None:
            builder.keep(None, [rejected_row(f"{track_id} {doc_id}", problem)])
        elif pair[0] is not None and pair[1] is not None:
            keep(track_id, *describe_document(pair[0], pair[1]))
    lots = _lots(replies, track_of, document_of, pairs)
    few = list(islice(lots, _WORTH_HELPERS))
    helpers = helpers if len(few) == _WORTH_HELPERS else 0
    describe_lot = partial(_describe_lot, rules or {})
    for description_rows, rejected_rows in map_in_helpers(describe_lot, chain(few, lots), helpers):
        builder.add(description_rows, rejected_rows)
    return builder.descriptions(), builder.rejected()


class _Lot(NamedTuple):
    """Up to _LOT replies with the tracks, documents and accepted pairs of these replies, for one process."""

    replies: list[Reply]
    tracks: pl.DataFrame
    documents: pl.DataFrame
    accepted: set[tuple[str, str]]


def _lots(
    replies: Iterable[Reply], track_of: Rows, document_of: Rows, accepted_pairs: Sequence[tuple[str, str]]
) -> Iterator[_Lot]:
    waiting = iter(replies)
    documents_of, pairs_accepted = _documents_of(accepted_pairs), set(accepted_pairs)
    while own := list(islice(waiting, _LOT)):
        pairs = {(reply.track_id, reply.doc_id or "") for reply in own}
        pairs |= {(reply.track_id, doc) for reply in own if not reply.doc_id for doc in documents_of[reply.track_id]}
        tracks, documents = ({pair[place] for pair in pairs} for place in (0, 1))
        yield _Lot(own, track_of.only(tracks), document_of.only(documents), pairs_accepted & pairs)


def _documents_of(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Track id → sorted ids of its matched documents."""
    documents: dict[str, list[str]] = defaultdict(list)
    for track_id, doc_id in sorted(pairs):
        documents[track_id].append(doc_id)
    return documents


def _describe_lot(rules: Mapping[str, PackRules], lot: _Lot) -> tuple[pl.DataFrame, pl.DataFrame]:
    track_of, document_of = Rows(lot.tracks, "track_id"), Rows(lot.documents, "doc_id")
    builder, documents_of = TableBuilder(), _documents_of(lot.accepted)
    for reply in lot.replies:
        track, document = track_of.get(reply.track_id), document_of.get(reply.doc_id or "")
        problem = _reply_standing(reply, track, document, lot.accepted)
        if problem is not None:
            builder.keep(None, [rejected_row(reply.request_key, problem)])
        elif track is not None:
            about = () if reply.doc_id else map(document_of.get, documents_of[reply.track_id])
            try:
                description, left_out = describe_reply(
                    reply,
                    track,
                    document,
                    about_track=[row["text"] for row in about if row and row["text"]],
                    rules=rules.get(reply.prompt_id, NO_RULES),
                )
            except Exception as error:  # one reply never ends the describing of the others
                description, left_out = None, [rejected_row(reply.request_key, Finding(ROW_ERROR, name_of(error)))]
            builder.keep(None if description is None else _complete(reply.track_id, description), left_out)
    return builder.parts()


def describe_reply(
    reply: Reply,
    track: Mapping[str, Any],
    document: Mapping[str, Any] | None,
    *,
    rules: PackRules = NO_RULES,
    about_track: Iterable[str] = (),
) -> tuple[Row | None, list[Row]]:
    """Turn one reply into a description row without id and track (None when no aspect is kept), and rejected rows.

    A reply about a document is grounded in the document's text. A reply without a document is accepted on the model's
    word, except lyrics found in the texts `about_track`.
    """
    fits = _is_mined if reply.doc_id is not None else _is_prompted
    payload, notes = answer_of(reply, fits, "aspects and a caption")
    if payload is None:
        traces = NO_RUNS if document is None else read_document(document["text"] or "").lyric_traces
        return None, [rejected_row(reply.request_key, note) for note in hide_lyrics(notes, traces)]
    if document is None:
        if payload.get("known") is False:
            finding = Finding("recording_unknown", f"{reply.model} says that it does not know this recording")
            return None, [rejected_row(reply.request_key, note) for note in (*notes, finding)]
        names = names_of((track["artist"],), (track["title"],), (track["album"],))
        result = accept(payload, context=ReplyContext(names, reply.language, rules), documents=about_track)
        origin, doc_ids, licences, created_at = "prompted", [], ["model"], reply.replied_at
    else:
        names = names_of(*((track[kind], document[kind]) for kind in ("artist", "title", "album")))
        context = ReplyContext(names, reply.language, rules)
        result = ground(payload, document["text"] or "", doc_id=document["doc_id"], context=context)
        licence = licence_of(document, "text")
        if result.caption and licence == UNKNOWN_LICENCE:
            finding = Finding("caption_licence_unknown", "no licence is known for the text the caption was copied from")
            result = replace(result, caption=None, findings=[*result.findings, finding])
        origin, doc_ids, licences = "mined", [document["doc_id"]], [licence]
        created_at = max(reply.replied_at, document["retrieved_at"])
    findings = [*notes, *result.findings]
    if not result.aspects:
        findings.append(_nothing(result, document))
    rejected_rows = [rejected_row(reply.request_key, finding) for finding in findings]
    if not result.aspects:
        return None, rejected_rows
    description = {
        "origin": origin,
        "language": reply.language,
        "aspects": result.aspects,
        "caption": result.caption,
        "doc_ids": doc_ids,
        "licences": licences,
        "prompt": f"{reply.prompt_id}@{reply.prompt_version}",
        "prompt_hash": reply.prompt_hash,
        "model": reply.model,
        "request_key": reply.request_key,
        "sample_idx": reply.sample_idx,
        "created_at": created_at,
    }
    return description, rejected_rows


def example_aspects(messages: Iterable[tuple[str, str]]) -> list[str]:
    """Aspects and quotes in a pack's worked examples (assistant messages holding JSON), whole and split as in replies.

    An example of another shape is skipped.
    """
    aspects: list[str] = []
    for role, content in messages:
        try:
            payload = json.loads(content) if role == "assistant" else None
        except (ValueError, RecursionError):
            continue
        listed_aspects = payload.get("aspects") if isinstance(payload, dict) else None
        for aspect in listed_aspects if isinstance(listed_aspects, list) else ():
            texts = [aspect.get("text"), aspect.get("quote")] if isinstance(aspect, dict) else [aspect]
            for text in texts:
                if isinstance(text, str):
                    aspects += [text, *(part.text for part in split_phrase(tidy_phrase(text)))]
    return aspects


def _is_mined(payload: object) -> bool:
    return _has_shape(payload, "quote")


def _is_prompted(payload: object) -> bool:
    return _has_shape(payload, "text")


def _has_shape(payload: object, key: str) -> bool:
    if not isinstance(payload, dict) or not isinstance(payload.get("aspects"), list):
        return False
    if len(payload["aspects"]) > _MAX_ASPECTS:
        return False
    if not isinstance(payload.get("caption", ""), str | None):
        return False
    return all(
        isinstance(aspect, str)
        or (isinstance(aspect, dict) and isinstance(aspect.get(key), str) and isinstance(aspect.get("text", ""), str))
        for aspect in payload["aspects"]
    )


def _reply_standing(
    reply: Reply, track: Row | None, document: Row | None, accepted_pairs: set[tuple[str, str]]
) -> Finding | None:
    if reply.doc_id is None:
        return None if track is not None else _track_unknown(reply.track_id)
    problem = _pair_problem(track, document, reply.track_id, reply.doc_id)
    if problem is None and (reply.track_id, reply.doc_id) not in accepted_pairs:
        return Finding(
            "match_not_accepted", f"document {reply.doc_id} is no longer taken to be about track {reply.track_id}"
        )
    return problem


def _pair_problem(track: Row | None, document: Row | None, track_id: str, doc_id: str) -> Finding | None:
    if track is None:
        return _track_unknown(track_id)
    if document is None:
        return Finding("document_unknown", f"document {doc_id} is no longer in the documents table")
    if document["consent"] != "allow":
        return Finding(
            "consent_denied", f"document {doc_id} may not be used: {'; '.join(document['consent_evidence'])}"
        )
    return None


def _track_unknown(track_id: str) -> Finding:
    return Finding("track_unknown", f"track {track_id} is no longer in the catalogue")


def _nothing(result: VettedReply, document: Mapping[str, Any] | None) -> Finding:
    if document is not None and not document["text"]:
        return Finding("document_without_text", f"document {document['doc_id']} has no text to hold the reply against")
    finding_count = len(result.findings)
    return Finding("nothing_supported", f"no aspect of the reply was kept ({finding_count} findings)")


def _complete(track_id: str, description: Row) -> Row:
    """Complete a `Description` row; the id hashes track, origin, documents and request key, not the content."""
    request_key = description.get("request_key")
    made_from = json.dumps([track_id, description["origin"], description["doc_ids"], request_key])
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    lineage = dict.fromkeys(("prompt", "prompt_hash", "model", "request_key", "sample_idx"))
    return {
        **lineage,
        **description,
        "description_id": f"{description['origin']}:{digest}",
        "track_id": track_id,
        "aspect_list": [aspect["text"] for aspect in description["aspects"]],
    }
