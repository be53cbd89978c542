"""Promises about languages: told offline, short and mixed texts are left alone, a wrong one is named."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sourcing.generation.grounding.aspects import accept, ground
from sourcing.generation.grounding.context import ReplyContext
from sourcing.generation.text.lexicon import facet_of, too_long
from sourcing.generation.text.phrases import split_phrase
from sourcing.generation.text.words import content_stems, held_stems, words
from sourcing.store.language_id import identify, unlike_language

CAPTIONS = {
    "en": [
        "A slow waltz with a pump organ and a lone trumpet.",
        "Dreamy shoegaze with washed-out guitars and hushed female vocals.",
        "Upbeat reggae track with offbeat guitar skanks, a deep round bassline and a bright horn section.",
        "Calm and intimate solo upright piano, gentle sparse chords.",
    ],
    "de": [
        "Ein langsamer Walzer mit Harmonium und einer einsamen Trompete.",
        "Verträumter Shoegaze mit verwaschenen Gitarren und gehauchtem Gesang.",
        "Ein ruhiges, intimes Klavierstück mit wenigen, sanften Akkorden und viel Hall.",
    ],
    "fr": [
        "Une valse lente avec un harmonium et une trompette solitaire.",
        "Un morceau de club hypnotique et sombre, avec une basse saturée et une voix lointaine.",
    ],
    "es": ["Un vals lento con armonio, una trompeta solitaria y una voz femenina susurrada en el estribillo."],
    "zh": [
        "一首缓慢的华尔兹，由风琴和小号伴奏。",
        "梦幻的盯鞋音乐，吉他朦胧，女声轻柔。",
        "带有 lo-fi 质感的 R&B 曲目，节奏缓慢。",
        "一首緩慢的華爾滋，由風琴伴奏，聲音溫暖。",
    ],
    "ja": ["オルガンを伴うゆったりとしたワルツ。", "夢見るようなシューゲイザー、ぼやけたギターと囁く女性ボーカル。"],
    "ko": ["오르간이 있는 느린 왈츠.", "몽환적인 슈게이즈, 흐릿한 기타와 속삭이는 여성 보컬."],
    "ru": ["Медленный вальс с фисгармонией и одинокой трубой в тёплом, тихом звучании."],
}
PAIRS = [(language, text) for language, texts in CAPTIONS.items() for text in texts]


@pytest.mark.parametrize(("language", "text"), PAIRS)
def test_a_caption_in_the_language_asked_for_is_never_refused(language: str, text: str):
    assert unlike_language(text, language) is None
    assert unlike_language(text, f"{language}-XX") is None


@pytest.mark.parametrize(("language", "text"), PAIRS)
@pytest.mark.parametrize("asked", ["en", "zh", "ja", "ko", "ru"])
def test_a_caption_in_another_language_is_named_by_its_own(language: str, text: str, asked: str):
    if asked != language:
        assert unlike_language(text, asked) == language


@pytest.mark.parametrize(
    "text",
    ["dub techno", "bossa nova, saudade", "Techno, Hammond-Orgel", "R&B", "", "124 BPM", "♪♪♪", "à la Debussy",
     "Schlager", "chanson, musette, valse lente", "Sehnsucht (Weltschmerz)", "piano, 钢琴, ギター and slow strings"],
)  # fmt: skip
@pytest.mark.parametrize("asked", ["en", "de", "fr", "und"])
def test_short_and_mixed_texts_are_left_alone(text: str, asked: str):
    assert unlike_language(text, asked) is None


@pytest.mark.parametrize(
    ("text", "asked", "found"),
    [
        ("一首緩慢的華爾滋，聲音溫暖。", "zh-Hans", "zh-Hant"),
        ("一首緩慢的華爾滋，聲音溫暖。", "zh-CN", "zh-Hant"),
        ("一首缓慢的华尔兹，声音温暖。", "zh-Hant", "zh-Hans"),
        ("一首缓慢的华尔兹，声音温暖。", "zh-TW", "zh-Hans"),
        ("一首緩慢的華爾滋，聲音溫暖。", "zh-Hant", None),
        ("一首緩慢的華爾滋，聲音溫暖。", "zh", None),
        ("一首缓慢的华尔兹，声音温暖。", "zh-Hans-CN", None),
        ("安静的夜晚", "zh-Hant", None),  # one character of difference is no proof
        ("一首缓慢的华尔兹，声音温暖。", "ja", "zh"),
        ("静謐夜曲", "ja", None),  # kanji alone may be Japanese
        ("一首緩慢的華爾滋，聲音溫暖。", "ja", "zh"),  # a sentence of them is not
    ],
)
def test_the_two_kinds_of_chinese_are_told_apart_by_what_only_one_has(text: str, asked: str, found: str | None):
    assert unlike_language(text, asked) == found


def test_scripts_of_one_language_are_told_without_the_model():
    assert identify("느린 왈츠") == ("ko", 1.0)
    assert identify("ワルツ") == ("ja", 1.0)
    assert identify("") == ("und", 0.0)


def test_importing_the_room_loads_no_language_model():
    heavy = "[name for name in sys.modules if name.startswith(('py3langid', 'opencc'))]"
    code = f"import sys, sourcing.generation.grounding.aspects; print({heavy})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_caption_in_the_wrong_language_is_refused_and_the_aspects_stay():
    aspects = [{"text": "solo piano", "facet": "instrument"}]
    vetted_reply = accept({"aspects": aspects, "caption": CAPTIONS["de"][0]}, context=ReplyContext(language="en"))
    assert (vetted_reply.caption, [aspect_row["text"] for aspect_row in vetted_reply.aspects]) == (None, ["solo piano"])
    assert [finding.reason for finding in vetted_reply.findings] == ["caption_wrong_language"]
    assert (
        accept({"aspects": aspects, "caption": CAPTIONS["de"][0]}, context=ReplyContext(language="de")).caption
        == CAPTIONS["de"][0]
    )


def test_aspects_that_together_are_in_the_wrong_language_are_refused_together():
    aspects = ["缓慢的华尔兹", "温暖的风琴", "轻柔的女声"]
    vetted_reply = accept({"aspects": aspects, "caption": CAPTIONS["en"][0]}, context=ReplyContext(language="en"))
    assert vetted_reply.aspects == []
    assert [finding.reason for finding in vetted_reply.findings] == ["aspects_wrong_language"]
    assert len(accept({"aspects": aspects, "caption": ""}, context=ReplyContext(language="zh")).aspects) == 3


DOCUMENT_ZH = (
    "《盐水赞歌》是一首缓慢的华尔兹，由风琴和小号开场。歌曲没有鼓点，吉他粗糙而空旷，女声轻柔。"
    "副歌里有三把小提琴，整首歌庄严而温暖，速度约为每分钟84拍。"
)


def _ground_zh(*aspects, caption: str = "", document: str = DOCUMENT_ZH, language: str = "zh"):
    return ground(
        {"aspects": list(aspects), "caption": caption}, document, doc_id="d", context=ReplyContext(language=language)
    )


def test_a_copied_chinese_sentence_is_parted_into_phrases_with_facets_and_spans():
    vetted_reply = _ground_zh("《盐水赞歌》是一首缓慢的华尔兹，由风琴和小号开场。", "吉他粗糙而空旷，女声轻柔")
    aspect_row = [(aspect["text"], aspect["facet"]) for aspect in vetted_reply.aspects]
    assert aspect_row == [
        ("缓慢的华尔兹", "genre"),
        ("风琴", "instrument"),
        ("小号", "instrument"),
        ("吉他", "instrument"),
        ("粗糙", "production"),
        ("空旷", "production"),
        ("女声", "vocal"),
        ("轻柔", "vocal"),
    ]
    for aspect in vetted_reply.aspects:
        (place,) = aspect["evidence"]
        assert DOCUMENT_ZH[place["start"] : place["end"]] == aspect["text"]


@pytest.mark.parametrize(
    ("aspect", "reason"),
    [
        ({"text": "鼓点", "quote": "没有鼓点"}, "aspect_negated"),
        ({"text": "鼓点", "quote": "鼓点"}, "aspect_negated"),
        ({"text": "快速的华尔兹", "quote": "缓慢的华尔兹"}, "aspect_unsupported"),
        ({"text": "铜管", "quote": "铜管"}, "quote_not_found"),
    ],
)
def test_chinese_negations_and_words_of_music_must_be_the_documents(aspect, reason: str):
    vetted_reply = _ground_zh(aspect)
    assert ([finding.reason for finding in vetted_reply.findings], vetted_reply.aspects) == ([reason], [])


@pytest.mark.parametrize(
    "caption", ["缓慢的华尔兹，风琴和小号，没有鼓点。", "一首庄严而温暖的华尔兹，女声轻柔，吉他粗糙。"]
)
def test_a_chinese_caption_made_of_the_documents_words_is_kept(caption: str):
    vetted_reply = _ground_zh(caption=caption)
    assert (vetted_reply.caption, vetted_reply.findings) == (caption, [])


@pytest.mark.parametrize(
    ("caption", "reason"),
    [
        ("缓慢的华尔兹，风琴和小号，伴有鼓点。", "caption_contradicted"),
        ("缓慢的华尔兹，风琴和小号，还有钢琴。", "caption_unsupported"),
        ("缓慢的华尔兹，每分钟92拍。", "caption_unsupported"),
        ("狂野的金属摇滚，嘶吼的男声。", "caption_unsupported"),
        ("A slow waltz with pump organ and trumpet, without drums.", "caption_wrong_language"),
    ],
)
def test_a_chinese_caption_may_not_invent_or_turn_a_fact(caption: str, reason: str):
    vetted_reply = _ground_zh(caption=caption)
    assert (vetted_reply.caption, [finding.reason for finding in vetted_reply.findings]) == (None, [reason])


def test_simplified_and_traditional_characters_support_one_another_and_the_documents_are_published():
    document = "這首歌以緩慢的鋼琴開始，帶有溫暖的弦樂。"
    vetted_reply = _ground_zh(
        {"text": "緩慢的鋼琴", "quote": "緩慢的鋼琴"},
        caption="緩慢的鋼琴和溫暖的弦樂。",
        document=document,
        language="zh-Hant",
    )
    assert ([aspect_row["text"] for aspect_row in vetted_reply.aspects], vetted_reply.caption) == (
        ["緩慢的鋼琴"],
        "緩慢的鋼琴和溫暖的弦樂。",
    )
    assert (
        _ground_zh(caption="缓慢的钢琴和温暖的弦乐。", document=document, language="zh-Hans").caption
        == "缓慢的钢琴和温暖的弦乐。"
    )


def test_words_of_scripts_without_spaces_are_characters_and_what_they_state_are_pairs():
    assert words("缓慢的 R&B ピアノ") == ["缓", "慢", "的", "r", "b", "ピ", "ア", "ノ"]
    assert content_stems("这首歌以缓慢的钢琴开始") == ["缓慢", "钢琴", "琴开", "开始"]
    assert content_stems("和声与和弦") == ["和声", "和弦"]
    assert content_stems("피아노가") == ["피아", "아노", "노가"]
    assert {"缓慢", "慢的", "缓"} <= held_stems("缓慢的钢琴")


def test_chinese_phrases_have_facets_and_a_length():
    assert [facet_of(text) for text in ("缓慢的钢琴", "温柔女声", "鋼琴", "失真", "怀旧", "电影")] == [
        "instrument", "vocal", "instrument", "production", "mood", "context_use",
    ]  # fmt: skip
    assert not too_long("带有爵士色彩的缓慢钢琴")
    assert too_long("带有爵士色彩的缓慢钢琴和温暖而空灵的弦乐")
    assert [part.text for part in split_phrase("柔和的和声与和弦")] == ["柔和的和声", "和弦"]
