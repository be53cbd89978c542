"""Licences: the SPDX id of what a page or record states, and the one rule of what may be passed on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["UNKNOWN", "may_be_passed_on", "spdx_of"]

UNKNOWN = "unknown"
#: Licences under which anyone may pass a text on, as patterns over SPDX ids; "owner" is the catalogue owner's own word.
_OPEN_LICENCES = (
    "owner",
    "public[- ]domain",
    r"CC0(-.*)?",
    r"CC-PDDC|CC-PDM-1\.0",
    r"CC-BY(-NC)?(-SA)?(-\d.*)?",  # no ND: a description is a derivative
    "(PDDL|ODC-By|ODbL)(-.*)?",
    r"(Free-Art|LAL)-.*",
    r"GFDL(-.*)?",
    r"MIT|Expat|BSD.*|Apache-2\.0|Unlicense|WTFPL",
)
_OPEN = re.compile("|".join(_OPEN_LICENCES), re.IGNORECASE)

_PORTS = {  # of Creative Commons licences, those with an SPDX id of their own (licence list 3.27)
    "BY": "2.5-AU 3.0-AT 3.0-AU 3.0-DE 3.0-IGO 3.0-NL 3.0-US",
    "BY-NC": "3.0-DE",
    "BY-NC-ND": "3.0-DE 3.0-IGO",
    "BY-NC-SA": "2.0-DE 2.0-FR 2.0-UK 3.0-DE 3.0-IGO",
    "BY-ND": "3.0-DE",
    "BY-SA": "2.0-UK 2.1-JP 3.0-AT 3.0-DE 3.0-IGO",
}
_CREATIVE_COMMONS = {
    f"CC-{terms}-{version}" for terms, ports in _PORTS.items() for version in f"1.0 2.0 2.5 3.0 4.0 {ports}".split()
}
_OTHERS = (
    "CC0-1.0 CC-PDDC CC-PDM-1.0 CC-SA-1.0 PDDL-1.0 ODC-By-1.0 ODbL-1.0 LAL-1.2 LAL-1.3 MIT Apache-2.0 BSD-2-Clause "
    "BSD-3-Clause Unlicense WTFPL ISC MPL-2.0 OGL-UK-1.0 OGL-UK-2.0 OGL-UK-3.0 etalab-2.0"
)
_GNU = [
    f"{family}-{version}-{which}"
    for family, versions in {"GFDL": "1.1 1.2 1.3", "GPL": "2.0 3.0", "LGPL": "2.1 3.0", "AGPL": "3.0"}.items()
    for version in versions.split()
    for which in ("only", "or-later")
]
_IDS = {spdx.casefold(): spdx for spdx in (*_CREATIVE_COMMONS, *_OTHERS.split(), *_GNU)}

_MAX_CHARS = 2000
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_START = r"(?<![\w.%=/@:+-])(?:https?:)?(?://)?(?:www\.)?"  # an address, and not one inside another
_END = r"(?=[/?#\s\"'<>),;.]|$)"
_CC_ADDRESS = re.compile(
    rf"{_START}(?:i\.)?(?:creativecommons\.org|licensebuttons\.net)/"
    rf"(?P<kind>licen[sc]es|l|p|publicdomain)/(?P<terms>[a-z+-]+)"
    rf"(?:/(?P<version>\d\.\d)(?:/(?P<port>[a-z]{{2,3}}|scotland){_END})?)?",
    re.IGNORECASE,
)
_ADDRESSES = (
    (rf"{_START}(?:spdx|opensource)\.org/licen[sc]es?/([\w.-]+?)(?:\.html|\.php|\.json)?/?(?=[?#\s\"'<>),;]|$)", "{}"),
    (rf"{_START}gnu\.org/(?:licenses|copyleft)/(?:old-licenses/)?fdl-(1\.[123])", "GFDL-{}-only"),
    (rf"{_START}apache\.org/licenses/LICENSE-(2\.0)", "Apache-{}"),
    (rf"{_START}opendatacommons\.org/licenses/odbl/(1)[.-]0", "ODbL-{}.0"),
    (rf"{_START}opendatacommons\.org/licenses/by/(1)[.-]0", "ODC-By-{}.0"),
    (rf"{_START}opendatacommons\.org/licenses/pddl/(1)[.-]0", "PDDL-{}.0"),
    (rf"{_START}nationalarchives\.gov\.uk/doc/open-government-licence/version/([123])", "OGL-UK-{}.0"),
    (r"\A(?:the )?(mit)(?: licen[cs]e)?\Z", "{}"),
    (r"\Aapache (?:software )?licen[cs]e,? (?:version |v)?(2\.0)\Z", "Apache-{}"),
    (r"\b(?:free art licen[cs]e|licence art libre|lal)[ -](1\.[23])\b", "LAL-{}"),
    (r"\b(?:gfdl|gnu free documentation licen[cs]e),?(?: version| v)?[ -]?(1\.[123])(?! ?or)", "GFDL-{}-only"),
    (r"\b(?:gfdl|gnu free documentation licen[cs]e),?(?: version| v)?[ -]?(1\.[123]) or", "GFDL-{}-or-later"),
    (r"\b(?:cc0|cc[ -]zero)(?:[ -]?(1\.0))?(?![\w.])", "CC0-1.0"),
    (r"\bpublic domain mark(?: (1\.0))?(?![\w.])", "CC-PDM-1.0"),
)
_OTHER = [(re.compile(pattern, re.IGNORECASE), form) for pattern, form in _ADDRESSES]
_TERMS = {  # as licences are called in words
    "NC": "non-?commercial|non-?comm|nicht[- ]?kommerziell|no ?comercial|pas d['’]utilisation commerciale"
    "|non ?commerciale|niet ?commercieel",
    "SA": "share-?alike|weitergabe unter gleichen bedingungen|compartir ?igual|compartilha ?igual"
    "|partage (?:dans les mêmes conditions|à l['’]identique)|condividi allo stesso modo|gelijk ?delen",
    "ND": "no-?deriv(?:ative)?s?(?: works)?|keine bearbeitung(?:en)?|sin ?(?:obras? ?)?derivadas?"
    "|pas de modification|non opere derivate|geen ?afgeleide ?werken",
}
_BY = "attribution|namensnennung|reconocimiento|atribución|atribuição|paternité|attribuzione|naamsvermelding"
_NAMED = "|".join(_TERMS.values())
_NUMBER = (
    r"(?:[\s,()-]{0,3}(?:licen[cs]e|lizenz|licencia))?(?:[\s,/(_-]{0,3}(?:version |v\.? ?)?(?P<version>\d\.\d)\b"
    r"(?:[\s-](?P<port>de|at|au|igo|nl|us|uk|fr|jp|deutschland|germany|österreich|austria|united states|france)\b)?)?"
)
_SHORT = re.compile(
    rf"\b(?:cc|creative commons)[\s_:-]{{1,3}}(?P<terms>(?:by|nc|sa|nd)(?:[\s_/-](?:by|nc|sa|nd))*)\b{_NUMBER}",
    re.IGNORECASE,
)
_LONG = re.compile(rf"\b(?:{_BY})(?P<terms>(?:[\s,–-]{{1,3}}(?:{_NAMED}))*)\b{_NUMBER}", re.IGNORECASE)
#: "Not under CC BY 4.0", "nicht mehr unter https://…"; what a licence does not allow is told in a clause of its own.
_DENIED = re.compile(
    r"\b(?:not|never|isn['’]t|cannot|nicht|kein\w*|except|außer|sauf|excepto|salvo)\b[^.,;:()]{0,40}?"
    rf"(?:\bcc\b|\bcc0\b|creative commons|\b(?:{_BY})\b|https?:)",
    re.IGNORECASE,
)
_COUNTRIES = {"deutschland": "de", "germany": "de", "österreich": "at", "austria": "at", "united states": "us"}


def may_be_passed_on(licence: str) -> bool:
    """True when text under the licence may be published. Unknown and no-derivatives licences may not."""
    return _OPEN.fullmatch(licence.strip()) is not None


@lru_cache(maxsize=1024)
def spdx_of(statement: str) -> str:
    """The SPDX id of a licence that is stated by address, id or name; 'unknown' for anything else.

    A port without an id of its own has that of the licence it ports. A licence without its version, and a statement
    that names two or denies one, are unknown.
    """
    text = _DASHES.sub("-", " ".join(statement[:_MAX_CHARS].split()))
    if own := _IDS.get(text.casefold()):
        return own
    if _DENIED.search(text):
        return UNKNOWN
    ids, words = set(_of_addresses(text)), _of_words(text)
    ids |= words - {UNKNOWN} if ids else words  # an address says which version its words leave out
    return ids.pop() if len(ids) == 1 else UNKNOWN


def _of_addresses(text: str) -> Iterator[str]:
    for match in _CC_ADDRESS.finditer(text):
        kind, terms = match["kind"].casefold(), match["terms"].casefold()
        if kind in ("publicdomain", "p") or terms in ("publicdomain", "zero"):
            yield {"zero": "CC0-1.0", "mark": "CC-PDM-1.0", "publicdomain": "CC-PDDC"}.get(terms, UNKNOWN)
        else:
            yield _creative_commons(set(terms.upper().split("-")), match["version"], match["port"])
    for pattern, form in _OTHER:
        for other in pattern.finditer(text):
            yield _IDS.get(form.format(other[1]).casefold(), UNKNOWN)


def _of_words(text: str) -> set[str]:
    licences: set[tuple[frozenset[str], str | None, str | None]] = set()
    for match in _SHORT.finditer(text):
        terms = frozenset(re.split(r"[\s_/-]", match["terms"].upper()))
        licences.add((terms, match["version"], match["port"]))
    if licences or "commons" in text.casefold() or _LONG.match(text):
        for match in _LONG.finditer(text):
            also = {term for term, names in _TERMS.items() if re.search(names, match["terms"], re.IGNORECASE)}
            licences.add((frozenset(also | {"BY"}), match["version"], match["port"]))
    # "Attribution (CC BY 4.0)" names one licence twice, once without its version.
    terms_with_version = {terms for terms, version, _ in licences if version}
    return {_creative_commons(set(terms), version, port) for terms, version, port in licences
            if version or terms not in terms_with_version}  # fmt: skip


def _creative_commons(terms: set[str], version: str | None, port: str | None) -> str:
    name = "-".join(("CC", *(term for term in ("BY", "NC", "ND", "SA") if term in terms)))
    if not version or terms - {"BY", "NC", "ND", "SA"}:
        return UNKNOWN
    country = _COUNTRIES.get((port or "").casefold(), port or "")
    port_id, plain_id = f"{name}-{version}-{country}", f"{name}-{version}"
    return _IDS.get(port_id.casefold()) or _IDS.get(plain_id.casefold()) or UNKNOWN
