"""How an English encyclopedia opens an article about music: what it is about, who performs it, when it came out.

Careful rather than complete: where a sentence is not of a known shape the answer is None, never a guess.
"""

from __future__ import annotations

import re

from sourcing.crawling.parsing.sentences import first_sentences, sentence_ends
from sourcing.crawling.wiki.english_nouns import (
    ALBUMS,
    PERFORMERS,
    QUALIFIER,
    RECORDING,
    RELEASE,
    ROLES,
    SONGS,
    kind_of_phrase,
    word_set,
)
from sourcing.crawling.wiki.lead_sentences_zh_de import QUALIFIERS, Reading

__all__ = ["artist_in_lead", "english", "granularity_of", "kind_of_qualifier", "year_in_lead"]
_BE = r"\b(?:is|was|are|were)\s+"
_PREDICATE = re.compile(rf"{_BE}(?:an?|the|one\s+of(?:\s+the)?)\s+")
#: Where a noun phrase ends: "the second studio album | by …".
_PHRASE_END = re.compile(
    r"\s*[;:(—–.]|\s(?:by|of|from|for|in|on|to|at|with|about|as|that|which|who|whose|where|when|is|was|are|were|recorded"
    r"|written|co-written|released|performed|composed|sung|made|produced|co-produced|created|published|directed|starring"
    r"|featuring|founded|formed|based|held|hosted|originally|known|born|active|taken|used|collected|popularized"
    r"|honou?ring|celebrating|containing|including|comprising|consisting|presenting|recogni[sz]ing|playing|using|serving"
    r"|operating|speciali[sz]ing|referring|depicting|involving|first\s+\w+ed|set\s+(?:in|to|on|during))(?=\s|$)"
)
_CONJUNCT = re.compile(r",\s+(?:and\s+)?|\s+(?:and|&)\s+(?:an?\s+|the\s+)?")

_PERFORMED = r"(?:recorded|performed|released|sung|made\s+famous|popularized|issued)"
#: "by", also after "written and recorded"; "written by" alone names no performer.
_BY = re.compile(
    r"\s*,?\s*(?:(?:that|which)\s+(?:was|is)\s+)?"
    rf"(?:(?:\w+-?\w*,?\s+){{0,4}}{_PERFORMED}\s+|of\s+(?:\w+\s+){{0,2}}(?:songs|hits|recordings|material|music)\s+)?by\s+"
)
#: "written by A and first recorded by B": the first to sing it; who covered it later is left.
_WRITTEN = re.compile(r"\s*,?\s*(?:that\s+was\s+)?(?:co-?)?(?:written|composed|penned|produced)\b")
_THEN_BY = re.compile(rf"(?:,|\sand)\s+(?:was\s+)?(?:(?:first|originally)\s+)?{_PERFORMED}\s+(?:and\s+\w+\s+)?by\s+")
_OF = re.compile(r"\s+(?:of|from)\s+")
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
#: Where a sentence goes on after the names. "in", "on", "for" may belong to a name ("Alice in Chains").
_CUT = re.compile(
    r"\s*(?:[;:(—–]"
    r"|,(?!\s*(?:and\s+|with\s+)?(?:featuring|feat\.|with)\s)"
    r"(?!\s+(?:[A-Z$][^,.]{1,40},\s+){0,5}[A-Z$][^,.]{1,40}?,?\s+(?:and|&|featuring)\s)"
    rf"|\s(?:in|on)\s+(?:\d|the\s|his\s|her\s|their\s|its\s|early\s|late\s|mid|{_MONTHS})"
    r"|\s(?:for|at)\s+(?:\d|the\s(?!Disco)|his\s|her\s|their\s|its\s)|\sas\s+(?:an?|the|part|well)\s"
    r"|,?\s+and\s+(?:was|is|an?|his|her|its|their|the\s+\w+\s+(?:single|track|song)|the\s+(?:single|soundtrack|title|follow-up)"
    r"|released|recorded|written|produced|included|later)\b"
    r"|\s(?:from|off|that|which|who|whose|released|recorded|written|produced|composed|taken|was|is|through|via|under"
    r"|included|featured|appearing|based|about|when|during)\s)"
)
_JOIN = re.compile(r"(,?\s+(?:featuring|feat\.|with|and|&)\s+|,\s+)")
_PARTICLES = word_set(
    "the for from of and de la le les du von van der den y el los das da di do a to in at x 'n' n' featuring with & o'"
    " vs. vs versus on"
)

