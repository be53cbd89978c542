"""Pairs worth comparing, from indexes: equal identifiers, like titles of like artists, equal titles, a crawl's lead."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from rapidfuzz import fuzz, process

from sourcing.matching.folding import fold, loose
from sourcing.matching.names import Artist, Title, comparable
from sourcing.matching.sides import DocumentSide, TrackSide
from sourcing.matching.similarity import KEPT_ARTIST, KEPT_TITLE, artist_similarity

__all__ = ["Blocks"]

_FEW = 16  # an artist's tracks, all of them compared; beyond, only those whose titles can score
_MAX_EQUAL_TITLES = 200  # "Intro" is the title of thousands: then the artist must bring the pair together
_MAX_NAME_WORDS = 7
_REMEMBERED = 65_536  # artist credits whose like ones are kept at hand
_MISSPELT = 100 * KEPT_ARTIST ** (1 / 1.5) - 1e-6  # what artist_similarity makes KEPT_ARTIST of
_COMMON = frozenset({"the", "and", "of"})


class Blocks:
    """An index over tracks; positions count in the sequence given.

    Nothing that `score_pair` would keep is lost between an artist and a document of a like credit: the titles are
    sifted with the same ratios that the score is made of, at the cut below which it keeps nothing.
    """

    def __init__(self, tracks: Sequence[TrackSide]) -> None:
        self.by_id: dict[str, int] = {}
        self.by_mbid: defaultdict[str, list[int]] = defaultdict(list)
        self.by_isrc: defaultdict[str, list[int]] = defaultdict(list)
        self._by_title: defaultdict[str, list[int]] = defaultdict(list)
        self._title_indexes: list[_TitleIndex] = []
        self._title_index_of: list[int] = []
        self._by_name: defaultdict[str, list[int]] = defaultdict(list)
        self._by_name_word: defaultdict[str, list[int]] = defaultdict(list)
        self._by_sound: defaultdict[str, list[int]] = defaultdict(list)
        self._alike: dict[tuple[str, frozenset[str]], list[int]] = {}
        numbers: dict[str, int] = {}
        for position, track in enumerate(tracks):
            self.by_id[track.track_id] = position
            if track.mbid:
                self.by_mbid[track.mbid].append(position)
            if track.isrc:
                self.by_isrc[track.isrc].append(position)
            for title in track.title.forms | track.other_titles:
                self._by_title[title].append(position)
            number = numbers.setdefault(track.artist.raw, len(self._title_indexes))
            if number == len(self._title_indexes):
                self._add_title_index(track.artist)
            self._title_index_of.append(number)
            self._title_indexes[number].add(track, position)

    def candidates(self, document: DocumentSide) -> list[int]:
        """Positions of the tracks to compare with, ascending; equal identifiers are the caller's to look up."""
        positions: set[int] = set()
        if document.lead_track_id in self.by_id:
            positions.add(self.by_id[document.lead_track_id])
        if document.title is None:
            return sorted(positions)
        same = {
            position
            for title in document.title.forms | document.other_titles
            if len(with_title := self._by_title.get(title, ())) <= _MAX_EQUAL_TITLES
            for position in with_title
        }
        if document.artist is not None:
            alike = self._alike_artists(document.artist)
            for number in alike:
                positions.update(self._title_indexes[number].alike(document.title, document.other_titles))
            numbers = {
                number for position in same - positions if (number := self._title_index_of[position]) not in alike
            }
            misspelt = {
                number for number in numbers if _may_be_misspelt(self._title_indexes[number].artist, document.artist)
            }
            positions.update(position for position in same if self._title_index_of[position] in misspelt)
            return sorted(positions)
        positions |= same
        phrases = _phrases(comparable(document.heading).split())
        names_in_text = _phrases(f"{fold(document.heading)} {fold(document.lead)}".split())
        for number in {number for name in names_in_text for number in self._by_name.get(name, ())}:
            positions.update(self._title_indexes[number].alike(document.title))
            positions.update(self._title_indexes[number].with_title_among(phrases))
        return sorted(positions)

    def _add_title_index(self, artist: Artist) -> None:
        words = artist_words(artist)
        title_index = _TitleIndex(artist, len(words))
        for name in {*artist.names, *artist.aliases}:
            self._by_name[name].append(len(self._title_indexes))
        for sound in {loose(name) for name in artist.aliases}:
            self._by_sound[sound].append(len(self._title_indexes))
        for word in words:
            self._by_name_word[word].append(len(self._title_indexes))
        self._title_indexes.append(title_index)

    def _alike_artists(self, artist: Artist) -> list[int]:
        """Numbers of artists that share over half the shorter credit's words, or the sound, and reach KEPT_ARTIST."""
        key = (artist.raw, artist.aliases)
        artist_numbers = self._alike.get(key)
        if artist_numbers is None:
            words = artist_words(artist)
            word_counts = Counter(number for word in words for number in self._by_name_word.get(word, ()))
            candidates = {
                number
                for number, count in word_counts.items()
                if 2 * count > min(len(words), self._title_indexes[number].name_words)
            }
            candidates.update(number for name in artist.aliases for number in self._by_sound.get(loose(name), ()))
            artist_numbers = [
                n for n in sorted(candidates) if artist_similarity(self._title_indexes[n].artist, artist) >= KEPT_ARTIST
            ]
            if len(self._alike) >= _REMEMBERED:
                self._alike.clear()
            self._alike[key] = artist_numbers
        return artist_numbers


