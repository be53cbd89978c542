"""Rules of a catalogue row: what makes a track of it, what empties one value, what rejects the row."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

from sourcing.store import Track
from sourcing.store.schemas import TRACK_ID_PATTERN

__all__ = ["VALUE_REASONS", "RowReader"]

T = TypeVar("T")

#: Reasons of rejected rows that speak of one value only: it was emptied, the track itself was taken.
VALUE_REASONS = (
    "audio_missing",
    "duration_illegal",
    "isrc_illegal",
    "label_illegal",
    "language_illegal",
    "mbid_illegal",
    "year_illegal",
)

_SAMPLE_CHARACTERS = 2000  # of a rejected row, enough for a person to see what it was
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_MBID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_YEAR = re.compile(r"([12]\d{3})(?:\.0|-\d{2}(?:-\d{2}(?:[T ].*)?)?)?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_SIGNS = {" ": "a space", "/": "a slash", "\\": "a backslash", "\t": "a tab"}
_OURS = frozenset(Track.column_names()) - {"extra"}
_ID_CURE = "use letters, digits, . _ : -"


class _Refused(ValueError):
    """A row that is rejected, or a value that is emptied."""

    def __init__(self, reason: str, finding: str) -> None:
        self.reason, self.finding = reason, finding
        super().__init__(reason, finding)


class RowReader:
    """Takes rows one by one and gathers `tracks` and `rejected` (dicts of the tables' columns)."""

    def __init__(self, audio_root: Path) -> None:
        self.audio_root = audio_root.resolve()
        self.tracks: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self.rows = 0
        self._where_of: dict[str, str] = {}  # track_id → where it was first taken
        self._row: tuple[str, Any] = ("", None)

    def take(self, where: str, row: Mapping[str, Any] | str) -> None:
        """Of two rows with one track_id the first that is sound stays."""
        self.rows += 1
        self._row = (where, row)
        try:
            if isinstance(row, str):
                raise _Refused("row_unreadable", row)
            track = self._track(row)
        except _Refused as refused:
            self._reject(refused)
            return
        self._where_of[track["track_id"]] = where
        self.tracks.append(track)

    def _reject(self, refused: _Refused) -> None:
        where, row = self._row
        sample = None if isinstance(row, str) else _json(row)[:_SAMPLE_CHARACTERS]
        facts = {"stage": "catalogue", "key": _text(where), "row": sample}
        self.rejected.append({**facts, "reason": refused.reason, "finding": _text(refused.finding)})

    def _track(self, row: Mapping[str, Any]) -> dict[str, Any]:
        track: dict[str, Any] = {"track_id": self._track_id(_text(row.get("track_id")))}
        for name in ("title", "artist"):
            track[name] = _text(row.get(name))
            if not track[name]:
                raise _Refused(f"{name}_missing", f"{name} is empty; fill it in")
        audio = self._audio(_text(row.get("audio")))
        return {
            **track,
            "album": _text(row.get("album")),
            "year": self._value(_year, row.get("year")),
            "isrc": self._value(_isrc, row.get("isrc")),
            "mbid": self._value(_mbid, row.get("mbid")),
            "duration_s": self._value(_duration, row.get("duration_s")),
            "language": self._value(_language, row.get("language")),
            "audio": audio,
            "group_id": _text(row.get("group_id")),
            "tags": _listed(row.get("tags")),
            "text": _text(row.get("text")),
            "labels": self._labels(row.get("labels")),
            "extra": _extra(row),
        }

    def _track_id(self, track_id: str | None) -> str:
        if not track_id:
            raise _Refused("track_id_missing", "track_id is empty; give every track a name of its own")
        if not re.fullmatch(TRACK_ID_PATTERN, track_id):
            if len(track_id) > 128:
                found = f'track_id "{track_id[:20]}…" has {len(track_id)} characters; use 128 at most'
                raise _Refused("track_id_illegal", found)
            sign = next(char for char in track_id if not re.fullmatch(TRACK_ID_PATTERN, char))
            raise _Refused("track_id_illegal", f'track_id "{track_id}" has {_SIGNS.get(sign, repr(sign))}; {_ID_CURE}')
        if track_id in self._where_of:
            found = f'track_id "{track_id}" is taken by {self._where_of[track_id]}; remove one or rename it'
            raise _Refused("track_id_duplicate", found)
        return track_id

    def _audio(self, audio: str | None) -> str | None:
        """A path below the catalogue's folder, links followed; else the row is refused, as it may name any file."""
        if audio is None:
            return None
        relative = posixpath.normpath(audio.replace("\\", "/"))
        absolute = relative.startswith("/") or PureWindowsPath(audio).drive or audio.startswith("file:")
        try:
            inside = not absolute and (self.audio_root / relative).resolve().is_relative_to(self.audio_root)
            there = inside and (self.audio_root / relative).is_file()
        except (OSError, RuntimeError, ValueError) as error:  # a link to itself, a name no disk can hold
            self._reject(
                _Refused("audio_missing", f'audio "{audio[:80]}" cannot be looked up ({error}); mend the path')
            )
            return None
        if not inside:
            found = f'audio "{audio}" is not inside the catalogue\'s folder; give a path relative to it'
            raise _Refused("audio_outside_folder", found)
        if not there:
            self._reject(
                _Refused("audio_missing", f'there is no file "{audio}" in the catalogue\'s folder; put it there')
            )
            return None
        return relative

    def _value(self, parse: Callable[[str], T], value: Any) -> T | None:
        """The parsed value; None when it is empty or, after a note, when it cannot be."""
        text = _text(value)
        try:
            return None if text is None else parse(text)
        except _Refused as refused:
            self._reject(refused)
            return None

    def _labels(self, value: Any) -> list[dict[str, str]]:
        """`facet=value;facet=value`, an object of facets, or a list of {facet, value}."""
        if isinstance(value, Mapping):
            pairs = [(facet, each) for facet, values in value.items() for each in _as_list(values)]
        elif isinstance(value, list):
            pairs = [
                (item.get("facet"), item.get("value")) if isinstance(item, Mapping) else (item, None) for item in value
            ]
        else:
            parts = [part.partition("=") for part in (_text(value) or "").split(";") if part.strip()]
            pairs = [(facet, each) for facet, _, each in parts]
        labels = []
        for facet, each in ((_text(facet), _text(each)) for facet, each in pairs):
            if facet and each:
                labels.append({"facet": facet, "value": each})
            else:
                found = f'label "{facet or ""}={each or ""}" lacks a side; write facet=value;facet=value'
                self._reject(_Refused("label_illegal", found))
        return labels


def _year(text: str) -> int:
    found = _YEAR.fullmatch(text)
    if not found:
        raise _Refused("year_illegal", f'year "{text}" is none from 1000 to 2999; write four digits')
    return int(found.group(1))


def _isrc(text: str) -> str:
    bare = re.sub(r"[\s-]", "", text).upper().removeprefix("ISRC")
    if not _ISRC.fullmatch(bare):
        raise _Refused("isrc_illegal", f'isrc "{text}" is not two letters, three letters or digits, seven digits')
    return bare


def _mbid(text: str) -> str:
    bare = text.lower().rstrip("/").rsplit("/", 1)[-1]  # also taken from the address of a recording's page
    if not _MBID.fullmatch(bare):
        raise _Refused("mbid_illegal", f'mbid "{text}" is not a MusicBrainz id; copy the recording\'s 36 characters')
    return bare


def _duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise _Refused("duration_illegal", f'duration_s "{text}" is not a number of seconds; write e.g. 215.5')
    return seconds


def _language(text: str) -> str:
    if not _LANGUAGE.fullmatch(text):
        raise _Refused("language_illegal", f'language "{text}" is not a BCP 47 tag; write e.g. en or pt-BR')
    return text


def _text(value: Any) -> str | None:
    """As text without white space around it; None when nothing is left. Lone surrogates become question marks."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value).encode("utf-8", "replace").decode().strip() or None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _listed(value: Any) -> list[str]:
    """Items of a list, or of `;`-separated text, each once, in order."""
    items = value if isinstance(value, list) else (_text(value) or "").split(";")
    return list(dict.fromkeys(text for text in map(_text, items) if text))


def _extra(row: Mapping[str, Any]) -> str | None:
    """The other columns as one JSON object; an `extra` column that is one already is taken apart into it."""
    others = {str(name): value for name, value in row.items() if name not in _OURS and _text(value) is not None}
    try:
        inner = json.loads(others.get("extra", "null"))
    except (TypeError, ValueError):
        inner = None
    if isinstance(inner, dict):
        others = {**inner, **{name: value for name, value in others.items() if name != "extra"}}
    return _json(others) if others else None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str).encode("utf-8", "replace").decode()
