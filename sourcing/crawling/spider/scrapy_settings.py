"""Options of a run, and all Scrapy settings derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scrapy.settings import default_settings

from sourcing.crawling.source import Source

__all__ = ["MAX_OUT", "Options", "scrapy_settings"]

MAX_OUT = 1000  # tasks under way in one process; most of them wait for the turn of their host


@dataclass(frozen=True)
class Options:
    """Options of a run; times in seconds."""

    user_agent: str
    allow_private_hosts: bool = False
    max_body_bytes: int = 10_000_000
    timeout_s: float = 30.0
    max_attempts: int = 3
    lease_s: float = 300.0
    backoff_s: float = 1.0  # before the second try; doubles with each
    patience_s: float = 120.0  # a run waits this long for a host's turn or pause, else it is left to the next
    limit: int | None = None  # requests of this run, at most


def scrapy_settings(options: Options, sources: Mapping[str, Source]) -> dict[str, Any]:
    """All Scrapy settings we rely on: Scrapy's library defaults are neither polite nor private."""
    kept_names = ("DownloadTimeout", "DefaultHeaders", "UserAgent", "HttpProxy")
    middlewares: dict[str, int | None] = dict.fromkeys(default_settings.DOWNLOADER_MIDDLEWARES_BASE)
    for path, order in default_settings.DOWNLOADER_MIDDLEWARES_BASE.items():
        if path.rpartition(".")[2].removesuffix("Middleware") in kept_names:
            middlewares[path] = order
    middlewares["sourcing.crawling.spider.middleware.Redirects"] = 600
    middlewares["sourcing.crawling.spider.middleware.WholeBodies"] = 590
    middlewares["sourcing.crawling.spider.middleware.Politeness"] = 100
    handler = "sourcing.crawling.spider.middleware.GuardedHandler"
    return {
        # A loop of its own instead of the process-wide reactor, so that a process can crawl more than once.
        "TWISTED_REACTOR_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "EXTENSIONS": dict.fromkeys(default_settings.EXTENSIONS_BASE),
        "SPIDER_MIDDLEWARES": dict.fromkeys(default_settings.SPIDER_MIDDLEWARES_BASE),
        "DOWNLOADER_MIDDLEWARES": middlewares,
        "DOWNLOAD_HANDLERS": {
            **dict.fromkeys(default_settings.DOWNLOAD_HANDLERS_BASE),
            "http": handler,
            "https": handler,
        },
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "USER_AGENT": options.user_agent,
        "DEFAULT_REQUEST_HEADERS": {"Accept": "*/*", "Accept-Language": "*", "Accept-Encoding": "gzip, deflate"},
        "ROBOTSTXT_OBEY": False,  # ours is Politeness
        "RETRY_ENABLED": False,  # retries are the ledger's
        "COOKIES_ENABLED": False,
        "METAREFRESH_ENABLED": False,
        "REFERER_ENABLED": False,
        "REDIRECT_MAX_TIMES": 5,
        "DOWNLOAD_TIMEOUT": options.timeout_s,
        "DOWNLOAD_MAXSIZE": options.max_body_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "CONCURRENT_REQUESTS": MAX_OUT,  # the ledger's windows decide, per host
        "CONCURRENT_REQUESTS_PER_DOMAIN": max([1, *(source.concurrency for source in sources.values())]),
        "CONCURRENT_ITEMS": 1,  # there are none; Scrapy 2.19 starts so many tasks for every response
        "DOWNLOAD_DELAY_JITTER": 0.0,
        "SCRAPER_SLOT_MAX_ACTIVE_SIZE": max(5_000_000, 2 * options.max_body_bytes),
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",  # the ledger knows what was asked
        "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",
        "LOG_INSTALL_ROOT_HANDLER": False,
    }
