"""One document against one track: a score between 0 and 1, reasons for and against, and vetoes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from sourcing.matching.folding import fold
from sourcing.matching.names import Artist, Title, comparable
from sourcing.matching.sides import TEXT_CHARS, DocumentSide, TrackSide
from sourcing.matching.similarity import KEPT_ARTIST, KEPT_TITLE, artist_similarity, same_piece, title_similarity

__all__ = ["Pair", "score_pair"]
_NOT_NAMED = "artist not named"
_FAR_OFF_S = 10.0
_SAME_PIECE = 0.97  # of titles that name one work differently
_NOBODYS_TITLE = 0.95  # below, two tracks of "Various Artists" have nothing in common
#: "(Adele song)", "(album)", "(album review)" behind the title of a page
_OF_SOMEBODY = re.compile(r"\(([A-Z][^()]*?) (?:song|single|instrumental|composition)\)")
_OTHER_THING = re.compile(r"\((?:[^()]* )?(?:album|film|band|novel|EP|TV series|book|soundtrack)(?: review)?\)", re.I)
_MUSIC_PIECE = re.compile(
    r"\b(?:song|track|single|tune|piece|recording|composition|instrumental|ballad|number|anthem|standard|cut)s?\b"
)


@dataclass
class Pair:
    """Outcome of comparing one document with one track."""

    track: TrackSide
    document: DocumentSide
    score: float
    title: float  # similarity of the titles alone
    reasons: list[str]
    method: str = "text"
    veto: bool = False  # never more than reject
    doubt: bool = False  # never more than review


def score_pair(track: TrackSide, document: DocumentSide, *, max_duration_gap_s: float) -> Pair | None:
    """Score by title and artist; comparing identifiers is left to the caller.

    None for a pair not worth keeping: titles or artists far apart, and no crawl for the track led to the page.
    """
    led_here = document.lead_track_id == track.track_id
    title = title_similarity(track.title, document.title) if document.title else 0.0
    piece = same_piece(track.title, document.title) if document.title else None
    title = max(title, _SAME_PIECE) if piece or _otherwise_called(track, document) else title
    pair = Pair(track, document, 0.0, title, [])
    page_title = document.granularity == "page" and document.artist is None and title < 0.9
    if page_title and _names_track(document, track):
        title = pair.title = 0.95
        pair.reasons.append("page title names track and artist")
        pair.doubt = len(track.title.short.split()) < 2  # "Home" in a heading proves little
    elif title <= KEPT_TITLE and not led_here:
        return None
    else:
        pair.reasons.append("title equal" if title == 1 else f"title {title:.2f}")
    artist, reason = _artist_evidence(track, document)
    if (artist < KEPT_ARTIST or reason == _NOT_NAMED) and not led_here:
        return None
    pair.reasons.append(reason)
    pair.doubt = pair.doubt or (document.artist is None and artist < 0.9)
    if document.granularity == "page" and document.artist is None:
        _doubt_page(pair, reason)
    pair.score = title * artist
    if document.title is not None:
        _compare_versions(pair, track.title, document.title)
        if piece is None:
            _compare_numbers(pair, track.title, document.title, page_title)
        elif not piece:
            pair.veto = True
            pair.reasons.insert(0, "another work or movement, by its number, key or name")
    _compare_guests(pair)
    _compare_durations(pair, max_duration_gap_s)
    if track.artist.nobody:
        _doubt_nobody(pair, max_duration_gap_s)
    if document.granularity in ("artist", "release"):
        pair.doubt = True
        pair.reasons.append(
            f"about {'an artist' if document.granularity == 'artist' else 'a release'}, not a recording"
        )
    return pair


def _otherwise_called(track: TrackSide, document: DocumentSide) -> bool:
    """True when one side's title is an alias of the second's: a translation, a transliteration."""
    if document.title is None or not (document.other_titles or track.other_titles):
        return False
    return bool(document.other_titles & track.title.forms or track.other_titles & document.title.forms)


def _artist_evidence(track: TrackSide, document: DocumentSide) -> tuple[float, str]:
    if document.artist is not None:
        similarity = artist_similarity(track.artist, document.artist)
        return similarity, "artist equal" if similarity == 1 else f"artist {similarity:.2f}"
    for place, text, worth in (
        ("title", document.heading, 0.97),
        ("lead", document.lead, 0.97),
        ("text", document.text[:TEXT_CHARS], 0.92),
    ):
        if _mentions(text, track.artist):
            return worth, f"artist named in {place}"
    return 0.8, _NOT_NAMED


def _doubt_page(pair: Pair, artist_reason: str) -> None:
    """Doubt prose without a sign of being about the recording: a village may share a song's name."""
    title = pair.document.title
    heading, opening = pair.document.heading, f"{comparable(pair.document.lead[:300])} "
    if "(disambiguation)" in heading.casefold() or " may refer to " in opening:
        pair.doubt = True
        pair.reasons.insert(0, "the page lists several things of that name")
        return
    mark = _OF_SOMEBODY.search(heading)
    if mark and fold(mark[1]) and not _mentions(mark[1], pair.track.artist):
        pair.doubt = True
        pair.reasons.insert(0, f"the page's title says {mark[1]}")
        return
    if _OTHER_THING.search(heading):
        pair.doubt = True
        pair.reasons.insert(0, "the page's title names another kind of thing")
        return
    if title and (
        says := re.match(rf"(?:the )?{re.escape(title.short)} (?:is|was|are|were) (?:an?|the|one) ", opening)
    ):
        if not _MUSIC_PIECE.search(opening, says.end(), says.end() + 100):
            pair.doubt = True
            pair.reasons.insert(0, "the page says its title is something else")
    elif artist_reason.endswith("in text"):
        pair.doubt = True


