"""Scores of aspects and captions, against examples counted by hand."""

from __future__ import annotations

import pytest

from sourcing.workbench.measures.gold import GoldAspect, GoldDocument
from sourcing.workbench.measures.ragged import ragged
from sourcing.workbench.measures.scores import Estimate, Words, estimates, score

TEXT = (
    "Dusk is a slow piano ballad. Brushed drums enter late, and there is no bass. Ana Ruiz's voice is hushed. "
    "The production is dry."
)


def document(name: str = "a", aspects: bool = True) -> GoldDocument:
    own = [("slow piano ballad", "genre"), ("Brushed drums", "instrument"), ("hushed", "vocal"), ("dry", "production")]
    return GoldDocument.model_validate(
        {
            "id": name,
            "language": "en",
            "kind": "review",
            "manner": "plain" if aspects else "silent",
            "artist": "Ana Ruiz",
            "title": "Dusk",
            "text": TEXT,
            "aspects": [GoldAspect(text=text, facet=facet, nth=1) for text, facet in own] if aspects else [],
            "not": ["bass", "Ana Ruiz"],
            "facts": [["ballad"], ["drums", "percussion"], ["hushed"]],
        }
    )


def test_counts_are_those_of_a_reader() -> None:
    taken = [
        ("slow piano ballad", "genre"),  # the same
        ("drums", "instrument"),  # "Brushed drums" says it
        ("bass", "instrument"),  # denied
        ("the voice is hushed", "mood"),  # ragged; its head is not the gold's... "hushed" is
        ("warm strings", "instrument"),  # not in the document
    ]
    result = score(document(), Words(taken, "A slow piano ballad with brushed percussion."))
    counts = result.counts
    assert [aspect.exact for aspect in result.aspects] == [True, False, False, False, False]
    assert [aspect.gold for aspect in result.aspects][:3] == ["slow piano ballad", "Brushed drums", None]
    assert [aspect.denied for aspect in result.aspects] == [False, False, True, False, False]
    assert [aspect.supported for aspect in result.aspects] == [True, True, True, True, False]
    assert result.aspects[3].fault is not None
    assert "dry" in result.missed
    assert (counts["aspects"], counts["gold"], counts["exact"], counts["facts"]) == (5, 4, 1, 3)
    assert counts["facts_found"] == 2  # ballad, and percussion for drums
    assert (counts["caption_words"], counts["caption_words_held"]) == (5, 4)  # "percussion" is not the document's word


def test_shares_are_of_sums_and_an_interval_holds_its_value() -> None:
    good = score(document("a"), Words([(a.text, a.facet) for a in document().aspects]))
    bad = score(document("b"), Words([("bass", "instrument")]))
    figures = estimates([good, bad])
    assert figures["precision"].value == 4 / 5
    assert figures["recall"].value == 4 / 8
    assert figures["f1"].value == pytest.approx(2 * 0.8 * 0.5 / 1.3)
    assert figures["facet"].value == 1
    for figure in figures.values():
        if figure.value is not None and figure.low is not None and figure.high is not None:
            assert figure.low <= figure.value <= figure.high
    assert estimates([good, bad]) == figures, "equal scores have equal intervals"


def test_where_there_is_nothing_to_count_there_is_no_figure() -> None:
    silent = score(document(aspects=False), Words([]))
    figures = estimates([silent])
    assert figures["silent"].value == 1
    assert figures["precision"] == figures["recall"] == figures["f1"] == Estimate(None)
    assert estimates([])["precision"] == Estimate(None)


@pytest.mark.parametrize(
    ("text", "language", "fault"),
    [
        ("slow piano ballad", "en", None),
        ("a slow piano ballad", "en", "edge"),
        ("Brushed drums enter", "en", "verb"),
        ("no bass", "en", "edge"),
        ("iano ballad", "en", "cut"),
        ("Ana Ruiz", "en", "name"),
        ("la guitare saturée", "fr", "edge"),
        ("guitare saturée", "fr", None),
        ("eine Klavierballade", "de", "edge"),
        ("muy lento", "es", "edge"),
        ("的钢琴", "zh", "edge"),
        ("和弦", "zh", None),
        ("歪んだギターが", "ja", "edge"),
        ("歪んだギター", "ja", None),
    ],
)
def test_what_makes_a_phrase_ragged(text: str, language: str, fault: str | None) -> None:
    found = ragged(text, TEXT, language, ("Ana Ruiz", "Dusk"))
    assert (found is None) if fault is None else (found is not None and fault in found), found
