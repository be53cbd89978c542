"""Promises of the lyric guard: no more than eight consecutive words of what is marked as lyrics are published."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.describe import describe
from sourcing.generation.descriptions.scraped import describe_catalogue, describe_document
from sourcing.generation.grounding.aspects import accept, ground
from sourcing.generation.grounding.context import ReplyContext
from sourcing.generation.text.lyrics import MAX_LYRIC_WORDS, lyric_spans, shared_runs, takes_lyrics
from sourcing.generation.text.words import words
from sourcing.store.schemas import Document, Match, Track

ENGLISH = ReplyContext(language="en")
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
MARKED_ODDLY = {
    "full stops": "Lyrics\n" + "\n".join(f"{line}." for line in SUNG) + f"\n\n{PROSE}",
    "full stops after prose": f"{PROSE}\n\n== Lyrics ==\n" + "\n".join(f"{line.capitalize()}." for line in SUNG),
    "full stops below a verse mark": "[Verse 2]\n" + "\n".join(f"{line}!" for line in SUNG) + f"\n\n{PROSE}",
    "spaced letters": "L y r i c s\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "spaced capitals": f"{PROSE}\n\nL Y R I C S:\n\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "one line behind a label": f"{PROSE}\nLyrics: {' '.join(SUNG)}\n{PROSE}",
    "a label after a sentence": f"{PROSE} Lyrics: {', '.join(SUNG)}. {PROSE}",
    "a label and quotation marks": f"Lyrics: “{' '.join(SUNG)}”\n{PROSE}",
    "bold label": f"**Lyrics:** {' '.join(SUNG)}\n\n{PROSE}",
    "songtext": f"Songtext: {', '.join(SUNG)}\n{PROSE}",
    "paroles": f"Paroles : {', '.join(SUNG)}\n{PROSE}",
    "letra": "Letra\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "verse with a number": "Verse 1:\n" + "\n".join(SUNG[:2]) + "\nVerse 2:\n" + "\n".join(SUNG[2:]) + f"\n\n{PROSE}",
    "verse with a number, no colon": "Verse 1\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "verse and its line": f"Verse 1: {' '.join(SUNG)}\n{PROSE}",
    "refrain in parentheses": "(Refrain)\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "strophe": "Strophe 1\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "couplet": "Couplet 2 :\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "chorus and its line": f"{PROSE}\nChorus: {' '.join(SUNG)}\n",
    "lrc": "\n".join(f"[00:{n}2.34] {line}" for n, line in enumerate(SUNG)) + f"\n\n{PROSE}",
    "lrc of minutes": "\n".join(f"[01:0{n}.5]{line}" for n, line in enumerate(SUNG)) + f"\n{PROSE}",
    "lrc in one line": f"{PROSE}\n" + " ".join(f"[00:{n}2.34] {line}" for n, line in enumerate(SUNG)),
    "srt": "\n\n".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{line}" for n, line in enumerate(SUNG))
    + f"\n\n{PROSE}",
    "numbered": "Lyrics\n" + "\n".join(f"{n}. {line}" for n, line in enumerate(SUNG, 1)) + f"\n\n{PROSE}",
    "numbers in parentheses": "Lyrics\n"
    + "\n".join(f"({n}) {line}" for n, line in enumerate(SUNG, 1))
    + f"\n\n{PROSE}",
    "bullets": "Lyrics:\n" + "\n".join(f"- {line}" for line in SUNG) + f"\n\n{PROSE}",
    "stars": "[Chorus]\n" + "\n".join(f"* {line}" for line in SUNG) + f"\n\n{PROSE}",
    "a separator of stars": "Lyrics\n* * *\n" + "\n* * *\n".join(SUNG) + f"\n\n{PROSE}",
    "a separator of dashes": "Lyrics\n---\n"
    + "\n".join(SUNG[:2])
    + "\n---\n"
    + "\n".join(SUNG[2:])
    + f"\n---\n{PROSE}",
    "a separator of underscores": f"{PROSE}\n\nLyrics\n_____\n" + "\n".join(SUNG),
    "each line quoted": " / ".join(f"“{line}”" for line in SUNG) + f" is how it goes. {PROSE}",
    "slashes without spaces": f"It goes “{'/'.join(SUNG)}” over piano. {PROSE}",
    "commas and slashes": f"It goes “{', / '.join(SUNG)}” over piano. {PROSE}",
    "sung in quotation marks": f"{PROSE} She sings “{' '.join(SUNG)}” at last. {PROSE}",
    "the refrain goes": f'{PROSE} The refrain goes: "{", ".join(SUNG)}". {PROSE}',
    "line breaks of a page": f"{PROSE} " + "<br>".join(SUNG) + f"<br/>\n{PROSE}",
    "line breaks of another page": f"{PROSE}\n" + " <br /> ".join(SUNG) + f"\n{PROSE}",
    "lyrics of a title": "Lyrics to Blue Sky\n" + "\n".join(SUNG[:3]) + f"\n{SUNG[3]}.\n\n{PROSE}",
    "a title's lyrics": "Blue Sky Lyrics\n" + "\n".join(SUNG) + f"\n\n{PROSE}",
    "dots between lines": f"{PROSE}\n" + " • ".join(SUNG) + f"\n{PROSE}",
}
MARKED_ZH = {
    "heading": "歌词\n" + "\n".join(SUNG_ZH) + f"\n\n{PROSE_ZH}",
    "traditional heading": "歌詞：\n" + "\n".join(SUNG_ZH) + f"\n\n{PROSE_ZH}",
    "mark": "【副歌】\n" + "\n".join(SUNG_ZH) + f"\n\n{PROSE_ZH}",
    "slashes": f"{PROSE_ZH}“" + " / ".join(SUNG_ZH) + f"”{PROSE_ZH}",
    "short lines": f"{PROSE_ZH}\n\n" + "\n".join(SUNG_ZH) + f"\n\n{PROSE_ZH}",
    "one line behind a label": f"{PROSE_ZH}\n歌词：{'，'.join(SUNG_ZH)}\n{PROSE_ZH}",
    "traditional label": f"歌詞: {' '.join(SUNG_ZH)}\n\n{PROSE_ZH}",
    "full stops": "歌词\n" + "\n".join(f"{line}。" for line in SUNG_ZH) + f"\n\n{PROSE_ZH}",
    "numbered": "歌词\n" + "\n".join(f"{n}. {line}" for n, line in enumerate(SUNG_ZH, 1)) + f"\n\n{PROSE_ZH}",
    "lrc": "\n".join(f"[00:0{n}.10]{line}" for n, line in enumerate(SUNG_ZH)) + f"\n{PROSE_ZH}",
    "part": "副歌：\n" + "\n".join(SUNG_ZH) + f"\n\n{PROSE_ZH}",
    "sung": f"{PROSE_ZH}她唱道“{'，'.join(SUNG_ZH)}”。{PROSE_ZH}",
}
MARKED |= MARKED_ODDLY


@pytest.mark.parametrize(
    "text", [*MARKED.values(), *MARKED_ZH.values()], ids=[*MARKED, *(f"zh {name}" for name in MARKED_ZH)]
)
def test_marked_lyrics_are_known_and_the_prose_around_them_is_none(text: str):
    marked = _marked(text)
    for line in SUNG if PROSE in text else SUNG_ZH:
        assert line in marked.casefold().replace("i ", "I ")
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
        "The lyrics deal with loss and a long way home. The second verse adds strings.",
        "Lyrics: Ann Lee, Music: Bo Kern, Produced By Tom Reed And Sons In New York City",
        "Lyrics: Bernd Meinunger\nMusic: Ralph Siegel\nLength: 3:05",
        "Lyrics: The words describe a long walk home after a quarrel with a friend, and were written in one night.",
        "Verse 1: a lone piano over brushed drums, then strings that swell until everything stops.",
        "Chorus: full band, loud guitars and strings that come in with the drums.",
        "Verse\nThe verse rests on a pedal note of the organ, with soft drums behind the voice.",
        "Lyrics\nThe lyrics deal with loss.\nThey were written in 1990.\nThe album came out later.",
        "Songtext\nDer Text handelt von einem langen Heimweg. Er wurde an einem Abend geschrieben.",
        "Text: Die Ballade handelt von einem langen Heimweg nach einem Streit mit einer Freundin.",
        "[00:00] Intro\n[03:45] The long way home\n[07:12] A river in winter",
        "She sings “Blue” with a whisper. The singer calls it “a quiet song about a long way home”.",
        "The line “come home” returns three times; the refrain is “slow and low”.",
        "Genres: folk/rock/pop/jazz/blues. Guitar/vocals/bass/drums by the band.",
        "Ann Lee – guitar/vocals • Bo Kern – drums • Tom Reed – bass • Una May – strings",
        "Track list:\n* * *\n1. Blue 3:45\n2. Red 4:00\n---\nA review of the record follows here.",
        "Refrain from shouting: the mix is soft, and its dynamics are wide from the first note to the last.",
        "The song has no lyrics\nIt is played on two organs and a drum machine, at a slow pace.",
        "歌词：方文山，作曲：周杰伦，编曲：钟兴民",
        "歌词描写了一段漫长的回家路，旋律缓慢，钢琴和弦乐交织，演唱温柔。",
        "这首歌的副歌部分由弦乐推动，节奏逐渐加快，人声更加明亮。",
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
    quotation = f"{before} {' '.join(sung[start : start + length])} {after}"
    said = words(quotation)
    longest = max(
        (size for size in range(1, len(sung) + 1) for at in range(len(sung) - size + 1)
         if any(said[place : place + size] == sung[at : at + size] for place in range(len(said) - size + 1))),
        default=0,
    )  # fmt: skip
    assert takes_lyrics(quotation, shared_runs([" ".join(SUNG)])) == (longest > MAX_LYRIC_WORDS)


DOCUMENT = MARKED["heading"]


@pytest.mark.parametrize("aspect", [SUNG[1], {"text": "cold night", "quote": SUNG[3]}, {"quote": "the night is cold"}])
def test_what_is_sung_supports_no_aspect(aspect):
    vetted_reply = ground({"aspects": [aspect], "caption": ""}, DOCUMENT, doc_id="d")
    assert vetted_reply.aspects == []
    assert {finding.reason for finding in vetted_reply.findings} <= {"quote_is_lyric", "aspect_too_long"}


def test_an_aspect_that_the_prose_says_as_well_is_taken_from_there():
    document = f"Lyrics\nI play the slow piano\nall night long for you\n\n{PROSE} It has a slow piano."
    (aspect_row,) = ground({"aspects": ["slow piano"], "caption": ""}, document, doc_id="d", context=ENGLISH).aspects
    assert aspect_row["evidence"][0]["start"] > document.index(PROSE)


@pytest.mark.parametrize("document", MARKED.values(), ids=MARKED)
def test_a_mined_caption_loses_the_sentence_that_sings(document: str):
    caption = f"It is a slow ballad with piano. {' '.join(SUNG[:2])}."
    vetted_reply = ground({"aspects": [], "caption": caption}, document, doc_id="d", context=ENGLISH)
    assert vetted_reply.caption == "It is a slow ballad with piano."
    assert [finding.reason for finding in vetted_reply.findings] == ["caption_is_lyric"]


def test_lines_sung_in_many_short_sentences_are_counted_together():
    document = "Lyrics\nHold me now tonight\nStay here with me\nDo not go away\nThe night is long\n\n" + PROSE
    caption = "Hold me now tonight. Stay here with me. Do not go away."
    vetted_reply = ground({"aspects": [], "caption": caption}, document, doc_id="d")
    assert vetted_reply.caption == "Hold me now tonight. Stay here with me."
    assert [finding.reason for finding in vetted_reply.findings] == ["caption_is_lyric"]


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


_BESIDE = ["Ich gehe am Fluss", "und der Fluss geht mit", "ich kehre nie mehr heim", "und die Nacht ist kalt"]
BETWEEN = {
    "chords": "[Verse]\n" + "\n".join(f"Am   F   C   G\n{line}" for line in SUNG),
    "translations": "Lyrics\n" + "\n".join(f"{one}\n({line})" for one, line in zip(_BESIDE, SUNG, strict=True)),
    "scripts": "Lyrics\n" + "\n".join(f"{zh}\nwo yan zhe\n{line}" for zh, line in zip(SUNG_ZH, SUNG, strict=True)),
    "a column": "Text | Words\n" + "\n".join(f"{one} | {line}" for one, line in zip(_BESIDE, SUNG, strict=True)),
    "a column in front": "Words | Text\n"
    + "\n".join(f"{line} | {one}" for one, line in zip(_BESIDE, SUNG, strict=True)),
    "times": "Lyrics\n" + "\n".join(f"0:{n}2 {line}" for n, line in enumerate(SUNG, 1)),
}


@pytest.mark.parametrize("document", BETWEEN.values(), ids=BETWEEN)
def test_lines_are_sung_in_a_row_whatever_stands_between_them(document: str) -> None:
    caption = f"It is a slow ballad with piano. {' '.join(SUNG[:3])}."
    vetted_reply = ground({"aspects": [], "caption": caption}, f"{PROSE}\n\n{document}", doc_id="d")
    accepted_reply = accept({"aspects": ["calm"], "caption": caption}, documents=[document])
    assert accepted_reply.caption == "It is a slow ballad with piano."
    assert "river" not in (vetted_reply.caption or "")


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


@pytest.mark.parametrize(
    "reply",
    [
        {"aspects": [SUNG[1], SUNG[3]], "caption": ""},
        {"aspects": [], "caption": f"{' '.join(SUNG[:2])}."},
        {"aspects": [f"{SUNG[0]} and on"], "caption": f"It has {SUNG[0]} and a harp that no page speaks of."},
        {"aspects": [{"text": SUNG[2], "quote": f"{SUNG[2]} tonight"}], "caption": ""},
        {"aspects": [{"text": "cold night", "quote": SUNG[3]}], "caption": f"Polka polka: {SUNG[1]}."},
        {"aspects": [f"genre: {SUNG[2]}"], "caption": f"“{SUNG[0]}”, “{SUNG[1]}”, it says in 1974."},
    ],
)
def test_no_finding_shows_what_is_sung(reply: dict[str, object]) -> None:
    vetted_reply = ground(reply, DOCUMENT, doc_id="d")
    assert vetted_reply.findings
    for finding in vetted_reply.findings:
        told = f"{finding.finding} {finding.piece}"
        assert not any(" ".join(line.split()[at : at + 4]) in told for line in SUNG for at in range(3)), told


def test_findings_about_prose_still_show_it() -> None:
    vetted_reply = ground({"aspects": ["loud harp solo"], "caption": ""}, DOCUMENT, doc_id="d", context=ENGLISH)
    assert "loud harp solo" in vetted_reply.findings[0].finding


@pytest.mark.parametrize("document", MARKED.values(), ids=MARKED)
def test_a_recalled_caption_is_held_against_the_lyrics_of_the_tracks_documents(document: str) -> None:
    caption = f"A slow ballad with piano. {' '.join(SUNG[:2])}."
    reply = {"aspects": ["slow ballad", SUNG[0], SUNG[1]], "caption": caption}
    accepted_reply = accept(reply, documents=[PROSE, document])
    assert accepted_reply.caption == "A slow ballad with piano."
    assert "caption_is_lyric" in [finding.reason for finding in accepted_reply.findings]
    assert not takes_lyrics(
        " ".join(aspect["text"] for aspect in accepted_reply.aspects), shared_runs([" ".join(SUNG)])
    )
    assert not any("river" in f"{finding.finding} {finding.piece}" for finding in accepted_reply.findings)
    assert accept(reply, documents=[PROSE]).caption == caption


def test_a_recalled_chinese_caption_is_held_against_them_too() -> None:
    caption = f"一首缓慢的钢琴曲。{SUNG_ZH[0]}{SUNG_ZH[1]}。"
    accepted_reply = accept(
        {"aspects": ["缓慢的钢琴"], "caption": caption}, documents=[MARKED_ZH["traditional heading"]]
    )
    assert accepted_reply.caption == "一首缓慢的钢琴曲。"


def test_only_accepted_documents_of_the_same_track_are_held_against_it() -> None:
    tracks = pl.DataFrame(
        [{"track_id": each, "title": each, "artist": "A", "tags": [], "labels": []} for each in ("t1", "t2")],
        schema=Track.create_empty().schema,
    )
    facts = {"source": "web", "url": "u", "content_sha256": "0" * 64, "granularity": "recording", "isrcs": []}
    facts |= {"consent": "deny", "consent_evidence": ["no"], "lead": None}
    documents = pl.DataFrame(
        [{**_document("", MARKED["full stops"]), **facts}], schema=Document.create_empty().schema, orient="row"
    )
    matches = pl.DataFrame(
        [{"track_id": "t1", "doc_id": "d", "score": 1.0, "band": "accept", "method": "text", "reasons": []}],
        schema=Match.create_empty().schema,
    )
    content = json.dumps({"known": True, "aspects": ["slow ballad"], "caption": f"{' '.join(SUNG[:2])}."})
    replies = [
        Reply(f"k-{each}", "recall", "1.0.0", "h", each, None, 0, "en", "m", "stop", content, datetime.now(UTC))
        for each in ("t1", "t2")
    ]
    made, _ = describe(
        Track.validate(tracks), Document.validate(documents, cast=True), Match.validate(matches), replies
    )
    captions = dict(made.select("track_id", "caption").iter_rows())
    assert captions["t1"] is None, "the page may not be used, and its lyrics may not be published either"
    assert captions["t2"] is not None
