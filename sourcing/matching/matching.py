"""The matching stage: exact identifiers first, then scored pairs inside blocks, then bands; verdicts win."""

from __future__ import annotations

import io
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import dataframely as dy
import polars as pl

from sourcing.matching.banding import MatchRow, Thresholds, band_pairs
from sourcing.matching.blocking import Blocks
from sourcing.matching.othernames import NO_OTHER_NAMES, OtherNames, learn_names
from sourcing.matching.scoring import Pair, score_pair
from sourcing.matching.sides import (
    DOCUMENT_COLUMNS,
    TEXT_CHARS,
    TRACK_COLUMNS,
    DocumentSide,
    TrackSide,
    read_document,
    read_track,
)
from sourcing.matching.verdicts import Verdict
from sourcing.store.processes import begin_helper
from sourcing.store.schemas import Document, Match, Track

__all__ = ["match_documents", "match_one"]

_CHUNK = 500  # documents handed to a worker at once
_WORTH_WORKERS = 5_000  # documents below which starting processes costs more than it saves


def match_documents(
    documents: dy.DataFrame[Document],
    tracks: dy.DataFrame[Track],
    thresholds: Thresholds,
    *,
    verdicts: Mapping[tuple[str, str], Verdict] | None = None,
    workers: int = 1,
    on_progress: Callable[[int], object] = lambda count: None,
) -> dy.DataFrame[Match]:
    """Matches in the bands accept, review and reject, sorted by track_id and doc_id.

    A shared MBID or ISRC scores 1.0. Else the score is title similarity times artist evidence. Version words on
    one side only, other numbers, and far-off durations reject whatever the score; pages about artists and
    releases, and prose that does not name the artist, stay in review. A document is accepted for several tracks
    only where nothing in the catalogue tells them apart. A verdict, by (track_id, doc_id), wins over all of this.
    Aliases that documents bring, equal ids and accepting verdicts also teach other names of artists and titles
    (`learn_names`), by which text is matched.
    Of a document's rejected pairs the nearest twenty are kept. `on_progress` is called with a count as documents are
    done. The rows are the same for any number of workers.
    """
    verdicts = dict(verdicts or {})
    accepted_pairs = [pair for pair, verdict in verdicts.items() if verdict.verdict == "accept"]
    names = learn_names(documents, tracks, accepted_pairs)
    rule = _Rule(thresholds, verdicts, names)
    columns = [*DOCUMENT_COLUMNS[:-1], pl.col("text").str.slice(0, TEXT_CHARS)]
    chunks = (documents.slice(start, _CHUNK).select(columns) for start in range(0, documents.height, _CHUNK))
    few_tracks = tracks.select(TRACK_COLUMNS)
    empty = pl.DataFrame(Match.create_empty())
    frames = [empty]
    for document_count, rows in _run(rule, few_tracks, chunks, workers if documents.height >= _WORTH_WORKERS else 1):
        frames.append(pl.DataFrame(rows, schema=empty.schema, orient="row"))
        on_progress(document_count)
    return Match.validate(pl.concat(frames).sort("track_id", "doc_id"))


def match_one(
    track: Mapping[str, object], document: Mapping[str, object], thresholds: Thresholds
) -> tuple[str, float, list[str]]:
    """(band, score, reasons) of one document held against one track alone; columns left out are unknown."""
    rule = _Rule(thresholds)
    nothing = dict.fromkeys((*TRACK_COLUMNS, *DOCUMENT_COLUMNS))
    title_raw = document.get("title_raw") or document.get("title")
    page = {**nothing, "doc_id": "d", "granularity": "recording", **document, "title_raw": title_raw}
    rows = _Matcher(rule, [{**nothing, "track_id": "t", **track}]).match([page])
    return (rows[0][3], rows[0][2], rows[0][5]) if rows else ("reject", 0.0, ["too far apart to be kept"])


@dataclass(frozen=True)
class _Rule:
    thresholds: Thresholds
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    other_names: OtherNames = NO_OTHER_NAMES


