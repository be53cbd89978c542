"""Validation at publishing: what may not go out is set aside with its reason, and what may goes out."""

from __future__ import annotations

from typing import Any

import pytest
from publishing_rows import description, document, frames, track

from sourcing.publishing.validate import ValidTables, validate_tables, validation_report
from sourcing.store.licences import may_be_passed_on
from sourcing.store.workspace import rejected_frame

DRAWN = {"origin": "mined", "doc_ids": ["d"], "licences": ["CC-BY-SA-4.0"]}


def _check(
    tracks: Any = (), documents: Any = (), descriptions: Any = (), rejected: Any = (), **options: Any
) -> ValidTables:
    tables = frames(list(tracks), list(documents), list(descriptions))
    return validate_tables(**tables, rejected_rows=rejected_frame(list(rejected)), **options)


def _reasons(checked: ValidTables) -> dict[str, str]:
    return dict(checked.quarantine.select("key", "reason").iter_rows())


def test_sound_rows_pass_sorted_by_key() -> None:
    checked = _check([track("b"), track("a")], [document("d")], [description("2", "b", **DRAWN), description("1", "a")])
    assert checked.quarantine.is_empty()
    assert checked.tracks["track_id"].to_list() == ["a", "b"]
    assert checked.descriptions["description_id"].to_list() == ["1", "2"]
    assert checked.documents["doc_id"].to_list() == ["d"]


def test_a_description_of_an_unknown_track_is_set_aside() -> None:
    checked = _check([track("a")], [], [description("1", "a"), description("2", "gone")])
    assert _reasons(checked) == {"2": "track_unknown"}


def test_descriptions_below_the_confidence_wanted_are_set_aside_and_so_are_memories_nobody_bears_out() -> None:
    rows = [
        description("1", "a", confidence=0.9),
        description("2", "b", confidence=0.2),
        description("3", "c", origin="prompted", licences=["model"], confidence=None),
        description("4", "d", confidence=None),
    ]
    tracks = [track(name) for name in "abcd"]
    checked = _check(tracks, [], rows, min_confidence=0.5)
    assert _reasons(checked) == {"2": "confidence_low", "3": "confidence_low"}
    assert _reasons(_check(tracks, [], rows)) == {}


def test_a_denied_document_goes_and_takes_its_descriptions_along() -> None:
    rows = [description("1", "a"), description("2", "a", **DRAWN)]
    checked = _check([track("a")], [document("d", consent="deny", text="secret prose")], rows)
    assert _reasons(checked) == {"d": "consent_denied", "2": "consent_denied"}
    assert checked.documents.is_empty()
    assert "secret prose" not in str(checked.quarantine.to_dicts())


def test_a_description_whose_document_is_gone_is_set_aside() -> None:
    assert _reasons(_check([track("a")], [], [description("2", "a", **DRAWN)])) == {"2": "document_unknown"}


@pytest.mark.parametrize(("start", "end"), [(0, 99), (-1, 4), (5, 5)])
def test_evidence_outside_its_document_is_set_aside(start: int, end: int) -> None:
    row = description("2", "a", **DRAWN)
    row["aspects"][0]["evidence"] = [{"doc_id": "d", "start": start, "end": end}]
    assert _reasons(_check([track("a")], [document("d")], [row])) == {"2": "evidence_outside_document"}


def test_duplicates_keep_the_first_row() -> None:
    rows = [
        description("1", "a"),
        description("1", "a", text="loud drums"),
        description("2", "a"),
        description("3", "a", text="fiddle"),
    ]
    checked = _check(
        [track("a"), track("a", "Bo")], [document("d"), document("d")], [*rows, description("4", "a", **DRAWN)]
    )
    assert checked.descriptions["description_id"].to_list() == ["1", "3", "4"]
    assert checked.descriptions["caption"][0] == "slow piano, quietly played"
    assert checked.tracks["artist"].to_list() == ["Ada Loom"]
    assert _reasons(checked) == {
        "a": "track_duplicate",
        "d": "document_duplicate",
        "1": "description_duplicate",
        "2": "description_repeated",
    }


