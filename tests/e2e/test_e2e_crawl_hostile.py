"""Hostile sites, all in one crawl by the real command: each page is rejected with its reason or read, and it goes on.

The sites have public names and are reached through a proxy on loopback, as many networks have one: so private
addresses stay forbidden to the crawl, and its log shows every request that went out.
"""

from __future__ import annotations

import gzip
import importlib
import json
import random
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from crawls import SITE_FILES, finish, lay_out, start, table_bytes
from loopback import Asked, Loopback, Reply

from sourcing.store import Document, Workspace

pytestmark = pytest.mark.e2e

SENTENCE = "Une pièce lente pour piano et violoncelle, enregistrée l’été à l’abbaye de Sénanque."
JAPANESE = "静かな海の歌。ピアノとチェロのゆっくりした曲で、冬のホールで録音された。"
SIZE = 50_000_000
HTML = {"Content-Type": "text/html"}


def prose(sentence: str = SENTENCE) -> str:
    return f"<title>{sentence[:9]}</title>{f'<p>{sentence}</p>' * 9}"


def song(head: str = "") -> str:
    record = {"@type": "MusicRecording", "name": "Low Tide", "byArtist": {"@type": "MusicGroup", "name": "Kite"}}
    return f'<html><head>{head}<script type="application/ld+json">{json.dumps(record)}</script></head></html>'


def bomb(coding: str) -> Reply:
    """Fifty megabytes of nothing, in some kilobytes."""
    zeros = bytes(SIZE)
    packed = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "gzip, gzip": lambda body: gzip.compress(gzip.compress(body)),
        "br": lambda body: importlib.import_module("brotli").compress(body, quality=1),
        "zstd": lambda body: importlib.import_module("backports.zstd").compress(body),
    }[coding](zeros)
    assert len(packed) < SIZE / 500
    return Reply(packed, headers={**HTML, "Content-Encoding": coding})


def endless() -> Iterator[bytes]:
    while True:
        yield b"<p>and on</p>" * 10_000


def to(address: str) -> Reply:
    return Reply("", 302, {"Location": address})


#: page → what its site sends; each page has a site of its own, and none has a robots file
BOMBS = {coding.replace(", ", "-"): bomb(coding) for coding in ("gzip", "deflate", "gzip, gzip", "br", "zstd")}
PRIVATE = {
    "loopback": "http://127.0.0.1:{port}/secret",
    "number": "http://2130706433:{port}/secret",
    "short": "http://0x7f.1:{port}/secret",
    "name": "http://localhost:{port}/secret",
    "subname": "http://intern.localhost:{port}/secret",
    "six": "http://[::1]:{port}/secret",
    "mapped": "http://[::ffff:10.0.0.1]/secret",
    "network": "http://192.168.0.1/secret",
    "cloud": "http://169.254.169.254/latest/meta-data/",
}
REJECTED: dict[str, tuple[str, Reply]] = {
    **{f"bomb-{name}": ("body_too_large", reply) for name, reply in BOMBS.items()},
    "not-gzip": ("body_undecodable", Reply(b"\x1f\x8bnot gzip", headers={**HTML, "Content-Encoding": "gzip"})),
    "own-coding": ("content_encoding", Reply(b"??", headers={**HTML, "Content-Encoding": "x-own"})),
    "fifty-megabytes": ("body_too_large", Reply(b"x" * SIZE)),
    "promise": ("body_too_large", Reply(prose(), headers={**HTML, "Content-Length": str(10 * SIZE)})),
    "endless": ("body_too_large", Reply(endless())),
    "cut": ("cut_short", Reply([prose().encode()], headers={**HTML, "Content-Length": "5000000"})),
    "file": ("http_302", to("file:///etc/passwd")),
    "million-tags": ("page_too_large", Reply("<b>x</b>" * 1_000_000)),
    "million-divs": ("page_too_large", Reply("<div>" * 1_000_000)),
    "unnamed-charset": ("charset_unknown", Reply(prose(JAPANESE).encode("shift_jis"), headers=HTML)),
    "noise": ("body_binary", Reply(random.Random(1).randbytes(300_000))),
    "zeros": ("nothing_to_read", Reply(bytes(1_000_000))),
    "empty": ("body_empty", Reply("")),
    "gone": ("http_404", Reply("", 404)),
    "deep": ("json_ld_broken", Reply(f'<script type="application/ld+json">{"[" * 100_000}</script>')),
}
READ: dict[str, Reply] = {
    "windows-as-utf8": Reply(prose().encode("windows-1252"), headers={"Content-Type": "text/html; charset=utf-8"}),
    "utf8-as-latin": Reply(prose().encode(), headers={"Content-Type": "text/html; charset=iso-8859-1"}),
    "no-such-charset": Reply(prose().encode(), headers={"Content-Type": "text/html; charset=no such thing"}),
    "controls": Reply("".join(map(chr, range(32))) * 100 + prose().replace("lente", "le\x00n\x07te\u202e")),
    "big-head": Reply(song(f"<!--{'x' * 900_000}-->")),
    "good": Reply(song()),
}


