"""Similarity of two titles or two artist credits, between 0 and 1."""

from __future__ import annotations

from rapidfuzz import fuzz

from sourcing.matching.folding import has_han, loose
from sourcing.matching.names import Artist, Title
from sourcing.matching.words import word_set
from sourcing.matching.works import read_work, same_work

__all__ = ["KEPT_ARTIST", "KEPT_TITLE", "artist_similarity", "same_piece", "title_similarity"]

KEPT_TITLE = 0.6  # at or below, no pair is kept
KEPT_ARTIST = 0.5
_SHORT_NAME_CHARS = 8
_TOKEN_ALIKE = 0.8
_PART_OF_A_NAME = 0.85  # "Sam & Dave" is one name; "Sam" may be anybody
_BANDS = word_set("band experience group orchestra project quartet quintet sextet trio")
_SAID = word_set("can could did does has is should was were would")
_SHORT_ASIDE = 2  # words; a subtitle is longer
_SUBSTITUTED_CAP = 0.85  # a word exchanged for another makes another title, however long the rest


def title_similarity(one: Title, other: Title) -> float:
    """1.0 for equal titles; brackets on one side only cost little, an exchanged word costs the acceptance."""
    score = _folded_similarity(one, other)
    if one.raw != other.raw and has_han(one.raw) and has_han(other.raw):
        # 晴天 and 情天 are read alike; what they have in common counts, not how it sounds.
        return min(score, fuzz.ratio(one.raw, other.raw) / 100, _SUBSTITUTED_CAP)
    if score < 0.97 and one.raw.isascii() != other.raw.isascii():
        sound = fuzz.ratio(loose(one.full), loose(other.full)) / 100
        return max(score, 0.96 * sound if sound >= 0.9 else 0.0)
    return score


def same_piece(one: Title, other: Title) -> bool | None:
    """True for the same classical work, False for different works, `None` when neither title tells."""
    if one.work is None and other.work is None:
        return None
    mine, theirs = (title.work or read_work(title.parts, anything=True) for title in (one, other))
    if mine is None or theirs is None:
        return None
    both = one.work is not None and other.work is not None
    telling = any(work.catalogue or work.movement for work in (mine, theirs))
    return same_work(mine, theirs) if both or telling else None


def _folded_similarity(one: Title, other: Title) -> float:
    if one.full == other.full:
        return 1.0 if one.raw == other.raw or one.raw.isascii() or other.raw.isascii() else 0.97
    if one.bare == other.bare:
        return 0.99 if one.bare in (one.full, other.full) else _SUBSTITUTED_CAP
    whole = max(_similarity(one.full, other.full), 0.98 * _similarity(one.bare, other.bare))
    if bool(one.tail) != bool(other.tail):
        whole = max(whole, 0.95 * _similarity(one.tail or one.full, other.tail or other.full))
    if not one.aside and not other.aside:
        return whole
    if one.aside and other.aside and _similarity(one.aside, other.aside) < _TOKEN_ALIKE:
        return whole  # "Untitled (Black)" is not "Untitled (White)"
    one_side = not (one.aside and other.aside) and one.raw.isascii() and other.raw.isascii()  # else a translation
    if one_side and len((one.aside or other.aside).split()) <= _SHORT_ASIDE:
        return max(whole, _SUBSTITUTED_CAP * _similarity(one.short, other.short))  # "(Piano)" may be any version
    return max(
        whole,
        0.97 * _similarity(one.short, other.short),
        0.95 * _similarity(one.full, other.short),
        0.95 * _similarity(one.short, other.full),
        0.93 * (_across_brackets(one, other) or _across_brackets(other, one)),
    )


def _across_brackets(whole: Title, piece: Title) -> bool:
    """True when `piece` runs across brackets of `whole`: "Feel Like a Woman" in "(You Make Me Feel Like) A Woman"."""
    words, all_words = len(piece.full.split()), len(whole.full.split())
    return words >= 4 and 2 * words > all_words and f" {piece.full} " in f" {whole.full} "


