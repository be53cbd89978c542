"""Replay: the captured answers read back from the WARC files, one at a time, around what is spoilt or torn.

An exchange of ours is sealed by its metadata record; without it, it was torn by a death and counts as never answered.
A spoilt record costs its own exchange and no other. Files of other crawlers have no such seals: there every response
is a capture, of which source and kind are not known yet (`foreign` finds them).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sourcing.crawling.source import Capture
from sourcing.crawling.warc.foreign import foreign_capture
from sourcing.crawling.warc.gzip_members import next_record
from sourcing.crawling.warc.record_parser import Record, Spoilt, header_lines
from sourcing.crawling.warc.records import is_membered, read_records
from sourcing.crawling.warc.writer import METADATA_TYPE

__all__ = ["Sealed", "Span", "Tear", "read_captured", "read_sealed", "read_span", "split_file", "warc_files"]

_SUFFIXES = (".warc.gz", ".warc", ".warc.zst")
_FORMS = frozenset({"response", "revisit", "resource", "denial"})
_OPENERS = frozenset({"response", "revisit", "resource"})  # records an exchange opens with
_OPENING = frozenset(name.encode() for name in _OPENERS)
_OURS = "crossmusim"  # begins the names of our files, and the software their first record names
_MAX_NOTE_BYTES = 1 << 20


@dataclass(frozen=True)
class Tear:
    """An unreadable place in a WARC file, with the address of the lost page when known.

    `last` when nothing behind it could be read.
    """

    path: Path
    offset: int
    found: str
    url: str = ""
    last: bool = True


@dataclass(frozen=True)
class Sealed:
    """A complete exchange with its start and end offset in the file."""

    capture: Capture
    end: int
    start: int = 0


@dataclass
class Span:
    """A part of a WARC file to read on its own; once it is read, `reached` is where the reading really ended.

    `end` is a guess where an exchange begins: it is one when the reading of the span before it reached exactly
    there. Nothing read behind a guess that proves wrong counts.
    """

    path: Path
    start: int
    end: int
    reached: int = -1
    tears: list[Tear] = field(default_factory=list)


def warc_files(folder: Path) -> list[Path]:
    """WARC files, oldest first."""
    return sorted(path for path in folder.glob("*.warc*") if path.name.endswith(_SUFFIXES) and path.is_file())


def read_captured(folder: Path, on_tear: Callable[[Tear], None] | None = None) -> Iterator[Capture]:
    """Every complete exchange of every WARC file, in the order of writing; holds one in memory at a time.

    What cannot be read is handed to `on_tear`; what lies behind it is read as well.
    """
    for path in warc_files(folder):
        for exchange in read_sealed(path, on_tear=on_tear):
            yield exchange.capture


def read_sealed(path: Path, *, start: int = 0, on_tear: Callable[[Tear], None] | None = None) -> Iterator[Sealed]:
    """Complete exchanges of one file from byte `start`, which must be a record's first."""
    span = Span(path, start, -1)
    yield from _exchanges(span)
    if on_tear is not None:
        for tear in span.tears:
            on_tear(tear)


def read_span(span: Span) -> Iterator[Capture]:
    """Complete exchanges that begin inside the span; sets its `reached` and `tears` once all are read."""
    for exchange in _exchanges(span):
        yield exchange.capture


def split_file(path: Path, length: int, size: int) -> list[Span]:
    """The first `length` bytes of a file in spans of about `size` bytes that begin where exchanges seem to begin."""
    starts = [0]
    if length and is_membered(path):
        with path.open("rb") as stream:
            while starts[-1] + size < length:
                start = next_record(stream, starts[-1] + size, length, _OPENERS)
                if start is None:
                    break
                starts.append(start)
    return [Span(path, start, end) for start, end in zip(starts, [*starts[1:], length], strict=True)]


class _Exchange:
    """The exchange under construction while its records are read."""

    def __init__(self) -> None:
        self.main: Record | None = None
        self.spoilt: list[Spoilt] = []

    def __bool__(self) -> bool:
        return self.main is not None or bool(self.spoilt)


