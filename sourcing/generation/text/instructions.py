"""Tells texts that speak to a model, or hold marks of a conversation, from texts about the sound.

Whoever hides an instruction from a list of words still wants a model to read it, so disguises that models see through
(letters of other alphabets, digits for letters, spaces between letters, base64) are taken off or counted as markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.words import data_sections, is_written_without_spaces, words
from sourcing.store.language_id import simplified

__all__ = ["any_of", "holds_markup", "speaks_to_model"]

_FRAMES = (
    r"(?:document|track|aspects?|captions?|system|user|assistant|instructions?|prompt|think|s|bos|eos|sys|pad|unk|mask)"
)
_MARKUP = re.compile(
    r"</?[a-z!][^<>\s]*[^<>]{0,200}>|<!--|-->|\{\{|\}\}|\{%|%\}|\$\(|```|'''|https?:|www\.|"
    r"<\||\|>|\[/?inst\]|[{\[]\s*\"|\"\s*:|\\[nux]|;\s*--|\|\|",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\b\w+@\w+\.\w")
_LEAST_PACKED = 36  # characters of base64 in a row
_PACKED = re.compile(rf"[a-z0-9+/]{{{_LEAST_PACKED},}}", re.IGNORECASE)
#: The same words defused: parted by spaces, in other brackets, as entities, or bare. One of the marks is in each.
_DEFUSED_MARKS = ("<", "[", "{", "‹", "〈", "⟨", "⟪", "&", "|", "##", "---", "%", "_")
_DEFUSED = re.compile(
    r"<\s*/?\s*\||\|\s*/?\s*>|&(?:lt|gt|amp|#\d{1,5}|#x[0-9a-f]{1,5});"
    r"|<\s+/?\s*[a-z_][\w-]{0,30}\s*/?\s*>|<\s*/|[<‹〈⟨⟪]\s*/?\s*" + _FRAMES + r"\s*/?\s*[>›〉⟩⟫]"
    r"|\[\s*/?\s*(?:inst|sys|system|system_prompt|tool_calls|tool_results|available_tools|user|assistant|document)\s*\]"
    r"|<\s*<\s*/?\s*sys|\{\s+[{%]|[%}]\s+\}|-{3,}\s*(?:system|user|assistant)\s*-{3,}|#{2,}\s*(?:instruction|system|response)"
    r"|\b(?:im_start|im_end|im_sep|endoftext|eot_id|start_header_id|end_header_id|start_of_turn|end_of_turn"
    r"|begin_of_text|end_of_text)\b",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?。！？।])\s*")
_LATIN_WITH_OTHERS = re.compile(r"\w*(?:[a-z][\u0370-\u052f]|[\u0370-\u052f][a-z])\w*")
_LIKE_LATIN = str.maketrans("аеорсухіјѕԁһӏкмтвнгпηοαινρυτκ", "aeopcyxijsdhlkmtbnrnnoaivputk")
_WITH_DIGITS = re.compile(r"(?<!\w)(?=\w*[a-z]{2})(?=\w*[01345@$])[\w@$]{3,}")
_DIGITS = str.maketrans("01345@$", "oieasas")
_SPACED = re.compile(r"(?<!\w)\w(?:[ ._*-]\w){3,}(?!\w)")
_JOINED = re.compile(r"(?<=[a-z])[_*-]+(?=[a-z])")


def holds_markup(folded_text: str) -> bool:
    """True when a folded text holds markup, code, an address, packed bytes or a mark of a conversation."""
    return bool(
        _MARKUP.search(folded_text)
        or ("@" in folded_text and _ADDRESS.search(folded_text))
        or (any(mark in folded_text for mark in _DEFUSED_MARKS) and _DEFUSED.search(folded_text))
        or (max(map(len, folded_text.split()), default=0) >= _LEAST_PACKED and _PACKED.search(folded_text))
    )


def speaks_to_model(folded_text: str, tokens: Sequence[str]) -> bool:
    """True when a folded text, of which `tokens` are the words, instructs a model, in any disguise."""
    if _instructs(folded_text, tokens):
        return True
    plain = _without_disguise(folded_text)
    return plain != folded_text and _instructs(plain, words(plain))


def _instructs(folded_text: str, tokens: Sequence[str]) -> bool:
    patterns = _patterns()
    return bool(
        (":" in folded_text and patterns.roles.search(folded_text))
        or (not patterns.hints.isdisjoint(tokens) and patterns.anywhere.search(folded_text))
        or (not folded_text.isascii() and patterns.spaceless.search(simplified(folded_text)))
        or (patterns.dismiss.search(folded_text) and any(map(_dismisses, _SENTENCES.split(folded_text))))
    )


def _dismisses(sentence: str) -> bool:
    return bool(_patterns().dismiss.search(sentence) and _patterns().orders.search(sentence))


def _without_disguise(folded_text: str) -> str:
    if not folded_text.isascii():
        folded_text = _LATIN_WITH_OTHERS.sub(lambda match: match.group().translate(_LIKE_LATIN), folded_text)
    if any(sign in folded_text for sign in "01345@$"):
        folded_text = _WITH_DIGITS.sub(lambda match: match.group().translate(_DIGITS), folded_text)
    folded_text = _SPACED.sub(lambda match: re.sub(r"[\W_]", "", match.group()), folded_text)
    return (
        _JOINED.sub(" ", folded_text) if "-" in folded_text or "_" in folded_text or "*" in folded_text else folded_text
    )


class _Patterns(NamedTuple):
    hints: frozenset[str]  # words of which every text that fits `anywhere` holds one, for speed
    anywhere: re.Pattern[str]
    spaceless: re.Pattern[str]
    roles: re.Pattern[str]
    dismiss: re.Pattern[str]
    orders: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    sections = data_sections("instructions")
    anywhere, spaceless = ("|".join(sections[name]) for name in ("anywhere", "spaceless"))
    roles = "|".join(" ".join(sections["roles"]).split())
    dismiss, orders = (
        re.compile(any_of(fold_text(phrase.strip()) for line in sections[name] for phrase in line.split(",")))
        for name in ("dismiss", "orders")
    )
    return _Patterns(
        frozenset(" ".join(sections["hints"]).split()),
        re.compile(rf"(?<![^\W_])(?:{anywhere})(?!\w)"),
        re.compile(spaceless),
        re.compile(rf"(?:^|[.!?。！？»”\"]\s*)(?:{roles})\s?[:：]"),
        dismiss,
        orders,
    )


def any_of(phrases: Iterable[str]) -> str:
    """A pattern of any of the folded phrases as whole words, grouped by first letter for speed; "*" ends a stem."""
    narrow: dict[str, list[str]] = {}
    wide: dict[str, list[str]] = {}
    for phrase in sorted(phrases, key=lambda phrase: (-len(phrase), phrase)):
        ending = r"\w*" if phrase.endswith("*") else ""
        groups = wide if is_written_without_spaces(phrase) else narrow
        groups.setdefault(phrase[0], []).append(re.escape(phrase[1:].removesuffix("*")) + ending)
    patterns = [
        "|".join(f"{re.escape(at)}(?:{'|'.join(rest)})" for at, rest in group.items()) for group in (narrow, wide)
    ]
    return "|".join([rf"(?<![^\W_])(?:{patterns[0]})(?![\w'])(?!-\w)", *filter(None, patterns[1:])])
