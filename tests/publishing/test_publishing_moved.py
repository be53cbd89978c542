"""A page that moves and then says no is named among the withdrawals of the next version, by the address it had."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from crawl_runs import run_crawl
from crawls import SITE_FILES, song
from loopback import Asked, Loopback, Reply
from publishing_rows import description, document, frames, track

from sourcing.crawling.sources import SOURCES, TaskSpec
from sourcing.publishing.publish import PublishResult, WorkspaceTables, publish
from sourcing.settings import CrawlSettings, PublishSettings, Settings
from sourcing.store import Document, Workspace

FAST = replace(SOURCES["schemaorg"], rate_per_s=10_000.0)
LICENCE, WORDS, TEXT = "CC-BY-SA-4.0", "the lantern hums", "A song: the lantern hums."
NOAI = {"X-Robots-Tag": "noai"}


class Moving:
    """A site whose pages are moved by its owner: path → answer, and a song on every other path."""

    def __init__(self) -> None:
        self.pages: dict[str, Reply] = {}

    def __call__(self, asked: Asked) -> Reply:
        return song(asked) if asked.path in SITE_FILES else self.pages.get(asked.path, song(asked))


def to(path: str, **headers: str) -> Reply:
    return Reply("", 301, {"Location": path, **headers})


def crawl(workspace: Workspace, server: Loopback) -> None:
    settings = Settings(crawl=CrawlSettings(contact="me@example.org", allow_private_hosts=True))
    urls = [TaskSpec("schemaorg", f"{server.url}/{page}", "page") for page in "ab"]
    run_crawl(workspace, settings, {"schemaorg": FAST}, None, urls=urls, backoff_s=0.01, again_after_s=0.0)


def publish_crawled(root: Path, workspace: Workspace, now: datetime) -> PublishResult:
    """A version of what the crawl holds, with a description that draws on each document."""
    crawled = workspace.read(Document)
    rows = [
        description(row["doc_id"], "a", WORDS, origin="scraped", doc_ids=[row["doc_id"]], licences=[LICENCE])
        for row in crawled.to_dicts()
    ]
    documents = [document(row["doc_id"], TEXT, url=row["url"]) for row in crawled.to_dicts()]
    tables = frames([track("a")], documents, [*rows, description("own", "a", text="fiddle")])
    tables["rejected_rows"] = workspace.read_rejected()
    return publish(WorkspaceTables(**tables), "mine", root=root, settings=PublishSettings(), now=now)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"/a": to("/new"), "/new": Reply("<p>", headers=NOAI)}),
        ({}, {"/a": to("/new", **NOAI)}),
        ({"/a": to("/mid")}, {"/a": to("/new"), "/new": Reply("<p>", headers=NOAI)}),
        ({"/a": to("/mid")}, {"/a": to("/mid"), "/mid": Reply("", 410)}),
        ({"/a": to("/mid")}, {"/a": Reply("", 403, NOAI)}),
    ],
)
def test_a_page_that_moved_and_says_no_is_named_by_the_address_it_was_published_with(
    tmp_path: Path, before: dict[str, Reply], after: dict[str, Reply]
) -> None:
    site, workspace, now = Moving(), Workspace(tmp_path / "w"), datetime.now(UTC)
    with Loopback(site) as server:
        site.pages = before
        crawl(workspace, server)
        first = publish_crawled(tmp_path / "versions", workspace, now)
        urls = {url.removeprefix(server.url) for url in first.version.scan("documents").collect()["url"]}
        assert urls == {"/mid" if before else "/a", "/b"}
        site.pages = after
        crawl(workspace, server)
        second = publish_crawled(tmp_path / "versions", workspace, now)
    changes = json.loads((second.version.path / "CHANGES.json").read_text(encoding="utf-8"))
    assert [each["url"].removeprefix(server.url) for each in changes["withdrawn"]] == list(urls - {"/b"})
    assert changes["withdrawn"][0]["finding"]
    assert changes["rows"]["documents"] == {"added": 0, "removed": 1, "kept": 1}
