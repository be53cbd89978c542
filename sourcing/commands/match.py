"""`crossmusim match`: decide which document is about which track."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["run"]


@click.command
@click.pass_obj
def run(invocation: Invocation) -> None:
    """Hold every document against the tracks it may be about, and write the matches with their reasons.

    Scores at or above `[match] accept_score` are accepted, those down to `review_score` are left to a person.

    \b
    Example:
      crossmusim match run
    """
    import polars as pl
    from rich.table import Table

    from sourcing.matching import match_documents
    from sourcing.store.schemas import Document, Match, Track

    workspace, settings = invocation.workspace, invocation.settings.match
    tracks, documents = workspace.read(Track), workspace.read(Document)
    with workspace.lock("matches"), invocation.progress("matching", documents.height) as advance:
        matches = match_documents(
            documents,
            tracks,
            accept_score=settings.accept_score,
            review_score=settings.review_score,
            max_duration_gap_s=settings.max_duration_gap_s,
            on_document=advance,
        )
        workspace.write(Match, matches)

    bands = {band: matches.filter(pl.col("band") == band) for band in ("accept", "review", "reject")}
    result = {
        "documents": documents.height,
        "tracks": tracks.height,
        **{band: frame.height for band, frame in bands.items()},
        "matched_tracks": bands["accept"]["track_id"].n_unique(),
    }
    table = Table("band", "pairs", "tracks", "documents", title=f"{documents.height} documents, {tracks.height} tracks")
    for band, frame in bands.items():
        table.add_row(
            band, *(str(count) for count in (frame.height, frame["track_id"].n_unique(), frame["doc_id"].n_unique()))
        )
    invocation.emit(result, [table])
