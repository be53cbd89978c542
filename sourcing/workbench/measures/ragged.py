"""What makes an aspect ragged: a verb or a determiner in it, an end that was cut, or a name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.lexicon import facet_of, is_name, is_term
from sourcing.generation.text.phrases import sentences
from sourcing.generation.text.tagging import has_tagger, tag
from sourcing.generation.text.words import data_sections, is_written_without_spaces

__all__ = ["ragged"]

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def ragged(text: str, document: str, language: str, names: Iterable[str | None]) -> str | None:
    """The fault of a phrase taken from a document in this language, or None."""
    spaceless = is_written_without_spaces(text)
    fault = _spaceless_fault(text) if spaceless else _edge(text, language) or _cut(text, document)
    if fault is None and is_name(text, names):
        fault = "a name"
    if fault is None and not spaceless:
        fault = _verb(text, document, language) or _person(text, language)
    return fault


def _edge(text: str, language: str) -> str | None:
    own = [fold_text(word) for word in re.split(r"[\s’']+", text) if any(map(str.isalnum, word))]
    if not own:
        return "no word"
    edge = next((word for word in (own[0], own[-1]) if word in _listed(language[:2])), None)
    return edge and f"{edge!r} at its edge"


def _cut(text: str, document: str) -> str | None:
    """A fault where every place of the phrase in the document is amid a word or a hyphenated compound."""
    phrase, whole = fold_text(text), f" {fold_text(document)} "
    if phrase not in whole or re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", whole):
        return None
    return "cut amid a word"


def _person(text: str, language: str) -> str | None:
    """A capitalised word after the first that no lexicon knows; German writes every noun so."""
    if language.startswith("de"):
        return None
    for word in _WORD.findall(text)[1:]:
        if word[0].isupper() and not word.isupper() and facet_of(word) == "other":
            return f"the name {word!r}"
    return None


def _verb(text: str, document: str, language: str) -> str | None:
    if not has_tagger(language):
        verb = next((w for w in map(fold_text, _WORD.findall(text)) if w in _listed(f"{language[:2]} verbs")), None)
        return verb and f"the verb {verb!r}"
    for sentence in sentences(document):
        at = sentence.casefold().find(text.casefold())
        if at < 0:
            continue
        inside = [token for token in tag(sentence, language) if at <= token.start and token.end <= at + len(text)]
        verb = next((token.word for token in inside if token.part == "V"), None)
        return verb and f"the verb {verb!r}"
    return None


def _spaceless_fault(text: str) -> str | None:
    for place, found in (("first", text.startswith), ("last", text.endswith)):
        edge = next((word for word in _listed(f"spaceless {place}") if found(word)), None)
        if edge and not is_term(text):
            return f"{edge!r} at its edge"
    verb = next((word for word in _listed("spaceless verbs") if word in text), None)
    return verb and f"the verb {verb!r}"


@cache
def _listed(heading: str) -> frozenset[str]:
    return frozenset(fold_text(" ".join(data_sections("function_words").get(heading, ()))).split())
