"""Runs of the workbench as a page shows them."""

from __future__ import annotations

from sourcing.workbench.runs import Run, Subject
from sourcing.workbench.trials import Outcome, Trial, Usage

HOSTILE = '</script><script>document.title="run"</script><img src=x onerror=alert(1)> --> ]]> \u2028'


def a_run(pack: str, *, aspects: int = 2, items: int = 3, hostile: str = "", unborne: int = 0) -> Run:
    source = f"A slow waltz with pump organ. {hostile}"
    subjects = [
        Subject(f"item {n}{hostile}", f"d{n}", f"c{n}", source, {"title": f"Dusk {hostile}", "language": "en"})
        for n in range(items)
    ]
    rejected = [{"reason": "quote_not_found", "finding": f"not there {hostile}", "text": f"bells {hostile}"}] * unborne
    trials = [
        Trial(
            subject.name,
            aspects=[{"text": f"slow waltz{hostile}", "facet": "genre", "spans": [[2, 12]]}][:aspects],
            caption=f"A slow waltz. {hostile}",
            rejected=rejected,
            reply=f"reply {hostile}",
            usage=Usage(10, 20 if n else 400, None, 1.0),
            outcome=Outcome.PASS if aspects else Outcome.FAIL,
            problems=[] if aspects else [f"nothing {hostile}"],
        )
        for n, subject in enumerate(subjects)
    ]
    return Run(pack, "hash", f"m{hostile}", "server", "cases", "2026-01-01T00:00:00+00:00", subjects, trials, id=pack)