class Sites:
    """Every site behind one proxy; a drip of a byte now and then ends when the test does."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.port = 0

    def __call__(self, asked: Asked) -> Reply:
        host, path = urlsplit(asked.path).hostname or "", urlsplit(asked.path).path
        name = host.removesuffix(".example")
        if path in SITE_FILES:
            return Reply("", 404)
        if name == "loop":
            return to(f"http://loop.example/{'b' if path == '/a' else 'a'}")
        if name == "chain":
            return to(f"http://chain.example{path}1")
        if name == "drip":
            return Reply(self._drip())
        if name.startswith("to-"):
            return to(PRIVATE[name.removeprefix("to-")].format(port=self.port))
        return REJECTED[name][1] if name in REJECTED else READ[name]

    def _drip(self) -> Iterator[bytes]:
        while not self.over.wait(0.2):
            yield b"<p>"


def test_no_hostile_page_stops_the_crawl(tmp_path: Path) -> None:
    sites = Sites()
    expected = {
        **{f"http://{name}.example/": reason for name, (reason, _) in REJECTED.items()},
        "http://loop.example/a": "too_many_redirects",
        "http://chain.example/a": "too_many_redirects",
        "http://drip.example/": "timeout",
        **{f"http://to-{name}.example/": "private_host" for name in PRIVATE},
    }
    good = [f"http://{name}.example/" for name in READ]
    with Loopback(sites) as proxy:
        sites.port = int(proxy.url.rpartition(":")[2])
        folder = lay_out(
            tmp_path / "w", [*expected, *good], crawl="timeout_s = 8\nmax_attempts = 1", source="rate_per_s = 100"
        )
        settings = folder / "crossmusim.toml"
        settings.write_text(settings.read_text().replace("allow_private_hosts = true\n", ""))
        code, result, err = finish(start(folder, http_proxy=proxy.url, no_proxy="", NO_PROXY="", HTTP_PROXY=proxy.url))
        sites.over.set()
        assert code == 0, err
        hosts = {urlsplit(asked.path).hostname for asked in proxy.log}
    assert {host for host in hosts if not (host or "").endswith(".example")} == set()  # no private address was asked
    rejected = {row["key"]: (row["reason"], row["finding"]) for row in Workspace(folder).read_rejected().to_dicts()}
    assert {key: reason for key, (reason, _) in rejected.items()} == expected
    assert all(finding for _, finding in rejected.values())
    assert (result["pending"], result["documents"], result["rejected"]) == (0, len(good), len(expected))

    documents = {row["url"]: row for row in Workspace(folder).read(Document).to_dicts()}
    assert sorted(documents) == sorted(good)
    for name in ("windows-as-utf8", "utf8-as-latin", "no-such-charset", "controls"):
        assert SENTENCE in documents[f"http://{name}.example/"]["text"]
    assert documents["http://good.example/"]["artist"] == documents["http://big-head.example/"]["artist"] == "Kite"

    before = table_bytes(folder)
    code, result, err = finish(start(folder, "crawl", "replay", "--fresh"))
    assert (code, table_bytes(folder)) == (0, before), err
