"""Guessed columns: shown, asked about, remembered; and nothing written before a yes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import run_command

from sourcing.catalogue import Reading, Wanted, read_catalogue
from sourcing.catalogue.mapping import field_of, map_columns
from sourcing.errors import CatalogueError, UsageError
from sourcing.store import Track, Workspace
from sourcing.store.settings_file import write_section

EXPORT = "Track Title;Artist Name;Length;Genre(s);Release Date;ISRC Code;Plays\n"
EXPORT += "Café;Ada;3:45;Rock | Pop;01/03/2005;GB-AYE-00-00001;7\nLied;Bo;0:04:26;Rock;c. 1995;;\n;Bo;;;;;\n"
ALL = Wanted(guess="all")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.csv"
    path.write_bytes(EXPORT.encode("cp1252"))
    return path


def _run(work: Path, *arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any, str]:
    code, out, err = run_command(capsys, ["--json", "--workspace", str(work), "catalogue", *arguments])
    return code, json.loads(out), err


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (
            "Track ID,Track Name,Artist Name(s),Album Name,Track Duration (ms),ISRC",
            "track_id title artist album duration_s isrc",
        ),
        ("Titel,Interpret,Dauer,Erscheinungsjahr,Genre,Sprache", "title artist duration_s year tags language"),
        ("Titre,Artiste,Durée,Année,Langue", "title artist duration_s year language"),
        ("Título,Artista,Duración,Fecha de lanzamiento,Género", "title artist duration_s year tags"),
        ("曲名,アーティスト,アルバム,再生時間,発売日", "title artist album duration_s year"),
        ("歌名,歌手,专辑,时长", "title artist album duration_s"),
        ("Название,Исполнитель,Альбом", "title artist album"),
        ("trackTitle,artistName,track_length,releaseDate", "title artist duration_s year"),
        ("KÜNSTLER , songtitel,Veröffentlicht", "artist title year"),
        ("Song Title,Performed By,Duration (mm:ss),Year Released", "title artist duration_s year"),
        ("Track URI,Track Name,Artist Name(s),Track Duration (ms)", "track_id title artist duration_s"),
        ("Parça,Sanatçı,Süre", "title artist duration_s"),
        ("Τίτλος,Καλλιτέχνης,Διάρκεια", "title artist duration_s"),
        ("제목,아티스트,앨범,길이", "title artist album duration_s"),
        ("Název,Umělec,Délka", "title artist duration_s"),
        ("item name,artist,upc,isrc", "title artist - isrc"),
        ("Titel,Interpret,Erschienen", "title artist year"),
        ("Composer,Plays,BPM,Label,Comments", "- - - - -"),
    ],
)
def test_columns_are_known_by_name_in_many_languages(header: str, columns: str) -> None:
    assert [field_of(name) or "-" for name in header.split(",")] == columns.split()


def test_of_two_likely_columns_the_likelier_is_taken_and_the_other_told() -> None:
    found = map_columns("f", ["Track", "Track Title", "Artist Name", "Album Artist"], ALL)
    assert (found.columns["title"], found.columns["artist"], found.ids_made) == ("Track Title", "Artist Name", True)
    assert any("'Album Artist' goes into extra" in note for note in found.notes)


def test_a_remembered_column_beside_a_likelier_one_is_told() -> None:
    wanted = Wanted(remembered={"title": "Name"}, make_ids=True)
    found = map_columns("f", ["Name", "Track Title", "Artist"], wanted)
    assert found.columns["title"] == "Name"
    assert any("'Track Title' goes into extra" in note and "before" in note for note in found.notes)
    assert not map_columns("f", ["Name", "Artist"], wanted).notes


def test_ids_are_taken_only_where_they_are_unique_and_legal(tmp_path: Path) -> None:
    for ids, taken in ((("1", "2"), True), (("1", "1"), False), (("a b", "c d"), False)):
        (tmp_path / "c.csv").write_text("ID,Titel,Interpret\n" + "".join(f"{each},Lied {each},Ada\n" for each in ids))
        assert read_catalogue(tmp_path / "c.csv", reading=Reading(ALL)).map.ids_made is not taken


def test_made_ids_are_the_same_for_the_same_row_in_any_file(export: Path, tmp_path: Path) -> None:
    first = read_catalogue(export, reading=Reading(ALL)).tracks
    assert first["track_id"].to_list()[0] == "isrc:GBAYE0000001"
    (tmp_path / "other.tsv").write_text("Interpret\tDauer\tTitel\nBo\t266\tlied \nBo\t4:26\tLied\n", encoding="utf-8")
    other = read_catalogue(tmp_path / "other.tsv", reading=Reading(ALL))
    assert other.tracks["track_id"].to_list() == [first["track_id"].to_list()[1]]
    assert other.rejected["reason"].to_list() == ["track_id_duplicate"]


def test_a_spotify_address_is_an_id(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("Spotify URI,Title,Artist\nhttps://open.spotify.com/track/4uLU?si=1,S,A\n")
    read = read_catalogue(tmp_path / "c.csv", reading=Reading(ALL))
    assert read.tracks["track_id"].to_list() == ["spotify:track:4uLU"]


def test_without_a_terminal_a_guess_is_shown_and_refused(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, result, err = _run(tmp_path / "w", "import", str(export), capsys=capsys)
    assert code == 2
    assert "title: 'Track Title' (a guess)" in result["error"]["found"]
    assert "--yes" in result["error"]["cure"]
    assert not Workspace(tmp_path / "w").has(Track)
    code, _, err = run_command(capsys, ["--workspace", str(tmp_path / "w"), "catalogue", "import", str(export)])
    assert code == 2
    for words in ("the first tracks, as they will be", "Café", "2 of 3 rows taken, 1 rejected", "Windows-1252"):
        assert words in err


def test_a_yes_takes_the_guess_and_keeps_it(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = tmp_path / "w"
    work.mkdir()
    (work / "crossmusim.toml").write_text('# mine\n[crawl]\ncontact = "me@example.org"  # and mine\n', encoding="utf-8")
    code, result, _ = _run(work, "import", str(export), "--yes", capsys=capsys)
    assert (code, result["taken"], result["columns"]["title"]) == (0, 2, "Track Title")
    text = (work / "crossmusim.toml").read_text(encoding="utf-8")
    assert text.startswith('# mine\n[crawl]\ncontact = "me@example.org"  # and mine\n')
    kept = tomllib.loads(text)["catalogue"]
    assert (kept["columns"]["artist"], kept["make_ids"]) == ("Artist Name", True)
    code, again, _ = _run(work, "import", str(export), capsys=capsys)
    assert (code, again["taken"]) == (0, 2)
    (tmp_path / "plain.csv").write_text("track_id,title,artist\na,Song,Ada\n", encoding="utf-8")
    assert _run(work, "import", str(tmp_path / "plain.csv"), capsys=capsys)[1]["taken"] == 1


def test_what_was_guessed_is_printed_without_a_terminal_too(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = ["--workspace", str(tmp_path / "w"), "catalogue", "import", str(export), "--yes"]
    assert "title: 'Track Title' (a guess)" in run_command(capsys, work)[1]


def test_a_dry_run_writes_nothing(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, result, _ = _run(tmp_path / "w", "import", str(export), "--dry-run", capsys=capsys)
    assert (code, result["dry_run"], result["taken"], result["reasons"]) == (0, True, 2, {"title_missing": 1})
    assert result["first"][0]["title"] == "Café"
    assert not (tmp_path / "w").exists()


def test_needed_columns_by_our_names_ask_nothing_and_name_what_might_be_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.csv").write_text("track_id,title,artist,Length\na,Song,Ada,3:45\n", encoding="utf-8")
    code, result, _ = _run(tmp_path / "w", "import", str(tmp_path / "c.csv"), capsys=capsys)
    assert (code, result["first"][0]["duration_s"], result["first"][0]["extra"]) == (0, None, '{"Length": "3:45"}')
    assert "duration_s='Length'" in result["notes"][0]
    assert not (tmp_path / "w" / "crossmusim.toml").exists()
    _, result, _ = _run(tmp_path / "w", "import", str(tmp_path / "c.csv"), "--yes", capsys=capsys)
    assert result["first"][0]["duration_s"] == 225


def test_a_column_that_is_named_needs_no_yes_and_one_that_is_not_there_is_named(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--map", "track_id=ISRC Code", "--map", "title=Track Title", "--column", "artist=Artist Name"]
    code, result, _ = _run(tmp_path / "w", "import", str(export), *named, capsys=capsys)
    assert (code, result["taken"]) == (0, 1)
    code, result, _ = _run(tmp_path / "w", "import", str(export), "--map", "title=Song", capsys=capsys)
    assert (code, "no column for title" in result["error"]["found"]) == (3, True)


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 2), (b"\n", 2), (b"\x04", 5)])
def test_on_a_terminal_it_asks(export: Path, tmp_path: Path, answer: bytes, code: int) -> None:
    pty = pytest.importorskip("pty")
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "sourcing.cli", "--workspace", str(tmp_path / "w"), "catalogue", "import"]
    with subprocess.Popen([*command, str(export)], stdin=terminal, stderr=terminal, stdout=subprocess.PIPE) as process:
        os.write(master, answer)
        process.communicate(timeout=60)
        os.close(terminal)
    os.close(master)
    assert process.returncode == code
    assert Workspace(tmp_path / "w").has(Track) == (code == 0)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "[crawl]\ncontact = 'x'",
        "a = 1\n\n[catalogue]\n# my columns\nsheet = 'x'\n\n# of the crawl\n[crawl]\ncontact = 'x'\n",
        "[catalogue.columns]\ntitle = 'x'\n[crawl]\ncontact = 'x'\n[catalogue]\nsheet = 'y'\n",
        "[crawl]\r\ncontact = 'x'\r\n",
        "[ catalogue ] # mine\nsheet = 'x'\n",
    ],
)
def test_one_section_is_written_and_the_rest_stays(tmp_path: Path, before: str) -> None:
    path = tmp_path / "crossmusim.toml"
    path.write_bytes(before.encode())
    path.chmod(0o600)
    values = {"columns": {"title": 'Track "Title" \\ ü'}, "make_ids": True, "separator": "\n"}
    write_section(path, "catalogue", values)
    text = path.read_bytes().decode()
    assert tomllib.loads(text) == {**tomllib.loads(before), "catalogue": values}
    comments = [line for line in before.splitlines() if line.startswith("#")]
    assert [line for line in text.splitlines() if line.startswith("#")] == comments
    assert ("\r\n" in text) == ("\r\n" in before)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("before", ["catalogue = { sheet = 'x' }\n", 'x = """\n[catalogue]\n"""\n'])
def test_a_file_that_cannot_be_written_in_part_is_left_alone(tmp_path: Path, before: str) -> None:
    (tmp_path / "crossmusim.toml").write_text(before, encoding="utf-8")
    with pytest.raises(UsageError, match="by hand"):
        write_section(tmp_path / "crossmusim.toml", "catalogue", {"sheet": "y"})
    assert (tmp_path / "crossmusim.toml").read_text(encoding="utf-8") == before


def test_a_row_that_meets_a_bug_is_told_loudly_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(text: str) -> str:
        if text == "Bad":
            raise ZeroDivisionError("oops")
        return text

    monkeypatch.setattr("sourcing.catalogue.rows.mended", broken)
    (tmp_path / "c.csv").write_text("track_id,title,artist\na,Bad,Ada\nb,Song,Ada\n", encoding="utf-8")
    code, result, err = _run(tmp_path / "w", "import", str(tmp_path / "c.csv"), capsys=capsys)
    assert (code, result["taken"], result["reasons"]) == (1, 1, {"row_failed": 1})
    assert "ZeroDivisionError: oops" in result["examples"][0]["finding"]
    assert "1 rows met a bug" in err


def test_rejected_rows_are_shown_with_their_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.csv").write_text('track_id,title,artist\na,"Open,Ada\nb,,Ada\nc,Song,Ada\n', encoding="utf-8")
    _run(tmp_path / "w", "import", str(tmp_path / "c.csv"), capsys=capsys)
    _, shown, _ = _run(tmp_path / "w", "show", "--rejected", capsys=capsys)
    assert [row["row"] for row in shown["rejected"]] == [
        'a,"Open,Ada\n',
        '{"artist": "Ada", "title": "", "track_id": "b"}',
    ]
    _, shown, _ = _run(tmp_path / "w", "show", "--rejected", "--reason", "title_missing", capsys=capsys)
    assert shown["rows"] == 1


def test_a_file_of_which_no_column_is_known_is_refused_by_those_it_has(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("foo,bar\n1,2\n", encoding="utf-8")
    with pytest.raises(CatalogueError, match="no column title or artist; found foo, bar"):
        read_catalogue(tmp_path / "c.csv", reading=Reading(ALL))
