"""Sitemaps: every address a site lists of itself becomes one task, and nothing else of what it sends becomes any."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.parsing import sitemaps as sitemaps_module
from sourcing.crawling.sources import SOURCES, Capture, PageError

pytestmark = pytest.mark.timeout(60)

SOURCE = SOURCES["schemaorg"]
HOME = "https://harbourandkite.example"
NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
KINDS = ("sitemap", "sitemap_in_index", "sitemap_in_nested_index")


def listing(*addresses, declaration='<?xml version="1.0" encoding="UTF-8"?>', root="urlset", entry="url"):
    entries = "".join(f"<{entry}><loc>{escape(address)}</loc></{entry}>" for address in addresses)
    return f"{declaration}<{root} {NAMESPACE}>{entries}</{root}>"


def index(*addresses):
    return listing(*addresses, root="sitemapindex", entry="sitemap")


def capture_of(body, kind="sitemap", url=f"{HOME}/sitemap.xml", status=200):
    return Capture(
        source="schemaorg",
        kind=kind,
        task_key="k",
        url=url,
        status=status,
        headers={},
        body=body if isinstance(body, bytes) else body.encode(),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )


def follow(body, **changes):
    capture = capture_of(body, **changes)
    return [(task.kind, task.url) for task in SOURCE.page_for(capture.kind)(capture, SOURCE).follow()]


def rejected(body, **changes):
    documents, rows = extract_documents([capture_of(body, **changes)], SOURCES)
    assert documents.is_empty()
    return {row["reason"]: row["finding"] for row in rows.to_dicts()}


def test_each_address_is_one_page_to_ask_for():
    body = listing(f"{HOME}/low-tide", f"{HOME}/night-ferry?a=1&b=2", f"{HOME}/low-tide")
    assert follow(body) == [("page", f"{HOME}/low-tide"), ("page", f"{HOME}/night-ferry?a=1&b=2")]
    assert rejected(body) == {}


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-16-le", "iso-8859-1"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_sitemap_is_read_in_any_charset_packed_or_not(charset, packed):
    body = listing(f"{HOME}/marée", declaration=f'<?xml version="1.0" encoding="{charset}"?>').encode(charset)
    assert follow(gzip.compress(body) if packed else body) == [("page", f"{HOME}/mar%C3%A9e")]


def test_a_list_of_plain_lines_is_a_sitemap():
    body = f"\ufeff{HOME}/a\r\n\r\n  {HOME}/b \nthe end\n"
    assert follow(body) == [("page", f"{HOME}/a"), ("page", f"{HOME}/b")]
    assert list(rejected(body)) == ["url_relative"]


def test_namespaces_may_be_missing_or_prefixed_and_images_are_no_pages():
    bare = f"<urlset><url><loc>{HOME}/a</loc></url></urlset>"
    prefixed = f"<s:urlset {NAMESPACE.replace('xmlns', 'xmlns:s')}><s:url><s:loc>{HOME}/a</s:loc></s:url></s:urlset>"
    picture = f'<i:image xmlns:i="urn:images"><i:loc>{HOME}/a.jpg</i:loc></i:image>'
    with_image = listing(f"{HOME}/a").replace("<url>", f"<url>{picture}")
    assert follow(bare) == follow(prefixed) == follow(with_image) == [("page", f"{HOME}/a")]


def test_an_index_leads_to_sitemaps_and_an_index_in_it_to_more_but_not_for_ever():
    address = f"{HOME}/more.xml"
    assert [follow(index(address), kind=kind) for kind in KINDS] == [
        [("sitemap_in_index", address)],
        [("sitemap_in_nested_index", address)],
        [],
    ]
    assert list(rejected(index(address), kind="sitemap_in_nested_index")) == ["sitemaps_too_deep"]
    assert all(follow(listing(address), kind=kind) == [("page", address)] for kind in KINDS)


SKIPPED = {
    "/songs/a": "url_relative",
    "songs/a": "url_relative",
    "//harbourandkite.example/a": "url_relative",
    "": "url_relative",
    "https://shop.example/a": "url_of_another_host",
    "https://harbourandkite.example.evil.example/a": "url_of_another_host",
    "https://harbourandkite.example:8443/a": "url_of_another_host",
    "https://user:word@harbourandkite.example/a": "url_of_another_host",
    "http://127.0.0.1/a": "url_of_another_host",
    "ftp://harbourandkite.example/a": "url_not_http",
    "javascript:alert(1)": "url_not_http",
    "file:///etc/passwd": "url_not_http",
    "https://": "url_not_http",
    "http://[": "url_malformed",
    "https://harbourandkite.example:99999/": "url_malformed",
    f"{HOME}/{'a' * 2100}": "url_too_long",
}


@pytest.mark.parametrize(("address", "reason"), SKIPPED.items())
def test_an_address_that_may_not_be_asked_is_counted_by_reason(address, reason):
    body = listing(f"{HOME}/a", address, address)
    assert follow(body) == [("page", f"{HOME}/a")]
    found = rejected(body)
    assert list(found) == [reason]
    assert found[reason].startswith("2 of its entries")


def test_the_same_host_is_the_same_by_either_scheme_default_port_or_case():
    addresses = [f"{HOME}:443/a", "http://HarbourAndKite.example/b", "http://harbourandkite.example:80/c"]
    assert [url for _, url in follow(listing(*addresses))] == addresses


@given(st.lists(st.sampled_from([*SKIPPED, f"{HOME}/a", f"{HOME}/ü b", f"{HOME}/c#d"]), max_size=8))
def test_what_is_followed_is_what_a_simple_reading_allows(addresses):
    """The oracle: parsed by hand, one by one."""
    expected = []
    for address in addresses:
        if SKIPPED.get(address) is None:
            url = address.split("#")[0].replace("ü", "%C3%BC").replace(" ", "%20")
            expected += [url] if url not in expected else []
    found = [url for _, url in follow(listing(*addresses))]
    assert found == expected
    assert all(url.isascii() and urlsplit(url).netloc == urlsplit(HOME).netloc for url in found)


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(10))
FILE = '<!ENTITY e9 SYSTEM "file:///etc/hostname">'
NOT_SITEMAPS = {
    "billion_laughs": ("doctype_in_sitemap", f"<!DOCTYPE urlset [{BOMB}]><urlset><url><loc>&e9;</loc></url></urlset>"),
    "a_file_of_ours": ("doctype_in_sitemap", f"<!DOCTYPE urlset [{FILE}]><urlset><url><loc>&e9;</loc></url></urlset>"),
    "a_foreign_dtd": ("doctype_in_sitemap", '<!DOCTYPE urlset SYSTEM "http://127.0.0.1/x.dtd"><urlset/>'),
    "bomb_in_utf_16": ("doctype_in_sitemap", f"<!DOCTYPE urlset [{BOMB}]><urlset/>".encode("utf-16")),
    "a_web_page": ("not_a_sitemap", "<!doctype html><html><body>Not found"),
    "another_page": ("not_a_sitemap", "<html><body>Not found</body></html>"),
    "a_feed": ("not_a_sitemap", "<rss version='2.0'><channel/></rss>"),
    "words": ("not_a_sitemap", "There is no such page."),
    "angles": ("not_a_sitemap", "<" * 5_000_000),
    "nothing": ("body_empty", " \n"),
    "a_pdf": ("body_binary", b"%PDF-1.4\n"),
    "torn_gzip": ("gzip_broken", gzip.compress(listing(f"{HOME}/a").encode())[:-9]),
    "garbled_gzip": ("gzip_broken", b"\x1f\x8b\x08\x00" + bytes(range(60))),
    "gzip_in_gzip": ("body_binary", gzip.compress(gzip.compress(b"<urlset/>"))),
    "a_bomb_of_spaces": ("sitemap_too_large", gzip.compress(b" " * (sitemaps_module.MAX_BYTES + 1))),
    "deeper_than_parsers_go": ("sitemap_torn", "<urlset>" + "<url>" * 1_000_000),
    "millions_of_elements": ("entry_too_large", gzip.compress(b"<urlset><url>" + b"<a/>" * 8_000_000)),
    "endless_address": ("url_too_long", f"<urlset><url><loc>{'a' * 2_000_000}</loc></url></urlset>"),
}


@pytest.mark.parametrize(("reason", "body"), NOT_SITEMAPS.values(), ids=NOT_SITEMAPS.keys())
def test_what_is_no_sitemap_is_one_rejected_row_and_leads_nowhere(reason, body):
    assert list(rejected(body)) == [reason]
    try:
        assert follow(body) == []
    except PageError as error:
        assert error.reason == reason


def test_an_error_status_is_the_reason():
    assert list(rejected(listing(), status=404)) == ["status_404"]


def test_entities_of_xml_itself_are_fine():
    assert follow(listing(f"{HOME}/a?x=1&y=<2>")) == [("page", f"{HOME}/a?x=1&y=%3C2%3E")]


@pytest.mark.parametrize("tear", ["<!-- ", "&nbsp;", "</wrong>", "<loc", "\x01"])
def test_a_torn_sitemap_gives_what_stands_before_the_tear_and_says_so(tear):
    body = listing(f"{HOME}/a", f"{HOME}/b", f"{HOME}/c").replace(f"{HOME}/c", f"{HOME}/c{tear}").split("</urlset>")[0]
    assert follow(body)[:2] == [("page", f"{HOME}/a"), ("page", f"{HOME}/b")]
    assert list(rejected(body)) == ["sitemap_torn"]


def test_entries_beyond_the_protocols_bound_are_left_out_and_said_so(monkeypatch):
    monkeypatch.setattr(sitemaps_module, "MAX_ENTRIES", 50)
    addresses = [f"{HOME}/{number}" for number in range(60)]
    for body in (listing(*addresses), "\n".join(addresses), gzip.compress(listing(*addresses).encode())):
        assert [url for _, url in follow(body)] == addresses[:50]
        assert list(rejected(body)) == ["sitemap_too_long"]
    assert follow(listing(*(["/relative"] * 200), f"{HOME}/late")) == []


def test_tasks_are_taken_one_by_one_as_the_list_is_read():
    body = listing(*(f"{HOME}/{number}" for number in range(20_000))).split("</urlset>")[0] + "<torn"
    capture = capture_of(body)
    page = SOURCE.page_for("sitemap")(capture, SOURCE)
    assert [task.url for task in islice(page.follow(), 2)] == [f"{HOME}/0", f"{HOME}/1"]


def test_a_sitemap_that_lists_nothing_is_no_mistake():
    assert (follow(listing()), rejected(listing())) == ([], {})


def test_the_site_is_the_one_that_answered_not_one_the_list_names():
    other = replace(capture_of(listing(f"{HOME}/a")), url="https://mirror.example/sitemap.xml")
    assert list(SOURCE.page_for("sitemap")(other, SOURCE).follow()) == []
