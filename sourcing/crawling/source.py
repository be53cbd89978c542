"""Declaration of a source: its terms, how to ask it about a track, and the page objects that read its answers.

One file per source, all of one shape: a `SOURCE` declaration, a function from a track to `TaskSpec`s, and one
`Page` subclass per kind of response. Page objects are pure: one captured response in, documents and further
tasks out, no network and no clock, so that a replay from WARC gives the same rows as the crawl did.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote, urlsplit

from sourcing.redactor import know
from sourcing.store.licences import UNKNOWN, spdx_of

__all__ = [
    "SHIP_CLASSES",
    "Capture",
    "DumpRecord",
    "ErrorRules",
    "Key",
    "Lead",
    "Page",
    "PageError",
    "Source",
    "Standing",
    "TaskSpec",
    "nothing_to_ask",
]

T = TypeVar("T")
SHIP_CLASSES = ("A", "B", "C", "import")


@dataclass(frozen=True)
class TaskSpec:
    """One request to make: the ledger keys it by source and URL, so asking twice is one task."""

    source: str
    url: str
    kind: str  # which page object of the source reads the answer
    track_id: str | None = None  # the track that led here
    parent_key: str | None = None  # the task whose answer led here; None for a seed
    priority: int = 0  # higher goes first


@dataclass(frozen=True)
class Lead:
    """A reference to a record of any source, e.g. ("discogs", "master", "4242"): becomes a task by `Source.ask`."""

    source: str
    kind: str
    ref: str
    priority: int = 1


@dataclass(frozen=True)
class Capture:
    """One answer from the WARC files, with the crawl's facts about its request.

    `form` says what kind: a "response"; a "revisit", which found the page as it was (304, or the same body again)
    and holds no body, only the digest of the one stored earlier; a "resource", a record of a published dump; a
    "denial", no answer at all but a no, by robots.txt or a later opt-out, that was met before asking (status 0).
    """

    source: str
    kind: str
    task_key: str
    url: str
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes  # decoded from any transfer and content encoding
    retrieved_at: datetime
    track_id: str | None = None
    consent: str = "allow"
    consent_evidence: tuple[str, ...] = ()
    form: str = "response"
    body_sha256: str | None = None  # of a revisit: hex digest of the body stored earlier at this address

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


class Standing(IntEnum):
    """Rank of the statement of facts in a record; of one thing the higher goes before the lower."""

    PROSE = 0  # in sentences
    INFOBOX = 1
    ITEM_OF_UNKNOWN_KIND = 2  # states performer and date, but not what it is
    ITEM = 3


@dataclass(frozen=True)
class DumpRecord:
    """One record of a published dump or data set, in the shape the page object of `kind` reads."""

    kind: str
    url: str  # lasting address of the record; names it in the WARC files
    body: bytes
    content_type: str = "application/json"


class PageError(ValueError):
    """A response its page object cannot read; `reason` is short and countable, the message says what was found."""

    def __init__(self, reason: str, finding: str) -> None:
        self.reason, self.finding = reason, finding
        super().__init__(f"{reason}: {finding}")


class Page:
    """Reads one captured response. Raise PageError where the response as a whole cannot be read."""

    kind: ClassVar[str]

    def __init__(self, capture: Capture, source: Source) -> None:
        self.capture, self.source = capture, source
        self.refused: list[PageError] = []  # parts that could not be read, beside others that could

    def documents(self) -> list[dict[str, Any]]:
        """Columns of `Document` this page states; `extract` fills in ids, dates, licences, consent and nulls.

        Some keys are no columns: `record_id`, what names the record at its source (the URL when left out),
        `licences`, column → what the page itself states as its licence, by id, address or words, `tracks`, the
        tracklist of a release, by which an import sees whether it is about the catalogue, and `subjects` with
        `standing`, names that other records of the same thing have too, and how well this one states its facts.
        """
        return []

    def read_each(self, records: Iterable[T], read_one: Callable[[T], dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of all readable records; what is wrong with the others is `refused`, or raised if all."""
        rows = []
        for record in records:
            try:
                rows.append(read_one(record))
            except PageError as error:
                self.refused.append(error)
        if self.refused and not rows:
            raise self.refused.pop(0)
        return rows

    def follow(self) -> Iterable[TaskSpec | Lead]:
        """Further tasks from the page; track and parent are filled in by whoever asks."""
        return ()


