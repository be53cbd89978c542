"""Signals by which sites and pages say no: the name they address us by, and what one of them says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from sourcing.crawling.policy.politeness import PRODUCT

__all__ = ["AGENT", "SignalFinding", "forbids_training", "only_noted", "signal_finding"]
AGENT = PRODUCT  # the name robots.txt groups and directives are addressed to us by
_QUOTED_WORD = re.compile(r'(?<==)\s*"([\w-]*)"')
_OPAQUE = re.compile(r'"(?:[^"\\]|\\.)*"|\([^()]*\)')  # strings and inner lists of a structured field
_NO = {"train-ai": "n", "ai-train": "no", "ai-input": "no"}


class SignalFinding(NamedTuple):
    """Meaning of one signal: its name, its value as found, and whether that is a no to our use."""

    signal: str
    value: str
    denies: bool = False

    def __str__(self) -> str:
        return f"{self.signal}: {self.value}"


def forbids_training(value: str) -> bool:
    """`train-ai=n` of AIPREF or `ai-train=no` of content signals, in a dictionary; of repeated labels the last counts.

    Read member by member, so that a slip elsewhere in the line does not undo a no.
    """
    members = _OPAQUE.sub('""', _QUOTED_WORD.sub(r"\1", value)).lower().replace("\n", ",").split(",")
    labels = {}
    for member in members:
        label, _, setting = member.partition(";")[0].partition("=")
        labels[label.strip()] = setting.strip()
    return any(labels.get(label) == no for label, no in _NO.items())


def only_noted(_value: str) -> bool:
    return False


def signal_finding(signal: str, value: str, denies: Callable[[str], bool] = only_noted) -> SignalFinding:
    short_value = ", ".join(value.split("\n")).strip()[:_VALUE_CHARS]
    return SignalFinding(signal, short_value, denies(value))


_VALUE_CHARS = 200
