"""HTML inside a field reads as a browser shows it: no space before a stop, nothing hidden, nothing glued."""

from __future__ import annotations

import pytest
from cpu import within_cpu
from hypothesis import given
from hypothesis import strategies as st

from sourcing.crawling.parsing.values import clean, strip_html


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        (
            "A film role in <em>Burlesque</em>, starring (<a href='#'>Cher</a>).",
            "A film role in Burlesque, starring (Cher).",
        ),
        ("<b><i>Deep</i></b>, <u>slow</u>!", "Deep, slow!"),
        ("soul &amp; <b>R&B</b>", "soul & R&B"),
        ("R&amp;amp;B", "R&B"),
        ("<p>One.</p><p>Two.</p>", "One. Two."),
        ("one<br>two<br/>three", "one two three"),
        ("<ul><li>a</li><li>b</li></ul>", "a b"),
        ("<td>a</td><td>b</td>", "a b"),
        ("H<sub>2</sub>O x<sup>2</sup>, here<sup>[1]</sup>.", "H2O x2, here."),
        ("<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby>字", "漢字"),
        ("上を<b>向いて</b>歩こう", "上を向いて歩こう"),
        ("&lt;p&gt;Hi &amp;amp; bye&lt;/p&gt;", "Hi & bye"),
        ("&amp;lt;em&amp;gt;Hi&amp;lt;/em&amp;gt;, you", "Hi, you"),
        ("<span hidden>no</span>yes<div style='display: none'>n<div>o</div></div>", "yes"),
        ("<script>x</script>y<style>p{}</style><noscript>JS</noscript>", "y"),
        ("a<!-- not this -->b", "ab"),
        ("so\xadft\u200b zero\u200f rtl\u200e x\xa0y", "soft zero rtl x y"),
        ("I <3 you", "I <3 you"),
        ("1 &lt; 2", "1 < 2"),
        ("word<wbr>break", "wordbreak"),
        ("<a title='x>y'>q</a>", "q"),
        ("<i>Don</i>'t", "Don't"),
    ],
)
def test_a_fragment_reads_as_a_browser_shows_it(fragment, text):
    assert clean(strip_html(fragment)) == text


PARTS = [
    "<p>",
    "</p>",
    "<b>",
    "</b>",
    "<script>",
    "</sup>",
    "<sup>",
    "<p hidden>",
    "&amp;",
    "&lt;",
    "x",
    "<",
    ">",
    "<!--",
    "/>",
]


@given(st.lists(st.sampled_from(PARTS)))
def test_any_fragment_has_a_text(parts):
    assert isinstance(strip_html("".join(parts)), str)


@pytest.mark.parametrize("pump", ["<p hidden>", "<sup>", "&lt;p&gt;", "<!--", "<b>x</b>", "&amp;lt;p", "<x ", "</p>"])
def test_a_long_fragment_takes_no_longer_than_its_length(pump):
    with within_cpu(20.0):
        assert isinstance(strip_html(pump * 40_000), str)
