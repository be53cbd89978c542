"""Cells as owners write them: lengths, dates, languages, names and lists, each with what it becomes."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from catalogue_files import read_csv, read_one

from sourcing.catalogue import Reading, read_catalogue
from sourcing.catalogue.cells import ValueRefused, cell_text, credit, items
from sourcing.catalogue.dates import read_year, year_form
from sourcing.catalogue.durations import duration_unit, read_duration
from sourcing.catalogue.tongues import read_language


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("3:45", 225),
        ("0:03:45", 225),
        ("3'45\"", 225),
        ("3’45”", 225),
        ("3′45″", 225),
        ("3m45s", 225),
        ("3 min 45 sec", 225),
        ("3 Minuten 45 Sekunden", 225),
        ("3分45秒", 225),
        ("PT3M45S", 225),
        ("P0DT0H3M45.5S", 225.5),
        ("215,5", 215.5),
        ("225 s", 225),
        ("225000 ms", 225),
        ("1:02:03.5", 3723.5),
        ("３：４５", 225),
        ("'3:45", 225),
        ("1899-12-31 00:03:45", 225),
        (time(0, 3, 45), 225),
        (timedelta(seconds=225), 225),
        (Decimal("225.0"), 225),
        (225, 225),
        ("", None),
    ],
)
def test_a_length_is_read_in_any_form(cell: Any, seconds: float | None) -> None:
    assert read_duration(cell) == seconds


@pytest.mark.parametrize(
    "cell",
    [
        "0",
        0,
        "-3",
        "0:75",
        "1:75:00",
        "soon",
        "inf",
        "1_000",
        "90001",
        "99:59:59",
        "3:45:",
        "0x10",
        "1e400",
        datetime(2005, 3, 1),
    ],
)
def test_a_length_that_no_track_has_is_refused(cell: Any) -> None:
    with pytest.raises(ValueRefused, match="duration_illegal"):
        read_duration(cell)


@pytest.mark.parametrize(
    ("cells", "header", "unit"),
    [
        ([225_000, "180000", None], "Length", "ms"),
        ([225_000], "duration_s", "ms"),
        ([3_600, 3_700], "duration_s", "s"),
        ([225, "3:45"], "Length", "s"),
        ([0.0026, 0.0031], "Length", "day"),
        ([3.5], "Dauer (min)", "min"),
        ([1500], "durationMs", "ms"),
        (["03:45:00", "04:01:00", time(2, 59)], "Length", "clock"),
        (["01:02:03", "04:01:00", "02:59:00"], "Length", "s"),
    ],
)
def test_the_unit_of_a_column_is_told_by_its_header_and_median(cells: list[Any], header: str, unit: str) -> None:
    assert duration_unit(cells, header)[0] == unit


def test_a_number_among_milliseconds_that_may_be_seconds_is_emptied(tmp_path: Path) -> None:
    rows = "".join(f"{each},Song,Ada,{each}\n" for each in (215000, 180000, 240, 999, 200000))
    read = read_csv(tmp_path, f"track_id,title,artist,duration_s\n{rows}")
    assert read.tracks.sort("duration_s")["duration_s"].to_list() == [None, None, 180, 200, 215]
    assert read.rejected["reason"].to_list() == ["duration_illegal"] * 2


def test_lengths_that_may_be_minutes_are_told() -> None:
    unit, told = duration_unit(["3,20", "4,05", "3,05"], "Länge")
    assert (unit, "Länge (min)" in (told or "")) == ("s", True)
    assert duration_unit(["3,20", "4,05"], "Länge (min)")[0] == "min"
    assert duration_unit([2, 3], "duration_s") == ("s", None)


def test_milliseconds_are_told(tmp_path: Path) -> None:
    read = read_csv(tmp_path, "track_id,title,artist,duration_s\na,Song,Ada,225000\nb,Song,Ada,180000\n")
    assert read.tracks["duration_s"].to_list() == [225, 180]
    assert any("milliseconds" in note for note in read.notes)


@pytest.mark.parametrize(
    ("cell", "year"),
    [
        ("2005-03-01", 2005),
        ("01/03/2005", 2005),
        ("1.3.2005", 2005),
        ("March 2005", 2005),
        ("1 mars 2005", 2005),
        ("2005年3月1日", 2005),
        ("c. 1975", 1975),
        ("1975?", 1975),
        ("2005-00-00", 2005),
        ("20050301", 2005),
        ("２００５", 2005),
        ("℗ 2005", 2005),
        (date(2005, 3, 1), 2005),
        (2005.0, 2005),
        ("0000-00-00", None),
    ],
)
def test_a_date_is_read_down_to_its_year(cell: Any, year: int | None) -> None:
    assert read_year(cell) == year


@pytest.mark.parametrize("cell", ["1975-1977", "1970s", "01/03/05", "MCMLXXV", "12005", "soon", 1e300])
def test_a_date_that_names_no_one_year_is_refused(cell: Any) -> None:
    with pytest.raises(ValueRefused, match="year_illegal"):
        read_year(cell)


def test_serial_days_and_seconds_are_told_by_the_column() -> None:
    assert year_form([38_412, 38_413.5, "40000"])[0] == "serial"
    assert (read_year(38_412, "serial"), read_year("1999", "serial")) == (2005, 1999)
    assert year_form(["1104537600"] * 3)[0] == "epoch"
    assert (read_year("1104537600", "epoch"), read_year("1104537600000", "epoch_ms")) == (2005, 2005)
    assert year_form([1999, 2005, 2006])[0] == year_form([38_412])[0] == "date"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("German", "de"),
        ("Deutsch", "de"),
        ("deu", "de"),
        ("ger", "de"),
        ("allemand", "de"),
        ("zh_CN", "zh-CN"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("en_US.UTF-8", "en-US"),
        ("EN", "en"),
        ("日本語", "ja"),
        ("Französisch", "fr"),
        ("Portuguese (Brazil)", "pt"),
        ("iw", "he"),
        ("zxx", "zxx"),
    ],
)
def test_a_language_becomes_its_tag(text: str, tag: str) -> None:
    assert read_language(text) == tag


@pytest.mark.parametrize("text", ["English/French", "en;fr", "instrumental", "English please", "xx", "q", "Elvish"])
def test_what_names_no_one_language_is_refused(text: str) -> None:
    with pytest.raises(ValueRefused, match="language_illegal"):
        read_language(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"Caf\xc3\xa9", "Café"),
        ("b'Caf\\xc3\\xa9'", "Café"),
        (["X", "Y"], "X, Y"),
        ("['X', 'Y']", "X, Y"),
        ('["X"]', "X"),
        ([{"name": "X"}, {"name": "Y"}], "X, Y"),
        ({"name": "X"}, "X"),
        (7.0, "7"),
        (99, "99"),
        (True, "True"),
        ('="1979"', "1979"),
        ("AC/DC", "AC/DC"),
        ("[untitled]", "[untitled]"),
        ("B'Day", "B'Day"),
        ("'74–'75", "'74–'75"),
        ("Sigur\u200b Rós\u202e", "Sigur Rós"),
        ([], None),
        (float("nan"), None),
    ],
)
def test_a_credit_is_read_from_any_type(value: Any, text: str | None) -> None:
    assert credit(value) == text


@pytest.mark.parametrize(
    "value",
    [
        {"en": "A"},
        "{'en': 'A'}",
        "['unclosed",
        [["X"]],
        b"\xff\xfe",
        "b'\\xff'",
        float("inf"),
        object(),
        "<a.B object at 0x7f00>",
        "[object Object]",
        "datetime.date(2005, 3, 1)",
        "x" * 1_000_000,
    ],
)
def test_what_is_no_text_is_never_printed_as_one(value: Any) -> None:
    with pytest.raises(ValueRefused, match="not_text"):
        credit(value)


@pytest.mark.parametrize(
    ("cell", "listed"),
    [
        ("['calm piano', 'slow']", ["calm piano", "slow"]),
        ('["calm piano", "slow"]', ["calm piano", "slow"]),
        ("['it\\'s', \"o'clock\"]", ["it's", "o'clock"]),
        ("('calm piano',)", ["calm piano"]),
        ("['calm piano' 'slow']", ["calm piano", "slow"]),
        ("array(['calm piano', 'slow'], dtype=object)", ["calm piano", "slow"]),
        ("[{'id': 12, 'name': 'Pop'}]", ["Pop"]),
        ([{"name": "Pop", "count": 3}, None, "Pop"], ["Pop"]),
        ("[]", []),
        ("calm; slow ;;calm", ["calm", "slow"]),
        (["a;b"], ["a;b"]),
        ([b"caf\xc3\xa9"], ["café"]),
    ],
)
def test_lists_and_their_prints_are_lists(cell: Any, listed: list[str]) -> None:
    assert items(cell, ";") == listed


@pytest.mark.parametrize(
    ("cells", "tags"),
    [
        (["Rock|Pop", "Folk"], [["Rock", "Pop"], ["Folk"]]),
        (["Rock / Pop", "R&B"], [["Rock", "Pop"], ["R&B"]]),
        (['"Rock, Pop"', "Drum/Bass"], [["Rock", "Pop"], ["Drum/Bass"]]),
        (["a;b", '"c, d"'], [["a", "b"], ["c, d"]]),
        (['"Folk, World, & Country"', "Pop"], [["Folk, World, & Country"], ["Pop"]]),
    ],
)
def test_the_separator_of_tags_is_told_by_the_column(tmp_path: Path, cells: list[str], tags: list[list[str]]) -> None:
    rows = "".join(f"{place},Song,Ada,{cell}\n" for place, cell in enumerate(cells))
    assert read_csv(tmp_path, f"track_id,title,artist,tags\n{rows}").tracks["tags"].to_list() == tags


def test_a_separator_that_is_given_wins(tmp_path: Path) -> None:
    read = read_csv(tmp_path, "track_id,title,artist,tags\na,Song,Ada,x;y|z\n", reading=Reading(separator="|"))
    assert read.tracks["tags"].to_list() == [["x;y", "z"]]


@pytest.mark.parametrize("word", ["NaN", "N/A", "-", "#N/A", "null", "None", "\\N"])
def test_a_programs_word_for_nothing_is_nothing(tmp_path: Path, word: str) -> None:
    track, reasons = read_one(tmp_path, album=word, year=word, isrc=word, duration_s=word, language=word, tags=[word])
    assert reasons == []
    assert track is not None
    assert [track[name] for name in ("album", "year", "isrc", "duration_s", "language", "tags")] == [None] * 5 + [[]]


@pytest.mark.parametrize(
    ("artist", "text"), [("X; Y", "X, Y"), ("X|Y", "X, Y"), ("Simon &amp; Garfunkel", "Simon & Garfunkel")]
)
def test_several_artists_are_a_credit(tmp_path: Path, artist: str, text: str) -> None:
    track, _ = read_one(tmp_path, artist=artist, album="Live; 1999 | rest")
    assert track is not None
    assert (track["artist"], track["album"]) == (text, "Live; 1999 | rest")


def test_an_artist_called_none_is_kept_and_told(tmp_path: Path) -> None:
    track, reasons = read_one(tmp_path, artist="NULL")
    assert track is not None
    assert (track["artist"], reasons) == ("NULL", ["name_doubtful"])


@pytest.mark.parametrize("title", ["\u200b", "\u3164", "\u2800\u2800", "\ufffd", "\u0301", "\u00a0", "-", "#N/A"])
def test_a_title_that_shows_nothing_rejects_the_row(tmp_path: Path, title: str) -> None:
    assert read_one(tmp_path, title=title) == (None, ["title_missing"])


@pytest.mark.parametrize("title", ["!!!", "?", "÷", "1979", "…", "❤", "上", "I", "(What's the Story)", "[Intro]"])
def test_a_title_of_signs_is_one(tmp_path: Path, title: str) -> None:
    track, reasons = read_one(tmp_path, title=title)
    assert track is not None
    assert (track["title"], reasons) == (title, [])


def test_double_encoding_and_entities_are_put_right_and_told(tmp_path: Path) -> None:
    read = read_csv(tmp_path, "track_id,title,artist\na,CafÃ© crÃ¨me,Simon &amp; Garfunkel\n")
    assert read.tracks.select("title", "artist").rows() == [("Café crème", "Simon & Garfunkel")]
    assert any("put right in title 1, artist 1" in note for note in read.notes)


@pytest.mark.parametrize(
    ("columns", "reasons"),
    [
        ({"title": {"en": "A"}}, ["title_not_text"]),
        ({"title": ["A", "B"]}, ["title_not_text"]),
        ({"artist": [["X"]]}, ["artist_not_text"]),
        ({"track_id": ["a", "b"]}, ["track_id_not_text"]),
        ({"title": "x" * 5_000}, ["title_not_text"]),
    ],
)
def test_a_row_without_a_title_or_artist_in_text_is_rejected_with_its_cells(
    tmp_path: Path, columns: dict[str, Any], reasons: list[str]
) -> None:
    assert read_one(tmp_path, **columns) == (None, reasons)
    assert read_catalogue(tmp_path / "one.jsonl").rejected["row"][0].startswith("{")


def test_an_optional_cell_that_is_no_text_is_emptied_and_told(tmp_path: Path) -> None:
    track, reasons = read_one(tmp_path, album={"x": 1}, text=[["x"]], isrc=[1, 2], group_id={})
    assert track is not None
    assert (track["album"], track["text"], reasons) == (None, None, ["value_not_text"] * 4)


def test_the_number_of_digits_and_depth_of_a_cell_is_bounded() -> None:
    with pytest.raises(ValueRefused):
        cell_text(10**5_000)
    assert items("[" * 50_000) == ["[" * 50_000]
