"""Importers of published data sets: rows streamed as they are, none lost, and what is no such file said so."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.parsing.tables import Table, phrases, positive, read_rows
from sourcing.crawling.parsing.values import tags_of
from sourcing.crawling.redaction import strip_secrets
from sourcing.crawling.source import DumpRecord, PageError
from sourcing.crawling.sources import SOURCES, Capture
from sourcing.errors import InputError

IMPORTERS = ("fma", "lp_musiccaps", "mtg_jamendo", "musiccaps", "musicsem", "song_describer")
PAIRS = Table(required=("id", "words"), optional=("year",), cure="give pairs.csv")
CLIPS = "ytid,start_s,aspect_list,caption\n"
META = "TRACK_ID\tARTIST_ID\tALBUM_ID\tTRACK_NAME\tARTIST_NAME\tALBUM_NAME\tRELEASEDATE\tURL\n"
TAGS = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
FMA_HEAD = (
    ",album,artist,set,track,track,track,track\n,title,name,subset,genre_top,genres,tags,title\ntrack_id,,,,,,,\n"
)


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def imported(source: str, path: Path) -> list[DumpRecord]:
    read = SOURCES[source].read_dump
    assert read is not None
    return list(read(path))


def capture(source: str, record: DumpRecord) -> Capture:
    return Capture(
        source=source,
        kind=record.kind,
        task_key="",
        url=strip_secrets(record.url),  # as captures are written: what it takes away must not tell rows apart
        status=200,
        headers={"content-type": record.content_type},
        body=record.body,
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )


def extracted(source: str, path: Path):
    return extract_documents((capture(source, record) for record in imported(source, path)), SOURCES)


# --- the table reader ---


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r"), max_size=12)


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8))
def test_csv_rows_equal_those_of_a_plain_dict_reader(tmp_path_factory, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("id", "other", "words"), *rows])
    path = written(tmp_path_factory.getbasetemp() / "pairs.csv", text.getvalue())
    stupid = [{"id": row["id"], "words": row["words"]} for row in csv.DictReader(io.StringIO(text.getvalue(), ""))]
    assert list(read_rows(path, PAIRS)) == stupid


def test_one_table_reads_alike_from_every_format(tmp_path):
    rows = [{"id": "a", "words": "low, slow", "year": "1999"}, {"id": "b", "words": 'so "blue"', "year": ""}]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["year", "words", "id"])
    writer.writeheader()
    writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    paths = [
        written(tmp_path / "pairs.csv", text.getvalue()),
        written(tmp_path / "pairs.tsv", 'id\twords\tyear\na\tlow, slow\t1999\nb\t"so ""blue"""\t\n'),
        written(tmp_path / "pairs.jsonl", "\n".join(json.dumps(row) for row in rows)),
        tmp_path / "pairs.parquet",
    ]
    assert [list(read_rows(path, PAIRS)) for path in paths] == [rows] * 4


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path):
    plain = list(read_rows(written(tmp_path / "a.csv", "id,words\n1,x\n\n2,y\n"), PAIRS))
    marked = written(tmp_path / "b.csv", b"\xef\xbb\xbfid,words\r\n1,x\r\n\r\n2,y\r\n")
    lines = written(tmp_path / "c.jsonl", b'\xef\xbb\xbf{"id":"1","words":"x"}\r\n\r\n{"id":"2","words":"y"}\r\n')
    assert list(read_rows(marked, PAIRS)) == list(read_rows(lines, PAIRS)) == plain


def test_a_file_larger_than_memory_is_read_in_little_of_it(tmp_path):
    path = tmp_path / "pairs.csv"
    with path.open("w") as stream:
        stream.write("id,words\n")
        stream.writelines(f"{number},{'slow ' * 100}\n" for number in range(20_000))
    tracemalloc.start()
    assert sum(1 for _ in read_rows(path, PAIRS)) == 20_000
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size > 10_000_000 and peak_bytes < 1_000_000


