"""Replies as servers really give them: one file per poison in `replies/`, what becomes of each, and fuzzed ones."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from genworld import tracks, write_pack
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sourcing.generation.calls import Reply
from sourcing.generation.cost.prices import read_usage
from sourcing.generation.descriptions.describe import describe
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.journal.journal import OpenCall
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.replies.bounded_json import first_value, load_json
from sourcing.generation.replies.failures import (
    CallRefused,
    GatewayTimedOut,
    MaybeAnswered,
    NotSent,
    RawReply,
    RefusedForAll,
    RefusedForNow,
    failure_of,
    refusal,
)
from sourcing.generation.replies.parsed_reply import MAX_REPLY_BYTES, ROW_ERROR, ParsedReply
from sourcing.generation.replies.payload import read_payload
from sourcing.generation.replies.server_error import read_error_body
from sourcing.generation.run.reply_checker import ReplyChecker
from sourcing.store import Document, Match

FOLDER = Path(__file__).parents[1] / "raw_replies"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expectations.json").read_text(encoding="utf-8"))
SHARED = Path(__file__).parents[4] / "shared" / "faults" / "inputs"
CALL = OpenCall(1, "k", b'{"model":"m","messages":[],"max_tokens":200,"seed":3,"response_format":{}}')


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> ReplyChecker:
    return make_checker(tmp_path_factory.mktemp("packs"))


def make_checker(folder: Path) -> ReplyChecker:
    pack = write_pack(folder, "recall", inputs={"title": "string"}, user="{{ title }}")
    return ReplyChecker(load_pack(pack), Endpoint(name="e", identity="e m", model="m", base_url=None))


def described(reply: ParsedReply) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows, and reason → finding of what was left out, of a reply about a track."""
    row = Reply(
        request_key="k", prompt_id="recall", prompt_version="1.0.0", prompt_hash="h", track_id="t-000", doc_id=None,
        sample_idx=0, language="en", model=reply.model or "m", finish_reason=reply.finish_reason,
        content=reply.content, replied_at=datetime(2026, 11, 1, tzinfo=UTC), usage=reply.usage, reason=reply.reason,
        words=reply.words,
    )  # fmt: skip
    rows, rejected_rows = describe(tracks(1), Document.create_empty(), Match.create_empty(), [row])
    return rows.to_dicts(), dict(rejected_rows.select("reason", "finding").iter_rows())


def fate_of(reply: ParsedReply, raw: bytes, checker: ReplyChecker) -> str:
    failure = failure_of(reply, RawReply(raw, 200, {}))
    if failure is not None:
        if failure.maybe_answered:
            return "unknown"
        if failure.fatal:
            return "fatal"
        return "throttled" if failure.status == 429 else "retried" if failure.retry else "failed"
    checked = checker.check(CALL, reply)
    assert not checked.row_error
    if checked.follow is not None:
        return "cut" if checked.follow.kind == "larger" else "repaired"
    return "rejected" if checked.problem else "answered"


def test_every_reply_in_the_folder_has_an_expectation() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*EXPECTED, "expectations.json"}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_poison_becomes_what_it_is(name: str, checker: ReplyChecker) -> None:
    raw, expected = (FOLDER / name).read_bytes(), EXPECTED[name]
    reply = ParsedReply.read(raw)
    fate = fate_of(reply, raw, checker)
    mended = expected["fate"] == "rejected" and fate == "repaired"  # its words may be mended, as ever
    assert fate == expected["fate"] or mended
    failure = failure_of(reply, RawReply(raw, 200, {}))
    if failure is not None:
        assert expected.get("words", "") in str(failure)
        assert fate != "unknown" or not failure.retry or failure.status == 504
        return
    used = read_usage(reply.usage)
    assert ([used.input_tokens, used.output_tokens] if used else None) == expected["tokens"]
    assert reply.model == expected.get("model", "m")
    rows, rejected_rows = described(reply)
    if expected["fate"] == "answered":
        assert rows[0]["aspect_list"] == ["slow piano"]
        assert ("json_wrapped" in rejected_rows) == expected.get("wrapped", False)
    else:
        assert not rows
        assert expected["reason"] in rejected_rows
        assert expected.get("words", "") in rejected_rows[expected["reason"]]


