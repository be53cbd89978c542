"""Capture and replay: what is sealed comes back as it was, what is torn is read up to the tear."""

from __future__ import annotations

import gzip
import io
import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from sourcing.crawling.source import Capture
from sourcing.crawling.warc.reader import Tear, read_captured, read_sealed, warc_files
from sourcing.crawling.warc.writer import METADATA_TYPE, CaptureWriter, Exchange

WHEN = datetime(2026, 11, 2, 3, 4, 5, 678901, tzinfo=UTC)
BODY = b"<p>h\xc3\xa9llo</p>\r\n\r\nmore"
DIGEST = sha256(BODY).hexdigest()


def _exchange(n: int, body: bytes = BODY, url: str = "", **changes: object) -> Exchange:
    url = url or f"http://a.test/{n}?q=1"
    headers = [("Content-Type", "text/html"), ("Vary", "Accept"), ("Vary", "Origin")]
    capture = Capture(
        source="site",
        kind="page",
        task_key=f"{n:064x}",
        url=url,
        status=200,
        headers={},
        body=body,
        retrieved_at=WHEN,
        track_id=f"t{n}",
        consent_evidence=("robots.txt: allowed",),
    )
    secret = [("Set-Cookie", "sid=SECRET"), ("Content-Encoding", "gzip"), ("Link", "<http://a.test/?api_key=SECRET>")]
    request = [("User-Agent", "crossmusim"), ("Authorization", "Bearer SECRET"), ("Cookie", "sid=SECRET")]
    return Exchange(replace(capture, **changes), [*headers, *secret], request)  # type: ignore[arg-type]


RESPONSE = _exchange(1)
UNCHANGED_BY_STATUS = _exchange(2, b"", form="revisit", status=304, body_sha256=DIGEST)
UNCHANGED_BY_BODY = replace(
    _exchange(3, form="revisit", body_sha256=DIGEST), refers_to_url="http://a.test/1", refers_to_date=WHEN
)
RESOURCE = Exchange(
    replace(_exchange(4, b'{"id": 4}').capture, form="resource", headers={"content-type": "application/json"})
)
DENIAL = Exchange(
    replace(_exchange(5, b"").capture, form="denial", status=0, consent="deny", consent_evidence=("robots.txt: no",))
)
FORMS = (RESPONSE, UNCHANGED_BY_STATUS, UNCHANGED_BY_BODY, RESOURCE, DENIAL)


def _write(folder: Path, *exchanges: Exchange) -> Path:
    writer = CaptureWriter(folder, "crossmusim/test")
    for exchange in exchanges:
        writer.write(exchange)
    writer.close()
    return folder / writer.file


def test_a_response_comes_back_as_it_was(tmp_path: Path) -> None:
    _write(tmp_path, _exchange(1), _exchange(2, b""))
    first, second = read_captured(tmp_path)
    assert (first.body, second.body) == (BODY, b"")
    assert (first.url, first.status, first.track_id) == ("http://a.test/1?q=1", 200, "t1")
    assert (first.form, first.body_sha256) == ("response", None)
    assert first.retrieved_at == WHEN
    assert first.header("Vary") == "Accept, Origin"
    assert first.header("content-length") == str(len(first.body))
    assert first.consent_evidence == ("robots.txt: allowed",)


def test_every_form_comes_back_as_what_it_was(tmp_path: Path) -> None:
    _write(tmp_path, *FORMS)
    _, by_status, by_body, resource, denial = read_captured(tmp_path)
    assert (by_status.form, by_status.status, by_status.body, by_status.body_sha256) == ("revisit", 304, b"", DIGEST)
    assert (by_body.form, by_body.status, by_body.body, by_body.body_sha256) == ("revisit", 200, b"", DIGEST)
    assert by_body.header("content-type") == "text/html"
    assert (resource.form, resource.status, resource.body) == ("resource", 200, b'{"id": 4}')
    assert resource.header("content-type") == "application/json"
    assert (denial.form, denial.status, denial.body, denial.consent) == ("denial", 0, b"", "deny")
    assert denial.consent_evidence == ("robots.txt: no",)
    assert [capture.track_id for capture in read_captured(tmp_path)] == ["t1", "t2", "t3", "t4", "t5"]


