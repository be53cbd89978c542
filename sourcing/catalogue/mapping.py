"""Column names of an owner's file mapped to ours, guessed in the languages catalogues come in."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from sourcing.errors import CatalogueError, UsageError
from sourcing.nearest import nearest
from sourcing.store import Track

__all__ = ["NEEDED", "OURS", "ColumnMap", "Wanted", "field_of", "map_columns"]

NEEDED = ("track_id", "title", "artist")
OURS = tuple(name for name in Track.column_names() if name != "extra")


def _folded(name: str) -> str:
    """Letters and digits alone, without case or accents."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(sign for sign in plain if sign.isalnum())


@cache
def _fields() -> dict[str, tuple[int, str]]:
    """Folded file column name → (rank, our column); rank 0 is the likeliest."""
    fields: dict[str, tuple[int, str]] = {}
    text = (Path(__file__).parent / "data" / "column_names.txt").read_text(encoding="utf-8")
    for part in text.split("[")[1:]:
        ours, _, names = part.partition("]")
        for place, name in enumerate(names.replace("\n", " ").split(",")):
            fields.setdefault(_folded(name), (place, ours))
    return fields


def _likely(name: str) -> tuple[int, str] | None:
    """(rank, our column) of a file's column name; what it says in brackets counts second."""
    fields = _fields()
    return fields.get(_folded(name)) or fields.get(_folded(re.sub(r"[(\[（].*?[)\]）]", "", name)))


@dataclass(frozen=True)
class Wanted:
    """Wishes for a file's columns before the file is opened.

    `columns` (ours → theirs) must be there, `remembered` ones are taken where they are. `guess` is `none`, `needed`
    (guess when a needed column has another name) or `all`; with `make_ids` a file without ids is given them.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    remembered: Mapping[str, str] = field(default_factory=dict)
    guess: Literal["none", "needed", "all"] = "none"
    make_ids: bool = False


@dataclass(frozen=True)
class ColumnMap:
    """Our columns → the file's; `guessed` are those nobody named, `ids_made` says that the file has no ids."""

    columns: dict[str, str]
    guessed: frozenset[str] = frozenset()
    ids_made: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def is_guess(self) -> bool:
        """Whether a needed column rests on a guess."""
        return bool(self.guessed & set(NEEDED))

    def lines(self) -> list[str]:
        """The map in words, a line a column."""
        id_lines = ["track_id: the file has none; made from the ISRC, else from artist, title, album and length"]
        others = {ours: theirs for ours, theirs in self.columns.items() if theirs != ours}
        map_lines = [
            f"{ours}: {theirs!r}{' (a guess)' if ours in self.guessed else ''}" for ours, theirs in others.items()
        ]
        return (id_lines if self.ids_made else []) + map_lines


def field_of(name: str) -> str | None:
    """Our column with the likeliest meaning of a file's column name."""
    likeliest = _likely(name)
    return likeliest[1] if likeliest else (exact if (exact := name.strip().casefold()) in OURS else None)