@pytest.mark.skipif(not SHARED.exists(), reason="the folder of faults is not beside this checkout")
@pytest.mark.parametrize(
    ("name", "fate"),
    [
        ("llm_200_error.json", "throttled"),
        ("llm_content_list.json", "answered"),
        ("llm_sse.txt", "answered"),
        ("llm_think_fence.json", "answered"),
    ],
)
def test_the_inputs_that_were_reported_are_read(name: str, fate: str) -> None:
    raw = (SHARED / name).read_bytes()
    reply = ParsedReply.read(raw)
    failure = failure_of(reply, RawReply(raw, 200, {}))
    assert ("throttled" if failure is not None and failure.status == 429 else "answered") == fate
    assert fate != "answered" or isinstance(read_payload(reply.content or "").values[-1], dict)


def test_a_character_that_a_stream_parts_is_put_together() -> None:
    reply = ParsedReply.read((FOLDER / "sse_halves_of_a_character.txt").read_bytes())
    assert "\N{MUSICAL KEYBOARD}" in (reply.content or "")


def test_a_tool_call_in_pieces_is_named_by_its_first() -> None:
    pieces = [
        {"index": 0, "function": {"name": "look_up", "arguments": ""}},
        {"index": 0, "function": {"arguments": "{}"}},
    ]
    events = [{"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]} for piece in pieces]
    raw = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    reply = ParsedReply.read(raw.encode())
    assert reply.reason == "reply_tool_call" and "look_up" in reply.words


@pytest.mark.parametrize(
    "message",
    [
        "your key was rejected because it is old",
        "invalid model: a filter is no model",
        "no permission for this content",
    ],
)
def test_a_refusal_for_all_is_no_filter(message: str) -> None:
    assert not read_error_body(json.dumps({"error": {"message": message, "code": 403}}).encode()).is_filter


def test_a_body_without_end_is_not_read_to_its_end() -> None:
    reply = ParsedReply.read(b" " * (MAX_REPLY_BYTES + 1))
    assert (reply.reason, reply.words) == ("reply_unreadable", "it is longer than 10 MB")


def test_a_text_longer_than_any_model_writes_is_charged_and_rejected() -> None:
    body = json.loads((FOLDER / "fence.json").read_text(encoding="utf-8"))
    body["choices"][0]["message"]["content"] = '{"aspects": [], "caption": "' + "la " * 400_000 + '"}'
    reply = ParsedReply.read(json.dumps(body).encode())
    assert (reply.reason, read_usage(reply.usage) is not None) == ("reply_too_large", True)


@pytest.mark.parametrize(
    ("content", "caption"),
    [
        ('{"caption": "draft"} and then {"caption": "answer"}', "answer"),
        ('{"caption": "answer"} {"score": 1}', "answer"),
        ('{"score": 1} {"caption": 7}', None),
        ('<think>{"caption": "thought"}</think>', None),
        ('<THINK>a</THINK> {"caption": "a"} <think>{"caption": "b"}</think>', "a"),
        ('{"caption": "in braces {so}",}', "in braces {so}"),
        ('{"caption": "a, ]", "more": [1, 2, ], }', "a, ]"),
        ('{not} {this} {"caption": "answer"}', "answer"),
    ],
)
def test_of_several_objects_the_last_that_fits_is_the_answer(content: str, caption: str | None) -> None:
    def fits(value: object) -> bool:
        return isinstance(value, dict) and isinstance(value.get("caption"), str)

    value = read_payload(content).last(fits)
    assert (value and value["caption"]) == caption


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text(max_size=8) | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
NAMES = (
    "choices", "message", "delta", "content", "text", "finish_reason", "usage", "model", "error", "code", "refusal",
    "tool_calls", "prompt_tokens", "completion_tokens", "aspects", "caption", "quote", "facet", "detail", "type",
)  # fmt: skip
SHAPED = st.recursive(
    JSON | st.sampled_from(["stop", "length", "error", "content_filter", "slow piano", "text", 429, '{"aspects": []}']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


@cache
def corpus() -> list[bytes]:
    return [(FOLDER / name).read_bytes() for name in EXPECTED]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A file of the folder, cut, with bytes changed, or with another one spliced in."""
    raw = bytearray(draw(st.sampled_from(corpus()))[:4000])
    for _ in range(draw(st.integers(0, 4))):
        if not raw:
            break
        at = draw(st.integers(0, len(raw) - 1))
        how = draw(st.sampled_from(["set", "cut", "insert", "splice"]))
        if how == "set":
            raw[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del raw[at:]
        elif how == "insert":
            raw[at:at] = draw(st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"\\ud800", b"\n\n", b"data: "]))
        else:
            raw[at:at] = draw(st.sampled_from(corpus()))[:300]
    return bytes(raw)


def hold(raw: bytes, checker: ReplyChecker) -> None:
    """Whatever the bytes are: no row error, and nothing that a journal or a table cannot hold."""
    reply = ParsedReply.read(raw)
    assert reply.reason != ROW_ERROR, reply.words
    failure = failure_of(reply, RawReply(raw, 200, {}))
    checked = checker.check(CALL, reply)
    assert not checked.row_error
    used = read_usage(reply.usage)
    texts = (reply.model, reply.finish_reason, reply.words, reply.content, str(failure), checked.problem)
    numbers = (used.input_tokens, used.output_tokens) if used else (0, 0)
    sqlite3.connect(":memory:").execute("SELECT ?, ?, ?, ?, ?, ?, ?, ?", (*texts, *numbers)).fetchone()
    pl.DataFrame({"text": [text or "" for text in texts]})
    error = read_error_body(raw)
    (error.message + error.code).encode()
    if failure is None:
        rows, rejected_rows = described(reply)
        assert ROW_ERROR not in rejected_rows, rejected_rows[ROW_ERROR]
        json.dumps([rows, rejected_rows], default=str).encode()


#: What reads otherwise than `json` has it: numbers that cannot be stored, and text that does not encode.
_UNLIKE = re.compile(r"\d{19}|e|ud8|u000|N|I")
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@FUZZ
@given(st.binary(max_size=300) | broken())
@example(b"")
@example(b"data:")
@example(b'{"choices":[{"message":{"content":"{\\"aspects\\":[{\\"text\\":\\"\\\\ud83d\\"}]}"}}]}')
def test_no_bytes_stop_anything(checker: ReplyChecker, raw: bytes) -> None:
    hold(raw, checker)


@FUZZ
@given(
    SHAPED, st.sampled_from(["", "data: ", "\ufeff", ": ping\n\ndata: "]), st.sampled_from(["", "\n\ndata: [DONE]\n\n"])
)
def test_no_json_stops_anything(checker: ReplyChecker, value: Any, before: str, behind: str) -> None:
    hold(f"{before}{json.dumps(value)}{behind}".encode(), checker)


@FUZZ
@given(SHAPED, SHAPED, SHAPED, st.sampled_from(["", "Sure: ", "<think>", "```json\n", "[", '{"x": ']), SHAPED)
def test_no_message_and_no_usage_stop_anything(
    checker: ReplyChecker, content: Any, finish: Any, model: Any, before: str, usage: Any
) -> None:
    text = before + json.dumps({"aspects": content, "caption": finish})
    message = {"content": text if before or isinstance(content, list | dict) else content}
    body = {"choices": [{"message": message, "finish_reason": finish}], "model": model, "usage": usage}
    hold(json.dumps(body).encode(), checker)
    hold(json.dumps({**body, "choices": [{"message": message, "finish_reason": "stop"}]}).encode(), checker)


@FUZZ
@given(st.text(alphabet='{}[]",:\\ud8001e9aNI \n', max_size=80))
def test_bounded_json_raises_nothing_but_value_errors_and_agrees_with_json_where_both_read(text: str) -> None:
    try:
        value = load_json(text)
    except ValueError:
        value = ValueError
    try:
        plain = json.loads(text)
    except ValueError:
        plain = ValueError
    if value is not ValueError and not _UNLIKE.search(text):
        assert value == plain
    with contextlib.suppress(ValueError):
        first_value(text)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "", CallRefused),
        (401, "", RefusedForAll),
        (307, "", RefusedForAll),
        (429, "", RefusedForNow),
        (429, "insufficient_quota", RefusedForAll),
        (500, "", RefusedForNow),
        (504, "", GatewayTimedOut),
    ],
)
def test_the_class_of_a_refusal_says_what_it_means_for_this_call_and_for_others(
    status: int, code: str, kind: type[CallRefused]
):
    assert type(refusal(status, code, {})) is kind


def test_failures_are_told_apart_also_in_a_set_and_keep_their_facts_in_another_meaning():
    failures = [MaybeAnswered("timeout", "no reply", status=200, raw=b"x", retry_after_s=1.5) for _ in range(2)]
    assert len(set(failures)) == 2
    sent_again = failures[0].recast(NotSent)
    assert (sent_again.retry, sent_again.maybe_answered) == (True, False)
    assert vars(sent_again) == vars(failures[0])