def _doubt_nobody(pair: Pair, max_gap_s: float) -> None:
    """Doubt a credit that names no artist, unless title and duration agree and the title has three words."""
    mine, theirs = pair.track.duration_s, pair.document.duration_s
    same_length = mine is not None and theirs is not None and abs(mine - theirs) <= min(1.0, max_gap_s)
    if not (same_length and pair.title == 1 and len(pair.track.title.full.split()) >= 3):
        pair.doubt = True
        pair.veto = pair.veto or (pair.title < _NOBODYS_TITLE and not same_length)
        pair.reasons.insert(0, "the credit names nobody")


def _mentions(text: str, artist: Artist) -> bool:
    """True when the text names the artist; a name of one word must be spelled as written: "Air" is also a word."""
    if not text:
        return False
    if " " in artist.whole:
        return f" {artist.whole} " in _spaced(text)
    return _as_written(artist.raw).search(text) is not None


@lru_cache(maxsize=16)
def _spaced(text: str) -> str:
    return f" {fold(text)} "


@lru_cache(maxsize=65536)
def _as_written(credit: str) -> re.Pattern[str]:
    pattern = re.escape(re.sub(r"^the\s+", "", credit.strip(), flags=re.IGNORECASE))
    boundary = r"\b" if credit.strip()[-1:].isascii() and credit.strip()[-1:].isalnum() else ""
    return re.compile(rf"{boundary}{pattern}{boundary}")


def _names_track(document: DocumentSide, track: TrackSide) -> bool:
    return f" {track.title.short} " in f" {comparable(document.heading)} " and _mentions(document.heading, track.artist)


def _compare_versions(pair: Pair, one: Title, other: Title) -> None:
    theirs = other.versions
    if pair.document.duration_s is None and pair.document.mbid is None:
        # An encyclopedia writes "Apache (instrumental)" for what kind of piece it is, not for a version of it.
        theirs = theirs - {"instrumental"} if "instrumental" not in one.versions and other.kind_of_piece else theirs
    differing = sorted(one.versions ^ theirs)
    if differing:
        pair.veto = True
        pair.reasons.insert(0, f"version word '{differing[0]}' on one side only")
        return
    bare = sorted(_bare_version(one.full, other.full))
    if bare and pair.title < 0.99:
        pair.veto = True
        pair.reasons.insert(0, f"version word '{bare[0]}' on one side only")
    elif one.versions and one.version_words != other.version_words:
        pair.doubt = True
        pair.reasons.insert(0, f"which '{min(one.versions)}' version is not the same or not said")
        if one.version_words and other.version_words and not one.version_words & other.version_words:
            pair.veto = True


def _bare_version(one: str, other: str) -> set[str]:
    """Version words outside brackets found in just one of the two titles: "Ignition Remix"."""
    strong = {
        "live",
        "remix",
        "karaoke",
        "instrumental",
        "acoustic",
        "demo",
        "unplugged",
        "acapella",
        "reprise",
        "medley",
    }
    return (set(one.split()) ^ set(other.split())) & strong


def _compare_numbers(pair: Pair, one: Title, other: Title, page_title: bool) -> None:
    if page_title:
        return
    if one.numbers != other.numbers and ((one.numbers and other.numbers) or pair.title < 0.99):
        counts, others = Counter(one.numbers), Counter(other.numbers)
        one_says_more = (counts <= others or others <= counts) and pair.title >= 0.8
        pair.veto = pair.veto or bool(one.numbers and other.numbers and not one_says_more)
        pair.doubt = True
        pair.reasons.insert(
            0, f"numbers differ: {' '.join(one.numbers) or 'none'} and {' '.join(other.numbers) or 'none'}"
        )
    if one.key_signature and other.key_signature and one.key_signature != other.key_signature:
        pair.veto = True
        pair.reasons.insert(0, f"keys differ: {one.key_signature} and {other.key_signature}")


def _compare_guests(pair: Pair) -> None:
    """Doubt the pair when both sides name guests and share none; a guest on one side only is no evidence."""
    track, document = pair.track, pair.document
    mine = track.title.guests | track.artist.guests
    theirs = (document.title.guests if document.title else frozenset()) | (
        document.artist.guests if document.artist else frozenset()
    )
    if mine and theirs and mine.isdisjoint(theirs):
        pair.doubt = True
        pair.reasons.insert(0, "guests differ")


def _compare_durations(pair: Pair, max_gap_s: float) -> None:
    mine, theirs = pair.track.duration_s, pair.document.duration_s
    if not mine or not theirs:
        return
    gap = abs(mine - theirs)
    if gap <= max_gap_s:
        pair.reasons.append(f"duration within {max_gap_s:g} s")
    elif gap <= max(_FAR_OFF_S, 2 * max_gap_s):
        pair.doubt = True
        pair.reasons.insert(0, f"duration off by {gap:.0f} s")
    else:
        pair.veto = True
        pair.reasons.insert(0, f"duration off by {gap:.0f} s")