def test_a_line_without_end_is_no_line_to_hold(tmp_path, monkeypatch):
    monkeypatch.setattr("sourcing.crawling.parsing.tables._MAX_ROW_CHARS", 1000)
    path = written(tmp_path / "pairs.csv", f'id,words\n1,x\n2,"{"long " * 1000}"\n3,y\n')
    rows = list(read_rows(path, PAIRS))
    assert rows[0] == {"id": "1", "words": "x"} and rows[-1] == {"id": "3", "words": "y"}
    assert any("it is not CSV" in row.get("unreadable", "") for row in rows)


def test_columns_nobody_reads_are_left_in_the_file(tmp_path):
    pq.write_table(pa.table({"id": ["1"], "audio": [b"RIFF"], "words": ["x"]}), tmp_path / "pairs.parquet")
    assert list(read_rows(tmp_path / "pairs.parquet", PAIRS)) == [{"id": "1", "words": "x"}]


def test_numbers_that_are_missing_in_parquet_are_missing_not_nan(tmp_path):
    pq.write_table(pa.table({"id": [1], "words": ["x"], "year": [float("nan")]}), tmp_path / "pairs.parquet")
    assert list(read_rows(tmp_path / "pairs.parquet", PAIRS)) == [{"id": 1, "words": "x", "year": None}]


@pytest.mark.parametrize(
    ("name", "content", "finding"),
    [
        ("pairs.csv", "title;artist\n", "its columns are title;artist; id, words not among them"),
        ("pairs.csv", "", "it is empty"),
        ("pairs.csv", f"id,words{',x' * 40}\n".replace("words", "wrds"), "its columns are id, wrds"),
        ("pairs.csv", b'"\0' * 100, "not among them"),
        ("pairs.jsonl", '{"identifier": 1}\n', "its columns are identifier"),
        ("pairs.parquet", b"PAR1 cut", "not Parquet, or torn"),
        ("pairs.xlsx", b"PK", "its ending '.xlsx' is none of .csv"),
    ],
)
def test_a_file_that_is_not_the_table_is_refused_with_what_it_holds(tmp_path, name, content, finding):
    path = written(tmp_path / name, content)
    with pytest.raises(InputError) as error:
        list(read_rows(path, PAIRS))
    assert error.value.thing == str(path) and finding in error.value.found and error.value.cure


def test_a_header_that_never_ends_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sourcing.crawling.parsing.tables._MAX_ROW_CHARS", 1000)
    with pytest.raises(InputError, match="does not begin as such a file"):
        list(read_rows(written(tmp_path / "pairs.csv", '"' + "id," * 2000), PAIRS))


def test_a_parquet_file_torn_in_the_middle_gives_what_lies_before(tmp_path):
    whole = tmp_path / "whole.parquet"
    words = [f"{number:032d}" for number in range(4000)]
    pq.write_table(pa.table({"id": words, "words": words}), whole, row_group_size=1000, compression="none")
    content = bytearray(whole.read_bytes())
    middle = content.index(words[2000].encode())
    content[middle - 400 : middle] = b"\xff" * 400  # page headers and levels of the third row group
    rows = read_rows(written(tmp_path / "torn.parquet", bytes(content)), PAIRS)
    seen = []
    with pytest.raises(InputError, match="torn"):
        seen.extend(iter(row["id"] for row in rows))
    assert 0 < len(seen) < len(words) and seen == words[: len(seen)]


@pytest.mark.parametrize("source", IMPORTERS)
def test_an_importer_names_the_file_it_wants(tmp_path, source):
    stranger = written(tmp_path / "catalogue.csv", "track_id,title,artist\n1,x,y\n")
    for path in (stranger, tmp_path / "nowhere.csv"):
        with pytest.raises(InputError) as error:
            imported(source, path)
        assert error.value.thing == str(path)
        assert error.value.cure


@pytest.mark.parametrize("source", IMPORTERS)
def test_an_importer_asks_nobody(source):
    assert list(SOURCES[source].tasks({"track_id": "1", "title": "x", "artist": "y"}, SOURCES[source])) == []


# --- rows nobody can read ---