_DEMONYMS = word_set(
    "British English American Canadian Australian Irish Scottish Welsh German Austrian Swiss French Belgian Dutch"
    " Swedish Norwegian Danish Finnish Icelandic Italian Spanish Portuguese Greek Polish Russian Ukrainian"
    " Japanese Korean Chinese Taiwanese Indian Brazilian Mexican Colombian Cuban Jamaican Barbadian Nigerian"
)

_YEAR = r"(?P<year>1[89]\d\d|20\d\d)(?!\d|[-–s]|\s+(?:film|movie|album|musical|series|game|single|song|novel|play)\b)"
_ON_DATE = (
    rf"(?:(?:in|during|of|early|late|mid|mid-|summer|spring|autumn|fall|winter|Christmas)\s+|(?:{_MONTHS})\s+"
    rf"(?:\d{{1,2}}(?:st|nd|rd|th)?,?\s+)?(?:of\s+)?){_YEAR}"
)
_OUT = r"(?<![\w-])(?:released|issued|published)\b"
_GAP = r"(?:(?!\band\s+(?:included|featured|later|appear|was))[^.;]){0,80}?"
_SAYS_OUT = re.compile("released|issued|published|recorded by")  # rare, and cheap to see
_RELEASED = re.compile(
    rf"(?P<before>.*?){_OUT}(?:(?!\band\s+(?:included|featured|later|appear|was))[^.;]){{0,80}}?{_ON_DATE}", re.DOTALL
)
_RECORDED_BY = re.compile(rf"(?P<before>.{{0,120}}?)\brecorded\s+by\b[^.;,]{{1,80}}?\sin\s+{_YEAR}", re.DOTALL)
#: A date behind one of these is that thing's own: "from the album Ebb, released in 1974".
_OTHERS = re.compile(
    r"\b(?:albums?|film|movie|EP|soundtrack|musical|series|game|show|mixtape|record|follow-up|novel|book|play|cover"
    r"|version|remix|tour|later|again)\b"
)
_MAKING = r"(?:(?:Written|Composed|Co-written|Produced|Recorded)\b[^.;]{0,120}?,\s+)?"
_SUBJECTS = {
    "recording": re.compile(rf"{_MAKING}(?:[Ii]t|[Tt]he\s+(?:song|single|track|recording|tune|instrumental|ballad))\s"),
    "release": re.compile(rf"{_MAKING}(?:[Ii]t|[Tt]he\s+(?:album|EP|record|LP|mixtape|compilation|soundtrack))\s"),
}
_OUT_WHEN = re.compile(
    rf"(?:was|were)\s+(?:(?:first|originally|also|digitally|officially|written\b[^.;]{{0,60}}?\band)\s+)*{_OUT}"
)
_Predicate = tuple[str, str, str]  # kind, what follows the noun, the words before it


def english(text: str, qualifier: str | None = None) -> Reading:
    """Granularity, performer and year of an English opening; the year also from the next two sentences."""
    sentences = _sentences(text)
    predicate = _predicate(sentences[0]) if sentences else None
    kind = kind_of_qualifier(qualifier) or (predicate[0] if predicate else "page")
    performer = _performer(predicate[1]) if predicate and predicate[0] in ("recording", "release") else None
    return kind, performer or _from_qualifier(qualifier), _year(sentences, predicate, kind)


