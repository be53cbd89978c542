"""Facts of articles from structured data about the same thing: its item first, then its infobox.

A sentence is read to guess; an item and an infobox state. Joining them once all documents are known keeps a document
a function of the logs, whichever of the three was captured first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from sourcing.crawling.source import Standing
from sourcing.crawling.wiki.lead_sentences import name_in_title

__all__ = ["with_stated_facts"]

_FACTS = ("granularity", "artist", "year", "licences")
_LIGHT = ("doc_id", "title", "language", "standing", *_FACTS)


def with_stated_facts(documents: pl.DataFrame) -> pl.DataFrame:
    """Documents with articles' kind, performer and year from item, else infobox.

    A name comes from the item in the article's own language where it has one. What neither states stays as the
    article's sentence was read; what is no recording and no release has no performer and no year.
    """
    about = documents.filter(pl.col("standing").is_not_null()).select(*_LIGHT, "subjects").explode("subjects")
    is_prose = pl.col("standing") == int(Standing.PROSE)
    articles, structured = about.filter(is_prose), about.filter(~is_prose)
    pairs = articles.select("doc_id", "subjects").join(structured, on="subjects", suffix="_stated")
    if pairs.is_empty():
        return documents
    donors: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for pair in pairs.iter_rows(named=True):
        donors[pair["doc_id"]].append(pair)
    rows = articles.unique("doc_id").filter(pl.col("doc_id").is_in(list(donors))).iter_rows(named=True)
    facts = pl.DataFrame(
        [{"doc_id": row["doc_id"], **_settled(row, donors[row["doc_id"]])} for row in rows],
        schema={name: documents.schema[name] for name in ("doc_id", *_FACTS)},
    ).with_columns(is_settled=True)
    return (
        documents.join(facts, on="doc_id", how="left", suffix="_stated", maintain_order="left")
        .with_columns(pl.when("is_settled").then(f"{name}_stated").otherwise(name).alias(name) for name in _FACTS)
        .drop("is_settled", *(f"{name}_stated" for name in _FACTS))
    )


def _settled(article: Mapping[str, Any], structured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ranking = sorted(structured, key=lambda row: (-row["standing"], _strangeness(article, row), row["doc_id_stated"]))
    sure = (row for row in ranking if row["standing"] == Standing.ITEM or row["granularity"] != "page")
    kind = next((row["granularity"] for row in sure), article["granularity"])
    if kind not in ("recording", "release"):
        name, named_by = (name_in_title(article["title"]) if kind == "artist" else None), article
        return {"granularity": kind, "artist": name, "year": None, "licences": _licences(article, name, named_by)}
    named_by = next((row for row in ranking if row["artist"]), article)
    year = next((row["year"] for row in ranking if row["year"]), article["year"])
    licences = _licences(article, named_by["artist"], named_by)
    return {"granularity": kind, "artist": named_by["artist"], "year": year, "licences": licences}


def _strangeness(article: Mapping[str, Any], row: Mapping[str, Any]) -> int:
    """Distance of languages: 0 for the article's own, 1 for a variant, 2 for another."""
    own, other = article["language"] or "", row["language"] or ""
    return 0 if own == other else 1 if own.split("-")[0] == other.split("-")[0] else 2


def _licences(article: Mapping[str, Any], artist: str | None, named_by: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The article's, with the performer under the licence of the record that names them."""
    others = [entry for entry in article["licences"] if entry["field"] != "artist"]
    if artist is None:
        return others
    by_field = {entry["field"]: entry for entry in named_by["licences"]}
    own = {**(by_field.get("artist") or by_field["*"]), "field": "artist"}
    place = sum(entry["field"] == "title" for entry in others)  # in the order of the columns: behind the title
    return [*others[:place], own, *others[place:]]
