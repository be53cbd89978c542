"""`crawl run | replay`: fetch pages about the tracks, politely, and read them into documents."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.crawl.errors import end_on_page_errors
from sourcing.commands.crawl.progress import crawl_progress, replay_progress
from sourcing.errors import InputError, UsageError
from sourcing.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sourcing.commands.invocation import Invocation
    from sourcing.crawling.sources import Source
    from sourcing.settings import Settings

__all__ = ["replay", "run"]


@click.command
@click.option(
    "--urls",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of schema.org pages to fetch as well: one URL a line, optionally a tab and a track_id.",
)
@click.option(
    "--sitemap", "sitemaps", multiple=True, metavar="URL", help="Fetch the pages a sitemap lists; repeatable."
)
@click.option("--source", "names", multiple=True, metavar="NAME", help="Ask this source only; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many requests (exit 5 if work is left).")
@click.option(
    "--shard", metavar="I/N", help="Take the I-th of N parts of the seeds: one part per machine, each its workspace."
)
@click.option(
    "--again-after",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Ask pages fetched longer ago again: only changes are stored, and a site's new no is heard.",
)
@click.option(
    "--retry",
    multiple=True,
    metavar="REASON",
    help="Ask anew for what was lost for REASON, named in `crawl status`, or for all `failed` or `denied`; repeatable.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve Prometheus metrics on 127.0.0.1 at this port; 0 takes any free one.",
)
@click.pass_obj
def run(invocation: Invocation, /, **typed: Any) -> None:
    """Fetch what is pending, politely; take up where it stopped.

    Every answer is stored in WARC files under crawl/ before it is read; the documents table is rebuilt at the end.
    Several processes may run this on one workspace: they share its tasks, and no page is asked for twice.

    \b
    Examples:
      crossmusim crawl run
      crossmusim crawl run --urls pages.txt --limit 500
      crossmusim crawl run --again-after 30 --source wikipedia
      crossmusim crawl run --retry http_503 --retry storage_cap
    """
    from sourcing.commands.crawl.status import look, lost
    from sourcing.crawling.policy.politeness import unusable_url
    from sourcing.crawling.sources import TaskSpec, all_effective
    from sourcing.crawling.spider.run import LEDGER_FILE, PAGE_SOURCE, CrawlRequest, run_crawl
    from sourcing.store import Track
    from sourcing.store.shard import Shard

    flags = _Flags(**typed)
    sources = _sources_to_ask(invocation.settings, flags.names)
    urls, sitemaps = flags.urls, flags.sitemaps
    if (urls or sitemaps) and PAGE_SOURCE not in sources:
        thing = f"--urls {urls}" if urls else f"--sitemap {sitemaps[0]}"
        raise UsageError(thing, f"source {PAGE_SOURCE} reads such pages and is not enabled", "enable it")
    for url in sitemaps:
        if why := unusable_url(url):
            raise UsageError(f"--sitemap {url}", why, "give an http or https address")
    workspace = invocation.workspace
    has_pages = bool(urls or sitemaps or invocation.settings.crawl.page_urls)
    if not has_pages and not workspace.has(Track) and not (workspace.crawl_dir / LEDGER_FILE).exists():
        workspace.read(Track)  # says how to get one
    with contextlib.ExitStack() as stack:
        if flags.metrics_port is not None:
            from sourcing.crawling.monitoring.metrics import serve_metrics

            address = stack.enter_context(serve_metrics(workspace.crawl_dir / LEDGER_FILE, sources, flags.metrics_port))
            invocation.note(f"metrics: {address}")
        ledger = workspace.crawl_dir / LEDGER_FILE
        on_outcome = stack.enter_context(crawl_progress(invocation, ledger, sources, flags.limit))
        request = CrawlRequest(
            catalogue=workspace.table_path(Track) if workspace.has(Track) else None,
            urls=[TaskSpec(PAGE_SOURCE, url, "sitemap") for url in sitemaps],
            lists=[urls] if urls else [],
            shard=Shard.parse(flags.shard) if flags.shard else None,
            again_after_s=None if flags.again_after is None else flags.again_after * 86_400,
            retry=flags.retry,
            limit=flags.limit,
        )
        readers = all_effective(invocation.settings.sources)
        result = run_crawl(workspace, invocation.settings, sources, request, readers=readers, on_progress=on_outcome)
    progress, alarms = look(invocation)
    for note in [*result.notes, *_torn(invocation), *(f"ALARM {line}" for line in alarms)]:
        invocation.note(note)
    invocation.emit(
        result.as_dict(),
        [
            f"{result.asked} answers now; in all"
            f" {result.fetched} fetched, {result.failed} failed, {result.denied} denied, {result.pending} pending",
            *lost(progress),
            f"{result.documents} documents, {result.rejected} rejected rows, {result.seconds:.1f} s",
        ],
    )
    end_on_page_errors(invocation, "extract")


@dataclass(frozen=True)
class _Flags:
    """The options of `crawl run` as click passes options."""

    urls: Path | None
    sitemaps: tuple[str, ...]
    names: tuple[str, ...]
    limit: int | None
    shard: str | None
    again_after: float | None
    retry: tuple[str, ...]
    metrics_port: int | None


@click.command
@click.option("--fresh", is_flag=True, help="Read every page anew instead of what an earlier run kept of it.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that read pages; one per core by default.")
@click.option(
    "--source",
    "foreign",
    metavar="NAME",
    default="",
    help="Source that reads records of other crawlers; by default that of their host, else schemaorg.",
)
@click.pass_obj
def replay(invocation: Invocation, fresh: bool, workers: int | None, foreign: str) -> None:
    """Rebuild the documents table from the WARC files; asks nothing.

    The same files give the same table, byte for byte. Records that are spoilt or torn are named and left out, and the
    next `crawl run` asks for them. WARC files of other crawlers (.warc.gz, .warc, .warc.zst), put into the crawl
    folder, are read too. Pages whose no the ledger knows stay out.

    \b
    Examples:
      crossmusim crawl replay
      crossmusim crawl replay --source bandcamp
    """
    from sourcing.crawling.documents.rebuild import ReplayOptions, rebuild_documents
    from sourcing.crawling.sources import all_effective
    from sourcing.crawling.warc.reader import warc_files

    sources = all_effective(invocation.settings.sources)
    if foreign and foreign not in sources:
        raise UsageError(
            f"--source {foreign}", "no such source", nearest(foreign, sources, f"choose among {', '.join(sources)}")
        )
    if not any(warc_files(invocation.workspace.crawl_dir)):
        folder = str(invocation.workspace.crawl_dir)
        raise InputError(folder, "it holds no WARC files", "run `crossmusim crawl run` first")
    with invocation.workspace.lock("documents"), replay_progress(invocation) as on_read:
        documents, rejected = rebuild_documents(
            invocation.workspace, sources, ReplayOptions(workers, fresh, foreign), on_read=on_read
        )
        _ask_for_lost(invocation)
    torn = _torn(invocation)
    for line in torn:
        invocation.note(line)
    invocation.emit(
        {"documents": documents, "rejected": rejected, "torn": torn},
        [f"{documents} documents, {rejected} rejected rows"],
    )
    end_on_page_errors(invocation, "extract")


_SPOILT = {"warc_torn": "what lies before is read", "warc_damaged": "all else is read"}


def _torn(invocation: Invocation) -> list[str]:
    """Lines that name the places of WARC files that the last rebuild could not read."""
    return [f"{row['key']}: {row['finding']}; {_SPOILT[row['reason']]}" for row in _spoilt_rows(invocation)]


def _spoilt_rows(invocation: Invocation) -> list[dict[str, Any]]:
    rejected = invocation.workspace.read_rejected()
    rows = [rejected.filter(reason=reason, stage="extract").sort("key", "finding") for reason in _SPOILT]
    return [row for frame in rows for row in frame.iter_rows(named=True)]


def _ask_for_lost(invocation: Invocation) -> None:
    """Make the tasks pending of records that the last rebuild could not read, in unchanged files too."""
    from sourcing.crawling.ledger import LEDGER_FILE, Ledger
    from sourcing.crawling.warc.mending import ask_for_lost

    path = invocation.workspace.crawl_dir / LEDGER_FILE
    files = {row["key"] for row in _spoilt_rows(invocation)}
    if files and path.exists():
        with contextlib.closing(Ledger(path)) as ledger:
            ask_for_lost(ledger, path.parent, live=ledger.run.others(), again=files)


def _sources_to_ask(settings: Settings, names: tuple[str, ...]) -> Mapping[str, Source]:
    """Enabled sources with settings applied, all or the named; UsageError for a name unknown or not enabled."""
    from sourcing.crawling.sources import SOURCES, effective, enabled, why_off
    from sourcing.redactor import read_key

    unknown: list[Any] = [name for name in (*names, *settings.sources) if name not in SOURCES]
    if unknown:
        cure = nearest(unknown[0], SOURCES, f"choose among {', '.join(SOURCES)}")
        raise UsageError(f"source {unknown[0]!r}", "no such source", cure)
    for name, source in SOURCES.items():
        wish = settings.sources.get(name)
        if source.key and os.environ.get(source.key.env) and (name in names if names else not wish or wish.enabled):
            read_key(os.environ, source.key.env)  # a key that cannot be one is refused, not passed over
    on = {name: s for name, s in SOURCES.items() if enabled(s, settings.sources.get(name))}
    off = [name for name in names if name not in on]
    if off:
        why = why_off(SOURCES[off[0]], settings.sources.get(off[0]))
        raise UsageError(f"source {off[0]}", "it is not enabled", why)
    return {name: effective(s, settings.sources.get(name)) for name, s in on.items() if not names or name in names}
