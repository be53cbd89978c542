"""Consent: what a site and a page say about machine use of their text, read into allow or deny with evidence.

The rule: any signal that says no denies, whatever the others say, unless an explicit licence grant covers the source.

- Deciding signals, and the value that says no: robots.txt (RFC 9309 Disallow); AIPREF Content-Usage as header, meta
  or robots.txt rule (train-ai=n) and its kin Content-Signal in robots.txt (ai-train=no, ai-input=no); TDMRep as
  header, meta or tdmrep.json (tdm-reservation 1); X-Robots-Tag and `<meta name="robots">` (noai, or a past
  unavailable_after); ai.txt (Disallow of text). `wellknown` reads those that speak for a whole site; a file of these
  that a site fails to answer for (429, 5xx, no answer) is not known, and a no until it is.
- Noted, deciding nothing: other values of these, tdm-policy, well-known files that make no sense, and robots.txt
  groups that block AI crawlers by name, since the name is not ours.
- The grant: a source whose declaration puts all its fields under open licences has said yes in the
  one form that binds, so a no to mining on its own hosts is recorded as set aside and does not deny. It does not set
  aside a Disallow of robots.txt, which is about asking at all; only a source's `api_terms` do.

Names, labels and values that are not in the table are ignored, as those specifications ask. Where a specification
ranks its own signals (meta over header over file), the stricter still wins. A no counts however it is written: in any
of several header lines, in any case, quoting and encoding, anywhere in a page of any declared type.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sourcing.crawling.policy.robots_rules import is_named
from sourcing.crawling.policy.signals import AGENT, SignalFinding, forbids_training, only_noted, signal_finding
from sourcing.store.licences import may_be_passed_on

if TYPE_CHECKING:
    from sourcing.crawling.policy.site_signals import SiteSignals
    from sourcing.crawling.source import Source

__all__ = ["SNIPPET_BYTES", "ConsentVerdict", "decide", "granted_by", "markup_of"]
__all__ += ["read_signals"]

_TAG_NAME_ENDS = frozenset(" \t\r\n\f/")
_META_CHARS = 2000  # of one tag
_MAX_ATTRIBUTES = 50  # of one tag
_MAX_FINDINGS = 100  # of a page's tags that say no no
_MAX_TAGS = 5000  # looked at one by one; a page with more is out to keep us busy, and one word of a no is a no there
_ATTRIBUTE = re.compile(r"""[\s/]*([^\s>/=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]+))?""")
_QUOTES = " \t\r\n\f\"'`\u201c\u201d\u201e\u2018\u2019"
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_OPENING = re.compile(r"<(?:!--|(script|style|title|textarea|xmp)(?=[\s>/]))")
_MARKUP_START = re.compile(rb"\A[\s\xef\xbb\xbf\xff\xfe]*<|<(?:!doctype|html|head)\b", re.IGNORECASE)
SNIPPET_BYTES = 4096  # a body of any type that shows markup within these is taken for it
_COMMENT_END = re.compile(r"--!?>")
_VALUED_DIRECTIVES = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
_EXPIRY = re.compile(r"unavailable_after\s*:\s*((?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,\s*|[a-z]+ +\d\d?, *)?[^,;]*)")
_PREFIXED_META = re.compile(r"<[a-z_][\w.-]{0,40}:meta(?=[\s/>])", re.IGNORECASE)  # XHTML with a namespace prefix
_AGENT_NAME = re.compile(r"\d*[a-z_*][^\s:]*")


@dataclass(frozen=True)
class ConsentVerdict:
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
    grant: str | None = None,
) -> ConsentVerdict:
    """Decide from headers (names in lower case), the page's markup, and what its site says of `url`.

    A header that was sent several times holds its values in lines, one each: an agent named in one concerns no other.
    `robots` is a finished evidence line such as "robots.txt: allowed"; it reached us only if it did not deny.
    `grant` is the licence that `granted_by` names.
    """
    evidence = [robots] if robots else []
    denied_by: list[str] = []
    set_aside: list[str] = []
    for finding in read_signals(headers, html, site=site, url=url):
        if not finding.denies:
            evidence.append(str(finding))
        elif grant:
            set_aside.append(f"{finding}, set aside by {grant}")
        else:
            denied_by.append(str(finding))
    evidence += [*set_aside, *denied_by[1:], *denied_by[:1]]
    return ConsentVerdict("deny" if denied_by else "allow", tuple(evidence), "".join(denied_by[:1]), tuple(set_aside))


def granted_by(source: Source, url: str) -> str | None:
    """Open licence of the source's declaration, for URLs on the source's hosts; else None.

    Every field's licence has to be one: where a declaration leaves its prose unknown, nobody granted us the prose.
    """
    grants = all(map(may_be_passed_on, source.licences.values()))
    own = source.ship_class != "import" and source.owns(urlsplit(url).netloc)  # data sets lie on hosts of others
    return source.licences["*"] if grants and own and "*" in source.licences else None


def read_signals(
    headers: Mapping[str, str], html: str = "", *, site: SiteSignals | None = None, url: str = ""
) -> list[SignalFinding]:
    """Signals of headers, page and site: of the site, of the headers, of the page's <meta> tags."""
    findings = site.findings(url) if site is not None else []
    findings += [signal_finding(name, headers[name], denies) for name, denies in _SIGNALS.items() if name in headers]
    for number, (name, content) in enumerate(_metas(html)):
        finding = signal_finding(f"meta {name}", content, _META_SIGNALS.get(name, _refuses))
        if number < _MAX_FINDINGS or (finding.denies and not any(each.denies for each in findings)):
            findings.append(finding)
    findings += [signal_finding(name, headers[name]) for name in _NOTED if name in headers]
    return findings


