"""Contradictions between descriptions of one track: opposite aspects, with model and sources of each side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

import dataframely as dy
import polars as pl

from sourcing.generation.descriptions.agreement import sources_of
from sourcing.generation.text.opposites import Opposites, Side, sides_of
from sourcing.store.schemas import Description, Disagreement, Document, Row

__all__ = ["find_disagreements"]

_READ_PHRASES = 1 << 16  # kept at once


def find_disagreements(
    descriptions: dy.DataFrame[Description], documents: dy.DataFrame[Document]
) -> dy.DataFrame[Disagreement]:
    """Find disagreements: one row per track and line of `data/opposites.txt` with different sides in its descriptions.

    A description with several sides of a line ("a slow verse", "a fast chorus") describes a change within the music and
    is left out for that line. Descriptions of different languages are compared, as a line may hold terms of several.
    """
    source_of = dict(documents.select("doc_id", "source").iter_rows())
    columns = ["track_id", "description_id", "origin", "doc_ids", "model", "sample_idx"]
    facets = pl.col("aspects").list.eval(pl.element().struct.field("facet")).alias("facets")
    rows = descriptions.sort("track_id", "description_id").select(*columns, "aspect_list", facets)
    disagreements = [
        {"track_id": track_id, **disagreement}
        for track_id, own in groupby(rows.iter_rows(named=True), key=itemgetter("track_id"))
        for disagreement in _of_track(own, source_of)
    ]
    frame = pl.DataFrame(disagreements, schema=Disagreement.create_empty().schema, orient="row")
    return Disagreement.validate(frame.sort(Disagreement.primary_key()))


def _of_track(descriptions: Iterable[Row], source_of: dict[str, str]) -> Iterator[Row]:
    sides_of: defaultdict[Opposites, list[Row]] = defaultdict(list)
    for description in descriptions:
        who = {name: description[name] for name in ("description_id", "origin", "model", "sample_idx")}
        for opposites, aspects in _held_by(description).items():
            sides = {side for side, _ in aspects}
            if len(sides) == 1:
                sources = sources_of(description, source_of)
                sides_of[opposites] += [
                    {"side": side.name, "text": text, **who, "sources": sources} for side, text in aspects
                ]
    for opposites, track_sides in sides_of.items():
        if len({each["side"] for each in track_sides}) > 1:
            track_sides.sort(key=lambda each: opposites.sides.index(each["side"]))
            yield {"facet": opposites.facet, "opposites": opposites.name, "said": track_sides}


def _held_by(description: Row) -> dict[Opposites, list[tuple[Side, str]]]:
    """`Opposites` line → (side, aspect text) of each aspect of the description on the line."""
    sides_of: defaultdict[Opposites, list[tuple[Side, str]]] = defaultdict(list)
    for text, facet in zip(description["aspect_list"], description["facets"], strict=True):
        for side in _sides(text, facet):
            sides_of[side.opposites].append((side, text))
    return sides_of


_sides = lru_cache(maxsize=_READ_PHRASES)(sides_of)