def test_rows_that_break_a_rule_name_it() -> None:
    silent = description("2", "a", aspect_list=[], aspects=[], caption=None)
    checked = _check([track("a"), track("b/c")], [], [description("1", "a"), silent])
    findings = dict(checked.quarantine.select("key", "finding").iter_rows())
    assert findings == {"2": "breaks says_something", "b/c": "breaks track_id|regex"}


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC0-1.0", True),
        ("CC-BY-4.0", True),
        ("CC-BY-SA-3.0", True),
        ("CC-BY-NC-SA-3.0", True),
        ("owner", True),
        ("Free-Art-License-1.2", True),
        ("CC-BY-ND-4.0", False),
        ("CC-BY-NC-ND-4.0", False),
        ("unknown", False),
        ("", False),
        ("all rights reserved", False),
        ("CC-BYE", False),
    ],
)
def test_text_goes_out_only_where_its_licence_lets_it(licence: str, free: bool) -> None:
    assert may_be_passed_on(licence) is free
    checked = _check([track("a")], [document("d", licence=licence)], [description("1", "a", **DRAWN)])
    row = checked.documents.to_dicts()[0]
    assert (row["text"] is not None, row["lead"] is not None, row["text_withheld"]) == (free, free, not free)
    assert row["url"] == "https://example.org/d"


def test_a_field_of_its_own_licence_is_judged_by_that_one() -> None:
    licences = [
        {"field": "*", "licence": "CC0-1.0", "attribution": None},
        {"field": "text", "licence": "unknown", "attribution": None},
    ]
    checked = _check([track("a")], [document("d", licences=licences)], [description("1", "a", **DRAWN)])
    row = checked.documents.to_dicts()[0]
    assert row["text"] is None
    assert row["lead"] == "A slow piano piece."


@pytest.mark.parametrize("origin", ["scraped", "mined"])
def test_a_caption_copied_under_an_unknown_licence_is_set_aside(origin: str) -> None:
    scraped = {**DRAWN, "origin": origin, "licences": ["CC0-1.0", "unknown"]}
    rows = [
        description("1", "a", **scraped),
        description("2", "a", text="drums", **{**scraped, "licences": ["CC-BY-ND-4.0"]}),
    ]
    checked = _check([track("a")], [document("d")], [*rows, description("3", "a", **{**scraped, "caption": None})])
    assert _reasons(checked) == {"1": "licence_unknown", "2": "licence_closed"}


def test_documents_nothing_draws_on_stay_out() -> None:
    checked = _check([track("a")], [document("d"), document("e")], [description("1", "a", **DRAWN)])
    assert checked.documents["doc_id"].to_list() == ["d"]


def test_earlier_rejections_come_along_without_their_samples() -> None:
    earlier = {"stage": "match", "key": "x", "reason": "far", "finding": "score 0.1", "row": "page text"}
    checked = _check([track("a")], [], [description("1", "a"), description("2", "gone")], [earlier])
    assert checked.quarantine.select("stage", "reason").rows() == [("match", "far"), ("publish", "track_unknown")]
    assert checked.quarantine["row"][0] is None


def test_the_report_counts_what_is_there() -> None:
    rows = [description("1", "a"), description("2", "a", caption=None, **DRAWN), description("3", "gone")]
    report = validation_report(_check([track("a"), track("b")], [document("d")], rows))
    assert report["rows"] == {"descriptions": 2, "tracks": 2, "documents": 1, "quarantined": 1}
    assert report["quarantined"] == {"publish/track_unknown": 1}
    assert report["tracks_described"] == 1
    assert report["origins"]["mined"] == {
        "descriptions": 1,
        "tracks": 1,
        "with_caption": 0,
        "with_aspects": 1,
        "aspects": 1,
    }
    assert report["facets"]["instrument"] == 2
    assert report["languages"] == {"en": 2}
    nobody = {"aspects": 0, "said_by_all": 0, "said_by_less_than_half": 0, "mean": None}
    assert report["agreement"] == dict.fromkeys(("samples", "models", "sources"), nobody)


def test_the_report_counts_agreement_among_those_who_could_be_compared() -> None:
    rows = [description(str(place), "a", text=f"text {place}") for place in range(4)]
    for row, share in zip(rows, (0.25, 0.5, 1.0, None), strict=True):
        row["aspects"][0]["agreement"] = {"samples": share, "models": None, "sources": None}
    report = validation_report(_check([track("a")], [], rows))
    assert report["agreement"]["samples"] == {
        "aspects": 3,
        "said_by_all": 1,
        "said_by_less_than_half": 1,
        "mean": 0.5833,
    }
    assert report["agreement"]["models"]["aspects"] == 0