def test_a_row_that_cannot_be_read_ends_as_a_rejected_row_and_the_rest_is_read(tmp_path):
    lines = [
        CLIPS.encode(),
        b"a,1,\"['x']\",Fine.\n",
        b"b,1,['x'],'y',Too many cells.\n",
        b"c,1,[],caf\xe9.\n",
        b",1,[],No name.\n",
        b"d,1,\"['x', \",Half a list.\n",
        b"e,1,[]\n",
        b"f,1,[],Fine too.\n",
    ]
    records = imported("musiccaps", written(tmp_path / "clips.csv", b"".join(lines)))
    assert len({record.url for record in records}) == 7
    documents, rejected = extract_documents((capture("musiccaps", record) for record in records), SOURCES)
    assert sorted(documents["text"]) == ["Fine too.", "Fine."]
    found = {row["key"].partition("?row=")[2]: row["reason"] for row in rejected.to_dicts()}
    assert found == {
        "clips.csv:2": "row_unreadable",
        "clips.csv:3": "row_unreadable",
        "clips.csv:4": "ytid_missing",
        "d@1": "list_unreadable",
        "e@1": "caption_missing",
    }
    assert any("line 3: it has 5 cells, the header names 4" in finding for finding in rejected["finding"])


def test_a_broken_line_of_json_costs_that_line(tmp_path):
    good = json.dumps({"ytid": "a", "start_s": 1, "aspect_list": ["x"], "caption": "Fine."})
    lines = [good, '{"ytid": ', "[1]", '{"ytid": "\\ud800", "start_s": 1, "aspect_list": [], "caption": "x"}']
    documents, rejected = extracted("musiccaps", written(tmp_path / "clips.jsonl", "\n".join(lines)))
    assert documents["text"].to_list() == ["Fine."]
    assert rejected["reason"].to_list() == ["row_unreadable"] * 3


# --- each set's own ways ---


def test_a_quotation_mark_in_a_jamendo_title_joins_no_rows(tmp_path):
    written(tmp_path / "raw.meta.tsv", META + '7\t1\t1\t"Low\tA\tB\t2009\tu\ntrack_008\t1\t1\tTide\tC\tD\t2010\tu\n')
    tags = written(
        tmp_path / "autotagging.tsv",
        TAGS + "track_0000007\ta\tb\tp\t9.5\tgenre---jazz\ntrack_8\ta\tb\tp\t1\tgenre---pop\tmood/theme---sad\n",
    )
    documents, _ = extracted("mtg_jamendo", tags)
    rows = sorted((row["title"], row["artist"], [tag["name"] for tag in row["tags"]]) for row in documents.to_dicts())
    assert rows == [('"Low', "A", ["jazz"]), ("Tide", "C", ["pop", "sad"])]


def test_a_jamendo_name_row_with_an_empty_cell_too_many_is_read_past_it(tmp_path):
    written(tmp_path / "raw.meta.tsv", META + "track_1\t1\t1\tTide\t\tThe Salt Line\tEbb\t2010-01-02\tu\n")
    documents, _ = extracted("mtg_jamendo", written(tmp_path / "raw.tsv", TAGS + "track_1\ta\tb\tp\t1\tgenre---pop\n"))
    (row,) = documents.to_dicts()
    assert [row[column] for column in ("title", "artist", "album", "year")] == ["Tide", "The Salt Line", "Ebb", 2010]


def test_jamendo_splits_find_the_names_two_folders_up(tmp_path):
    written(tmp_path / "raw.meta.tsv", META + "track_1\t1\t1\tTide\tC\tD\t2010\tu\n")
    split = written(
        tmp_path / "splits" / "split-0" / "autotagging-test.tsv", TAGS + "track_1\ta\tb\tp\t1\tgenre---pop\n"
    )
    assert extracted("mtg_jamendo", split)[0]["title"].to_list() == ["Tide"]