def granularity_of(text: str, qualifier: str | None) -> str:
    """recording, release, artist or page: by the bracket after the title, else by the noun of the first sentence."""
    return english(text, qualifier)[0]


def kind_of_qualifier(qualifier: str | None) -> str | None:
    """Granularity by the bracket after a title, in all supported languages: "Coldplay song", "專輯", "Lied"."""
    if qualifier is None:
        return None
    own = (("recording", RECORDING), ("release", RELEASE), ("artist", f"(?:{QUALIFIER})"))
    patterns = (*QUALIFIERS, *((kind, re.compile(rf"\b{words}$")) for kind, words in own))
    return next((kind for kind, words in patterns if words.search(qualifier)), None)


def artist_in_lead(text: str, qualifier: str | None = None) -> str | None:
    """The performer a first sentence names, e.g. "Beyoncé featuring Jay-Z"; None when it is not plain to see.

    The bracket after a title ("Coldplay song") answers where the sentence does not. Writers and composers
    are not performers.
    """
    return english(text, qualifier)[1]


def year_in_lead(text: str) -> int | None:
    """Year of release, when a sentence states the year of this very thing: the album's and the film's years are not
    the song's.
    """
    return english(text)[2]


def _year(sentences: list[str], predicate: _Predicate | None, kind: str) -> int | None:
    if kind not in _SUBJECTS:
        return None
    if predicate:
        if match := re.search(r"(?<!\d)(1[89]\d\d|20\d\d)\s", f"{predicate[2]} "):
            return int(match[1])
        for pattern in (_RELEASED, _RECORDED_BY) if kind == "recording" else (_RELEASED,):
            match = pattern.match(predicate[1]) if _SAYS_OUT.search(predicate[1]) else None
            if match and not _OTHERS.search(match["before"]):
                return int(match["year"])
    for sentence in sentences[1:]:
        subject = _SUBJECTS[kind].match(sentence)
        out = _OUT_WHEN.match(sentence, subject.end()) if subject else None
        if out or _BEGINS_OUT.match(sentence):
            match = _RELEASED.match(sentence[out.start() :] if out else f"{sentence[0].lower()}{sentence[1:]}")
            if match and (out or not _THEN_THE.match(sentence) or _own(sentence, kind)):
                return int(match["year"])
    return None


_BEGINS_OUT = re.compile("(?:(?:Originally|First) r|R)eleased |Issued ")
_THEN_THE = re.compile(r"[^,]*,\s+(?:\d{4},\s+)?the\s")


def _own(sentence: str, granularity: str) -> bool:
    """True when "Released in 1997, the album …" speaks of a thing of `kind`."""
    after = re.match(r"[^,]*,\s+(?:\d{4},\s+)?the\s+(\w+)\s+(\w+)", sentence)
    kind = SONGS if granularity == "recording" else ALBUMS
    return after is not None and any(kind.fullmatch(word) for word in after.groups())


def _sentences(text: str) -> list[str]:
    """The first three sentences of the first paragraph, without asides: "(Korean: …)", "(stylised as …)"."""
    paragraph = re.sub(r"\s*\((?:[^()]|\([^()]*\))*\)", "", (first_sentences(text, 3) or ""))
    ends = [0, *sentence_ends(paragraph)]
    pieces = [paragraph[start:end].strip() for start, end in zip(ends, [*ends[1:], len(paragraph)], strict=True)]
    return [piece for piece in pieces if piece]


