"""Judge packs: how they are told from others, how their replies name what they judge, whose words they may judge."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from sourcing.generation.calls import Reply
from sourcing.generation.packs.pack import Pack

__all__ = ["JUDGED_ORIGINS", "is_author", "is_judge", "is_verdict", "judged_name"]
#: Descriptions that a model made; the catalogue's and a page's own words are nobody's to judge.
JUDGED_ORIGINS = ("mined", "prompted")
_NAME = re.compile(rf"((?:{'|'.join(JUDGED_ORIGINS)}):[0-9a-f]{{16}})#([0-9a-f]{{8}})")
_DATE = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4}|\d{6}|\d{8})$")


def is_judge(pack: Pack) -> bool:
    """True when a pack is asked about descriptions: it declares the input `aspects`."""
    return "aspects" in pack.inputs


def judged_name(description: Mapping[str, Any]) -> str:
    """The name by which a judge's calls and replies refer to a description: its id, and a digest of its caption.

    New rules may give a description another caption under the same id; a verdict on the old one says nothing of it.
    """
    return f"{description['description_id']}#{_digest(description['caption'])}"


def is_verdict(reply: Reply) -> bool:
    """True for a judge's reply, known by the name of its subject, so that the pack may be gone."""
    return _NAME.fullmatch(reply.doc_id or "") is not None


def is_author(judge: str, author: str | None) -> bool:
    """True when two names are one model's; "m" and "m-2026-01-31" are, for endpoints answer to a name with a date."""
    names = judge.casefold(), (author or "").casefold()
    return names[0] == names[1] or _DATE.sub("", names[0]) == names[1] or names[0] == _DATE.sub("", names[1])


def _digest(caption: str | None) -> str:
    return hashlib.sha256((caption or "").encode()).hexdigest()[:8]
