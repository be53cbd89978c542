"""The peer of the crawl benchmark: a plain Scrapy spider, CSS fields into a JSONL feed, no delay, no robots."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import scrapy
from scrapy.crawler import AsyncCrawlerProcess


class SongSpider(scrapy.Spider):
    name = "bare"

    def __init__(self, base: str, pages: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.base, self.pages = base, pages

    async def start(self) -> AsyncIterator[scrapy.Request]:
        for number in range(self.pages):
            yield scrapy.Request(f"{self.base}/song/{number}", callback=self.parse)

    def parse(self, response: scrapy.http.Response) -> Any:
        paragraphs = response.css("p::text").getall()
        yield {
            "title": response.css("h1::text").get(),
            "artist": response.css("h2.artist::text").get(),
            "json_ld": response.css('script[type="application/ld+json"]::text').get(),
            "text": " ".join(paragraphs),
        }


if __name__ == "__main__":
    base, pages, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    settings = {
        "FEEDS": {out: {"format": "jsonlines"}},
        "LOG_LEVEL": "WARNING",
        "TELNETCONSOLE_ENABLED": False,
        "CONCURRENT_REQUESTS": 16,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 16,
    }
    process = AsyncCrawlerProcess(settings)
    process.crawl(SongSpider, base=base, pages=pages)
    process.start()
