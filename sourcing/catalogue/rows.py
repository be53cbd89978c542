"""Rules of a catalogue row: what makes a track of it, what empties one value, what rejects the row."""

from __future__ import annotations

import json
import math
import posixpath
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

from sourcing.catalogue.cells import ValueRefused, as_json, cell_text, credit, is_empty, items, joined, mended, visible
from sourcing.catalogue.dates import read_year
from sourcing.catalogue.durations import read_duration
from sourcing.catalogue.formats import Doubtful, Unreadable
from sourcing.catalogue.identifiers import made_id, one_text, read_isrc, read_mbid, read_track_id
from sourcing.catalogue.tongues import read_language
from sourcing.store import Track
from sourcing.store.audio import stays_below, undecodable
from sourcing.store.text import without_surrogates

__all__ = ["FAILED", "VALUE_REASONS", "Forms", "RowReader"]

T = TypeVar("T")

#: Reasons of rejected rows that speak of one value only: it was emptied or is doubtful, the track itself was taken.
VALUE_REASONS = (
    "audio_cut",
    "audio_missing",
    "audio_undecodable",
    "duration_illegal",
    "isrc_illegal",
    "label_illegal",
    "language_illegal",
    "mbid_illegal",
    "name_doubtful",
    "value_not_text",
    "year_illegal",
)
FAILED = "row_failed"  # a row that something here could not bear: a bug, told with its exception

_SAMPLE_CHARACTERS = 2000  # of a rejected row, enough for a person to see what it was
_NAME_CHARACTERS = 2000  # longer is no title and no artist
_EXTRA_CHARACTERS = 1_000_000
_OURS = frozenset(Track.column_names()) - {"extra"}
_WORDS = frozenset({"none", "null", "nan", "nil", "na", "undefined"})  # for nothing, but names as well


@dataclass(frozen=True)
class Forms:
    """How the cells of columns are written, as the first rows of the file show."""

    duration_unit: str = "s"
    year_form: str = "date"
    separator: str | None = ";"  # of tags
    ids_made: bool = False


