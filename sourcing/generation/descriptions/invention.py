"""Invention rates: how often models claimed to know recordings that do not exist (see `planning.decoys`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.scraped import rejected_row
from sourcing.generation.grounding.finding import Finding
from sourcing.generation.journal.journal import Journal
from sourcing.generation.planning.decoys import DECOY_PREFIX, Invention
from sourcing.generation.replies.payload import answer_of
from sourcing.store.schemas import Row

__all__ = ["Author", "author_of", "held_back", "held_row", "invention_line", "invention_rates"]

Author = tuple[str, str]  # prompt as id@version, model


def invention_rates(journal: Journal, model: str | None = None) -> dict[Author, Invention]:
    """Prompt and model → invention, of all models asked about decoys, or of the one asked by this name.

    Replies without an answer do not count.
    """
    claims: dict[Author, list[bool]] = defaultdict(list)
    for reply in journal.reader.replies(track_prefix=DECOY_PREFIX, model=model):
        payload, _ = answer_of(reply, _says_whether_known, "an answer")
        if payload is not None:
            claims[author_of(reply)].append(payload["known"] is True)
    return {author: Invention(sum(answers), len(answers)) for author, answers in sorted(claims.items())}


def held_back(rates: Mapping[Author, Invention], limit: float) -> dict[Author, str]:
    """Prompt and model → finding, for those that invent more than the limit allows."""
    return {
        author: f"{author[1]} claimed to know {own.claimed} of {own.answered} recordings that do not exist;"
        f" [generation] max_invention_rate is {limit:g}"
        for author, own in rates.items()
        if own.rate > limit
    }


def invention_line(author: Author, own: Invention) -> str:
    """One author's invention rate for people."""
    low, high = own.interval
    return (
        f"{author[0]}, {author[1]}: claimed to know {own.claimed} of {own.answered} recordings that do not exist"
        f" ({own.rate:.0%}, 95 %: {low:.0%} to {high:.0%})"
    )


def author_of(reply: Reply) -> Author:
    return f"{reply.prompt_id}@{reply.prompt_version}", reply.model


def held_row(reply: Reply, finding: str) -> Row:
    """The rejected row of a reply whose model invents too much."""
    return rejected_row(reply.request_key, Finding("model_invents", finding))


def _says_whether_known(payload: Any) -> bool:
    return isinstance(payload, dict) and isinstance(payload.get("known"), bool)
