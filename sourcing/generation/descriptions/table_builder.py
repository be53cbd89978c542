"""What describing makes, gathered in tables as it comes: rows as dicts take two and a half times the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dataframely as dy
import polars as pl

from sourcing.generation.descriptions.scraped import rejected_row
from sourcing.generation.grounding.finding import Finding
from sourcing.generation.replies.parsed_reply import ROW_ERROR, name_of
from sourcing.store.schemas import Description, Rejected
from sourcing.store.workspace import rejected_frame

__all__ = ["Gathering", "Rows"]

Row = dict[str, Any]

_PART = 4096  # rows made a table together


class Gathering:
    """Description rows and rejected rows, in any order and as often as they come."""

    def __init__(self) -> None:
        self._made: list[Row] = []
        self._rejected: list[Row] = []
        self._made_parts: list[pl.DataFrame] = [Description.create_empty()]
        self._rejected_parts: list[pl.DataFrame] = [Rejected.create_empty()]

    def keep(self, description: Row | None, rejected: Sequence[Row]) -> None:
        """Take a whole description, or None, and what was left out on the way to it."""
        if description is not None:
            self._made.append(description)
        self._rejected.extend(rejected)
        if len(self._made) >= _PART or len(self._rejected) >= _PART:
            self._close_part()

    def add(self, made: pl.DataFrame, rejected: pl.DataFrame) -> None:
        """Take what another gathered."""
        self._made_parts.append(made)
        self._rejected_parts.append(rejected)

    def parts(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What was gathered, for another to `add`."""
        self._close_part()
        return pl.concat(self._made_parts), pl.concat(self._rejected_parts)

    def descriptions(self) -> dy.DataFrame[Description]:
        """Sorted by description_id; of two packs that asked the very same, the one named last."""
        self._close_part()
        made = pl.concat(self._made_parts).sort("description_id", "prompt", "prompt_hash", "language")
        return Description.validate(made.unique("description_id", keep="last", maintain_order=True))

    def rejected(self) -> dy.DataFrame[Rejected]:
        """Sorted, none twice: a request shared by two tracks is refused once."""
        self._close_part()
        return Rejected.validate(pl.concat(self._rejected_parts).unique().sort(pl.all()))

    def _close_part(self) -> None:
        schema = self._made_parts[0].schema
        try:
            made = pl.DataFrame(self._made, schema=schema, orient="row")
        except Exception:  # one row that no table can hold: it is looked for, and the others stay
            made = pl.concat([self._made_parts[0], *self._one_by_one(schema)])
        self._made_parts.append(made)
        self._rejected_parts.append(rejected_frame(self._rejected))
        self._made, self._rejected = [], []

    def _one_by_one(self, schema: pl.Schema) -> Iterator[pl.DataFrame]:
        for row in self._made:
            try:
                yield pl.DataFrame([row], schema=schema, orient="row")
            except Exception as error:
                key = str(row.get("request_key") or row["description_id"])
                self._rejected.append(rejected_row(key, Finding(ROW_ERROR, name_of(error))))


class Rows:
    """The rows of a table by the values of one column, each made when it is asked for."""

    def __init__(self, table: pl.DataFrame, column: str) -> None:
        self._table = table
        self._places = {value: place for place, value in enumerate(table[column])}

    def get(self, value: str) -> Row | None:
        place = self._places.get(value)
        return None if place is None else self._table.row(place, named=True)

    def only(self, values: set[str]) -> pl.DataFrame:
        """The table with none but the rows of these values."""
        return self._table[sorted(self._places[value] for value in values if value in self._places)]
