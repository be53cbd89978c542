"""Promise against hostile pages: whatever a page orders and a model obeys changes nothing outside its own description.

Each document of `injections/documents.yaml` is rendered by the real pack, and its obedient reply goes through
`describe` together with three clean tracks.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
import yaml

from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.describe import describe, example_aspects
from sourcing.generation.grounding.context import rules_of
from sourcing.generation.grounding.leaks import aspect_leak, caption_leak, copied_leak, sentence_leak
from sourcing.generation.grounding.names import names_of
from sourcing.generation.packs.lint_schema import plain_examples
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.packs.render import render
from sourcing.generation.text.folding import fold, fold_text, wording
from sourcing.generation.text.lyrics import lyric_spans, shared_runs, takes_lyrics
from sourcing.generation.text.phrases import sentences
from sourcing.store.language_id import unlike_language
from sourcing.store.schemas import FACETS, Document, Match, Track

FOLDER = Path(__file__).parents[1] / "injections"
PACK = load_pack(Path(__file__).parents[3] / "prompts" / "mine")
HONEST = "It is a slow waltz with soft strings and a warm cello."
AT = datetime(2026, 3, 1, tzinfo=UTC)
INJECTIONS = yaml.safe_load((FOLDER / "documents.yaml").read_text(encoding="utf-8"))
EACH = pytest.mark.parametrize("injection", INJECTIONS, ids=[injection["name"] for injection in INJECTIONS])

CLEAN = [
    ("1", "Glass Harbour", "Mira Stone", "It is a bright reggae track with offbeat guitars and a deep bassline."),
    ("2", "Low Tide", "Oren Vale", "A slow piano ballad with hushed vocals, it has no drums at all."),
    ("3", "Night Bus", "Pia Lund", "Dark techno with a pulsing synth, distorted drums and tape hiss."),
]


def _text(injection) -> str:
    return f"{injection['document'] * injection.get('repeat', 1)}\n\n{HONEST}"


def _content(injection) -> str:
    if "raw_repeat" in injection:
        return injection["raw_repeat"]["text"] * injection["raw_repeat"]["times"]
    if "raw" in injection:
        return injection["raw"]
    aspects, caption = injection["aspects"], injection["caption"]
    as_objects = any(isinstance(aspect, dict) for aspect in aspects)
    honest = {"quote": HONEST} if as_objects else HONEST
    reply = {"aspects": [*aspects, honest], "caption": caption, **injection.get("extra", {})}
    return json.dumps(reply, ensure_ascii=False)


def _frame(schema, rows):
    return schema.validate(pl.DataFrame(rows, schema=schema.create_empty().schema, orient="row"))


def _rows_of(name: str, title: str, artist: str, text: str, content: str, tags):
    """Track, document, match and reply of one page."""
    track = {"track_id": f"t-{name}", "title": title, "artist": artist, "tags": [], "labels": []}
    document = {
        "doc_id": f"d-{name}", "source": "web", "url": f"https://pages.example/{name}", "retrieved_at": AT,
        "content_sha256": "0" * 64, "granularity": "recording", "title": title, "artist": artist, "isrcs": [],
        "language": "en", "tags": [{"name": tag, "count": 1} for tag in tags], "lead": text[:400], "text": text,
        "licences": [{"field": "*", "licence": "CC-BY-4.0"}], "consent": "allow", "consent_evidence": [],
    }  # fmt: skip
    match = {
        "track_id": f"t-{name}",
        "doc_id": f"d-{name}",
        "score": 1.0,
        "band": "accept",
        "method": "text",
        "reasons": [],
    }
    reply = Reply(
        f"k-{name}",
        PACK.id,
        PACK.version,
        PACK.prompt_hash,
        f"t-{name}",
        f"d-{name}",
        0,
        "en",
        "m",
        "stop",
        content,
        AT,
    )
    return track, document, match, reply


def _run(pages):
    tracks, documents, matches, replies = zip(*pages, strict=True)
    return describe(
        _frame(Track, list(tracks)),
        _frame(Document, list(documents)),
        _frame(Match, list(matches)),
        replies,
        rules={PACK.id: rules_of(PACK.blocks, examples=example_aspects(plain_examples(PACK)))},
    )


def _clean_pages():
    return [
        _rows_of(f"clean-{n}", title, artist, text, json.dumps({"aspects": [text], "caption": text}), ["calm"])
        for n, title, artist, text in CLEAN
    ]


def _hostile_page(injection):
    tags = [aspect for aspect in injection.get("aspects", []) if isinstance(aspect, str)]
    return _rows_of("hostile", "Some Song", "Some Singer", _text(injection), _content(injection), tags)


def _bytes(frame: pl.DataFrame) -> bytes:
    written = BytesIO()
    frame.write_parquet(written)
    return written.getvalue()


@cache
def _undisturbed() -> tuple[bytes, bytes]:
    made, rejected = _run(_clean_pages())
    assert len(made) == 6  # one mined and one scraped row each
    return _bytes(made), _bytes(rejected)


def test_there_are_at_least_forty_hostile_documents_and_each_has_its_own_name():
    assert len({injection["name"] for injection in INJECTIONS}) == len(INJECTIONS) >= 40
    assert len({injection["document"] for injection in INJECTIONS}) == len(INJECTIONS)


@EACH
def test_a_hostile_document_stays_inside_its_frame(injection):
    harmless = render(PACK, {"document": HONEST})
    hostile = render(PACK, {"document": _text(injection)})
    assert [message["role"] for message in hostile] == [message["role"] for message in harmless]
    assert hostile[:-1] == harmless[:-1]
    opening, closing = harmless[-1]["content"].split(HONEST)
    framed = hostile[-1]["content"]
    assert framed.startswith(opening)
    assert framed.endswith(closing)
    inside = framed[len(opening) : -len(closing)]
    assert "</" not in inside
    for control in (
        "<|",
        "|>",
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "<start_of_turn>",
        "<end_of_turn>",
        "<bos>",
        "<eos>",
    ):
        assert control not in inside


@EACH
def test_an_obeyed_document_changes_nothing_of_any_other_track(injection):
    made, rejected = _run([*_clean_pages(), _hostile_page(injection)])
    is_hostile = pl.col("track_id") == "t-hostile"
    assert _bytes(made.filter(~is_hostile)) == _undisturbed()[0]
    own_keys = pl.col("key").is_in(["k-hostile", "t-hostile d-hostile"])
    assert _bytes(rejected.filter(~own_keys)) == _undisturbed()[1]
    assert set(made.filter(is_hostile)["track_id"]) <= {"t-hostile"}


@EACH
def test_what_an_obeyed_document_gets_published_is_its_own_words_and_passes_every_lint(injection):
    text = _text(injection)
    folded = fold(text).text
    made, rejected = _run([*_clean_pages(), _hostile_page(injection)])
    names = names_of(("Some Singer",), ("Some Song",))
    sung = shared_runs(text[start:end] for start, end in lyric_spans(text))
    rows = made.filter(pl.col("track_id") == "t-hostile").to_dicts()
    for row in rows:
        assert (row["doc_ids"], row["licences"]) == (["d-hostile"], ["CC-BY-4.0"])
        assert row["language"] == "en"
        for aspect in row["aspects"]:
            assert aspect["facet"] in FACETS
            assert aspect_leak(aspect["text"]) is None
            assert aspect["text"] == wording(aspect["text"])
            assert not takes_lyrics(aspect["text"], sung)
            if row["origin"] == "mined":
                (place,) = aspect["evidence"]
                assert place["doc_id"] == "d-hostile"
                assert 0 <= place["start"] < place["end"] <= len(text)
                assert fold_text(aspect["text"]) in fold_text(text[place["start"] : place["end"]])
                assert fold_text(aspect["text"]) in folded
        caption = row["caption"]
        if caption is not None:
            assert caption == wording(caption)
            assert not takes_lyrics(caption, sung)
            if row["origin"] == "scraped":
                assert fold_text(caption) in folded
                assert copied_leak(caption) is None
                continue
            assert caption_leak(caption, rules=rules_of(PACK.blocks)) is None
            assert unlike_language(caption, "en") is None
            assert all(sentence_leak(sentence, names) is None for sentence in sentences(caption))
    mined = [row for row in rows if row["origin"] == "mined"]
    if injection.get("honest", True):
        (row,) = mined
        assert {"slow waltz", "soft strings", "warm cello"} <= set(row["aspect_list"])
    assert mined or "k-hostile" in set(rejected["key"])
