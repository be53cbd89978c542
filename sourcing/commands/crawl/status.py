"""`crawl status`: progress, speed and alarms of a crawl."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from sourcing.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from sourcing.commands.invocation import Invocation
    from sourcing.crawling.monitoring.progress import Progress, SourceProgress

__all__ = ["look", "lost", "status", "watched"]

_HOSTS_SHOWN = 5
_REASONS_SHOWN = 5


@click.command
@click.option(
    "--watch",
    "every_s",
    type=click.FloatRange(min=0.2),
    metavar="SECONDS",
    help="Show it anew so often, on a terminal, until Ctrl-C.",
)
@click.pass_obj
def status(invocation: Invocation, every_s: float | None) -> None:
    """Say how far the crawl is, per source: tasks, speed, caps, time left, and what went wrong.

    Rates are those of the last ten minutes. Time left is at least that: pages lead to further pages. Only looks, so
    it may be asked while crawls run. Under --json every source is told, also those without tasks.

    \b
    Example:
      crossmusim crawl status --watch 5
    """
    if every_s is None:
        progress, alarms = look(invocation)
        invocation.emit({**progress.as_dict(), "alarms": alarms}, _lines(progress, alarms))
    elif invocation.json or not sys.stdout.isatty():
        raise UsageError(
            "--watch", "there is no terminal to show it on", "call `crossmusim crawl status` again and again instead"
        )
    else:
        watched(lambda: _lines(*look(invocation)), every_s)


def look(invocation: Invocation) -> tuple[Progress, list[str]]:
    """Read progress and alarms of the workspace's crawl."""
    from sourcing.crawling.ledger import LEDGER_FILE
    from sourcing.crawling.ledger.view import looked_at
    from sourcing.crawling.monitoring.alarms import alarms
    from sourcing.crawling.monitoring.progress import progress_of
    from sourcing.crawling.sources import all_effective, why_off

    settings = invocation.settings.sources
    sources = all_effective(settings)
    crawled_sources = {name: source for name, source in sources.items() if source.ship_class != "import"}
    off = {name: why_off(source, settings.get(name)) for name, source in sources.items()}
    with looked_at(invocation.workspace.crawl_dir / LEDGER_FILE) as view:
        return progress_of(view, crawled_sources, off, time.time()), alarms(invocation.workspace)


def watched(render: Callable[[], list[Any]], every_s: float, *, wait: Callable[[float], None] = time.sleep) -> None:
    """Show the lines of `render`, rendered anew every `every_s` seconds, until an interrupt."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    def lines() -> Group:
        return Group(*(Text(line) if isinstance(line, str) else line for line in render()))

    with Live(lines(), auto_refresh=False, screen=False) as live:
        try:
            while True:
                wait(every_s)
                live.update(lines(), refresh=True)
        except KeyboardInterrupt:
            return


def _lines(progress: Progress, alarms: list[str]) -> list[Any]:
    with_tasks = [each for each in progress.sources.values() if any(each.states.values())]
    if not with_tasks:
        return ["No tasks yet: run `crossmusim crawl run`.", *_alarm_lines(alarms)]
    return [
        _table(progress, with_tasks),
        *(line for each in with_tasks if (line := _caps(each))),
        *lost(progress),
        *_hint(progress),
        *(f"{each.source} is off: {each.why_off}" for each in with_tasks if each.why_off),
        _elsewhere(progress),
        *_paused(progress),
        _processes(progress),
        *_alarm_lines(alarms),
    ]


def _table(progress: Progress, rows: list[SourceProgress]) -> Table:
    from sourcing.commands.console import number_table

    total = progress.total()
    columns = ["source", *total, "pages/s", "ok", "throttled", "time left"]
    whole_rate = _rate(sum(each.pages_per_s for each in rows))
    footer = ["total", *(str(n) for n in total.values()), whole_rate, "", "", ""]
    return number_table(columns, (_row(each) for each in rows), footer if len(rows) > 1 else None)


def _row(each: SourceProgress) -> list[str]:
    share = each.success_share
    return [
        each.source,
        *(str(n) for n in each.states.values()),
        _rate(each.pages_per_s),
        "-" if share is None else f"{int(100 * share)}%",  # 99.6 is not all
        str(each.recent.get("throttled", 0)),
        each.outlook,
    ]


def _rate(per_s: float) -> str:
    return f"{per_s:.3g}" if per_s < 100 else f"{per_s:.0f}"


def _caps(each: SourceProgress) -> str:
    parts = []
    if each.daily_cap is not None:
        parts.append(f"{each.asked_today} of {each.daily_cap} requests today, {each.daily_left} left")
    if each.storage_cap_bytes is not None:
        parts.append(f"{each.stored_bytes / 1e6:.1f} of {each.storage_cap_bytes / 1e6:g} MB kept")
    return f"{each.source}: {'; '.join(parts)}" if parts else ""


def lost(progress: Progress) -> list[str]:
    """Lines that tell why tasks failed, were denied or wait, one per source and state; the commonest reason first."""
    lines = []
    for each in progress.sources.values():
        for state, reasons in each.reasons.items():
            counted_reasons = [f"{n} {reason}" for reason, n in reasons.items()]
            more = ["..."] if len(counted_reasons) > _REASONS_SHOWN else []
            word = "put off" if state == "pending" else state
            lines.append(f"{each.source}, {word}: {', '.join(counted_reasons[:_REASONS_SHOWN] + more)}")
    return lines


def _hint(progress: Progress) -> list[str]:
    total = progress.total()
    lines = [line for state, line in _ASK_ANEW.items() if total[state]]
    return [f"{'; '.join(lines)}; --retry REASON for what has that reason"] if lines else []


_ASK_ANEW = {
    "failed": "`crossmusim crawl run --retry failed` asks anew for what failed",
    "denied": "`crossmusim crawl run --retry denied` for what was denied",
}


def _elsewhere(progress: Progress) -> str:
    idle = [each for each in progress.sources.values() if not any(each.states.values())]
    on = [each.source for each in idle if not each.why_off]
    off = [each.source for each in idle if each.why_off]
    parts = [f"on, without tasks: {', '.join(on) or 'none'}", f"off: {', '.join(off) or 'none'}"]
    return "; ".join(parts) + (" (`crossmusim sources list` says why)" if off else "")


def _paused(progress: Progress) -> list[str]:
    from sourcing.crawling.monitoring.progress import utc

    hosts = progress.paused_hosts
    lines = [f"{host} is paused until {utc(until)}" for host, until in hosts[:_HOSTS_SHOWN]]
    return lines + ([f"and {len(hosts) - _HOSTS_SHOWN} more hosts"] if len(hosts) > _HOSTS_SHOWN else [])


def _processes(progress: Progress) -> str:
    from sourcing.crawling.monitoring.progress import utc

    running = [f"{name.partition('-')[0]} since {utc(since)}" for name, since in progress.processes.items()]
    return f"at work: process {', '.join(running)}" if running else "at work: no process"


def _alarm_lines(alarms: list[str]) -> list[str]:
    return [f"ALARM {alarm}" for alarm in alarms]
