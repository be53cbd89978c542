"""The demo's runner: real commands, their exit codes passed on, and no folder touched that is not its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sourcing.crawling.sources import SOURCES, enabled
from sourcing.demo.run import DemoOptions, Mission, StepFailed, _site, lay_out, prepare
from sourcing.demo.web import build_web
from sourcing.demo.world import build_world
from sourcing.errors import InputError, UsageError
from sourcing.settings import load_settings


def test_an_earlier_demo_is_kept_unless_fresh(tmp_path: Path) -> None:
    prepare(DemoOptions(tmp_path / "demo"))
    (tmp_path / "demo" / "report.html").write_text("old")
    with pytest.raises(InputError, match="--fresh"):
        prepare(DemoOptions(tmp_path / "demo"))
    prepare(DemoOptions(tmp_path / "demo", fresh=True))
    assert not (tmp_path / "demo" / "report.html").exists()


def test_a_folder_that_no_demo_made_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no demo made"):
        prepare(DemoOptions(tmp_path, fresh=True))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_the_settings_point_each_source_at_its_part_of_the_site(tmp_path: Path) -> None:
    lay_out(tmp_path / "a b", build_web(build_world(0, 30)), "http://127.0.0.1:7")
    settings = load_settings(tmp_path / "a b")
    assert settings.crawl.allow_private_hosts
    assert {name: source.base_url for name, source in settings.sources.items() if source.enabled is not False} == {
        "musicbrainz": "http://127.0.0.1:7/musicbrainz",
        "wikipedia": "http://127.0.0.1:7/wikipedia",
        "schemaorg": "http://127.0.0.1:7/reviews",
    }
    names = [name for name, source in SOURCES.items() if enabled(source, settings.sources.get(name))]
    assert names == ["musicbrainz", "schemaorg", "wikipedia"]
    urls = (tmp_path / "a b" / "review-urls.txt").read_text().splitlines()
    assert all(url.startswith("http://127.0.0.1:7/reviews/") for url in urls)


def test_a_second_demo_at_the_same_time_is_served_elsewhere(tmp_path: Path) -> None:
    web = build_web(build_world(0, 30))
    with _site(web, tmp_path / "one.jsonl") as one, _site(web, tmp_path / "two.jsonl") as two:
        assert one.url != two.url


def test_a_step_is_a_real_command_and_its_answer_is_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    mission = Mission(DemoOptions(tmp_path / "out", program="crossmusim"), lines.append)
    answer = mission.step("list", "Lists nothing.", ["dataset", "list", "--root", tmp_path / "none"])
    assert answer == mission.answers["list"] == {"versions": []}
    assert mission.commands["list"].startswith(f"crossmusim --workspace {tmp_path / 'out'} dataset list")
    assert mission.commands["list"] in "\n".join(lines)


def test_a_failing_step_names_itself_and_passes_its_exit_code_on(tmp_path: Path) -> None:
    mission = Mission(DemoOptions(tmp_path / "out"), lambda _line: None)
    with pytest.raises(StepFailed, match="demo step 'verify'") as caught:
        mission.step("verify", "Fails.", ["dataset", "verify", "absent", "--root", tmp_path])
    assert caught.value.exit_code == 3
    assert "absent" in str(caught.value)
