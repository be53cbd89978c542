"""One document against one track: a score between 0 and 1, what speaks for and against, and what forbids."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rapidfuzz import fuzz

from sourcing.matching.names import Artist, Title, fold

__all__ = ["DocumentSide", "Pair", "TrackSide", "score_pair", "title_similarity"]

_SHORT_NAME_CHARS = 8
_KEPT_TITLE = 0.6
_KEPT_ARTIST = 0.5
_NOT_NAMED = "artist not named"
_TOKEN_ALIKE = 0.8
_SUBSTITUTED_CAP = 0.85  # a word exchanged for another makes another title, however long the rest
_TEXT_CHARS = 6000  # how far into the prose an artist is looked for
_FAR_OFF_S = 10.0
_MUSIC_PIECE = re.compile(
    r"\b(?:song|track|single|tune|piece|recording|composition|instrumental|ballad|number|anthem|standard|cut)s?\b"
)


@dataclass(frozen=True)
class TrackSide:
    """A track, read once."""

    track_id: str
    title: Title
    artist: Artist
    mbid: str | None
    isrc: str | None
    duration_s: float | None


@dataclass(frozen=True)
class DocumentSide:
    """A document, read once; `artist` is None where the source names none."""

    doc_id: str
    title: Title | None
    artist: Artist | None
    mbid: str | None
    isrcs: frozenset[str]
    duration_s: float | None
    granularity: str
    lead_track_id: str | None
    heading: str  # title as found
    lead: str
    text: str


@dataclass
class Pair:
    """What holding one document against one track came to."""

    track: TrackSide
    document: DocumentSide
    score: float
    title: float  # similarity of the titles alone
    reasons: list[str]
    method: str = "text"
    veto: bool = False  # never more than reject
    doubt: bool = False  # never more than review


def score_pair(track: TrackSide, document: DocumentSide, *, max_duration_gap_s: float) -> Pair | None:
    """Score by title and artist; identifiers are compared by the caller, who knows what to do with them.

    None for a pair not worth keeping: titles or artists far apart, and no crawl for the track led to the page.
    """
    led_here = document.lead_track_id == track.track_id
    title = title_similarity(track.title, document.title) if document.title else 0.0
    pair = Pair(track, document, 0.0, title, [])
    page_title = document.granularity == "page" and document.artist is None and title < 0.9
    if page_title and _names_track(document, track):
        title = pair.title = 0.95
        pair.reasons.append("page title names track and artist")
        pair.doubt = len(track.title.short.split()) < 2  # "Home" in a heading proves little
    elif title <= _KEPT_TITLE and not led_here:
        return None
    else:
        pair.reasons.append("title equal" if title == 1 else f"title {title:.2f}")
    artist, reason = _artist_evidence(track, document)
    if (artist < _KEPT_ARTIST or reason == _NOT_NAMED) and not led_here:
        return None
    pair.reasons.append(reason)
    pair.doubt = pair.doubt or (document.artist is None and artist < 0.9)
    if document.granularity == "page" and document.artist is None:
        _doubt_page(pair, reason)
    pair.score = title * artist
    if document.title is not None:
        _compare_versions(pair, track.title, document.title)
        _compare_numbers(pair, track.title, document.title, page_title)
    _compare_durations(pair, max_duration_gap_s)
    if document.granularity in ("artist", "release"):
        pair.doubt = True
        pair.reasons.append(
            f"about {'an artist' if document.granularity == 'artist' else 'a release'}, not a recording"
        )
    return pair


def title_similarity(one: Title, other: Title) -> float:
    """1.0 for equal titles; brackets on one side only cost little, an exchanged word costs the acceptance."""
    if one.full == other.full:
        return 1.0 if one.raw == other.raw or one.raw.isascii() or other.raw.isascii() else 0.97
    whole = _similarity(one.full, other.full)
    if not one.aside and not other.aside:
        return whole
    if one.aside and other.aside and _similarity(one.aside, other.aside) < _TOKEN_ALIKE:
        return whole  # "Untitled (Black)" is not "Untitled (White)"
    return max(
        whole,
        0.97 * _similarity(one.short, other.short),
        0.95 * _similarity(one.full, other.short),
        0.95 * _similarity(one.short, other.full),
    )


def _similarity(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if one.replace(" ", "") == other.replace(" ", ""):
        return 0.99  # "Wonder Wall"
    ratio: float = fuzz.ratio(one, other) / 100
    if " " in one and " " in other:
        ratio = max(ratio, 0.98 * fuzz.token_sort_ratio(one, other) / 100)
    if ratio < 0.6:
        return ratio
    if min(len(one), len(other)) < _SHORT_NAME_CHARS:
        ratio **= 1.5  # one letter of "Angel" weighs more than one of a long title
    return min(ratio, _SUBSTITUTED_CAP) if _substituted(one, other) else ratio


def _substituted(one: str, other: str) -> bool:
    """Whether each has a word that nothing in the other resembles."""
    mine, theirs = one.split(), other.split()
    return _has_stranger(mine, theirs) and _has_stranger(theirs, mine)


def _has_stranger(words: list[str], among: list[str]) -> bool:
    known = set(among)
    return any(
        word not in known and all(fuzz.ratio(word, candidate) < 100 * _TOKEN_ALIKE for candidate in among)
        for word in words
    )


def artist_similarity(one: Artist, other: Artist) -> float:
    """1.0 for equal credits, guests aside; less where one credit names more people than the other."""
    if one.aliases & other.aliases:
        return 1.0
    if one.names == other.names or set(one.names) == set(other.names):
        return 1.0
    mine, theirs = set(one.names), set(other.names)
    if mine <= theirs or theirs <= mine:
        return 0.96 if one.names[0] == other.names[0] else 0.91
    best = max(max(fuzz.ratio(a, b), fuzz.token_sort_ratio(a, b)) / 100 for a in one.aliases for b in other.aliases)
    if mine & theirs:
        return max(0.8, float(best**1.5))
    return float(best**1.5)


def _artist_evidence(track: TrackSide, document: DocumentSide) -> tuple[float, str]:
    if document.artist is not None:
        similarity = artist_similarity(track.artist, document.artist)
        return similarity, "artist equal" if similarity == 1 else f"artist {similarity:.2f}"
    for place, text, worth in (
        ("title", document.heading, 0.97),
        ("lead", document.lead, 0.97),
        ("text", document.text[:_TEXT_CHARS], 0.92),
    ):
        if _mentions(text, track.artist):
            return worth, f"artist named in {place}"
    return 0.8, _NOT_NAMED


def _doubt_page(pair: Pair, artist_reason: str) -> None:
    """Prose that nothing marks as being about a recording: a village may share its name with a song."""
    title = pair.document.title
    opening = f"{fold(pair.document.lead[:300])} "
    if title and (
        says := re.match(rf"(?:the )?{re.escape(title.short)} (?:is|was|are|were) (?:an?|the|one) ", opening)
    ):
        if not _MUSIC_PIECE.search(opening, says.end(), says.end() + 100):
            pair.doubt = True
            pair.reasons.insert(0, "the page says its title is something else")
    elif artist_reason.endswith("in text"):
        pair.doubt = True


def _mentions(text: str, artist: Artist) -> bool:
    """Whether a text names the artist; a name of one word only as it is written, because "Air" is also a word."""
    if not text:
        return False
    if " " in artist.whole:
        return f" {artist.whole} " in f" {fold(text)} "
    written = re.escape(re.sub(r"^the\s+", "", artist.raw.strip(), flags=re.IGNORECASE))
    boundary = r"\b" if artist.raw.strip()[-1:].isascii() and artist.raw.strip()[-1:].isalnum() else ""
    return re.search(rf"{boundary}{written}{boundary}", text) is not None


def _names_track(document: DocumentSide, track: TrackSide) -> bool:
    return f" {track.title.short} " in f" {fold(document.heading)} " and _mentions(document.heading, track.artist)


def _compare_versions(pair: Pair, one: Title, other: Title) -> None:
    theirs = other.versions
    if pair.document.duration_s is None and pair.document.mbid is None:
        # An encyclopedia writes "Apache (instrumental)" for what kind of piece it is, not for a version of it.
        theirs = theirs - {"instrumental"} if "instrumental" not in one.versions else theirs
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
    """Version words outside brackets that one title has more than the other: "Ignition Remix"."""
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
        pair.veto = pair.veto or bool(one.numbers and other.numbers)
        pair.doubt = True
        pair.reasons.insert(
            0, f"numbers differ: {' '.join(one.numbers) or 'none'} and {' '.join(other.numbers) or 'none'}"
        )
    if one.key_signature and other.key_signature and one.key_signature != other.key_signature:
        pair.veto = True
        pair.reasons.insert(0, f"keys differ: {one.key_signature} and {other.key_signature}")


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
