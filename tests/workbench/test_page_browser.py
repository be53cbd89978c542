"""The page in a real browser: a designer's way through it, hostile words that run nothing, and five thousand cells."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chatserver import chat_server, completion, json_reply
from commands import run_json
from genworld import write_pack
from loopback import Asked, Reply
from runworld import HOSTILE, a_run

from sourcing.workbench.page.page import page_data, render_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
CASES = """
- name: waltz
  inputs: {title: Dusk, document: "A slow waltz with pump organ and brushed drums, recorded in a church."}
  expect: {aspects_include: [pump organ]}
- name: new one
  inputs: {title: Dawn, document: "A slow waltz with pump organ, played twice."}
"""


@pytest.fixture
def page() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_context(accept_downloads=True, viewport={"width": 1280, "height": 800}).new_page()
        opened.complaints = []
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.on("console", lambda said: opened.complaints.append(said.text) if said.type == "error" else None)
        opened.on(
            "request", lambda asked: opened.complaints.append(asked.url) if asked.url.startswith("http") else None
        )
        yield opened
        browser.close()


def show(page: Any, folder: Path, html: str) -> float:
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    started = time.monotonic()
    page.goto(path.as_uri())
    page.wait_for_selector(".row")
    return time.monotonic() - started


def typed(root: Path, verb: str, *more: str) -> list[str]:
    return ["--workspace", str(root), "--json", "prompts", verb, *more]


@pytest.fixture
def workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A pack asked of two models, of which the second does worse; the browser's event loop must start after it."""
    pack = write_pack(tmp_path / "prompts", "mine")
    (pack / "cases.yaml").write_text(CASES, encoding="utf-8")
    good = {"caption": "A slow waltz with pump organ.", "aspects": ["slow waltz", "pump organ"]}
    worse = {"caption": "A slow waltz.", "aspects": ["slow waltz", "glass bells"]}

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        own = worse if body["model"] == "b" and "brushed" in json.dumps(body["messages"]) else good
        return json_reply(completion(json.dumps(own)))

    with chat_server(answer) as server:
        models = ["--model", "a", "--model", "b"]
        code, result = run_json(capsys, typed(tmp_path, "run", "mine", "--base-url", f"{server.url}/v1", *models))
    assert code == 0, result
    return tmp_path


def test_a_designer_filters_looks_accepts_and_the_pack_contains_it(
    workspace: Path, page: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code, result = run_json(capsys, typed(workspace, "report", "r1", "r2"))
    page.goto(Path(result["path"]).as_uri())
    page.locator("#filters button", has_text="regressed").click()
    assert page.locator(".row").count() == 1
    page.locator(".cell.worse").click()
    assert page.locator("#detail mark").all_inner_texts() == ["slow waltz"]
    assert "pump organ" in page.locator("#detail .chip.gone").all_inner_texts()
    assert page.locator("#detail .chip.off").first.inner_text() == "glass bells"
    page.keyboard.press("Escape")
    page.locator("#filters button", has_text="all").click()
    page.locator("#search").fill("new one")
    page.locator(".cell").first.click()
    page.locator(".variant.at textarea").fill("the organ is named")
    page.locator(".variant.at button", has_text="accept").click()
    with page.expect_download() as downloaded:
        page.locator("#export").click()
    decisions = workspace / "decisions.json"
    downloaded.value.save_as(decisions)
    (decision,) = json.loads(decisions.read_text(encoding="utf-8"))["decisions"]
    assert (decision["run"], decision["item"], decision["note"]) == ("r1", "new one", "the organ is named")
    code, result = run_json(capsys, typed(workspace, "accept", str(decisions)))
    assert code == 0, result
    code, result = run_json(capsys, typed(workspace, "test", "mine", "--case", "new one"))
    assert (code, result["outcomes"]) == (0, {"PASS": 1})
    assert page.complaints == []


def test_hostile_words_run_nothing(tmp_path: Path, page: Any) -> None:
    runs = [a_run("mine@1.0.0", hostile=HOSTILE, unborne=1), a_run("mine@1.1.0", aspects=0, hostile=HOSTILE)]
    show(page, tmp_path, render_page(page_data(runs, note=HOSTILE), title="safe"))
    page.locator(".cell").nth(1).click()
    page.wait_for_selector("#detail:not([hidden])")
    assert page.title() == "safe"
    assert page.locator("img").count() == 0
    assert HOSTILE.partition("\u2028")[0].strip() in page.locator("#detail .caption").first.inner_text()
    assert page.complaints == []


def test_the_keyboard_goes_everywhere(tmp_path: Path, page: Any) -> None:
    show(page, tmp_path, render_page(page_data([a_run("a@1.0.0", items=40), a_run("b@1.0.0", items=40)]), title="t"))
    for key in ("j", "j", "l"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "item 2, b@1.0.0, m, PASS"
    page.keyboard.press("a")
    assert page.locator("#export").inner_text() == "Export 1 decisions"
    page.keyboard.press("u")
    assert page.locator("#export").inner_text() == "Export decisions"
    page.keyboard.press("Enter")
    assert page.locator("#detail h2").inner_text() == "item 2"
    page.keyboard.press("Escape")
    assert page.locator("#detail").is_hidden()
    for _ in range(37):
        page.keyboard.press("ArrowDown")
    assert "item 39" in page.evaluate("document.activeElement.getAttribute('aria-label')"), "rows beyond the window"


def test_five_thousand_cells_show_rows_wherever_one_scrolls_and_all_in_print(tmp_path: Path, page: Any) -> None:
    runs = [a_run(f"mine@1.{n}.0", items=1000, unborne=1) for n in range(5)]
    show(page, tmp_path, render_page(page_data(runs), title="t"))
    assert "5000 cells" in page.locator("#summary").inner_text()
    assert page.locator(".row").count() < 100
    blank = page.evaluate(
        """async () => {
          const blanks = [];
          for (let place = 1; place <= 40; place++) {
            scrollTo(0, document.documentElement.scrollHeight * place / 41);
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            const hit = document.elementsFromPoint(100, 400).some((element) => element.closest(".row"));
            if (!hit) blanks.push(place);
          }
          return blanks;
        }"""
    )
    assert blank == []
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".row").count() == 1000
