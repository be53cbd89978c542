"""Outcomes of prompt cases as JUnit XML, which build servers read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

from sourcing.store.workspace import atomic_path
from sourcing.workbench.trials import Outcome, Trial

__all__ = ["write_junit"]

_ELEMENTS = {
    Outcome.FAIL: "failure",
    Outcome.STALE: "failure",
    Outcome.ERROR: "error",
    Outcome.NEEDS_RECORDING: "skipped",
    Outcome.NEEDS_REVIEW: "skipped",
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, results: Sequence[tuple[str, Trial]]) -> None:
    """Write one suite per pack; a stale case is a failure, one that needs recording or review is skipped."""
    suites = ElementTree.Element("testsuites")
    for name, own in groupby(results, key=lambda pair: pair[0]):
        cases = [result for _, result in own]
        counts = {kind: sum(_ELEMENTS.get(case.outcome) == kind for case in cases) for kind in set(_ELEMENTS.values())}
        suite = ElementTree.SubElement(
            suites, "testsuite", name=name, tests=str(len(cases)), failures=str(counts["failure"]),
            errors=str(counts["error"]), skipped=str(counts["skipped"]),
        )  # fmt: skip
        for case in cases:
            element = ElementTree.SubElement(suite, "testcase", classname=name, name=_NOT_XML.sub("?", case.name))
            if case.outcome in _ELEMENTS:
                message = _NOT_XML.sub("?", f"{case.outcome}: {'; '.join(case.problems)}")
                ElementTree.SubElement(element, _ELEMENTS[case.outcome], message=message)
    with atomic_path(path) as temporary:
        ElementTree.ElementTree(suites).write(temporary, encoding="utf-8", xml_declaration=True)
