"""MusicBrainz JSON dumps as recordings: those on no release, and those inside every release.

The dump of recordings holds only the ones that are on no release; all others lie in the dump of releases, as
`media[].tracks[].recording` (https://musicbrainz.org/doc/Development/JSON_Data_Dumps). Both are tar archives with
one document a line under mbdump/. A recording on several releases comes once for each of them.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from sourcing.crawling.dumps.files import TORN, is_tar, open_dump, torn
from sourcing.crawling.source import DumpRecord
from sourcing.errors import InputError

__all__ = ["read_recordings"]

_MEMBERS = frozenset({"mbdump/recording", "mbdump/release"})
_KIND = "recording"


def read_recordings(path: Path) -> Iterator[DumpRecord]:
    """Recordings in the order of the file, each as `/ws/2/recording/<id>` would answer.

    A line that is no JSON comes as it is, for the page object to refuse. InputError where the file is torn, after
    everything before the tear, or holds no such records.
    """
    records = 0
    try:
        with open_dump(path) as stream:
            for record in _records(path, _lines(path, stream)):
                records += 1
                yield record
    except TORN as error:
        raise torn(path, records, error) from None


def _lines(path: Path, stream: io.BufferedReader) -> Iterator[bytes]:
    if not is_tar(stream):
        yield from stream
        return
    records = []
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            records.append(member.name)
            if member.name.removeprefix("./") in _MEMBERS:
                # mypy: a plain file of an archive always has content
                yield from cast("io.BufferedReader", archive.extractfile(member))
    if not any(name.removeprefix("./") in _MEMBERS for name in records):
        names = ", ".join(records[:5]) or "nothing"
        raise InputError(
            str(path),
            f"it holds {names}, not {' or '.join(sorted(_MEMBERS))}",
            "take recording.tar.xz or release.tar.xz",
        )


def _records(path: Path, lines: Iterable[bytes]) -> Iterator[DumpRecord]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entity = json.loads(line)
        except (ValueError, RecursionError):
            if not line.endswith(b"\n"):  # only a file's last line can: it was cut
                raise EOFError(f"line {number} is cut after {len(line)} bytes") from None
            entity = None
        try:
            recordings = list(_recordings(entity)) if "media" in entity else [{**entity}]
        except (AttributeError, TypeError):  # of no shape the server writes
            yield DumpRecord(_KIND, f"file:{path.name}?line={number}", line.strip())
        else:
            yield from map(_record, recordings)


def _recordings(release: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each recording on a release once, with that release in its list of releases."""
    on = [{name: release.get(name) for name in ("id", "title", "date", "status")}]
    ids = set()
    for medium in release.get("media") or []:
        for track in [medium.get("pregap"), *(medium.get("tracks") or []), *(medium.get("data-tracks") or [])]:
            recording = track.get("recording") if track else None
            if recording and recording.get("id") not in ids:
                ids.add(recording.get("id"))
                yield {"artist-credit": track.get("artist-credit"), **recording, "releases": on}


def _record(recording: Mapping[str, Any]) -> DumpRecord:
    body = json.dumps(recording, ensure_ascii=False, separators=(",", ":"))
    url = f"https://musicbrainz.org/recording/{recording.get('id')}"
    return DumpRecord(_KIND, url, body.encode("utf-8", "replace"))