def _exchanges(span: Span) -> Iterator[Sealed]:
    """Sealed exchanges that begin before the span's end (-1: the file's); fills in what the span is told of."""
    exchange, ours, end, last_offset = _Exchange(), _is_ours(span.path), span.start, -1

    def close(url: str = "") -> None:
        """Report a spoilt exchange under the address in any of its records."""
        url = url or next((each.url for each in exchange.spoilt if each.url), "")
        if exchange.main is not None:
            url = exchange.main.headers.get("warc-target-uri", "") or url
        span.tears += [Tear(span.path, each.offset, each.finding, url, each.last) for each in exchange.spoilt]
        exchange.main, exchange.spoilt = None, []

    for record in read_records(span.path, span.start):
        opens = isinstance(record, Record) and record.kind in _OPENING
        if 0 <= span.end <= record.offset and (opens or not exchange or isinstance(record, Spoilt)):
            last_offset = record.offset
            break
        if isinstance(record, Spoilt):
            exchange.spoilt.append(record)
        elif opens:
            main, at = exchange.main, end
            close()
            if main is not None and not ours:
                yield from _foreign(span, main, at)
            exchange.main = record
        elif record.headers.get("content-type") == METADATA_TYPE:
            ours, main, beside = True, exchange.main, record.headers.get("warc-concurrent-to")
            seals = beside is None or (main is not None and beside == main.headers.get("warc-record-id"))
            try:
                if len(record.block) > _MAX_NOTE_BYTES:
                    raise ValueError(f"holds a note of {len(record.block)} bytes")
                capture = _captured(main if beside else None, json.loads(bytes(record.block)))
            except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
                what = f"record at byte {record.offset} cannot be read ({type(error).__name__}: {str(error)[:200]})"
                exchange.spoilt.append(
                    Spoilt(record.offset, record.end, what, record.headers.get("warc-target-uri", ""))
                )
                close()
            else:
                start = main.offset if beside and main is not None else record.offset
                if beside is None:
                    close()
                close(capture.url)
                if seals:
                    yield Sealed(capture, record.end, start)
        end = record.end
    main = exchange.main
    close()
    if main is not None and not ours:
        yield from _foreign(span, main, end)
    span.reached = last_offset if last_offset >= 0 else max(end, span.end)


def _is_ours(path: Path) -> bool:
    """True for a file written by `CaptureWriter`, by name or first record."""
    if path.name.startswith(_OURS):
        return True
    first = next(read_records(path), None)
    return isinstance(first, Record) and first.kind == b"warcinfo" and _OURS.encode() in bytes(first.block[:1000])


def _foreign(span: Span, main: Record, end: int) -> Iterator[Sealed]:
    try:
        capture = foreign_capture(main.headers, main.block)
    except (ValueError, LookupError, OverflowError) as error:
        what = f"record at byte {main.offset} cannot be read ({str(error)[:200]})"
        span.tears.append(Tear(span.path, main.offset, what, main.headers.get("warc-target-uri", ""), last=False))
        return
    if capture is not None:
        yield Sealed(capture, end, main.offset)


def _captured(main: Record | None, note: dict[str, Any]) -> Capture:
    """The capture a sealed exchange holds; raises for a note that is not as the crawl writes it."""
    form = _text(note.get("form", "response"))
    if form not in _FORMS:
        raise ValueError(f"form {form!r}")
    status, headers, body = 0, {}, b""
    if main is not None and form == "resource":
        status, headers, body = 200, {"content-type": main.headers["content-type"]}, bytes(main.block)
    elif main is not None:
        block = bytes(main.block)
        split = block.find(b"\r\n\r\n")
        head = block[:split] if split >= 0 else block
        status, headers = int(head.split(None, 2)[1]), header_lines(head)
        body = block[split + 4 :] if split >= 0 else b""
    if not 0 <= status <= 999:
        raise ValueError(f"status {status}")
    track_id, body_sha256 = note["track_id"], note.get("body_sha256")
    moment = datetime.fromisoformat(_text(note["retrieved_at"]))
    evidence = note["consent_evidence"]
    if not isinstance(evidence, list):
        raise ValueError("consent_evidence is no list")
    return Capture(
        source=_text(note["source"]),
        kind=_text(note["kind"]),
        task_key=_text(note["task_key"]),
        url=_text(note["url"]),
        status=status,
        headers=headers,
        body=body,
        retrieved_at=moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC),
        track_id=None if track_id is None else _text(track_id),
        consent=_text(note["consent"]),
        consent_evidence=tuple(_text(line) for line in evidence),
        form=form,
        body_sha256=None if body_sha256 is None else _text(body_sha256),
    )


def _text(value: object) -> str:
    """The value when it is a string that encodes as UTF-8, else None."""
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text is due")
    value.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    return value
