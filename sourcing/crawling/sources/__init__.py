"""The sources we may ask: one declaration per file, and how settings change or switch them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from sourcing.crawling.sources import musicbrainz, schemaorg, wikipedia
from sourcing.crawling.sources.base import Captured, Page, PageError, Source, TaskSpec

if TYPE_CHECKING:
    from sourcing.settings import SourceSettings

__all__ = ["SOURCES", "Captured", "Page", "PageError", "Source", "TaskSpec", "effective", "enabled"]

#: name → declaration, in the order they are asked.
SOURCES: dict[str, Source] = {
    source.name: source for source in (musicbrainz.SOURCE, wikipedia.SOURCE, schemaorg.SOURCE)
}


def effective(source: Source, settings: SourceSettings | None) -> Source:
    """The declaration with what `[sources.<name>]` overrides; a field left out keeps the declared value."""
    if settings is None:
        return source
    overrides = {
        "base_url": settings.base_url.rstrip("/") if settings.base_url else None,
        "rate_per_s": settings.rate_per_s,
        "concurrency": settings.concurrency,
        "daily_cap": settings.daily_cap,
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    return replace(source, **given)  # type: ignore[arg-type]


def enabled(source: Source, settings: SourceSettings | None) -> bool:
    """Whether the source may be asked: A unless switched off, B once its key is set, C only when switched on."""
    wish = settings.enabled if settings else None
    if wish is False:
        return False
    if source.key_env and not os.environ.get(source.key_env):
        return False
    return wish is True or source.ship_class in ("A", "B")
