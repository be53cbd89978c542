"""Site-wide signals on machine use: Content-Usage rules and named agents, tdmrep.json, ai.txt.

Content-Usage follows draft-ietf-aipref-attach-05 §3: a rule of a robots.txt group with an optional path, of which
the longest that matches counts; of equal ones the strictest. tdmrep.json follows the TDMRep report §6.1: the first
entry whose location matches. ai.txt is robots.txt grammar over media types and paths: see `_ai_txt_finding`.
A file that makes no sense is noted and decides nothing. One that the site fails to hand out is not known, which is a
no to all its pages until it is asked again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sourcing.crawling.policy.robots_rules import (
    Group,
    Rule,
    best,
    matches,
    path_of,
    pattern_of,
    read_groups,
    rules_for,
)
from sourcing.crawling.policy.signals import AGENT, SignalFinding, forbids_training

__all__ = ["AI_AGENTS", "NOT_KNOWN_AGAIN_S", "WELL_KNOWN", "NotKnown", "SiteSignals", "file_of", "read_site_signals"]

#: Files beside robots.txt that speak for a whole origin.
WELL_KNOWN = ("/.well-known/tdmrep.json", "/ai.txt")

#: Crawlers that collect for language models, by the names sites block them by; a block tells of the owner's mind.
AI_AGENTS = frozenset(
    [
        *("ai2bot", "amazonbot", "anthropic-ai", "applebot-extended", "bytespider", "ccbot", "chatgpt-user"),
        *("claude-web", "claudebot", "cohere-ai", "cohere-training-data-crawler", "diffbot", "facebookbot"),
        *("google-extended", "gptbot", "imagesiftbot", "meta-externalagent", "meta-externalfetcher"),
        *("mistralai-user", "oai-searchbot", "omgili", "omgilibot", "pangubot", "perplexity-user", "perplexitybot"),
        *("timpibot", "webzio-extended", "youbot"),
    ]
)

#: What ai.txt means by text: its generator's list of file types, close kin, and the bare word.
_TEXT_TYPES = frozenset(
    ["doc", "docx", "htm", "html", "md", "odt", "pdf", "rtf", "tex", "text", "txt", "wks", "wpd", "wps", "xhtml"]
)
_TYPE = re.compile(r"/?\*?\.?[a-z]+\$?")  # *.txt, .txt, text
#: How long a file that could not be had is taken for a no before it is asked for again; the next run asks anyway.
NOT_KNOWN_AGAIN_S = 600.0
_NOT_KNOWN = frozenset([408, 425, 429, *range(500, 600)])
_MAX_BYTES = 2 * 1024 * 1024
_MAX_ENTRIES = 20_000
_SAYS_RESERVED = re.compile(rb"""["']?tdm-reservation["']?\s{0,9}:\s{0,9}["']?1\b""", re.IGNORECASE)
_SHOWN_AGENTS = 8
_SHOWN_CHARS = 120


@dataclass(frozen=True)
class NotKnown:
    """A file that the site failed to hand out, with why."""

    why: str


def file_of(status: int, body: bytes) -> bytes | NotKnown | None:
    """Content of a site file by its answer: its bytes, that it is not known, or None for one that is not there."""
    if status in _NOT_KNOWN:
        return NotKnown(f"HTTP {status}")
    return body if 200 <= status < 300 else None


@dataclass(frozen=True)
class SiteSignals:
    """One origin's word on machine use, as plain data; `findings(url)` says what of it concerns a page."""

    usage: tuple[Rule, ...] = ()  # Content-Usage and Content-Signal of the robots.txt group that is for us
    named: tuple[Group, ...] = ()  # robots.txt groups for AI crawlers: their names, Allow and Disallow
    tdmrep: tuple[Rule, ...] = ()  # value: reservation, then the policy's address
    ai_txt: tuple[Rule, ...] = ()
    notes: tuple[SignalFinding, ...] = ()  # files there were but which could not be read
    unknown: tuple[SignalFinding, ...] = ()  # files that the site failed to hand out: a no to every page

    def findings(self, url: str) -> list[SignalFinding]:
        """Findings for a page, Content-Usage first; the notes come with every page."""
        if not (self.usage or self.named or self.tdmrep or self.ai_txt):
            return [*self.unknown, *self.notes]
        path = path_of(url)
        findings = [_usage_finding(rule) for rule in _in_force(self.usage, path)]
        blocked_agents = [agent for group in self.named if _disallowed(group.rules, path) for agent in group.agents]
        if blocked_agents:
            more = f" and {len(blocked_agents) - _SHOWN_AGENTS} more" if len(blocked_agents) > _SHOWN_AGENTS else ""
            names = ", ".join(blocked_agents[:_SHOWN_AGENTS]) + more
            findings.append(SignalFinding("robots.txt named agents", f"{names} may not ask for this page (noted)"))
        first = next((rule for rule in self.tdmrep if matches(rule.pattern, path)), None)
        if first is not None:
            findings.append(_tdmrep_finding(first))
        if self.ai_txt and (rule := _ai_txt_rule(self.ai_txt, path)) is not None:
            value = f"{rule.field.capitalize()}: {rule.pattern[:_SHOWN_CHARS]} (line {rule.line})"
            findings.append(SignalFinding("ai.txt", value, rule.field == "disallow"))
        return [*findings, *self.unknown, *self.notes]


