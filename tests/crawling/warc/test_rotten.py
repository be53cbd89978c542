"""WARC files that rotted: a flipped bit costs the record it hits, is named, is asked again, and undoes no opt-out."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from crawl_runs import run_crawl
from crawls import song
from loopback import Asked, Loopback, Reply

from sourcing.crawling.documents.rebuild import rebuild_documents
from sourcing.crawling.ledger import LEDGER_FILE, Ledger
from sourcing.crawling.sources import SOURCES, Capture, TaskSpec
from sourcing.crawling.spider.run import CrawlResult
from sourcing.crawling.warc.mending import ask_for_lost
from sourcing.crawling.warc.reader import read_sealed, warc_files
from sourcing.crawling.warc.record_parser import Record
from sourcing.crawling.warc.records import read_records
from sourcing.crawling.warc.writer import CaptureWriter, Exchange
from sourcing.settings import CrawlSettings, Settings
from sourcing.store import Document, Workspace

FAST = replace(SOURCES["schemaorg"], rate_per_s=10_000.0, concurrency=4)
FLIPS = int(os.environ.get("FLIPS", "60"))
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
PAGES = ("a", "b", "c", "d", "e", "f")
OPTED_OUT = ("b", "e")  # b by its page, e by robots.txt: a denial record alone


def crawl(folder: Path, server: Loopback, *pages: str, **options: object) -> CrawlResult:
    settings = Settings(crawl=CrawlSettings(contact="me@example.org", allow_private_hosts=True))
    specs = [TaskSpec("schemaorg", f"{server.url}/{page}", "page") for page in pages]
    return run_crawl(Workspace(folder), settings, {"schemaorg": FAST}, None, urls=specs, backoff_s=0.01, **options)


class Opinions:
    """A site of songs whose owner changes their mind about some."""

    def __init__(self) -> None:
        self.says_no: set[str] = set()

    def __call__(self, asked: Asked) -> Reply:
        path = asked.path.strip("/")
        if path == "robots.txt":
            return Reply("User-agent: *\nDisallow: /e" if "e" in self.says_no else "")
        if path not in PAGES:
            return Reply("", 404)
        headers = {"X-Robots-Tag": "noai"} if path in self.says_no else {}
        page = song(asked)
        return Reply(f"{page.body}<p>{asked.path}", headers=headers)


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Loopback, Opinions]]:
    opinions = Opinions()
    with Loopback(opinions) as server:
        yield server, opinions


@pytest.fixture(scope="module")
def crawled(site: tuple[Loopback, Opinions], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of two runs: six songs, then the same with two of them taken back, the others unchanged."""
    server, opinions = site
    folder = tmp_path_factory.mktemp("crawled")
    assert crawl(folder, server, *PAGES).documents == 6
    opinions.says_no.update(OPTED_OUT)
    assert crawl(folder, server, again_after_s=0.0).documents == 4
    return folder


def names(folder: Path) -> set[str]:
    return {url.rpartition("/")[2] for url in Workspace(folder).read(Document)["url"]}


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def fills_up_a_byte(path: Path, bit: int) -> bool:
    """True for the bits behind a member's last code, up to the next whole byte: no reader looks at them."""
    whole, at = path.read_bytes(), 0
    while at < len(whole):
        decoder = zlib.decompressobj(31)
        decoder.decompress(whole[at:])
        end = len(whole) - len(decoder.unused_data)
        if bit // 8 == end - 9:
            flipped = bytearray(whole[at:end])
            flipped[-9] ^= 1 << bit % 8
            with contextlib.suppress(OSError, EOFError, zlib.error):
                return gzip.decompress(flipped) == gzip.decompress(whole[at:end])
        at = end
    return False


def member(n: int) -> bytes:
    """A record as a member of its own, the same bytes in every run."""
    body = f'{{"key": "{n}", "title": "Low Tide", "n": "{n**9}"}}'
    head = "\r\n".join(
        [
            "WARC/1.1",
            f"WARC-Type: {'response' if n % 2 else 'metadata'}",
            f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{n:012d}>",
            f"WARC-Target-URI: https://a.test/{n}",
            "WARC-Date: 2026-11-02T12:00:00Z",
            f"Content-Length: {len(body)}",
        ]
    )
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(f"{head}\r\n\r\n{body}\r\n\r\n".encode()) + packer.flush()