def _predicate(sentence: str) -> _Predicate | None:
    """(kind, words after the noun, words before the noun) of "is the second studio album | by …"."""
    title = re.match(r'\s*(?:["“][^"”]*["”],?\s*(?:/\s*)?){1,3}', sentence)
    for be in _PREDICATE.finditer(sentence, title.end() if title else 0):
        end = _PHRASE_END.search(sentence, be.end() - 1)
        if end and re.fullmatch(r"\s(?:is|was)", end[0]):
            continue  # the verb belongs to the title: "Love is the Answer is …"
        stop = end.start() if end else len(sentence)
        phrase = sentence[be.end() : stop]
        nouns = [words for part in _CONJUNCT.split(phrase) if (words := part.strip(" ,").split())]
        for number, words in enumerate(nouns):
            kind = kind_of_phrase(words)
            if kind in ("recording", "release") and number == 0:
                comma = phrase.find(",")  # "is a song, written by …"
                return kind, sentence[be.end() + comma :] if comma >= 0 else sentence[stop:], phrase
            if kind == "artist":
                return kind, "", phrase
            if words[-1] not in ROLES:
                return None  # "an actress and singer" goes on to the next noun
        return None
    return None


def _performer(follows: str) -> str | None:
    by = _BY.match(follows)
    if by is None and _WRITTEN.match(follows):
        by = _THEN_BY.search(follows)
    if by:
        return _names(_up_to_cut(follows[by.end() :]))
    of = _OF.match(follows)
    segment = _up_to_cut(follows[of.end() :]) if of else ""
    described = any(word in PERFORMERS for word in _JOIN.split(segment)[0].split()[:6])
    return _names(segment) if described and " by " not in segment else None


def _up_to_cut(text: str) -> str:
    text = re.sub(r"(?<!\.\w)(?<!\bJr)(?<!\bSr)(?<!\bInc)(?<!\bBros)\.$", "", text.strip())
    match = _CUT.search(text)
    return (text[: match.start()] if match else text).strip()


def _names(segment: str) -> str | None:
    """The names in "American singer A and English band B", joined as they were: "A and B"."""
    pieces = _JOIN.split(segment)  # name, join, name, join, name
    credit, half = "", False
    for index in range(0, len(pieces), 2):
        name = _undescribed(pieces[index])
        if half and pieces[index].startswith("DJ "):
            name = name.removeprefix("DJ ")  # "record producer and DJ A"
        half = not name
        if not name or (index + 2 < len(pieces) and name.removeprefix("the ") in _DEMONYMS):
            continue  # half a descriptor: "American actor [and filmmaker A]", "the British [and American band A]"
        if not _is_name(name):
            return None
        join = pieces[index - 1] if credit else ""
        credit += re.sub(r",\s+(featuring|feat\.|with)\s", r" \1 ", join) + name
    return credit or None


def _undescribed(piece: str) -> str:
    """The name behind the last word for a kind of performer; the article of "the Beatles" is part of the name."""
    words = re.sub(r"^(?:guest |lead )?vocals (?:by|from) ", "", piece.strip(' ,"“”')).split()
    start = 0
    for index, word in enumerate(words):
        described_as_dj = word in ("DJ", "DJs") and index == start and index > 0 and words[index - 1] not in ROLES
        nationality_then_dj = word in ("DJ", "DJs") and start == 0 and 0 < index < 4
        if (word.strip(",") in ROLES and word not in ("DJ", "DJs")) or described_as_dj or nationality_then_dj:
            start = index + 1
    return " ".join(words[start:]).strip(' ,"“”')


def _is_name(name: str) -> bool:
    words = name.split()
    if len(words) > 9 or not words:
        return False
    if re.fullmatch(r"[a-z]+(?:\.[a-z]+){2,}", name):
        return True  # will.i.am
    lower = [word for word in words if word[0].islower() and word not in _PARTICLES and not re.search("[A-Z]", word)]
    return not lower and words[0] not in _PARTICLES - {"the"} and words != ["the"]


def _from_qualifier(qualifier: str | None) -> str | None:
    if qualifier is None or not re.search(rf"\b(?:{RECORDING}|{RELEASE})$", qualifier):
        return None
    name = re.sub(rf"\s*\b(?:{RECORDING}|{RELEASE})$", "", qualifier).strip()
    plain = name and name[0].isupper() and not re.search(r"\d{4}|film|soundtrack|musical|cast", name)
    return name if plain and not re.fullmatch(r"Christmas|Eurovision|Disney|English|French|German", name) else None
