"""Whatever stands in a catalogue, importing it ends in tracks and rejected rows, or in one sentence."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sourcing.catalogue import FAILED, Catalogue, Reading, Wanted, read_catalogue
from sourcing.catalogue.rows import Forms, RowReader
from sourcing.errors import CrossmusimError
from sourcing.store import Track

CORPUS = [
    json.loads(line)
    for line in (Path(__file__).parent / "fixtures" / "odd_cells.jsonl").read_text(encoding="utf-8").splitlines()
]
COLUMNS = [name for name in Track.column_names() if name != "extra"]
PRINTED = re.compile(
    r"""[bB]('([^'\\]|\\.)*'|"([^"\\]|\\.)*")|[\[{]\s*[uUbB]?['"].*|<.* at 0x\w+>|\[object \w+\]|datetime\.\w+\(.*\)""",
    re.DOTALL,
)
FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.one_of(
    st.sampled_from([cell for cell in CORPUS if isinstance(cell, str)]),
    st.text(max_size=40),
    st.text(alphabet="'\"[](){}\\,;|:=/ b0x12\n", max_size=30),
)
scalars = st.one_of(texts, st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(CORPUS))
cells = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
foreign = st.one_of(
    cells,
    st.binary(max_size=20),
    st.decimals(allow_nan=True),
    st.just(Decimal("sNaN")),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.timedeltas(),
    st.sampled_from([object(), {1, 2}, 1j, range(3), Decimal("7.0"), time(0, 3, 45), timedelta(seconds=225)]),
    st.sampled_from([date(2005, 3, 1), datetime(2005, 3, 1), b"Caf\xc3\xa9", bytearray(b"x")]),
)


def sound(reader: RowReader | Catalogue) -> None:
    """No row failed by a bug, and no track holds what a program prints of a value."""
    rejected = reader.rejected.to_dicts() if isinstance(reader, Catalogue) else reader.rejected
    assert [row for row in rejected if row["reason"] == FAILED] == []
    for track in reader.tracks.to_dicts() if isinstance(reader, Catalogue) else reader.tracks:
        for text in (track["title"], track["artist"], track["album"], *track["tags"]):
            assert text is None or not PRINTED.fullmatch(text), text


def read(name: str, content: bytes | Callable[[Path], Any], **wanted: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content) if isinstance(content, bytes) else content(path)
        try:
            sound(read_catalogue(path, reading=Reading(Wanted(**wanted))))
        except CrossmusimError as error:
            assert error.exit_code in (2, 3)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("forms", [Forms(), Forms("ms", "serial", None, ids_made=True), Forms("day", "epoch", ",")])
def test_every_odd_cell_of_the_corpus_in_every_column(tmp_path: Path, column: str, forms: Forms) -> None:
    reader = RowReader(tmp_path, forms)
    for place, cell in enumerate(CORPUS):
        reader.take(f"row {place}", {"track_id": f"t{place}", "title": "Song", "artist": "Ada", column: cell})
    assert reader.rows == len(CORPUS)
    sound(reader)
    pl.DataFrame(reader.tracks, schema=Track.create_empty().schema, orient="row").pipe(Track.validate)


@FUZZ
@given(st.dictionaries(st.sampled_from([*COLUMNS, "extra", "other"]), foreign, max_size=8))
def test_a_row_of_anything_is_taken_or_rejected(row: dict[str, Any]) -> None:
    reader = RowReader(Path("/nowhere"), Forms(ids_made="track_id" not in row))
    reader.take("row", {"track_id": "a", "title": "Song", "artist": "Ada", **row})
    sound(reader)
    pl.DataFrame(reader.tracks, schema=Track.create_empty().schema, orient="row").pipe(Track.validate)


@FUZZ
@given(st.lists(st.dictionaries(st.sampled_from([*COLUMNS, "Title", "Track ID"]), cells, max_size=6), max_size=6))
def test_json_lines_of_anything(rows: list[dict[str, Any]]) -> None:
    lines = [json.dumps({"track_id": str(place), "title": "S", "artist": "A", **row}) for place, row in enumerate(rows)]
    read("c.jsonl", "\n".join(lines).encode("utf-8", "surrogatepass"), guess="all")
    read("c.json", f"[{','.join(lines)}]".encode("utf-8", "surrogatepass"), guess="all")


@FUZZ
@given(st.lists(st.lists(texts, min_size=1, max_size=5), max_size=8), st.sampled_from(",;|\t"))
def test_delimited_text_of_anything(rows: list[list[str]], delimiter: str) -> None:
    lines = ["track_id,title,artist,tags,Length".replace(",", delimiter), *(delimiter.join(row) for row in rows)]
    read("c.csv", "\n".join(lines).encode("utf-8", "surrogatepass"), guess="all")


@FUZZ
@given(st.binary(max_size=400), st.sampled_from(["c.csv", "c.jsonl", "c.json", "c.tsv", "c.csv.gz", "c.parquet"]))
def test_files_of_any_bytes(content: bytes, name: str) -> None:
    read(name, content, guess="all")
    read(name, b"track_id,title,artist\na,b,c\n" + content)
    read(name, b'{"track_id": "a", "title": "b", "artist": "c"}\n' + content)


@FUZZ
@given(st.lists(st.one_of(st.binary(max_size=9), st.none()), min_size=1, max_size=4), st.lists(st.text(max_size=9)))
def test_parquet_of_any_columns(binaries: list[bytes | None], names: list[str]) -> None:
    count = len(binaries)
    frame = pl.DataFrame({"track_id": binaries, "title": binaries, "artist": ["A"] * count})
    nested = frame.with_columns(
        tags=pl.Series([names] * count, dtype=pl.List(pl.String)), year=pl.lit(2**40).cast(pl.Datetime("ms"))
    )
    read("c.parquet", nested.write_parquet)
