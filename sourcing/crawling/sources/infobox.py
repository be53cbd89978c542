"""The infobox of a song's or album's article as plain facts, from English, Chinese or German wikitext."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sourcing.crawling.sources.reading import clean, duration_s
from sourcing.crawling.sources.wikitext import Children, Template, plain, templates

__all__ = ["Infobox", "read_infobox"]

_MAX_TAG_CHARS = 60
_MAX_NAME_CHARS = 300
_INFOBOX = re.compile("infobox|信息框|資訊框")
_MUSIC = re.compile(
    r"song|single|album|composition|\bep\b|lied|musik(?:titel|stück|werk)|歌曲|单曲|單曲|专辑|專輯", re.IGNORECASE
)
_RELEASE = re.compile(r"album|\bep\b|专辑|專輯", re.IGNORECASE)
_SONG_TYPES = re.compile(r"song|single|lied|promo|歌曲|单曲|單曲", re.IGNORECASE)
#: What the templates of the three languages call a fact; names are compared without case and underscores.
_FIELDS = {
    "title": "name|title|titel|名称|名稱|歌曲名称|歌曲名稱|专辑名称|專輯名稱",
    "artist": "artist|interpret|künstler|歌手|艺人|藝人|演唱者|演出者",
    "album": "album|from album|专辑|專輯|收录专辑|收錄專輯",
    "released": "released|release date|veröffentlichung|veröffentlichungsdatum|erscheinungsdatum|发行日期|發行日期"
    "|发行时间|發行時間|发布日期|發布日期",
    "genre": "genre|genres|类型|類型|音乐类型|音樂類型|曲风|曲風|风格|風格",
    "length": "length|länge|laufzeit|dauer|spieldauer|时长|時長|长度|長度",
    "type": "type|art|typ|种类|種類",
}
_CALLED = {name: field for field, names in _FIELDS.items() for name in names.split("|")}


@dataclass(frozen=True)
class Infobox:
    """What an infobox says; a fact it does not state, or states in several ways, is None."""

    granularity: str  # recording or release
    title: str | None
    artist: str | None
    album: str | None
    year: int | None
    duration_s: float | None
    genres: tuple[str, ...]


def read_infobox(wikitext: str) -> Infobox | None:
    """The first infobox about a song or an album; None where the article has none."""
    for template in templates(wikitext):
        name = template.name
        if _INFOBOX.search(name) and _MUSIC.search(name):
            return _read(template, name)
    return None


def _read(template: Template, name: str) -> Infobox:
    lines: dict[str, list[str]] = {}
    for key, value in template.named().items():
        if (called := _CALLED.get(key)) and not lines.get(called):
            lines[called] = _lines(value)
    release = bool(_RELEASE.search(name)) and not _SONG_TYPES.search(" ".join(lines.get("type", [])))
    return Infobox(
        granularity="release" if release else "recording",
        title=_unquoted(_joined(lines.get("title", []))),
        artist=_joined(lines.get("artist", [])),
        album=None if release else _unquoted(_joined(lines.get("album", [])[:1])),
        year=_year(lines.get("released", [])),
        duration_s=_length_s(lines.get("length", [])),
        genres=_genres(lines.get("genre", [])),
    )


def _lines(value: Children) -> list[str]:
    text = clean(plain(value)) or ""
    return [line for part in text.split("\n") if (line := part.strip(" *•·,，、;"))]


def _joined(lines: list[str]) -> str | None:
    name = ", ".join(lines)
    return name if 0 < len(name) <= _MAX_NAME_CHARS else None


def _unquoted(name: str | None) -> str | None:
    return (name or "").strip("\"“”„「」《》〈〉'") or None


def _year(lines: list[str]) -> int | None:
    years = (re.search(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)", line) for line in lines)
    return next((int(found[1]) for found in years if found), None)


def _length_s(lines: list[str]) -> float | None:
    """One length only: of "3:45 (album) / 4:10 (single)" nobody can say which is meant."""
    text = re.sub(r"(\d{1,3})\s*分\s*(\d{1,2})\s*秒", lambda clock: f"{clock[1]}:{clock[2].zfill(2)}", " ".join(lines))
    found = {duration_s(clock) for clock in re.findall(r"(?<![\d:])(?:\d{1,2}:)?\d{1,3}:\d{2}(?![\d:])", text)}
    return found.pop() if len(found) == 1 else None


def _genres(lines: list[str]) -> tuple[str, ...]:
    names: dict[str, str] = {}
    for line in lines:
        for part in re.split(r"[,，、;；·•\n]| / ", line):
            name = part.strip(" .。*")
            if name and len(name) <= _MAX_TAG_CHARS:
                names.setdefault(name.casefold(), name)
    return tuple(names.values())
