"""Wikitext as templates and the words a reader sees.

In one pass and with bounded depth: mwparserfromhell (0.7.2) takes half a minute over 20 kB of unclosed tags, and an
article anyone can edit must not stop a replay.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

__all__ = ["Children", "Template", "plain", "templates"]

_MAX_CHARS = 200_000
_MAX_DEPTH = 40
_MARK = re.compile(r"\{\{|\}\}|\[\[|\]\]|\|")
_CLOSES = {"}}": "{{", "]]": "[["}
_TAG = re.compile(r"<\s*(/?)\s*(\w+)[^<>]{0,300}>")
_BREAKING_TAGS = frozenset({"br", "li", "dd", "dt", "hr", "p", "div"})
#: <ref …/> and <ref …>…</ref>; one that is never closed stays, and costs no more than one look.
_REFERENCE = re.compile(
    r"<ref(?=[\s/>])[^<>]{0,500}/>|<ref(?=[\s/>])[^<>]{0,500}>[^<]{0,3000}(?:<(?!/?ref\b)[^<]{0,3000}){0,40}</ref\s*>",
    re.IGNORECASE,
)
_EXTERNAL = re.compile(r"\[(?:https?:)?//[^\s\[\]]{1,500}[ \t]?([^\[\]\n]{0,300})\]")
_FILES = re.compile(r"\s*:?\s*(?:file|image|datei|bild|文件|档案|檔案|图像|圖像)\s*:", re.IGNORECASE)
#: Chinese articles write words of several variants side by side: -{zh-hans:摇滚;zh-hant:搖滾}-.
_VARIANTS = re.compile(r"-\{([^{}]{0,500})\}-")

_LISTS = re.compile(
    r"(?:h-?list(?:[ -]comma)?|flat ?list|plain ?list|ubl(?:i?st)?|(?:un)?bulleted list|bullet ?list|vunblist|cslist"
    r"|comma separated entries|pipe ?list|liste (?:horizontale|simple|à puces)|lista (?:plana|horizontal))$"
)
_ITEM = re.compile(r"item ?\d{1,3}")  # {{hlist|item1=Rock|item2=Funk}}
_DATES = re.compile(r"(?:start[ -]?date(?: and age)?|film date|release[ -]date|dts|date de sortie|起始日期)$")
_DATE_WORDS = re.compile(r"(?:date-?|fecha(?: de inicio| de lanzamiento)?|datum)$")  # {{date|3|mai|1997}}
_LENGTHS = re.compile(r"(?:duration|hms|durée|duración|dauer|时长|時長)$")
#: Templates that stand for a sign or a space.
_SIGNS = {
    **dict.fromkeys(("nbsp", "space", "spaces", "sp"), " "),
    **dict.fromkeys(("·", "•", "dot", "middot", "bullet", "bull", ",", "w"), " · "),
    **dict.fromkeys(("br", "break", "-", "clear"), "\n"),
    **dict.fromkeys(("ndash", "dash", "snd", "spnd", "endash"), "–"),
    "'": "'",
    "'s": "'s",
    "amp": "&",
    "&": "&",
    "!": "|",
}
#: Templates that only dress their text: which of the unnamed parameters is the text.
_DRESS = {
    **dict.fromkeys(("nowrap", "nobold", "small", "smaller", "nobr", "nihongo", "le", "tsl", "link", "ilh", "abbr"), 0),
    **dict.fromkeys(("link-en", "link-ja", "internal link helper", "illm", "ill"), 0),
    **dict.fromkeys(("lang", "langue", "lang2", "jpn", "transliteration", "transl", "color", "font color"), 1),
}

Children = list["str | Template | Link"]


@dataclass
class _Brackets:
    parts: list[Children] = field(default_factory=lambda: [[]])  # what the bars part


@dataclass
class Link(_Brackets):
    """[[target|shown]]"""


@dataclass
class Template(_Brackets):
    """{{name|unnamed|key = named}}"""

    @property
    def name(self) -> str:
        return " ".join(plain(self.parts[0]).replace("_", " ").split()).removeprefix("Vorlage:").casefold()

    def unnamed(self) -> list[str]:
        return [plain(value).strip() for key, value in self._parameters() if key is None]

    def named(self) -> dict[str, Children]:
        """Parameters by name, without case and underscores; the first of several counts."""
        values: dict[str, Children] = {}
        for key, value in self._parameters():
            if key is not None:
                values.setdefault(key.strip().casefold().replace("_", " "), value)
        return values

    def _parameters(self) -> list[tuple[str | None, Children]]:
        return [_named(part) for part in self.parts[1:]]


def templates(wikitext: str) -> list[Template]:
    """The outermost templates, in order; what is opened and never closed is text."""
    text = _REFERENCE.sub("", _without(wikitext[:_MAX_CHARS], "<!--", "-->"))
    return [node for node in _parsed(_VARIANTS.sub(_first_variant, text)) if isinstance(node, Template)]


def plain(children: Children) -> str:
    """The words a reader sees, one line per entry of a list; notes, pictures and unknown templates leave nothing."""
    return "".join(
        _text(node) if isinstance(node, str) else _shown(node) if isinstance(node, Link) else _said(node)
        for node in children
    )


def _parsed(text: str) -> Children:
    root: Children = []
    open_ones: list[tuple[str, _Brackets]] = []

    def put(nodes: Children) -> None:
        (open_ones[-1][1].parts[-1] if open_ones else root).extend(nodes)

    def give_up() -> None:
        """The innermost bracket was never closed: it is text."""
        mark, brackets = open_ones.pop()
        put([mark])
        for index, part in enumerate(brackets.parts):
            put(["|", *part] if index else part)

    position = 0
    for match in _MARK.finditer(text):
        put([text[position : match.start()]])
        position, mark = match.end(), match[0]
        if mark in ("{{", "[[") and len(open_ones) < _MAX_DEPTH:
            open_ones.append((mark, Template() if mark == "{{" else Link()))
        elif mark == "|" and open_ones:
            open_ones[-1][1].parts.append([])
        elif any(opening == _CLOSES.get(mark) for opening, _ in open_ones):
            while open_ones[-1][0] != _CLOSES[mark]:
                give_up()
            children = open_ones.pop()[1]
            put([children])  # type: ignore[list-item]
        else:
            put([mark])
    put([text[position:]])
    while open_ones:
        give_up()
    return root


def _without(text: str, opening: str, closing: str) -> str:
    """The text without comments; an opening that is never closed stays."""
    pieces, position = [], 0
    while (start := text.find(opening, position)) >= 0 and (end := text.find(closing, start)) >= 0:
        pieces.append(text[position:start])
        position = end + len(closing)
    return "".join([*pieces, text[position:]])


def _named(part: Children) -> tuple[str | None, Children]:
    first = part[0] if part and isinstance(part[0], str) else ""
    key, sign, value = first.partition("=")
    if not sign or any(mark in key for mark in '<["'):
        return None, part  # a tag's or an address's own sign
    return (None if key.strip().isdecimal() else key), [value, *part[1:]]


def _text(text: str) -> str:
    text = _EXTERNAL.sub(r"\1", re.sub("'{2,5}", "", text))
    return html.unescape(_TAG.sub(lambda tag: "\n" if tag[2].casefold() in _BREAKING_TAGS else "", text))


def _shown(link: Link) -> str:
    target = "".join(node for node in link.parts[0] if isinstance(node, str))
    return "" if _FILES.match(target) else plain(link.parts[-1])  # read once: links in links would double at each level


def _said(template: Template) -> str:
    name, arguments = template.name, template.unnamed()
    if _LISTS.match(name):
        items = (plain(value).strip() for key, value in template.named().items() if _ITEM.fullmatch(key))
        return "\n" + "\n".join([*arguments, *items])
    if _DATES.match(name):
        return "-".join(part for part in arguments[:3] if part.isdigit())
    if _DATE_WORDS.match(name):
        return " ".join(arguments)
    if name in _SIGNS and not arguments:
        return _SIGNS[name]
    if _LENGTHS.match(name):
        return _length(template, arguments)
    if name.startswith("lang-") and arguments:
        return arguments[0]
    place = _DRESS.get(name, len(arguments))
    return arguments[place] if place < len(arguments) else ""


def _length(template: Template, arguments: list[str]) -> str:
    """A clock of {{duration|4|6}}, {{duration|m=4|s=6}} or {{duration|4:06}}."""
    if arguments and ":" in arguments[0]:
        return arguments[0]
    values = {key: plain(value).strip() for key, value in template.named().items()}
    arguments = ["", *arguments] if len(arguments) == 2 else arguments  # minutes and seconds
    hours, minutes, seconds = (
        values.get(unit) or (arguments[place] if place < len(arguments) else "")
        for place, unit in enumerate(("h", "m", "s"))
    )
    return f"{hours + ':' if hours else ''}{(minutes or '0').zfill(2)}:{(seconds or '0').zfill(2)}"


def _first_variant(match: re.Match[str]) -> str:
    """The simplified wording where one is given, else the first: the raw wikitext is asked for once, not by variant."""
    options = dict(option.split(":", 1) for option in match[1].split(";") if re.match(r"\s*zh(?:-\w+)?:", option))
    wordings = {key.strip().casefold(): value for key, value in options.items()}
    for variant in ("zh-hans", "zh-cn", "zh", *wordings):
        if variant in wordings:
            return wordings[variant]
    return match[1].split("|")[-1]
