"""Path rules of robots.txt (RFC 9309): groups of rules by agent, and which rules speak of a URL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlsplit

__all__ = ["Group", "Rule", "best", "is_named", "matches", "path_of", "pattern_of", "read_groups", "robots_text"]
__all__ += ["rules_for"]

_MAX_BYTES = 2 * 1024 * 1024  # RFC 9309 §2.5 asks for at least 500 KiB
_MARKS = b"\xef\xbb\xbf\xff\xfe\0"  # byte order marks, and the half of ASCII in UTF-16 that says nothing
_AGENT_LINE = re.compile(r"^([ \t]*user[- ]?agent[ \t]*:[ \t]*)([^#\n]*)", re.IGNORECASE | re.MULTILINE)
_LINE_END = re.compile(r"\r\n|\r|\n")
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))
#: Fields that belong to a group: a User-agent line after one of them opens the next group.
_PATHS = ("allow", "disallow")
_AGENT_FIELDS = ("user-agent", "useragent", "user agent")
_USAGE = ("content-usage", "content-signal")
_OTHERS = ("crawl-delay", "request-rate")


class Rule(NamedTuple):
    """One line of a group: `field` in lower case, the paths it speaks of, and what it says of them."""

    field: str
    pattern: str  # empty: every path
    value: str
    line: int


class Group(NamedTuple):
    agents: tuple[str, ...]  # as written, without version
    rules: tuple[Rule, ...]


def robots_text(body: bytes, agent: str) -> str:
    """Text of a robots.txt in any encoding, with the agent's name reduced to its bare form.

    `User-agent: crossmusim/0.1` speaks to crossmusim, and `crossmusim-bot` does where no line names it exactly.
    """
    text = "\n".join(_LINE_END.split(_decoded(body)))
    agent_names = [name for _, name in _AGENT_LINE.findall(text) if is_named(name, agent)]
    exact = [name for name in agent_names if _product(name) == agent]
    ours = set(exact or agent_names)
    return _AGENT_LINE.sub(lambda line: f"{line[1]}{agent}" if line[2] in ours else line[0], text)


def is_named(name: str, agent: str) -> bool:
    """True for the agent's name in any case, with a version, a comment or an ending such as `-bot` behind it."""
    return name.strip().lower().startswith(agent)


def _product(name: str) -> str:
    return re.split(r"[/\s(*]", name.strip().lower(), maxsplit=1)[0]


def _decoded(body: bytes) -> str:
    text = body.lstrip(_MARKS)[:_MAX_BYTES].replace(b"\0", b"").decode("utf-8", "replace")
    return text if len(body) <= _MAX_BYTES else text.rpartition("\n")[0]  # half a path would be a wider rule


def read_groups(body: bytes) -> list[Group]:
    """Groups in file order. A usage rule above the first User-agent line is meant for everyone, so it is put so."""
    groups: list[tuple[list[str], list[Rule]]] = [(["*"], [])]
    naming = False
    for number, line in enumerate(_LINE_END.split(_decoded(body)), 1):
        field, colon, value = line.partition("#")[0].partition(":")
        field, value = field.strip().lower(), value.strip()
        if not colon:
            continue
        if field in _AGENT_FIELDS:
            if not naming:
                groups.append(([], []))
            groups[-1][0].append(value.partition("/")[0].strip())
            naming = True
            continue
        if field in _PATHS and value and len(groups) > 1:
            groups[-1][1].append(Rule(field, pattern_of(value), "", number))
        elif field in _USAGE and value:
            path, says = "", value
            if field == "content-usage" and value.startswith("/"):
                path, _, says = value.replace("\t", " ").partition(" ")
            groups[-1][1].append(Rule(field, pattern_of(path), says.strip(), number))
        if field in _PATHS or field in _USAGE or field in _OTHERS:
            naming = False
    return [Group(tuple(agents), tuple(rules)) for agents, rules in groups if rules]


def rules_for(groups: Iterable[Group], agent: str) -> tuple[Rule, ...]:
    """Rules of the groups naming the agent, else of groups whose name begins alike, else of `*`."""
    groups, agent = list(groups), agent.lower()
    for names_it in (
        lambda name: _product(name) == agent,
        lambda name: is_named(name, agent),
        lambda name: name == "*",
    ):
        if own_groups := [group for group in groups if any(names_it(name) for name in group.agents)]:
            return tuple(rule for group in own_groups for rule in group.rules)
    return ()


def best(rules: Sequence[Rule], path: str) -> list[Rule]:
    """The rules with the longest pattern that matches: several only where lines have patterns of one length."""
    best_rules: list[Rule] = []
    for rule in rules:
        if (not best_rules or len(rule.pattern) >= len(best_rules[0].pattern)) and matches(rule.pattern, path):
            if best_rules and len(rule.pattern) > len(best_rules[0].pattern):
                best_rules = []
            best_rules.append(rule)
    return best_rules


def matches(pattern: str, path: str) -> bool:
    """Whether the pattern matches from the path's beginning; `*` is any run of characters, a last `$` the end.

    Takes time proportional to the path for each `*`: a site cannot make it run long, as it could a regex.
    """
    is_anchored = pattern.endswith("$")
    first, *rest = (pattern[:-1] if is_anchored else pattern).split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    if not rest:
        return not is_anchored or at == len(path)
    *middle, last = rest
    for piece in middle:
        place = path.find(piece, at)
        if place < 0:
            return False
        at = place + len(piece)
    return path.endswith(last) and len(path) - len(last) >= at if is_anchored else path.find(last, at) >= 0


def path_of(url: str) -> str:
    """Path and query of a URL in the form in which patterns are compared."""
    parts = urlsplit(url)
    return pattern_of((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def pattern_of(text: str) -> str:
    """The form in which paths are compared (RFC 9309 §2.2.2): non-ASCII escaped, unreserved characters not."""
    if "%" not in text and text.isascii():
        return text
    return _ESCAPE.sub(_escape, quote(text, safe=_ASCII, errors="replace"))


def _escape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()
