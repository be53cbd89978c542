"""JSON payload of a model's text: captions, aspects and verdicts.

Many models put words around it: a fence, their thoughts, a sentence before or behind. What stands in there all the same
need not be paid for again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from sourcing.generation.calls import Reply
from sourcing.generation.grounding.finding import Finding
from sourcing.generation.replies.bounded_json import first_value, line_of, load_json, whole_text
from sourcing.store.schemas import Row

__all__ = ["Payload", "answer_of", "read_payload", "thought_chars"]

SHOWN_CHARS = 500  # of a reply that cannot be used, enough for a person to see why
_MAX_TRIES = 64  # braces in prose that begin no object
_MAX_MENDS = 4
_THOUGHTS = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_FENCES = ("```", "~~~")
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)


class Payload(NamedTuple):
    """JSON values of a message, one unless words stand around the JSON; `around` names what did."""

    values: tuple[Any, ...] = ()
    around: str = ""
    problem: str = ""  # why there are none

    def last(self, fits: Callable[[Any], bool]) -> Any | None:
        """The last value that fits: a draft stands before the answer. None where none does."""
        return next((value for value in reversed(self.values) if fits(value)), None)


def read_payload(content: str) -> Payload:
    """Read the JSON of a message: strictly, and where that fails with tolerance. Never raises."""
    try:
        value = load_json(content)
    except ValueError as error:
        text, around, is_closed = _without_thoughts(content.strip().removeprefix("\ufeff"))
        values, rest = _objects(text)
        if not values or not (is_closed or not rest.strip("`~ \r\n\t")):
            return Payload(problem=f"it is not JSON ({error})")
        return Payload(tuple(values), around or _surroundings(content))
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return Payload((value, value[0]), "a list of one")
    if isinstance(value, str) and "{" in value:
        inner = read_payload(value) if not value.lstrip().startswith('"') else Payload()
        return Payload((value, *inner.values), "quotation marks")
    return Payload((value,))


def answer_of(reply: Reply, fits: Callable[[Any], bool], shape: str) -> tuple[Row | None, list[Finding]]:
    """Payload of a reply, or None without one of this shape, and findings on words around the JSON."""
    content = whole_text((reply.content or "").strip())
    if reply.reason:
        return None, [Finding(reply.reason, reply.words, _shown(content) if content else None)]
    if reply.finish_reason == "length":
        finding = "the reply was cut by max_tokens; raise it in the pack"
        return None, [Finding("reply_truncated", finding, _shown(content))]
    if not content:
        return None, [Finding("reply_empty", "the reply holds no message")]
    payload = read_payload(content)
    if payload.problem:
        problem = payload.problem.removeprefix("it ")
        return None, [Finding("reply_not_json", f"the reply {problem}", _shown(content))]
    value = payload.last(fits)
    if value is None:
        wrong = f"the reply is JSON without the shape of {shape}"
        return None, [Finding("reply_wrong_shape", wrong, _shown(content))]
    if payload.around:
        note = f"{payload.around} stood around the JSON; it was read all the same"
        return value, [Finding("json_wrapped", note)]
    return value, []


def thought_chars(content: str) -> int:
    """Number of characters of thoughts in a message, by the tags of thoughts."""
    outside, around, is_closed = _without_thoughts(content)
    return len(content) - (len(outside) if is_closed else 0) if around else 0


def _shown(content: str) -> str:
    return content if len(content) <= SHOWN_CHARS else content[:SHOWN_CHARS] + "…"


def _without_thoughts(text: str) -> tuple[str, str, bool]:
    """Text outside of thoughts, the thoughts, and True when every thought ended; else the last one is left in."""
    outside: list[str] = []
    at, inside, tags = 0, False, 0
    for tag in _THOUGHTS.finditer(text):
        tags += 1
        if tag[1]:
            if not inside:
                outside.clear()  # some servers leave out the tag that opens
            inside = False
        elif not inside:
            outside.append(text[at : tag.start()])
            inside = True
        at = tag.end()
    outside.append(text[at:])
    return "".join(outside), "thoughts" if tags else "", not inside


def _objects(text: str) -> tuple[list[Any], str]:
    """JSON objects in a text, in order, and the text after the last one."""
    values: list[Any] = []
    rest, mends = text, 0
    for _ in range(_MAX_TRIES):
        start = rest.find("{")
        if start < 0:
            break
        piece = rest[start:]
        try:
            value, end = first_value(piece)
        except ValueError:
            repair = _mended(piece) if mends < _MAX_MENDS else piece
            mends += 1
            try:
                value, end = first_value(repair)
            except ValueError:
                rest = piece[1:]
                continue
            piece = repair
        values.append(value)
        rest = piece[end:]
    return values, rest


def _mended(text: str) -> str:
    """The text without trailing commas."""
    return _STRING_OR_COMMA.sub(lambda match: "" if match[0] == "," else match[0], text)


def _surroundings(content: str) -> str:
    if any(fence in content for fence in _FENCES):
        return "a fence"
    words = line_of(content[: content.find("{")] + content[content.rfind("}") + 1 :], 40)
    return f"other words ({words})" if words.strip("\ufeff ") else "a stray comma or line break"
