"""Promises of the lyric guard: no more than eight consecutive words of what is marked as lyrics are published."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.generation.grounding import ground
from sourcing.generation.lyrics import MAX_LYRIC_WORDS, lyric_spans, shared_runs, takes_lyrics
from sourcing.generation.scraped import describe_catalogue, describe_document
from sourcing.generation.words import words

SUNG = ["I walk along the river", "and the river walks with me", "I never come home again", "and the night is cold"]
SUNG_ZH = ["我沿着河流慢慢走", "河水陪我回家", "夜晚很冷我不怕", "明天再见吧朋友"]
PROSE = "It is a slow ballad with piano, produced with a lot of reverb on every voice."
PROSE_ZH = "这首歌以缓慢的钢琴开始，带有弦乐和女声，制作温暖而空灵。"


def _marked(text: str) -> str:
    return "\n".join(text[start:end] for start, end in lyric_spans(text))


MARKED = {
    "poem tag": f"{PROSE} <poem>{' '.join(SUNG)}</poem> {PROSE}",
    "poem tag with attributes over lines": f"{PROSE}\n<poem style='x'>\n" + "\n".join(SUNG) + f"\n</poem>\n\n{PROSE}",
    "unclosed lyrics tag": f"{PROSE} <lyrics> {' '.join(SUNG)}",
    "heading": f"{PROSE}\n\nLyrics\n\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "heading with a colon": "Lyrics:\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "wiki heading": f"{PROSE}\n== Lyrics ==\n" + "\n".join(SUNG) + f"\n{PROSE}",
    "markdown heading and stanzas": f"{PROSE}\n## Song lyrics\n" + "\n\n".join(SUNG) + f"\n\n{PROSE}",
    "heading and lines run together": "Lyrics\n" + " ".join(SUNG) + f"\n\n{PROSE}",
    "german heading": "Songtext\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "chorus mark": "[Chorus]\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "verse mark with a number": "[Verse 1]\n"
    + "\n".join(SUNG[:2])
    + "\n[Pre-Chorus]\n"
    + "\n".join(SUNG[2:])
    + f"\n\n{PROSE}",
    "mark with a singer": "[Verse 2: Anna]\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "mark within a line": f"{PROSE} [Refrain] {' '.join(SUNG)}\n{PROSE}",
    "slashes in quotation marks": f"She sings “{SUNG[0]} / {SUNG[1]} / {SUNG[2]} / {SUNG[3]}” over piano. {PROSE}",
    "slashes without": f"{PROSE} {SUNG[0]} / {SUNG[1]} / {SUNG[2]} / {SUNG[3]}. {PROSE}",
    "short lines": f"{PROSE}\n\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "quoted lines": f"{PROSE}\n\n" + "\n".join(f"> {line}" for line in SUNG) + f"\n\n{PROSE}",
    "lines in quotation marks": f"{PROSE}\n\n“" + "\n".join(SUNG) + f"”\n\n{PROSE}",
    "music signs": f"{PROSE} ♪ {' '.join(SUNG)} ♪ {PROSE}",
}
MARKED_ZH = {
    "heading": "歌词\n" + "\n".join(SUNG_ZH) + f"\n\n{PROSE_ZH}",
    "traditional heading": "歌詞：\n" + "\n".join(SUNG_ZH) + f"\n\n{PROSE_ZH}",
    "mark": "【副歌】\n" + "\n".join(SUNG_ZH) + f"\n\n{PROSE_ZH}",
    "slashes": f"{PROSE_ZH}“" + " / ".join(SUNG_ZH) + f"”{PROSE_ZH}",
    "short lines": f"{PROSE_ZH}\n\n" + "\n".join(SUNG_ZH) + f"\n\n{PROSE_ZH}",
}


@pytest.mark.parametrize(
    "text", [*MARKED.values(), *MARKED_ZH.values()], ids=[*MARKED, *(f"zh {name}" for name in MARKED_ZH)]
)
def test_marked_lyrics_are_known_and_the_prose_around_them_is_none(text: str):
    marked = _marked(text)
    for line in SUNG if PROSE in text else SUNG_ZH:
        assert line in marked
    assert PROSE not in marked
    assert PROSE_ZH not in marked


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        PROSE_ZH,
        f"Lyrics\n\n{PROSE} The lyrics speak of a long way home.",
        "== Lyrics and music ==\nThe words describe a long walk home after a quarrel. They were written in 1990.",
        "It is a rock / pop / jazz hybrid. Genres: rock / pop / jazz.",
        "Soft piano\nGentle strings\nSlow tempo\nWarm mood",
        "Track list\n1. The long way home tonight 3:45\n2. A river in the winter sun 2:10\n3. Come back 4:00\n4. Stay",
        "Genre: rock and roll music\nLabel: a small one there\nLength: three minutes or so\nProducer: somebody at home",
        "- a slow and weary piano\n- a string part by itself\n- a voice from far away\n- rain on a tin roof",
        "He plays guitar and/or piano; see [1] and (chorus effect) in the mix [citation needed].",
        "",
    ],
)
def test_prose_lists_and_tables_are_no_lyrics(text: str):
    assert lyric_spans(text) == []


def test_eight_words_or_twelve_characters_may_be_taken_and_no_more():
    runs = shared_runs([" ".join(SUNG)])
    eight = words(" ".join(SUNG))[:8]
    assert len(eight) == MAX_LYRIC_WORDS
    assert not takes_lyrics(" ".join(eight), runs)
    assert takes_lyrics(" ".join(words(" ".join(SUNG))[:9]), runs)
    assert takes_lyrics("He sings: I WALK, along the river / and “the river” walks!", runs)
    sung = "".join(SUNG_ZH)
    runs = shared_runs([sung])
    assert not takes_lyrics(sung[3:15], runs)
    assert takes_lyrics(sung[3:16], runs)
    assert takes_lyrics(sung[3:16].replace("着", "著").replace("陪", "，陪"), runs)


@given(st.integers(0, 20), st.integers(1, 21), st.text(max_size=10), st.text(max_size=10))
def test_the_guard_agrees_with_a_stupid_loop(start, length, before, after):
    sung = words(" ".join(SUNG))
    taken = f"{before} {' '.join(sung[start : start + length])} {after}"
    said = words(taken)
    longest = max(
        (size for size in range(1, len(sung) + 1) for at in range(len(sung) - size + 1)
         if any(said[place : place + size] == sung[at : at + size] for place in range(len(said) - size + 1))),
        default=0,
    )  # fmt: skip
    assert takes_lyrics(taken, shared_runs([" ".join(SUNG)])) == (longest > MAX_LYRIC_WORDS)


DOCUMENT = MARKED["heading"]


@pytest.mark.parametrize("aspect", [SUNG[1], {"text": "cold night", "quote": SUNG[3]}, {"quote": "the night is cold"}])
def test_what_is_sung_supports_no_aspect(aspect):
    grounded = ground({"aspects": [aspect], "caption": ""}, DOCUMENT, doc_id="d", language="und")
    assert grounded.aspects == []
    assert {finding.reason for finding in grounded.findings} <= {"quote_is_lyric", "aspect_too_long"}


def test_an_aspect_that_the_prose_says_as_well_is_taken_from_there():
    document = f"Lyrics\nI play the slow piano\nall night long for you\n\n{PROSE} It has a slow piano."
    (kept,) = ground({"aspects": ["slow piano"], "caption": ""}, document, doc_id="d").aspects
    assert kept["evidence"][0]["start"] > document.index(PROSE)


@pytest.mark.parametrize("document", MARKED.values(), ids=MARKED)
def test_a_mined_caption_loses_the_sentence_that_sings(document: str):
    caption = f"It is a slow ballad with piano. {' '.join(SUNG[:2])}."
    grounded = ground({"aspects": [], "caption": caption}, document, doc_id="d")
    assert grounded.caption == "It is a slow ballad with piano."
    assert [finding.reason for finding in grounded.findings] == ["caption_is_lyric"]


def test_lines_sung_in_many_short_sentences_are_counted_together():
    document = "Lyrics\nHold me now tonight\nStay here with me\nDo not go away\nThe night is long\n\n" + PROSE
    caption = "Hold me now tonight. Stay here with me. Do not go away."
    grounded = ground({"aspects": [], "caption": caption}, document, doc_id="d", language="und")
    assert grounded.caption == "Hold me now tonight. Stay here with me."
    assert [finding.reason for finding in grounded.findings] == ["caption_is_lyric"]


def _document(lead: str, text: str) -> dict[str, object]:
    return {
        "doc_id": "d", "title": None, "artist": None, "album": None, "tags": [], "lead": lead, "text": text,
        "language": "en", "licences": [{"field": "*", "licence": "CC0-1.0"}],
        "retrieved_at": datetime(2026, 3, 1, tzinfo=UTC),
    }  # fmt: skip


_TRACK = {"track_id": "t", "title": "Title", "artist": "Artist", "album": None, "tags": [], "language": "en"}


def test_a_scraped_lead_loses_the_sentence_that_sings_and_says_so():
    lead = f"It is a slow ballad. {' '.join(SUNG[:2])}."
    row, rejected = describe_document(_TRACK, _document(lead, f"{lead}\n\n{DOCUMENT}"))
    assert row is not None
    assert row["caption"] == "It is a slow ballad."
    assert [found["reason"] for found in rejected] == ["caption_is_lyric"]


def test_the_owners_own_text_is_guarded_too():
    text = "A slow ballad.\n[Chorus]\n" + "\n".join(SUNG)
    row, rejected = describe_catalogue({**_TRACK, "text": text})
    assert row is not None
    assert not takes_lyrics(row["caption"], shared_runs([" ".join(SUNG)]))
    assert "caption_is_lyric" in [found["reason"] for found in rejected]


@given(
    st.lists(
        st.sampled_from(["Lyrics", "[Chorus]", "<poem>", "</poem>", "♪", " / ", "“", "”", "\n", "\n\n", *SUNG, PROSE])
    )
)
def test_spans_are_ordered_apart_and_inside_the_text(pieces):
    text = " ".join(pieces)
    spans = lyric_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(one[1] < other[0] for one, other in pairwise(spans))
