"""The page as data and as text: what a cell shows, what filters look at, and that nothing in it can run or fetch."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commands import run_json
from runworld import HOSTILE, a_run

from sourcing.errors import InputError
from sourcing.workbench.page.page import page_data, render_page
from sourcing.workbench.page.server import MAX_BODY_BYTES, PageServer
from sourcing.workbench.runs import save_run


def test_a_cell_holds_what_the_filters_look_at() -> None:
    data = page_data([a_run("mine@1.0.0"), a_run("mine@1.1.0", aspects=0, unborne=2)], stale=["mine@1.0.0"])
    first, second = data["items"][0]["cells"]
    assert (first["unsupported"], second["unsupported"]) == (0, 2)
    assert (first["supported"], second["supported"]) == (1.0, 0.0)
    assert first["expensive"]
    assert not data["items"][1]["cells"][0]["expensive"]
    assert [variant["stale"] for variant in data["variants"]] == [True, False]
    assert "STALE" in data["variants"][0]["line"]
    assert "quote_not_found" in data["items"][0]["search"]


def test_an_item_that_reads_otherwise_is_another_row() -> None:
    changed = a_run("mine@1.1.0")
    changed = replace(changed, subjects=[replace(each, digest=f"{each.digest}x") for each in changed.subjects])
    data = page_data([a_run("mine@1.0.0"), changed])
    assert len(data["items"]) == 6
    assert [cell is None for cell in data["items"][0]["cells"]] == [False, True]


def test_nothing_a_model_or_a_page_wrote_is_markup() -> None:
    page = render_page(page_data([a_run("mine@1.0.0", hostile=HOSTILE, unborne=1)]), title="t")
    assert page.count("<script") == 2, "the block of data, and our own"
    assert "<img" not in page
    assert "\u2028" not in page
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert block is not None
    assert json.loads(block[1])["items"][0]["cells"][0]["trials"][0]["caption"] == f"A slow waltz. {HOSTILE}"


def test_the_page_may_run_only_its_own_script_and_fetch_nothing() -> None:
    page = render_page(page_data([a_run("mine@1.0.0")]), title="t")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"""(src|href)=["'](?!data:,)""", page)
    assert "style=" not in page, "the policy refuses styles of elements"


def test_reports_are_written_for_runs_and_for_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["--workspace", str(tmp_path), "--json", "prompts", "report"]
    code, result = run_json(capsys, [*typed, "mine"])
    assert code == 0, "a pack without runs shows its recorded cases"
    assert result["variants"] == ["mine@1.0.0, recorded"]
    save_run(tmp_path / "workbench" / "runs", a_run("other@1.0.0"))
    code, result = run_json(capsys, typed)
    assert result["variants"] == ["other@1.0.0, m"]
    assert Path(result["path"]).stat().st_size > 10_000
    code, result = run_json(capsys, [*typed, "r7"])
    assert code == 2
    assert "r7" in result["error"]["message"]


@contextmanager
def serving(taken: list[bytes]) -> Iterator[str]:
    def decide(raw: bytes) -> str:
        if raw == b"bad":
            raise InputError("decisions", "these are none", "export them")
        taken.append(raw)
        return "taken"

    server, address = PageServer(lambda token: f"<p>{token}</p>", lambda: "s1", decide).start()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(address: str, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_live_page_takes_decisions_from_itself_alone() -> None:
    taken: list[bytes] = []
    with serving(taken) as address:
        own = urlsplit(address).netloc
        status, page = ask(address, "GET", "/")
        token = page.removeprefix("<p>").removesuffix("</p>")
        assert status == 200
        assert ask(address, "POST", "/decisions", b"{}", X_Token=token, Origin=f"http://{own}")[0] == 200
        assert taken == [b"{}"]
        refused = [
            ask(address, "GET", "/", Host="evil.example"),
            ask(address, "GET", "/", Origin="http://evil.example"),
            ask(address, "GET", "/stamp", Sec_Fetch_Site="cross-site"),
            ask(address, "POST", "/decisions", b"{}", Origin=f"http://{own}"),
            ask(address, "POST", "/decisions", b"{}", X_Token="guess"),
            ask(address, "POST", "/decisions", b"{}", X_Token=token, Origin="null"),
            ask(address, "POST", "/decisions", b"{}", X_Token=token, Host="evil.example:80"),
        ]
        assert [status for status, _ in refused] == [403] * 7
        assert taken == [b"{}"]
        assert ask(address, "GET", "/../../etc/passwd")[0] == 404
        assert ask(address, "POST", "/", b"{}", X_Token=token)[0] == 404
        assert ask(address, "PUT", "/decisions", b"{}", X_Token=token)[0] == 501
        status, said = ask(address, "POST", "/decisions", b"bad", X_Token=token)
        assert (status, "these are none" in said) == (422, True)
        too_long = {"X_Token": token, "Content_Length": str(MAX_BODY_BYTES + 1)}
        assert ask(address, "POST", "/decisions", b"", **too_long)[0] == 413
        assert ask(address, "GET", "/stamp") == (200, '{"stamp": "s1"}')
