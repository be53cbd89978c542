"""Prose worth reading: what a page says to work its buttons is no document, and a short review is one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.parsing.interface_text import with_whole_capitals, without_interface
from sourcing.crawling.sources import SOURCES, Capture

INTERFACE = [
    "Tickets",
    "Enable cookies to continue.",
    "We use cookies to improve your experience. Accept all Reject all",
    "Sign in to continue",
    "Home\nMusic\nTours\nShop\nContact",
    "Share on Facebook\nTweet\nPin it",
    "Read more",
    "Subscribe to our newsletter and never miss a release.",
    "404 Not Found. The page you are looking for does not exist.",
    "This article is for subscribers only. Subscribe now to continue reading.",
    "Please enable JavaScript to view this page.",
    "Loading…",
    "All rights reserved. © 2024 Example Media",
    "Buy tickets now\nSold out\nOn sale Friday 10 am",
    "Your browser is out of date. Please upgrade to see this page as it was meant.",
    "Diese Website verwendet Cookies, um Ihnen das beste Erlebnis zu bieten. Alle akzeptieren",
    "Bitte melden Sie sich an, um fortzufahren und alle Inhalte zu sehen.",
    "Seite nicht gefunden. Die gewünschte Seite gibt es leider nicht oder nicht mehr.",
    "Skip to content",
    "Follow us on Instagram, Facebook and Twitter for news and much more.",
    "Verifying you are human. This may take a few seconds, please wait.",
    "Checking your browser before accessing example.com. This takes up to five seconds.",
    "Access denied. You don't have permission to access this resource on this server.",
    "Add to cart\nAdd to wishlist\nFree shipping on orders over €50.",
    "Nous utilisons des cookies pour améliorer votre expérience sur notre site. Tout accepter",
    "Leave a reply. Your email address will not be published. Required fields are marked.",
    "Low Tide",
    "Posted by admin on 3 May 2014",
    "3:45",
    "Log in Sign up Forgot password?",
    "Now playing: Low Tide 00:00 / 03:45",
    "Sorry, this video is not available in your country. Try again later please.",
    "You have read all your free articles of this month. Already a subscriber? Log in.",
    "利用規約とプライバシーポリシーに同意のうえ、ログインしてください。",
    "页面不存在，请返回首页，或者使用搜索功能查找您需要的内容。",
    "A gem.",
]
REVIEWS = [
    "Ten slow songs, all of them good. The drums are brushed throughout.",
    "A slow piece for piano and cello, recorded in a large hall in winter.",
    "Quiet, warm and a little too long, but the last song is worth the wait.",
    "Zehn langsame Lieder, alle schön, keines zu lang, und das letzte bleibt.",
    "I bought tickets for the show after hearing this record, and the drums are even better live.",
    "The cookies in the lyrics are a metaphor; the bass is not.",
    "Медленная песня для голоса и рояля, записанная зимой в большом зале.",
    "静かなピアノと遠い海の音だけの、冬の夜に聴きたい一枚。",
    "Slow, sad, superb. Nobody plays the harmonium like this any more.",
    "Read more slowly than you think you should, the title track says, and then it stops for a full minute.",
    "Un disco lento y hermoso, grabado en una sola noche de invierno.",
    "Their debut sold out in a day and deserves it: four songs, one microphone, no reverb.",
    "Sign in Blood opens with a riff that never lets go; the drums are enormous.",
    "It is a record about loading trucks at night, and it sounds like it.",
    "Follow the bass line and you will find the song.",
    "A gem. Play it loud, then play it again, quietly.",
    "一张缓慢而温暖的专辑，钢琴与大提琴的对话贯穿始终。",
    "Share this record with someone who thinks ambient is boring.",
    "Subscribers to slow music will be at home here: no beat before minute nine.",
    "Un disque lent et chaleureux, enregistré en une nuit dans une église.",
    "Home is a record of small rooms: upright piano, felt hammers, a door.",
    "Search for a chorus and you will not find one; that is the point.",
    "Not found on any streaming service, this tape of harbour noise is worth the postage.",
    "Loading the sampler with rain, she builds a beat that never quite lands.",
    "Close your eyes and the brushes become rain on a boathouse roof.",
    "Like a slow walk home: organ, tape hiss and a voice that hardly rises.",
    "Play it once for the strings and a second time for the silence.",
    "Menu music for a restaurant that does not exist, and lovely with it.",
    "The copyright page thanks the sea, which plays on every track here.",
    "Listen to the second half first: that is where the choir comes in.",
]


def page(prose, title="Low Tide, reviewed"):
    paragraphs = "".join(f"<p>{line}</p>" for line in prose.split("\n"))
    capture = Capture(
        source="schemaorg",
        kind="page",
        task_key="k",
        url="https://music.example/low-tide",
        status=200,
        headers={"content-type": "text/html; charset=utf-8"},
        body=f"<html><head><title>{title}</title></head><body><article>{paragraphs}</article></body></html>".encode(),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    documents, rejected = extract_documents([capture], SOURCES)
    return documents.to_dicts(), rejected["reason"].to_list()


@pytest.mark.parametrize("prose", INTERFACE)
def test_what_works_the_buttons_is_no_document(prose):
    documents, reasons = page(prose)
    assert documents == []
    assert reasons[0] in ("interface_text", "prose_too_short", "nothing_to_read")


@pytest.mark.parametrize("prose", REVIEWS)
def test_a_short_review_is_a_document(prose):
    (document,), reasons = page(prose)
    assert (document["text"], reasons) == (prose, [])


def test_an_interface_around_a_review_is_left_out_of_it():
    around = (
        f"We use cookies on this site.\n{REVIEWS[0]}\nShare this article\nSubscribe to our newsletter.\n{REVIEWS[1]}"
    )
    (document,), _ = page(around)
    assert document["text"] == f"{REVIEWS[0]}\n\n{REVIEWS[1]}"


def test_a_long_line_is_prose_whatever_it_begins_with():
    line = (
        "Tickets for the show were gone within the hour, which is no wonder: " + "the band plays slowly and well, " * 9
    )
    assert without_interface(line) == line.strip()


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("T he album opens slowly.", "The album opens slowly."),
        ("I n winter they record.", "In winter they record."),
        ("A n album of drones.", "An album of drones."),
        ("W hen the drums come in", "When the drums come in"),
        ("D as Album beginnt", "Das Album beginnt"),
        ("A slow album", "A slow album"),
        ("A long album", "A long album"),
        ("C minor is its key.", "C minor is its key."),
        ("B sides and rarities", "B sides and rarities"),
        ("I like it", "I like it"),
        ("O come, all ye faithful", "O come, all ye faithful"),
        ("X marks the spot", "X marks the spot"),
        ("", ""),
    ],
)
def test_a_drop_capital_is_joined_to_its_word(line, whole):
    assert with_whole_capitals(line) == whole