def read_site_signals(
    robots_body: bytes | None,
    tdmrep: bytes | NotKnown | None,
    ai_txt: bytes | NotKnown | None,
    *,
    agent: str = AGENT,
) -> SiteSignals:
    """Read the bodies of an origin's files, as `file_of` gives them."""
    notes: list[SignalFinding] = []
    files = {"tdmrep.json": tdmrep, "ai.txt": ai_txt}
    unknown = [
        SignalFinding(name, f"not known ({file.why})"[: 2 * _SHOWN_CHARS], denies=True)
        for name, file in files.items()
        if isinstance(file, NotKnown)
    ]
    groups = read_groups(robots_body) if robots_body else []
    ai_groups = []
    for group in groups:
        agents = tuple(name for name in group.agents if name.lower() in AI_AGENTS)
        rules = tuple(rule for rule in group.rules if rule.field in ("allow", "disallow"))
        if agents and rules:
            ai_groups.append(Group(agents, rules))
    return SiteSignals(
        usage=tuple(rule for rule in rules_for(groups, agent) if rule.field in ("content-usage", "content-signal")),
        named=tuple(ai_groups),
        tdmrep=_read_tdmrep(tdmrep, notes) if isinstance(tdmrep, bytes) else (),
        ai_txt=_read_ai_txt(ai_txt, agent, notes) if isinstance(ai_txt, bytes) else (),
        notes=tuple(notes),
        unknown=tuple(unknown),
    )


# --- robots.txt ---


def _in_force(rules: Sequence[Rule], path: str) -> list[Rule]:
    """One rule of each kind: the longest match, and of equal ones the one that says no."""
    kinds = [[rule for rule in rules if rule.field == field] for field in ("content-usage", "content-signal")]
    tied = [best(kind, path) for kind in kinds]
    return [max(rules, key=lambda rule: forbids_training(rule.value)) for rules in tied if rules]


def _usage_finding(rule: Rule) -> SignalFinding:
    field = "-".join(part.capitalize() for part in rule.field.split("-"))
    path = f"{rule.pattern[:_SHOWN_CHARS]} " if rule.pattern else ""
    value = f"{path}{rule.value[:_SHOWN_CHARS]} (line {rule.line})"
    return SignalFinding(f"robots.txt {field}", value, forbids_training(rule.value))


def _disallowed(rules: Sequence[Rule], path: str) -> bool:
    tied = best(rules, path)
    return bool(tied) and all(rule.field == "disallow" for rule in tied)  # of equal rules Allow counts


# --- tdmrep.json ---


def _read_tdmrep(body: bytes, notes: list[SignalFinding]) -> tuple[Rule, ...]:
    try:
        entries = json.loads(body[:_MAX_BYTES])
    except (ValueError, RecursionError) as error:
        if _is_page(body):
            finding = "an HTML page"
        elif _SAYS_RESERVED.search(body[:_MAX_BYTES].replace(b"\0", b"")):
            return (Rule("tdm-reservation", "", "1, in a file that is not JSON", 1),)
        else:
            finding = f"more than {_MAX_BYTES} bytes" if len(body) > _MAX_BYTES else _plain(error)
        notes.append(SignalFinding("tdmrep.json", f"not JSON ({finding})"))
        return ()
    entries = _entries(entries)
    if not isinstance(entries, list):
        notes.append(SignalFinding("tdmrep.json", f"no list of entries, but {type(entries).__name__}"))
        return ()
    rules, faults = [], []
    for number, entry in enumerate(entries[:_MAX_ENTRIES], 1):
        rule = _tdmrep_rule(entry, number)
        rules.append(rule) if isinstance(rule, Rule) else faults.append(rule)
    if len(entries) > _MAX_ENTRIES:
        notes.append(SignalFinding("tdmrep.json", f"{len(entries)} entries, of which {_MAX_ENTRIES} are read"))
    if faults:
        notes.append(SignalFinding("tdmrep.json", f"{faults[0]}; {len(faults)} of {len(entries)} entries not read"))
    return tuple(rules)