@pytest.mark.parametrize("body", [b"", b"a" * 5_000_000, random.Random(1).randbytes(300_000), b"\r\n\r\n", b"\x1f\x8b"])
def test_bodies_of_all_kinds_and_lengths_come_back(tmp_path: Path, body: bytes) -> None:
    writer = CaptureWriter(tmp_path, "crossmusim/test")
    assert writer.write(_exchange(1, body)) == sha256(body).hexdigest()
    writer.write(_exchange(2))
    writer.close()
    assert [capture.body for capture in read_captured(tmp_path)] == [body, BODY]


def test_secrets_never_reach_the_file(tmp_path: Path) -> None:
    keyed = "http://u:SECRET@a.test/1?api_key=SECRET&q=1"
    revisit = _exchange(2, b"", url=keyed, form="revisit", body_sha256=DIGEST)
    others = [_exchange(n, url=keyed, form=form) for n, form in ((3, "resource"), (4, "denial"))]
    path = _write(tmp_path, _exchange(1, url=keyed), replace(revisit, refers_to_url=keyed), *others)
    text = gzip.decompress(path.read_bytes())
    assert b"SECRET" not in text
    assert b"Authorization" not in text
    assert b"GET /1?q=1 HTTP/1.1" in text


def test_no_header_can_begin_a_line_of_its_own(tmp_path: Path) -> None:
    exchange = replace(_exchange(1), response_headers=[("X-Odd", "a\r\n\r\nbody\x00"), ("X-\nName", "\ud83d")])
    path = _write(tmp_path, exchange)
    (capture,) = read_captured(tmp_path)
    assert capture.body == BODY
    assert capture.header("x-odd") == "a    body"
    with path.open("rb") as stream:
        assert len(list(ArchiveIterator(stream, check_digests="raise"))) == 4


def test_any_warc_reader_reads_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path, *FORMS)
    kinds = []
    profiles = []
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, check_digests="raise"):
            kinds.append(record.rec_type)
            content = record.content_stream().read()
            headers = record.rec_headers
            if record.rec_type == "response":
                assert content == BODY
                assert headers.get_header("WARC-Payload-Digest") == f"sha256:{DIGEST}"
            elif record.rec_type == "resource":
                assert (content, headers.get_header("Content-Type")) == (b'{"id": 4}', "application/json")
            elif record.rec_type == "revisit":
                assert headers.get_header("WARC-Payload-Digest") == f"sha256:{DIGEST}"
                profiles.append(headers.get_header("WARC-Profile").rsplit("/", 1)[1])
                refers = headers.get_header("WARC-Refers-To-Target-URI"), headers.get_header("WARC-Refers-To-Date")
                assert refers in [("http://a.test/2?q=1", None), ("http://a.test/1", "2026-11-02T03:04:05.678901Z")]
    beside = ["request", "metadata"]
    assert kinds == [
        *("warcinfo", "response", *beside, "revisit", *beside, "revisit", *beside),
        *("resource", "metadata", "metadata"),
    ]
    assert profiles == ["server-not-modified", "identical-payload-digest"]


def test_the_file_passes_the_check_of_the_standard_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path, *FORMS, _exchange(9, b"x" * 100_000))
    assert Checker(SimpleNamespace(inputs=[str(path)], verbose=False)).process_all() == 0
    assert capsys.readouterr().out == ""
    whole = path.read_bytes()
    members = gzip.decompress(whole).replace(b"llo</p>", b"LLO</p>")
    path.write_bytes(gzip.compress(members))
    assert Checker(SimpleNamespace(inputs=[str(path)], verbose=False)).process_all() == 1, "the digests are real"


