"""Answers that are errors: how a source's API says "later", "no" or "gone" in a body, whatever the HTTP status.

A source declares an `ErrorRules`; the crawl acts on it once the answer lies in the WARC files, and a replay passes
such answers over:

later   the host is paused and the task asked again, an attempt more
no      the source refuses us (a key, an address): none of its tasks is asked in this run, and none counts an attempt
gone    there is no such record, or the question is wrong: the task is failed for good
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sourcing.crawling.source import Capture, Source
from sourcing.store.text import without_surrogates

__all__ = ["ErrorAnswer", "error_answer", "error_in"]

_MOST_BYTES = 64 * 1024  # an error says little
_SHOWN_CHARS = 200
_MOST_CODES = 8
_GOOD = frozenset(["", "0", "200", "None", "False"])  # codes of answers that are no errors
_WAITS = ("error.lag", "retry_after", "error.retry_after")  # hints in seconds
_LONGEST_WAIT_S = 7 * 86_400.0
#: What MediaWiki repeats in a header, whichever page of a wiki was asked for.
_WIKI_HEADER = "mediawiki-api-error"
_WIKI_LATER = frozenset(["maxlag", "ratelimited", "readonly"])


@dataclass(frozen=True)
class ErrorAnswer:
    """Meaning of an error answer for the crawl; `wait_s` is how long the server itself asks to wait, 0 where it does
    not.
    """

    meaning: str  # later, no or gone
    reason: str
    finding: str
    wait_s: float = 0.0


def error_answer(capture: Capture, source: Source) -> ErrorAnswer | None:
    """The error that a captured answer is; None for every other."""
    if capture.form != "response":
        return None
    return error_in(capture.body, source, wiki_code=capture.header(_WIKI_HEADER))


def error_in(body: bytes, source: Source, *, wiki_code: str = "") -> ErrorAnswer | None:
    """Error in a body of the source; raises for no body whatever."""
    rules, answer = source.errors, None
    if rules is not None and len(body) <= _MOST_BYTES and re.search(rules.hint, body):
        with suppress(ValueError, RecursionError):  # the page object says what is wrong with such a body
            answer = json.loads(body.decode("utf-8-sig", "replace"), strict=False)
    values = [value for path in (rules.codes if rules else ()) for value in _flat(_at(answer, path))]
    codes = [text for value in values if (text := _text(value)) not in _GOOD]
    if wiki_code in _WIKI_LATER:
        meaning, reason = "later", wiki_code
    elif rules is not None and codes:
        meaning, reason = rules.meaning_of(codes)
    else:
        return None
    message = _text(_at(answer, rules.message)) if rules and rules.message else ""
    finding = ": ".join(filter(None, ["error " + (", ".join(codes) or reason), message]))[:_SHOWN_CHARS]
    return ErrorAnswer(meaning, reason, finding, _wait_s(_at(answer, path) for path in _WAITS))


def _at(answer: Any, path: str) -> Any:
    for name in path.split("."):
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def _flat(value: Any) -> list[Any]:
    """Values of an error field, unwrapped from objects and lists."""
    items = value[:_MOST_CODES] if isinstance(value, list) else [value]
    return [
        each for item in items for each in (islice(item.values(), _MOST_CODES) if isinstance(item, dict) else [item])
    ]


def _text(value: Any) -> str:
    """Words and numbers; anything else says nothing that a rule could read."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    try:
        text = str(value)
    except ValueError:  # Python writes no numbers of more than 4,300 digits
        return "a very large number"
    return without_surrogates(text).strip()[:_SHOWN_CHARS]


def _wait_s(hints: Iterable[Any]) -> float:
    waits = [float(hint) for hint in hints if isinstance(hint, int | float) and 0 < hint <= _LONGEST_WAIT_S]
    return max(filter(math.isfinite, waits), default=0.0)
