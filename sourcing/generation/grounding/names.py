"""Names of a reply's subject, and the test whether a sentence uses a name as a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sourcing.generation.text.lexicon import facet_of
from sourcing.generation.text.words import content_stems, is_written_without_spaces, words

__all__ = ["NO_NAMES", "TITLE_MARKS", "Names", "is_named", "names_of", "names_somebody", "without_names"]

_TITLE_TAIL = re.compile(r"\s*[(\[（【].*$|\s+[-–—]\s+.*$|\s*/\s.*$")
_CREDIT_PARTS = re.compile(
    r"\s*(?:,|;|&|、|\bfeat\.?|\bft\.?|\bfeaturing\b|\bwith\b|\band\b|\bvs\.?|\bx\b|/)\s*", re.IGNORECASE
)
_SUBJECT_VERB = re.compile(r"\s*(?:,|\(|is\b|was\b|by\b|ist\b|est\b|es\b|'s\b|是|由)", re.IGNORECASE)
TITLE_MARKS = "\"“”„«»‘’'《》〈〉「」『』"
_QUOTED = re.compile(r"(\b\w+\s+)?(?<!\w)[\"“„«*_]\s?([^\"“”„«»*_]{2,200}?)\s?(?:[\"”“»*_](?!\w)|$)")
_NAMING = frozenset(
    "as called calls dubbed termed als namens comme appelé como llamado".split()
)  # before a quoted trait
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True)
class Names:
    """Names of a reply's track: as they stand, and as the lint looks for them."""

    whole: tuple[str, ...] = ()  # of artists, titles and albums, as they stand
    entries: tuple[tuple[str, str], ...] = ()  # (kind, name) that a text may not leak; kinds are artist, title, album


NO_NAMES = Names()


@lru_cache(maxsize=1024)
def names_of(
    artists: tuple[str | None, ...], titles: tuple[str | None, ...], albums: tuple[str | None, ...] = ()
) -> Names:
    """The names of artists, titles and albums; credits also in their parts, titles also without a bracket behind."""
    entries: dict[tuple[str, str], None] = {}
    for artist in filter(None, artists):
        for part in (artist, *_CREDIT_PARTS.split(artist)):
            entries[("artist", part.strip())] = None
    for kind, texts in (("title", titles), ("album", albums)):
        for title in filter(None, texts):
            entries[(kind, title.strip())] = None
            entries[(kind, _TITLE_TAIL.sub("", title).strip())] = None
    return Names(
        whole=tuple(filter(None, (*artists, *titles, *albums))),
        entries=tuple((kind, name) for kind, name in entries if any(map(str.isalnum, name))),
    )


def without_names(text: str, names: Names) -> str:
    """The text with a bar in place of each name of several words and each quoted title, whose words are no aspects."""
    for name in names.whole:
        if len(name.split()) > 1:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?:['’]s)?(?!\w)", " | ", text)
    return _QUOTED.sub(_without_title, text)


def _without_title(match: re.Match[str]) -> str:
    """A bar for a quoted title, or for words that somebody says or sings; what a track is called stays."""
    before, quoted = match.group(1) or "", match.group(2)
    own = _WORD.findall(quoted)
    title = all(word[0].isupper() for word in own if len(word) > 3)
    spoken = len(own) > 3 and before.strip().casefold() not in _NAMING
    return f"{before} | " if own and (title or spoken) else match.group()


def names_somebody(text: str, names: Names) -> str | None:
    """The artist's name that a phrase uses, as in "guitars like Harbor Lane", or None."""
    return next((name for kind, name in names.entries if kind == "artist" and is_named(name, text)), None)


def is_named(name: str, sentence: str) -> bool:
    """True when a sentence uses a name as a name.

    A name with a word of its own is one wherever it stands. One made of words of music ("Slow Waltz", "Calm") only
    between title marks, with its capitals in the midst of a sentence, or as the subject the sentence begins with.
    """
    parts = words(name)
    if not parts or (len(parts) == 1 and len(parts[0]) == 1):
        return f"《{name}》" in sentence or f"“{name}”" in sentence or f'"{name}"' in sentence
    if not set(parts) <= _word_set(sentence):
        return False
    spaceless = is_written_without_spaces(name)
    for start, end in _places(parts, sentence):
        before, after = sentence[:start].rstrip(), sentence[end:]
        if before[-1:] and before[-1:] in TITLE_MARKS and after.lstrip()[:1] in tuple(TITLE_MARKS):
            return True
        if spaceless:
            if facet_of(name) == "other" or _SUBJECT_VERB.match(after):
                return True
            continue
        tokens = [match.group() for match in _WORD.finditer(sentence[start:end])]
        all_capitals = all(word[0].isupper() or not content_stems(word) or word[0].isdigit() for word in tokens)
        ordinary = all(facet_of(word) != "other" or not content_stems(word) for word in parts)
        if before and all_capitals and any(word[0].isupper() for word in tokens):
            return True
        if len(parts) > 1 and not ordinary:
            return True
        if not before and all_capitals and (not ordinary or _SUBJECT_VERB.match(after)):
            return True
    return False


def _places(parts: Sequence[str], sentence: str) -> list[tuple[int, int]]:
    """Where the words of a name stand in a row in a sentence, as spans of its characters."""
    tokens: list[tuple[str, int, int]] = []
    for match in _WORD.finditer(sentence):
        own = words(match.group())
        if len(own) == len(match.group()):
            tokens += [(word, match.start() + at, match.start() + at + 1) for at, word in enumerate(own)]
        else:
            tokens += [(word, match.start(), match.end()) for word in own]
    size = len(parts)
    return [
        (tokens[at][1], tokens[at + size - 1][2])
        for at in range(len(tokens) - size + 1)
        if [word.removesuffix("'s") for word, _, _ in tokens[at : at + size]]
        == [part.removesuffix("'s") for part in parts]
    ]


@lru_cache(maxsize=64)
def _word_set(sentence: str) -> frozenset[str]:
    own = words(sentence)
    return frozenset(own) | frozenset(word.removesuffix("'s") for word in own)
