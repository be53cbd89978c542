"""Works: classical titles parsed into work and movement, and the comparison of two works."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sourcing.matching.folding import fold
from sourcing.matching.words import TEMPO, word_set

__all__ = ["Work", "composer_names", "parts_of", "read_work", "same_work"]

#: Catalogue numbers in folded titles: "op 9 no 2", "kv 626", "bwv 1007", "hob xvi 52", "d 899".
_CATALOGUE = re.compile(
    r"\b(op|kv|bwv|hwv|woo|rv|hob|twv|wwv|sz|rcm|buxwv|swv|d|s|l|b|fp|wq|m|trv)"
    r" (?:posth )?((?:[ivx]+ )?\d+[a-z]?(?: [a-z]\d+)?)(?: (?:no )?(\d+))?(?=\s|$)"
)
_BARE_SYSTEMS = word_set("d s l b m fp")  # letters that are catalogues only beside a form of music
_NUMBER = re.compile(r"\bno (\d+)\b|\b(?<=symphony )(\d+)\b|\b(?<=concerto )(\d+)\b|\b(?<=sonata )(\d+)\b")
_KEY = re.compile(r"\b(?:in )?([a-g])(?: (flat|sharp))?(?: (major|minor)\b|$)")
_FORMS = word_set(
    "symphony sonata concerto nocturne prelude fugue etude waltz valse suite requiem impromptu quartet quintet trio"
    " mazurka polonaise toccata variation bagatelle mass cantata oratorio partita serenade divertimento overture"
    " rhapsody scherzo fantasia capriccio intermezzo canon gymnopedie gnossienne invention sinfonietta arabesque"
    " barcarolle berceuse caprice"
)
#: Forms of one movement: what follows "Gymnopédie No. 1: " is its tempo or its name.
_OF_ONE_PIECE = word_set(
    "gymnopedie gnossienne prelude etude nocturne waltz mazurka polonaise impromptu bagatelle intermezzo"
)
_SET = re.compile(r"^\d+ [a-z]|\b(?:preludes|etudes|nocturnes|waltzes|mazurkas|impromptus|bagatelles)\b")
_IN_MANY = word_set("kyrie gloria credo sanctus benedictus agnus dei amen chorus choral recitative introit offertory")
_SAME_FORM = {
    "valse": "waltz",
    "walzer": "waltz",
    "messe": "mass",
    "fantasie": "fantasia",
    "kantate": "cantata",
    "kanon": "canon",
}
_PLAYED_BY = word_set(
    "piano violin cello viola flute oboe clarinet horn trumpet harp guitar organ orchestra string keyboard harpsichord"
)
_SAME_PLAYER = {"keyboard": "piano", "harpsichord": "piano"}
_SIGN = re.compile(rf"\b(?:{'|'.join(sorted(_FORMS | set(_SAME_FORM)))})s?\b|{_CATALOGUE.pattern}")
_LINKS = word_set(
    "for fur pour per in en the solo aus et und and from a an de du la le les of major minor"
    " unaccompanied satz movement mouvement movimento"
)
_PARTED = re.compile(r":\s+|(?<=\w),\s+(?=[IVX]{1,5}\.\s)|\s+[-–—]\s+(?=[IVX]{1,5}\.\s|No\.)")


@dataclass(frozen=True)
class Movement:
    """A movement, named behind the work: number, and words without linking words and numbers."""

    number: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """A title parsed as a work's; two titles of the same work share at least one of `anchors`."""

    catalogue: frozenset[tuple[str, str, str]]  # (system, number, number within it or "")
    forms: frozenset[str]
    number: str
    key: str
    players: frozenset[str]  # "violin"
    words: tuple[str, ...]  # nickname, opera, collection: what is left
    movement: Movement | None

    @property
    def anchors(self) -> frozenset[str]:
        anchors = {f"{system} {number}" for system, number, _ in self.catalogue}
        anchors |= {f"{form} {self.number}" for form in self.forms if self.number}
        anchors |= {f"{form} in {self.key}" for form in self.forms if self.key}
        words = [*self.words, *(self.movement.words if self.movement else ())]
        return frozenset(anchors | {word for word in words if word not in TEMPO and len(word) > 2})


