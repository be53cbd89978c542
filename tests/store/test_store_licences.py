"""Licences: what a page states becomes an SPDX id or stays unknown, and one rule says what may be passed on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.crawling.sources import SOURCES
from sourcing.store.licences import UNKNOWN, may_be_passed_on, spdx_of

CC = "https://creativecommons.org"
STATED = {
    f"{CC}/publicdomain/mark/1.0/": "CC-PDM-1.0",
    f"{CC}/publicdomain/zero/1.0/deed.fr": "CC0-1.0",
    f"{CC}/licenses/publicdomain/": "CC-PDDC",
    "http://creativecommons.org/licenses/by-nd-nc/1.0/": "CC-BY-NC-ND-1.0",
    "http://www.creativecommons.org/licenses/by/4.0/deed.de": "CC-BY-4.0",
    "//creativecommons.org/licenses/by-nc/2.5/legalcode": "CC-BY-NC-2.5",
    f"{CC}/licenses/by-sa/3.0/de/": "CC-BY-SA-3.0-DE",
    f"{CC}/licenses/by-sa/3.0/de/deed.en": "CC-BY-SA-3.0-DE",
    f"{CC}/licenses/by-nc-sa/2.5/es/": "CC-BY-NC-SA-2.5",  # a port without an id of its own
    f"{CC}/licenses/BY-SA/4.0": "CC-BY-SA-4.0",
    f"{CC}/licenses/by/4.0/?ref=chooser-v1": "CC-BY-4.0",
    "https://licensebuttons.net/l/by-sa/3.0/88x31.png": "CC-BY-SA-3.0",
    "CC BY-SA 4.0": "CC-BY-SA-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "CC BY-NC-SA 3.0 DE": "CC-BY-NC-SA-3.0-DE",
    "Creative Commons Attribution 3.0 Unported": "CC-BY-3.0",
    "Creative Commons Attribution-NonCommercial-NoDerivs 2.0 Generic": "CC-BY-NC-ND-2.0",
    "Creative Commons Attribution 4.0 International (CC BY 4.0)": "CC-BY-4.0",
    "Creative Commons Namensnennung - Weitergabe unter gleichen Bedingungen 3.0 Deutschland": "CC-BY-SA-3.0-DE",
    "CC0 1.0 Universal": "CC0-1.0",
    "GNU Free Documentation License 1.3 or later": "GFDL-1.3-or-later",
    "https://www.gnu.org/licenses/fdl-1.2.html": "GFDL-1.2-only",
    "https://opensource.org/licenses/MIT": "MIT",
    "The MIT License": "MIT",
    "Apache License, Version 2.0": "Apache-2.0",
    "https://opendatacommons.org/licenses/odbl/1-0/": "ODbL-1.0",
}
UNCLEAR = [
    "http://creativecommons.org/licenses/sampling+/1.0/",
    "http://creativecommons.org/licenses/nc/1.0/",
    f"{CC}/licenses/by/9.9/",
    f"{CC}/share-your-work/",
    "DE/Service/Impressum/impressum_node.html",
    "/license",
    "CC BY",
    "Creative Commons",
    "Creative Commons BY-NC-SA",
    "GFDL",
    "all rights reserved",
    "public domain",  # said by whom, of what
    "owner",  # the catalogue owner's own word, which no page may speak
    "LicenseRef-mine",
    f"https://evil.example/?u={CC}/licenses/by/4.0/",
    "https://evil.example/creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org.evil.example/licenses/by/4.0/",
    "https://notcreativecommons.org/licenses/by/4.0/",
    f"{CC}/licenses/by/4.0/ {CC}/licenses/by-nc/4.0/",
    "Text CC BY 4.0, photos CC BY-NC 4.0",
    "Attribution by the editor",
    "",
    "CC-BYE-4.0",
]


@pytest.mark.parametrize(("statement", "spdx"), STATED.items())
def test_a_licence_has_its_id_however_it_is_stated(statement, spdx):
    assert spdx_of(statement) == spdx_of(f"  {statement}\n") == spdx
    assert spdx_of(spdx) == spdx


@pytest.mark.parametrize("statement", UNCLEAR)
def test_what_names_no_single_licence_is_unknown(statement):
    assert spdx_of(statement) == UNKNOWN


@given(st.text(max_size=200))
def test_any_statement_is_an_id_or_unknown(statement):
    assert spdx_of(statement) in {UNKNOWN, spdx_of(spdx_of(statement))}


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        *((spdx, "ND" not in spdx) for spdx in STATED.values()),
        ("CC-BY-NC-4.0", True),
        ("CC-BY-NC-SA-2.0-FR", True),
        ("CC-BY-NC-ND-3.0-IGO", False),
        ("owner", True),
        ("model", False),
        ("LicenseRef-lastfm-terms", False),
        ("OGL-UK-3.0", False),
        ("GPL-3.0-only", False),
        (UNKNOWN, False),
    ],
)
def test_one_rule_says_what_may_be_passed_on(licence, free):
    assert may_be_passed_on(licence) is free


def test_a_declared_licence_is_one_we_can_name():
    declared = {licence for source in SOURCES.values() for licence in source.licences.values()}
    assert {licence for licence in declared if spdx_of(licence) == UNKNOWN} == {UNKNOWN, "LicenseRef-lastfm-terms"}
