"""Schemas: shares of agreement lie between none and all, and a disagreement has two sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from publishing_rows import description

from sourcing.errors import InputError
from sourcing.store import Description, Disagreement, Workspace
from sourcing.store.schemas import describe_columns


def _descriptions(*agreements: dict[str, float | None] | None) -> pl.DataFrame:
    rows = [description(f"d{place}", "t") for place in range(len(agreements))]
    for row, agreement in zip(rows, agreements, strict=True):
        row["aspects"][0]["agreement"] = agreement
    return pl.DataFrame(rows, schema=Description.create_empty().schema, orient="row")


def _disagreements(*sides: str) -> pl.DataFrame:
    said = [
        {"side": side, "text": side, "description_id": f"d{place}", "origin": "scraped", "sources": ["pages"]}
        for place, side in enumerate(sides)
    ]
    row: dict[str, Any] = {"track_id": "t", "facet": "mood", "opposites": "sad / happy", "said": said}
    return pl.DataFrame([row], schema=Disagreement.create_empty().schema, orient="row")


def test_any_score_of_an_agreement_and_the_agreement_itself_may_be_missing() -> None:
    whole = {"samples": 0.2, "models": 1.0, "sources": 0.0}
    frame = _descriptions(None, whole, {**whole, "models": None})
    good, failure = Description.filter(frame)
    assert (good.height, failure.counts()) == (3, {})


@pytest.mark.parametrize("share", [-0.1, 1.5])
@pytest.mark.parametrize("name", ["samples", "models", "sources"])
def test_a_share_is_between_none_and_all(name: str, share: float) -> None:
    agreement: dict[str, float | None] = {**dict.fromkeys(("samples", "models", "sources")), name: share}
    good, _ = Description.filter(_descriptions(agreement, None))
    assert good["description_id"].to_list() == ["d1"]


def test_a_disagreement_has_at_least_two_sides() -> None:
    assert Disagreement.filter(_disagreements("sad", "happy"))[0].height == 1
    assert Disagreement.filter(_disagreements("sad", "sad"))[1].counts() == {"has_two_sides": 1}


def test_a_workspace_keeps_disagreements_and_names_what_makes_them(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert not workspace.has(Disagreement)
    written = workspace.write(Disagreement, _disagreements("sad", "happy"))
    assert workspace.table_path(Disagreement) == tmp_path / "tables/disagreements.parquet"
    assert workspace.read(Disagreement).equals(written)


def test_every_column_of_a_disagreement_has_a_line_of_documentation() -> None:
    assert all(describe_columns(Disagreement).values())


def test_a_table_written_before_agreement_was_known_is_named_with_the_command_that_rebuilds_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    path = workspace.table_path(Description)
    path.parent.mkdir()
    fields = [pl.element().struct.field(name) for name in ("text", "facet", "evidence")]
    older = _descriptions(None).with_columns(pl.col("aspects").list.eval(pl.struct(fields)))
    older.write_parquet(path)
    with pytest.raises(
        InputError, match=r"(?s)descriptions\.parquet: not a sound table .*`crossmusim generate describe`"
    ):
        workspace.read(Description)
