"""`match show`: the documents compared with one track, each with score and reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["show"]

_BANDS = {"accept": 0, "review": 1, "reject": 2}


@click.command
@click.argument("track_id", metavar="TRACK")
@click.option("--rejected", is_flag=True, help="Only what was rejected, or came for the track and was not matched.")
@click.pass_obj
def show(invocation: Invocation, track_id: str, rejected: bool) -> None:
    """Show the documents held against TRACK, the accepted first, with score and reasons.

    Documents that were fetched for the track and fit it too little to be kept as a match are listed after them.

    \b
    Examples:
      crossmusim match show mytrack-17
      crossmusim match show mytrack-17 --rejected
    """
    import polars as pl

    from sourcing.errors import InputError
    from sourcing.nearest import nearest
    from sourcing.store import Document, Match, Track

    workspace = invocation.workspace
    tracks = workspace.read(Track)
    track = next(iter(tracks.filter(pl.col("track_id") == track_id).to_dicts()), None)
    if track is None:
        cure = nearest(track_id, tracks["track_id"].to_list(), "`crossmusim catalogue show` lists tracks")
        raise InputError(f"track {track_id!r}", "not in the catalogue", cure)
    matches = workspace.read(Match).filter(pl.col("track_id") == track_id)
    documents = workspace.read(Document).filter(
        pl.col("doc_id").is_in(matches["doc_id"].implode()) | (pl.col("lead_track_id") == track_id)
    )
    matches_by_doc = {row["doc_id"]: row for row in matches.to_dicts()}
    rows = [_row(document, matches_by_doc.get(document["doc_id"])) for document in documents.to_dicts()]
    rows = sorted(rows, key=lambda row: (_BANDS.get(row["band"], 3), -(row["score"] or 0), row["doc_id"]))
    if rejected:
        rows = [row for row in rows if row["band"] in ("reject", None)]
    head = {
        name: track[name] for name in ("track_id", "title", "artist", "album", "year", "duration_s", "isrc", "mbid")
    }
    lines = ["; ".join(f"{name} {value}" for name, value in head.items() if value is not None)]
    for row in rows:
        score = f"{row['band']} {row['score']:.2f}" if row["band"] else "no match"
        lines.append(f"{score}  {row['title'] or '?'} ~ {row['artist'] or '?'} ({row['source']}, {row['granularity']})")
        lines += [f"    {row['url']}", *([f"    {'; '.join(row['reasons'])}"] if row["reasons"] else [])]
    none = "nothing was rejected for it" if rejected else "no document is held against it"
    invocation.emit({"track": head, "documents": rows}, lines if rows else [*lines, none])


def _row(document: dict[str, Any], match: dict[str, Any] | None) -> dict[str, Any]:
    names = ("doc_id", "source", "url", "granularity", "title", "artist", "album", "year", "duration_s")
    judgement = {name: match[name] for name in ("band", "score", "method", "reasons")} if match else {}
    fits_too_little = {"band": None, "score": None, "method": None, "reasons": ["it fits too little to be a match"]}
    return {**{name: document[name] for name in names}, **(judgement or fits_too_little)}
