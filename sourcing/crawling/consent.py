"""Consent: what a site and a page say about machine use of their text, read into allow or deny with evidence.

Signals, and the value that denies: robots.txt (RFC 9309), X-Robots-Tag and
`<meta name="robots">` (noai), TDMRep (tdm-reservation 1), AIPREF Content-Usage (train-ai=n). What does not deny is
evidence too. Names, labels and values that are not in the table are ignored, as those specifications ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape

__all__ = ["SNIPPET_BYTES", "Verdict", "decide"]

SNIPPET_BYTES = 64 * 1024  # as much of a page as is searched for <meta>
_AGENT = "crossmusim"
_META = re.compile(r"<meta\b[^>]{0,2000}>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""")
_VALUED_DIRECTIVES = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Verdict:
    """`decision` is allow or deny; `evidence` holds each signal read, as 'signal: value', a denying one last."""

    decision: str
    evidence: tuple[str, ...]
    denied_by: str = ""  # the first signal that denied


def _says_noai(value: str) -> bool:
    """`noai` among the directives, addressed to all or to us (`crossmusim: noai`)."""
    addressed = True
    for part in value.lower().split(","):
        agent, colon, directive = part.partition(":")
        if agent.strip() in _VALUED_DIRECTIVES:
            continue
        if colon:
            addressed = agent.strip() in (_AGENT, "*")
        if addressed and (directive if colon else part).strip() == "noai":
            return True
    return False


def _reserves_mining(value: str) -> bool:
    return value.split(",")[0].strip() == "1"


def _forbids_training(value: str) -> bool:
    """AIPREF dictionary: `train-ai=n`; the last of repeated labels counts."""
    labels = dict(item.split(";")[0].strip().lower().partition("=")[::2] for item in value.split(","))
    return labels.get("train-ai", "").strip() == "n"


#: signal → does this value deny? Header and <meta> share names, so one table serves both.
_SIGNALS: Mapping[str, Callable[[str], bool]] = {
    "x-robots-tag": _says_noai,
    "tdm-reservation": _reserves_mining,
    "content-usage": _forbids_training,
}
_META_SIGNALS: Mapping[str, Callable[[str], bool]] = {
    "robots": _says_noai,
    _AGENT: _says_noai,
    "tdm-reservation": _reserves_mining,
    "content-usage": _forbids_training,
}
#: evidence beside a reservation, worth keeping, decides nothing
_NOTED = ("tdm-policy",)


def decide(headers: Mapping[str, str], html: str = "", robots: str = "") -> Verdict:
    """Decide from headers (names in lower case), the first part of the page, and the robots.txt line.

    `robots` is a finished evidence line such as "robots.txt: allowed"; it reached us only if it did not deny.
    """
    evidence = [robots] if robots else []
    denied_by = ""
    found = [(name, headers[name], denies) for name, denies in _SIGNALS.items() if name in headers]
    found += [(f"meta {name}", content, _META_SIGNALS[name]) for name, content in _metas(html) if name in _META_SIGNALS]
    for signal, value, denies in found:
        line = f"{signal}: {value.strip()[:200]}"
        evidence.append(line)
        if denies(value) and not denied_by:
            denied_by = line
    evidence += [f"{name}: {headers[name].strip()[:200]}" for name in _NOTED if name in headers]
    if denied_by:
        evidence.remove(denied_by)
        evidence.append(denied_by)
    return Verdict("deny" if denied_by else "allow", tuple(evidence), denied_by)


def _metas(html: str) -> list[tuple[str, str]]:
    """(name, content) of each <meta>, names in lower case, comments left out."""
    metas = []
    for tag in _META.findall(_COMMENT.sub("", html)):
        attributes = {name.lower(): unescape(value.strip("\"'")) for name, value in _ATTRIBUTE.findall(tag)}
        name = (attributes.get("name") or attributes.get("http-equiv") or "").strip().lower()
        if name:
            metas.append((name, attributes.get("content", "")))
    return metas