def _entries(file: Any) -> Any:
    """Entries of a tdmrep.json, also from a bare entry or a list inside an object."""
    if not isinstance(file, dict) or any(str(key).lower() == "tdm-reservation" for key in file):
        return [file] if isinstance(file, dict) else file
    return next((inner for inner in file.values() if isinstance(inner, list)), [file])


def _is_page(body: bytes) -> bool:
    return body.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1] == b"<"


def _plain(value: object) -> str:
    """The beginning of a value as text that can be written down."""
    return str(value)[:_SHOWN_CHARS].encode("utf-8", "replace").decode()


def _tdmrep_rule(entry: Any, number: int) -> Rule | str:
    """Rule of a tdmrep.json entry, or a sentence on the entry's fault. A reservation that names no place is of the
    whole site.
    """
    if not isinstance(entry, dict):
        return f"entry {number} is no object"
    entry = {str(name).strip().lower(): value for name, value in entry.items()}
    reservation = entry.get("tdm-reservation")
    value = {"true": "1", "1.0": "1", "false": "0", "0.0": "0"}.get(_plain(reservation).strip().lower(), "")
    value = value or _plain(reservation).strip()
    if value not in ("0", "1"):
        return f"entry {number} has tdm-reservation {_plain(reservation)[:20]!r}, neither 0 nor 1"
    location = entry.get("location", "/" if value == "1" else None)
    if not isinstance(location, str):
        return f"entry {number} has no location"
    location = location.strip()
    if location.startswith(("http://", "https://")):
        try:
            location = urlsplit(location).path or "/"
        except ValueError:
            return f"entry {number} has a location that is no URL"
    if not location.startswith(("/", "*")):
        location = "/" + location
    if isinstance(entry.get("tdm-policy"), str):
        value += f", policy {_plain(entry['tdm-policy'])}"
    return Rule("tdm-reservation", pattern_of(location), value, number)


def _tdmrep_finding(rule: Rule) -> SignalFinding:
    value = f"{rule.pattern[:_SHOWN_CHARS]} tdm-reservation {rule.value} (entry {rule.line})"
    return SignalFinding("tdmrep.json", value, rule.value.startswith("1"))


# --- ai.txt ---


def _read_ai_txt(body: bytes, agent: str, notes: list[SignalFinding]) -> tuple[Rule, ...]:
    if _is_page(body):
        notes.append(SignalFinding("ai.txt", "an HTML page, no rules"))
        return ()
    groups = read_groups(body) or read_groups(
        b"User-agent: *\n" + body.lstrip(b"\xef\xbb\xbf\xff\xfe")
    )  # rules of no group are everyone's
    if not groups:
        notes.append(SignalFinding("ai.txt", "no rules in it"))
    return tuple(rule for rule in rules_for(groups, agent) if rule.field in ("allow", "disallow"))


def _ai_txt_rule(rules: Sequence[Rule], path: str) -> Rule | None:
    """Deciding rule of ai.txt for a page read as text.

    In this order: a path, or a type that is this URL's own ending, the longest first; a text type (`*.txt`, `*.html`,
    `text`), whatever the URL ends with, since what we take from any page is its text; `/` and `*`. Of equal rules
    Disallow counts: ai.txt has no specification that says otherwise.
    """
    ranking = []
    for rule in rules:
        pattern = rule.pattern.strip("*/$")  # empty for a rule about everything
        refuses = rule.field == "disallow"
        if pattern and matches(_whole_ending(rule.pattern), path):
            ranking.append(((2, len(rule.pattern), refuses), rule))
        elif _TYPE.fullmatch(rule.pattern.lower()) and pattern.lower().lstrip(".") in _TEXT_TYPES:
            ranking.append(((1, 0, refuses), rule))
        elif not pattern:
            ranking.append(((0, 0, refuses), rule))
    return max(ranking, key=lambda item: item[0])[1] if ranking else None


def _whole_ending(pattern: str) -> str:
    """`*.txt` means files that end so: it does not match `/a.txt.html`."""
    return f"{pattern}$" if pattern.startswith("*.") and not pattern.endswith("$") else pattern