def test_files_put_together_by_the_standard_library_are_read_as_ours(tmp_path: Path) -> None:
    note = {"source": "site", "kind": "page", "task_key": "k", "track_id": None, "url": "http://a.test/1"}
    note |= {"consent": "allow", "consent_evidence": [], "retrieved_at": WHEN.isoformat()}
    sealing = json.dumps(note).encode()
    with (tmp_path / "old.warc.gz").open("wb") as stream:
        writer = WARCWriter(stream, gzip=True, warc_version="WARC/1.1")
        head = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
        response = writer.create_warc_record(
            "http://a.test/1", "response", payload=io.BytesIO(BODY), length=len(BODY), http_headers=head
        )
        beside = {"WARC-Concurrent-To": response.rec_headers.get_header("WARC-Record-ID")}
        metadata = writer.create_warc_record(
            "http://a.test/1",
            "metadata",
            payload=io.BytesIO(sealing),
            length=len(sealing),
            warc_content_type=METADATA_TYPE,
            warc_headers_dict=beside,
        )
        writer.write_record(response)
        writer.write_record(metadata)
    (capture,) = read_captured(tmp_path)
    assert (capture.body, capture.form, capture.track_id) == (BODY, "response", None)


def test_a_revisit_must_name_the_body_it_found_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.test/1.*body_sha256"):
        _write(tmp_path, _exchange(1, b"", form="revisit"))


def test_a_torn_file_is_read_up_to_the_tear_wherever_it_tears(tmp_path: Path) -> None:
    path = _write(tmp_path, *FORMS)
    whole = path.read_bytes()
    ends = [sealed.end for sealed in read_sealed(path)]
    assert ends[-1] == len(whole)
    for cut in range(0, len(whole), 41):
        path.write_bytes(whole[:cut])
        tears: list[Tear] = []
        read = list(read_captured(tmp_path, tears.append))
        assert len(read) == sum(end <= cut for end in ends)
        assert [tear.path for tear in tears] in ([], [path])
        for tear in tears:
            assert f"record at byte {tear.offset} is cut after {cut - tear.offset} bytes" in tear.found


def test_garbage_in_a_file_is_named_and_read_around(tmp_path: Path) -> None:
    path = _write(tmp_path, *FORMS)
    whole = path.read_bytes()
    ends = [sealed.end for sealed in read_sealed(path)]
    chance = random.Random(1)
    for garbage in (b"not gzip at all", bytes(64), chance.randbytes(64), gzip.compress(b"no WARC"), whole[1:40]):
        path.write_bytes(whole[: ends[1]] + garbage + whole[ends[1] :])
        tears: list[Tear] = []
        assert len(list(read_captured(tmp_path, tears.append))) == len(FORMS)
        assert [(tear.offset, tear.last) for tear in tears] == [(ends[1], False)]


def test_a_file_after_a_torn_one_is_read(tmp_path: Path) -> None:
    first = _write(tmp_path, _exchange(1))
    first.write_bytes(first.read_bytes()[:-3])
    second = _write(tmp_path, _exchange(2))
    assert warc_files(tmp_path) == [first, second], "a new run never appends to an older file"
    tears: list[Tear] = []
    assert [capture.track_id for capture in read_captured(tmp_path, tears.append)] == ["t2"]
    assert [tear.path for tear in tears] == [first]


def test_reading_goes_on_from_where_it_ended(tmp_path: Path) -> None:
    path = _write(tmp_path, *FORMS)
    sealed = list(read_sealed(path))
    for n, one in enumerate(sealed):
        assert [later.capture for later in read_sealed(path, start=one.end)] == [
            later.capture for later in sealed[n + 1 :]
        ]


def test_files_rotate_by_size_and_say_whose_they_are(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path, "crossmusim/test", max_bytes=900, label="one")
    lengths = []
    for n in range(4):
        writer.write(_exchange(n))
        lengths.append((writer.file, writer.flush()))
    writer.close()
    assert dict(lengths) == {path.name: path.stat().st_size for path in warc_files(tmp_path)}
    assert len(dict(lengths)) > 1
    assert all("-one-" in path.name for path in warc_files(tmp_path))
    assert [capture.track_id for capture in read_captured(tmp_path)] == ["t0", "t1", "t2", "t3"]
