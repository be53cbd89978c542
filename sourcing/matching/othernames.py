"""Other names of artists, learned where something stronger than names says that two credits are one artist."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

import polars as pl

from sourcing.matching.names import Artist, read_artist, read_title
from sourcing.matching.similarity import artist_similarity, title_similarity

__all__ = ["OtherNames", "learn_names", "with_other_names"]

#: folded name of a catalogue's artist → folded names that documents have for the same one
OtherNames = Mapping[str, frozenset[str]]
_ALIKE = 0.9


def learn_names(
    documents: pl.DataFrame, tracks: pl.DataFrame, accepted: Collection[tuple[str, str]]
) -> dict[str, frozenset[str]]:
    """Names that `Jay Chou` has elsewhere, so that one recording with an id opens the way for those without.

    Evidence is an equal MBID or ISRC with a like title, or a pair (track_id, doc_id) that a person accepted. Only
    credits of one name each are taken: in longer ones it is not said who is who.
    """
    ours = tracks.select("track_id", "title", "artist", "mbid", "isrc")
    theirs = documents.select("doc_id", "title", "artist", "mbid", "isrcs").drop_nulls("artist")
    columns = ["artist", "artist_right", "title", "title_right"]
    by_mbid = ours.drop_nulls("mbid").join(theirs.drop_nulls("mbid"), on="mbid").select(columns)
    numbered = theirs.explode("isrcs").drop_nulls("isrcs")
    by_isrc = ours.drop_nulls("isrc").join(numbered, left_on="isrc", right_on="isrcs").select(columns)
    said = pl.DataFrame(sorted(accepted), schema={"track_id": pl.String, "doc_id": pl.String}, orient="row")
    by_verdict = said.join(ours, on="track_id").join(theirs, on="doc_id").select(columns)

    names: defaultdict[str, set[str]] = defaultdict(set)
    for frame, titles_count in ((pl.concat([by_mbid, by_isrc]), True), (by_verdict, False)):
        for one, other, title, other_title in frame.unique().iter_rows():
            if one == other or (titles_count and not _alike(title, other_title)):
                continue
            mine, found = read_artist(one), read_artist(other)
            sure = len(mine.names) == len(found.names) == 1 and not (mine.nobody or found.nobody)
            if sure and artist_similarity(mine, found) < _ALIKE:
                names[mine.whole].update(found.aliases)
    return {name: frozenset(others) for name, others in sorted(names.items())}


def with_other_names(artist: Artist, known: OtherNames) -> Artist:
    others = known.get(artist.whole)
    return replace(artist, aliases=artist.aliases | others) if others else artist


def _alike(title: str, other: str | None) -> bool:
    return other is not None and title_similarity(read_title(title), read_title(other)) >= _ALIKE
