"""A crawl in this process, as its tests call it: what is asked and at what pace by names of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sourcing.crawling.source import Source
from sourcing.crawling.spider.run import CrawlRequest, CrawlResult, Pace
from sourcing.crawling.spider.run import run_crawl as run
from sourcing.settings import Settings
from sourcing.store import Workspace

_OF_PACE = {field.name for field in fields(Pace)}
_OF_REQUEST = {field.name for field in fields(CrawlRequest)}


def run_crawl(
    workspace: Workspace,
    settings: Settings,
    sources: Mapping[str, Source],
    catalogue: Path | None = None,
    **options: Any,
) -> CrawlResult:
    pace = {name: options.pop(name) for name in _OF_PACE & options.keys()}
    request = {name: options.pop(name) for name in _OF_REQUEST & options.keys()}
    return run(workspace, settings, sources, CrawlRequest(catalogue, **request), pace=Pace(**pace), **options)
