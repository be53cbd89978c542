"""The encoding of a text file: told by its first bytes, by UTF-8's own rules, else by which letters make words."""

from __future__ import annotations

import codecs
import gzip
import io
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

from sourcing.errors import CatalogueError, UsageError

__all__ = ["detect_encoding", "open_bytes", "open_text"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = {
    b"PK\x03\x04": "a zip or an Excel file; name it .xlsx if it is one",
    b"\xd0\xcf\x11\xe0": "an old Excel file; name it .xls if it is one",
    b"PAR1": "Parquet; name it .parquet",
    b"SQLite format 3": "an SQLite database; export its table as CSV",
    b"%PDF": "a PDF; export it as CSV",
}
_WESTERN = ("cp1252", "mac_roman", "cp1250")
#: Scripts that other encodings hold, as Unicode names their letters.
_ALPHABETS = {"cp1251": "CYRILLIC", "koi8_r": "CYRILLIC", "cp1253": "GREEK", "cp1255": "HEBREW", "cp1256": "ARABIC"}
_ALPHABETS |= {"cp874": "THAI"}
#: East Asian encodings, and the leading bytes of the characters that are in daily use (in that of the second name).
_IDEOGRAPHS = {
    "euc_kr": ("euc_kr", 0xC8),
    "cp932": ("shift_jis", 0x98),
    "gb18030": ("gb2312", 0xD7),
    "big5": ("big5", 0xC6),
    "euc_jp": ("euc_jp", 0xCF),
}
_NAMES = {"cp1252": "Windows-1252", "cp1250": "Windows-1250", "cp1251": "Windows-1251", "mac_roman": "Mac Roman"}
_NAMES |= {"cp932": "Shift-JIS", "gb18030": "GB 18030", "big5": "Big5", "euc_kr": "EUC-KR", "cp1253": "Windows-1253"}
_HEAD_BYTES = 200_000
_TYPOGRAPHY = set("‘’“”–—…«»€•™©®°´·")  # what stands beside letters in honest text


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked when it is gzip."""
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb")) if packed else path.open("rb")


@contextmanager
def open_text(path: Path, encoding: str | None = None) -> Iterator[tuple[TextIO, list[str]]]:
    """The file as text with line ends made one, and what to tell of its encoding; CatalogueError when it is no text."""
    notes: list[str] = []
    try:
        if encoding is None:
            encoding, note = detect_encoding(path)
            notes += [note] if note else []
        else:
            _known(encoding)
        with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding, errors=_FALLBACK, newline=None) as text:
            yield text, notes
    except (OSError, EOFError, zlib.error) as error:
        raise CatalogueError(str(path), f"it cannot be read ({error})", "check the file") from None


def detect_encoding(path: Path) -> tuple[str, str | None]:
    """A codec's name, and a sentence when it is not plain UTF-8."""
    with open_bytes(path) as stream:
        head = stream.read(_HEAD_BYTES)
        for bom, name in _BOMS:
            if head.startswith(bom):
                return name, None if name == "utf-8-sig" else f"it is {name.upper()}"
        for magic, words in _MAGIC.items():
            if head.startswith(magic):
                raise CatalogueError(str(path), f"it is {words.split(';')[0]}", words.split("; ")[1])
        if wide := _without_bom(head):
            return wide, f"it is {wide.upper()} without a byte order mark"
        if head.count(b"\0") > len(head) // 1000:
            raise CatalogueError(str(path), "it is no text: it holds zero bytes", "export it as CSV in UTF-8")
        stream.seek(0)
        wrong, multibyte = _utf8_faults(stream)
    if not wrong:
        return "utf-8", None
    if multibyte > 4 * wrong:
        return "utf-8", f"it is UTF-8 but for {wrong} bytes, which are read as Windows-1252"
    codec = _guess(head)
    name = _NAMES.get(codec, codec)
    return codec, f"it is not UTF-8; it is read as {name} (say otherwise with --encoding NAME)"


def _known(encoding: str) -> None:
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError):
        raise UsageError("--encoding", f"no encoding is called {encoding!r}", "give e.g. utf-8 or cp1252") from None


