"""The infobox of a song's or album's article as plain facts, from wikitext in six languages."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sourcing.crawling.parsing.credits import is_various
from sourcing.crawling.parsing.values import clean, duration_s
from sourcing.crawling.wiki.wikitext import Children, Template, plain, templates

__all__ = ["Infobox", "read_infobox"]

_MAX_TAG_CHARS = 60
_MAX_NAME_CHARS = 300
_INFOBOX = re.compile("infobox|信息框|資訊框|ficha de")
_MUSIC = re.compile(
    r"song|single|album|composition|soundtrack|\bep\b|lied|musik(?:titel|stück|werk|album)|chanson|musique \(œuvre\)"
    r"|canción|álbum|sencillo|disco\b|歌曲|单曲|單曲|专辑|專輯",
    re.IGNORECASE,
)
_NOT_MUSIC = re.compile(r"contest|artist|award|festival|chart|discograph|tour\b", re.IGNORECASE)
_RELEASE = re.compile(r"[aá]lbum|soundtrack|disco\b|\bep\b|专辑|專輯", re.IGNORECASE)
_SONG_TYPES = re.compile(r"song|single|lied|promo|chanson|canción|sencillo|歌曲|单曲|單曲", re.IGNORECASE)
#: What the templates of the languages call a fact; names are compared without case and underscores.
_FIELDS = {
    "title": "name|title|titel|titre|nombre|título|名称|名稱|歌曲名称|歌曲名稱|专辑名称|專輯名稱",
    "artist": "artist|interpret|künstler|artiste|artista|歌手|艺人|藝人|演唱者|演出者",
    "album": "album|from album|álbum|专辑|專輯|收录专辑|收錄專輯",
    "released": "released|release date|veröffentlichung|veröffentlichungsdatum|erscheinungsdatum|sorti|sortie|lanzado"
    "|lanzamiento|publicación|发行日期|發行日期|发行时间|發行時間|发布日期|發布日期",
    "genre": "genre|genres|género|géneros|类型|類型|音乐类型|音樂類型|曲风|曲風|风格|風格",
    "length": "length|länge|laufzeit|dauer|spieldauer|durée|duración|时长|時長|长度|長度",
    "type": "type|art|typ|charte|tipo|种类|種類",
}
_WITH_SLASH = frozenset({"r&b/soul", "hip-hop/rap", "hip hop/rap"})  # names of one genre
#: "48 min 36 sec", "1 h 2 min", "3′45″", "4分6秒".
_IN_WORDS = re.compile(
    r"(?<![\d:.,])(?:(\d{1,2})\s*(?:h(?:ours?|rs?)?|Std\.?|小时|小時|時間)\s*)?"
    r"(?:(\d{1,3})\s*(?:m(?:in(?:ute[ns]?|utos|\.)?)?|[′']|分(?:钟|鐘)?)\s*)?"
    r"(?:(\d{1,2})\s*(?:s(?:ec(?:onds?|s|\.)?|ek(?:unden|\.)?|egundos|econdes)?\b|″|''|\"|秒))?",
    re.IGNORECASE,
)
_CALLED = {name: field for field, names in _FIELDS.items() for name in names.split("|")}


@dataclass(frozen=True)
class Infobox:
    """Facts of an infobox; a fact it does not state, or states in several ways, is None."""

    granularity: str  # recording or release; page where it does not say which
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
        if _INFOBOX.search(name) and _MUSIC.search(name) and not _NOT_MUSIC.search(name):
            return _read(template, name)
    return None


def _read(template: Template, name: str) -> Infobox:
    lines: dict[str, list[str]] = {}
    for key, value in template.named().items():
        if (field := _CALLED.get(key)) and not lines.get(field):
            lines[field] = _lines(value)
    kind = " ".join(lines.get("type", []))
    release = bool(_RELEASE.search(f"{name} {kind}")) and not _SONG_TYPES.search(kind)
    artist = _joined(lines.get("artist", []))
    unsaid = "œuvre" in name and not release and not _SONG_TYPES.search(kind)
    return Infobox(
        granularity="page" if unsaid else "release" if release else "recording",
        title=_unquoted(_joined(lines.get("title", []))),
        artist=None if is_various(artist or "") else artist,
        album=None if release else _unquoted(_joined(lines.get("album", [])[:1])),
        year=_year(lines.get("released", [])),
        duration_s=_length_s(lines.get("length", [])),
        genres=_genres(lines.get("genre", [])),
    )


def _lines(value: Children) -> list[str]:
    text = clean(plain(value)) or ""
    return [line for part in text.split("\n") if (line := part.strip(" *•·,，、;"))]


_TOGETHER = r"(?:featuring|feat\.|ft\.|and|und|with|&)"


def _joined(lines: list[str]) -> str | None:
    """A credit over several lines, "A" and "featuring B" or "A &" and "B", is one."""
    name = re.sub(
        rf"(?i), (?={_TOGETHER} )|(?<= (?:and|und)), |(?<= &), |(?<= feat\.), |(?<= featuring), ", " ", ", ".join(lines)
    )
    return name if 0 < len(name) <= _MAX_NAME_CHARS else None


def _unquoted(name: str | None) -> str | None:
    return (name or "").strip("\"“”„「」《》〈〉'") or None


def _year(lines: list[str]) -> int | None:
    years = (re.search(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)", line) for line in lines)
    return next((int(match[1]) for match in years if match), None)


def _length_s(lines: list[str]) -> float | None:
    """One length only: of "3:45 (album) / 4:10 (single)" nobody can say which is meant."""
    text = _IN_WORDS.sub(_clock, " ".join(lines))
    lengths = {duration_s(clock) for clock in re.findall(r"(?<![\d:])(?:\d{1,2}:)?\d{1,3}:\d{2}(?![\d:])", text)}
    return lengths.pop() if len(lengths) == 1 else None


def _clock(match: re.Match[str]) -> str:
    hours, minutes, seconds = (part and part.zfill(2) for part in match.groups())
    return (
        match[0] if not (minutes and seconds) and not hours else f"{hours or '0'}:{minutes or '00'}:{seconds or '00'}"
    )


def _genres(lines: list[str]) -> tuple[str, ...]:
    names: dict[str, str] = {}
    for line in lines:
        for part in re.split(r"[,，、;；·•\n]| / ", line):
            whole = re.sub(r"\s*\([^()]*\)$", "", part.strip(" .。*"))
            for name in [whole] if whole.casefold() in _WITH_SLASH else [each.strip() for each in whole.split("/")]:
                if name and len(name) <= _MAX_TAG_CHARS:
                    names.setdefault(name.casefold(), name)
    return tuple(names.values())
