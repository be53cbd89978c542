"""Promises of quoting: slips are forgiven, facts are not, and offsets always count the document's own characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.generation.grounding.aspects import ground
from sourcing.generation.grounding.context import ReplyContext
from sourcing.generation.grounding.quotes import QuotedDocument, find_fuzzy, find_places
from sourcing.generation.text.folding import fold_text, wording
from sourcing.generation.text.negation import denied_spans
from sourcing.generation.text.words import simplified

DOCUMENT = (
    "A glassy female vocal sample is chopped and repeated throughout, drenched in reverb — it’s “cold”… "
    "There are no live drums in it. It has 12 strings by Anna Berg, and the bassline is thick and distorted. "
    "The tonal centre never moves; two cellos carry the melody. "
    "这首歌以缓慢的钢琴开始，带有温暖的弦乐和女声，没有鼓点。"
)
ENGLISH = ReplyContext(language="en")
SOURCE = QuotedDocument(DOCUMENT)


def _quoted(quote: str, document: QuotedDocument = SOURCE) -> list[str]:
    return [document.text[slice(*document.original(place))] for place in find_places(quote, document)]


@pytest.mark.parametrize(
    ("quote", "passage"),
    [
        ("glassy femal vocal sample is choped", "glassy female vocal sample is chopped"),
        ("glassy femal vocal sample is chopped", "glassy female vocal sample is chopped"),
        ("A glassy female vocals sample was chopped", "A glassy female vocal sample is chopped"),
        ("the basslin is thick and distorted", "the bassline is thick and distorted"),
        ("bassline is thick & distorted", "bassline is thick and distorted"),
        ("drenched in a reverb it’s cold", "drenched in reverb — it’s “cold"),
        ("带有温暖的弦乐与女声", "带有温暖的弦乐和女声"),
    ],
)
def test_slips_of_letters_articles_and_marks_are_forgiven(quote: str, passage: str):
    assert _quoted(quote) == [passage]


@pytest.mark.parametrize(
    "quote",
    [
        "There are live drums in it",
        "There are some live drums in it",
        "It has 14 strings by Anna Berg",
        "It has 12 strings by Anna Borg",
        "It has 12 strings by Hanna Berg",
        "three cellos carry the melody",
        "The atonal centre never moves",
        "The tonal centre moves",
        "the bassline isn't thick and distorted",
        "the baseline is thick and undistorted",
        "the bassline is thin and distorted",
        "带有温暖的铜管和女声",
        "以快速的钢琴开始",
        "有鼓点",
        "a male vocal sample is chopped",
    ],
)
def test_another_number_name_negation_or_word_of_music_is_no_slip(quote: str):
    assert find_fuzzy(quote, SOURCE) is None


@pytest.mark.parametrize("quote", ["basslin", "thick basslin", "", "   ", "zzz zzz zzz zzz", "x" * 5000])
def test_short_or_strange_quotes_must_stand_there_exactly(quote: str):
    assert _quoted(quote) == []


def test_a_higher_threshold_forgives_less():
    quote = "glassy femal vocal sample is chopped"
    assert find_fuzzy(quote, SOURCE, min_score=99.9) is None
    assert find_fuzzy(quote, SOURCE, min_score=88.0) is not None


def test_what_a_slip_is_forgiven_for_is_published_in_the_documents_wording():
    aspect = {"text": "GLASSY femal vocals", "quote": "glassy femal vocal sample is chopped", "facet": "vocal"}
    (aspect_row,) = ground({"aspects": [aspect], "caption": ""}, DOCUMENT, doc_id="d", context=ENGLISH).aspects
    (place,) = aspect_row["evidence"]
    assert aspect_row["text"] == "glassy female vocal"
    assert DOCUMENT[place["start"] : place["end"]] == "glassy female vocal sample is chopped"


def test_an_aspect_spread_over_its_quote_becomes_the_least_run_that_says_it():
    document = "Far away, a slow and rather weary accordion waltz turns in circles under the rain."
    aspect = {"text": "slow waltz", "quote": "a slow and rather weary accordion waltz turns in circles"}
    (aspect_row,) = ground({"aspects": [aspect], "caption": ""}, document, doc_id="d", context=ENGLISH).aspects
    assert aspect_row["text"] == "slow and rather weary accordion waltz"
    aspect = {"text": "slow rain", "quote": document}
    vetted_reply = ground({"aspects": [aspect], "caption": ""}, document, doc_id="d", context=ENGLISH)
    assert [finding.reason for finding in vetted_reply.findings] == ["aspect_not_verbatim"]


def test_a_place_that_affirms_is_preferred_to_one_that_denies():
    document = "At first there are no drums. Later the drums enter."
    (aspect_row,) = ground(
        {"aspects": [{"quote": "drums", "text": "drums"}], "caption": ""}, document, doc_id="d", context=ENGLISH
    ).aspects
    assert aspect_row["evidence"][0]["start"] == document.rindex("drums")


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("no drums, soft piano and strings", ["drums"]),
        ("without any drums, bass or synths, but with piano", ["any drums, bass or synths"]),
        ("not only fast drums that drive it", []),
        ("the drums are absent; piano leads", ["the drums"]),
        ("the guitars never appear. bells do", ["the guitars"]),
        ("没有鼓点和贝斯，只有钢琴", ["鼓点和贝斯"]),
        ("不仅缓慢而且悲伤", []),
        ("並非快速的搖滾", ["快速的摇滚"]),
        ("非常缓慢", []),
        ("ドラムはない。ピアノ", ["ドラム"]),
        ("드럼은 없다", ["드럼은"]),
        ("ohne schlagzeug, mit klavier", ["schlagzeug"]),
        ("sans batterie", ["batterie"]),
    ],
)
def test_denials_reach_as_far_as_their_clause(text: str, denied: list[str]):
    folded = fold_text(text)
    found = [simplified(folded)[start:end].strip() for start, end in denied_spans(folded)]
    assert found == [simplified(piece) for piece in denied]


_WORDS = st.lists(
    st.sampled_from(
        (
            *("Grainy", "cello", "drones", "ﬁnger‐picked", "guitar", "“Straße”", "e\u0301tude", "慢", "钢琴", "12"),
            *("not", "sigh…", "½", "\u200bhidden\u202e"),
        )
    ),
    min_size=1,
    max_size=12,
)


@given(_WORDS, _WORDS, _WORDS, st.sampled_from([" ", "\n", "\u00a0", " \t "]))
def test_offsets_of_any_quote_cover_exactly_the_words_that_were_copied(before, quote_words, after, space):
    text = space.join([*before, *quote_words, *after])
    document = QuotedDocument(text)
    quote = " ".join(quote_words)
    for place in find_places(quote, document):
        start, end = document.original(place)
        assert 0 <= start < end <= len(text)
        assert place.score == 100.0
        outer = " \"'.,;:!?()[]…-"
        assert fold_text(text[start:end]).strip(outer) == fold_text(quote).strip(outer)


@given(st.text(max_size=80), st.text(max_size=80), st.data())
def test_a_quote_with_any_slip_lies_on_whole_words_inside_the_document(before, after, data):
    sentence = "a glassy female vocal sample is chopped and repeated throughout"
    text = f"{before} {sentence} {after}"
    at = data.draw(st.integers(0, len(sentence) - 1))
    quote = sentence[:at] + data.draw(st.sampled_from(["", "q", " "])) + sentence[at + 1 :]
    document = QuotedDocument(text)
    place = find_fuzzy(quote, document)
    if place is not None:
        start, end = document.original(place)
        assert 0 <= start < end <= len(text)
        passage = text[start:end]
        assert passage in sentence
        for edge, inside in ((start - 1, start), (end, end - 1)):
            if 0 <= edge < len(text):
                assert not (text[edge].isascii() and text[edge].isalnum() and text[inside].isalnum())


@given(st.text(max_size=60))
def test_a_published_wording_hides_nothing_and_folds_to_the_same(text: str):
    shown = wording(text)
    assert fold_text(shown) == fold_text(text).replace("\0", "") or not text.isprintable()
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff\u00ad\U000e0041")


AGAINST = "It is a slow, sad waltz with three violins. There are no drums at all. Anna Berg recorded it in 1974."


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("A slow waltz with violins and drums.", "caption_contradicted"),
        ("A waltz that is not slow, with three violins.", "caption_contradicted"),
        ("A slow, sad waltz with four violins.", "caption_unsupported"),
        ("A slow, sad waltz with 3 violins.", "caption_unsupported"),
        ("A slow, sad waltz with three violins recorded in 1975.", "caption_unsupported"),
        ("A slow, sad waltz with three violins by Anna Bergman.", "caption_unsupported"),
        ("Bergman's slow, sad waltz with three violins there at all.", "caption_unsupported"),
        ("A slow, sad metal waltz with three violins there are.", "caption_unsupported"),
    ],
)
def test_a_caption_may_not_turn_a_fact_of_its_document(caption: str, reason: str):
    vetted_reply = ground({"aspects": [], "caption": caption}, AGAINST, doc_id="d", context=ENGLISH)
    assert (vetted_reply.caption, [finding.reason for finding in vetted_reply.findings]) == (None, [reason])


@pytest.mark.parametrize(
    "caption", ["A slow, sad waltz without drums.", "A sad waltz; no drums at all, three violins."]
)
def test_a_caption_may_deny_what_its_document_denies(caption: str):
    assert ground({"aspects": [], "caption": caption}, AGAINST, doc_id="d", context=ENGLISH).caption == caption
