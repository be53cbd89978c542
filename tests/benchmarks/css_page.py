"""The page object that does the peer's parse: the fields of `bare_scrapy`, by the same selectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parsel import Selector

from sourcing.crawling.source import Page
from sourcing.crawling.sources import SOURCES

__all__ = ["SOURCE", "CssPage"]


class CssPage(Page):
    """The fields of `bare_scrapy`, by the same selectors."""

    kind = "page"

    def documents(self) -> list[dict[str, Any]]:
        page = Selector(text=self.capture.body.decode())
        return [
            {
                "granularity": "recording",
                "title": page.css("h1::text").get(),
                "artist": page.css("h2.artist::text").get(),
                "lead": page.css('script[type="application/ld+json"]::text').get(),
                "text": " ".join(page.css("p::text").getall()),
            }
        ]


SOURCE = replace(SOURCES["schemaorg"], pages=(CssPage,), rate_per_s=100_000.0, concurrency=16)
