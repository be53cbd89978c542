"""Dump readers: the records a page object reads, in flat memory, and everything before a tear."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import lzma
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from sourcing.crawling.sources import SOURCES, Capture, DumpRecord, PageError
from sourcing.errors import InputError

MUSICBRAINZ, DISCOGS = SOURCES["musicbrainz"], SOURCES["discogs"]
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zst": zstd.compress,
}


def mbid(n: int) -> str:
    return f"{n:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f"


def recording(n: int, **more: Any) -> dict[str, Any]:
    credit = [{"name": "Harbour & Kite", "joinphrase": "", "artist": {"id": mbid(99), "name": "Harbour & Kite"}}]
    return {"id": mbid(n), "title": f"Tide {n}", "length": 200_000 + n, "artist-credit": credit, "tags": [], **more}


def release(n: int, *recordings: dict[str, Any]) -> dict[str, Any]:
    tracks = [{"position": i, "title": r["title"], "recording": r} for i, r in enumerate(recordings, 1)]
    return {"id": mbid(1000 + n), "title": f"Album {n}", "date": f"20{n:02}-03-01", "media": [{"tracks": tracks}]}


def lines(*entities: Any) -> bytes:
    """As the server writes them: joined by line ends, none behind the last."""
    return "\n".join(json.dumps(entity, ensure_ascii=False) for entity in entities).encode()


def tar(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def documents(records: Iterable[DumpRecord], source: Any) -> list[dict[str, Any]]:
    return [row for record in records for row in read(record, source)]


def read(record: DumpRecord, source: Any) -> list[dict[str, Any]]:
    capture = Capture(
        source.name,
        record.kind,
        "key",
        record.url,
        200,
        {},
        record.body,
        datetime(2026, 11, 1, tzinfo=UTC),
        form="resource",
    )
    return source.page_for(record.kind)(capture, source).documents()


def until_error(records: Iterator[DumpRecord]) -> tuple[list[DumpRecord], str]:
    found: list[DumpRecord] = []
    with pytest.raises(InputError) as refused:
        while True:
            found.append(next(records))
    return found, str(refused.value)


@pytest.mark.parametrize("packer", PACKERS)
def test_a_dump_reads_the_same_however_it_is_packed(tmp_path: Path, packer: str) -> None:
    content = lines(recording(1), recording(2))
    archive = tar(TIMESTAMP=b"2026-11-01", mbdump__recording=content, COPYING=b"CC0")
    for name, body in (("lines", content), ("tar", archive)):
        path = tmp_path / name
        path.write_bytes(PACKERS[packer](body))
        rows = documents(MUSICBRAINZ.read_dump(path), MUSICBRAINZ)
        assert [(row["mbid"], row["title"]) for row in rows] == [(mbid(1), "Tide 1"), (mbid(2), "Tide 2")]


def test_recordings_are_found_inside_releases_with_the_release_they_are_on(tmp_path: Path) -> None:
    first, second = recording(1), recording(2, **{"artist-credit": None})
    on = release(7, first, second, first)
    on["media"][0]["pregap"] = {"recording": recording(3)}
    on["media"].append({"tracks": None, "data-tracks": [{"recording": recording(4)}, {"title": "no recording"}]})
    path = tmp_path / "release.tar"
    path.write_bytes(tar(mbdump__release=lines(on)))
    records = list(MUSICBRAINZ.read_dump(path))
    assert [json.loads(record.body)["id"] for record in records] == [mbid(3), mbid(1), mbid(2), mbid(4)]
    assert records[1].url == f"https://musicbrainz.org/recording/{mbid(1)}"
    (row,) = read(records[1], MUSICBRAINZ)
    assert (row["album"], row["artist"], row["duration_s"]) == ("Album 7", "Harbour & Kite", 200.001)


def test_a_track_s_own_credit_stands_in_for_a_recording_s(tmp_path: Path) -> None:
    bare = {name: value for name, value in recording(1).items() if name != "artist-credit"}
    on = release(7, bare)
    on["media"][0]["tracks"][0]["artist-credit"] = [{"name": "Ana Cruz", "joinphrase": ""}]
    path = tmp_path / "release"
    path.write_bytes(lines(on))
    assert [row["artist"] for row in documents(MUSICBRAINZ.read_dump(path), MUSICBRAINZ)] == ["Ana Cruz"]


@pytest.mark.parametrize("line", [b'{"id":', b"[]", b"7", b'{"id": "x", "media": 3}', b'"media"'])
def test_a_bad_line_is_refused_by_the_page_and_the_others_are_read(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "recording"
    path.write_bytes(b"\n".join([lines(recording(1)), line, b"", lines(recording(2)), b""]))
    _, bad, last = MUSICBRAINZ.read_dump(path)
    assert (bad.url, bad.body) == ("file:recording?line=2", line)
    assert json.loads(last.body)["id"] == mbid(2)
    with pytest.raises(PageError):
        read(bad, MUSICBRAINZ)


@pytest.mark.parametrize("packer", PACKERS)
def test_a_torn_dump_gives_everything_before_the_tear_and_then_says_so(tmp_path: Path, packer: str) -> None:
    # Of numbers no two alike, so that packed halves hold about half of the records.
    many = [recording(n, annotation=" ".join(str(n * k * 7919 % 10007) for k in range(1, 60))) for n in range(900)]
    for name, body in (("lines", lines(*many)), ("tar", tar(mbdump__recording=lines(*many)))):
        packed = PACKERS[packer](body)
        path = tmp_path / f"{name}.{packer}"
        path.write_bytes(packed[: len(packed) * 2 // 3])
        found, error = until_error(MUSICBRAINZ.read_dump(path))
        if packer != "bz2":  # one block of it holds them all
            assert 100 < len(found) < 900
        assert [json.loads(record.body)["id"] for record in found] == [mbid(n) for n in range(len(found))]
        assert path.name in error and f"after {len(found)} records" in error and "fetch it again" in error


def test_another_dump_of_the_site_is_named_for_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "artist.tar"
    path.write_bytes(tar(mbdump__artist=lines({"id": mbid(1), "name": "Kite"})))
    with pytest.raises(InputError, match=r"mbdump/artist, not mbdump/recording or mbdump/release"):
        next(MUSICBRAINZ.read_dump(path))
    with pytest.raises(InputError, match="cannot be read"):
        next(MUSICBRAINZ.read_dump(tmp_path / "nowhere"))


RELEASE = """<release id="7100001" status="Accepted"><images><image type="primary" uri=""/></images>
<artists><artist><id>9101</id><name>Harbour (3)</name><anv></anv><join>&amp;</join><role/><tracks/></artist>
<artist><id>9102</id><name>Kite, The</name><anv>Kite</anv><join/></artist></artists><title>Slack Water</title>
<labels><label name="Saltmarsh Records" catno="SALT 012" id="501"/></labels>
<extraartists><artist><id>9103</id><name>Ana Cruz</name><role>Harmonium</role></artist></extraartists>
<formats><format name="Vinyl" qty="2" text="">
<descriptions><description>LP</description></descriptions></format></formats>
<genres><genre>Electronic</genre></genres><styles><style>Ambient</style><style>Folktronica</style></styles>
<country>UK</country><released>2014-03-00</released><notes>Recorded near Whitby.\n\nA second take.</notes>
<data_quality>Correct</data_quality><master_id is_main_release="true">8200001</master_id>
<tracklist><track><position/><title>Ebb</title><duration/></track>
<track><position>A1</position><title>Low Tide</title><duration>3:35</duration></track>
<track><position/><title>Estuary Suite</title><duration>9:10</duration><sub_tracks>
<track><position>B1.a</position><title>Mud</title><duration>4:02</duration>
<artists><artist><id>9103</id><name>Ana Cruz</name></artist></artists></track></sub_tracks></track></tracklist>
<videos><video src="https://example.org/v" duration="9"><title>Not the title</title></video></videos></release>"""
MASTER = """<master id="8200001"><main_release>7100001</main_release>
<artists><artist><id>9101</id><name>Harbour (3)</name></artist></artists><genres><genre>Electronic</genre></genres>
<styles><style>Ambient</style></styles><year>2014</year>
<title>Slack Water</title><data_quality>Correct</data_quality></master>"""


def test_a_discogs_release_reads_as_the_api_s(tmp_path: Path) -> None:
    path = tmp_path / "discogs_20261101_releases.xml.gz"
    path.write_bytes(gzip.compress(f"<?xml version='1.0'?>\n<releases>\n{RELEASE}\n</releases>".encode()))
    (record,) = DISCOGS.read_dump(path)
    assert (record.kind, record.url) == ("release", "https://www.discogs.com/release/7100001")
    answer = json.loads(record.body)
    assert (answer["id"], answer["year"], answer["master_id"]) == (7100001, 2014, 8200001)
    assert answer["formats"] == [{"name": "Vinyl", "qty": "2", "text": "", "descriptions": ["LP"]}]
    assert [credit["role"] for credit in answer["extraartists"]] == ["Harmonium"]
    (row,) = read(record, DISCOGS)
    assert (row["title"], row["artist"], row["year"]) == ("Slack Water", "Harbour & Kite", 2014)
    assert [tag["name"] for tag in row["tags"]] == ["Electronic", "Ambient", "Folktronica"]
    assert row["text"] == "Recorded near Whitby.\n\nA second take."
    assert [(track["title"], track["artist"], track["duration_s"]) for track in row["tracks"]] == [
        ("Low Tide", "Harbour & Kite", 215.0),
        ("Mud", "Ana Cruz", 242.0),
        ("Estuary Suite", "Harbour & Kite", 550.0),
    ]
    assert row["licences"] == {"*": "CC0-1.0"}  # the dumps are, notes and all; of the API's notes nobody says so


def test_a_discogs_master_reads_as_the_api_s(tmp_path: Path) -> None:
    path = tmp_path / "masters.xml"
    path.write_text(f"<masters>{MASTER}</masters>", encoding="utf-8")
    (record,) = DISCOGS.read_dump(path)
    assert (record.kind, record.url) == ("master", "https://www.discogs.com/master/8200001")
    assert json.loads(record.body)["main_release"] == 7100001
    (row,) = read(record, DISCOGS)
    assert (row["record_id"], row["artist"], row["year"], row["tracks"]) == ("master/8200001", "Harbour", 2014, [])


def test_control_characters_that_xml_forbids_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "releases.xml"
    controlled = RELEASE.replace("Slack", "Sl\x0fa\x00ck")
    path.write_text(f"<releases>{controlled}</releases>", encoding="utf-8")
    assert [row["title"] for row in documents(DISCOGS.read_dump(path), DISCOGS)] == ["Slack Water"]


def test_entities_a_dump_declares_itself_are_not_resolved(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("SECRET", encoding="utf-8")
    path = tmp_path / "releases.xml"
    declared = f'<!DOCTYPE releases [<!ENTITY leak SYSTEM "{secret.as_uri()}"><!ENTITY lol "lol">]>'
    path.write_text(f"{declared}<releases>{RELEASE.replace('Whitby', '&leak;&lol;')}</releases>", encoding="utf-8")
    (record,) = DISCOGS.read_dump(path)
    assert b"SECRET" not in record.body and b"lol" not in record.body


@pytest.mark.parametrize("packer", ["plain", "gz"])
def test_a_torn_discogs_dump_gives_everything_before_the_tear(tmp_path: Path, packer: str) -> None:
    many = "".join(RELEASE.replace("7100001", str(n * 7919 % 1_000_003)) for n in range(300))
    packed = PACKERS[packer](f"<releases>{many}</releases>".encode())
    path = tmp_path / "releases.xml.gz"
    path.write_bytes(packed[: len(packed) // 2])
    found, error = until_error(DISCOGS.read_dump(path))
    assert [json.loads(record.body)["id"] for record in found] == [n * 7919 % 1_000_003 for n in range(len(found))]
    assert 50 < len(found) < 300
    assert "releases.xml.gz" in error and f"after {len(found)} records" in error


@pytest.mark.parametrize(
    ("content", "found"), [("<artists><artist/></artists>", "begins with <artists>"), ("id,title\n", "no XML")]
)
def test_a_file_that_is_no_discogs_dump_is_refused_at_its_first_bytes(tmp_path: Path, content: str, found: str) -> None:
    path = tmp_path / "other.xml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=found):
        next(DISCOGS.read_dump(path))


_GROWTH_OF = """
import resource, sys
from itertools import islice
from pathlib import Path
from sourcing.crawling import dumps
records = getattr(dumps, sys.argv[1])(Path(sys.argv[2]))
rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sum(1 for _ in islice(records, 1000))
before = rss()
print(sum(len(record.body) for record in records), (rss() - before) * 1024)
"""


@pytest.mark.parametrize("reader", ["read_musicbrainz_json", "read_discogs_xml"])
def test_a_long_dump_is_read_in_flat_memory(tmp_path: Path, reader: str) -> None:
    path = tmp_path / "dump.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        if reader == "read_discogs_xml":
            one = RELEASE.replace("A second take.", "Tape hiss. " * 500).encode()
            pieces = itertools.chain([b"<releases>"], itertools.repeat(one, 5_500), [b"</releases>"])
        else:
            pieces = itertools.repeat(
                lines(release(1, recording(1), recording(2, annotation="x" * 4000))) + b"\n", 24_000
            )
        for piece in pieces:
            stream.write(piece)
    told = subprocess.run(
        [sys.executable, "-c", _GROWTH_OF, reader, str(path)], capture_output=True, text=True, check=True
    )
    read_bytes, growth_bytes = map(int, told.stdout.split())
    assert read_bytes > 25_000_000
    assert growth_bytes < 8_000_000
