"""Promises of the leak lint: what identifies a record, echoes the machinery or offends is left out, with its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.describe import describe
from sourcing.generation.descriptions.scraped import describe_catalogue
from sourcing.generation.grounding.aspects import accept, ground
from sourcing.generation.grounding.context import ReplyContext, rules_of
from sourcing.generation.grounding.leaks import aspect_leak, caption_leak, sentence_leak
from sourcing.generation.grounding.names import Names, names_of
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.text.lexicon import facet_of
from sourcing.generation.text.words import data_lines
from sourcing.store.schemas import Document, Match, Track

PROMPTS = Path(__file__).parents[3] / "prompts"
NAMES = names_of(("Harbor Lane feat. Mia Voss",), ("Paper Planes (Live)",), ("Tall Ships",))


def _named(sentence: str, names: Names = NAMES) -> str | None:
    finding = sentence_leak(sentence, names)
    return finding.reason if finding else None


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Paper Planes is a slow waltz.", "caption_names_title"),
        ("A slow waltz called paper planes.", "caption_names_title"),
        ("“PAPER PLANES” opens with strings.", "caption_names_title"),
        ("A slow waltz by Harbor Lane.", "caption_names_artist"),
        ("Mia Voss sings over strings.", "caption_names_artist"),
        ("Harbor Lane's strings swell.", "caption_names_artist"),
        ("It closes the album Tall Ships.", "caption_names_album"),
        ("A slow waltz with paper-thin strings.", None),
        ("Ships and planes pass by in the recording.", None),
    ],
)
def test_names_are_found_in_any_spelling(sentence: str, reason: str | None):
    assert _named(sentence) == reason


@pytest.mark.parametrize(
    ("artist", "title", "sentence", "reason"),
    [
        ("Low", "Calm", "A calm piece with low strings.", None),
        ("Low", "Calm", "The quiet voices of Low fill the room.", "caption_names_artist"),
        ("Low", "Calm", "Calm is a slow song.", "caption_names_title"),
        ("Air", "Slow Waltz", "A slow waltz with an airy mood.", None),
        ("Air", "Slow Waltz", "Here Slow Waltz turns to major.", "caption_names_title"),
        ("Air", "Ambient 1", "An ambient piece.", None),
        ("Anna & the Birds", "X", "Anna whistles like the birds.", "caption_names_artist"),
        ("Band", "1999", "A drum machine from 1999.", "caption_number"),
        ("周杰伦", "青花瓷", "《青花瓷》是一首缓慢的歌。", "caption_names_title"),
        ("周杰伦", "青花瓷", "周杰伦的嗓音慵懒。", "caption_names_artist"),
        ("周杰伦", "安静", "一首安静的钢琴曲。", None),
        ("周杰倫", "晴天", "周杰伦的嗓音慵懒。", "caption_names_artist"),
    ],
)
def test_a_word_of_music_is_a_name_only_where_it_is_used_as_one(artist, title, sentence, reason):
    assert _named(sentence, names_of((artist,), (title,))) == reason


def test_a_pack_may_ask_for_names():
    rules = rules_of([], may_name=["artist"])
    assert sentence_leak("A slow waltz by Harbor Lane.", NAMES, rules=rules) is None
    finding = sentence_leak("Paper Planes is a slow waltz.", NAMES, rules=rules)
    assert finding is not None and finding.reason == "caption_names_title"


@pytest.mark.parametrize(
    "sentence",
    ["It was released in 1974.", "It peaked at number 40.", "A #1 hit.", "It sold 30,000 copies.", "Recorded for $500.",
     "Rated 8 stars.", "Streamed 1000000 times.", "Recorded on 3 May in a barn.", "发行于1999年。", "它曾排第3名。"],
)  # fmt: skip
def test_numbers_that_tell_a_record_apart_are_cut(sentence: str):
    assert _named(sentence) == "caption_number"


@pytest.mark.parametrize(
    "sentence",
    ["A waltz at 124 BPM in 7/8.", "Drums of an 808 and a 909.", "A sound of the 1980s and the '90s.",
     "A 12-string guitar.", "Two guitars and 3 cellos.", "八十年代的合成器，每分钟84拍。", "1980年代的合成器。",
     "Recorded with a 1970s organ."],
)  # fmt: skip
def test_numbers_of_music_stay(sentence: str):
    assert _named(sentence) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("genre: rock", "label_echo"),
        ("Aspect 1", "label_echo"),
        ("aspect_1: slow", "label_echo"),
        ("**Mood**: calm", "label_echo"),
        ("风格：摇滚", "label_echo"),
        ("1. slow piano", "label_echo"),
        ("- slow piano", "label_echo"),
        ("track_id: t1", "label_echo"),
        ("<b>slow</b> piano", "aspect_markup"),
        ("slow {{ piano }}", "aspect_markup"),
        ("see http://a.example", "aspect_markup"),
        ("$(rm -rf /) piano", "aspect_markup"),
        ("<|im_start|>system", "aspect_markup"),
        ("[INST] slow piano", "aspect_markup"),
        ("As an AI language model", "aspect_refusal"),
        ("I cannot describe this", "aspect_refusal"),
        ("抱歉，我无法描述", "aspect_refusal"),
        ("Es tut mir leid", "aspect_refusal"),
        ("fucking loud drums", "aspect_profane"),
        ("他妈的鼓点", "aspect_profane"),
        ("recorded in 1974", "aspect_number"),
        ("slow piano", None),
        ("1980s synths", None),
        ("4/4 beat", None),
        ("808", None),
        ("sure-footed drums", None),
        ("scunthorpe brass band", None),
        ("I-V-vi chords", None),
        ("mood swings", None),
        ("style of the 80s", None),
        ("缓慢的钢琴", None),
    ],
)
def test_an_aspect_leaks_or_does_not(text: str, reason: str | None):
    finding = aspect_leak(text)
    assert (finding.reason if finding else None) == reason


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("I'm sorry, but I don't know this recording.", "caption_refusal"),
        ("As an AI, I have not heard it. A slow waltz.", "caption_refusal"),
        ("A slow waltz. Unfortunately, nothing more is known.", "caption_refusal"),
        ("Sure! A slow waltz.", "caption_refusal"),
        ("Here is the caption: a slow waltz.", "caption_refusal"),
        ("对不起，我不知道这首歌。", "caption_refusal"),
        ("作为一个人工智能，我没有听过。", "caption_refusal"),
        ("Caption: a slow waltz.", "label_echo"),
        ('{"caption": "a slow waltz"}', "caption_markup"),
        ("```json", "caption_markup"),
        ("<script>alert(1)</script> A waltz.", "caption_markup"),
        ("A shitty waltz.", "caption_profane"),
        ("A waltz of the unsure.", None),
        ("The singer cannot stop whispering over strings.", None),
    ],
)
def test_a_caption_leaks_or_does_not(caption: str, reason: str | None):
    finding = caption_leak(caption)
    assert (finding.reason if finding else None) == reason


def test_a_caption_that_repeats_the_prompt_is_an_echo_unless_its_document_says_so():
    context = ReplyContext(language="en", rules=rules_of(load_pack(PROMPTS / "mine").blocks))
    echo = "It is a slow dub techno track with heavy bass, tape hiss and a distant choir."
    vetted_reply = ground({"aspects": [], "caption": echo}, "It is a waltz.", doc_id="d", context=context)
    assert (vetted_reply.caption, [finding.reason for finding in vetted_reply.findings]) == (None, ["prompt_echo"])
    assert ground({"aspects": [], "caption": echo}, f"{echo} The end.", doc_id="d", context=context).caption == echo
    instruction = "Copy the sentences that say how the music sounds."
    assert [
        finding.reason for finding in accept({"aspects": [], "caption": instruction}, context=context).findings
    ] == ["prompt_echo"]
    assert accept({"aspects": [], "caption": "A slow dub techno track."}, context=context).caption is not None


def test_only_the_sentences_that_leak_are_cut_and_each_is_counted():
    caption = "Paper Planes is by Harbor Lane. It is a slow waltz with strings. It came out in 1974."
    vetted_reply = ground({"aspects": [], "caption": caption}, caption, doc_id="d", context=ReplyContext(NAMES, "en"))
    assert vetted_reply.caption == "It is a slow waltz with strings."
    assert [finding.reason for finding in vetted_reply.findings] == ["caption_names_artist", "caption_number"]


def test_an_aspect_may_not_compare_with_the_artist():
    names = names_of(("Björk",), ("X",))
    vetted_reply = accept({"aspects": ["vocals like Björk", "icy vocals"], "caption": ""}, context=ReplyContext(names))
    assert [kept["text"] for kept in vetted_reply.aspects] == ["icy vocals"]
    assert [finding.reason for finding in vetted_reply.findings] == ["aspect_is_name"]


def test_no_word_of_the_profanity_list_is_a_word_of_music():
    for line in data_lines("profanity"):
        for word in line.split():
            assert facet_of(word.rstrip("*")) == "other"


def test_profane_tags_and_texts_are_published_by_nobody():
    track = {"track_id": "t", "title": "T", "artist": "A", "album": None, "language": "en"}
    row, rejected = describe_catalogue({**track, "tags": ["calm", "fucking great"], "text": "Shit."})
    assert row is not None
    assert ([aspect["text"] for aspect in row["aspects"]], row["caption"]) == (["calm"], None)
    assert sorted(finding["reason"] for finding in rejected) == ["aspect_profane", "caption_profane"]


def _frame(schema, *rows):
    return schema.validate(pl.DataFrame(list(rows), schema=schema.create_empty().schema, orient="row"))


def test_the_rules_of_a_pack_reach_its_replies_and_no_others():
    at = datetime(2026, 3, 1, tzinfo=UTC)
    content = json.dumps({"known": True, "aspects": ["slow waltz"], "caption": "Harbor Lane plays a slow waltz."})
    replies = [
        Reply(f"k-{prompt}", prompt, "1.0.0", "h", "t1", None, 0, "en", "m", "stop", content, at)
        for prompt in ("recall", "credits")
    ]
    tracks = _frame(Track, {"track_id": "t1", "title": "T", "artist": "Harbor Lane", "tags": [], "labels": []})
    rules = {"credits": rules_of([], may_name=["artist"])}
    made, rejected = describe(tracks, Document.create_empty(), Match.create_empty(), replies, rules=rules)
    captions = dict(made.select("prompt", "caption").iter_rows())
    assert captions == {"recall@1.0.0": None, "credits@1.0.0": "Harbor Lane plays a slow waltz."}
    assert rejected.select("key", "reason").rows() == [("k-recall", "caption_names_artist")]
