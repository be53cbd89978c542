"""Rebuild descriptions, disagreements and rejected rows from catalogue, documents, matches, journal and packs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.agreement import TargetReplies, score_agreement
from sourcing.generation.descriptions.describe import describe, example_aspects
from sourcing.generation.descriptions.disagreement import find_disagreements
from sourcing.generation.descriptions.invention import Author, author_of, held_back, held_row, invention_rates
from sourcing.generation.descriptions.judge import apply_verdicts
from sourcing.generation.grounding.context import rules_of
from sourcing.generation.journal.journal import Journal
from sourcing.generation.packs.judges import is_verdict
from sourcing.generation.packs.lint_schema import plain_examples
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.pack_files import load_pack, pack_folders
from sourcing.generation.planning.decoys import is_decoy
from sourcing.generation.replies.parsed_reply import ROW_ERROR
from sourcing.store.schemas import Description, Disagreement, Document, Match, Rejected, Row, Track
from sourcing.store.workspace import Workspace, rejected_frame

__all__ = ["Unjudged", "make_unjudged", "rebuild_descriptions"]


def rebuild_descriptions(
    workspace: Workspace,
    journal: Journal,
    prompt_roots: Sequence[Path],
    *,
    min_agreement: float = 0.0,
    max_invention_rate: float = 1.0,
    helpers: int = 0,
    on_reply: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Write the tables; returns counts: `descriptions` by origin, `rejected` and `disagreements`.

    `row_errors` names the exceptions raised by replies, where any; those replies are among the rejected rows.

    Disagreements are found before `min_agreement` (see `score_agreement`) removes aspects. Verdicts are applied last,
    so agreement counts every reply, also replies with denied aspects.
    """
    unjudged = make_unjudged(
        workspace, journal, prompt_roots, max_invention_rate=max_invention_rate, helpers=helpers, on_reply=on_reply
    )
    disagreements = find_disagreements(unjudged.descriptions, unjudged.documents)
    agreed, unagreed = score_agreement(
        unjudged.descriptions, unjudged.documents, unjudged.asked, min_agreement=min_agreement
    )
    descriptions, denied_rows = apply_verdicts(agreed, unjudged.descriptions, unjudged.verdicts)
    left_out = Rejected.validate(pl.concat([unjudged.rejected, unagreed, denied_rows]))
    workspace.write(Description, descriptions)
    workspace.write(Disagreement, disagreements)
    workspace.write_rejected("describe", left_out)
    missing_replies = [
        {
            "stage": "generate",
            "key": call.request_key,
            "reason": f"call_{call.state}",
            "finding": f"{call.track_id}: {call.error}",
        }
        for call in journal.reader.calls_in(("failed", "unknown"))
    ]
    raising_rows = [
        {"stage": "generate", "key": key, "reason": ROW_ERROR, "finding": error}
        for key, error in journal.reader.row_errors()
    ]
    workspace.write_rejected(
        "generate",
        rejected_frame([*journal.reader.refused(), *journal.reader.odd_lines(), *missing_replies, *raising_rows]),
    )
    by_origin = dict(sorted(descriptions.group_by("origin").len().iter_rows()))
    numbers = {"descriptions": by_origin, "rejected": len(left_out), "disagreements": len(disagreements)}
    row_errors = left_out.filter(pl.col("reason") == ROW_ERROR)["finding"].to_list()
    return {**numbers, "row_errors": row_errors} if row_errors else numbers


@dataclass(frozen=True)
class Unjudged:
    """Descriptions before verdicts, rejected rows, documents, answered samples per target, and replies of judges."""

    descriptions: dy.DataFrame[Description]
    rejected: dy.DataFrame[Rejected]
    documents: dy.DataFrame[Document]
    asked: TargetReplies
    verdicts: list[Reply]


def make_unjudged(
    workspace: Workspace,
    journal: Journal,
    prompt_roots: Sequence[Path],
    *,
    max_invention_rate: float = 1.0,
    helpers: int = 0,
    on_reply: Callable[[], object] = lambda: None,
) -> Unjudged:
    """Describe catalogue, documents and replies without writing tables: a pure function of tables, journal, packs."""
    documents = workspace.read(Document) if workspace.has(Document) else Document.create_empty()
    matches = workspace.read(Match) if workspace.has(Match) else Match.create_empty()
    targets, verdicts = TargetReplies(), list[Reply]()
    held_rows: list[Row] = []
    inventors = held_back(invention_rates(journal), max_invention_rate)
    honest_replies = _from_honest(_counted(journal.reader.replies(), on_reply), inventors, held_rows)
    replies = targets.noting(_without_verdicts(honest_replies, verdicts))
    packs = _packs(journal, prompt_roots)
    descriptions, rejected_rows = describe(
        workspace.read(Track),
        documents,
        matches,
        replies,
        rules={
            pack.id: rules_of(pack.blocks, may_name=pack.may_name, examples=example_aspects(plain_examples(pack)))
            for pack in packs
        },
        helpers=helpers,
    )
    if held_rows:
        rejected_rows = Rejected.validate(pl.concat([rejected_rows, rejected_frame(held_rows)]))
    return Unjudged(descriptions, rejected_rows, documents, targets, verdicts)


def _counted(replies: Iterable[Reply], on_reply: Callable[[], object]) -> Iterator[Reply]:
    for reply in replies:
        yield reply
        on_reply()


def _from_honest(replies: Iterable[Reply], inventors: Mapping[Author, str], held_rows: list[Row]) -> Iterator[Reply]:
    """The replies about tracks of the catalogue, without those of models that invent: these become rejected rows."""
    for reply in replies:
        if is_decoy(reply.track_id):
            continue
        if (finding := inventors.get(author_of(reply))) and not reply.doc_id:
            held_rows.append(held_row(reply, finding))
        else:
            yield reply


def _without_verdicts(replies: Iterable[Reply], verdicts: list[Reply]) -> Iterator[Reply]:
    """Yield replies of describing packs, and append replies of judges to `verdicts`."""
    for reply in replies:
        if is_verdict(reply):
            verdicts.append(reply)
        else:
            yield reply


def _packs(journal: Journal, prompt_roots: Sequence[Path]) -> list[Pack]:
    """Packs on disk with calls in the journal, for the lint that finds a pack's own words in replies."""
    pack_ids = {name.partition("@")[0] for name in journal.reader.counts()}
    return [load_pack(folder) for pack_id, folder in pack_folders(prompt_roots).items() if pack_id in pack_ids]
