"""Helpers of sources on MediaWiki: the address of a question to the API, the asked part of its answer, Chinese."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from sourcing.crawling.parsing.values import read_json
from sourcing.crawling.source import ErrorRules, Page, PageError

__all__ = ["API_ERRORS", "API_ETIQUETTE", "QID", "VARIANTS", "api_answer", "api_url", "edition_of"]

API_ETIQUETTE = "https://www.mediawiki.org/wiki/API:Etiquette"
#: https://www.mediawiki.org/wiki/API:Errors_and_warnings
API_ERRORS = ErrorRules(
    codes=("error.code", "errors"),
    message="error.info",
    hint=rb'"errors?"',
    rules=(
        ("^maxlag$", "later", "maxlag"),
        ("^ratelimited$|too.?many.?requests", "later", "ratelimited"),
        ("^readonly$", "later", "readonly"),
        ("^internal_api_error", "later", "internal_api_error"),
        (
            "internalerror|time.?out|timed.?out|too.?busy|backend.?error|pool.?(?:error|queue)",
            "later",
            "service_failed",
        ),
        ("^(?:auto|global)?-?block|^readapidenied$", "no", "blocked"),
        ("^missingtitle$|^nosuch|^no-such-entity$", "gone", "not_found"),
    ),
)
QID = re.compile(r"Q[1-9]\d*")
#: How the Chinese edition can be asked to write → BCP 47 tag of what comes back.
VARIANTS = {
    "zh-hans": "zh-Hans",
    "zh-hant": "zh-Hant",
    "zh-cn": "zh-Hans-CN",
    "zh-tw": "zh-Hant-TW",
    "zh-hk": "zh-Hant-HK",
}
_MAXLAG_S = 5  # asked to step back when the replicas lag more, as the etiquette wants
_FORM = {"maxlag": _MAXLAG_S, "format": "json", "formatversion": 2}


def api_url(base_url: str, parameters: Mapping[str, Any]) -> str:
    return f"{base_url}/w/api.php?{urlencode({**parameters, **_FORM}, quote_via=quote)}"


def edition_of(language: str) -> str:
    """The edition that serves a language: every way of writing Chinese is in `zh`."""
    return "zh" if language in VARIANTS else language


def api_answer(page: Page, part: str) -> dict[str, Any]:
    """The object under `part` ("query", "parse"); PageError `maxlag`, `api_error` or `<part>_missing` otherwise."""
    answer = read_json(page.capture)
    error = answer.get("error")
    if error is not None:
        code = error.get("code") if isinstance(error, dict) else None
        info = error.get("info") if isinstance(error, dict) else error
        raise PageError("maxlag" if code == "maxlag" else "api_error", f"{code}: {str(info)[:200]}")
    value = answer.get(part)
    if not isinstance(value, dict):
        raise PageError(f"{part}_missing", f"an answer with only {sorted(answer)[:6]}")
    return value
