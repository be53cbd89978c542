"""Reading an encyclopedia's first sentence: who performs it, what it is, and silence when in doubt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sourcing.crawling.parsing.values import first_sentences
from sourcing.crawling.wiki.lead_sentences import article_text, read_opening, split_title
from sourcing.crawling.wiki.lead_sentences_en import artist_in_lead, granularity_of, year_in_lead


def _rows(name: str) -> list[Any]:
    return [json.loads(line) for line in (Path(__file__).parents[1] / name).read_text("utf-8").splitlines()]


#: First sentences in the phrasings encyclopedias use, with the performer they name; null where it is not plain.
OPENINGS = _rows("openings.jsonl")
#: Chinese and German ones, with granularity, performer and year.
OTHERS = _rows("openings_zh_de.jsonl")

#: Openings of six languages and of every kind of article that is met, many about no music; null where in doubt.
KINDS = _rows("openings_kinds.jsonl")


@pytest.mark.parametrize("example", OPENINGS, ids=lambda example: example["opening"][:30])
def test_the_performer_is_read_from_the_first_sentence(example):
    assert artist_in_lead(example["opening"]) == example["artist"]


@pytest.mark.parametrize("example", OTHERS, ids=lambda example: example["opening"][:30])
def test_a_chinese_or_german_first_sentence_is_read_in_its_own_language(example):
    assert list(read_opening(example["opening"], example.get("qualifier"), example["language"])) == example["says"]


def test_facts_read_from_openings_are_right_or_empty(capsys):
    """A wrong performer, year or kind misleads matching and is worse than none: no field may hold one."""
    lines = [f"{'field':12} {'right':>6} {'empty':>6} {'wrong':>6}"]
    wrong = []
    for place, field in enumerate(("granularity", "artist", "year")):
        right = empty = 0
        for example in KINDS:
            says = example["says"][place]
            reads = read_opening(example["text"], example.get("qualifier"), example["language"])[place]
            if reads == says:
                right += 1
            elif reads in (None, "page"):
                empty += 1
            else:
                wrong.append((example["text"], field, reads, says))
        lines.append(f"{field:12} {right:6} {empty:6} {len(KINDS) - right - empty:6}")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert not wrong


@pytest.mark.parametrize("example", KINDS, ids=lambda example: f"{example['language']} {example['text'][:30]}")
def test_an_opening_is_read_as_a_reader_reads_it(example):
    assert list(read_opening(example["text"], example.get("qualifier"), example["language"])) == example["says"]


def test_an_opening_in_another_language_says_only_what_its_title_does():
    assert read_opening("Odpływ – piosenka zespołu Harbour & Kite z 2014 roku.", None, "pl") == ("page", None, None)
    assert read_opening('"Low Tide" is a 2014 song by Harbour & Kite.', None, "en-GB") == (
        "recording",
        "Harbour & Kite",
        2014,
    )
    assert read_opening("Harbour & Kite are an English band, recorded in 2014.", None, "en") == ("artist", None, None)


def test_the_bracket_names_the_performer_where_the_sentence_does_not():
    assert artist_in_lead('"Yellow" is a song whose words are simple.', "Coldplay song") == "Coldplay"
    assert artist_in_lead('"Yellow" is a song whose words are simple.', "2000 song") is None
    assert artist_in_lead('"Yellow" is a song whose words are simple.', "song") is None


@pytest.mark.parametrize(
    ("title", "parts"),
    [
        ("Yellow (Coldplay song)", ("Yellow", "Coldplay song")),
        ("Yellow (song)", ("Yellow", "song")),
        ("Apache (instrumental)", ("Apache", "instrumental")),
        ("Help! (album)", ("Help!", "album")),
        ("Air (French band)", ("Air", "French band")),
        ("(I Can't Get No) Satisfaction", ("(I Can't Get No) Satisfaction", None)),
        ("Don't You (Forget About Me)", ("Don't You (Forget About Me)", None)),
        ("Mercury (planet)", ("Mercury (planet)", None)),
        ("退潮 (林一帆歌曲)", ("退潮", "林一帆歌曲")),
        ("燈塔（專輯）", ("燈塔", "專輯")),
        ("Nachtfähre (Lied)", ("Nachtfähre", "Lied")),
        ("Ebbe (Album)", ("Ebbe", "Album")),
    ],
)
def test_only_a_qualifier_is_taken_off_a_title(title, parts):
    assert split_title(title) == parts


@pytest.mark.parametrize(
    ("opening", "qualifier", "granularity"),
    [
        ('"Low Tide" is a song by Harbour & Kite.', None, "recording"),
        ("Take Five is a jazz standard composed by Paul Desmond.", None, "recording"),
        ("Slack Water is the second studio album by Harbour & Kite.", None, "release"),
        ("Harbour & Kite were an English electronic duo.", None, "artist"),
        ("Ana Cruz is a Spanish singer who wrote several songs.", None, "artist"),
        ("Whitby is a seaside town in England.", None, "page"),
        ("Anything at all.", "song", "recording"),
        ("Anything at all.", "EP", "release"),
        ("Anything at all.", "band", "artist"),
        ("Anything at all.", "林一帆歌曲", "recording"),
        ("Anything at all.", "Album", "release"),
        ("Anything at all.", "樂團", "artist"),
    ],
)
def test_the_first_sentence_says_what_an_article_is_about(opening, qualifier, granularity):
    assert granularity_of(opening, qualifier) == granularity


def test_years_are_those_of_release_or_recording():
    assert year_in_lead('"A" is a song by B, released on 7 March 2014 by C.') == 2014
    assert year_in_lead('"A" is a 1981 song by B.') == 1981
    assert year_in_lead('"A" is a song about the year 1917.') is None


def test_listing_sections_go_and_prose_stays_in_order():
    sections = ("Lead.", "== Charts ==\n1", "=== Weekly ===\n2", "== Reception ==\nGood.\nVery.", "=== Lyrics ===\nla")
    extract = "\n\n\n".join([*sections, "== References ==\n"])
    assert article_text(extract) == "Lead.\n\nGood.\n\nVery."
    assert article_text("<p>Lead <b>bold</b>.</p>") == "Lead bold."
    assert article_text("") is None


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two. Three.", "One. Two."),
        ("By Dr. Dre feat. Ana. It is loud! Really.", "By Dr. Dre feat. Ana. It is loud!"),
        ("Bars at approx. 62 bpm. J. S. Bach wrote it. Three.", "Bars at approx. 62 bpm. J. S. Bach wrote it."),
        ("これは歌です。静かな曲。三。", "これは歌です。静かな曲。"),
        ('He said "no." Then it ends. Three.', 'He said "no." Then it ends.'),
        ("Das Lied erschien am 3. Mai 1990. Es ist lang. Drei.", "Das Lied erschien am 3. Mai 1990. Es ist lang."),
        ("Am 30. März kam das 2. Album. Es ist gut. Drei.", "Am 30. März kam das 2. Album. Es ist gut."),
        ("Ein Lied aus dem XIX. Jahrhundert. Zwei. Drei.", "Ein Lied aus dem XIX. Jahrhundert. Zwei."),
        ("Es wurde seine 9. Sinfonie. Zwei. Drei.", "Es wurde seine 9. Sinfonie. Zwei."),
        ("Ein Lied, z. B. Ebbe, auch z.B. Flut. Zwei. Drei.", "Ein Lied, z. B. Ebbe, auch z.B. Flut. Zwei."),
        ("Die Sinfonie Nr. 5 bzw. Opus 67. Zwei. Drei.", "Die Sinfonie Nr. 5 bzw. Opus 67. Zwei."),
        ("Utgitt 3. mai 1990 av bl.a. Kari. To. Tre.", "Utgitt 3. mai 1990 av bl.a. Kari. To."),
        ("Píseň vyšla 3. května 1990. Dvě. Tři.", "Píseň vyšla 3. května 1990. Dvě."),
        ("Megjelent 1990. május 3-án. Kettő. Három.", "Megjelent 1990. május 3-án. Kettő."),
        ("Ein Lied von 1990. Es ist lang. Drei.", "Ein Lied von 1990. Es ist lang."),
        ("It went to number 3. The song is slow. Three.", "It went to number 3. The song is slow."),
        ("They sang it in May 23. Then all left. Three.", "They sang it in May 23. Then all left."),
        ("Peaking at no. 12 in the U.S. charts. Two. Three.", "Peaking at no. 12 in the U.S. charts. Two."),
        ("Canción de la Sra. Ortiz. Dos. Tres.", "Canción de la Sra. Ortiz. Dos."),
        ("No full stop", "No full stop"),
        ("First\n\nSecond.", "First"),
        ("", None),
    ],
)
def test_the_first_two_sentences(text, sentences):
    assert first_sentences(text) == sentences
