"""Consent: what a site and a page say about machine use of their text, read into allow or deny with evidence.

The rule: any signal that says no denies, whatever the others say, unless an explicit licence grant covers the source.

- Deciding signals, and the value that says no: robots.txt (RFC 9309 Disallow); AIPREF Content-Usage as header, meta
  or robots.txt rule (train-ai=n) and its kin Content-Signal in robots.txt (ai-train=no, ai-input=no); TDMRep as
  header, meta or tdmrep.json (tdm-reservation 1); X-Robots-Tag and `<meta name="robots">` (noai); ai.txt (Disallow of
  text). `wellknown` reads those that speak for a whole site.
- Noted, deciding nothing: other values of these, tdm-policy, well-known files that cannot be read, and robots.txt
  groups that block AI crawlers by name, since the name is not ours.
- The grant: a source whose declaration puts all its fields under open licences has said yes in the
  one form that binds, so a no to mining on its own hosts is recorded as set aside and does not deny. It does not set
  aside a Disallow of robots.txt, which is about asking at all; only a source's `api_terms` do.

Names, labels and values that are not in the table are ignored, as those specifications ask. Where a specification
ranks its own signals (meta over header over file), the stricter still wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from sourcing.crawling.politeness import PRODUCT
from sourcing.store.licences import may_be_passed_on

if TYPE_CHECKING:
    from sourcing.crawling.sources.base import Source
    from sourcing.crawling.wellknown import SiteSignals

__all__ = ["AGENT", "SNIPPET_BYTES", "Finding", "Verdict", "decide", "forbids_training", "granted_by", "read_signals"]

AGENT = PRODUCT  # the name robots.txt groups and directives are addressed to us by
SNIPPET_BYTES = 64 * 1024  # as much of a page as is searched for <meta>
_VALUE_CHARS = 200
_META_CHARS = 2000  # of one tag
_MAX_METAS = 100  # tags looked into; a page with more of these is out to keep us busy
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""")
_VALUED_DIRECTIVES = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_OPAQUE = re.compile(r'"(?:[^"\\]|\\.)*"|\([^()]*\)')  # strings and inner lists of a structured field
_NO = {"train-ai": "n", "ai-train": "no", "ai-input": "no"}


class Finding(NamedTuple):
    """What one signal says: its name, its value as found, and whether that is a no to our use."""

    signal: str
    value: str
    denies: bool = False

    def __str__(self) -> str:
        return f"{self.signal}: {self.value}"


@dataclass(frozen=True)
class Verdict:
    """`decision` is allow or deny; `evidence` holds each signal read, as 'signal: value', a denying one last."""

    decision: str
    evidence: tuple[str, ...]
    denied_by: str = ""  # the first signal that denied
    set_aside: tuple[str, ...] = ()  # signals that would have denied but for the grant


def decide(
    headers: Mapping[str, str],
    html: str = "",
    robots: str = "",
    *,
    site: SiteSignals | None = None,
    url: str = "",
    granted: str | None = None,
) -> Verdict:
    """Decide from headers (names in lower case), the first part of the page, and what its site says of `url`.

    `robots` is a finished evidence line such as "robots.txt: allowed"; it reached us only if it did not deny.
    `granted` is the licence that `granted_by` names.
    """
    evidence = [robots] if robots else []
    denied_by: list[str] = []
    set_aside: list[str] = []
    for found in read_signals(headers, html, site=site, url=url):
        if not found.denies:
            evidence.append(str(found))
        elif granted:
            set_aside.append(f"{found}, set aside by {granted}")
        else:
            denied_by.append(str(found))
    evidence += [*set_aside, *denied_by[1:], *denied_by[:1]]
    return Verdict("deny" if denied_by else "allow", tuple(evidence), "".join(denied_by[:1]), tuple(set_aside))


def granted_by(source: Source, url: str) -> str | None:
    """The open licence the source's declaration puts its records under, for a URL of its own; else None.

    Every field's licence has to be one: where a declaration leaves its prose unknown, nobody granted us the prose.
    """
    grants = all(map(may_be_passed_on, source.licences.values()))
    own = source.ship_class != "import" and source.owns(urlsplit(url).netloc)  # data sets lie on hosts of others
    return source.licences["*"] if grants and own and "*" in source.licences else None