def _without_bom(head: bytes) -> str | None:
    """UTF-16 by its zero bytes: those of ASCII signs all stand in one half."""
    pairs = len(head) // 2
    if pairs < 4:
        return None
    odd, even = head[1::2].count(0), head[::2].count(0)
    if odd > 0.3 * pairs and even < 0.05 * pairs:
        return "utf-16-le"
    if even > 0.3 * pairs and odd < 0.05 * pairs:
        return "utf-16-be"
    return None


def _utf8_faults(stream: IO[bytes]) -> tuple[int, int]:
    """Bytes that are not UTF-8, and signs of several bytes that are; (0, 0) where all is UTF-8."""
    try:
        for text in codecs.iterdecode(iter(lambda: stream.read(1 << 20), b""), "utf-8"):
            del text
        return 0, 0
    except UnicodeDecodeError:
        stream.seek(0)
    wrong = multibyte = 0
    for text in codecs.iterdecode(iter(lambda: stream.read(1 << 20), b""), "utf-8", errors="surrogateescape"):
        faults = sum("\udc80" <= sign <= "\udcff" for sign in text)
        wrong, multibyte = wrong + faults, multibyte + sum(sign > "\x7f" for sign in text) - faults
        if wrong > 100:
            break
    return wrong, multibyte


def _guess(head: bytes) -> str:
    """Western where bytes beyond ASCII stand alone among letters; else the encoding that gives letters in daily use."""
    high = {place for place, byte in enumerate(head) if byte > 0x7F}
    in_runs = sum(place + 1 in high or place - 1 in high for place in high)
    if in_runs <= 0.4 * len(high):
        return max(_WESTERN, key=lambda codec: (_likeness(head, codec), -_WESTERN.index(codec)))
    scores = {codec: _in_use(head, codec) for codec in (*_IDEOGRAPHS, *_ALPHABETS)}
    best = max(scores, key=lambda codec: scores[codec])
    return best if scores[best] > 0.3 else "cp1252"


def _in_use(head: bytes, codec: str) -> float:
    """The share of signs beyond ASCII that are in daily use where the encoding is, from -1 to 1."""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return -1.0
    if codec in _ALPHABETS:
        text = f" {text} "
        signs = [place for place, sign in enumerate(text) if sign > "\x7f"]
        odd = sum(text[place].isupper() and text[place - 1].islower() for place in signs)
        own = sum(unicodedata.name(text[place], "").startswith(_ALPHABETS[codec]) for place in signs)
        return (2 * own - len(signs) - 2 * odd) / max(len(signs), 1)
    signs_in_use = [_is_in_use(sign, *_IDEOGRAPHS[codec]) for sign in text if sign > "\x7f"]
    return sum(1 if known else -1 for known in signs_in_use) / max(len(signs_in_use), 1)


def _is_in_use(sign: str, codec: str, last: int) -> bool:
    if "\u3040" <= sign <= "\u30ff":  # kana, which all East Asian encodings hold
        return codec in ("shift_jis", "euc_jp")
    try:
        code = sign.encode(codec)
    except UnicodeEncodeError:
        return False
    return len(code) > 1 and code[0] <= last


def _likeness(head: bytes, codec: str) -> float:
    """How well the signs beyond ASCII sit in their words: letters beside letters of one case, known typography."""
    text = head.decode(codec, "replace")
    score = 0.0
    for place, sign in enumerate(text):
        if sign < "\x80":
            continue
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        if sign == "\ufffd":
            score -= 5
        elif sign == "’" and before.isalpha() and after.isalpha():
            score += 1.5
        elif sign in _TYPOGRAPHY:
            score += 0.25 if before.isalpha() and after.isalpha() else 1
        elif unicodedata.category(sign)[0] == "L" and (before.isalpha() or after.isalpha()):
            score += -1 if sign.isupper() and before.islower() else 1
        else:
            score -= 1
    return score - 0.02 * len(text) * (codec == "cp1250") / 100


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: bytes that are not of the encoding are read as Windows-1252, else marked."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


_FALLBACK = "crossmusim-windows"
codecs.register_error(_FALLBACK, _as_windows)
