"""Sound JSON answers turned into odd ones, for fuzzing what reads them: `mutated_json(answer)` gives bodies."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

__all__ = ["ODD_BODIES", "ODD_VALUES", "mutated_json"]

Path = tuple[Any, ...]
_DEEP_LIST, _DEEP_OBJECT = "\0deep list\0", "\0deep object\0"  # json.dumps itself cannot nest as deep
_DEPTH = 3000
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 10**30, -(10**30), 2**31, 2**63, 1.5, 1e308, float("nan"), float("inf"),
    "", " ", "\n", "x", "0", "-5", "9" * 5000, "\ud83d", "Low\udc00Tide", "\x00", "\u202eedit", "é" * 300, "x" * 20_000,
    "2005-13-45", "0000-00-00", "[", "<b", "&amp;" * 50, "{{", "http://[", "Q0", "＋２０１４", "²", "١٢",
    [], {}, [None], [[]], [{}], ["x", 7, None], [[["x"]]], {"": None}, {"x": {"x": []}}, {"id": 7}, {"name": []},
    _DEEP_LIST, _DEEP_OBJECT,
)  # fmt: skip
#: Bodies that are no answer at all.
ODD_BODIES: tuple[bytes, ...] = (
    b"", b" ", b"\xff\xfe", b"\xef\xbb\xbf{}", b"null", b"[]", b"0", b'""', b"NaN", b"{", b"{}", b"}{", b"\x00" * 64,
    b"[" * 100_000, b'{"a":' * 100_000, b"1" * 100_000, b'"\xed\xa0\xbd"', b"<html></html>", b"{}\ndata: [DONE]",
)  # fmt: skip
_ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "shift_jis")
_CHANGES = ("odd", "odd", "odd", "drop", "in list", "in object", "swap", "again")


@st.composite
def mutated_json(draw: st.DrawFn, answer: Any) -> bytes:
    """The answer with one to four of its values odd, dropped, of another type or doubled; sometimes mangled bytes."""
    root = [copy.deepcopy(answer)]
    for _ in range(draw(st.integers(1, 4))):
        *above, last = draw(st.sampled_from(list(_paths(root))))
        holder: Any = root
        for step in above:
            holder = holder[step]
        _change(draw, holder, last)
        root = root or [None]
    text = json.dumps(root[0], ensure_ascii=draw(st.booleans()))
    for mark, opening, middle, closing in ((_DEEP_LIST, "[", "", "]"), (_DEEP_OBJECT, '{"a":', "0", "}")):
        text = text.replace(json.dumps(mark), opening * _DEPTH + middle + closing * _DEPTH)
    body = text.encode(draw(st.sampled_from(_ENCODINGS)), "surrogatepass" if text.isascii() else "replace")
    return _mangled(draw, body) if draw(st.integers(0, 5)) == 0 else body


def _paths(root: Any) -> Iterator[Path]:
    """Where every value lies, those of long lists in their first forty entries."""
    stack: list[tuple[Path, Any]] = [((0,), root[0])]
    while stack:
        path, value = stack.pop()
        yield path
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        stack.extend(((*path, key), child) for key, child in [*inner][:40])


def _change(draw: st.DrawFn, holder: Any, last: Any) -> None:
    change, value = draw(st.sampled_from(_CHANGES)), holder[last]
    if change == "drop":
        del holder[last]
    elif change == "again":
        if isinstance(holder, list):
            holder.append(copy.deepcopy(value))
        else:
            holder[f"{last}2"] = holder.pop(last)
    else:
        holder[last] = {
            "odd": lambda: copy.deepcopy(draw(st.sampled_from(ODD_VALUES))),
            "in list": lambda: [value],
            "in object": lambda: {"value": value},
            "swap": lambda: _of_another_type(value),
        }[change]()


def _of_another_type(value: Any) -> Any:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list):
        return {str(index): entry for index, entry in enumerate(value)}
    if isinstance(value, str):
        return len(value)
    return str(value)


def _mangled(draw: st.DrawFn, body: bytes) -> bytes:
    place, byte = draw(st.integers(0, max(0, len(body) - 1))), draw(st.integers(0, 255))
    return draw(
        st.sampled_from((body[:place], body[:place] + bytes([byte]) + body[place + 1 :], body + body, body[place:]))
    )