@pytest.mark.parametrize(
    ("source", "name", "content", "companion"),
    [
        ("mtg_jamendo", "raw.tsv", TAGS, "raw.meta.tsv"),
        ("song_describer", "song_describer.csv", "caption_id,track_id,caption\n", "raw.meta.tsv"),
        ("fma", "tracks.csv", FMA_HEAD, "genres.csv"),
    ],
)
def test_a_file_that_speaks_in_numbers_asks_for_the_one_that_names_them(tmp_path, source, name, content, companion):
    path = written(tmp_path / "a" / "b" / "c" / name, content)
    with pytest.raises(InputError, match=companion):
        imported(source, path)


def test_several_captions_of_one_track_are_several_documents(tmp_path):
    written(tmp_path / "raw.meta.tsv", META + "track_0000731\t1\t1\tTide\tC\tD\t2010\tu\n")
    rows = "caption_id,track_id,caption,is_valid_subset\n1,731,Slow.,True\n2,731,Calm.,\n3,731,Nice song,False\n"
    documents, rejected = extracted("song_describer", written(tmp_path / "song_describer.csv", rows))
    assert sorted(documents["text"]) == ["Calm.", "Slow."]
    assert set(documents["title"]) == {"Tide"}
    assert rejected["reason"].to_list() == ["caption_not_valid"]


def test_two_posts_about_one_song_are_two_documents_and_the_same_row_twice_is_one(tmp_path):
    row = 'id1,Glass,Velvet,{},"[]","[]","[]"\n'
    content = "unique_id,song,artist,prompt,descriptive,atmospheric,situational\n"
    content += row.format("Brushed drums.") + row.format("A slow build.") + row.format("Brushed drums.")
    documents, _ = extracted("musicsem", written(tmp_path / "train.csv", content))
    assert sorted(documents["text"]) == ["A slow build.", "Brushed drums."]


def test_fma_genres_are_named_and_a_number_nobody_names_is_left_out(tmp_path):
    written(
        tmp_path / "genres.csv", "genre_id,#tracks,parent,title,top_level\n15,9,0,Electronic,15\n42,2,15,Drone,15\n"
    )
    row = '7,Rooms,Koldt Lys,large,,"[42, 15, 999]","[\'tape\']",Drift\n'
    documents, _ = extracted("fma", written(tmp_path / "tracks.csv", FMA_HEAD + row))
    assert [tag["name"] for tag in documents[0, "tags"]] == ["Drone", "Electronic", "tape"]
    assert documents[0, "artist"] == "Koldt Lys"


def test_captions_and_tags_of_one_row_keep_their_own_licences(tmp_path):
    captions = {"caption_writing": "A.", "caption_summary": "B.", "caption_paraphrase": "C."}
    clip = {"ytid": "v", "start_s": 3, "aspect_list": ["slow"], **captions}
    pq.write_table(pa.Table.from_pylist([clip]), tmp_path / "mc.parquet")
    (row,) = extracted("lp_musiccaps", tmp_path / "mc.parquet")[0].to_dicts()
    licences = {entry["field"]: entry["licence"] for entry in row["licences"]}
    assert licences == {"tags": "CC-BY-SA-4.0", "lead": "CC-BY-NC-4.0", "text": "CC-BY-NC-4.0", "*": "CC-BY-NC-4.0"}
    assert row["text"] == "A.\n\nB.\n\nC."


# --- values ---


def test_a_list_is_read_as_it_is_or_as_text():
    assert phrases(["a", None, " "]) == phrases("['a']") == phrases("('a',)") == ["a"]
    assert phrases("") == phrases(None) == []
    for nonsense in ("__import__('os')", "{'a': 1}", "[" * 10_000, "a, b"):
        with pytest.raises(PageError, match="list_unreadable"):
            phrases(nonsense)


def test_a_tag_comes_once_whatever_its_case():
    assert [tag["name"] for tag in tags_of(["Rock", None], ["rock", "Folk"])] == ["Rock", "Folk"]


def test_a_length_is_a_number_above_zero():
    assert [positive(value) for value in ("224.6", 3, "0", "-1", "nan", "inf", "x", None)] == [
        *(224.6, 3.0),
        *(None,) * 6,
    ]
