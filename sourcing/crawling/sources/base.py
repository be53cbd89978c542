"""What a source is: its terms, how to ask it about a track, and the page object that reads its answers.

One file per source, all of one shape: a `SOURCE` declaration, a function from a track to `TaskSpec`s, and one
`Page` subclass per kind of response. Page objects are pure: one captured response in, documents and further
tasks out, no network and no clock, so that a replay from WARC gives the same rows as the crawl did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar

__all__ = ["Captured", "Page", "PageError", "Source", "TaskSpec"]


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
class Captured:
    """One response as it lies in the WARC files, with what the crawl knew when it asked."""

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

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


class PageError(ValueError):
    """A response its page object cannot read; `reason` is short and countable, the message says what was found."""

    def __init__(self, reason: str, finding: str) -> None:
        self.reason, self.finding = reason, finding
        super().__init__(f"{reason}: {finding}")


class Page:
    """Reads one captured response. Raise PageError where the response as a whole cannot be read."""

    kind: ClassVar[str]

    def __init__(self, captured: Captured, source: Source, base_url: str) -> None:
        self.captured, self.source, self.base_url = captured, source, base_url
        self.refused: list[PageError] = []  # parts that could not be read, beside others that could

    def documents(self) -> list[dict[str, Any]]:
        """Columns of `Document` this page states; `extract` fills in ids, dates, licences, consent and nulls.

        Two keys are no columns: `record_id`, what names the record at its source (the URL when left out), and
        `licences`, a mapping like the declaration's, for licences the page itself states.
        """
        return []

    def follow(self) -> Iterable[TaskSpec]:
        """Further tasks this page leads to."""
        return ()


@dataclass(frozen=True)
class Source:
    """A source's declaration: who it is, how hard it may be asked, and the licence of every field."""

    name: str
    title: str
    ship_class: str  # A on by default · B needs a key · C needs an acknowledgement
    base_url: str  # scheme and host; `[sources.<name>] base_url` replaces it
    rate_per_s: float
    licences: Mapping[str, str]  # Document column → SPDX id or 'unknown'; "*" is the rest
    attribution: str  # template over the document's columns, e.g. "{title}, {permalink}"
    terms_url: str
    terms_reviewed: date
    tasks: Callable[[Mapping[str, Any], str], Iterable[TaskSpec]]  # (track row, base_url) → seeds
    pages: tuple[type[Page], ...]
    concurrency: int = 1
    daily_cap: int | None = None
    key_env: str | None = None  # environment variable that holds its key
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Page that lets programs use these endpoints whatever robots.txt tells page crawlers (Wikipedia's disallows
    #: /w/, where its API lives): Disallow is then noted, not obeyed; Crawl-delay and a 5xx robots.txt still are.
    api_terms: str | None = None

    def page_for(self, kind: str) -> type[Page]:
        for page in self.pages:
            if page.kind == kind:
                return page
        raise PageError("kind_unknown", f"{self.name} has no page object for {kind!r}")