def parts_of(title: str) -> list[str]:
    """Parts of a title: the work's name and the movement behind the name."""
    return [part for part in _PARTED.split(title) if part.strip()] or [title]


def read_work(parts: tuple[str, ...], *, anything: bool = False) -> Work | None:
    """Parse a title's folded parts (see `parts_of`) as a work; `None` for a title without signs of a work.

    With `anything` every title is parsed, to be compared with a work: "Für Elise" names a work too.
    """
    if not (anything or _SIGN.search(" ".join(parts))):
        return None
    head, *tail = parts
    if tail and _CATALOGUE.search(tail[0]) and not _head(head)[0] and _head(tail[0])[0]:
        head, *tail = tail  # "The Well-Tempered Clavier: Prelude in C major, BWV 846" is out of a collection
    catalogue = frozenset(
        (match[1], match[2].split()[-1] if match[1] not in ("hob", "twv") else match[2], match[3] or "")
        for match in _CATALOGUE.finditer(" : ".join(parts))
    )
    bare = _CATALOGUE.sub(" ", head)
    forms, players, words, number, key = _head(bare)
    if not forms:
        catalogue = frozenset(entry for entry in catalogue if entry[0] not in _BARE_SYSTEMS or len(entry[1]) > 1)
    if not (forms or catalogue or anything):
        return None
    movement = None
    if tail:
        text = _CATALOGUE.sub(" ", " ".join(tail))
        count = re.match(r"\s*(?:(no) )?(\d+)\b", text)
        if (
            count and not number and (count[1] or (_SET.search(bare) and _unnamed(text, count)))
        ):  # "Gymnopédies: No. 1, Lent"
            number = count[2]
        elif count or not (number and forms <= _OF_ONE_PIECE):
            anywhere = re.search(r"\d+", text)  # "Variation XVIII"
            movement = Movement(anywhere[0] if anywhere else "", _words(text))
    return Work(catalogue, forms, number, key, players, words, movement)


def same_work(one: Work, other: Work) -> bool | None:
    """True for the same piece, False for titles in contradiction, `None` for too little evidence."""
    common_number = _shared_catalogue(one, other)
    if common_number is False or (one.key and other.key and one.key != other.key):
        return False
    if one.number and other.number and one.number != other.number and not common_number:
        return False
    if one.players and other.players and not (common_number or one.players & other.players):
        return False
    if one.forms and other.forms and one.forms != other.forms:
        return False if common_number else None
    if one.movement is None and other.movement is None:
        pass
    elif one.movement is None or other.movement is None:
        whole, part = (one, other) if one.movement is None else (other, one)
        if not (whole.words and part.movement and _telling(whole.words) and whole.words == part.movement.words):
            return False if common_number or _same_number(one, other) else None
        # "Lacrimosa" is that of the requiem, but a composer may have written many a Gloria.
        return True if common_number or not (whole.forms or _IN_MANY.issuperset(whole.words)) else None
    elif not _same_movement(one.movement, other.movement):
        return False
    alike_names = bool(one.words) and set(one.words) == set(other.words)
    if one.words and other.words and not alike_names:
        return None if not common_number else True  # the same number under names in two languages
    if common_number or _same_number(one, other) or (alike_names and (one.movement or one.forms == other.forms)):
        return True
    if alike_names and not (one.forms and other.forms) and (one.catalogue or other.catalogue):
        return True  # "Für Elise" is Bagatelle No. 25, WoO 59 "Für Elise"
    only_key = not (one.words or other.words or one.number or other.number or one.catalogue or other.catalogue)
    return True if only_key and one.key and one.key == other.key and one.forms == other.forms else None


