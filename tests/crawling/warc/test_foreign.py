"""WARC files that others wrote, packed anew or never packed: read as far as they can be, or refused in a sentence."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from sourcing.crawling.documents.extract import settle_readings
from sourcing.crawling.documents.page_readings import empty_readings, read_captures
from sourcing.crawling.documents.rebuild import ReplayOptions, rebuild_documents
from sourcing.crawling.sources import SOURCES
from sourcing.crawling.warc.foreign import attributed
from sourcing.crawling.warc.reader import Tear, read_captured, read_sealed
from sourcing.crawling.warc.writer import METADATA_TYPE
from sourcing.store import Document, Workspace

SONG = json.dumps({"@type": "MusicRecording", "name": "Lantern Road", "byArtist": {"@type": "MusicGroup", "name": "X"}})
PAGE = f'<html><head><script type="application/ld+json">{SONG}</script></head></html>'.encode()


def record(kind: str, block: bytes, *, url: str = "https://a.test/1", drop: str = "", **fields: str) -> bytes:
    lines = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{kind}-{url}>",
        "WARC-Date": "2026-11-02T03:04:05Z",
        "WARC-Target-URI": url,
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block)),
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    lines.pop(drop, None)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return b"WARC/1.0\r\n" + head.encode("utf-8", "surrogateescape") + b"\r\n" + block + b"\r\n\r\n"


def http(body: bytes = PAGE, head: str = "HTTP/1.1 200 OK\r\nContent-Type: text/html") -> bytes:
    return head.encode() + b"\r\n\r\n" + body


def note(**changes: object) -> bytes:
    values = {"source": "schemaorg", "kind": "page", "task_key": "00", "track_id": None, "url": "https://a.test/1"}
    values |= {"consent": "allow", "consent_evidence": [], "retrieved_at": "2026-11-02T03:04:05+00:00"}
    return json.dumps({**values, **changes}).encode()


def exchange(url: str = "https://a.test/1", **changes: object) -> bytes:
    """Response and our metadata, as one run of bytes each."""
    main = record("response", http(), url=url)
    beside = {"Content-Type": METADATA_TYPE, "WARC-Concurrent-To": f"<urn:uuid:response-{url}>"}
    return b"\0SPLIT".join([main, record("metadata", note(url=url, **changes), url=url, **beside)])


def members(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(each) for part in parts for each in part.split(b"\0SPLIT"))


def whole(*parts: bytes) -> bytes:
    return gzip.compress(b"".join(parts).replace(b"\0SPLIT", b""))


def read(folder: Path, content: bytes, name: str = "x.warc.gz", **options: str) -> tuple[list[str], list[str]]:
    """Titles of the documents, and reasons and findings of the rejected rows."""
    workspace = Workspace(folder)
    workspace.crawl_dir.mkdir(parents=True, exist_ok=True)
    (workspace.crawl_dir / name).write_bytes(content)
    rebuild_documents(workspace, SOURCES, ReplayOptions(**options))  # type: ignore[arg-type]
    rows = workspace.read_rejected().select(pl.format("{}: {}", "reason", "finding")).to_series().to_list()
    return workspace.read(Document)["title"].to_list(), rows


WARCINFO = record("warcinfo", b"software: Wget/1.21\r\nformat: WARC File Format 1.0\r\n", url="urn:x")
REQUEST = record("request", b"GET /1 HTTP/1.1\r\n\r\n")
SHA1 = "sha1:" + base64.b32encode(hashlib.sha1(PAGE).digest()).decode()
CHUNKED = b"5;x=y\r\n" + PAGE[:5] + b"\r\n" + f"{len(PAGE) - 5:X}".encode() + b"\r\n" + PAGE[5:] + b"\r\n0\r\n\r\n"
ENCODED = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: "


@pytest.mark.parametrize(
    "records",
    {
        "wget": [WARCINFO, REQUEST, record("response", http(), url="<https://a.test/1>", WARC_Payload_Digest=SHA1)],
        "heritrix": [WARCINFO, record("response", http()), REQUEST, record("metadata", b"via: x", Content_Type="a/b")],
        "browsertrix": [record("response", http(head="HTTP/2 200\r\ncontent-type: text/html")), REQUEST],
        "warcit": [record("resource", PAGE, **{"Content-Type": "text/html"})],
        "chunked": [record("response", http(CHUNKED, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"))],
        "chunked in name": [record("response", http(head="HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"))],
        "gzip": [record("response", http(gzip.compress(PAGE), ENCODED + "gzip"))],
        "deflate": [record("response", http(zlib.compress(PAGE)[2:-4], ENCODED + "deflate"))],
        "decoded already": [record("response", http(PAGE, ENCODED + "gzip"))],
        "odd status line": [record("response", http(head="ICY 200\r\ncontent-type: TEXT/HTML"))],
        "lines ended by LF": [record("response", b"HTTP/1.1 200 OK\nContent-Type: text/html\n\n" + PAGE + b"\r\n\r\n")],
        "hex digest": [record("response", http(), WARC_Block_Digest="sha-256:" + hashlib.sha256(http()).hexdigest())],
        "unknown digest": [record("response", http(), WARC_Block_Digest="blake9:xyz", WARC_Payload_Digest="nonsense")],
        "conversion": [record("response", http()), record("conversion", b"Lantern Road", Content_Type="text/plain")],
        "a 404": [record("response", http(head="HTTP/1.1 404"), url="https://b.test"), record("response", http())],
    }.values(),
)  # fmt: skip
@pytest.mark.parametrize("pack", [members, whole, lambda *parts: b"".join(parts)])
def test_pages_that_others_captured_are_read(tmp_path: Path, records: list[bytes], pack: Callable[..., bytes]) -> None:
    records = [each.replace(b"WARC_", b"WARC-").replace(b"Content_Type", b"Content-Type") for each in records]
    titles, rows = read(tmp_path, pack(*records))
    assert (titles, rows) == (["Lantern Road"], [])
    (document,) = Workspace(tmp_path).read(Document).iter_rows(named=True)
    assert document["consent_evidence"] == ["robots.txt: not known (captured by others)"]


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_no_in_a_page_that_others_captured_is_heard(tmp_path: Path, end: str) -> None:
    head = "HTTP/1.1 200 OK\r\nX-Robots-Tag: other: noindex\r\nTDM-Reservation: 1\r\n\r\n".replace("\r\n", end)
    titles, rows = read(tmp_path, members(record("response", head.encode() + PAGE)))
    assert titles == []
    (row,) = rows
    assert row.startswith("consent_denied: the site or page says no: robots.txt: not known (captured by others)")
    assert row.endswith("tdm-reservation: 1")


def test_a_source_is_found_by_host_or_named(tmp_path: Path) -> None:
    body = json.dumps({"id": "0000000a-1a2b-4c3d-8e4f-5a6b7c8d9e0f", "title": "Song"}).encode()
    url = "https://musicbrainz.org/ws/2/recording/0000000a-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
    content = members(record("response", http(body, "HTTP/1.1 200 OK\r\nContent-Type: application/json"), url=url))
    assert read(tmp_path / "host", content)[0] == ["Song"]
    assert Workspace(tmp_path / "host").read(Document)["source"].to_list() == ["musicbrainz"]
    mirror = members(record("response", http(body), url=url.replace("musicbrainz.org", "m.test")))
    assert read(tmp_path / "none", mirror)[0] != ["Song"]
    assert read(tmp_path / "named", mirror, foreign="musicbrainz")[0] == ["Song"]


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"", None),
        (b"<html>no archive at all" * 99, "warc_torn: it is no WARC file: it begins with b'<html>no archive"),
        (bytes(5000), "warc_torn: it is no WARC file"),
        (members(record("response", http())) + bytes(5000), "warc_torn: from byte"),
        (members(record("response", http())) + b"trailing", "warc_torn: record at byte"),
        (members(record("response", http(), url="gopher://a.test/")), "warc_damaged: record at byte 0 cannot be read"),
        (members(record("response", b"no http")), "warc_damaged: record at byte 0 cannot be read (b'no http' is no"),
        (members(record("response", http(), **{"WARC-Date": "yesterday"})), "warc_damaged"),
        (members(record("response", http(b"?", ENCODED + "br"))), "warc_damaged: record at byte 0 cannot be read (its"),
        (members(record("response", http(b"?", ENCODED + "gzip"))), "warc_damaged: record at byte 0 cannot be read"),
        (zstd.compress(b"")[:-3] + b"?", "warc_torn: from byte 0 of the unpacked file on"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path, content: bytes, finding: str | None) -> None:
    _, rows = read(tmp_path, content)
    assert len(rows) == (finding is not None)
    assert finding is None or rows[0].startswith(finding)


SEALED = [exchange(f"https://a.test/{n}") for n in range(4)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.warc.gz", members(*SEALED)),
        ("x.warc.gz", whole(*SEALED)),
        ("x.warc.gz", whole(*SEALED[:2]) + whole(*SEALED[2:])),
        ("x.warc.gz", members(*SEALED[:2]) + whole(*SEALED[2:])),
        ("x.warc", b"".join(SEALED).replace(b"\0SPLIT", b"")),
        ("x.warc", members(*SEALED)),
        ("x.warc.gz", b"".join(SEALED).replace(b"\0SPLIT", b"")),
        ("x.warc.zst", zstd.compress(b"".join(SEALED).replace(b"\0SPLIT", b""))),
        ("x.warc.zst", b"".join(zstd.compress(part) for each in SEALED for part in each.split(b"\0SPLIT"))),
    ],
)
def test_a_file_of_ours_is_read_however_it_was_packed_anew(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    tears: list[Tear] = []
    assert [each.url for each in read_captured(tmp_path, tears.append)] == [f"https://a.test/{n}" for n in range(4)]
    assert tears == []


@pytest.mark.parametrize("pack", [members, whole, lambda *parts: b"".join(parts).replace(b"\0SPLIT", b"")])
def test_bytes_that_changed_before_they_were_packed_anew_show_by_their_digest(
    tmp_path: Path, pack: Callable[..., bytes]
) -> None:
    digest = {"WARC-Block-Digest": "sha256:" + hashlib.sha256(http()).hexdigest()}
    spoilt = record("response", http(), **digest).replace(b"Lantern", b"Lattern")
    path = tmp_path / "x.warc.gz"
    path.write_bytes(pack(SEALED[0], spoilt, SEALED[1]))
    tears: list[Tear] = []
    assert [each.capture.url for each in read_sealed(path, on_tear=tears.append)] == [
        "https://a.test/0",
        "https://a.test/1",
    ]
    (tear,) = tears
    assert "does not have its block digest" in tear.found
    assert (tear.url, tear.last) == ("https://a.test/1", False)


def test_a_response_of_ours_without_its_seal_is_never_read_as_anothers(tmp_path: Path) -> None:
    info = record("warcinfo", b"software: crossmusim/0.1\r\n", url="urn:x")
    for name, content in (
        ("renamed.warc.gz", members(info, record("response", http()))),
        ("crossmusim-1.warc.gz", members(record("response", http()))),
    ):
        (tmp_path / name).write_bytes(content)
        assert list(read_sealed(tmp_path / name)) == []


# --- nothing in a record ends a replay ---

LIES = st.sampled_from(["-5", "1e9", "", "٣", "99999999999999999999", "5\r\nContent-Length: 7", "0x10", " 12 "])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.just("\ud83d")
    | st.just(10**400),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=8,
)
NOTES = st.dictionaries(
    st.sampled_from(["source", "kind", "form", "task_key", "track_id", "url", "consent", "consent_evidence"])
    | st.sampled_from(["retrieved_at", "body_sha256"]),
    JSON | st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "denial", "resource", "2026-13"]),
)  # fmt: skip


@pytest.mark.parametrize("more", [1, 4, 9, 40])
def test_a_length_that_reaches_into_the_next_record_costs_its_own_alone(tmp_path: Path, more: int) -> None:
    records = [record("response", http(), url=f"https://a.test/{n}") for n in range(3)]
    length = str(len(http()))
    records[1] = records[1].replace(f"Length: {length}".encode(), f"Length: {int(length) + 4 + more}".encode())
    (tmp_path / "x.warc").write_bytes(b"".join(records))
    tears: list[Tear] = []
    urls = [each.url for each in read_captured(tmp_path, tears.append)]
    assert (urls, len(tears)) == (["https://a.test/0", "https://a.test/2"], 1)


@settings(max_examples=60, deadline=None)
@given(
    changes=NOTES,
    raw=st.none() | st.binary(max_size=60),
    lie=st.none() | LIES,
    junk=st.binary(max_size=40),
    at=st.integers(0, 5),
)
def test_no_record_however_wrong_ends_a_replay(
    tmp_path_factory: pytest.TempPathFactory,
    changes: dict[str, object],
    raw: bytes | None,
    lie: str | None,
    junk: bytes,
    at: int,
) -> None:
    """A record with a note, a length, an address and a head of any kind stands between two that are sound."""
    folder = tmp_path_factory.mktemp("fuzz")
    fields = {"Content-Type": METADATA_TYPE, **({"Content-Length": lie} if lie is not None else {})}
    beside = {"WARC-Concurrent-To": "<urn:uuid:response-https://a.test/9>"}
    odd = [
        record("response", junk + http(junk), url="https://a.test/9"),
        record("metadata", note(**changes) if raw is None else raw, **fields, **beside),
        record("response", http(), url=junk.decode("latin-1").replace("\n", "").replace("\r", "")),
        record(junk.hex() or "x", junk),
        junk,
        record("resource", junk, drop="WARC-Date", **{"WARC-Date": "99999-99-99"}),
    ]
    middle = [odd[at]] if at != 1 else [record("response", http(), url="https://a.test/9"), odd[1]]
    for pack in (members, lambda *parts: b"".join(parts).replace(b"\0SPLIT", b"")):
        (folder / "x.warc.gz").write_bytes(pack(SEALED[0], *middle, SEALED[2]))
        tears: list[Tear] = []
        captures = [each if each.source else attributed(each, SOURCES) for each in read_captured(folder, tears.append)]
        assert "https://a.test/2" in [each.url for each in captures]
        settle_readings([pl.concat([empty_readings(), *read_captures(captures, SOURCES)]).select])
        "".join(f"{tear.found} {tear.url}" for tear in tears).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"{" * 50_000,
        b'{"source": ' * 20_000,
        note(url="\ud83d"),
        note(track_id=7),
        note(consent_evidence="no"),
        note(consent_evidence=["\ud83d"]),
        note(retrieved_at="12026-01-01"),
        note(form="nonsense"),
        b"[]",
        b"null",
        b"1" * 10_000,
        note(url="x" * 2_000_000),
    ],
)
def test_a_note_of_any_kind_is_a_named_row_and_the_others_are_read(tmp_path: Path, content: bytes) -> None:
    beside = {"Content-Type": METADATA_TYPE, "WARC-Concurrent-To": "<urn:uuid:response-https://a.test/9>"}
    odd = [record("response", http(), url="https://a.test/9"), record("metadata", content, **beside)]
    titles, rows = read(tmp_path, members(SEALED[0], *odd, SEALED[1]))
    assert len(titles) == 2
    assert len(rows) == 1
    assert rows[0].startswith("warc_damaged: record at byte")
    assert "https://a.test/9" in rows[0]