def test_a_member_whose_end_was_flipped_away_does_not_take_the_next_one_along(tmp_path: Path) -> None:
    """Its packing then runs on through the member behind, and may end where that one ends."""
    path = tmp_path / "x.warc.gz"
    members = [member(n) for n in range(12)]
    whole, at, runs_on = b"".join(members), 0, 0
    for n, packed in enumerate(members):
        end = at + len(packed)
        for bit in range(8 * (end - 16), 8 * (end - 8)):
            content = bytearray(whole)
            content[bit // 8] ^= 1 << bit % 8
            decoder = zlib.decompressobj(-15)
            with contextlib.suppress(zlib.error):
                decoder.decompress(content[at + 10 :])
                runs_on += decoder.eof and len(whole) - len(decoder.unused_data) > end
            path.write_bytes(content)
            sound = {record.offset for record in read_records(path) if isinstance(record, Record)}
            assert len(sound) >= len(members) - 1, (n, bit)
        at = end
    assert runs_on


def test_a_flipped_bit_costs_one_record_is_named_and_asked_again_and_no_page_comes_back(
    crawled: Path, tmp_path: Path
) -> None:
    chance = random.Random(11)
    files = [path.name for path in warc_files(crawled / "crawl")]
    sizes = {name: (crawled / "crawl" / name).stat().st_size for name in files}
    costs = []
    for n in range(FLIPS):
        name = chance.choices(files, [sizes[name] for name in files])[0]
        bit = chance.randrange(8 * sizes[name])
        folder = tmp_path / str(n)
        shutil.copytree(crawled, folder)
        flip(folder / "crawl" / name, bit)
        rebuild_documents(Workspace(folder), {"schemaorg": FAST})
        left = names(folder)
        assert not left & set(OPTED_OUT), (name, bit)
        lost = {"a", "c", "d", "f"} - left
        assert len(lost) <= 1, (name, bit, lost)
        spoilt = Workspace(folder).read_rejected().filter(pl.col("reason").is_in(["warc_damaged", "warc_torn"]))
        named = [] if fills_up_a_byte(crawled / "crawl" / name, bit) else [name]
        assert spoilt["key"].to_list() == named, (name, bit)
        ledger = Ledger(folder / "crawl" / LEDGER_FILE)
        pending = ask_for_lost(ledger, folder / "crawl")
        assert pending <= 1 and pending >= len(lost), (name, bit)
        urls = [task.url for task in ledger.lease(9, 1e12, 1.0)]
        assert len(urls) == pending
        assert {url.rpartition("/")[2] for url in urls} >= lost
        assert ask_for_lost(ledger, folder / "crawl", again=[name]) == 0, "it is asked once"
        ledger.close()
        rebuild_documents(Workspace(folder), {"schemaorg": FAST})
        assert not names(folder) & set(OPTED_OUT), "not even while the page is being asked again"
        costs.append(len(lost))
        shutil.rmtree(folder)
    assert 0 < sum(costs) < FLIPS


@pytest.fixture
def flippable(tmp_path: Path) -> Iterator[tuple[Loopback, Opinions, Path, Path]]:
    """A site, a workspace with its six songs, and the WARC file of it."""
    opinions = Opinions()
    with Loopback(opinions) as server:
        crawl(tmp_path, server, *PAGES)
        (path,) = warc_files(tmp_path / "crawl")
        yield server, opinions, tmp_path, path


def pages_asked(server: Loopback, since: int) -> list[str]:
    return [asked.path for asked in server.log[since:] if asked.path.strip("/") in PAGES]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_was_lost_is_asked_once_more_by_the_next_run_and_nothing_else(
    flippable: tuple[Loopback, Opinions, Path, Path], part: int
) -> None:
    server, _, folder, path = flippable
    whole = path.read_bytes()
    start, end = [(each.start, each.end) for each in read_sealed(path)][2]
    lost = [each.capture.url for each in read_sealed(path)][2].rpartition("/")[2]
    inner = [at for at in range(start, end) if whole[at : at + 3] == b"\x1f\x8b\x08"][part]
    since = len(server.log)
    flip(path, 8 * (inner + 60))
    assert crawl(folder, server).documents == 6
    again = [] if part == 1 else [f"/{lost}"]  # of a request record nothing is read
    assert pages_asked(server, since) == again
    assert crawl(folder, server).documents == 6
    assert pages_asked(server, since) == again


def test_a_page_that_changed_its_mind_in_between_stays_out(flippable: tuple[Loopback, Opinions, Path, Path]) -> None:
    server, opinions, folder, _path = flippable
    opinions.says_no.add("c")
    assert crawl(folder, server, again_after_s=0.0).documents == 5
    denial = warc_files(folder / "crawl")[-1]
    refusal = next(each for each in read_sealed(denial) if each.capture.consent == "deny")
    flip(denial, 8 * (refusal.start + 40))
    assert rebuild_documents(Workspace(folder), {"schemaorg": FAST})[0] == 5
    assert "consent_denied" in Workspace(folder).read_rejected()["reason"].to_list()
    assert crawl(folder, server).documents == 5
    opinions.says_no.clear()
    assert crawl(folder, server, retry=["denied"]).documents == 6, "a later yes is a yes"  # type: ignore[arg-type]
    assert rebuild_documents(Workspace(folder), {"schemaorg": FAST})[0] == 6


def test_a_file_cut_short_or_emptied_is_asked_for_again(flippable: tuple[Loopback, Opinions, Path, Path]) -> None:
    server, _, folder, path = flippable
    since = len(server.log)
    path.write_bytes(path.read_bytes()[: [each.end for each in read_sealed(path)][3] + 20])
    assert crawl(folder, server).documents == 6
    assert len(pages_asked(server, since)) == 2
    path.write_bytes(b"")
    assert crawl(folder, server).documents == 6
    assert len(pages_asked(server, since)) == 6


def test_a_file_that_is_not_there_any_more_is_asked_for_again_and_one_that_was_renamed_is_not(
    flippable: tuple[Loopback, Opinions, Path, Path],
) -> None:
    server, _, folder, path = flippable
    assert crawl(folder, server, again_after_s=0.0).documents == 6  # all unchanged: revisits without bodies
    since = len(server.log)
    path = path.rename(path.with_name("moved.warc.gz"))
    for _ in range(2):
        assert crawl(folder, server).documents == 6
    assert pages_asked(server, since) == []
    other = warc_files(folder / "crawl")[0]
    other.unlink()
    assert crawl(folder, server).documents == 6
    assert pages_asked(server, since) == []


def test_a_file_that_was_removed_is_asked_for_again(flippable: tuple[Loopback, Opinions, Path, Path]) -> None:
    server, opinions, folder, path = flippable
    opinions.says_no.add("c")
    assert crawl(folder, server, again_after_s=0.0).documents == 5
    since = len(server.log)
    path.unlink()
    path.mkdir()
    for _ in range(2):
        assert crawl(folder, server).documents == 5
        assert sorted(pages_asked(server, since)) == ["/a", "/b", "/d", "/e", "/f"]


def test_a_file_packed_anew_is_read_and_nothing_is_asked(flippable: tuple[Loopback, Opinions, Path, Path]) -> None:
    server, _, folder, path = flippable
    since = len(server.log)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())))
    assert crawl(folder, server).documents == 6
    path.write_bytes(gzip.decompress(path.read_bytes()))
    assert crawl(folder, server).documents == 6
    assert pages_asked(server, since) == []


