"""Discogs XML dumps as the API's releases and masters."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from lxml import etree

from sourcing.crawling.dumps.files import TORN, open_dump, torn
from sourcing.crawling.parsing.values import year_of
from sourcing.crawling.source import DumpRecord
from sourcing.errors import InputError

__all__ = ["read_releases"]

_HEAD_BYTES = 4096
_ROOTS = {"releases": "release", "masters": "master"}
#: Control characters that XML forbids and old dumps hold; no byte of a longer UTF-8 sequence is among them.
_FORBIDDEN = bytes(byte for byte in range(32) if byte not in b"\t\n\r")
_TEXTS = ("title", "country", "released", "notes", "data_quality")


def read_releases(path: Path) -> Iterator[DumpRecord]:
    """Releases or masters in the order of the file, each as `/releases/<id>` or `/masters/<id>` would answer.

    Without images, videos and companies. InputError where the file is torn or no XML, after everything before that
    place, or where it holds neither.
    """
    records = 0
    try:
        with open_dump(path) as stream:
            for element in _elements(path, stream):
                records += 1
                yield _record(element)
    except (etree.XMLSyntaxError, *TORN) as error:
        raise torn(path, records, error) from None


class _Legal:
    """A stream without the characters XML forbids."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self.stream = stream

    def read(self, size: int = -1) -> bytes:
        # read1, because `read` loses what it has when the file breaks off under it.
        while (piece := self.stream.read1(size)) and not (legal := piece.translate(None, _FORBIDDEN)):
            pass
        return legal if piece else b""


def _elements(path: Path, stream: io.BufferedReader) -> Iterator[Any]:
    """Each record's element; it is emptied and cut off when the next one is asked for."""
    first = re.search(rb"<(\w+)[\s>]", stream.peek(_HEAD_BYTES)[:_HEAD_BYTES])
    kind = _ROOTS.get(first[1].decode() if first else "")
    if kind is None:
        finding = f"it begins with <{first[1].decode()}>" if first else "it is no XML"
        raise InputError(
            str(path), f"{finding}, not with <releases> or <masters>", "take a dump of releases or masters"
        )
    # huge_tree lifts a limit on the length of the input, which a dump of 60 GB passes; entities stay unresolved.
    parsing = etree.iterparse(
        cast("io.BufferedReader", _Legal(stream)),
        tag=kind,
        resolve_entities=False,
        huge_tree=True,
        collect_ids=False,
        remove_comments=True,
        remove_pis=True,
    )
    for _, element in parsing:
        root = element.getparent()
        if root is not None and root.getparent() is None:
            yield element
            element.clear()
            while element.getprevious() is not None:
                del root[0]


def _record(element: Any) -> DumpRecord:
    kind = _ROOTS[element.getparent().tag]
    number = element.get("id")
    record: dict[str, Any] = {"id": _number(number), **_texts(element, _TEXTS)}
    record["year"] = _number(element.findtext("year")) or year_of(record.get("released")) or 0
    for name in ("master_id", "main_release"):
        if (value := _number(element.findtext(name))) is not None:
            record[name] = value
    record["artists"] = _artists(element, "artists")
    record["genres"] = [genre.text for genre in element.iterfind("genres/genre") if genre.text]
    record["styles"] = [style.text for style in element.iterfind("styles/style") if style.text]
    if kind == "release":
        record["labels"] = [dict(label.attrib) for label in element.iterfind("labels/label")]
        record["formats"] = [
            {**form.attrib, "descriptions": [text.text for text in form.iterfind("descriptions/description")]}
            for form in element.iterfind("formats/format")
        ]
        record["extraartists"] = _artists(element, "extraartists")
        record["tracklist"] = _tracks(element.find("tracklist"))
    body = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    return DumpRecord(kind, f"https://www.discogs.com/{kind}/{number}", body)


def _tracks(tracklist: Any) -> list[dict[str, Any]]:
    tracks = []
    for track in tracklist if tracklist is not None else ():
        entry: dict[str, Any] = {name: track.findtext(name) or "" for name in ("position", "title", "duration")}
        parts = _tracks(track.find("sub_tracks"))
        # The API says what an entry is; the dump does not, but only headings have neither place nor length.
        heading = not entry["position"] and not entry["duration"]
        entry["type_"] = "index" if parts else "heading" if heading else "track"
        entry |= {name: artists for name in ("artists", "extraartists") if (artists := _artists(track, name))}
        tracks.append({**entry, "sub_tracks": parts} if parts else entry)
    return tracks


def _artists(element: Any, name: str) -> list[dict[str, Any]]:
    fields = ("name", "anv", "join", "role", "tracks")
    return [
        {"id": _number(artist.findtext("id")), **{field: artist.findtext(field) or "" for field in fields}}
        for artist in element.iterfind(f"{name}/artist")
    ]


def _texts(element: Any, names: tuple[str, ...]) -> dict[str, str]:
    return {name: text for name in names if (text := element.findtext(name))}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
