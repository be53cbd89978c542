"""Reading a Wikibase item: its claims by rank, what they name, when and how long, and its names by language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sourcing.crawling.parsing.values import as_list, as_object, clean
from sourcing.crawling.wiki.mediawiki import QID

__all__ = ["Entity", "claims", "duration_s", "items", "label", "names", "texts", "year"]

Entity = Mapping[str, Any]
_SECONDS = {"Q11574": 1.0, "Q7727": 60.0, "Q25235": 3600.0}  # second, minute, hour


def claims(entity: Entity, name: str) -> list[Any]:
    """Values of a property, the preferred ones where some are preferred; deprecated and unknown ones left out."""
    by_property = entity.get("claims")
    statements = (
        by_property.get(name) if isinstance(by_property, dict) else None
    )  # an item without claims has a list there
    by_rank: dict[str, list[Any]] = {}
    for statement in statements if isinstance(statements, list) else []:
        snak = statement.get("mainsnak") if isinstance(statement, dict) else None
        value = snak.get("datavalue") if isinstance(snak, dict) else None
        if isinstance(value, dict) and value.get("value") is not None:
            by_rank.setdefault(str(statement.get("rank")), []).append(value["value"])
    return by_rank.get("preferred") or by_rank.get("normal") or []


def texts(entity: Entity, name: str) -> list[str]:
    return list(dict.fromkeys(value for value in claims(entity, name) if isinstance(value, str)))


def items(entity: Entity, name: str) -> list[str]:
    ids = (str(value.get("id")) for value in claims(entity, name) if isinstance(value, dict))
    return [qid for qid in dict.fromkeys(ids) if QID.fullmatch(qid)]


def label(entity: Entity, codes: Iterable[str]) -> str | None:
    labels = as_object(entity.get("labels"))
    names = (clean(as_object(labels.get(code)).get("value")) for code in codes)
    return next((name for name in names if name), None)


def names(entity: Entity, codes: Iterable[str]) -> list[Any]:
    """Labels, then aliases, in the languages of `codes`."""
    labels, aliases, codes = as_object(entity.get("labels")), as_object(entity.get("aliases")), [*codes]
    label_list = [labels.get(code) for code in codes]
    label_list += [alias for code in codes for alias in as_list(aliases.get(code))]
    return [as_object(name).get("value") for name in label_list]


def year(entity: Entity, name: str) -> int | None:
    """The earliest year of publication; a time of coarser precision than a year names none."""
    years = []
    for value in claims(entity, name):
        match = re.match(r"\+(\d{4})-", str(as_object(value).get("time")))
        if match and as_object(value).get("precision") in range(9, 15):
            years.append(int(match[1]))
    return min((number for number in years if 1000 <= number <= 2999), default=None)


def duration_s(entity: Entity, name: str) -> float | None:
    """Length in seconds, when a single one is stated in a unit of time."""
    lengths = set()
    for value in claims(entity, name):
        unit = _SECONDS.get(str(as_object(value).get("unit")).rpartition("/")[2])
        amount = re.fullmatch(r"\+(\d{1,6}(?:\.\d{1,6})?)", str(as_object(value).get("amount")))
        if unit and amount:
            lengths.add(float(amount[1]) * unit)
    return lengths.pop() if len(lengths) == 1 else None
