"""Promises of grounding: what a model says is kept only where its document says it, and points to the very place."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sourcing.generation.grounding.aspects import ground
from sourcing.generation.grounding.context import ReplyContext, rules_of
from sourcing.generation.grounding.names import Names
from sourcing.generation.text.folding import fold, fold_text, locate
from sourcing.generation.text.lexicon import facet_of, is_junk, is_name
from sourcing.generation.text.phrases import sentences, split_phrase
from sourcing.generation.text.words import stem
from sourcing.store.schemas import FACETS

DOCUMENT = (
    "“Saltwater  Hymn” is a slow waltz by The Dry Tide. It begins with a pump\u00a0organ and a lone trumpet — "
    "no one hurries.\n\nThere are no drums at all. "
    "The ﬁnger‐picked guitar is Raw and roomy; it feels solemn. The choir isn't trained."
)


def _ground(*aspects, caption="", document=DOCUMENT, names=(), examples=()):
    context = ReplyContext(Names(whole=names), "en", rules_of([], examples=examples))
    return ground({"aspects": list(aspects), "caption": caption}, document, doc_id="d", context=context)


def _aspect(text, quote, facet="other"):
    return {"text": text, "facet": facet, "quote": quote}


def _aspect_texts(vetted_reply):
    return [aspect["text"] for aspect in vetted_reply.aspects]


def _reasons(vetted_reply):
    return [finding.reason for finding in vetted_reply.findings]


_LETTERS = st.characters(blacklist_categories=("Cs",))


@given(st.text(_LETTERS, max_size=60), st.text(_LETTERS, max_size=12), st.text(_LETTERS, max_size=60))
@example("ŉ", "a\u0301 b", "\u0301c")
@example("x ", "ﬁne  —  “Straße”", " y")
@example("", "\u00a8 a", "")
def test_a_located_span_folds_to_the_quote(before, quote, after):
    document = before + quote + after
    span = locate(quote, fold(document))
    if span is not None:
        start, end = span
        assert 0 <= start < end <= len(document)
        assert fold_text(document[start:end]).strip(" \"'.,;:!?()[]…-") == fold_text(quote).strip(" \"'.,;:!?()[]…-")


@given(
    st.lists(
        st.text(st.characters(whitelist_categories=("Lu", "Ll", "Nd")), min_size=1, max_size=8), min_size=1, max_size=6
    )
)
def test_a_quote_of_whole_words_is_always_found(quote_words):
    quote = " ".join(quote_words)
    document = f"Before, {quote.upper() if quote.isascii() else quote}\t\nafter."
    span = locate(quote, fold(document))
    assert span is not None
    assert fold_text(document[span[0] : span[1]]) == fold_text(quote)


@given(st.text(_LETTERS, max_size=80))
def test_folding_points_back_into_the_original(text):
    folded = fold(text)
    assert len(folded.text) == len(folded.starts) == len(folded.ends)
    assert all(0 <= start < end <= len(text) for start, end in zip(folded.starts, folded.ends, strict=True))
    assert list(folded.starts) == sorted(folded.starts)


@pytest.mark.parametrize(
    ("quote", "original"),
    [
        ("pump organ", "pump\u00a0organ"),
        ('"saltwater hymn"', "“Saltwater  Hymn”"),
        ("a lone trumpet - no one", "a lone trumpet — no one"),
        ("finger-picked guitar", "ﬁnger‐picked guitar"),
        ("RAW AND ROOMY", "Raw and roomy"),
        ("isn’t trained.", "isn't trained."),
        ("'slow waltz...'", "slow waltz"),
    ],
)
def test_quotes_are_found_across_unicode_quotes_dashes_case_and_space(quote, original):
    start, end = locate(quote, fold(DOCUMENT))
    assert DOCUMENT[start:end] == original


@pytest.mark.parametrize("quote", ["rum", "slow walt", "aw and", "nger-picked", "", "  ", "…"])
def test_a_quote_never_cuts_a_word_or_a_character(quote):
    assert locate(quote, fold(DOCUMENT)) is None


def test_scripts_without_spaces_are_found_inside_a_run():
    document = "这首歌以缓慢的钢琴开始。"
    start, end = locate("缓慢的钢琴", fold(document))
    assert document[start:end] == "缓慢的钢琴"


def test_every_kept_aspect_carries_the_span_of_its_quote():
    vetted_reply = _ground(
        _aspect("slow waltz", "is a slow waltz"), _aspect("lone trumpet", "a lone trumpet", "instrument")
    )
    spans = [aspect["evidence"][0] for aspect in vetted_reply.aspects]
    assert [DOCUMENT[span["start"] : span["end"]] for span in spans] == ["is a slow waltz", "a lone trumpet"]
    assert [aspect["facet"] for aspect in vetted_reply.aspects] == ["genre", "instrument"]


@pytest.mark.parametrize(
    ("aspect", "reason"),
    [
        (_aspect("heavy bass", "heavy bass"), "quote_not_found"),
        (_aspect("fast waltz", "a slow waltz"), "aspect_unsupported"),
        (_aspect("drums", "There are no drums"), "aspect_negated"),
        (_aspect("drums", "drums"), "aspect_negated"),
        (_aspect("Saltwater Hymn", "Saltwater Hymn"), "aspect_is_name"),
        (_aspect("1998", "1998"), "aspect_is_junk"),
        (_aspect("the song", "waltz"), "aspect_empty"),
        (_aspect("pump organ that nobody ever hurries near midnight", "x"), "quote_not_found"),
    ],
)
def test_what_the_document_does_not_bear_out_is_left_out_with_its_reason(aspect, reason):
    vetted_reply = _ground(aspect, names=("The Dry Tide", "Saltwater Hymn"))
    assert _aspect_texts(vetted_reply) == []
    assert _reasons(vetted_reply) == [reason]


def test_not_only_is_no_negation():
    document = "It is not only fast drums that drive it."
    assert _aspect_texts(_ground(_aspect("fast drums", "fast drums"), document=document)) == ["fast drums"]


def test_a_denied_aspect_may_be_said_as_denied():
    assert _aspect_texts(_ground(_aspect("no drums", "There are no drums"))) == ["no drums"]


def test_repeats_are_folded_across_order_and_inflection():
    document = "Brushed drums and a soft drum, brushed."
    vetted_reply = _ground(
        _aspect("brushed drums", "Brushed drums"), _aspect("brushed drum", "drum, brushed"), document=document
    )
    assert _aspect_texts(vetted_reply) == ["Brushed drums"]
    assert _reasons(vetted_reply) == ["aspect_repeated"]


def test_a_copy_of_the_worked_example_is_called_an_echo_unless_the_document_says_it_too():
    aspect = _aspect("slow waltz", "slow waltz")
    assert _reasons(_ground(aspect, document="A fast reel.", examples=["Slow Waltz"])) == ["prompt_echo"]
    assert _aspect_texts(_ground(aspect, examples=["Slow Waltz"])) == ["slow waltz"]


def test_a_copied_sentence_is_parted_into_aspects_with_their_own_spans():
    vetted_reply = _ground("It begins with a pump organ and a lone trumpet.")
    assert _aspect_texts(vetted_reply) == ["pump organ", "lone trumpet"]
    spans = [aspect["evidence"][0] for aspect in vetted_reply.aspects]
    assert [DOCUMENT[span["start"] : span["end"]] for span in spans] == ["pump\u00a0organ", "lone trumpet"]


def test_a_copied_sentence_about_something_else_is_left_out():
    vetted_reply = _ground("It won a prize.", document="It won a prize. It is a waltz.")
    assert _reasons(vetted_reply) == ["facet_unknown"]


def _parts(text, language):
    return [part.text for part in split_phrase(text, language)]


def test_a_known_term_is_not_parted():
    for language in ("und", "en"):
        assert _parts("drum and bass", language) == ["drum and bass"]
        assert _parts("Drummer Kay Ruiz plays a restless beat. Bells end it", language) == ["restless beat", "Bells"]
        assert _parts("calm and intimate", language) == ["calm", "intimate"]
        assert _parts("The bassline is thick, and drenched in reverb", language) == ["bassline", "thick", "reverb"]


def test_a_caption_made_of_the_documents_words_is_kept():
    assert (
        _ground(_aspect("slow waltz", "slow waltz"), caption="A slow waltz with pump organ.").caption
        == "A slow waltz with pump organ."
    )


def test_a_caption_with_one_invented_sentence_is_dropped_and_the_aspects_stay():
    vetted_reply = _ground(
        _aspect("slow waltz", "slow waltz"), caption="A slow waltz. Screaming guitars soar over thunder."
    )
    assert (_aspect_texts(vetted_reply), vetted_reply.caption) == (["slow waltz"], None)
    assert _reasons(vetted_reply) == ["caption_unsupported"]


@pytest.mark.parametrize(
    ("invented", "word"),
    [
        ("A slow waltz with a lone trumpet, pump organ and raw guitar in Ostrava.", "Ostrava"),
        ("A slow waltz with a lone trumpet, pump organ and raw guitar in 1974.", "1974"),
    ],
)
def test_a_caption_may_stray_by_a_word_but_not_by_a_name_or_a_number(invented: str, word: str):
    vetted_reply = _ground(caption=invented)
    assert (vetted_reply.caption, _reasons(vetted_reply)) == (None, ["caption_unsupported"])
    strayed = invented.replace(word, "gloom")
    assert _ground(caption=strayed).caption == strayed


def test_a_caption_that_the_schema_cut_loses_its_last_sentence():
    caption = "A slow waltz with a pump organ. " + "It begins with a lone trumpet and a pump organ and " * 2
    vetted_reply = _ground(caption=caption)
    assert vetted_reply.caption == "A slow waltz with a pump organ."
    assert _reasons(vetted_reply) == ["caption_cut"]


def test_a_caption_that_is_only_the_title_is_dropped():
    vetted_reply = _ground(caption="Saltwater hymn.", names=("The Dry Tide", "Saltwater Hymn"))
    assert (vetted_reply.caption, _reasons(vetted_reply)) == (None, ["caption_is_name"])


def test_sentences_keep_their_wording():
    assert sentences("这是一首歌。很慢。") == ["这是一首歌。", "很慢。"]
    assert sentences("Recorded by the duo feat. someone else in 7.8 days.") == [
        "Recorded by the duo feat. someone else in 7.8 days."
    ]
    assert sentences("A slow waltz. It is raw.") == ["A slow waltz.", "It is raw."]


@pytest.mark.parametrize(
    "tag",
    ["seen live", "Favourites", "my favorite songs", "2014", "under 2000 listeners", "owned", "5 stars", "8/10", "***",
     "USA", "albums I own", "best of 2019", "Top 100", "spotify", "a", "songs to cry to", "seen_live", "4.5 stars"],
)  # fmt: skip
def test_junk_tags_are_known(tag):
    assert is_junk(tag)


@pytest.mark.parametrize(
    "tag", ["80s", "1990s", "live", "rock", "j-pop", "8-bit", "chillout", "sad", "808", "female vocalists", "lo-fi"]
)
def test_words_about_sound_are_not_junk(tag):
    assert not is_junk(tag)


def test_names_are_known_and_words_of_music_in_names_are_kept():
    names = ("Harbor Lane", "Ambient 1", "Paper")
    assert is_name("harbor lane", names)
    assert is_name("Harbor Lane fans", names)
    assert is_name("paper", names)
    assert not is_name("ambient", names)
    assert not is_name("lane of drums", names)


@pytest.mark.parametrize(
    ("phrase", "facet"),
    [
        ("soft brushed drums", "instrument"),
        ("dreamy pop", "genre"),
        ("female vocals", "vocal"),
        ("slow tempo", "tempo_rhythm"),
        ("minor key", "harmony"),
        ("tape hiss", "production"),
        ("80s", "era_style"),
        ("late-night", "context_use"),
        ("drums with heavy reverb", "instrument"),
        ("melancholic", "mood"),
        ("zzz", "other"),
    ],
)
def test_the_head_word_gives_the_facet(phrase, facet):
    assert facet_of(phrase) == facet
    assert facet in FACETS


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("strumming", "strummed"),
        ("drums", "drummer"),
        ("happily", "happy"),
        ("driving", "drive"),
        ("singers", "vocal"),
        ("layers", "layered"),
    ],
)
def test_inflections_share_a_stem(one, other):
    assert stem(one) == stem(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bass", "based"),
        ("electric", "electronic"),
        ("string", "strong"),
        ("beat", "beauty"),
        ("live", "lively"),
        ("long", "longing"),
    ],
)
def test_unlike_words_do_not(one, other):
    assert stem(one) != stem(other)
