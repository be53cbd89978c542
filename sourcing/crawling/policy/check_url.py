"""Check one URL outside a crawl: every consent signal of its site and page, the decision and what made it.

Asks as a crawl would: robots.txt first, then, where that lets us, the site's well-known files and the page; every
redirect is looked at before it is followed, and the site it leads to is asked for its own signals.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from sourcing.crawling.policy.consent import decide, granted_by, markup_of, read_signals
from sourcing.crawling.policy.politeness import PRODUCT, RobotsVerdict, read_robots, user_agent
from sourcing.crawling.policy.probe_client import HOPS, ProbeAnswer, Prober, origin_of, refusal_of
from sourcing.crawling.policy.robots_rules import best, path_of, read_groups, rules_for
from sourcing.crawling.policy.signals import SignalFinding
from sourcing.crawling.policy.site_signals import WELL_KNOWN, NotKnown, SiteSignals, file_of, read_site_signals
from sourcing.crawling.redaction import strip_secrets
from sourcing.crawling.source import Capture, Source
from sourcing.crawling.sources.schemaorg import PAGE_KIND, PAGE_SOURCE
from sourcing.settings import CrawlSettings

__all__ = ["REQUESTS", "Signal", "UrlCheck", "check_url"]

REQUESTS = 2 + len(WELL_KNOWN)  # asked of a site that lets us and does not redirect

_FIELDS = ("title", "artist", "album", "tags", "lead", "text", "*")  # Document columns with a licence; "*": the facts
#: Signals in the order they are told, and what is said where there is none.
_ABSENT = {
    "robots.txt Content-Usage": "no rule for this page",
    "robots.txt Content-Signal": "no rule for this page",
    "robots.txt named agents": "no AI crawler is blocked from this page by name",
    "tdmrep.json": "nothing about this page",
    "ai.txt": "nothing about this page",
    "x-robots-tag": "header not sent",
    "tdm-reservation": "header not sent",
    "content-usage": "header not sent",
}
_FILES = {"tdmrep.json": WELL_KNOWN[0], "ai.txt": WELL_KNOWN[1]}


@dataclass(frozen=True)
class Signal:
    """One line of the answer; `says` is no, set aside, nothing against it, or not asked."""

    signal: str
    found: str
    says: str = "nothing against it"


@dataclass(frozen=True)
class UrlCheck:
    """`decision` is allow or deny; `why` is the deciding signal, `grant` the licence that set others aside."""

    url: str
    source: str
    decision: str
    why: str
    status: int | None = None
    crawl_delay_s: float = 0.0
    grant: str | None = None
    licences: Mapping[str, str] = field(default_factory=dict)
    signals: tuple[Signal, ...] = ()
    evidence: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "signals": [asdict(each) for each in self.signals], "evidence": list(self.evidence)}


def check_url(
    url: str,
    sources: Mapping[str, Source],
    crawl: CrawlSettings,
    *,
    wait: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda asked: None,
) -> UrlCheck:
    """Decision on `url`, or on the page that the redirects of `url` lead to; UpstreamError when a host is silent.

    `wait` is called with seconds between two requests to one host, `tell` with each URL when it was asked.
    """
    agent = user_agent(crawl)
    if refusal := refusal_of(url, crawl):
        return UrlCheck(strip_secrets(url), PAGE_SOURCE, "deny", refusal)
    name = source_of(url, sources)
    with httpx.Client(headers={"User-Agent": agent}, timeout=crawl.timeout_s) as client:
        asker = Prober(client, crawl, wait, tell)
        for _ in range(HOPS + 1):
            checked, onward = _check_page(asker, url, sources)
            if onward is None:
                return checked
            if refusal := refusal_of(onward, crawl):
                why = f"redirect to {strip_secrets(onward)}: {refusal}"
                return UrlCheck(strip_secrets(url), name, "deny", why, checked.status, checked.crawl_delay_s)
            url = onward
    return UrlCheck(strip_secrets(url), name, "deny", "too_many_redirects", checked.status)


def source_of(url: str, sources: Mapping[str, Source]) -> str:
    """Source with the base URL of the page; any other page is read as a schema.org page."""
    netloc = urlsplit(url).netloc.lower()
    for name, source in sources.items():
        if source.ship_class != "import" and source.owns(netloc):  # data sets lie on hosts of others
            return name
    return PAGE_SOURCE


def _check_page(asker: Prober, url: str, sources: Mapping[str, Source]) -> tuple[UrlCheck, str | None]:
    """Check of exactly this URL, and the target when the URL redirects."""
    name = source_of(url, sources)
    source = sources.get(name)
    asker.interval_s = 1 / source.rate_per_s if source else 1.0
    grant = granted_by(source, url) if source else None
    origin = origin_of(url)
    answer = asker.follow(f"{origin}/robots.txt")
    robots = read_robots(404 if answer.refusal else answer.status, answer.body, time.time())
    robots_body = answer.body if robots.rules is not None else None
    asker.interval_s = max(asker.interval_s, robots.delay_s)
    line, rule = robots.evidence(url), _robots_signal(robots, robots_body, url)

    def told(decision: str, why: str, signals: list[Signal], **more: Any) -> UrlCheck:
        delay = f"{robots.delay_s:g} s between requests" if robots.delay_s else "none asked for"
        return UrlCheck(
            url=strip_secrets(url),
            source=name,
            decision=decision,
            why=why,
            crawl_delay_s=robots.delay_s,
            grant=grant,
            signals=(rule, Signal("crawl-delay", delay), *signals),
            **more,
        )

    if not robots.allowed(url):
        terms = source.api_terms if source and source.owns(urlsplit(url).netloc) else None
        if robots.unavailable or not terms:
            site = read_site_signals(robots_body, None, None)
            signals = _signals(site.findings(url), grant, None)
            return told("deny", line, signals, evidence=(line,)), None
        line += f", set aside by {terms}"
        rule = Signal(rule.signal, f"{rule.found}; set aside by {terms}", "set aside")
    site, absent = _read_site(asker, origin, robots, robots_body)
    answer = asker.get(url)
    if answer.onward:
        return told("deny", "redirect", [], status=answer.status), answer.onward
    html = markup_of(answer.headers.get("content-type", ""), answer.body)
    verdict = decide(answer.headers, html, line, site=site, url=url, grant=grant)
    findings = read_signals(answer.headers, html, site=site, url=url)
    silent = "no signal says no" if not verdict.set_aside else f"every no is set aside by {grant}"
    checked = told(
        verdict.decision,
        verdict.denied_by or (silent if answer.status < 400 else f"{silent}; HTTP {answer.status}"),
        _signals(findings, grant, absent),
        status=answer.status,
        licences=_licences(source, url, answer) if source else {},
        evidence=verdict.evidence,
    )
    return checked, None


def _robots_signal(robots: RobotsVerdict, body: bytes | None, url: str) -> Signal:
    """Verdict of robots.txt on the URL, with the deciding line."""
    says, word = ("nothing against it", "allow") if robots.allowed(url) else ("no", "disallow")
    if body is None:
        return Signal("robots.txt", robots.evidence(url).removeprefix("robots.txt").lstrip(": "), says)
    rules = [rule for rule in rules_for(read_groups(body), PRODUCT) if rule.field in ("allow", "disallow")]
    telling = next((rule for rule in best(rules, path_of(url)) if rule.field == word), None)
    if telling is None:
        return Signal("robots.txt", f"{word}ed: no rule for this page", says)
    return Signal("robots.txt", f"{word}ed by line {telling.line}, {word.capitalize()}: {telling.pattern}", says)


def _signals(findings: list[SignalFinding], grant: str | None, absent: Mapping[str, Signal] | None) -> list[Signal]:
    """One line per possible signal, silent ones included.

    `absent` holds what to tell of files that are not there; None where nothing but robots.txt was asked for.
    """
    signals = []
    for name, silence in _ABSENT.items():
        here = [_signal(each, grant) for each in findings if each.signal == name]
        if not here and absent is None and not name.startswith("robots.txt"):
            here = [Signal(name, "robots.txt says no already", "not asked")]
        signals += here or [(absent or {}).get(name, Signal(name, silence))]
    others = [_signal(each, grant) for each in findings if each.signal not in _ABSENT]
    if absent is not None and not any(each.signal.startswith("meta ") for each in others):
        others.append(Signal("meta", "none of robots, tdm-reservation, content-usage"))
    elif absent is None:
        others.append(Signal("meta", "robots.txt says no already", "not asked"))
    return signals + others


def _signal(finding: SignalFinding, grant: str | None) -> Signal:
    if not finding.denies:
        return Signal(finding.signal, finding.value)
    return Signal(finding.signal, finding.value, "set aside" if grant else "no")


def _read_site(
    asker: Prober, origin: str, robots: RobotsVerdict, robots_body: bytes | None
) -> tuple[SiteSignals, dict[str, Signal]]:
    """Signals of the site's files, and a line for every missing file."""
    bodies: dict[str, bytes | NotKnown | None] = {}
    absent = {}
    for name, path in _FILES.items():
        bodies[name] = None
        if not robots.allowed(origin + path):
            absent[name] = Signal(name, f"robots.txt disallows {path}", "not asked")
            continue
        answer = asker.follow(origin + path)
        if answer.refusal:
            absent[name] = Signal(name, answer.refusal, "not asked")
        elif (file := file_of(answer.status, answer.body)) is not None:
            bodies[name] = file
        else:
            absent[name] = Signal(name, f"none (HTTP {answer.status})")
    return read_site_signals(robots_body, bodies["tdmrep.json"], bodies["ai.txt"]), absent


def _licences(source: Source, url: str, answer: ProbeAnswer) -> dict[str, str]:
    """Licence of each field a document of this page would carry: what the page states goes before what is declared."""
    statements: Mapping[str, str] = {}
    if source.name == PAGE_SOURCE and 200 <= answer.status < 300:
        page = Capture(
            source=source.name,
            kind=PAGE_KIND,
            task_key="",
            url=url,
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            retrieved_at=datetime.now(UTC),
        )
        try:
            rows = source.page_for(PAGE_KIND)(page, source).documents()
        except Exception:  # a page that is no recording, or broken: it states nothing, and the check goes on
            rows = []
        statements = next((row["licences"] for row in rows if row.get("licences")), {})
    return {each: source.licence_for(each, statements) for each in _FIELDS}