def map_columns(
    thing: str,
    header: Sequence[str],
    columns_wanted: Wanted,
    unusable: Mapping[str, Collection[str]] | None = None,
) -> ColumnMap:
    """The map of a file's columns: those named, our own names, and the likeliest where `wanted` lets them be guessed.

    `unusable` are columns of the file that no guess may take for one of ours. CatalogueError when two columns are one
    of ours, or a needed one is nowhere.
    """
    for ours in columns_wanted.columns:
        if ours not in OURS:
            raise UsageError(
                f"column {ours!r}", "not one of ours", nearest(ours, OURS, f"map one of: {', '.join(OURS)}")
            )
    columns = {}
    notes: list[str] = []
    for ours, theirs in columns_wanted.columns.items():
        exact = [name for name in header if name.strip() == theirs.strip()]
        if not (fitting := exact or _alike(header, theirs)):
            cure = nearest(theirs, header, "correct --map, or the file's header")
            raise CatalogueError(thing, f"it has no column for {ours}: none is called {theirs!r}", cure)
        columns[ours] = _only(thing, ours, fitting)
    for ours in OURS:
        if ours in columns:
            continue
        if alike := _alike(header, ours, columns_in_use=columns.values()):
            columns[ours] = _only(thing, ours, alike)
        elif (theirs := columns_wanted.remembered.get(ours, "")) in header and theirs not in columns.values():
            columns[ours] = theirs
            if rivals := [name for name in header if name != theirs and field_of(name) == ours]:
                notes.append(_chosen(ours, theirs, rivals, " as in the catalogue before"))
    guesses: dict[str, str] = {}
    guess_notes: list[str] = []
    if columns_wanted.guess != "none":
        guesses, guess_notes = _guessed(thing, header, columns, unusable or {})
    missing = [name for name in NEEDED if name not in {**columns, **guesses}]
    ids_made = missing == ["track_id"] and (columns_wanted.make_ids or columns_wanted.guess != "none")
    by_guess = {*guesses, *(missing if ids_made and not columns_wanted.make_ids else [])}
    if missing and not ids_made:
        if columns_wanted.guess != "none":  # ids alone could be made
            missing = [name for name in missing if name != "track_id"]
        found_names = ", ".join(header[:20])
        cure = f"rename one of them, or say which it is: --column {missing[0]}=NAME"
        raise CatalogueError(thing, f"no column {' or '.join(missing)}; found {found_names}", cure)
    if columns_wanted.guess == "needed" and guesses and not by_guess & set(NEEDED):
        guess_list = ", ".join(f"{ours}={theirs!r}" for ours, theirs in guesses.items())
        guess_notes = [f"columns that may be ours are left in extra: {guess_list} (--yes or --map takes them)"]
        guesses, by_guess = {}, set()
    columns |= guesses
    for name, count in Counter(name for name in header if name not in columns.values()).items():
        if count > 1:
            raise _twice(thing, repr(name), count)
    in_our_order = {ours: columns[ours] for ours in OURS if ours in columns}
    return ColumnMap(in_our_order, frozenset(by_guess), ids_made, (*notes, *guess_notes))


def _guessed(
    thing: str, header: Sequence[str], columns: Mapping[str, str], unusable: Mapping[str, Collection[str]]
) -> tuple[dict[str, str], list[str]]:
    """The likeliest file column for every unmapped column of ours, with notes on the rivals."""
    rivals: dict[str, list[tuple[int, str]]] = {}
    for theirs in header:
        place, ours = _likely(theirs) or (0, "")
        if ours and ours not in columns and theirs not in columns.values() and theirs not in unusable.get(ours, ()):
            rivals.setdefault(ours, []).append((place, theirs))
    guesses, notes = {}, []
    for ours in (name for name in OURS if name in rivals):
        first, *others = sorted(rivals[ours])
        guesses[ours] = _only(thing, ours, [first[1], *(name for place, name in others if place == first[0])])
        if others:
            notes.append(_chosen(ours, first[1], [name for _, name in others]))
    return guesses, notes


def _chosen(ours: str, theirs: str, others: Sequence[str], why: str = "") -> str:
    rest = ", ".join(map(repr, others))
    return f"{ours} is read from {theirs!r}{why}; {rest} goes into extra (--map {ours}=NAME takes another)"


def _alike(header: Sequence[str], name: str, columns_in_use: Iterable[str] = ()) -> list[str]:
    return [
        theirs
        for theirs in header
        if theirs.strip().casefold() == name.strip().casefold() and theirs not in columns_in_use
    ]


def _only(thing: str, ours: str, names: Sequence[str]) -> str:
    """The only column name in `names`; CatalogueError when it stands twice."""
    if len(names) > 1:
        raise _twice(thing, " and ".join(dict.fromkeys(map(repr, names))), len(names), ours)
    return names[0]


def _twice(thing: str, name: str, count: int, ours: str | None = None) -> CatalogueError:
    times = "twice" if count == 2 else f"{count} times"
    cure = f", or say which it is: --map {ours}=NAME" if ours else ""
    return CatalogueError(thing, f"the column {name} stands {times}", f"rename or remove all but one{cure}")
