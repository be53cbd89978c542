"""Exit code of crawl commands after a page object raised: 1, the page being a rejected row and the rest read."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from sourcing.errors import CrossmusimError

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["end_on_page_errors"]


def end_on_page_errors(invocation: Invocation, *stages: str) -> None:
    """Exit with 1, after the result, when rejected rows of `stages` have the reason page_object_failed."""
    rejected = invocation.workspace.read_rejected().filter(reason="page_object_failed")
    findings = [row["finding"] for row in rejected.iter_rows(named=True) if row["stage"] in stages]
    if findings:
        errors = Counter(finding.partition(":")[0] for finding in findings)
        names = ", ".join(f"{number} times {name}" for name, number in errors.most_common(3))
        invocation.note(
            f"error: reading {len(findings)} pages raised ({names}); they are rejected rows, page_object_failed, all"
            " others are read; report them"
        )
        sys.exit(CrossmusimError.exit_code)
