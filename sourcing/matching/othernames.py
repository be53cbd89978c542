"""Aliases of artists and titles: stated by sources, or learnt from equal identifiers and accepted pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from sourcing.matching.names import Artist, read_artist, read_title
from sourcing.matching.similarity import artist_similarity, title_similarity

__all__ = ["NO_OTHER_NAMES", "OtherNames", "folded_names", "folded_titles", "learn_names", "with_other_names"]


class OtherNames(NamedTuple):
    """Aliases of artists and titles, folded."""

    artists: Mapping[str, frozenset[str]]  # a whole credit → other names of that artist
    titles: Mapping[tuple[str, str], frozenset[str]]  # (a whole credit, a full title) → other titles


NO_OTHER_NAMES = OtherNames({}, {})
_ALIKE = 0.9


def learn_names(
    documents: pl.DataFrame, tracks: pl.DataFrame, accepted_pairs: Collection[tuple[str, str]]
) -> OtherNames:
    """Collect aliases of artists and titles, so that one recording with an id helps to match recordings without.

    Evidence is an alias that a document states, an equal MBID or ISRC with a like title, or a pair (track_id, doc_id)
    that a person accepted. Only credits of one name each are taken: credits of several names do not say who is who.
    """
    ours = tracks.select("track_id", "title", "artist", "mbid", "isrc")
    theirs = documents.select("doc_id", "title", "artist", "mbid", "isrcs").drop_nulls("artist")
    columns = ["artist", "artist_right", "title", "title_right"]
    by_mbid = ours.drop_nulls("mbid").join(theirs.drop_nulls("mbid"), on="mbid").select(columns)
    with_isrc = theirs.explode("isrcs").drop_nulls("isrcs")
    by_isrc = ours.drop_nulls("isrc").join(with_isrc, left_on="isrc", right_on="isrcs").select(columns)
    verdict_frame = pl.DataFrame(
        sorted(accepted_pairs), schema={"track_id": pl.String, "doc_id": pl.String}, orient="row"
    )
    by_verdict = verdict_frame.join(ours, on="track_id").join(theirs, on="doc_id").select(columns)

    names, titles = _stated(documents)
    for frame, titles_count in ((pl.concat([by_mbid, by_isrc]), True), (by_verdict, False)):
        for one, other, title, other_title in frame.unique().iter_rows():
            if one == other or (titles_count and not _alike(title, other_title)):
                continue
            mine, other_artist = read_artist(one), read_artist(other)
            sure = len(mine.names) == len(other_artist.names) == 1 and not (mine.nobody or other_artist.nobody)
            if sure and artist_similarity(mine, other_artist) < _ALIKE:
                names[mine.whole].update(other_artist.aliases)
    artists = {name: frozenset(others) for name, others in sorted(names.items())}
    return OtherNames(artists, {key: frozenset(others) for key, others in sorted(titles.items())})


def folded_names(aliases: object) -> frozenset[str]:
    """Every alias of the named artists, folded like credits."""
    return frozenset(alias for name in _texts(aliases) for alias in read_artist(name).aliases)


def folded_titles(aliases: object) -> frozenset[str]:
    return frozenset(read_title(title).full for title in _texts(aliases))


def with_other_names(artist: Artist, names_of: Mapping[str, frozenset[str]]) -> Artist:
    others = names_of.get(artist.whole)
    return replace(artist, aliases=artist.aliases | others) if others else artist


def _alike(title: str, other: str | None) -> bool:
    return other is not None and title_similarity(read_title(title), read_title(other)) >= _ALIKE


def _stated(
    documents: pl.DataFrame,
) -> tuple[defaultdict[str, set[str]], defaultdict[tuple[str, str], set[str]]]:
    """Aliases of artists and of titles stated by documents; each name maps to all aliases."""
    names: defaultdict[str, set[str]] = defaultdict(set)
    titles: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    stating = documents.filter(
        pl.col("artist").is_not_null(), pl.col("other_artists").is_not_null() | pl.col("other_titles").is_not_null()
    )
    for row in stating.select("artist", "title", "other_artists", "other_titles").unique().iter_rows(named=True):
        artist = read_artist(row["artist"])
        others = folded_names(row["other_artists"])
        if len(artist.names) == 1 and not artist.nobody:
            for name in {artist.whole, *others}:
                names[name] |= {artist.whole, *others} - {name}
        if row["title"] and (other_titles := folded_titles(row["other_titles"])):
            own = read_title(row["title"], artist=artist).full
            for title in {own, *other_titles}:
                for credit in {artist.whole, *others}:
                    titles[credit, title] |= {own, *other_titles} - {title}
    return names, titles


def _texts(values: object) -> list[str]:
    return [value for value in values if isinstance(value, str) and value.strip()] if isinstance(values, list) else []
