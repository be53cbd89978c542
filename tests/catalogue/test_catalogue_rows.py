"""Catalogue rows: good ones become tracks, bad ones are told by their line and reason, bad values are emptied."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from catalogue_files import read_csv, read_one

from sourcing.catalogue import VALUE_REASONS, read_catalogue
from sourcing.errors import CatalogueError, UsageError

HEAD = "track_id,title,artist"
DEVSET = Path(__file__).parents[3] / "shared" / "devset" / "catalogue.csv"


def test_every_column_is_read_from_csv(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.ogg").write_bytes(b"x")
    row = {
        "track_id": "a:1",
        "title": " Song ",
        "artist": "Ada",
        "album": "",
        "year": "1999-05-02",
        "isrc": "gb-aye-00-00001",
        "mbid": "https://musicbrainz.org/recording/6B3F1A52-0000-4000-8000-0123456789AB",
        "duration_s": "12.5",
        "language": "pt-BR",
        "audio": "clips/../clips/a.ogg",
        "group_id": "g",
        "tags": "calm; solo piano ;;calm",
        "text": "A song.",
        "labels": "mood=calm;genre = ambient",
        "bpm": "120",
        "licence": "CC-BY-4.0",
    }
    stream = io.StringIO()
    writer = csv.DictWriter(stream, row)
    writer.writeheader()
    writer.writerow(row)
    read = read_csv(tmp_path, "\ufeff" + stream.getvalue())
    assert read.rejected.is_empty()
    assert read.audio_root == tmp_path
    assert read.tracks.to_dicts() == [
        {
            "track_id": "a:1",
            "title": "Song",
            "artist": "Ada",
            "album": None,
            "year": 1999,
            "isrc": "GBAYE0000001",
            "mbid": "6b3f1a52-0000-4000-8000-0123456789ab",
            "duration_s": 12.5,
            "language": "pt-BR",
            "audio": "clips/a.ogg",
            "group_id": "g",
            "tags": ["calm", "solo piano"],
            "text": "A song.",
            "labels": [{"facet": "mood", "value": "calm"}, {"facet": "genre", "value": "ambient"}],
            "extra": '{"bpm": "120", "licence": "CC-BY-4.0"}',
        }
    ]


@pytest.mark.parametrize(
    ("row", "reason", "finding"),
    [
        ("7/8,Song,Ada", "track_id_illegal", 'track_id "7/8" has a slash; use letters, digits, . _ : -'),
        ("a b,Song,Ada", "track_id_illegal", 'track_id "a b" has a space; use'),
        ("é,Song,Ada", "track_id_illegal", "has 'é'; use"),
        ("x" * 129 + ",Song,Ada", "track_id_illegal", "has 129 characters; use 128 at most"),
        (",Song,Ada", "track_id_missing", "track_id is empty"),
        ("b, ,Ada", "title_missing", "title is empty"),
        ("b,Song,", "artist_missing", "artist is empty"),
        ("b,Song", "artist_missing", "artist is empty"),
        ("ok,Song,Ada", "track_id_duplicate", 'track_id "ok" is taken by catalogue.csv row 2; remove one or rename it'),
        ("b,Song,Ada,more", "row_unreadable", "it has 4 cells, the header names 3"),
    ],
)
def test_a_bad_row_is_rejected_by_its_line_and_the_rest_is_taken(
    tmp_path: Path, row: str, reason: str, finding: str
) -> None:
    read = read_csv(tmp_path, f"{HEAD}\nok,Song,Ada\n{row}\nlast,Song,Ada\n")
    assert read.tracks["track_id"].to_list() == ["last", "ok"]
    assert read.rows == 3
    rejected = read.rejected.to_dicts()[0]
    assert (rejected["stage"], rejected["key"], rejected["reason"]) == ("catalogue", "catalogue.csv row 3", reason)
    assert finding in rejected["finding"]


def test_a_row_is_named_by_its_first_line_also_after_cells_that_span_lines(tmp_path: Path) -> None:
    read = read_csv(tmp_path, f'{HEAD}\na,"two\nlines",Ada\n\nb,,Ada\n')
    assert read.rejected["key"].to_list() == ["catalogue.csv row 5"]


def test_an_id_is_not_taken_by_a_row_that_was_rejected(tmp_path: Path) -> None:
    read = read_csv(tmp_path, f"{HEAD}\na,,Ada\na,Song,Ada\n")
    assert read.tracks["title"].to_list() == ["Song"]


@pytest.mark.parametrize(
    "audio", ["../out.ogg", "/etc/hostname", "C:\\music\\a.ogg", "link.ogg", "a/../../out.ogg", "file:///x"]
)
def test_audio_outside_the_folder_rejects_the_row(tmp_path: Path, audio: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "out.ogg").write_bytes(b"x")
    (folder / "link.ogg").symlink_to(tmp_path / "out.ogg")
    assert read_one(folder, audio=audio) == (None, ["audio_outside_folder"])


@pytest.mark.parametrize("audio", ["gone.ogg", "folder", "loop.ogg", "x" * 300, "a\0b", "https://example.org/a.ogg"])
def test_audio_that_is_not_there_is_emptied_and_told_and_the_track_kept(tmp_path: Path, audio: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop.ogg").symlink_to(tmp_path / "loop.ogg")
    track, reasons = read_one(tmp_path, audio=audio)
    assert track is not None
    assert track["audio"] is None
    assert reasons == ["audio_missing"]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("isrc", "GB-AYE-1", "isrc_illegal"),
        ("mbid", "not-an-id", "mbid_illegal"),
        ("year", "MCMXCIX", "year_illegal"),
        ("year", 999, "year_illegal"),
        ("year", "19990", "year_illegal"),
        ("duration_s", "3:75", "duration_illegal"),
        ("duration_s", -1, "duration_illegal"),
        ("duration_s", "inf", "duration_illegal"),
        ("language", "English please", "language_illegal"),
    ],
)
def test_a_bad_value_is_emptied_and_told_and_the_track_kept(
    tmp_path: Path, column: str, value: Any, reason: str
) -> None:
    track, reasons = read_one(tmp_path, **{column: value})
    assert track is not None
    assert track[column] is None
    assert reasons == [reason]
    assert reason in VALUE_REASONS


@pytest.mark.parametrize(
    ("labels", "pairs", "reasons"),
    [
        ("mood=calm;mood=slow", [("mood", "calm"), ("mood", "slow")], []),
        ({"mood": ["calm", "slow"], "genre": "jazz"}, [("mood", "calm"), ("mood", "slow"), ("genre", "jazz")], []),
        ([{"facet": "mood", "value": "calm"}], [("mood", "calm")], []),
        ("mood=a=b", [("mood", "a=b")], []),
        ("drums=none;key=N/A", [("drums", "none"), ("key", "N/A")], []),
        ("calm;=x;mood=;genre=jazz", [("genre", "jazz")], ["label_illegal"] * 3),
        (["calm"], [], ["label_illegal"]),
    ],
)
def test_labels_come_in_three_shapes(
    tmp_path: Path, labels: Any, pairs: list[tuple[str, str]], reasons: list[str]
) -> None:
    track, rejected = read_one(tmp_path, labels=labels)
    assert track is not None
    assert [(label["facet"], label["value"]) for label in track["labels"]] == pairs
    assert rejected == reasons


def test_jsonl_has_native_lists_and_a_broken_line_is_one_rejected_row(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    good = {
        "track_id": 7,
        "title": "Song",
        "artist": "Ada",
        "tags": ["a;b", "c"],
        "mix": {"z": 1, "a": [1]},
        "bad": "\ud800",
    }
    lines = [
        json.dumps(good).encode(),
        b'{"track_id": ',
        b"",
        b"[1]",
        b"\xff\xfe",
        json.dumps({**good, "track_id": "z"}).encode(),
    ]
    path.write_bytes(b"\n".join(lines))
    read = read_catalogue(path)
    assert read.tracks["track_id"].to_list() == ["7", "z"]
    assert read.tracks["tags"].to_list() == [["a;b", "c"]] * 2
    assert read.tracks["extra"][0] == '{"bad": "?", "mix": {"a": [1], "z": 1}}'
    assert read.rejected["key"].to_list() == ["c.jsonl row 2", "c.jsonl row 4", "c.jsonl row 5"]
    assert set(read.rejected["reason"]) == {"row_unreadable"}


def test_parquet_reads_as_csv_does_and_a_tracks_table_comes_back_as_it_was(tmp_path: Path) -> None:
    first = read_csv(
        tmp_path, f"{HEAD},year,tags,labels,duration_s,bpm\na,Song,Ada,1999,x;y,m=c,3,120\nb,Song,Bo,,,,,\n"
    )
    first.tracks.write_parquet(tmp_path / "tracks.parquet")
    assert read_catalogue(tmp_path / "tracks.parquet").tracks.equals(first.tracks)
    pl.DataFrame(
        {"track_id": [1], "title": ["S"], "artist": ["A"], "duration_s": [float("nan")], "year": [1999.0]}
    ).write_parquet(tmp_path / "n.parquet")
    row = read_catalogue(tmp_path / "n.parquet").tracks.to_dicts()[0]
    assert (row["track_id"], row["duration_s"], row["year"]) == ("1", None, 1999)


def test_columns_of_other_names_and_cases_are_mapped(tmp_path: Path) -> None:
    read = read_csv(
        tmp_path, "ID,Title,Performer,subtitle \n1,Song,Ada,x\n", columns={"track_id": "id", "artist": "performer"}
    )
    assert read.tracks.select("track_id", "title", "artist").rows() == [("1", "Song", "Ada")]
    with pytest.raises(UsageError, match="not one of ours"):
        read_csv(tmp_path, f"{HEAD}\na,b,c\n", columns={"id": "track_id"})


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_are_noticed(tmp_path: Path, separator: str) -> None:
    assert read_csv(tmp_path, f"{HEAD},tags\na,Song,Ada,x\n".replace(",", separator)).tracks.height == 1


def test_a_file_without_our_columns_is_refused_by_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogueError, match=r"no column track_id or title or artist; found id, name; .*--column track_id=NAME"
    ):
        read_csv(tmp_path, "id,name\n1,Song\n")
    with pytest.raises(CatalogueError, match="no column artist; found"):
        read_csv(tmp_path, "track_id,title\n1,Song\n")


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("c.csv", b"", "holds no tracks"),
        ("c.csv", b"track_id,title,artist\n", "holds no tracks"),
        ("c.parquet", b"PAR1", "not Parquet"),
        ("c.docx", b"", "says no format we read"),
        ("gone/c.csv", None, "no such file"),
    ],
)
def test_an_input_that_is_no_catalogue_is_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, found: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogueError, match=found):
        read_catalogue(tmp_path / name)


@pytest.mark.skipif(not DEVSET.exists(), reason="the folder of real music is not here")
def test_the_real_catalogue_is_taken_whole() -> None:
    read = read_catalogue(DEVSET)
    assert (read.tracks.height, read.rejected.height) == (49, 0)
    assert read.tracks["audio"].null_count() == 0
