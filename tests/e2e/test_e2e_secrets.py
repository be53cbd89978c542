"""Keys of odd spelling through the whole product, past servers that hand them back in every way: no trace is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from batchserver import BatchServer, Body, Ending, answered, refused
from chatserver import completion, json_reply
from commands import run_command
from genworld import PROSE, documents, matches, tracks, write_pack
from loopback import Asked, Loopback, Reply
from spelled import spellings, traces

from sourcing.store import Document, Match, Track, Workspace

KEYS = ["sk/odd+key%with=all&of~them", "quo\"te's-\\back-<tag>&amp;", "sk-plain-0123456789abcdef"]
VARIABLES = ("OPENAI_API_KEY", "LASTFM_API_KEY", "DISCOGS_TOKEN", "JAMENDO_CLIENT_ID")


def echo(key: str) -> str:
    return " ".join(spellings(key))


def hostile_site(keys: list[str]) -> Any:
    """Answers of APIs, each with the keys in another place."""

    def answer(asked: Asked) -> Reply:
        said = " ".join(map(echo, keys))
        url, plain = quote(keys[0], safe=""), keys[0].encode().hex()
        headers = {"Content-Type": "application/json", "X-Echo": quote(said)[:6000], "ETag": f'"{plain}"', "X-Key": url}
        path, port = asked.path, asked.headers["Host"].partition(":")[2]
        if path.startswith("/gone"):
            return Reply(said, 404, headers)
        if path.startswith("/robots.txt"):
            return Reply(f"User-agent: *\nAllow: /\n# {said}", headers={"Content-Type": "text/plain"})
        if path.startswith(("/ai.txt", "/.well-known")):
            return Reply(json.dumps([{"location": "/x", "tdm-reservation": 0, "tdm-policy": said}]), headers=headers)
        if "Song+1" in path or "Song%201" in path:
            return Reply(said, 302, {**headers, "Location": f"/moved/{url}?api_key={url}&again={url}"})
        if "Song+2" in path or "Song%202" in path:
            return Reply(said, 302, {**headers, "Location": f"http://localhost:{port}/gone/{url}?got={url}"})
        if "Song+3" in path or "Song%203" in path:
            return Reply(said, 403, headers)
        if "Song+4" in path or "Song%204" in path:
            return Reply(said, 500, headers)
        if "Song+5" in path or "Song%205" in path:
            return Reply(said, 200, {**headers, "X-Robots-Tag": f"noai, {quote(said)[:3000]}"})
        if "Song+6" in path or "Song%206" in path:
            return Reply(said, 302, {**headers, "Location": f"http://{url}@localhost:{port}/gone"})
        if "Song+7" in path or "Song%207" in path:
            return Reply(said.encode("utf-16"), 200, {**headers, "Content-Type": "text/html; charset=utf-16"})
        wiki = {"summary": said, "content": f"A song about {said} and nothing else, sung slowly. {PROSE}"}
        track = {"name": "Song 0", "artist": {"name": "Artist 0"}, "wiki": wiki, "url": f"https://www.last.fm/{url}"}
        return Reply(json.dumps({"track": track, "message": said}), 200, headers)

    return answer


def short(key: str) -> str:
    """An answer that is fit to be published, but for what it says at the end of an aspect."""
    pairs = (("slow piano", "instrument"), ("calm", "mood"), (f"calm {key}", "mood"))
    aspects = [{"quote": text, "text": text, "facet": facet} for text, facet in pairs]
    return json.dumps({"aspects": aspects, "caption": "A calm piece with slow solo piano and warm strings."})


def in_pieces(text: str) -> str:
    """As a stream of one character an event."""
    events = [json.dumps({"choices": [{"index": 0, "delta": {"content": piece}}]}) for piece in text]
    events.append(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    return "".join(f"data: {event}\n\n" for event in events) + "data: [DONE]\n\n"


def hostile_model(keys: list[str]) -> Any:
    turns: list[int] = []

    def answer(asked: Asked) -> Reply:
        turns.append(1)
        said, plain = " ".join(map(echo, keys)), keys[0].encode().hex()
        caption = json.dumps({"aspects": [], "caption": f"A calm piece with slow solo piano for {said}"})
        headers = {"X_Request_Id": quote(said)[:6000], "X_RateLimit_Reset_Tokens": plain}
        match len(turns) % 7:
            case 1:
                return json_reply(json.dumps({"error": {"message": f"bad key {said}", "code": said}}), 400, **headers)
            case 2:
                return json_reply(in_pieces(caption), 200, Content_Type="text/event-stream")
            case 3:
                return json_reply(json.dumps({"error": {"message": said}}), 200, **headers)
            case 4:
                return json_reply(f"<html>{said}</html>", 200, **headers)
            case 5:
                return json_reply(json.dumps({"data": said, "model": keys[0]}), 200, **headers)
            case _:
                return json_reply(completion(short(keys[0]), model=keys[0]), 200, **headers)

    return answer


@pytest.mark.e2e
@pytest.mark.parametrize("key", KEYS)
def test_no_trace_of_a_key_is_left_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    keys = [f"{key}-{number}" for number in range(len(VARIABLES))]
    for variable, value in zip(VARIABLES, keys, strict=True):
        monkeypatch.setenv(variable, value)
    work = tmp_path / "work"
    workspace = Workspace(work)
    workspace.write(Track, tracks(8))
    write_pack(work / "prompts", "recall", inputs={"title": "string"}, user="{{ title }}")
    printed: list[str] = []

    def typed(*arguments: str) -> int:
        for flags in ((), ("--json",)):
            code, out, err = run_command(capsys, [*flags, "--workspace", str(work), *arguments])
            printed.extend((out, err))
        return code

    with Loopback(hostile_site(keys)) as site:
        (work / "crossmusim.toml").write_text(
            '[crawl]\ncontact = "me@example.org"\nallow_private_hosts = true\nmax_attempts = 1\n'
            + "".join(
                f'[sources.{name}]\nbase_url = "{site.url}"\nrate_per_s = 500\n'
                for name in ("lastfm", "discogs", "jamendo")
            )
            + "".join(f"[sources.{name}]\nenabled = false\n" for name in ("musicbrainz", "wikipedia", "wikidata"))
        )
        typed("crawl", "run", "--source", "lastfm", "--source", "discogs", "--source", "jamendo")
        assert any(f"api_key={quote(keys[1], safe='')}" in asked.path for asked in site.log), "the key was sent"
        for verb in ("status", "coverage", "replay"):
            typed("crawl", verb)
        typed("sources", "list")
        typed("sources", "check", f"{site.url}/2.0/?api_key={quote(keys[1], safe='')}&track=Song+5")
    workspace.write(Document, documents({f"d-{n}": f"Song {n} is described here. {PROSE}" for n in range(8)}))
    workspace.write(Match, matches([(f"t-{n:03}", f"d-{n}") for n in range(8)]))
    with Loopback(hostile_model(keys)) as server:
        at = ("--base-url", f"{server.url}/v1", "--model", "m")
        typed("generate", "run", "recall", *at, "--concurrency", "1")
        typed("doctor", *at)
        typed(
            "generate", "run", "recall", "--base-url", f"http://me:{quote(keys[0], safe='')}@a.test/v1", "--model", "m"
        )
    typed("generate", "run", "recall", "--base-url", "http://127.0.0.1:9/v1", "--model", "m")

    def end(lines: list[Body]) -> Ending:
        said = " ".join(map(echo, keys))
        caption = json.dumps({"aspects": [], "caption": f"A calm piece with slow solo piano for {said}"})
        stranger = {**answered(lines[0], caption), "custom_id": said}
        return Ending(
            [
                answered(lines[0], caption),
                stranger,
                said.replace("\n", " "),
                *(answered(line, short(keys[0])) for line in lines[3:]),
            ],
            [refused(lines[1], 400, said), refused(lines[2], 500, said)],
            refused=[{"code": said, "message": said}],
        )

    with BatchServer(end) as server:
        at = ("--base-url", f"{server.url}/v1", "--model", "other")
        typed("generate", "batch", "submit", "recall", *at)
        typed("generate", "batch", "collect")
        typed("generate", "batch", "status")
    typed("generate", "status")
    typed("generate", "describe")
    typed("dataset", "publish", "mine", "--root", str(tmp_path / "datasets"))
    typed("dataset", "show", "mine", "--root", str(tmp_path / "datasets"))
    assert (tmp_path / "datasets" / "mine").is_dir(), printed[-8:]
    shown = "\n".join(printed)
    assert [each for one in keys for each in spellings(one) if each in shown] == []
    assert traces(tmp_path, keys) == []
    assert urlsplit(site.url).hostname == "127.0.0.1"


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "LASTFM_API_KEY"])
@pytest.mark.parametrize(
    "key", ["sk-secret-line\n", "sk-secret-é", '"sk-secret-quoted"', " sk-secret", "sk-\x07secret"]
)
def test_a_variable_that_holds_no_key_ends_the_command_with_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, key: str
) -> None:
    monkeypatch.setenv(variable, key)
    workspace = Workspace(tmp_path)
    workspace.write(Track, tracks(1))
    (tmp_path / "crossmusim.toml").write_text('[crawl]\ncontact = "me@example.org"\n')
    write_pack(tmp_path / "prompts", "recall", inputs={"title": "string"}, user="{{ title }}")
    if variable == "OPENAI_API_KEY":
        commands = [
            [*command, "--base-url", "http://127.0.0.1:9/v1", "--model", "m"]
            for command in (["generate", "run", "recall"], ["generate", "batch", "submit", "recall"], ["doctor"])
        ]
    else:
        commands = [["crawl", "run", "--source", "lastfm"], ["crawl", "run", "--limit", "1"]]
    for command in commands:
        code, out, err = run_command(capsys, ["--workspace", str(tmp_path), *command])
        assert (code, variable in err, "secret" in out + err) == (2, True, False), (command, err)


def test_a_key_in_the_settings_file_is_refused_without_being_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in (
        '[generation]\napi_key = "sk-very-secret-1"',
        '[sources.lastfm]\nbase_url = "http://me:sk-very-secret-1@a.test"',
    ):
        (tmp_path / "crossmusim.toml").write_text(line)
        code, out, err = run_command(capsys, ["--workspace", str(tmp_path), "sources", "list"])
        assert (code, "very-secret" in out + err) == (2, False)
