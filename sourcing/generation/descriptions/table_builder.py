"""TableBuilder of descriptions and rejected rows: packs rows into frames, as dicts take 2.5 times the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dataframely as dy
import polars as pl

from sourcing.generation.descriptions.scraped import rejected_row
from sourcing.generation.grounding.finding import Finding
from sourcing.generation.replies.parsed_reply import ROW_ERROR, name_of
from sourcing.store.schemas import Description, Rejected, Row
from sourcing.store.workspace import rejected_frame

__all__ = ["Rows", "TableBuilder"]

_PART = 4096  # rows made a table together


class TableBuilder:
    """Collects description rows and rejected rows, in arbitrary order, duplicates included."""

    def __init__(self) -> None:
        self._descriptions: list[Row] = []
        self._rejected_rows: list[Row] = []
        self._description_parts: list[pl.DataFrame] = [Description.create_empty()]
        self._rejected_row_parts: list[pl.DataFrame] = [Rejected.create_empty()]

    def keep(self, description: Row | None, rejected_rows: Sequence[Row]) -> None:
        """Add a complete description row, if not None, and rejected rows."""
        if description is not None:
            self._descriptions.append(description)
        self._rejected_rows.extend(rejected_rows)
        if len(self._descriptions) >= _PART or len(self._rejected_rows) >= _PART:
            self._close_part()

    def add(self, descriptions: pl.DataFrame, rejected_rows: pl.DataFrame) -> None:
        """Add frames that a second builder returned from `parts`."""
        self._description_parts.append(descriptions)
        self._rejected_row_parts.append(rejected_rows)

    def parts(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Frames of all descriptions and rejected rows, unsorted, for a second builder's `add`."""
        self._close_part()
        return pl.concat(self._description_parts), pl.concat(self._rejected_row_parts)

    def descriptions(self) -> dy.DataFrame[Description]:
        """Descriptions sorted by description_id; of equal ids the row of the last prompt, hash and language is kept."""
        self._close_part()
        frame = pl.concat(self._description_parts).sort("description_id", "prompt", "prompt_hash", "language")
        return Description.validate(frame.unique("description_id", keep="last", maintain_order=True))

    def rejected(self) -> dy.DataFrame[Rejected]:
        """Rejected rows, sorted, without duplicates: a request shared by two tracks gives one row."""
        self._close_part()
        return Rejected.validate(pl.concat(self._rejected_row_parts).unique().sort(pl.all()))

    def _close_part(self) -> None:
        schema = self._description_parts[0].schema
        try:
            descriptions = pl.DataFrame(self._descriptions, schema=schema, orient="row")
        except Exception:  # one row that no table can hold: it is looked for, and the others stay
            descriptions = pl.concat([self._description_parts[0], *self._one_by_one(schema)])
        self._description_parts.append(descriptions)
        self._rejected_row_parts.append(rejected_frame(self._rejected_rows))
        self._descriptions, self._rejected_rows = [], []

    def _one_by_one(self, schema: pl.Schema) -> Iterator[pl.DataFrame]:
        for row in self._descriptions:
            try:
                yield pl.DataFrame([row], schema=schema, orient="row")
            except Exception as error:
                key = str(row.get("request_key") or row["description_id"])
                self._rejected_rows.append(rejected_row(key, Finding(ROW_ERROR, name_of(error))))


class Rows:
    """Rows of a table as dicts, looked up by the value of one column and built on demand."""

    def __init__(self, table: pl.DataFrame, column: str) -> None:
        self._table = table
        self._places = {value: place for place, value in enumerate(table[column])}

    def get(self, value: str) -> Row | None:
        place = self._places.get(value)
        return None if place is None else self._table.row(place, named=True)

    def only(self, values: set[str]) -> pl.DataFrame:
        """Rows of the table with a column value in `values`, in table order."""
        return self._table[sorted(self._places[value] for value in values if value in self._places)]