class RowReader:
    """Takes rows one by one; gathers `tracks` and `rejected` (dicts of the tables' columns), counts what it mends."""

    def __init__(self, audio_root: Path, forms: Forms) -> None:
        self.audio_root = audio_root.resolve()
        self.forms = forms
        self.tracks: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.mended: Counter[str] = Counter()  # column → cells whose text was put right
        self.rows = 0
        self._where_of: dict[str, str] = {}  # track_id → where it was first taken
        self._row: tuple[str, Any] = ("", None)

    def take(self, where: str, row: Mapping[str, Any] | Doubtful | Unreadable) -> None:
        """Of two rows with one track_id the first that is sound stays."""
        self.rows += 1
        self._row = (where, row)
        first_note = len(self.rejected)
        try:
            if isinstance(row, Unreadable):
                raise ValueRefused("row_unreadable", row.finding)
            if isinstance(row, Doubtful):
                self._reject(ValueRefused(row.reason, row.finding))
                row = row.row
            track = self._track(row)
        except ValueRefused as refusal:
            del self.rejected[first_note:]
            self._reject(refusal)
            return
        except Exception as error:  # a row ends no import: it is told as a bug, and the others go on
            del self.rejected[first_note:]
            self._reject(
                ValueRefused(FAILED, f"{type(error).__name__}: {str(error)[:200]}; this is a bug of crossmusim")
            )
            return
        self._where_of[track["track_id"]] = where
        self.tracks.append(track)

    def _reject(self, refusal: ValueRefused) -> None:
        where, row = self._row
        sample = row.raw if isinstance(row, Unreadable) else as_json(row.row if isinstance(row, Doubtful) else row)
        facts = {
            "stage": "catalogue",
            "key": without_surrogates(where),
            "row": without_surrogates(sample[:_SAMPLE_CHARACTERS]),
        }
        self.rejected.append({**facts, "reason": refusal.reason, "finding": without_surrogates(refusal.finding)})

    def _track(self, row: Mapping[str, Any]) -> dict[str, Any]:
        track_id = None if self.forms.ids_made else self._free_id(read_track_id(row.get("track_id")))
        track: dict[str, Any] = {name: self._name(name, row.get(name)) for name in ("title", "artist")}
        audio = self._audio(self._optional("audio", cell_text, row.get("audio")))
        track |= {
            "album": self._optional("album", lambda value: self._mended("album", credit(value)), row.get("album")),
            "year": self._optional("year", lambda value: read_year(value, self.forms.year_form), row.get("year")),
            "isrc": self._value(read_isrc, self._code(row, "isrc")),
            "mbid": self._value(read_mbid, self._code(row, "mbid")),
            "duration_s": self._optional(
                "duration_s", lambda value: read_duration(value, self.forms.duration_unit), row.get("duration_s")
            ),
            "language": self._value(read_language, self._optional("language", one_text, row.get("language"))),
            "audio": audio,
            "group_id": self._optional("group_id", cell_text, row.get("group_id")),
            "tags": self._optional("tags", self._tags, row.get("tags")) or [],
            "text": self._optional("text", lambda value: "\n".join(items(value)) or None, row.get("text")),
            "labels": self._labels(row.get("labels")),
            "extra": self._extra(row),
        }
        return {"track_id": track_id or self._free_id(made_id(track)), **track}

    def _name(self, name: str, value: Any) -> str:
        """A title or artist credit; a row without one is refused."""
        try:
            text = credit(value, single=name == "title")
            text = text and self._mended(name, text)
            text = joined(text) if text and name == "artist" else text
        except ValueRefused as refusal:
            raise ValueRefused(f"{name}_not_text", f"{name} is {refusal.finding}; write it as text") from None
        if not text or (is_empty(text) and text.casefold() not in _WORDS):
            raise ValueRefused(f"{name}_missing", f"{name} is empty; fill it in")
        if not visible(text):
            raise ValueRefused(f"{name}_missing", f"{name} has no visible character; fill it in")
        if len(text) > _NAME_CHARACTERS:
            finding = f"{name} has {len(text):,} characters; use {_NAME_CHARACTERS:,} at most"
            raise ValueRefused(f"{name}_not_text", finding)
        if text.casefold() in _WORDS:
            self._reject(
                ValueRefused("name_doubtful", f'{name} is "{text}", which may mean that there is none; it is kept')
            )
        return text

    def _mended(self, name: str, text: str | None) -> str | None:
        if not text or (after := mended(text)) == text:
            return text or None
        self.mended[name] += 1
        return after or None

    def _code(self, row: Mapping[str, Any], name: str) -> str | None:
        """A cell that holds a code: without the apostrophe that keeps a spreadsheet from counting it."""
        text = self._optional(name, one_text, row.get(name))
        return text.lstrip("'").strip() or None if text else None

    def _tags(self, value: Any) -> list[str]:
        return [tag for tag in (self._mended("tags", each) for each in items(value, self.forms.separator)) if tag]

    def _optional(self, name: str, parse: Callable[[Any], T | None], value: Any) -> T | None:
        """The cell parsed by `parse`; None when it is empty or, after a note, when it cannot be."""
        nothing = value is None or (isinstance(value, str) and name != "labels" and is_empty(value.strip()))
        try:
            return None if nothing else parse(value)
        except ValueRefused as refusal:
            is_own = refusal.reason != "not_text"
            self._reject(
                refusal if is_own else ValueRefused("value_not_text", f"{name} is {refusal.finding}; write it as text")
            )
            return None

    def _free_id(self, track_id: str) -> str:
        if track_id in self._where_of:
            finding = f'track_id "{track_id}" is taken by {self._where_of[track_id]}; remove one or rename it'
            raise ValueRefused("track_id_duplicate", finding)
        return track_id

    def _audio(self, audio: str | None) -> str | None:
        """A path below the catalogue's folder, links followed; else the row is refused, as it may name any file."""
        if audio is None:
            return None
        relative = posixpath.normpath(audio.replace("\\", "/"))
        absolute = relative.startswith("/") or PureWindowsPath(audio).drive or audio.startswith("file:")
        try:
            inside = not absolute and stays_below(self.audio_root, self.audio_root / relative)
            there = inside and (self.audio_root / relative).is_file()
        except (OSError, RuntimeError, ValueError) as error:  # a link to itself, a name no disk can hold
            self._reject(
                ValueRefused("audio_missing", f'audio "{audio[:80]}" cannot be looked up ({error}); mend the path')
            )
            return None
        if not inside:
            finding = f'audio "{audio[:200]}" is not inside the catalogue\'s folder; give a path relative to it'
            raise ValueRefused("audio_outside_folder", finding)
        if not there:
            self._reject(
                ValueRefused(
                    "audio_missing", f'there is no file "{audio[:200]}" in the catalogue\'s folder; put it there'
                )
            )
            return None
        if why := undecodable(relative):
            finding = f'audio "{audio[:200]}" is there, but {why}; convert it to FLAC, WAV, OGG or MP3'
            self._reject(ValueRefused("audio_undecodable", finding))
            return None
        return relative

    def _value(self, parse: Callable[[str], T], text: str | None) -> T | None:
        """The parsed value; None when it is empty or, after a note, when it cannot be."""
        try:
            return None if text is None else parse(text)
        except ValueRefused as refusal:
            self._reject(refusal)
            return None

    def _extra(self, row: Mapping[str, Any]) -> str | None:
        """The other columns as one JSON object; an `extra` column that is one already is taken apart into it."""
        others = {str(name): value for name, value in row.items() if name not in _OURS and _filled(value)}
        try:
            inner = json.loads(others.get("extra", "null"))
        except (TypeError, ValueError, RecursionError):
            inner = None
        if isinstance(inner, dict):
            others = {**inner, **{name: value for name, value in others.items() if name != "extra"}}
        text = as_json(others) if others else None
        if text and len(text) > _EXTRA_CHARACTERS:
            finding = f"the other columns hold {len(text):,} characters; they are left out"
            self._reject(ValueRefused("value_not_text", finding))
            return None
        return text

    def _label(self, value: Any) -> str | None:
        return self._optional("labels", cell_text, value)  # "none" is a value: drums=none

    def _labels(self, value: Any) -> list[dict[str, str]]:
        """`facet=value;facet=value`, an object of facets, or a list of {facet, value}."""
        if isinstance(value, Mapping):
            pairs = [(facet, each) for facet, values in value.items() for each in _as_list(values)]
        elif isinstance(value, list):
            pairs = [
                (item.get("facet"), item.get("value")) if isinstance(item, Mapping) else (item, None) for item in value
            ]
        else:
            text = self._optional("labels", cell_text, value) or ""
            parts = [part.partition("=") for part in text.split(";") if part.strip()]
            pairs = [(facet, each) for facet, _, each in parts]
        labels = []
        for facet, each in ((self._label(facet), self._label(each)) for facet, each in pairs):
            if facet and each:
                labels.append({"facet": facet, "value": each})
            else:
                finding = f'label "{facet or ""}={each or ""}" lacks a side; write facet=value;facet=value'
                self._reject(ValueRefused("label_illegal", finding))
        return labels


def _filled(value: Any) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is not None and not is_nan and not (isinstance(value, str) and not value.strip())


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
