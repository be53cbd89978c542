"""What was lost or torn says why, and is asked for anew when a person thinks it will go better now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from loopback import Asked, Loopback, Reply

from sourcing.commands.crawl.run import replay, run
from sourcing.commands.crawl.status import status
from sourcing.commands.invocation import Invocation
from sourcing.crawling.ledger import LEDGER_FILE, Ledger
from sourcing.crawling.source import TaskSpec
from sourcing.errors import InputError, UpstreamError
from sourcing.store import Document, Workspace

SETTINGS = '[crawl]\ncontact = "me@example.org"\nallow_private_hosts = true\n[sources.schemaorg]\nrate_per_s = 500\n'
PAGE = (
    '<html><script type="application/ld+json">{"@context": "https://schema.org", "@type": "MusicRecording",'
    ' "name": "Low Tide", "byArtist": {"name": "Harbour & Kite"}}</script></html>'
)


class Site:
    """Every page is there, but for the paths in `broken` (status) and `closed` (noai)."""

    def __init__(self) -> None:
        self.broken: dict[str, int] = {}
        self.closed: set[str] = set()

    def __call__(self, asked: Asked) -> Reply:
        if not asked.path.startswith("/p"):
            return Reply(status=404)
        headers = {"X-Robots-Tag": "noai"} if asked.path in self.closed else {}
        return Reply(PAGE, self.broken.get(asked.path, 200), headers)


def told(folder: Path, command: Any, *arguments: str, as_json: bool = False) -> Any:
    result = CliRunner().invoke(command, list(arguments), obj=Invocation(folder, json=as_json), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if as_json else result.output


def begun(folder: Path, urls: list[str], **crawl_settings: Any) -> list[str]:
    """Writes settings and a list of pages; the arguments of `crawl run` for them."""
    folder.mkdir(exist_ok=True)
    more = "".join(f"{name} = {value}\n" for name, value in crawl_settings.items())
    (folder / "crossmusim.toml").write_text(SETTINGS.replace("[sources", f"{more}[sources"), encoding="utf-8")
    (folder / "urls.txt").write_text("\n".join(urls), encoding="utf-8")
    return ["--urls", str(folder / "urls.txt"), "--source", "schemaorg"]


def test_what_failed_for_a_reason_is_asked_anew_when_told_so_and_only_that(tmp_path: Path) -> None:
    site = Site()
    with Loopback(site) as server:
        site.broken, site.closed = {"/p1": 500, "/p2": 404}, {"/p3"}
        arguments = begun(tmp_path, [f"{server.url}/p{n}" for n in range(5)], max_attempts=1)
        first = told(tmp_path, run, *arguments)
        assert "5 answers now; in all 2 fetched, 2 failed, 1 denied, 0 pending" in first
        assert "schemaorg, failed: 1 http_404, 1 http_500" in first
        assert "schemaorg, denied: 1 x-robots-tag" in first

        site.broken, site.closed = {}, set()
        assert "0 answers now" in told(tmp_path, run, *arguments)
        again = told(tmp_path, run, *arguments, "--retry", "http_500")
        assert "lost for http_500 and asked again: 1 tasks" in again
        assert "1 answers now; in all 3 fetched, 1 failed, 1 denied" in again
        assert "in all 5 fetched, 0 failed, 0 denied" in told(
            tmp_path, run, *arguments, "--retry", "failed", "--retry", "denied"
        )
        assert [asked.path for asked in server.log].count("/p0") == 1
    assert Workspace(tmp_path).read(Document).height == 5


def test_a_reason_nothing_was_lost_for_is_told_as_none(tmp_path: Path) -> None:
    with Loopback(Site()) as server:
        arguments = begun(tmp_path, [f"{server.url}/p0"])
        assert "lost for http_599 and asked again: 0 tasks" in told(tmp_path, run, *arguments, "--retry", "http_599")


def test_what_fails_again_after_a_retry_says_so_again(tmp_path: Path) -> None:
    site = Site()
    with Loopback(site) as server:
        site.broken = {"/p0": 500}
        arguments = begun(tmp_path, [f"{server.url}/p0", f"{server.url}/p1"], max_attempts=1)
        told(tmp_path, run, *arguments)
        assert "in all 1 fetched, 1 failed" in told(tmp_path, run, *arguments, "--retry", "failed")
        assert [asked.path for asked in server.log].count("/p0") == 2


def test_another_source_is_left_as_it_is(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / LEDGER_FILE)
    ledger.add([TaskSpec(source, f"https://{source}.test/1", "page") for source in ("one", "two")])
    for task in ledger.lease(9, 0.0, 60.0, {"one", "two"}):
        ledger.failed(task.key, "http_500")
    assert ledger.retry(["http_500"], ["one"]) == 1
    assert ledger.census.counts()["two"]["failed"] == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_status_says_why_tasks_were_lost(tmp_path: Path, as_json: bool) -> None:
    (tmp_path / "crossmusim.toml").write_text(SETTINGS, encoding="utf-8")
    ledger = Ledger(tmp_path / "crawl" / LEDGER_FILE)
    ledger.add([TaskSpec("schemaorg", f"https://a.test/{n}", "page") for n in range(9)])
    leased = ledger.lease(9, 0.0, 60.0, {"schemaorg"})
    for n, task in enumerate(leased[:8]):
        ledger.failed(task.key, f"http_{500 + n // 2}")
    ledger.denied(leased[8].key, "meta robots: noai")
    ledger.close()
    found = told(tmp_path, status, as_json=as_json)
    if as_json:
        assert found["sources"]["schemaorg"]["reasons"]["denied"] == {"meta_robots": 1}
    else:
        assert "schemaorg, failed: 2 http_500, 2 http_501, 2 http_502, 2 http_503\n" in found
        assert "schemaorg, denied: 1 meta_robots" in found
        assert "--retry REASON" in found


def test_a_torn_file_is_named_by_the_replay_that_reads_it_up_to_the_tear(tmp_path: Path) -> None:
    with Loopback(Site()) as server:
        told(tmp_path, run, *begun(tmp_path, [f"{server.url}/p{n}" for n in range(3)]))
    (file,) = (tmp_path / "crawl").glob("*.warc.gz")
    file.write_bytes(file.read_bytes()[:-40])
    said = told(tmp_path, replay)
    assert "2 documents" in said
    assert f"{file.name}: record at byte" in said and "what lies before is read" in said
    assert len(told(tmp_path, replay, "--fresh", as_json=True)["torn"]) == 1


def test_a_replay_of_nothing_says_so_and_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it holds no WARC files; run `crossmusim crawl run`"):
        told(tmp_path / "mistyped", replay)
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_cannot_be_reached_is_named_without_addresses_in_memory(tmp_path: Path) -> None:
    arguments = begun(tmp_path, ["https://127.0.0.1:1/p0"], max_attempts=1)
    with pytest.raises(UpstreamError, match="cannot be reached") as caught:
        told(tmp_path, run, *arguments)
    assert "ssl:" not in str(caught.value) and "0x" not in str(caught.value)