class _Matcher:
    """Tracks indexed once, and the rule for comparing documents with tracks."""

    def __init__(self, rule: _Rule, tracks: Iterable[Mapping[str, object]]) -> None:
        self.rule = rule
        self.tracks = [read_track(row, other_names=rule.other_names) for row in tracks]
        self.blocks = Blocks(self.tracks)
        self.review_ids: defaultdict[str, list[str]] = defaultdict(list)
        for track_id, doc_id in rule.verdicts:
            self.review_ids[doc_id].append(track_id)

    def match(self, documents: Iterable[Mapping[str, object]]) -> list[MatchRow]:
        return [row for values in documents for row in self._match_one(read_document(values))]

    def _match_one(self, document: DocumentSide) -> list[MatchRow]:
        pairs = _exact(document, self.tracks, self.blocks)
        track_ids = {pair.track.track_id for pair in pairs}
        for position in self.blocks.candidates(document):
            track = self.tracks[position]
            if track.track_id not in track_ids and (pair := self._scored(track, document)) is not None:
                pairs.append(pair)
                track_ids.add(track.track_id)
        for track_id in self.review_ids.get(document.doc_id, ()):
            if (
                track_id not in track_ids and track_id in self.blocks.by_id
            ):  # a verdict outlives the score that led to it
                track = self.tracks[self.blocks.by_id[track_id]]
                pairs.append(self._scored(track, document) or Pair(track, document, 0.0, 0.0, ["no score any more"]))
        return band_pairs(
            pairs,
            thresholds=self.rule.thresholds,
            verdicts=self.rule.verdicts,
        )

    def _scored(self, track: TrackSide, document: DocumentSide) -> Pair | None:
        pair = score_pair(track, document, max_duration_gap_s=self.rule.thresholds.max_duration_gap_s)
        led_here = document.lead_track_id == track.track_id  # then its own id was merged into the document's
        if pair and track.mbid and document.mbid and not led_here:
            pair.veto = True
            pair.reasons.insert(0, "MusicBrainz recording ids differ")
        return pair


def _exact(document: DocumentSide, tracks: list[TrackSide], blocks: Blocks) -> list[Pair]:
    pairs: dict[int, Pair] = {}
    for position in blocks.by_mbid.get(document.mbid or "", ()):
        pairs[position] = Pair(tracks[position], document, 1.0, 1.0, ["MusicBrainz recording id equal"], "mbid")
    for isrc in sorted(document.isrcs):
        for position in blocks.by_isrc.get(isrc, ()):
            if position not in pairs:
                pairs[position] = Pair(tracks[position], document, 1.0, 1.0, [f"ISRC {isrc} equal"], "isrc")
    return [pairs[position] for position in sorted(pairs)]


def _run(
    rule: _Rule, tracks: pl.DataFrame, chunks: Iterable[pl.DataFrame], workers: int
) -> Iterator[tuple[int, list[MatchRow]]]:
    """Yield (number of documents, match rows) per chunk, in order; each worker builds an own index of the tracks."""
    if workers <= 1:
        matcher = _Matcher(rule, tracks.iter_rows(named=True))
        for chunk in chunks:
            yield chunk.height, matcher.match(chunk.iter_rows(named=True))
        return
    context = multiprocessing.get_context("spawn")  # a forked polars may hang
    waiting = iter(chunks)
    with ProcessPoolExecutor(workers, context, _start_worker, (rule, _packed(tracks))) as pool:
        try:
            # A bounded number in flight, so that memory does not grow with the number of documents.
            flying = [
                (chunk.height, pool.submit(_match_chunk, _packed(chunk))) for chunk in islice(waiting, 4 * workers)
            ]
            while flying:
                document_count, future = flying.pop(0)
                yield document_count, future.result()
                for chunk in islice(waiting, 1):
                    flying.append((chunk.height, pool.submit(_match_chunk, _packed(chunk))))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_matcher: _Matcher  # a worker's own


def _start_worker(rule: _Rule, tracks: bytes) -> None:
    global _matcher
    begin_helper()
    _matcher = _Matcher(rule, pl.read_ipc(io.BytesIO(tracks)).iter_rows(named=True))


def _match_chunk(documents: bytes) -> list[MatchRow]:
    return _matcher.match(pl.read_ipc(io.BytesIO(documents)).iter_rows(named=True))


def _packed(frame: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.write_ipc(stream)
    return stream.getvalue()
