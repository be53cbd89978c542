"""The crawl benchmark's own side: ledger, WARC and documents, with the page object that does the peer's parse."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from parsel import Selector

from sourcing.crawling.run import run_crawl
from sourcing.crawling.sources import SOURCES
from sourcing.crawling.sources.base import Page
from sourcing.settings import CrawlSettings, Settings
from sourcing.store import Workspace


class CssPage(Page):
    """The fields of `bare_scrapy`, by the same selectors."""

    kind = "page"

    def documents(self) -> list[dict[str, Any]]:
        page = Selector(text=self.captured.body.decode())
        return [
            {
                "granularity": "recording",
                "title": page.css("h1::text").get(),
                "artist": page.css("h2.artist::text").get(),
                "lead": page.css('script[type="application/ld+json"]::text').get(),
                "text": " ".join(page.css("p::text").getall()),
            }
        ]


if __name__ == "__main__":
    urls, folder = Path(sys.argv[1]), Path(sys.argv[2])
    settings = Settings(crawl=CrawlSettings(contact="bench@example.org", allow_private_hosts=True))
    source = replace(SOURCES["schemaorg"], pages=(CssPage,), rate_per_s=100_000.0, concurrency=16)
    started = time.perf_counter()
    result = run_crawl(Workspace(folder), settings, {"schemaorg": source}, lists=[urls])
    print(json.dumps({**result.as_dict(), "wall_s": time.perf_counter() - started}))