def read_signals(
    headers: Mapping[str, str], html: str = "", *, site: SiteSignals | None = None, url: str = ""
) -> list[Finding]:
    """Every signal there is: of the site, of the headers, of the page's <meta> tags."""
    found = site.findings(url) if site is not None else []
    found += [_finding(name, headers[name], denies) for name, denies in _SIGNALS.items() if name in headers]
    for name, content in _metas(html):
        found.append(_finding(f"meta {name}", content, _META_SIGNALS[name]))
    found += [_finding(name, headers[name]) for name in _NOTED if name in headers]
    return found


def forbids_training(value: str) -> bool:
    """`train-ai=n` of AIPREF or `ai-train=no` of content signals, in a dictionary; of repeated labels the last counts.

    Read member by member, so that a slip elsewhere in the line does not undo a no.
    """
    members = _OPAQUE.sub('""', value).lower().split(",")
    labels = dict(member.partition(";")[0].strip().partition("=")[::2] for member in members)
    return any(labels.get(label, "").strip() == no for label, no in _NO.items())


def _says_noai(value: str) -> bool:
    """`noai` among the directives, addressed to all or to us (`crossmusim: noai`)."""
    addressed = True
    for part in value.lower().split(","):
        agent, colon, directive = part.partition(":")
        if agent.strip() in _VALUED_DIRECTIVES:
            continue
        if colon:
            addressed = agent.strip() in (AGENT, "*")
        if addressed and (directive if colon else part).strip() == "noai":
            return True
    return False


def _reserves_mining(value: str) -> bool:
    return value.split(",")[0].strip() == "1"


def _only_noted(_value: str) -> bool:
    return False


#: signal → does this value deny? Header and <meta> share names, so one table serves both.
_SIGNALS: Mapping[str, Callable[[str], bool]] = {
    "x-robots-tag": _says_noai,
    "tdm-reservation": _reserves_mining,
    "content-usage": forbids_training,
}
#: evidence beside a reservation, worth keeping, decides nothing
_NOTED = ("tdm-policy",)
_META_SIGNALS: Mapping[str, Callable[[str], bool]] = {
    **_SIGNALS,
    "robots": _says_noai,
    AGENT: _says_noai,
    "tdm-policy": _only_noted,
}


def _finding(signal: str, value: str, denies: Callable[[str], bool] = _only_noted) -> Finding:
    return Finding(signal, value.strip()[:_VALUE_CHARS], denies(value))


def _metas(html: str) -> Iterable[tuple[str, str]]:
    """(name, content) of each <meta> that is a signal, names in lower case, comments left out.

    Runs for every page of a crawl: plain searches find the few tags that may be signals, only those are parsed.
    """
    lowered = html.lower()
    start, looked_into = lowered.find("<meta"), 0
    while start >= 0 and looked_into < _MAX_METAS:
        end = lowered.find(">", start, start + _META_CHARS)
        tag = lowered[start : end if end >= 0 else start + _META_CHARS]
        may_be = any(name in tag for name in _META_SIGNALS)
        looked_into += may_be
        if may_be and not _commented(lowered, start):
            written = html if len(html) == len(lowered) else lowered  # a few capitals become two characters
            attributes = {
                name.lower(): unescape(value.strip("\"'"))
                for name, value in _ATTRIBUTE.findall(written[start : start + len(tag)])
            }
            name = (attributes.get("name") or attributes.get("http-equiv") or "").strip().lower()
            if name in _META_SIGNALS:
                yield name, attributes.get("content", "")
        start = lowered.find("<meta", start + len(tag))


def _commented(html: str, at: int) -> bool:
    """Whether a comment opened before `at` is closed behind it; one that a script merely mentions is none."""
    if html.rfind("<!--", 0, at) <= html.rfind("-->", 0, at):
        return False
    close = html.find("-->", at)
    return close >= 0 and html.find("<!--", at, close) < 0
