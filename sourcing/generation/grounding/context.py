"""ReplyContext: names, language and the rules of its pack, which a reply is vetted against beside its document."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sourcing.generation.grounding.names import NO_NAMES, Names
from sourcing.generation.grounding.quotes import ECHO_WORDS
from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.words import least_runs, words

__all__ = ["NO_CONTEXT", "NO_RULES", "PackRules", "ReplyContext", "rules_of"]

_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


@dataclass(frozen=True)
class PackRules:
    """Rules of a prompt pack for the lint of replies: own words, names allowed, worked examples."""

    word_runs: frozenset[tuple[str, ...]] = frozenset()  # of six words of the pack's own text
    may_name: frozenset[str] = frozenset()  # "artist", "title", "album": what its captions were asked to name
    examples: frozenset[str] = frozenset()  # folded aspects of its worked example, so that copies of it are told


NO_RULES = PackRules()


@dataclass(frozen=True)
class ReplyContext:
    """Context of a reply beside its document: names, the language asked for, and its pack's rules."""

    names: Names = NO_NAMES
    language: str = "und"
    rules: PackRules = NO_RULES


NO_CONTEXT = ReplyContext()


def rules_of(
    blocks: Iterable[tuple[str, str]], *, may_name: Collection[str] = (), examples: Iterable[str] = ()
) -> PackRules:
    """The rules of a pack with these message blocks (role, template source) and aspects of its worked example."""
    runs: set[tuple[str, ...]] = set()
    for _, source in blocks:
        for piece in _TEMPLATE.split(source):
            tokens = words(piece)
            runs.update(tuple(tokens[start:end]) for start, end in least_runs(tokens, over_words=ECHO_WORDS))
    return PackRules(frozenset(runs), frozenset(may_name), frozenset(map(fold_text, examples)))
