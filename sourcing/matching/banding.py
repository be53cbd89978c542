"""Bands: the scored pairs of one document accepted, left to a person for review, or rejected; verdicts win."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sourcing.matching.scoring import Pair
from sourcing.matching.sides import TrackSide
from sourcing.matching.verdicts import REVIEWED, Verdict

__all__ = ["MatchRow", "Thresholds", "band_pairs"]

#: track_id, doc_id, score, band, method, reasons
MatchRow = tuple[str, str, float, str, str, list[str]]
_TIE = 0.005
_MAX_REJECTS = 20  # of one document; "Intro" by Various Artists is unlike thousands


@dataclass(frozen=True)
class Thresholds:
    """The scores where the bands accept and review begin, and the largest gap of durations of one recording, in s."""

    accept_score: float
    review_score: float
    max_duration_gap_s: float


def band_pairs(
    pairs: Sequence[Pair],
    *,
    thresholds: Thresholds,
    verdicts: Mapping[tuple[str, str], Verdict],
) -> list[MatchRow]:
    """Match rows for all pairs in accept and review, and for the _MAX_REJECTS best-scored rejected pairs."""
    accept_score, review_score = thresholds.accept_score, thresholds.review_score
    below_accept = (accept_score + min(review_score, accept_score)) / 2
    for pair in pairs:
        if pair.doubt:
            pair.score = min(pair.score, below_accept)
    verdict_of = {id(pair): verdicts.get((pair.track.track_id, pair.document.doc_id)) for pair in pairs}
    _settle_rivals(
        [pair for pair in pairs if not verdict_of[id(pair)] and not pair.veto and pair.score >= accept_score],
        [pair for pair in pairs if (verdict := verdict_of[id(pair)]) and verdict.verdict == "accept"],
        below_accept,
    )
    rows: list[MatchRow] = []
    for pair in pairs:
        band = "accept" if pair.score >= accept_score else "review" if pair.score >= review_score else "reject"
        if pair.veto:
            band = "reject"
        if verdict := verdict_of[id(pair)]:
            band = verdict.verdict
            pair.reasons.insert(0, f"{REVIEWED}{verdict.verdict} by {verdict.reviewer}")
        score = round(pair.score, 4)
        rows.append((pair.track.track_id, pair.document.doc_id, score, band, pair.method, pair.reasons))
    rejects = sorted((row for row in rows if row[3] == "reject"), key=lambda row: (-row[2], row[0]))
    surplus_ids = {row[0] for row in rejects[_MAX_REJECTS:]}
    return [row for row in rows if row[0] not in surplus_ids]


def _settle_rivals(accepts: list[Pair], reviews: list[Pair], below_accept: float) -> None:
    """Leave one track per document accepted, or several of equal identity; lower the rest to `below_accept`."""
    exact = [pair for pair in accepts if pair.method != "text"]
    by_text = [pair for pair in accepts if pair.method == "text"]
    best = max((pair.score for pair in by_text), default=0.0)
    leaders = [pair for pair in by_text if pair.score >= best - _TIE]
    alike: defaultdict[tuple[object, ...], list[Pair]] = defaultdict(list)
    for pair in leaders:
        alike[_identity(pair.track)].append(pair)
    for pair in by_text:
        if reviews and _identity(pair.track) not in {_identity(other.track) for other in reviews}:
            pair.reasons.insert(0, f"a person gave it to track {reviews[0].track.track_id}")
        elif reviews:
            continue
        elif exact:
            pair.reasons.insert(0, f"its id names track {exact[0].track.track_id}")
        elif pair not in leaders:
            pair.reasons.insert(0, f"track {leaders[0].track.track_id} fits better")
        elif len(alike) > 1:
            pair.reasons.insert(0, f"fits {len(leaders)} tracks equally well")
        else:
            continue
        pair.score = min(pair.score, below_accept)


def _identity(track: TrackSide) -> tuple[object, ...]:
    """The fields that distinguish two tracks: title, version, artist, length to the nearest five seconds."""
    length = round(track.duration_s / 5) if track.duration_s else None
    return track.title.full, track.title.versions, track.title.version_words, track.artist.whole, length
