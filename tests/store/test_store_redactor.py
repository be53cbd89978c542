"""Redactor: no spelling of a key survives, nothing else is touched, and what cannot be a key is refused in words."""

from __future__ import annotations

import gzip
import json

import pytest
from cpu import within_cpu
from hypothesis import given
from hypothesis import strategies as st
from spelled import spellings

from sourcing.errors import UsageError
from sourcing.redactor import BLOT, Redactor, key_fault, know, read_key, redact

KEYS = [
    "sk-very-secret-0123456789",
    "abcdef0123456789abcdef0123456789",
    "a/b+c%d=e&f~g",
    "quo\"te's-and-\\back\\\\slash",
    "<b>&amp;</b>-key-7",
    "p%2Fq%25r-already-encoded",
    "two words-and a third",
    "\\\\starts-with-slashes",
    "8letters",
]


@pytest.mark.parametrize("key", KEYS)
def test_no_spelling_of_a_key_is_left(key: str) -> None:
    redactor = Redactor("another-secret-1234", key)
    for spelling in spellings(key):
        for text in (spelling, f'{{"error": "bad key {spelling}"}}', f"https://a.test/{spelling}?x={spelling}#y"):
            assert spelling not in redactor.text(text), spelling
            assert spelling.encode() not in redactor.data(text.encode())
            for form in ("utf-16", "utf-16-be", "utf-32-le"):
                assert spelling not in redactor.data(text.encode(form)).decode(form)
        assert spelling.encode() not in gzip.decompress(redactor.data(gzip.compress(spelling.encode())))


@given(st.text(alphabet=[chr(n) for n in range(33, 127)], min_size=8, max_size=40), st.data())
def test_a_key_written_in_any_mixture_of_escapes_is_blotted_out_whole(key: str, data: st.DataObject) -> None:
    ways = [
        lambda c: c, lambda c: f"%{ord(c):02X}", lambda c: f"%25{ord(c):02x}", lambda c: f"\\u{ord(c):04x}",
        lambda c: f"&#{ord(c)};", lambda c: f"&#x{ord(c):X};", lambda c: "\\" + c if not c.isalnum() else c,
    ]  # fmt: skip
    written = "".join(data.draw(st.sampled_from(ways))(character) for character in key)
    assert Redactor(key).text(f"({written})") in (f"({BLOT})", f"(\\{BLOT})"), written


@pytest.mark.parametrize("key", ["0000000%", "abc-defg&", "%%%%%%%a%"])
def test_a_sign_that_begins_escapes_goes_with_the_whole_of_its_own(key: str) -> None:
    for spelling in (key, key.replace("%", "%25"), key.replace("&", "&amp;"), key.replace("&", "&#38;")):
        assert Redactor(key).text(f"({spelling})") == f"({BLOT})"


@given(st.binary(max_size=300))
def test_what_holds_no_key_is_handed_back_as_it_is(data: bytes) -> None:
    redactor = Redactor("sk-very-secret-0123456789", "a/b+c%d=e&f~g")
    assert redactor.data(data) == data
    assert Redactor().data(data) is data


def test_text_that_does_not_encode_passes() -> None:
    assert Redactor("sk-very-secret").text("\ud83d sk-very-secret \udcff") == f"\ud83d {BLOT} \udcff"


def test_of_keys_within_each_other_the_longer_goes_first() -> None:
    assert Redactor("secret-12", "my-secret-12-longer").text("my-secret-12-longer secret-12") == f"{BLOT} {BLOT}"


def test_the_ends_that_servers_show_of_a_key_are_blotted_out() -> None:
    masked = "Incorrect API key provided: sk-ve****************6789. You can find"
    assert Redactor("sk-very-secret-0123456789").text(masked) == f"Incorrect API key provided: {BLOT} You can find"


@pytest.mark.parametrize("said", ['"{}"', "{}\nMore", "\\{}", "'{}'", "{}\\", "{}\t{}"])
@pytest.mark.parametrize("key", ["sk-very-secret-0123456789", "sk-ve***************6789"])
def test_a_blotted_body_is_the_json_it_was(said: str, key: str) -> None:
    body = json.dumps({"message": "bad key " + said.replace("{}", key), "code": 1})
    clean = Redactor("sk-very-secret-0123456789").text(body)
    assert json.loads(clean) == {"message": "bad key " + said.replace("{}", BLOT), "code": 1}