def test_a_ledger_from_before_places_were_noted_finds_the_page_by_its_address(
    flippable: tuple[Loopback, Opinions, Path, Path],
) -> None:
    server, _, folder, path = flippable
    with contextlib.closing(sqlite3.connect(folder / "crawl" / LEDGER_FILE)) as db:
        for table in ("captures", "warc_files", "refusals"):
            db.execute(f"DROP TABLE {table}")
        db.commit()
    since = len(server.log)
    third = [each.start for each in read_sealed(path)][2]
    flip(path, 8 * (third + 150))
    assert rebuild_documents(Workspace(folder), {"schemaorg": FAST})[0] == 5
    assert crawl(folder, server).documents == 6
    assert len(pages_asked(server, since)) == 1


def test_an_archive_inside_a_spoilt_page_is_not_taken_for_records(tmp_path: Path) -> None:
    """A page may hold, stored as they are, records of answers that nobody gave."""
    capture = Capture("schemaorg", "page", "00" * 16, "https://a.test/1", 200, {}, b"true", NOON)
    for folder, bodies in (("inner", [b"forged"]), ("outer", [b"one", b"", b"two"])):
        writer = CaptureWriter(tmp_path / folder, "crossmusim/test")
        if folder == "outer":
            noise = random.Random(1).randbytes(70_000)
            (inner,) = warc_files(tmp_path / "inner")
            bodies[1] = noise + inner.read_bytes() + noise
        for n, body in enumerate(bodies):
            writer.write(Exchange(replace(capture, body=body, url=f"https://{folder}.test/{n}"), [], []))
        writer.close()
    (path,) = warc_files(tmp_path / "outer")
    starts = [each.start for each in read_sealed(path)]
    flip(path, 8 * (starts[1] + 60_000))
    assert [each.capture.url for each in read_sealed(path)] == ["https://outer.test/0", "https://outer.test/2"]
