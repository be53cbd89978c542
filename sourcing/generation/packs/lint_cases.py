"""Lint of cases and recordings: inputs that do not render, assertions nothing can meet, files without a case."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sourcing.errors import PromptError
from sourcing.generation.packs.cases import Case, golden_file, load_cases
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.positions import Positions
from sourcing.generation.packs.render import render

__all__ = ["advice_on_cases", "case_findings"]


def case_findings(pack: Pack, at: Positions) -> Iterator[str]:
    """Findings on cases and recordings, each with file and line."""
    try:
        cases = load_cases(pack)
    except PromptError as error:
        yield f"{error.thing}: {error.found}"
        return
    for case in cases:
        try:
            render(pack, case.inputs)
            for sample in range(case.samples):
                path = golden_file(pack, case, sample)
                if path.is_file():  # else it waits to be recorded
                    json.loads(path.read_bytes())
        except PromptError as error:
            yield f"{at.case(case.name, 'inputs')}: case {case.name!r}: {error.thing}: {error.found}"
        except (ValueError, RecursionError):
            yield f"{at.case(case.name, 'golden')}: case {case.name!r}: golden/{path.name} is not JSON"


def advice_on_cases(pack: Pack, at: Positions) -> Iterator[str]:
    """Findings on expectations that nothing can meet, and on recordings without a case."""
    try:
        cases = load_cases(pack)
        known = {golden_file(pack, case, sample) for case in cases for sample in range(case.samples)}
    except PromptError:
        return  # `case_findings` tells
    for case in cases:
        yield from (f"{at.case(case.name, 'expect')}: case {case.name!r}: {each}" for each in _contradictions(case))
    for path in sorted((pack.folder / "golden").glob("*.json")):
        if path.resolve() not in known:
            yield f"{path} line 1: no case has this recording as its golden"


def _contradictions(case: Case) -> Iterator[str]:
    """Assertions of a case that no reply can meet."""
    expect = case.expect
    for what, wanted, unwanted in (
        ("aspect", expect.aspects_include, expect.aspects_exclude),
        ("facet", expect.facets_include, expect.facets_exclude),
        ("caption part", expect.caption_contains, expect.caption_excludes),
    ):
        for text in sorted({each.casefold() for each in wanted} & {each.casefold() for each in unwanted}):
            yield f"it wants the {what} {text!r} and wants it away"
    for least, most in (("min_aspects", "max_aspects"), ("caption_min_words", "caption_max_words")):
        low, high = getattr(expect, least), getattr(expect, most)
        if low is not None and high is not None and low > high:
            yield f"{least} {low} is more than {most} {high}"
    if expect.max_aspects == 0 and (expect.aspects_include or expect.facets_include):
        yield "it wants aspects, and none at all"
    if expect.caption is False and (expect.caption_contains or expect.similar_to or expect.caption_min_words):
        yield "it wants something of a caption, and no caption"