class _TitleIndex:
    """The tracks of one artist credit by title."""

    def __init__(self, artist: Artist, name_words: int) -> None:
        self.artist = artist
        self.name_words = name_words
        self.positions: list[int] = []
        self.by_title: defaultdict[str, list[int]] = defaultdict(list)
        self.by_sorted: defaultdict[str, list[int]] = defaultdict(list)
        self.by_anchor: defaultdict[str, list[int]] = defaultdict(list)
        self.by_other_title: defaultdict[str, list[int]] = defaultdict(list)
        self._titles: list[str] = []  # the keys, as a list that rapidfuzz reads without copying
        self._sorted_titles: list[str] = []

    def add(self, track: TrackSide, position: int) -> None:
        title = track.title
        self.positions.append(position)
        for anchor in title.work.anchors if title.work else ():
            self.by_anchor[anchor].append(position)
        for other in track.other_titles:
            self.by_other_title[other].append(position)
        for form in title.forms:
            self.by_title[form].append(position)
            if " " in form:
                self.by_sorted[_in_order(form)].append(position)

    def alike(self, title: Title, other_titles: frozenset[str] = frozenset()) -> set[int]:
        """Positions of tracks with a title that may score above KEPT_TITLE."""
        if len(self.positions) <= _FEW:
            return set(self.positions)
        if len(self._titles) != len(self.by_title):
            self._titles, self._sorted_titles = list(self.by_title), list(self.by_sorted)
        positions: set[int] = set()
        for anchor in title.work.anchors if title.work else title.short.split():
            positions.update(self.by_anchor.get(anchor, ()))
        for form in title.forms:
            positions.update(self.by_other_title.get(form, ()))
        for other in other_titles:
            positions.update(self.by_title.get(other, ()))
        for form in title.forms:
            for match, _, _ in process.extract(
                form, self._titles, scorer=fuzz.ratio, score_cutoff=100 * KEPT_TITLE, limit=None
            ):
                positions.update(self.by_title[match])
            if " " in form:
                for match, _, _ in process.extract(
                    _in_order(form), self._sorted_titles, scorer=fuzz.ratio, score_cutoff=100 * KEPT_TITLE, limit=None
                ):
                    positions.update(self.by_sorted[match])
        return positions

    def with_title_among(self, phrases: set[str]) -> set[int]:
        """Positions of tracks with a whole title among a heading's phrases."""
        return {position for phrase in phrases & self.by_title.keys() for position in self.by_title[phrase]}


def artist_words(artist: Artist) -> set[str]:
    """The words of all names and aliases of the credit, common words left out."""
    return {word for name in (*artist.names, *artist.aliases) for word in _words(name)}


def _may_be_misspelt(one: Artist, other: Artist) -> bool:
    """True when two credits share a name, or two of the names are spelled alike (_MISSPELT)."""
    if one.whole == other.whole or set(one.names) & set(other.names):
        return True
    return any(
        fuzz.ratio(a, b, score_cutoff=_MISSPELT) or fuzz.token_sort_ratio(a, b, score_cutoff=_MISSPELT)
        for a in one.aliases
        for b in other.aliases
    )


def _words(name: str) -> set[str]:
    words = set(name.split())
    return words - _COMMON or words


def _in_order(title: str) -> str:
    return " ".join(sorted(title.split()))


def _phrases(words: list[str]) -> set[str]:
    """Every run of one to seven words."""
    return {
        " ".join(words[start : start + length])
        for start in range(len(words))
        for length in range(1, min(_MAX_NAME_WORDS, len(words) - start) + 1)
    }
