"""Files as owners export them: encodings, quotes, headers, odd JSON, odd Parquet, sheets."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sourcing.catalogue import Catalogue, Reading, Wanted, read_catalogue
from sourcing.catalogue.encodings import detect_encoding
from sourcing.errors import CatalogueError, UsageError

GUESS = Reading(Wanted(guess="all"))
GIVEN = Path(__file__).parents[3] / "shared" / "faults" / "inputs"


def _read(folder: Path, content: bytes | str, name: str = "c.csv", reading: Reading | None = None) -> Catalogue:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_catalogue(path, reading=reading)


def _names(read: Catalogue) -> list[tuple[str, str]]:
    return read.tracks.select("title", "artist").rows()


@pytest.mark.parametrize(
    ("encoding", "title", "artist"),
    [
        ("cp1252", "Über den Wolken – live", "Grönemeyer"),
        ("cp1252", "Don’t stop “now”", "Beyoncé"),
        ("mac_roman", "Café crème", "Édith Piaf"),
        ("mac_roman", "Niño", "Zoë Straße"),
        ("cp1252", "Süßer Müßiggang", "Käßmann"),
        ("cp1252", "Größe", "Die Ärzte"),
        ("cp850", "Süßer Müßiggang", "Die Ärzte"),
        ("cp1250", "Příliš žluťoučký kůň", "Jiří Korn"),
        ("cp1250", "Małgośka", "Łódź Kaliska"),
        ("cp1254", "Şımarık", "Barış Manço, Ağır Roman"),
        ("cp1257", "Žvaigždė", "Andrius Mamontovas, Gyvūnėlių"),
        ("iso8859_2", "Małgośka, ąęść", "Łódź Kaliska"),
        ("cp1255", "ירושלים של זהב", "שולי נתן"),
        ("utf-16", "Café", "Zoë"),
        ("utf-16-le", "Café", "Zoë"),
        ("utf-16-be", "Café", "Zoë"),
        ("utf-32", "Café", "Zoë"),
        ("cp932", "上を向いて歩こう", "坂本九"),
        ("gb18030", "月亮代表我的心", "邓丽君"),
        ("big5", "月亮代表我的心", "鄧麗君"),
        ("euc_kr", "강남스타일", "싸이"),
        ("euc_jp", "上を向いて歩こう", "坂本九"),
        ("koi8_r", "Катюша", "Лидия Русланова"),
        ("cp1253", "Ζορμπάς", "Μίκης Θεοδωράκης"),
        ("cp1251", "Катюша", "Лидия Русланова"),
        ("utf-8-sig", "Café", "上"),
    ],
)
def test_the_encoding_is_told_by_the_bytes_and_said(tmp_path: Path, encoding: str, title: str, artist: str) -> None:
    read = _read(tmp_path, f"track_id;title;artist\r\na;{title};{artist}\r\n".encode(encoding))
    assert _names(read) == [(title, artist)]
    assert bool(read.notes) == (encoding != "utf-8-sig")


def test_an_encoding_that_is_given_wins_and_one_that_is_none_is_named(tmp_path: Path) -> None:
    content = "track_id,title,artist\na,Şarkı,Ada\n".encode("cp1254")
    assert _names(_read(tmp_path, content, reading=Reading(encoding="cp1254"))) == [("Şarkı", "Ada")]
    with pytest.raises(UsageError, match="no encoding is called 'klingon'"):
        _read(tmp_path, content, reading=Reading(encoding="klingon"))


def test_what_is_remembered_of_a_file_before_counts_where_it_fits(tmp_path: Path) -> None:
    remembered = Reading(remembered={"encoding": "cp850", "sheet": "Tracks", "separator": "~"})
    text = "track_id,title,artist,tags\na,Café,Zoë,Rock; Pop\n"
    for encoding in ("utf-8-sig", "utf-8", "utf-16", "utf-16-le"):
        read = _read(tmp_path, text.encode(encoding), reading=remembered)
        assert (_names(read), read.tracks["tags"].to_list()) == ([("Café", "Zoë")], [["Rock", "Pop"]])
    read = _read(tmp_path, text.replace("; ", "~").encode("cp850"), reading=remembered)
    assert (_names(read), read.tracks["tags"].to_list()) == ([("Café", "Zoë")], [["Rock", "Pop"]])
    assert "as the catalogue before" in read.notes[0]


def test_a_few_bytes_that_are_not_utf_8_are_read_as_windows(tmp_path: Path) -> None:
    good = "".join(f"t{place},Café {place},Zoë\n" for place in range(20)).encode()
    read = _read(tmp_path, b"track_id,title,artist\n" + good + b"z,Gar\xe7on,Ada\n")
    assert _names(read)[-1] == ("Garçon", "Ada")
    assert read.notes == ["it is UTF-8 but for 1 bytes, which are read as Windows-1252"]


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04rest", b"\xd0\xcf\x11\xe0" + bytes(600), b"PAR1xxxx", b"\x89PNG\r\n" + bytes(100), b"%PDF-1.7"],
)
def test_what_is_no_text_is_refused_by_what_it_is(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CatalogueError, match="it is "):
        _read(tmp_path, content)


def test_gzip_is_unpacked_and_a_torn_one_named(tmp_path: Path) -> None:
    packed = gzip.compress(b"track_id,title,artist\n" + b"".join(b"%d,Song,Ada\n" % place for place in range(5_000)))
    assert _read(tmp_path, packed, "c.csv.gz").rows == 5_000
    with pytest.raises(CatalogueError, match="cannot be read"):
        _read(tmp_path, packed[:-200], "c.csv.gz")


@pytest.mark.parametrize(
    ("rows", "taken", "rejected"),
    [
        ('t1,"Heroes,Bowie\nt2,Song,B\nt3,Song3,C\nt4,"Quoted",D\nt5,Song5,E\n', ["t2", "t3", "t4", "t5"], [2]),
        ('t1,Song,A\nt2,"Open,B\nt3,Song,C\n', ["t1", "t3"], [3]),
        ('t1,Song,A\nt2,Song,"Open\n', ["t1"], [3]),
        ('t1,"Open,A\nt2,"Open too,B\nt3,Song,C\n', ["t3"], [2, 3]),
        ('t1,"Open,A\nt2,Song",B\nt3,Song,C\n', ["t2", "t3"], [2]),
        ('t1,"two\nlines",A\nt2,Song,B\n', ["t1", "t2"], []),
        ('t1,"say ""hi"", you",A\nt2,Song,B\n', ["t1", "t2"], []),
        ('t1,Blue Monday 12",A\nt2,"Heroes" live,B\n', ["t1", "t2"], []),
    ],
)
def test_an_open_quote_costs_its_own_line(tmp_path: Path, rows: str, taken: list[str], rejected: list[int]) -> None:
    read = _read(tmp_path, f"track_id,title,artist\n{rows}")
    assert read.tracks["track_id"].to_list() == taken
    assert read.rejected["key"].to_list() == [f"c.csv row {number}" for number in rejected]
    assert all('"' in row for row in read.rejected["row"])


def test_a_text_of_several_lines_with_commas_is_one_cell(tmp_path: Path) -> None:
    read = _read(tmp_path, 'track_id,title,artist,text\na,Song,Ada,"one, two,\nthree, four, five, six"\nb,Song,Ada,\n')
    assert read.tracks["text"].to_list() == ["one, two,\nthree, four, five, six", None]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_line_ends_and_delimiters_are_noticed(tmp_path: Path, end: str, delimiter: str) -> None:
    rows = ["track_id,title,artist,duration_s", "a,Song,Ada,12", "b,Song,Ada,13", ",,,", "", ",,,"]
    read = _read(tmp_path, end.join(rows).replace(",", delimiter) + end)
    assert (read.rows, read.tracks.height) == (2, 2)
    assert "2 rows without a filled cell are left out" in read.notes


def test_decimal_commas_lines_above_the_header_and_totals(tmp_path: Path) -> None:
    content = "sep=;\nOur catalogue;;\nTitel;Interpret;Dauer;\nLied;Ada;215,5;\n1979;Bo;3:45;\nSumme;;;\n"
    read = _read(tmp_path, content, reading=GUESS)
    assert read.tracks.sort("title").select("title", "duration_s").rows() == [("1979", 225.0), ("Lied", 215.5)]
    assert read.rejected["reason"].to_list() == ["artist_missing"]
    assert "the header is line 3; what stands above it is left out" in read.notes


def test_a_row_of_words_that_are_column_names_is_no_header(tmp_path: Path) -> None:
    content = "foo,bar,baz\na,Time,Ada\nb,Title,Artist\n"
    named = Wanted({"track_id": "foo", "title": "bar", "artist": "baz"})
    assert _read(tmp_path, content, reading=Reading(named)).tracks["title"].to_list() == ["Time", "Title"]
    content = "track_id,title,artist\na,Song,Ada\nLength,Title,Artist\n"
    assert _read(tmp_path, content).tracks["title"].to_list() == ["Title", "Song"]


@pytest.mark.parametrize(
    "header",
    [
        "track_id,title,artist,title",
        "track_id,Title,artist, title",
        "track_id,track_id,title,artist",
        "track_id,title,artist,x,x",
    ],
)
def test_a_column_that_stands_twice_is_named(tmp_path: Path, header: str) -> None:
    with pytest.raises(CatalogueError, match=r"'(title|Title|track_id|x)'.* stands twice"):
        _read(tmp_path, f"{header}\n1,2,3,4,5\n".replace(",5", "" if header.count(",") == 3 else ",5"))


def test_two_spellings_that_would_be_one_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="'Track Title' and 'track_title' stands twice"):
        _read(tmp_path, "Track Title,track_title,Artist\na,b,c\n", reading=GUESS)


def test_thousands_of_columns_and_a_cell_of_a_megabyte(tmp_path: Path) -> None:
    header = ",".join(["track_id", "title", "artist", *(f"c{place}" for place in range(5_000))])
    read = _read(tmp_path, f"{header}\na,Song,Ada{',x' * 5_000}\nb,{'y' * 1_000_000},Ada\nc,Song,Ada\n")
    assert read.tracks["track_id"].to_list() == ["a", "c"]
    assert read.rejected["reason"].to_list() == ["title_not_text"]
    assert len(read.rejected["row"][0]) == 2_000


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("[" * 3_000, "not JSON"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested deeper than 32|not JSON"),
        ('{"track_id": "a", "title": "S", "artist": "A", "x": ' + "[" * 40 + "]" * 40 + "}", "nested deeper than 32"),
        ('{"track_id": "a", "title": "S", "title": "T", "artist": "A"}', "'title' stands twice"),
        ('{"track_id": "a", "Title": "S", "title": "T", "artist": "A"}', "names title twice"),
        ("7", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ('{"track_id": ' + "9" * 5_000 + "}", "not JSON"),
        ("\ufeff{", "not JSON"),
    ],
)
def test_an_odd_json_line_is_one_rejected_row(tmp_path: Path, line: str, finding: str) -> None:
    good = '{"track_id": "%s", "title": "Song", "artist": "Ada"}\n'
    read = _read(tmp_path, good % "g" + line + "\n" + good % "h", "c.jsonl")
    assert {"g", "h"} <= set(read.tracks["track_id"].to_list())
    assert re.search(finding, read.rejected["finding"][0])
    assert read.rejected["row"][0]


def test_json_arrays_bare_wrapped_and_printed_over_lines(tmp_path: Path) -> None:
    rows = [{"track_id": "a", "title": "Song", "artist": "Ada", "x": float("nan")}, 7]
    for content in (json.dumps(rows), json.dumps({"count": 2, "tracks": rows}), json.dumps(rows, indent=1)):
        read = _read(tmp_path, content, "c.json")
        assert (read.tracks["track_id"].to_list(), read.rows) == (["a"], 2)


def test_parquet_of_odd_types(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "track_id": [b"a", b"b", b"\xff"],
            "title": pl.Series(["x", "y", "z"], dtype=pl.Categorical),
            "artist": [["X", "Y"], ["Z"], ["Z"]],
            "album": [{"name": "First"}, {"name": None}, {"name": "x"}],
            "year": pl.Series([2**60, 0, 0]).cast(pl.Datetime("us")),
            "duration_s": [timedelta(seconds=225), timedelta(0), None],
            "tags": [[{"name": "rock", "count": 1}], [], []],
            "isrc": [Decimal("7.00"), None, None],
            "bpm": [7.0, float("nan"), 1.0],
            "blob": [b"\x00\xff", None, None],
        }
    )
    frame.write_parquet(tmp_path / "c.parquet")
    read = read_catalogue(tmp_path / "c.parquet")
    names = ("track_id", "title", "artist", "album", "year", "duration_s", "tags")
    assert read.tracks.select(names).rows() == [
        ("a", "x", "X, Y", "First", None, 225.0, ["rock"]),
        ("b", "y", "Z", None, 1970, None, []),
    ]
    assert sorted(read.rejected["reason"]) == sorted(
        ["year_illegal", "isrc_illegal", "duration_illegal", "value_not_text", "track_id_not_text"]
    )
    assert read.tracks["extra"][0] == '{"blob": "\\u0000\\\\xff", "bpm": 7.0}'


def test_a_torn_parquet_file_and_a_path_with_brackets(tmp_path: Path) -> None:
    folder = tmp_path / "year=2005 [x]*"
    folder.mkdir()
    pl.DataFrame({"track_id": ["a"], "title": ["S"], "artist": ["A"]}).write_parquet(folder / "c.parquet")
    assert read_catalogue(folder / "c.parquet").tracks["year"].to_list() == [None]
    content = (folder / "c.parquet").read_bytes()
    with pytest.raises(CatalogueError, match="not Parquet"):
        _read(tmp_path, content[:-20] + bytes(20), "torn.parquet")


def _xlsx(path: Path, rows: list[list[Any]]) -> None:
    """A workbook of one sheet, as bare as the format allows."""

    def cell(value: Any) -> str:
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        return "<c/>" if value is None else f"<c><v>{value}</v></c>"

    head = '<?xml version="1.0" encoding="UTF-8"?>'
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{office}"><sheets><sheet name="Tracks" sheetId="1" r:id="r1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type='
        f'"{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f"<worksheet {main}><sheetData>"
        + "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
        + "</sheetData></worksheet>",
    }
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in parts.items():
            packed.writestr(name, head + text)


def test_a_sheet_is_read_and_numbers_are_titles(tmp_path: Path) -> None:
    pytest.importorskip("fastexcel")
    rows = [["Our tracks"], ["Track Title", "Artist Name", "Length"], [1979, "Ada", 0.0026041667], [99.5, "Bo", 0.003]]
    _xlsx(tmp_path / "c.xlsx", [*rows, [None], ["Total"]])
    read = read_catalogue(tmp_path / "c.xlsx", reading=GUESS)
    assert sorted(_names(read)) == [("1979", "Ada"), ("99.5", "Bo")]
    assert sorted(read.tracks["duration_s"]) == [225.0, 259.2]
    with pytest.raises(UsageError, match="no sheet 'x'; give one of: Tracks"):
        read_catalogue(tmp_path / "c.xlsx", reading=Reading(sheet="x"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04xx", b"track_id,title,artist\n"])
def test_a_workbook_that_is_none_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("fastexcel")
    with pytest.raises(CatalogueError, match="not an Excel file"):
        _read(tmp_path, content, "c.xlsx")


@pytest.mark.parametrize("name", ["x" * 5_000 + ".csv", "a\0b.csv", "上" * 100 + ".csv", "gone.csv"])
def test_a_path_that_no_disk_holds_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(CatalogueError, match="check the path"):
        read_catalogue(tmp_path / name)


def test_without_the_reader_of_sheets_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fastexcel", None)
    with pytest.raises(UsageError, match=r"pip install '\.\[excel\]'"):
        _read(tmp_path, b"PK", "c.xlsx")


def test_plain_utf_8_says_nothing_of_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("Café", encoding="utf-8")
    assert detect_encoding(tmp_path / "c.csv") == ("utf-8", None)


@pytest.mark.skipif(not GIVEN.exists(), reason="the folder of faults is not here")
def test_the_given_files() -> None:
    with pytest.raises(CatalogueError, match="'title' stands twice"):
        read_catalogue(GIVEN / "catalogue_duplicate_header.csv")
    read = read_catalogue(GIVEN / "catalogue_unclosed_quote.csv")
    assert read.tracks["track_id"].to_list() == ["t2", "t3", "t4", "t5"]
    assert _names(read_catalogue(GIVEN / "catalogue_list_artist.jsonl")) == [("A", "X, Y")]
    assert read_catalogue(GIVEN / "catalogue_python_list_tags.csv").tracks["tags"].to_list() == [["calm piano", "slow"]]
    assert _names(read_catalogue(GIVEN / "catalogue_binary_columns.parquet")) == [("Café", "Zaz")]