def test_pages_cost_little_while_keys_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page full of ordinary escapes, which hide no letter of a key, is searched for hints alone.

    That costs 0.06 ms, and 0.5 ms where every pattern is tried.
    """
    tried: list[bytes] = []

    class Counted:
        def sub(self, blot: bytes, data: bytes) -> bytes:
            tried.append(data)
            return data

    monkeypatch.setattr("sourcing.redactor.patterns", lambda secret, *, alone: [Counted()])
    page = b'<p class="a">Made &amp; sung, &#8217;74, <a href="/x?y=1&amp;z=2%20a%2Fb">\\u00e9</a>.</p>\n' * 140
    redactor = Redactor(KEYS[0], KEYS[1], "GhTTokenOfMine1234567890abcdefgh")
    assert redactor.data(page) is page
    assert not tried
    redactor.data(page + KEYS[0].encode())
    assert tried, "so it would be known"


@pytest.mark.parametrize("placeholder", ["", "x", "abc", "none", "ollama", "secret"])
def test_placeholders_blot_out_no_words(placeholder: str) -> None:
    text = f"none of the {placeholder} secrets of ollama, abc x"
    assert Redactor(placeholder).text(text) == text


def test_a_short_key_goes_where_it_stands_alone() -> None:
    assert Redactor("EMPTY").text("EMPTY: an EMPTYING of empty") == f"{BLOT}: an EMPTYING of empty"


@pytest.mark.parametrize(
    "hostile",
    ["\\" * 100_000, "%25" * 50_000, "&amp;" * 50_000, "%5c" * 50_000, "sk-" * 50_000, "sk-" + "*" * 100_000,
     "\\u00" * 50_000, "a/b+" * 50_000, "&#0000" * 30_000, "sk-very" * 20_000],
)  # fmt: skip
def test_hostile_text_takes_no_time_worth_naming(hostile: str) -> None:
    with within_cpu(20.0):
        clean = Redactor(*KEYS).text(f"{hostile} {KEYS[0]}")
    assert clean in (f"{hostile} {BLOT}", f"{BLOT} {BLOT}")  # the ends of a key with asterisks between are one, masked


@pytest.mark.parametrize(
    ("key", "finding"),
    [
        ("sk-secret-123\n", "line end"), ("sk-secret\r\n-123", "line end"), ("sk-secret\x00-123", "control character"),
        ("sk-secret\t123", "control character"), ("sk-sécret-123", "beyond ASCII"), ("sk-secret\udcff", "beyond ASCII"),
        (" sk-secret-123", "space"), ("sk-secret-123 ", "space"), ('"sk-secret-123"', "quotes"), ("'sk-1'", "quotes"),
        ("", "empty"), ("   ", "nothing but spaces"), ("\n", "nothing but spaces"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_key_is_refused_in_words_that_do_not_show_it(key: str, finding: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_key({"OPENAI_API_KEY": key}, "OPENAI_API_KEY")
    told = str(refused.value)
    assert refused.value.exit_code == 2 and "OPENAI_API_KEY" in told and finding in told
    assert "secret" not in told


@pytest.mark.parametrize("key", KEYS)
def test_odd_keys_that_may_be_sent_are_taken_and_known_from_then_on(key: str) -> None:
    assert key_fault(key) == ""
    assert read_key({"A_KEY": key}, "A_KEY") == key
    assert redact(f"it is {key}.") == f"it is {BLOT}."
    assert read_key({}, "A_KEY") is None


def test_passwords_of_proxies_and_variables_named_like_secrets_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:pro%2Fxy-password@proxy.test:3128")
    monkeypatch.setenv("SOME_ACCESS_TOKEN", "token-of-mine-77")
    assert redact("pro/xy-password pro%2Fxy-password token-of-mine-77") == f"{BLOT} {BLOT} {BLOT}"
    know("told-of-at-runtime")
    assert redact("told-of-at-runtime") == BLOT
