"""The encoding of a text file: told by its first bytes, by UTF-8's own rules, else by which letters make words."""

from __future__ import annotations

import codecs
import gzip
import io
import math
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
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
#: Letters beyond ASCII of languages, and of names from all of Western Europe together.
_WESTERN = (
    "äöüß", "àâæçèéêëîïôùûœ", "áéíñóúü", "àáâãçéêíóôõú", "àèéìòù", "åäöé", "æøåé", "áæðéíóöúýþ",
    "àáâãäåæçèéêëìíîïñòóôõöøùúûüßœ",
)  # fmt: skip
_CENTRAL = ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ćčđšž", "ăâîşţ")
#: Encodings of Latin letters, the likeliest first.
_LATIN = {
    "cp1252": _WESTERN,
    "cp1250": _CENTRAL,
    "cp1254": ("çğıİöşüâîû",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),
    "mac_roman": _WESTERN,
    "cp850": _WESTERN,
    "iso8859_2": _CENTRAL,
}
#: Scripts that other encodings hold, as Unicode names their letters.
_ALPHABETS = {"cp1255": "HEBREW", "cp1251": "CYRILLIC", "koi8_r": "CYRILLIC", "cp1253": "GREEK", "cp1256": "ARABIC"}
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
_NAMES |= {"cp1254": "Windows-1254", "cp1257": "Windows-1257", "cp850": "DOS 850", "iso8859_2": "ISO 8859-2"}
_NAMES |= {"cp932": "Shift-JIS", "gb18030": "GB 18030", "big5": "Big5", "euc_kr": "EUC-KR", "cp1253": "Windows-1253"}
_HEAD_BYTES = 200_000
_TYPOGRAPHY = frozenset("‘’“”–—…«»€•™©®°´·")  # what stands beside letters in honest text
_PRIOR = 3.0  # Windows-1252 is e^3 times likelier than the others before a letter is seen
_STRAY, _ODD = 1 / 50, 1 / 2000  # how often among letters: typography, and what is neither


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked when it is gzip."""
    with path.open("rb") as stream:
        is_gzip = stream.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb")) if is_gzip else path.open("rb")


@contextmanager
def open_text(
    path: Path, encoding: str | None = None, likely_encoding: str | None = None
) -> Iterator[tuple[TextIO, list[str]]]:
    """A text stream with uniform line ends, and notes on the encoding; CatalogueError when it is no text.

    `encoding` is that of this file, `remembered` that of one before: it counts where the bytes do not say otherwise.
    """
    notes: list[str] = []
    try:
        if encoding is None:
            encoding, note = detect_encoding(path, likely_encoding and _known(likely_encoding))
            notes += [note] if note else []
        else:
            _known(encoding)
        with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding, errors=_FALLBACK, newline=None) as text:
            yield text, notes
    except (OSError, EOFError, zlib.error) as error:
        raise CatalogueError(str(path), f"it cannot be read ({error})", "check the file") from None


def detect_encoding(path: Path, likely_encoding: str | None = None) -> tuple[str, str | None]:
    """A codec's name, and a sentence when it is not plain UTF-8; `remembered` is taken before a guess by letters."""
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
    codec = likely_encoding or _guess(head)
    name = _NAMES.get(codec, codec) + (", as the catalogue before" if likely_encoding else "")
    return codec, f"it is not UTF-8; it is read as {name} (say otherwise with --encoding NAME)"


def _known(encoding: str) -> str:
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError):
        raise UsageError("--encoding", f"no encoding is called {encoding!r}", "give e.g. utf-8 or cp1252") from None
    return encoding


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
    """Latin where bytes beyond ASCII stand alone among letters; else the encoding that gives letters in daily use."""
    high = {place for place, byte in enumerate(head) if byte > 0x7F}
    in_runs = sum(place + 1 in high or place - 1 in high for place in high)
    if in_runs > 0.4 * len(high):
        scores = {codec: _in_use(head, codec) for codec in (*_IDEOGRAPHS, *_ALPHABETS)}
        best = max(scores, key=lambda codec: scores[codec])
        if scores[best] > 0.3:
            return best
    likelihoods = {codec: _likelihood(head.decode(codec, "replace"), letters) for codec, letters in _LATIN.items()}
    likelihoods["cp1252"] += _PRIOR
    best = max(likelihoods, key=lambda codec: likelihoods[codec])
    return "cp1252" if head.decode(best, "replace") == head.decode("cp1252", "replace") else best


def _in_use(head: bytes, codec: str) -> float:
    """The share of signs beyond ASCII that are in daily use where the encoding is, from -1 to 1."""
    try:
        text = codecs.getincrementaldecoder(codec)().decode(head)
    except UnicodeDecodeError:
        return -1.0
    text = f" {text} "
    signs = [place for place, sign in enumerate(text) if sign > "\x7f"]
    beside_latin = re.compile("[A-Za-z]").search  # in a word with Latin letters
    odd = sum(bool(_is_odd(text, place) or beside_latin(text, place - 1, place + 2)) for place in signs)
    cases = {True, False}
    if codec in _ALPHABETS:
        own = sum(unicodedata.name(text[place], "").startswith(_ALPHABETS[codec]) for place in signs)
        cases = {text[place].islower() for place in signs}  # Hebrew reads as Cyrillic in small letters alone
    else:
        own = sum(_is_in_use(text[place], *_IDEOGRAPHS[codec]) for place in signs)
    return (2 * own - len(signs) - 2 * odd) / max(len(signs), 1) - 0.01 * (len(cases) < 2)


def _is_in_use(sign: str, codec: str, last: int) -> bool:
    if "\u3040" <= sign <= "\u30ff":  # kana, which all East Asian encodings hold
        return codec in ("shift_jis", "euc_jp")
    try:
        code = sign.encode(codec)
    except UnicodeEncodeError:
        return False
    return len(code) > 1 and code[0] <= last


def _likelihood(text: str, alphabets: Iterable[str]) -> float:
    """How likely the signs beyond ASCII are as letters of the alphabet they fit best, and known typography; a log."""
    places = [place for place, sign in enumerate(text) if sign > "\x7f"]
    odd = sum(_is_odd(text, place) for place in places)
    signs = Counter(text[place] for place in places if not _is_odd(text, place))

    def fit(alphabet: str) -> float:
        share = dict.fromkeys(_TYPOGRAPHY, _STRAY) | dict.fromkeys(alphabet, 1 / len(alphabet))
        return sum(count * math.log(share.get(sign) or share.get(sign.lower(), _ODD)) for sign, count in signs.items())

    return max(map(fit, alphabets)) + odd * math.log(_ODD)


def _is_odd(text: str, place: int) -> bool:
    """True when no writer would put the sign in that place: a capital behind a small letter, typography inside a
    word.
    """
    sign, before, after = text[place], text[place - 1 : place], text[place + 1 : place + 2]
    if sign in _TYPOGRAPHY:
        return sign != "’" and before.isalpha() and after.isalpha()
    return sign.isupper() and before.islower()


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """A codec's error handler: bytes that are not of the encoding are read as Windows-1252, else marked."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


_FALLBACK = "crossmusim-windows"
codecs.register_error(_FALLBACK, _as_windows)
