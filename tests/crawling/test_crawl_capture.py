"""Capture and replay: what is sealed comes back as it was, what is torn is read up to the tear."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from sourcing.crawling.capture import CaptureWriter, Exchange
from sourcing.crawling.ledger import Ledger, task_key
from sourcing.crawling.replay import Tear, read_captured, warc_files
from sourcing.crawling.scribe import reconcile
from sourcing.crawling.sources.base import Captured, TaskSpec

WHEN = datetime(2026, 11, 2, 3, 4, 5, 678901, tzinfo=UTC)


def _exchange(n: int, body: bytes = b"<p>h\xc3\xa9llo</p>\r\n\r\nmore", url: str = "") -> Exchange:
    url = url or f"http://a.test/{n}?q=1"
    headers = [("Content-Type", "text/html"), ("Vary", "Accept"), ("Vary", "Origin")]
    captured = Captured(
        source="site",
        kind="page",
        task_key=task_key("site", url),
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
    return Exchange(captured, [*headers, *secret], request)


def _write(folder: Path, *exchanges: Exchange) -> Path:
    writer = CaptureWriter(folder, "crossmusim/test")
    for exchange in exchanges:
        writer.write(exchange)
    writer.close()
    return folder / writer.file


def test_a_response_comes_back_as_it_was(tmp_path: Path) -> None:
    _write(tmp_path, _exchange(1), _exchange(2, b""))
    first, second = read_captured(tmp_path)
    assert (first.body, second.body) == (b"<p>h\xc3\xa9llo</p>\r\n\r\nmore", b"")
    assert (first.url, first.status, first.track_id) == ("http://a.test/1?q=1", 200, "t1")
    assert first.retrieved_at == WHEN
    assert first.header("Vary") == "Accept, Origin"
    assert first.header("content-length") == str(len(first.body))
    assert first.consent_evidence == ("robots.txt: allowed",)


def test_secrets_never_reach_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path, _exchange(1, url="http://a.test/1?api_key=SECRET&q=1"))
    import gzip

    text = gzip.decompress(path.read_bytes())
    assert b"SECRET" not in text
    assert b"Authorization" not in text
    assert b"GET /1?q=1 HTTP/1.1" in text


def test_any_warc_reader_reads_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path, _exchange(1))
    with path.open("rb") as stream:
        kinds = []
        for record in ArchiveIterator(stream, check_digests="raise"):
            kinds.append(record.rec_type)
            content = record.content_stream().read()
            if record.rec_type == "response":
                assert content == b"<p>h\xc3\xa9llo</p>\r\n\r\nmore"
                assert record.rec_headers.get_header("WARC-Payload-Digest")
    assert kinds == ["warcinfo", "response", "request", "metadata"]


def test_a_torn_file_is_read_up_to_the_tear_wherever_it_tears(tmp_path: Path) -> None:
    path = _write(tmp_path, _exchange(1), _exchange(2))
    whole = path.read_bytes()
    (tmp_path / "one").mkdir()
    boundary = _write(tmp_path / "one", _exchange(1)).stat().st_size
    for cut in range(boundary + 40, len(whole) - 1, 97):
        path.write_bytes(whole[:cut])
        tears: list[Tear] = []
        assert [captured.track_id for captured in read_captured(tmp_path, tears.append)] == ["t1"]
        assert len(tears) <= 1
    path.write_bytes(whole[:-5])
    assert len(list(read_captured(tmp_path, tears.append))) == 1
    assert "is cut after" in tears[-1].found


def test_noise_after_a_sound_record_is_a_tear_and_no_exception(tmp_path: Path) -> None:
    path = _write(tmp_path, _exchange(1))
    path.write_bytes(path.read_bytes() + b"not gzip at all")
    tears: list[Tear] = []
    assert len(list(read_captured(tmp_path, tears.append))) == 1
    assert "is not gzip" in tears[0].found


def test_a_new_run_never_appends_to_an_older_file(tmp_path: Path) -> None:
    first = _write(tmp_path, _exchange(1))
    first.write_bytes(first.read_bytes()[:-3])
    second = _write(tmp_path, _exchange(2))
    assert warc_files(tmp_path) == [first, second]
    assert [captured.track_id for captured in read_captured(tmp_path)] == ["t2"]


def test_files_rotate_by_size(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path, "crossmusim/test", max_bytes=900)
    for n in range(4):
        writer.write(_exchange(n))
    writer.close()
    assert len(warc_files(tmp_path)) > 1
    assert [captured.track_id for captured in read_captured(tmp_path)] == ["t0", "t1", "t2", "t3"]


@pytest.mark.parametrize("marked", [0, 1])
def test_answers_the_ledger_does_not_know_are_entered_and_not_asked_again(tmp_path: Path, marked: int) -> None:
    writer = CaptureWriter(tmp_path, "crossmusim/test")
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.add(TaskSpec("site", f"http://a.test/{n}?q=1", "page") for n in range(3))
    ledger.lease(3, 0.0, 60.0)
    for n in range(2):
        writer.write(_exchange(n))
        offset = writer.flush()
        if n < marked:
            ledger.fetched(_exchange(n).captured.task_key, now=1.0)
            ledger.mark_warc(writer.file, offset)
    writer.close()
    assert reconcile(ledger, tmp_path, {}, 5.0) == 2 - marked
    assert reconcile(ledger, tmp_path, {}, 5.0) == 0
    ledger.release_own()
    assert [task.url for task in ledger.lease(9, 6.0, 60.0)] == ["http://a.test/2?q=1"]
