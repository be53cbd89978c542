"""What people see beside results: tables keep ids whole at 80 columns, progress has total, rate and time left."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from rich.cells import cell_len
from rich.table import Table

from sourcing.commands import console
from sourcing.commands.console import Advance, open_progress, print_lines

IDS = [f"library-2024-{number:04}-abcdefghijklm" for number in range(3)]


def printed(table: Table, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    print_lines([table])
    return capsys.readouterr().out


def a_table(columns: int, words: str = "a title of several words") -> Table:
    table = Table("track_id", *(f"column {number}" for number in range(columns)), "version")
    for track_id in IDS:
        table.add_row(track_id, *[words] * columns, "10.20.30 (latest)")
    return table


@pytest.mark.parametrize("columns", [0, 1, 4, 9])
@pytest.mark.parametrize("width", [40, 80])
def test_ids_and_versions_are_whole_however_narrow_it_is(
    columns: int, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = printed(a_table(columns), capsys, monkeypatch, width)
    assert all(word in out for word in [*IDS, "10.20.30"])
    assert "…" not in out


@pytest.mark.parametrize(
    "words", ["a title of several words", "曲名がとても長いので折り返される", "audio/2024/a/long/path.flac"]
)
def test_words_paths_and_titles_fold_where_the_ids_leave_room(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = printed(a_table(1, words), capsys, monkeypatch, 80)
    assert all(cell_len(line) <= 80 for line in out.splitlines())
    assert "…" not in out
    assert all(track_id in out for track_id in IDS)


def test_a_table_that_fits_is_as_wide_as_its_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = printed(a_table(1), capsys, monkeypatch, 200)
    assert set(map(len, out.splitlines())) == {82}


def test_progress_tells_total_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    unknown, some, large = Advance("x", None, ""), Advance("x", 300, ""), Advance("x", 40_000_000, "bytes")
    assert some.amounts() == "0 of 300"
    now += 10
    unknown(50)
    some(100)
    large(10_000_000)
    assert unknown.amounts() == "50, 5/s"
    assert some.amounts() == "100 of 300, 10/s, 20 s left"
    assert large.amounts() == "10.0 MB of 40.0 MB, 1.0 MB/s, 30 s left"
    now += 7190
    assert some.amounts() == "100 of 300, 0.833/min, 4 h 00 min left"
    some.reach(300, 300)
    assert some.amounts() == "300 of 300, 2.5/min"


def test_without_a_terminal_progress_is_a_line_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    with open_progress("asking", 40) as advance:
        for _ in range(12):
            now += 1
            advance(note="busy")
    assert capsys.readouterr().err.splitlines() == [
        "asking: 5 of 40, 1/s, 35 s left  busy",
        "asking: 10 of 40, 1/s, 30 s left  busy",
    ]


def test_on_a_terminal_progress_is_a_bar_that_ends_at_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("rich.progress.Progress.update", lambda _self, _task, **fields: shown.append(fields))
    with open_progress("asking", None) as advance:
        for done in range(1, 500):
            advance.reach(done, 499)
    assert len(shown) < 100  # a bar need not be drawn for each
    assert (shown[-1]["completed"], shown[-1]["total"]) == (499, 499)
