"""Phrases of sentences in six languages: nouns with what belongs to them, adjectives that are said of one."""

from __future__ import annotations

import pytest

from sourcing.generation.text.phrases import split_phrase

SENTENCES = [
    ("en", "It features a close-miked upright bass and plucked nylon-string guitars.",
     ["close-miked upright bass", "plucked nylon-string guitars"]),
    ("en", "A dense wall of fuzzy guitars gives way to hushed, breathy vocals.",
     ["dense wall of fuzzy guitars", "hushed, breathy vocals"]),
    ("en", "The production is dry and close.", ["dry", "close"]),
    ("en", "The guitars jab at the accordion.", ["guitars", "accordion"]),
    ("en", "Set in 7/8 at 124 beats per minute", ["7/8", "124 beats per minute"]),
    ("en", "with Maria Lund's clarinet and a ridiculous amount of spring reverb", ["clarinet", "spring reverb"]),
    ("en", "the lead singer of a metal band plays drum and bass", ["drum and bass"]),
    ("en", "Scored for muted strings, ocarina and blurp", ["muted strings", "ocarina", "blurp"]),
    ("de", "Das Stück ist langsam, düster und stark verzerrt.", ["langsam", "düster", "stark verzerrt"]),
    ("de", "Über einem stoischen Takt legen sich verhallte Gitarren und ein warmer Moog-Bass.",
     ["stoischen Takt", "verhallte Gitarren", "warmer Moog-Bass"]),
    ("fr", "Le morceau s'ouvre sur un piano préparé et des cordes feutrées ; la production est sèche.",
     ["piano préparé", "cordes feutrées", "sèche"]),
    ("fr", "La guitare traverse le morceau, presque chuchotée.", ["guitare", "presque chuchotée"]),
    ("es", "La canción es una balada lenta con guitarra española y cuerdas cálidas.",
     ["balada lenta", "guitarra española", "cuerdas cálidas"]),
    ("zh", "副歌加入大提琴与轻柔的女声和声。", ["大提琴", "轻柔的女声和声"]),
    ("ja", "歪んだギターと柔らかなストリングスが重なる。", ["歪んだギター", "柔らかなストリングス"]),
]  # fmt: skip


@pytest.mark.parametrize(("language", "sentence", "phrases"), SENTENCES)
def test_a_sentence_has_these_phrases(language: str, sentence: str, phrases: list[str]) -> None:
    assert [part.text for part in split_phrase(sentence, language)] == phrases


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "zh", "ja", "und", "xx"])
@pytest.mark.parametrize(
    "text", ["", " ", "…", "\0", "a" * 5000, "🎵" * 300, "، ؟", "-' -- ''", "的" * 500, "\u202e\u200b", "的\ud800钢琴"]
)
def test_no_text_breaks_it(language: str, text: str) -> None:
    for part in split_phrase(text, language):
        assert part.text


@pytest.mark.parametrize("language", ["en", "de", "fr", "zh", "ja"])
@pytest.mark.parametrize(
    "text", ["a " * 500_000, "slow, " * 200_000, "鋼" * 300_000, "warm-" * 100_000, "soft " * 400 + "drum."]
)
def test_a_text_without_end_is_read_in_bounded_work(language: str, text: str) -> None:
    assert len(split_phrase(text, language)) < 5_000
