"""Text of a response's bytes, by their real charset rather than the declared one."""

from __future__ import annotations

import codecs
import re

from sourcing.crawling.source import Capture, PageError

__all__ = ["decode"]

_CHARSET = re.compile(r"charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w.:-]{1,40})", re.IGNORECASE)
#: What a page may declare, by Python's name → what browsers read it as. Python has more codecs (punycode, utf-7,
#: idna): no page is written in those, and some take minutes for a few megabytes.
_CHARSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
    **{
        name: name
        for name in (
            *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "hz", "big5", "big5hkscs", "cp932", "cp949"),
            *("euc_jp", "iso2022_jp", "koi8-r", "koi8-u", "cp866", "cp874", "mac-roman", "mac-cyrillic"),
            *(f"cp{page}" for page in (1250, 1251, 1253, 1254, 1255, 1256, 1257, 1258)),
            *(f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
        )
    },
}
_SEVEN_BIT = ("iso2022_jp", "hz")  # every such text is also UTF-8, and means something else there
_BINARY_STARTS = (b"%PDF-", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"PK\x03\x04", b"\x1f\x8b", b"ID3", b"OggS", b"RIFF")
_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
_HIGH_RUN = re.compile(rb"[\x80-\xff]{3,}")


def decode(capture: Capture) -> str:
    """The body as text: by its byte order mark, as UTF-8 if it is that, else as declared, else as Windows-1252.

    UTF-8 is tried before the declared charset because text that decodes as UTF-8 by accident is rare, and
    pages that declare ISO-8859-1 while sending UTF-8 are not. PageError `body_binary` for what is no text,
    `charset_unknown` where nothing that is said of it fits: Chinese read as Windows-1252 would be words too.
    """
    body = capture.body
    if body.startswith(_BINARY_STARTS):
        raise PageError("body_binary", f"a body that starts with {body[:8]!r}")
    if utf_16 := _utf_16(body):
        return body.decode(utf_16, errors="replace")
    head = body[:2048].decode("ascii", errors="ignore")
    places = (capture.header("content-type")[:500], head)
    declarations = [match[1] for text in places for match in _CHARSET.finditer(text)]
    known_charsets = [charset for name in declarations if (charset := _known_charset(name))]
    charsets = sorted(["utf-8-sig", *known_charsets], key=lambda charset: charset not in _SEVEN_BIT)
    for charset in charsets:
        try:
            return body.decode(charset)
        except UnicodeDecodeError:
            continue  # the next charset; the last line always ends it
    for charset in charsets:
        text = body.decode(charset, errors="replace")
        if text.count("\ufffd") * 10 <= len(text) - len(text.encode("ascii", "ignore")):
            return text  # a few bad bytes among many good ones
    return _as_windows_1252(body)


def _known_charset(name: str) -> str | None:
    """Python's name for a declared charset; None for Latin-1 and ASCII, which pages declare without meaning it."""
    try:
        return _CHARSETS.get(codecs.lookup(name).name)
    except (LookupError, ValueError):
        return None


def _utf_16(body: bytes) -> str | None:
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = body[:2048]
    even, odd = head[::2].count(0), head[1::2].count(0)  # markup is ASCII, so one byte in two of it is zero
    if max(even, odd) * 20 < len(head) or min(even, odd) * 4 > max(even, odd):
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _as_windows_1252(body: bytes) -> str:
    if len(body) - len(body.translate(None, _CONTROL_BYTES)) > len(body) // 100:
        raise PageError("body_binary", "more than one byte in a hundred is a control character")
    high = len(body) - len(body.decode("ascii", "ignore"))
    runs = sum(len(run) for run in _HIGH_RUN.findall(body))
    if runs > 20 and runs * 2 > high:  # accented letters stand alone; Chinese and Cyrillic letters stand together
        raise PageError("charset_unknown", "neither UTF-8 nor what it declares, nor a Western charset")
    return body.decode("windows-1252", errors="replace")
