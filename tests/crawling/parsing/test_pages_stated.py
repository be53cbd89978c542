"""What a page states of itself: its licence and language, and not those of a picture on it or of its template."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.parsing.html_page import read_html
from sourcing.crawling.sources import SOURCES, Capture
from sourcing.store.language_id import language_of
from sourcing.store.language_tags import language_tag

ENGLISH = "<p>A review of a record that goes on for a while, so that it is taken for the prose of this page.</p>" * 3
GERMAN = "<p>Die neue Platte der Band ist nicht nur laut, sondern auch sehr schön geworden, auf jedem Stück.</p>" * 3
BY, BY_NC = "https://creativecommons.org/licenses/by/4.0/", "https://creativecommons.org/licenses/by-nc/4.0/"


def read(html, url="https://music.example/low-tide"):
    capture = Capture(
        source="schemaorg",
        kind="page",
        task_key="k",
        url=url,
        status=200,
        headers={"content-type": "text/html; charset=utf-8"},
        body=html.encode(),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    return extract_documents([capture], SOURCES)[0].to_dicts()


def licence(body="", head=""):
    (document,) = read(f"<html><head><title>Low Tide</title>{head}</head><body>{body}</body></html>")
    (found,) = {entry["licence"] for entry in document["licences"]}
    return found


def link(address=BY, words="CC BY 4.0", more=""):
    return f'<a rel="license" href="{address}" {more}>{words}</a>'


def json_ld(*nodes):
    return "".join(f'<script type="application/ld+json">{json.dumps(node)}</script>' for node in nodes)


ARTICLE = f"<article>{ENGLISH}</article>"
OF_THE_PAGE = {
    "footer": f"{ARTICLE}<footer>This work is licensed under {link()}.</footer>",
    "main": f"<main>{ENGLISH}<p>Text: {link()}</p></main>",
    "footer alone": f"{ARTICLE}<footer>{link()}</footer>",
    "several tokens": ARTICLE + link().replace("license", "nofollow License", 1),
    "unless noted": f"{ARTICLE}<footer>Unless otherwise noted, content and images are under {link()}</footer>",
    "without rel": f'{ARTICLE}<footer>Our texts are licensed under <a href="{BY}">CC BY</a>.</footer>',
    "beside a photo": f"{ARTICLE}<footer>Photo: A. B. Our text is under {link()}</footer>",
    "all rights": f"{ARTICLE}<footer>{link()} All rights reserved</footer>",
}
OF_SOMETHING_ELSE = {
    "figure": f"<article><figure><figcaption>Photo: {link()}</figcaption></figure>{ENGLISH}</article>",
    "photo": f"<article><p>Photo: A. B., {link()}</p>{ENGLISH}</article>",
    "class": f'<article><div class="wp-caption">A. B. {link()}</div>{ENGLISH}</article>',
    "aside": f"{ARTICLE}<aside>{link()}</aside>",
    "sidebar": f'{ARTICLE}<div id="left-sidebar"><p>{link()}</p></div>',
    "comment": f'{ARTICLE}<ol class="comments"><li>I put mine under {link()}</li></ol>',
    "theme": f"{ARTICLE}<footer>Theme by A. B., {link(words='CC BY')}</footer>",
    "podcast": f"{ARTICLE}<p>The podcast is under {link()}.</p>",
    "music": f"{ARTICLE}<p>Music by A. B. ({link()})</p>",
    "quoted": f"{ARTICLE}<blockquote>{link()}</blockquote>",
    "teasers": "".join(f"<article>{ENGLISH}{mark}</article>" for mark in ("", link())),
    "nested": f"<article>{ENGLISH}<article><p>A reply. {link()}</p></article></article>",
    "about": f'{ARTICLE}<div about="/cover.jpg">{link()}</div>',
    "microdata": f'{ARTICLE}<div itemscope itemtype="https://schema.org/ImageObject">{link()}</div>',
    "imprint": f"{ARTICLE}<footer>{link('/license', 'Licence')}</footer>",
    "mention": f'<article>{ENGLISH}<p>See <a href="{BY}">the deed</a> of it.</p></article>',
    "two": f"{ARTICLE}<footer>{link()} {link(BY_NC, 'CC BY-NC 4.0')}</footer>",
}


@pytest.mark.parametrize("body", OF_THE_PAGE.values(), ids=OF_THE_PAGE)
def test_a_licence_said_of_the_page_is_its_own(body):
    assert licence(body) == "CC-BY-4.0"


@pytest.mark.parametrize("body", OF_SOMETHING_ELSE.values(), ids=OF_SOMETHING_ELSE)
def test_a_licence_said_of_something_else_is_not_the_pages(body):
    assert licence(body) == "unknown"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (f'<link rel="license" href="{BY}">', "CC-BY-4.0"),
        ('<link rel="license" href="/imprint">', "unknown"),
        ('<meta name="DC.rights" content="CC BY-SA 4.0">', "CC-BY-SA-4.0"),
        ('<meta name="dcterms.license" content="all rights reserved">', "unknown"),
        (json_ld({"@type": "Article", "license": BY_NC}) + f'<link rel="license" href="{BY}">', "CC-BY-NC-4.0"),
        (
            json_ld({"@type": "WebPage", "license": {"@type": "CreativeWork", "name": "CC BY 4.0", "url": BY}}),
            "CC-BY-4.0",
        ),
        (json_ld({"@type": "WebPage", "license": [BY, BY_NC]}), "unknown"),
        (json_ld({"@type": "Article", "url": "https://music.example/another", "license": BY}), "unknown"),
        (json_ld({"@type": "ImageObject", "license": BY}), "unknown"),
        (json_ld({"@graph": [{"@type": "NewsArticle", "license": BY, "image": {"license": BY_NC}}]}), "CC-BY-4.0"),
        (json_ld({"@type": "WebPage", "license": "owner"}), "unknown"),
    ],
)
def test_structured_data_and_head_speak_before_links(head, expected):
    assert licence(ARTICLE, head) == expected


def test_the_licence_of_the_music_is_not_that_of_a_review_of_it():
    song = {"@type": "MusicRecording", "name": "Low Tide", "license": BY}
    assert licence(ARTICLE, json_ld({"@type": "Review", "itemReviewed": song})) == "unknown"
    assert licence(ARTICLE, json_ld({"@type": "Article", "license": BY_NC}, song)) == "CC-BY-NC-4.0"
    assert licence(ARTICLE, json_ld(song)) == "CC-BY-4.0"


def test_a_licence_without_an_id_is_kept_as_evidence():
    sampling = "http://creativecommons.org/licenses/sampling+/1.0/"
    (document,) = read(
        f'<html><head><title>x</title><link rel="license" href="{sampling}"></head><body>{ARTICLE}</body>'
    )
    assert {entry["licence"] for entry in document["licences"]} == {"unknown"}
    assert document["consent_evidence"] == [f"licence: {sampling}"]


@pytest.mark.parametrize(
    ("root", "prose", "language"),
    [
        ('lang="lang="de"', GERMAN, "de"),
        ('lang="en"', GERMAN, "de"),
        ('lang="en-US"', ENGLISH, "en-US"),
        ('lang="en_gb"', ENGLISH, "en-GB"),
        ('lang=""', GERMAN, "de"),
        ('lang="english"', ENGLISH, "en"),
        ('lang="xx" xml:lang="de"', GERMAN, "de"),
        ('lang="de"', ENGLISH, "en"),
        ('lang="zh-hans"', "<p>一张缓慢而温暖的专辑，钢琴与大提琴的对话贯穿始终，录音里有风声。</p>", "zh-Hans"),
        ('lang="en"', "<p>一张缓慢而温暖的专辑，钢琴与大提琴的对话贯穿始终，录音里有风声。</p>", "zh"),
        ('lang="fr"', "<p>Slow, sad, superb. Nobody does this any more.</p>", "fr"),  # too short to be sure
        ("", GERMAN, None),
    ],
)
def test_the_text_says_its_language_where_the_page_mistakes_it(root, prose, language):
    (document,) = read(f"<html {root}><head><title>x</title></head><body><article>{prose}</article></body></html>")
    assert document["language"] == language


@pytest.mark.parametrize(
    ("stated", "language"),
    [
        ("de", "de"),
        (["de", "en"], "de"),
        ({"@type": "Language", "name": "German", "alternateName": "de"}, "de"),
        ({"@type": "Language", "name": "German"}, "de"),
        ("Deutsch", "de"),
        ("en-US", "de"),  # the song's, perhaps; not the text's
        ({"name": []}, None),
        (7, None),
    ],
)
def test_a_language_in_structured_data_may_be_a_tag_a_name_or_an_object(stated, language):
    song = json_ld({"@type": "MusicRecording", "name": "Ebbe", "inLanguage": stated})
    (document,) = read(f"<html><head>{song}</head><body><article>{GERMAN}</article></body></html>")
    assert document["language"] == language


@pytest.mark.parametrize(
    ("stated", "tag"),
    [
        ("zh_hant_tw", "zh-Hant-TW"),
        ("de-DE-1996", "de-DE-1996"),
        ("sr-latn-rs", "sr-Latn-RS"),
        ("de_DE.UTF-8", "de-DE"),
        ("en, de", "en"),
        ("deu", "de"),
        ("Čeština", "cs"),
        ("English (US)", "en"),
        ("हिन्दी", "hi"),
        ("汉语", "zh"),
        ("lang=", None),
        ("x-default", None),
        ("jp", None),
        ("c", None),
        ("e" * 400, None),
    ],
)
def test_a_tag_is_written_as_bcp_47_has_it(stated, tag):
    assert language_tag(stated) == tag


def test_a_text_whose_language_cannot_be_told_is_und():
    assert language_of("Hm. 12 3", "und") == "und"
    assert read_html('<html lang="??"><body>x</body></html>', "https://music.example/").language == "und"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("A role in <em>Burlesque</em>, starring (<a href='#'>Cher</a>).", "A role in Burlesque, starring (Cher)."),
        ("Deep R&amp;B &amp;amp; soul.", "Deep R&B & soul."),
        ("<i>Don</i>'t <b>stop</b>; <q>now</q>.", "Don't stop; “now”."),
        ("H<sub>2</sub>O, the third album<sup>[1]</sup>.", "H2O, the third album."),
        ("Seen <span hidden>not this</span>and <i style='display:none'>nor this</i>heard.", "Seen and heard."),
        ("so&shy;ft ze&#8203;ro &#8207;rtl&#8206; wi&nbsp;de.", "soft zero rtl wi de."),
        ("<ruby>漢<rt>かん</rt></ruby>字の<b>静か</b>な曲。", "漢字の静かな曲。"),
        ("Fine<script>x()</script><noscript>Enable it</noscript>.", "Fine."),
    ],
)
def test_prose_reads_as_a_browser_shows_it(html, text):
    (document,) = read(
        f"<html><head><title>x</title></head><body><article><p>{html}</p>{ENGLISH}</article></body></html>"
    )
    assert document["text"].split("\n\n")[0] == text
