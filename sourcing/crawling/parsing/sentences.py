"""Where sentences end: stops and marks inside titles, names and abbreviations end none."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["first_sentences", "sentence_ends"]

_OPENING_CHARS = 4000
_END = re.compile(r"(?<![.!?])[.!?]++[\"'”’»)\]]*+(?=\s|$)|[。！？]+[」』”]*(?![》〉])")
_ABBREVIATIONS = re.compile(
    "feat|ft|vs|mr|mrs|ms|dr|st|jr|sr|sgt|lt|capt|cpt|col|gen|rev|hon|mt|prof|vol|op|pt|ca|cf|etc|inc|ltd|co|bros|dept"
    "|approx|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
    "|nr|bd|bzw|bspw|evtl|ggf|hrsg|inkl|jhd?|kap|mio|mrd|okt|dez|sog|str|usw|vgl|zzgl"  # German
    "|env|éd|mlle|mme|sra|srta|dra|núm|pág|aprox|dott|ecc|sig"  # French, Spanish, Portuguese, Italian
    "|bijv|dhr|mevr|enz|kl|bl|eks|gg|гг|св|см|ул|напр|np|tzw|św|ur|např|tzv|sv"  # Dutch, Nordic and Slavic languages
    r"|(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,3}"  # e.g, U.S, z.B, bl.a, t.ex, m.in, т.е
)
#: Abbreviations that close a name and so may close a sentence: "Grover Washington Jr. It was …", "R.E.M. It was …".
_CLOSING = re.compile(r"(?i:jr|sr|inc|ltd|co|bros|etc)|(?:[A-Z]\.)+[A-Z]|[A-Z]")
#: Words that begin a sentence where a name would hardly go on with them.
_STARTERS = frozenset(
    """the it its in he she they this these that his her their there after although along as at an both but critics
    despite during each following however many most musically on one originally only produced recorded released several
    since some upon we when while with written composed then der die das es er sie ein eine im am nach seit il elle le
    la les ce cette el los las fue""".split()
)
#: German writes "3. Mai", "das 2. Album", "im XIX. Jahrhundert": capital letters follow, as at a sentence's start.
_ORDINAL = re.compile("[1-9][0-9]?|[ivxl]{2,6}")
_MONTHS = re.compile("januar|jänner|februar|feber|märz|april|mai|juni|juli|august|september|oktober|november|dezember")
_BEFORE_ORDINALS = re.compile(
    "d(?:er|ie|as|en|em|es)|im|vom|zum|zur|beim|(?:ihr|sein|mein|unser)(?:e|em|en|er|es)?|(?:jed|dies)(?:e|er|es|em|en)"
)
_WORD_BEFORE, _WORD_AFTER = re.compile(r"[\w.&]*$"), re.compile(r"\s*[\"“'«„]?([^\W\d_]*)")


def sentence_ends(text: str) -> Iterator[int]:
    """End offsets of a paragraph's sentences, behind stop and closing quotes."""
    for match in _END.finditer(text):
        if not _goes_on(text, match):
            yield match.end()


def first_sentences(text: str | None, count: int = 2) -> str | None:
    """The first `count` sentences of the first paragraph; a full stop after an abbreviation or initial ends none."""
    paragraph = (text or "")[:_OPENING_CHARS].strip().split("\n\n")[0].replace("\n", " ")
    if not paragraph:
        return None
    for number, end in enumerate(sentence_ends(paragraph), 1):
        if number == count:
            return paragraph[:end].strip()
    return paragraph


def _goes_on(text: str, match: re.Match[str]) -> bool:
    """Whether the sentence goes on behind a stop or mark."""
    mark, following = match[0], text[match.end() :].lstrip()[:1]
    if mark[0] in "。！？":
        return mark[-1] in "」』" and following in tuple("（(はのとがを、")  # 「何！」は、…
    if not following:
        return False
    if following.islower():
        return True  # "approx. four", "the band. who", "Panic! at the Disco", "“What's Up?” is"
    before = _WORD_BEFORE.search(text[max(0, match.start() - 20) : match.start()])
    word = before[0].lstrip(".") if before else ""
    after = _WORD_AFTER.match(text[match.end() : match.end() + 30])
    starts = after is not None and after[1].casefold() in _STARTERS
    if mark == ".":
        return not (starts and _CLOSING.fullmatch(word)) and _is_abbreviation(text, word.casefold(), match)
    return mark[-1] in "!?" and not word[:1].islower() and not starts  # "Godspeed You! Black Emperor"


def _is_abbreviation(text: str, word: str, stop: re.Match[str]) -> bool:
    if text[stop.end() :].lstrip()[:1].isdigit():
        return True
    if len(word) == 1 and word.isalpha() and word != "i":
        return True  # an initial
    if _ABBREVIATIONS.fullmatch(word):
        return True
    return bool(_ORDINAL.fullmatch(word)) and _is_amid_ordinals(text, stop.start() - len(word), stop.end())


def _is_amid_ordinals(text: str, start: int, end: int) -> bool:
    """True when the words around a number with a full stop make an ordinal."""
    after = re.match(r"\s*([^\W\d_]*)", text[end : end + 20])
    before = re.search(r"([^\W\d_]*)\s*$", text[max(0, start - 20) : start])
    return bool(after and _MONTHS.fullmatch(after[1].casefold())) or bool(
        before and _BEFORE_ORDINALS.fullmatch(before[1].casefold())
    )
