"""The matching stage: exact identifiers first, then scored pairs inside blocks, then bands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import dataframely as dy
import polars as pl

from sourcing.matching.blocking import Blocks
from sourcing.matching.names import read_artist, read_title
from sourcing.matching.scoring import DocumentSide, Pair, TrackSide, score_pair
from sourcing.store.schemas import Document, Match, Track

__all__ = ["match_documents"]

_TIE = 0.005


def match_documents(
    documents: dy.DataFrame[Document],
    tracks: dy.DataFrame[Track],
    *,
    accept_score: float,
    review_score: float,
    max_duration_gap_s: float,
    on_document: Callable[[], object] = lambda: None,
) -> dy.DataFrame[Match]:
    """Matches in the bands accept, review and reject, sorted by track_id and doc_id.

    A shared MBID or ISRC scores 1.0. Else the score is title similarity times artist evidence. Version words on
    one side only, other numbers, and far-off durations reject whatever the score; pages about artists and
    releases, and prose that does not name the artist, stay in review. A document is accepted for several tracks
    only where nothing in the catalogue tells them apart. `on_document` is called after each document.
    """
    known = [_track_side(row) for row in tracks.iter_rows(named=True)]
    blocks = Blocks(known)
    columns = [name for name in Document.column_names() if name not in ("licences", "tags", "consent_evidence")]
    rows: list[dict[str, object]] = []
    for row in documents.select(columns).iter_rows(named=True):
        document = _document_side(row)
        exact = _exact(document, known, blocks)
        taken = {pair.track.track_id for pair in exact}
        pairs = exact + [
            pair
            for position in blocks.candidates(document)
            if known[position].track_id not in taken
            and (pair := _scored(known[position], document, max_duration_gap_s)) is not None
        ]
        rows.extend(_banded(pairs, accept_score, review_score))
        on_document()
    frame = pl.DataFrame(rows, schema=Match.create_empty().schema, orient="row")
    return Match.validate(frame.sort("track_id", "doc_id"))


def _track_side(row: dict[str, object]) -> TrackSide:
    return TrackSide(
        track_id=str(row["track_id"]),
        title=read_title(str(row["title"])),
        artist=read_artist(str(row["artist"])),
        mbid=_text(row["mbid"]) or None,
        isrc=_text(row["isrc"]) or None,
        duration_s=_number(row["duration_s"]),
    )


def _document_side(row: dict[str, object]) -> DocumentSide:
    title, title_raw = _text(row["title"]), _text(row["title_raw"])
    isrcs = row["isrcs"]
    return DocumentSide(
        doc_id=str(row["doc_id"]),
        title=read_title(title or title_raw, title_raw or None) if title or title_raw else None,
        artist=read_artist(_text(row["artist"])) if row["artist"] else None,
        mbid=_text(row["mbid"]) or None,
        isrcs=frozenset(isrcs) if isinstance(isrcs, list) else frozenset(),
        duration_s=_number(row["duration_s"]),
        granularity=str(row["granularity"]),
        lead_track_id=_text(row["lead_track_id"]) or None,
        heading=title_raw or title,
        lead=_text(row["lead"]),
        text=_text(row["text"]),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _exact(document: DocumentSide, tracks: list[TrackSide], blocks: Blocks) -> list[Pair]:
    found: dict[int, Pair] = {}
    for position in blocks.by_mbid.get(document.mbid or "", ()):
        found[position] = Pair(tracks[position], document, 1.0, 1.0, ["MusicBrainz recording id equal"], "mbid")
    for isrc in sorted(document.isrcs):
        for position in blocks.by_isrc.get(isrc, ()):
            if position not in found:
                found[position] = Pair(tracks[position], document, 1.0, 1.0, [f"ISRC {isrc} equal"], "isrc")
    return [found[position] for position in sorted(found)]


def _scored(track: TrackSide, document: DocumentSide, max_duration_gap_s: float) -> Pair | None:
    pair = score_pair(track, document, max_duration_gap_s=max_duration_gap_s)
    led_here = document.lead_track_id == track.track_id  # then its own id was merged into the document's
    if pair and track.mbid and document.mbid and not led_here:
        pair.veto = True
        pair.reasons.insert(0, "MusicBrainz recording ids differ")
    return pair


def _banded(pairs: Iterable[Pair], accept_score: float, review_score: float) -> list[dict[str, object]]:
    pairs = list(pairs)
    below_accept = (accept_score + min(review_score, accept_score)) / 2
    for pair in pairs:
        if pair.doubt:
            pair.score = min(pair.score, below_accept)
    _settle_rivals([pair for pair in pairs if not pair.veto and pair.score >= accept_score], below_accept)
    rows: list[dict[str, object]] = []
    for pair in pairs:
        band = "accept" if pair.score >= accept_score else "review" if pair.score >= review_score else "reject"
        rows.append(
            {
                "track_id": pair.track.track_id,
                "doc_id": pair.document.doc_id,
                "score": round(pair.score, 4),
                "band": "reject" if pair.veto else band,
                "method": pair.method,
                "reasons": pair.reasons,
            }
        )
    return rows


def _settle_rivals(accepted: list[Pair], below_accept: float) -> None:
    """Leave one track per document accepted, or several that nothing tells apart; the others go to review."""
    exact = [pair for pair in accepted if pair.method != "text"]
    scored = [pair for pair in accepted if pair.method == "text"]
    best = max((pair.score for pair in scored), default=0.0)
    leaders = [pair for pair in scored if pair.score >= best - _TIE]
    alike: defaultdict[tuple[object, ...], list[Pair]] = defaultdict(list)
    for pair in leaders:
        alike[_identity(pair.track)].append(pair)
    for pair in scored:
        if exact:
            pair.reasons.insert(0, f"its id names track {exact[0].track.track_id}")
        elif pair not in leaders:
            pair.reasons.insert(0, f"track {leaders[0].track.track_id} fits better")
        elif len(alike) > 1:
            pair.reasons.insert(0, f"fits {len(leaders)} tracks equally well")
        else:
            continue
        pair.score = min(pair.score, below_accept)


def _identity(track: TrackSide) -> tuple[object, ...]:
    """What tells two tracks apart: title, version, artist, length to the nearest five seconds."""
    length = round(track.duration_s / 5) if track.duration_s else None
    return track.title.full, track.title.versions, track.title.version_words, track.artist.whole, length