def _similarity(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if one.replace(" ", "") == other.replace(" ", ""):
        return 0.99  # "Wonder Wall"
    ratio: float = fuzz.ratio(one, other) / 100
    if " " in one and " " in other:
        ratio = max(ratio, 0.98 * fuzz.token_sort_ratio(one, other) / 100)
    if ratio < 0.6:
        return ratio
    if min(len(one), len(other)) < _SHORT_NAME_CHARS:
        ratio **= 1.5  # one letter of "Angel" weighs more than one of a long title
    return min(ratio, _SUBSTITUTED_CAP) if _substituted(one, other) else ratio


def _substituted(one: str, other: str) -> bool:
    """True when each title holds a word unlike every word of the second."""
    mine, theirs = one.split(), other.split()
    return _has_stranger(mine, theirs) and _has_stranger(theirs, mine)


def _has_stranger(words: list[str], among: list[str]) -> bool:
    own_words = set(among)
    return any(word not in own_words and not any(_misspelt(word, other) for other in among) for word in words)


def _misspelt(one: str, other: str) -> bool:
    """True for similar words of the same first letter (not "night", "light"), unless negated ("can", "can't")."""
    if one[0] != other[0] or (one.endswith("nt") and other in _SAID) or (other.endswith("nt") and one in _SAID):
        return False
    return fuzz.ratio(one, other) >= 100 * _TOKEN_ALIKE


def artist_similarity(one: Artist, other: Artist) -> float:
    """1.0 for equal credits, guests aside; less where one credit names more people than the other."""
    score = _credit_similarity(one, other)
    if one.han and other.han and not one.han & other.han:
        han_score: float = max(fuzz.ratio(a, b) / 100 for a in one.han for b in other.han)
        return float(min(score, han_score**1.5))
    return score


def _credit_similarity(one: Artist, other: Artist) -> float:
    if one.aliases & other.aliases:
        return 1.0
    if one.names == other.names or set(one.names) == set(other.names):
        return 1.0
    if one.whole.replace(" ", "") == other.whole.replace(" ", ""):
        return 0.99  # "ACDC", "Sugar Hill Gang"
    mine, theirs = set(one.names), set(other.names)
    if mine <= theirs or theirs <= mine:
        if one.band_of_words or other.band_of_words:
            return _PART_OF_A_NAME
        if one.names[0] == other.names[0]:
            return 0.96
        part, whole = sorted((one, other), key=lambda artist: len(artist.names))
        partner = " " in part.whole and part.whole in whole.whole and f" the {part.whole}" not in whole.whole
        return 0.91 if partner else _PART_OF_A_NAME  # "Wings", "the Bad Seeds", a guest
    best = max(max(fuzz.ratio(a, b), fuzz.token_sort_ratio(a, b)) / 100 for a in one.aliases for b in other.aliases)
    if best > 0.5 and (_leads(one.whole, other.whole) or _leads(other.whole, one.whole)):
        return 0.96
    score = max(0.8, float(best**1.5)) if mine & theirs else float(best**1.5)
    if score < 0.95 and one.raw.isascii() != other.raw.isascii() and loose(one.whole) == loose(other.whole):
        return 0.96
    return max(score, 0.85) if _initials(one.whole, other.whole) else score


def _leads(name: str, band: str) -> bool:
    """True when `band` is a name of several words and a band word: "jimi hendrix", "jimi hendrix experience"."""
    return band.startswith(f"{name} ") and " " in name and band[len(name) + 1 :] in _BANDS


def _initials(one: str, other: str) -> bool:
    """True for names equal up to initials, "m ravel" and "maurice ravel": enough for review, not for acceptance."""
    mine, theirs = one.split(), other.split()
    if len(mine) != len(theirs) or len(mine) < 2 or mine[-1] != theirs[-1]:
        return False
    return all(a == b or (min(len(a), len(b)) == 1 and a[0] == b[0]) for a, b in zip(mine, theirs, strict=True))
