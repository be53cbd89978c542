"""Plans: which calls are needed, in which order, under which keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from genworld import PROSE, documents, matches, tracks, write_pack

from sourcing.errors import UsageError
from sourcing.generation.calls import PlannedCall
from sourcing.generation.endpoint.dialect import choose_dialect, fit_body
from sourcing.generation.endpoint.endpoint import Endpoint, resolve_endpoint
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.planning.plan import (
    DOCUMENT_CHARS,
    Scope,
    Tables,
    count_calls,
    cut_document,
    plan_calls,
    plan_steps,
)
from sourcing.generation.planning.request_maker import RequestMaker
from sourcing.generation.wire import normalise_base_url, ordered_json, request_body, request_key
from sourcing.settings import GenerationSettings
from sourcing.store.shard import Shard

REMOTE = Endpoint(name="http://h/v1", identity="http://h/v1 m", model="m", base_url="http://h/v1", api_key="k" * 20)


def recall(root: Path, **changes: object) -> Pack:
    inputs = {"title": "string", "artist": "string", "year": "'{type: integer, required: false}'", "tags": "list"}
    inputs["year"] = "{type: integer, required: false}"
    changes = {"inputs": inputs, "user": "{{ title }} {{ artist }} {{ year }} {{ tags | join(', ') }}", **changes}
    return load_pack(write_pack(root, "recall", **changes))


def calls_of(pack: Pack, endpoint: Endpoint = REMOTE, count: int = 3) -> tuple[PlannedCall, ...]:
    return plan_calls(pack, endpoint, Tables(tracks(count))).calls


def test_packs_without_documents_are_asked_once_per_track_and_sample(tmp_path: Path) -> None:
    calls = calls_of(recall(tmp_path, samples=2))
    assert [(call.track_id, call.doc_id, call.sample_idx) for call in calls] == [
        (f"t-{n:03}", None, sample) for n in range(3) for sample in range(2)
    ]
    assert [call.request["seed"] for call in calls[:2]] == [3, 4]
    assert len({call.request_key for call in calls}) == 6


def test_packs_with_documents_are_asked_per_accepted_match_with_enough_allowed_text(tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path))
    table = documents({"d-a": PROSE, "d-short": "Too short."}).vstack(documents({"d-denied": PROSE}, consent="deny"))
    pairs = matches([("t-000", "d-a"), ("t-000", "d-short"), ("t-001", "d-denied"), ("gone", "d-a")])
    pairs = pairs.vstack(matches([("t-002", "d-a")], band="review")).sort("track_id", "doc_id")
    plan = plan_calls(pack, REMOTE, Tables(tracks(3), table, pairs))
    assert [(call.track_id, call.doc_id) for call in plan.calls] == [("t-000", "d-a")]
    assert PROSE in plan.calls[0].request["messages"][1]["content"]


def test_a_limit_reaches_every_artist_before_any_comes_twice(tmp_path: Path) -> None:
    pack = recall(tmp_path)
    limited = plan_calls(pack, REMOTE, Tables(tracks(20)), Scope(limit=10)).calls
    assert {int(call.track_id[2:]) // 2 for call in limited} == set(range(10))
    assert [call.track_id for call in limited] == sorted(call.track_id for call in limited)
    assert {c.request_key for c in limited} < {
        c.request_key for c in plan_calls(pack, REMOTE, Tables(tracks(20)), Scope(limit=15)).calls
    }


def test_a_missing_required_input_is_a_rejected_row(tmp_path: Path) -> None:
    pack = recall(tmp_path, inputs={"title": "string", "year": "integer"}, user="{{ title }} {{ year }}")
    plan = plan_calls(pack, REMOTE, Tables(tracks(2)))
    assert plan.calls == ()
    assert [(row["key"], row["reason"]) for row in plan.rejected] == [
        ("t-000", "input_missing"),
        ("t-001", "input_missing"),
    ]


def test_keys_change_with_template_schema_sampling_model_and_endpoint_only(tmp_path: Path) -> None:
    def key(pack: Pack, endpoint: Endpoint = REMOTE) -> str:
        return calls_of(pack, endpoint, 1)[0].request_key

    same = key(recall(tmp_path))
    assert key(recall(tmp_path, description="other words")) == same
    assert key(recall(tmp_path, version="1.0.1")) == same
    assert key(recall(tmp_path), replace(REMOTE, api_key="another", name="elsewhere")) == same
    body = calls_of(recall(tmp_path), REMOTE, 1)[0].request
    assert set(body) == {"model", "messages", "temperature", "max_tokens", "seed", "response_format"}
    others = {
        key(recall(tmp_path, user="{{ title }} {{ artist }} {{ year }} {{ tags }}!")),
        key(recall(tmp_path, temperature=0.1)),
        key(recall(tmp_path), replace(REMOTE, model="m2")),
        key(recall(tmp_path), replace(REMOTE, identity="http://other/v1 m")),
    }
    folder = write_pack(tmp_path, "recall", inputs={"title": "string"}, user="{{ title }}")
    plain = key(load_pack(folder))
    text = (folder / "prompt.j2").read_text(encoding="utf-8")
    for old, new in [
        ("caption: {type: string}", "caption: {type: string, maxLength: 9}"),
        ("required: [quote, text, facet]", "required: [text, quote, facet]"),
    ]:
        (folder / "prompt.j2").write_text(text.replace(old, new), encoding="utf-8")
        assert key(load_pack(folder)) != plain
    assert len(others | {same}) == 5


def test_a_request_made_fast_is_the_request_as_defined(tmp_path: Path) -> None:
    pack = recall(tmp_path, samples=2, temperature=0.25)
    reasoning = replace(REMOTE, dialect=choose_dialect("https://api.openai.com/v1", "o4-mini"), model="o4-mini")
    for endpoint in (REMOTE, reasoning):
        for call in calls_of(pack, endpoint):
            messages = call.request["messages"]
            body = request_body(
                endpoint.model, messages, schema_name=pack.id, schema=pack.output,
                sampling=pack.sampling.parameters(), sample_idx=call.sample_idx,
            )  # fmt: skip
            body = fit_body(body, endpoint.dialect)
            assert call.body.decode() == ordered_json(body)
            assert call.request_key == request_key(body, endpoint.identity, call.sample_idx)
    odd = [{"role": "user", "content": 'quotes " and \\ and \u2028 and 音 and \ud800'}]
    key, payload = RequestMaker(pack, REMOTE).make(odd, 1)
    body = request_body(
        "m", odd, schema_name=pack.id, schema=pack.output, sampling=pack.sampling.parameters(), sample_idx=1
    )
    assert key == request_key(body, REMOTE.identity, 1)
    assert json.loads(payload) == body
    assert b"\\ud800" in payload, "half a character travels as an escape"


def test_a_plan_goes_on_from_where_it_was(tmp_path: Path) -> None:
    pack = recall(tmp_path, samples=2)
    for scope in (Scope(), Scope(limit=7)):
        steps = list(plan_steps(pack, REMOTE, Tables(tracks(9)), scope))
        for start in (1, 3, 9):
            again = list(plan_steps(pack, REMOTE, Tables(tracks(9)), scope, start=start))
            assert again == steps[start:]


def test_shards_of_a_plan_are_the_plan_and_never_part_a_track(tmp_path: Path) -> None:
    pack = recall(tmp_path, samples=2)
    whole = {call.request_key: call.track_id for call in calls_of(pack, count=40)}
    parts = [
        plan_calls(pack, REMOTE, Tables(tracks(40)), Scope(shard=part)).calls
        for part in (Shard(1, 3), Shard(2, 3).part(1, 2), Shard(2, 3).part(2, 2), Shard(3, 3))
    ]
    assert sum(len(part) for part in parts) == len(whole)
    assert {call.request_key for part in parts for call in part} == set(whole)
    assert len(set().union(*({call.track_id for call in part} for part in parts))) == 40
    assert all(len({call.track_id for call in part}) * 2 == len(part) for part in parts)


def test_every_language_asked_for_is_a_call_and_a_pack_that_reads_only_answers_in_its_documents(tmp_path: Path) -> None:
    told = recall(tmp_path, inputs={"title": "string", "language": "string"}, user="{{ title }} {{ language }}")
    calls = plan_calls(told, REMOTE, Tables(tracks(2)), Scope(languages=("en", "zh"))).calls
    assert [(call.track_id, call.language) for call in calls] == [
        ("t-000", "en"), ("t-000", "zh"), ("t-001", "en"), ("t-001", "zh"),
    ]  # fmt: skip
    assert calls[1].request["messages"][1]["content"] == "Song 0 zh"
    reading = load_pack(write_pack(tmp_path))
    tables = Tables(tracks(1), documents({"d-a": PROSE}, language="de"), matches([("t-000", "d-a")]))
    (call,) = plan_calls(reading, REMOTE, tables, Scope(languages=("en", "zh"))).calls
    assert call.language == "de"


def test_counting_a_plan_renders_nothing(tmp_path: Path) -> None:
    pack = recall(tmp_path, samples=3)
    assert count_calls(pack, Tables(tracks(5)), Scope()) == 15
    assert count_calls(pack, Tables(tracks(5)), Scope(limit=4)) == 4


def test_a_document_is_cut_at_the_end_of_a_sentence() -> None:
    text = "".join(f"Sentence number {n} tells of drums. " for n in range(200))
    cut = cut_document(text)
    assert len(cut) <= DOCUMENT_CHARS
    assert text.startswith(cut)
    assert cut.endswith("drums.")
    assert cut_document("short") == "short"
    assert cut_document("word " * 1000).endswith("word")
    assert len(cut_document("x" * 5000)) == DOCUMENT_CHARS
    assert cut_document("慢板钢琴。" * 1000).endswith("。")


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTPS://Host.Example:443/v1/", "https://host.example/v1"),
        ("http://user:secret@h:8000/v1?key=1", "http://h:8000/v1"),
        ("http://[::1]:80/v1", "http://[::1]/v1"),
    ],
)
def test_one_server_has_one_identity(url: str, normal: str) -> None:
    assert normalise_base_url(url) == normal


def test_an_endpoint_comes_from_flags_settings_or_environment() -> None:
    settings = GenerationSettings(model="m")
    with pytest.raises(UsageError, match="--endpoint local"):
        resolve_endpoint(settings, local=False, environment={})
    assert (
        resolve_endpoint(settings, local=False, environment={"OPENAI_API_KEY": "sk-1"}).name
        == "https://api.openai.com/v1"
    )
    assert (
        resolve_endpoint(settings, local=False, environment={"OPENAI_BASE_URL": "http://h/v1/"}).name == "http://h/v1"
    )
    local = resolve_endpoint(settings, local=True, environment={"OPENAI_API_KEY": "sk-1"})
    assert local.is_local and local.resend_is_free and local.api_key is None
    assert "127.0.0.1" not in local.identity
    with pytest.raises(UsageError, match="--model"):
        resolve_endpoint(GenerationSettings(base_url="http://h"), local=False, environment={})
    for wrong in ("h:8000/v1", "ftp://h", "http://user:pw@h/v1"):
        with pytest.raises(UsageError) as caught:
            resolve_endpoint(GenerationSettings(base_url=wrong, model="m"), local=False, environment={})
        assert "pw" not in str(caught.value)
