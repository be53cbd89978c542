"""Redaction: no key, token or session reaches a file, and nothing else is lost."""

from __future__ import annotations

import pytest
from cpu import within_cpu

from sourcing.crawling.redaction import strip_header_secrets, strip_secrets
from sourcing.crawling.sources import SOURCES, Source


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "Authentication-Info",
        "WWW-Authenticate",
        "Cookie",
        "Set-Cookie",
        "X-API-Key",
        "apikey",
        "X-Auth-Token",
        "X-Discogs-Token",
        "X-CSRFToken",
        "X-Session-Id",
        "X-Amz-Security-Token",
        "X-Client-Secret",
    ],
)
def test_headers_that_carry_credentials_are_left_out(name: str) -> None:
    assert strip_header_secrets([(name, "SECRET"), ("ETag", '"1"')]) == [("ETag", '"1"')]


@pytest.mark.parametrize(
    ("value", "blotted"),
    [
        ("/login?next=%2Fx%3Fapi_key%3DSECRET%26q%3D1", "/login?next=%2Fx%3Fapi_key%3DREDACTED%26q%3D1"),
        ("https://user:SECRET@a.test/x", "https://a.test/x"),
        ("<http://a.test/?q=1&token=SECRET>; rel=next", "<http://a.test/?q=1&token=REDACTED>; rel=next"),
        ("http://a.test/#access_token=SECRET&x=1", "http://a.test/#access_token=REDACTED&x=1"),
        ("https://s3.test/a?X-Amz-Signature=SECRET&b=2", "https://s3.test/a?X-Amz-Signature=REDACTED&b=2"),
    ],
)
def test_keys_inside_urls_of_other_headers_are_blotted_out(value: str, blotted: str) -> None:
    assert strip_header_secrets([("Location", value)]) == [("Location", blotted)]


@pytest.mark.parametrize(
    "header",
    [
        ("Content-Type", "text/html; charset=utf-8"),
        ("ETag", '"a=b%3D"'),
        ("From", "crawl@example.org"),
        ("User-Agent", "crossmusim/1 (+https://example.org; crawl@example.org)"),
        ("X-Author", "someone"),
        ("X-RateLimit-Remaining-Tokens", "5"),
        ("Location", "https://a.test/@someone?authors=2&tokens=3"),
    ],
)
def test_other_headers_are_kept_as_they_are(header: tuple[str, str]) -> None:
    assert strip_header_secrets([header]) == [header]


@pytest.mark.parametrize(
    "source", [source for source in SOURCES.values() if source.key], ids=lambda source: source.name
)
def test_the_key_of_every_source_is_stripped(source: Source) -> None:
    assert source.key is not None
    asked = f"{source.url_of('en')}/x?q=1"
    url, headers = source.signed(asked, {source.key.env: "SECRET"})
    assert "SECRET" in url + str(headers)
    assert strip_secrets(url) == asked
    assert "SECRET" not in str(strip_header_secrets(headers.items()))


@pytest.mark.parametrize(
    "hostile", ["@" + "%3a%2f%2f" * 50_000, "?token=" * 50_000, "://a" * 50_000 + "@", "?token=%2" * 50_000]
)
def test_hostile_headers_take_no_time_worth_naming_and_hide_no_key(hostile: str) -> None:
    with within_cpu(20.0):
        ((name, value),) = strip_header_secrets([("Location", f"{hostile}&token=SECRET&x=1")])
    assert name == "Location"
    assert value.endswith("&token=REDACTED&x=1")
