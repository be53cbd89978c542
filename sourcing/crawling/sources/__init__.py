"""Registry of sources: one declaration per file, and how settings change or switch them."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sourcing.crawling.source import (
    Capture,
    DumpRecord,
    ErrorRules,
    Key,
    Lead,
    Page,
    PageError,
    Source,
    TaskSpec,
)
from sourcing.redactor import key_fault

if TYPE_CHECKING:
    from sourcing.settings import SourceSettings

__all__ = [
    "SOURCES",
    "Capture",
    "DumpRecord",
    "ErrorRules",
    "Key",
    "Lead",
    "Page",
    "PageError",
    "Source",
    "TaskSpec",
    "all_effective",
    "effective",
    "enabled",
    "resolved",
    "why_off",
]


def _declared() -> dict[str, Source]:
    """The `SOURCE` of every module in this folder that has one: adding a source is adding its file."""
    modules = (
        importlib.import_module(f"{__name__}.{module_info.name}") for module_info in pkgutil.iter_modules(__path__)
    )
    sources = (module.SOURCE for module in modules if hasattr(module, "SOURCE"))
    return {source.name: source for source in sorted(sources, key=lambda source: str(source.name))}


#: name → declaration, sorted by name.
SOURCES: dict[str, Source] = _declared()


def effective(source: Source, settings: SourceSettings | None) -> Source:
    """The declaration with what `[sources.<name>]` overrides; a field left out keeps the declared value."""
    if settings is None:
        return source
    overrides = {
        "base_url": settings.base_url.rstrip("/") if settings.base_url else None,
        "rate_per_s": settings.rate_per_s,
        "concurrency": settings.concurrency,
        "burst": settings.burst,
        "daily_cap": settings.daily_cap,
        "storage_cap_mb": settings.storage_cap_mb,
        "languages": None if settings.languages is None else tuple(settings.languages),
    }
    values = {name: value for name, value in overrides.items() if value is not None}
    return replace(source, **values)  # type: ignore[arg-type]


def all_effective(overrides: Mapping[str, SourceSettings]) -> dict[str, Source]:
    """Every declaration with its settings applied, enabled or not: what was captured once can always be read."""
    return {name: effective(source, overrides.get(name)) for name, source in SOURCES.items()}


def enabled(source: Source, settings: SourceSettings | None) -> bool:
    """Whether the source may be asked; `why_off` says what is missing."""
    return not why_off(source, settings)


def why_off(source: Source, settings: SourceSettings | None) -> str:
    """Reason why a source is off, with the cure; empty when nothing does."""
    section = f"[sources.{source.name}]"
    wish = settings.enabled if settings else None
    if source.ship_class == "import":
        return f"it reads published data: `crossmusim crawl import {source.name} FILE`"
    if wish is False:
        return f"switched off by {section} enabled = false"
    missing = []
    if source.key and (key := os.environ.get(source.key.env, "")) and (fault := key_fault(key)):
        missing.append(f"set {source.key.env} again, {fault}")
    elif source.key and not key:
        missing.append(f"set {source.key.env}")
    if source.ship_class == "C" and not (wish and settings and settings.acknowledged):
        missing.append(f'set {section} enabled = true and acknowledged = "who, when": {source.acknowledgement}')
    return "; ".join(missing)


def resolved(
    leads: Iterable[TaskSpec | Lead],
    sources: Mapping[str, Source],
    on_refused: Callable[[Lead, PageError], None] = lambda _lead, _why: None,
) -> Iterator[TaskSpec]:
    """Tasks, and leads resolved into tasks; a lead to a source that is not there leads nowhere.

    A reference its source cannot make an address of goes to `on_refused`, and costs the others nothing.
    """
    for lead in leads:
        if isinstance(lead, TaskSpec):
            yield lead
        elif lead.source in sources:
            try:
                yield sources[lead.source].ask(lead.kind, lead.ref, priority=lead.priority)
            except PageError as why:
                on_refused(lead, why)
            except UnicodeEncodeError:  # half a surrogate pair in a title
                on_refused(lead, PageError("reference_unusable", f"a reference that no address can hold: {lead.ref!a}"))