def nothing_to_ask(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """No seeds: what the source has is reached by links, by a user's list, or from a file."""
    return ()


@dataclass(frozen=True)
class Key:
    """A secret from the environment, added when a request is sent and never written down."""

    env: str  # name of the environment variable
    parameter: str = ""  # query parameter that carries it, or
    header: str = ""  # header that carries it
    template: str = "{key}"  # the value, e.g. "Discogs token={key}"


@dataclass(frozen=True)
class ErrorRules:
    """How an API's answers say "later", "no" or "gone": see `error_answers`, which reads them.

    `codes` and `message` are paths into the JSON object ("error.code"). Of `rules`, (pattern, meaning, reason), the
    first counts whose pattern is found in a code; an error that none of them knows is gone, an `api_error`.
    """

    codes: tuple[str, ...]
    rules: tuple[tuple[str, str, str], ...]
    message: str = ""
    hint: bytes = rb'"error"'  # bodies without this pattern are no errors, and are not parsed

    def meaning_of(self, codes: Iterable[str]) -> tuple[str, str]:
        """Meaning and reason of these codes."""
        for pattern, meaning, reason in self.rules:
            if any(re.search(pattern, code, re.IGNORECASE) for code in codes):
                return meaning, reason
        return "gone", "api_error"


@dataclass(frozen=True)
class Source:
    """A source's declaration: who it is, how hard it may be asked, and the licence of every field."""

    name: str
    title: str
    ship_class: str  # A on by default · B needs a key · C needs an acknowledgement · import reads published data
    base_url: str  # scheme and host, with {language} where each language has its own; settings may replace it
    rate_per_s: float
    licences: Mapping[str, str]  # Document column → SPDX id or 'unknown'; "*" is the rest
    attribution: str  # template over the document's columns, e.g. "{title}, {permalink}"
    terms_url: str
    terms_reviewed: date
    tasks: Callable[[Mapping[str, Any], Source], Iterable[TaskSpec]]  # a track's row → seeds
    pages: tuple[type[Page], ...]
    #: page kind → address of the record a reference names; what `Lead`s of other sources are resolved by
    asks: Mapping[str, Callable[[str, Source], str]] = field(default_factory=dict)
    concurrency: int = 1
    burst: int = 1  # requests that may go out at once after a rest
    daily_cap: int | None = None  # requests per UTC day
    storage_cap_mb: float | None = None  # of response bodies kept, in all
    languages: tuple[str, ...] = ()  # editions to ask, for a source that has several
    key: Key | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    acknowledgement: str | None = None  # class C: what the user takes upon themselves by `acknowledged = "who, when"`
    #: Page that lets programs use these endpoints whatever robots.txt tells page crawlers (Wikipedia's disallows
    #: /w/, where its API lives): Disallow is then noted, not obeyed; Crawl-delay and a 5xx robots.txt still are.
    api_terms: str | None = None
    #: How the API says in a body that an answer is none, also with status 200.
    errors: ErrorRules | None = None
    #: Records of a dump or data set on disk, streamed; the same page objects read them.
    read_dump: Callable[[Path], Iterator[DumpRecord]] | None = None

    def page_for(self, kind: str) -> type[Page]:
        for page in self.pages:
            if page.kind == kind:
                return page
        raise PageError("kind_unknown", f"{self.name} has no page object for {kind!r}")

    def licence_for(self, column: str, stated_licences: Mapping[str, str]) -> str:
        """Licence of a column of `Document`, or of its facts ("*"): what a page states goes before what is declared.

        A statement that is no licence with an SPDX id is 'unknown', whatever is declared.
        """
        if statement := stated_licences.get(column) or stated_licences.get("*"):
            return spdx_of(statement)
        return self.licences.get(column) or self.licences.get("*") or UNKNOWN

    def url_of(self, language: str = "") -> str:
        """Scheme and host to ask, in one language's edition."""
        return self.base_url.replace("{language}", language)

    def ask(self, kind: str, ref: str, *, track_id: str | None = None, priority: int = 0) -> TaskSpec:
        """The task for the record that `ref` names; KeyError for a kind that cannot be asked by reference."""
        return TaskSpec(self.name, self.asks[kind](ref, self), kind, track_id, priority=priority)

    def owns(self, netloc: str) -> bool:
        """True for a host of the source, in any language."""
        own = re.escape(urlsplit(self.base_url.replace("{language}", "LANGUAGE")).netloc.lower())
        return bool(own) and re.fullmatch(own.replace("language", "[a-z-]+"), netloc.lower()) is not None

    def signed(self, url: str, environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """The URL and headers to send: with the key where one is set and the host is the source's own."""
        headers = dict(self.headers)
        secret = environment.get(self.key.env) if self.key else None
        know(secret)
        if self.key and secret and self.owns(urlsplit(url).netloc):
            value = self.key.template.format(key=secret)
            if self.key.header:
                headers[self.key.header] = value
            else:
                url += f"{'&' if '?' in url else '?'}{self.key.parameter}={quote(value, safe='')}"
        return url, headers
