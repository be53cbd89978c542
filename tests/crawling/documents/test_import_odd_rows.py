"""Rows of data sets gone wrong: each is kept or rejected with a reason, and the import reaches its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sourcing.crawling.documents.import_records import import_records
from sourcing.crawling.parsing.tables import positive
from sourcing.crawling.sources import SOURCES
from sourcing.store.workspace import Workspace

ROWS = {
    "fma": {
        "track_id": "7",
        "track.title": "Low Tide",
        "track.genres": "[17]",
        "track.tags": "['slow']",
        "artist.name": "A",
        "track.information": "Slow.",
        "track.duration": "245",
        "album.date_released": "2012",
    },
    "lp_musiccaps": {
        "caption_writing": "Slow.",
        "caption_summary": "Slow.",
        "caption_paraphrase": "Slow.",
        "track_id": "7",
        "title": "Low Tide",
        "artist_name": "A",
        "year": 2012,
        "tag": ["slow"],
    },
    "mtg_jamendo": {"TRACK_ID": "track_0000007", "DURATION": "245", "TAGS": ["genre---ambient"]},
    "musiccaps": {"ytid": "abc", "start_s": 30, "aspect_list": "['slow']", "caption": "A slow song."},
    "musicsem": {
        "unique_id": "u",
        "song": "Low Tide",
        "artist": "A",
        "prompt": "Slow.",
        "descriptive": ["slow"],
        "atmospheric": [],
        "situational": "['night']",
    },
    "song_describer": {"caption_id": 1, "track_id": 7, "caption": "Slow.", "is_valid_subset": True, "duration": 245},
}
#: As JSON, since no Python value is written so.
ODD = [
    *("null", "true", "0", "-1", "1.5", "1e999", "NaN", "-Infinity", "1" + "0" * 400, "9" * 5000, "2147483648"),
    *('""', '" "', '"\\ud83d"', '"\\u0000"', '"[1, {}"', '"[]"', '"((((("', '"' + "[" * 900 + '"', '"<b>x"', '"&amp;"'),
    *("[]", "[null]", "[[1]]", "{}", '{"a": [1]}', '["a", 7, null]', "[" * 300 + "]" * 300, "[" * 3000 + "]" * 3000),
]


def lines_of(row):
    """The row, and it with each value odd in turn, each value missing, and lines that are no rows."""
    yield json.dumps(row)
    for name in row:
        others = {key: value for key, value in row.items() if key != name}
        yield json.dumps(others)
        for odd in ODD:
            yield f"{json.dumps(others)[:-1]}, {json.dumps(name)}: {odd}}}"
    yield from ("", "null", "[]", "{", "7", '{"a": ' * 3000, "\ufeff{}", "x" * 5000)


@pytest.mark.parametrize("source", ROWS)
def test_an_import_of_odd_rows_reaches_its_end(tmp_path: Path, source: str):
    assert {name for name, declared in SOURCES.items() if declared.ship_class == "import"} == set(ROWS)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "genres.csv").write_text("genre_id,title\n17,Folk\n")
    (folder / "raw.meta.tsv").write_text("TRACK_ID\tTRACK_NAME\tARTIST_NAME\tALBUM_NAME\tRELEASEDATE\tURL\n")
    lines = list(lines_of(ROWS[source]))
    path = folder / "rows.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "replace") + b"\n" + b'{"a": "\xff\xfe"}\n')
    result = import_records(Workspace(tmp_path / "space"), SOURCES[source], path)
    assert result.torn is None and result.complete
    assert result.read == sum(bool(line.strip("\ufeff ")) for line in lines) + 1
    assert result.kept and result.kept + result.repeated + result.rejected.total() == result.read
    assert "page_object_failed" not in result.rejected, result.examples


@pytest.mark.parametrize(("value", "number"), [(10**400, None), (float("inf"), None), ("1e3", 1000.0), ([], None)])
def test_a_number_beyond_bounds_is_none(value, number):
    assert positive(value) == number