def _head(text: str) -> tuple[frozenset[str], frozenset[str], tuple[str, ...], str, str]:
    """(forms, players, remaining words, number, key) of the part that names the work."""
    numbers = [next(group for group in match.groups() if group) for match in _NUMBER.finditer(text)]
    text = _NUMBER.sub(" ", text)
    key = _KEY.search(text)
    named_key = ""
    if key and (key[3] or text.endswith(key[0])):
        named_key = " ".join(part for part in (key[1], key[2], key[3] or "major") if part)
        text = f"{text[: key.start()]} {text[key.end() :]}"
    forms: set[str] = set()
    players: set[str] = set()
    words: list[str] = []
    for word in text.split():
        single = word.removesuffix("s") if word not in _FORMS else word
        form = _SAME_FORM.get(single, single)
        if form in _FORMS:
            forms.add(form)
        elif single in _PLAYED_BY:
            players.add(_SAME_PLAYER.get(single, single))
        elif word not in _LINKS:
            words.append(word)
    return frozenset(forms), frozenset(players), tuple(words), numbers[0] if numbers else "", named_key


def _unnamed(piece: str, count: re.Match[str]) -> bool:
    """True when a numbered piece of a set has no name beyond tempo, key and form: "4. Largo", not "8. La fille"."""
    return not _telling(_head(piece[count.end() :])[2])


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split() if word not in _LINKS and not word.isdecimal())


def _shared_catalogue(one: Work, other: Work) -> bool | None:
    """True for an equal catalogue number, False for a different one, `None` without a common catalogue."""
    systems = {system for system, _, _ in one.catalogue} & {system for system, _, _ in other.catalogue}
    if not systems:
        return None
    for system, number, within in one.catalogue:
        for their_system, their_number, their_within in other.catalogue:
            if (system, number) != (their_system, their_number):
                continue
            if not (within or their_within) or (within or one.number) == (their_within or other.number):
                return True  # "Impromptu No. 3, Op. 90" is "Op. 90 No. 3"
    return False


def _same_number(one: Work, other: Work) -> bool:
    return bool(one.number) and one.number == other.number and bool(one.forms) and one.forms == other.forms


def _same_movement(one: Movement, other: Movement) -> bool:
    if one.number and other.number and one.number != other.number:
        return False
    if Counter(one.words) == Counter(other.words):
        return bool(one.words or one.number)
    shorter, longer = sorted((one.words, other.words), key=len)
    if not shorter:
        return bool(one.number and other.number)
    begins = longer[: len(shorter)] == shorter
    return begins and (_telling(shorter) or bool(one.number and other.number))


def _telling(words: tuple[str, ...]) -> bool:
    """True where a word says more than a tempo: "allegro" names no movement."""
    return bool(set(words) - TEMPO)


@cache
def _composers() -> dict[str, list[tuple[str, list[tuple[str, ...]]]]]:
    """Surname → (line of the list, ways to write the forenames)."""
    composers: dict[str, list[tuple[str, list[tuple[str, ...]]]]] = {}
    for line in (Path(__file__).parent / "data" / "composers.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            surnames, forenames = line.split(": ")
            ways = [tuple(way.split()) for way in forenames.split(" | ")]
            for surname in surnames.split(" | "):
                composers.setdefault(fold(surname), []).append((line, ways))
    return composers


def composer_names(text: str) -> frozenset[str]:
    """Composers that a folded credit may mean; "chopin", "f chopin" and "frederic chopin" give the same."""
    words = text.split()
    for length in (2, 1):
        surname, forenames = " ".join(words[-length:]), words[:-length]
        composers = _composers().get(surname, []) if len(words) >= length else []
        if composers:
            candidates = composers if forenames else composers[:1]
            return frozenset(line for line, ways in candidates if any(_fits(forenames, way) for way in ways))
    return frozenset()


def _fits(names: list[str], forenames: tuple[str, ...]) -> bool:
    """True when the given names or initials fit the forenames in order, the first included."""
    if not names:
        return True
    initials = [letter for name in names for letter in (name if _are_initials(name, forenames) else [name])]
    rest = iter(forenames)
    first_fits = forenames[0].startswith(initials[0])
    return first_fits and all(any(name == own or own[:1] == name for own in rest) for name in initials)


def _are_initials(name: str, forenames: tuple[str, ...]) -> bool:
    return name not in forenames and len(name) > 1 and len(name) <= len(forenames)