def test_two_that_say_the_same_are_repeats_whoever_agreed_with_them() -> None:
    rows = [description("1", "a"), description("2", "a")]
    rows[1]["aspects"][0]["agreement"] = {"samples": 0.5, "models": None, "sources": None}
    assert _reasons(_check([track("a")], [], rows)) == {"2": "description_repeated"}


def test_lyrics_are_blanked_out_of_published_documents_and_every_other_character_keeps_its_place() -> None:
    words = "walking down the river in the rain tonight with nobody beside me any more"
    text = f"It is a slow piano song.\n\n<poem>{words}\n{words}</poem>\n\nBrushed drums end it."
    checked = _check([track("a")], [document("d", text)], [description("1", "a", **DRAWN)])
    (row,) = checked.documents.to_dicts()
    assert "river" not in row["text"]
    assert "river" not in row["lead"]
    assert len(row["text"]) == len(text)
    for kept in ("It is a slow piano song.", "Brushed drums end it."):
        assert row["text"].index(kept) == text.index(kept)


SUNG = ["I walk along the river", "and the river walks with me", "I never come home again", "and the night is cold"]
SONG = "It is a slow piano song.\n\nLyrics\n" + "\n".join(SUNG) + "\n\nBrushed drums end it."


@pytest.mark.parametrize(
    "finding",
    [
        f"the quote {' '.join(SUNG)!r} is not in the document",
        f"{SUNG[0]!r} is longer than 4 words, {SUNG[1]!r} too",
        f"the caption repeats: {SUNG[2]} / {SUNG[3]} / {SUNG[0]}",
        "[Chorus] a line of another song nobody knows",
        f"{SUNG[1].upper()}, it says",
    ],
)
def test_no_finding_tells_what_is_sung(finding: str) -> None:
    earlier = {"stage": "describe", "key": "x", "reason": "quote_not_found", "finding": finding}
    plain = {"stage": "describe", "key": "y", "reason": "quote_not_found", "finding": "the quote 'slow piano' is not"}
    checked = _check([track("a")], [document("d", SONG)], [description("1", "a", **DRAWN)], [earlier, plain])
    told = dict(checked.quarantine.select("key", "finding").iter_rows())
    assert told["y"] == plain["finding"]
    assert "river" not in told["x"].casefold() and "line of another" not in told["x"] and "home" not in told["x"]
    assert _reasons(checked)["x"] == "quote_not_found"


@pytest.mark.parametrize(
    "said",
    [
        {"caption": f"A slow song: {SUNG[0]} {SUNG[1]}."},
        {"caption": f"{SUNG[1].title()}! {SUNG[2]}."},
        {"caption": None, "text": f"{SUNG[2]} {SUNG[3]}"},
        {"caption": f"{SUNG[2]}; {SUNG[3]}"},
        {"caption": "walks with me — I never come home again and"},
    ],
)
def test_a_description_that_sings_what_a_document_of_its_track_marks_is_set_aside(said: dict[str, Any]) -> None:
    rows = [description("1", "a", **DRAWN), description("2", "a", **{"text": "soft drums", **said})]
    checked = _check([track("a")], [document("d", SONG)], rows)
    assert _reasons(checked) == {"2": "description_is_lyric"}
    assert "river" not in str(checked.quarantine.to_dicts())


def test_what_a_page_repeats_of_its_own_lyrics_is_blanked_too() -> None:
    text = f"{SONG}\n\nIt closes with {SUNG[0]} {SUNG[1]}, again and again, over the brushed drums of the band."
    tags = [{"name": "calm", "count": 1}, {"name": f"{SUNG[0]} {SUNG[1]}", "count": 1}]
    row = document("d", text, lead=f"A song. {SUNG[1]} {SUNG[2]}.", tags=tags)
    (kept,) = _check([track("a")], [row], [description("1", "a", **DRAWN)]).documents.to_dicts()
    assert not any(line in f"{kept['text']} {kept['lead']}" for line in SUNG[:3])
    assert len(kept["text"]) == len(text)
    assert "again and again, over the brushed drums of the band." in kept["text"]
    assert [tag["name"] for tag in kept["tags"]] == ["calm"]