def markup_of(content_type: str, body: bytes) -> str:
    """The body as text to look for <meta> in; empty for one that is no markup, whatever its type says.

    Tags and signals are ASCII, so that leaving out zero bytes makes UTF-16 and UTF-32 of any kind readable.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    is_markup = not media_type or "html" in media_type or media_type.endswith("xml")
    if b"\0" in body[:SNIPPET_BYTES]:
        body = body.replace(b"\0", b"")
    if not is_markup and not ("json" not in media_type and _MARKUP_START.search(body[:SNIPPET_BYTES])):
        return ""
    return body.decode("utf-8", "replace")


def _refuses(value: str) -> bool:
    """`noai`, or a past `unavailable_after`, among the directives addressed to all or to us (`crossmusim: noai`)."""
    for line in value.lower().replace('"', " ").splitlines():
        is_for_us = True
        for part in re.split("[,;]", _EXPIRY.sub(_expired, line)):
            agent, colon, directive = part.partition(":")
            agent = agent.strip()
            if colon and agent in _VALUED_DIRECTIVES:
                continue
            if colon and _AGENT_NAME.fullmatch(agent):
                is_for_us = agent == "*" or is_named(agent, AGENT)
                part = directive
            if is_for_us and not {"noai", "expired"}.isdisjoint(part.split()):
                return True
    return False


def _expired(expiry: re.Match[str]) -> str:
    """The word "expired" for a past time, "" for a future or meaningless one."""
    text = expiry[1].strip()
    moment = _moment(text.upper().replace("/", "-")) or _moment(f"{text} 00:00:00")
    if moment is None:
        return " "
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return " expired " if moment < datetime.now(UTC) else " "


def _moment(text: str) -> datetime | None:
    """Time written in ISO 8601, RFC 822, 850 or 5322; None for other text."""
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(text)
    with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
        return parsedate_to_datetime(text)
    return None


def _reserves_mining(value: str) -> bool:
    """1, alone or among the values of several headers."""
    return any(each.partition(";")[0].strip(" \t\"'?") == "1" for each in re.split(r"[,\n]", value))


#: signal → does this value deny? Header and <meta> share names, so one table serves both.
_SIGNALS: Mapping[str, Callable[[str], bool]] = {
    "x-robots-tag": _refuses,
    "tdm-reservation": _reserves_mining,
    "content-usage": forbids_training,
    "content-signal": forbids_training,
}
#: evidence beside a reservation, worth keeping, decides nothing
_NOTED = ("tdm-policy",)
_META_SIGNALS: Mapping[str, Callable[[str], bool]] = {
    **_SIGNALS,
    "robots": _refuses,
    AGENT: _refuses,
    "tdm-policy": only_noted,
}


def _metas(html: str) -> Iterator[tuple[str, str]]:
    """(name, content) of each <meta> that is a signal, names in lower case, comments left out.

    Runs for every page of a crawl: plain searches find the few tags that may be signals, only those are parsed.
    """
    lower_html = html.lower()
    if ":meta" in lower_html:
        html = _PREFIXED_META.sub("<meta", html)
        lower_html = html.lower()
    if len(lower_html) != len(html):  # a few capitals become two characters
        lower_html = html.translate(_LOWER)
    comments: list[tuple[int, int]] | None = None
    start, tags = lower_html.find("<meta"), 0
    while start >= 0:
        tags += 1
        if tags > _MAX_TAGS:
            if "noai" in lower_html[start:] or "tdm-reservation" in lower_html[start:]:
                yield "robots", f"noai, or a reservation, behind {_MAX_TAGS} other tags"
            return
        end = lower_html.find(">", start, start + _META_CHARS)
        tag = lower_html[start : end if end >= 0 else start + _META_CHARS]
        if tag.count('"') & 1 or tag.count("'") & 1:  # that may have been a bracket inside a value
            tag = lower_html[start : start + _META_CHARS]
        if tag[5:6] in _TAG_NAME_ENDS and ("&#" in tag or any(name in tag for name in _META_SIGNALS)):
            comments = _comments(lower_html) if comments is None else comments
            before = bisect_right(comments, (start, 0)) - 1
            if before < 0 or comments[before][1] <= start:
                yield from _signals_of(html[start + len("<meta") : start + _META_CHARS])
        start = lower_html.find("<meta", start + (len("<meta") if end >= 0 else _META_CHARS))


def _signals_of(tag: str) -> Iterator[tuple[str, str]]:
    attributes: dict[str, str] = {}
    at = 0
    for _ in range(_MAX_ATTRIBUTES):
        match = _ATTRIBUTE.match(tag, at)
        if match is None:
            break
        value = match[2] or ""
        value = value[1:-1] if value[:1] in ('"', "'") and value[:1] == value[-1:] else value.strip(_QUOTES).rstrip("/")
        attributes.setdefault(match[1].lower(), unescape(value))
        at = match.end()
    for attribute in ("name", "http-equiv", "property"):
        name = attributes.get(attribute, "").strip().lower()
        if name in _META_SIGNALS or (name and is_named(name, AGENT)):
            yield name, attributes.get("content", "").strip(_QUOTES)


def _comments(lower_html: str) -> list[tuple[int, int]]:
    """Where comments begin and end. One that does not end hides nothing, and a script's text opens none."""
    spans = []
    at = 0
    while opening := _OPENING.search(lower_html, at):
        if opening[1]:
            close = lower_html.find(f"</{opening[1]}", opening.end())
            at = close if close >= 0 else opening.end()
        elif ending := _COMMENT_END.search(lower_html, opening.start() + 2):
            at = ending.end()
            spans.append((opening.start(), at))
        else:
            break
    return spans
