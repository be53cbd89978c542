"""Which pairs are worth comparing: identifiers, shared names, equal titles, and the track that led to a page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from sourcing.matching.names import Artist, fold
from sourcing.matching.scoring import DocumentSide, TrackSide

__all__ = ["Blocks"]

_FEW = 300  # an artist's tracks, all of them compared; beyond, only those that share a word of the title
_MAX_EQUAL_TITLES = 200  # "Intro" is the title of thousands: then the artist must bring the pair together
_MAX_NAME_WORDS = 7
_COMMON = frozenset({"the", "and", "of"})


class Blocks:
    """An index over tracks; positions are those of the sequence given."""

    def __init__(self, tracks: Sequence[TrackSide]) -> None:
        self.by_id: dict[str, int] = {}
        self.by_mbid: defaultdict[str, list[int]] = defaultdict(list)
        self.by_isrc: defaultdict[str, list[int]] = defaultdict(list)
        self.name_word_counts: list[int] = []
        self.by_name: defaultdict[str, list[int]] = defaultdict(list)
        self.by_name_word: defaultdict[str, list[int]] = defaultdict(list)
        self.by_title: defaultdict[str, list[int]] = defaultdict(list)
        self.by_title_word: defaultdict[str, set[int]] = defaultdict(set)
        for position, track in enumerate(tracks):
            self.by_id[track.track_id] = position
            if track.mbid:
                self.by_mbid[track.mbid].append(position)
            if track.isrc:
                self.by_isrc[track.isrc].append(position)
            for name in {*track.artist.names, *track.artist.aliases}:
                self.by_name[name].append(position)
            words = artist_words(track.artist)
            self.name_word_counts.append(len(words))
            for word in words:
                self.by_name_word[word].append(position)
            for title in {track.title.full, track.title.short}:
                self.by_title[title].append(position)
            for word in _words(track.title.full):
                self.by_title_word[word].add(position)

    def candidates(self, document: DocumentSide) -> list[int]:
        """Positions of the tracks to compare with, ascending; the exact identifiers' tracks are not among the aims."""
        found: set[int] = set()
        if document.lead_track_id in self.by_id:
            found.add(self.by_id[document.lead_track_id])
        if document.title is not None:
            for title in {document.title.full, document.title.short}:
                same = self.by_title.get(title, ())
                found.update(same if len(same) <= _MAX_EQUAL_TITLES else ())
            found.update(self._by_artist(document))
        return sorted(found)

    def _by_artist(self, document: DocumentSide) -> set[int]:
        """Tracks whose artist shares more than half of the words of the shorter credit, or is named in prose."""
        if document.artist is None:
            names = _phrases(fold(f"{document.heading} \n {document.lead}").split())
            found = {position for name in names for position in self.by_name.get(name, ())}
        else:
            words = artist_words(document.artist)
            shared = Counter(position for word in words for position in self.by_name_word.get(word, ()))
            found = {
                position
                for position, count in shared.items()
                if 2 * count > min(len(words), self.name_word_counts[position])
            }
        if len(found) <= _FEW or document.title is None:
            return found
        postings = [self.by_title_word[word] for word in _words(document.title.full) if word in self.by_title_word]
        return found & set().union(*sorted(postings, key=len)[:4])


def artist_words(artist: Artist) -> set[str]:
    """The words of the name; of every name in it where it has several."""
    return {word for name in (*artist.names, *artist.aliases) for word in _words(name)}


def _words(name: str) -> set[str]:
    words = set(name.split())
    return words - _COMMON or words


def _phrases(words: list[str]) -> set[str]:
    """Every run of one to seven words."""
    return {
        " ".join(words[start : start + length])
        for start in range(len(words))
        for length in range(1, min(_MAX_NAME_WORDS, len(words) - start) + 1)
    }
