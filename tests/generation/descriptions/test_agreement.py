"""Promises of agreement: who else says an aspect is counted for each, and contradictions keep their speakers."""

from __future__ import annotations

import json
import random
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from chatserver import chat_server, completion, json_reply
from genworld import PROSE, documents, matches, tracks, write_pack

from sourcing.cli import main
from sourcing.generation.calls import Reply
from sourcing.generation.descriptions.agreement import TargetReplies, score_agreement
from sourcing.generation.descriptions.disagreement import find_disagreements
from sourcing.generation.descriptions.rebuild import rebuild_descriptions
from sourcing.generation.journal.journal import Journal
from sourcing.generation.text.lexicon import MAX_ASPECT_WORDS, facet_of
from sourcing.generation.text.opposites import is_negated, opposed, sides_of, sides_of_stems
from sourcing.generation.text.phrases import aspect_key
from sourcing.generation.text.words import content_stems, data_sections
from sourcing.store import Description, Disagreement, Document, Match, Track, Workspace
from sourcing.store.schemas import FACETS

AT = datetime(2026, 11, 2, tzinfo=UTC)
DOCUMENTS = documents({"d": "x", "e": "x"}, source="pages").vstack(documents({"w": "x"}, source="wiki"))


def row(name: str, *aspects: str | tuple[str, str], **given: Any) -> dict[str, Any]:
    """A description; an aspect is a text, whose facet the lexicon knows, or (text, facet)."""
    pairs = [(each, facet_of(each)) if isinstance(each, str) else each for each in aspects]
    evidence = [{"doc_id": doc_id, "start": 0, "end": 1} for doc_id in given.get("doc_ids", [])]
    base = {
        "description_id": name,
        "track_id": "t",
        "origin": "catalogue",
        "language": "en",
        "aspect_list": [text for text, _ in pairs],
        "aspects": [{"text": text, "facet": facet, "evidence": evidence} for text, facet in pairs],
        "doc_ids": [],
        "licences": ["owner"],
        "created_at": AT,
    }
    return {**base, **given}


def mined(
    name: str, *aspects: str | tuple[str, str], sample: int = 0, model: str = "m", **given: Any
) -> dict[str, Any]:
    lineage = {"prompt": "mine@1.0.0", "prompt_hash": "h", "model": model, "sample_idx": sample, "request_key": name}
    return row(name, *aspects, **{"origin": "mined", "doc_ids": ["d"], **lineage, **given})


def prompted(name: str, *aspects: str | tuple[str, str], **given: Any) -> dict[str, Any]:
    return mined(name, *aspects, **{"origin": "prompted", "doc_ids": [], **given})


def scraped(name: str, *aspects: str | tuple[str, str], doc: str = "d", **given: Any) -> dict[str, Any]:
    return row(name, *aspects, origin="scraped", doc_ids=[doc], **given)


def reply(sample: int = 0, *, model: str = "m", track: str = "t", doc: str | None = "d", digest: str = "h") -> Reply:
    """An answer; what it said is in the descriptions, or nowhere."""
    return Reply("k", "mine", "1.0.0", digest, track, doc, sample, "en", model, "stop", "{}", AT)


def frame(rows: list[dict[str, Any]]) -> Any:
    made = pl.DataFrame(rows, schema=Description.create_empty().schema, orient="row")
    return Description.validate(made.sort("description_id"))


def shares(rows: list[dict[str, Any]], replies: list[Reply] = [], **options: Any) -> dict[tuple[str, str], Any]:  # noqa: B006
    """(description, aspect) → (samples, models, sources)."""
    scored, _ = score_agreement(frame(rows), DOCUMENTS, TargetReplies(replies), **options)
    none = {"samples": None, "models": None, "sources": None}
    return {
        (each["description_id"], aspect["text"]): tuple((aspect["agreement"] or none).values())
        for each in scored.to_dicts()
        for aspect in each["aspects"]
    }


def test_an_aspect_has_the_share_of_the_samples_that_say_it() -> None:
    rows = [mined("a", "slow", "piano", sample=0), mined("b", "slow tempo", sample=1), mined("c", "slow", sample=2)]
    found = shares(rows, [reply(0), reply(1), reply(2)])
    assert found["a", "slow"] == found["b", "slow tempo"] == (1.0, None, None)
    assert found["a", "piano"] == (1 / 3, None, None)


def test_a_description_s_confidence_is_the_mean_of_what_other_voices_say_of_its_aspects() -> None:
    rows = [mined("a", "slow", "piano", sample=0), mined("b", "slow tempo", sample=1), mined("c", "slow", sample=2)]
    scored, _ = score_agreement(frame(rows), DOCUMENTS, TargetReplies([reply(0), reply(1), reply(2)]))
    assert dict(scored.select("description_id", "confidence").iter_rows()) == {"a": 0.666667, "b": 1.0, "c": 1.0}
    alone, _ = score_agreement(frame([mined("a", "slow")]), DOCUMENTS, TargetReplies([reply()]))
    assert alone["confidence"].to_list() == [None]


def test_a_sample_that_gave_nothing_does_not_say_it() -> None:
    found = shares([mined("a", "slow", sample=0), mined("b", "slow", sample=1)], [reply(n) for n in range(5)])
    assert found["a", "slow"] == (2 / 5, None, None)


def test_a_single_sample_of_a_single_model_has_nobody_to_agree_with() -> None:
    scored, left_out = score_agreement(frame([mined("a", "slow")]), DOCUMENTS, TargetReplies([reply()]))
    assert scored["aspects"].to_list()[0][0]["agreement"] is None
    assert left_out.is_empty()


def test_an_aspect_has_the_share_of_the_models_asked_the_same() -> None:
    rows = [mined("a", "slow", "piano"), mined("b", "slow", model="n"), mined("x", "piano", model="o", doc_ids=["e"])]
    asked = [reply(), reply(model="n"), reply(model="silent"), reply(model="o", doc="e")]
    found = shares(rows, asked)
    assert found["a", "slow"] == (None, 2 / 3, None)
    assert found["a", "piano"] == (None, 1 / 3, None)
    assert found["x", "piano"] == (None, None, None)


def test_samples_of_another_prompt_document_or_language_are_not_compared() -> None:
    others = [mined("b", "slow", sample=1, prompt_hash="other"), mined("c", "slow", sample=2, doc_ids=["e"])]
    others.append(mined("z", "slow", sample=3, language="zh"))
    assert shares([mined("a", "slow", sample=0), *others])["a", "slow"] == (None, None, None)


def test_an_aspect_has_the_share_of_the_sources_that_speak_of_its_facet() -> None:
    rows = [
        row("catalogue", "slow", "jazz"),
        scraped("page", "slow", "harp"),
        scraped("page too", "slow", doc="e"),  # the same source once more
        mined("wiki", "fast", "harp", doc_ids=["w"]),
    ]
    found = shares(rows)
    assert found["catalogue", "slow"] == found["page", "slow"] == (None, None, 2 / 3)
    assert found["wiki", "fast"] == (None, None, 1 / 3)
    assert found["page", "harp"] == (None, None, 1.0)
    assert found["catalogue", "jazz"] == (None, None, None)


def test_a_model_without_a_document_is_no_source_but_is_held_against_one() -> None:
    rows = [row("catalogue", "slow"), prompted("p", "slow", "piano"), prompted("q", "fast", sample=1)]
    found = shares(rows)
    assert (found["p", "slow"][2], found["q", "fast"][2]) == (1.0, 0.0)
    assert found["catalogue", "slow"][2] is found["p", "piano"][2] is None


def test_a_source_in_another_language_is_not_held_to_disagree() -> None:
    rows = [row("catalogue", "slow", language="en-GB"), scraped("w", ("慢板", "tempo_rhythm"), doc="w", language="zh")]
    assert shares(rows)["catalogue", "slow"][2] is None
    rows.append(scraped("d", "fast", language="und"))
    assert shares(rows)["catalogue", "slow"][2] == 1 / 2


@pytest.mark.parametrize(
    ("said", "facet", "wanted", "yes"),
    [
        ("soft female vocals", "vocal", "female vocals", True),
        ("female vocals", "vocal", "soft female vocals", False),
        ("vocals, soft and female", "vocal", "soft female vocals", True),
        ("acoustic guitars", "instrument", "acoustic guitar", True),
        ("acoustic guitar", "instrument", "guitar", True),
        ("acoustic guitar", "production", "guitar", False),
        ("bass drum", "instrument", "bass", False),
        ("rock opera", "genre", "rock", False),
        ("no female vocals", "vocal", "vocals", False),
        ("no vocals", "vocal", "without vocals", False),
        ("low energy", "mood", "energy", False),
        ("a long and loud and dark and warm and wet and raw guitar", "instrument", "guitar", False),
    ],
)
def test_a_phrase_says_another_only_when_it_states_no_less(said: str, facet: str, wanted: str, yes: bool) -> None:
    found = shares([mined("a", (wanted, facet_of(wanted))), mined("b", (said, facet), sample=1)])
    assert found["a", wanted] == (1.0 if yes else 0.5, None, None)


def _says(said: str, facet: str, wanted: str, wanted_facet: str) -> bool:
    """The definition, word for word."""
    if aspect_key(said) == aspect_key(wanted):
        return True
    more, less = content_stems(said), content_stems(wanted)
    if not less or facet != wanted_facet or is_negated(said) or len(set(more)) > MAX_ASPECT_WORDS:
        return False
    if not set(less) < set(more) or less[-1] != more[-1]:
        return False
    left = tuple(stem for stem in more if stem in less)
    return not opposed(sides_of_stems(tuple(more), facet), sides_of_stems(left, facet))


def _stupid_shares(rows: list[dict[str, Any]], replies: list[Reply]) -> dict[tuple[str, str], Any]:
    """Every aspect against every aspect of every description."""
    source_of = dict(DOCUMENTS.select("doc_id", "source").iter_rows())

    def sources(each: dict[str, Any]) -> list[str]:
        return ["catalogue"] if each["origin"] == "catalogue" else [source_of[doc_id] for doc_id in each["doc_ids"]]

    def language(each: dict[str, Any]) -> str:
        return {"und": "en"}.get(each["language"], each["language"])

    def target(each: dict[str, Any]) -> Any:
        return each["track_id"], each["doc_ids"], each["prompt_hash"], each["language"]

    found = {}
    for own in rows:
        for aspect in own["aspects"]:
            text, facet = aspect["text"], aspect["facet"]
            saying, speakers, voices, asked = set(), set(sources(own)), set(), set()
            for other in (each for each in rows if each["track_id"] == own["track_id"]):
                same = own["model"] and other["model"] and target(own) == target(other)
                for each in other["aspects"]:
                    asked |= {(other["model"], other["sample_idx"])} if same else set()
                    if each["facet"] == facet and language(other) == language(own):
                        speakers.update(sources(other))
                    if _says(each["text"], each["facet"], text, facet):
                        saying.update(sources(other))
                        voices |= {(other["model"], other["sample_idx"])} if same else set()
            for each in replies:
                doc_ids = [each.doc_id] if each.doc_id else []
                if own["model"] and (each.track_id, doc_ids, each.prompt_hash, each.language) == target(own):
                    asked.add((each.model, each.sample_idx))
            mine = {sample for model, sample in asked if model == own["model"]}
            agreed = {sample for model, sample in voices if model == own["model"]}
            models = {model for model, _ in asked}
            others = (speakers | saying) - set(sources(own))
            found[own["description_id"], text] = (
                len(agreed) / len(mine) if len(mine) > 1 else None,
                len({model for model, _ in voices}) / len(models) if len(models) > 1 else None,
                len(saying) / len(speakers | saying) if others else None,
            )
    return found


@pytest.mark.parametrize("seed", range(8))
def test_the_index_of_forms_counts_what_a_stupid_loop_counts(seed: int) -> None:
    draw = random.Random(seed)
    heads = ["guitar", "drums", "vocals", "rock", "tempo", "energy", "piano", "bass"]
    words = ["soft", "low", "bass", "slow", "fast", "female", "no", "rock", "acoustic", "and", "guitar", "very"]

    def aspect() -> tuple[str, str]:
        text = " ".join([*draw.choices(words, k=draw.randrange(4)), draw.choice(heads)])
        return text, facet_of(text) if draw.random() < 0.8 else draw.choice(FACETS)

    rows, replies = [], []
    for number in range(120):
        aspects = {text: (text, facet) for text, facet in (aspect() for _ in range(draw.randrange(1, 6)))}.values()
        common = {"track_id": draw.choice("tu"), "language": draw.choice(["en", "en", "zh", "und"])}
        kind = draw.choice([row, scraped, mined, mined, mined, prompted, prompted])
        if kind in (mined, prompted):
            common |= {"model": draw.choice("mno"), "sample": draw.randrange(5), "prompt_hash": draw.choice("hhhg")}
        if kind in (scraped, mined):
            common["doc_ids"] = [draw.choice("dew")]
        made = {"origin": "scraped", **common} if kind is scraped else common
        rows.append((row if kind is scraped else kind)(f"{number:02}", *aspects, **made))
    for model, sample in ((model, sample) for model in "mnop" for sample in range(5)):
        for doc in ("d", "w", None):
            if draw.random() < 0.7:
                replies.append(reply(sample, model=model, doc=doc, track=draw.choice("tu"), digest=draw.choice("hg")))
    full = [{**dict.fromkeys(Description.column_names()), **each} for each in rows]
    expected = _stupid_shares(full, replies)
    assert shares(rows, replies) == expected
    assert len({share for triple in expected.values() for share in triple}) > 6  # the draw reached more than the edges


FIVE = [
    mined("a", "slow", "tape hiss", sample=0, caption="A slow piece. Tape hiss all over it."),
    mined("b", "slow", sample=1, caption="A slow piece."),
    mined("c", "harp", sample=2),
    mined("e", "gong", sample=3, caption="It is quiet."),
    mined("f", "slow", sample=4),
]
ASKED = [reply(sample) for sample in range(5)]


def test_without_a_threshold_everything_stays() -> None:
    scored, left_out = score_agreement(frame(FIVE), DOCUMENTS, TargetReplies(ASKED))
    plain = [(each["description_id"], each["aspect_list"], each["caption"]) for each in scored.to_dicts()]
    assert plain == [(each["description_id"], each["aspect_list"], each.get("caption")) for each in FIVE]
    assert left_out.is_empty()


def test_below_the_threshold_aspects_captions_and_empty_descriptions_are_rejected_rows() -> None:
    kept, left_out = score_agreement(frame(FIVE), DOCUMENTS, TargetReplies(ASKED), min_agreement=0.4)
    assert {each["description_id"]: (each["aspect_list"], each["caption"]) for each in kept.to_dicts()} == {
        "a": (["slow"], None),  # its caption states the hiss
        "b": (["slow"], "A slow piece."),
        "e": ([], "It is quiet."),  # no aspect left, but a caption that states none of them
        "f": (["slow"], None),
    }
    assert set(left_out["reason"]) == {"agreement_low"}
    findings = [(key, finding.partition(";")[0]) for key, finding in left_out.select("key", "finding").iter_rows()]
    assert findings == [
        ("a", "'tape hiss' is said by 1 of 5 samples"),
        ("a", "the caption states 'tape hiss', said by 1 of 5 samples"),
        ("c", "'harp' is said by 1 of 5 samples"),
        ("c", "nothing is left of the description: no aspect of it is said by enough"),
        ("e", "'gong' is said by 1 of 5 samples"),
    ]
    assert all("[generation] min_agreement is 0.4" in finding for finding in left_out["finding"])
    assert json.loads(left_out["row"][0])["track_id"] == "t"


def test_a_share_equal_to_the_threshold_is_enough_and_models_count_too() -> None:
    rows = [mined("a", "slow", "harp"), mined("b", "slow", model="n")]
    kept, left_out = score_agreement(frame(rows), DOCUMENTS, TargetReplies(), min_agreement=0.5)
    assert (kept["aspect_list"].to_list(), left_out.height) == ([["slow", "harp"], ["slow"]], 0)
    kept, left_out = score_agreement(frame(rows), DOCUMENTS, TargetReplies(), min_agreement=0.51)
    assert kept["aspect_list"].to_list() == [["slow"], ["slow"]]
    assert left_out["finding"][0].startswith("'harp' is said by 1 of 2 models;")


def test_a_caption_made_of_the_words_that_are_left_states_nothing_that_is_lost() -> None:
    caption = "A warm guitar and a soft piano."
    rows = [
        mined("a", "warm guitar", "soft piano", "soft guitar", sample=0, caption=caption),
        mined("b", "warm guitar", "soft piano", sample=1),
    ]
    kept, left_out = score_agreement(frame(rows), DOCUMENTS, TargetReplies(), min_agreement=1.0)
    assert (kept["aspect_list"].to_list()[0], kept["caption"][0]) == (["warm guitar", "soft piano"], caption)
    assert left_out.height == 1


def test_what_only_sources_disagree_about_is_never_left_out() -> None:
    rows = [row("catalogue", "slow"), scraped("d", "fast"), scraped("w", "jazz", doc="w")]
    kept, left_out = score_agreement(frame(rows), DOCUMENTS, TargetReplies(), min_agreement=1.0)
    assert (kept.height, left_out.height) == (3, 0)


def test_scoring_twice_changes_nothing() -> None:
    once, _ = score_agreement(frame(FIVE), DOCUMENTS, TargetReplies(ASKED))
    twice, _ = score_agreement(once, DOCUMENTS, TargetReplies(ASKED))
    assert once.equals(twice)


def test_no_descriptions_give_no_scores_and_no_disagreements() -> None:
    scored, left_out = score_agreement(frame([]), DOCUMENTS, TargetReplies())
    assert (scored.height, left_out.height, find_disagreements(frame([]), DOCUMENTS).height) == (0, 0, 0)


def test_opposites_are_kept_with_all_who_said_them() -> None:
    rows = [
        row("catalogue", "slow", "calm"),
        scraped("wiki", "slow, heavy groove", "fast drums", doc="w"),
        mined("mined", ("fast", "tempo_rhythm"), sample=2),
        mined("other track", ("fast", "tempo_rhythm"), track_id="u"),
    ]
    (found,) = find_disagreements(frame(rows), DOCUMENTS).to_dicts()
    assert (found["track_id"], found["facet"], found["opposites"]) == ("t", "tempo_rhythm", "slow / fast")
    assert [(each["side"], each["text"], each["description_id"]) for each in found["said"]] == [
        ("slow", "slow", "catalogue"),
        ("slow", "slow, heavy groove", "wiki"),
        ("fast", "fast", "mined"),
    ]
    assert [each["sources"] for each in found["said"]] == [["catalogue"], ["wiki"], ["pages"]]
    assert (found["said"][2]["model"], found["said"][2]["sample_idx"]) == ("m", 2)


@pytest.mark.parametrize(
    ("one", "other", "facets"),
    [
        ("instrumental", "female vocals", ["vocal"]),
        ("no vocals", "soft male voice", ["vocal"]),
        ("female vocals", "male singer", ["vocal"]),
        ("sad", "joyful", ["mood"]),
        ("low energy", "energetic", ["mood"]),
        ("minor key", "major key", ["harmony"]),
        ("女声", "instrumental", ["vocal"]),
        ("gloomy", "cheerful", ["mood"]),
        ("gloomy", "sunny", ["mood"]),
        ("sad", "not happy", []),
        ("instrumental", "backing vocals", []),
        ("instrumental break", "female vocals", []),
        ("dark synths", "bright", []),
        ("slow build", "slow", []),
        ("piano", "guitar", []),
    ],
)
def test_the_word_list_tells_what_contradicts(one: str, other: str, facets: list[str]) -> None:
    facet = {"女声": "vocal"}.get(one, facet_of(one))
    rows = [row("catalogue", (one, facet)), scraped("d", other)]
    assert find_disagreements(frame(rows), DOCUMENTS)["facet"].to_list() == facets


def test_a_description_of_both_sides_contradicts_nobody() -> None:
    both = scraped("d", ("a slow verse", "tempo_rhythm"), ("a fast chorus", "tempo_rhythm"))
    phrase = scraped("e", ("slow, then fast", "tempo_rhythm"), doc="e")
    assert find_disagreements(frame([row("catalogue", "slow"), both, phrase]), DOCUMENTS).is_empty()


def test_every_term_of_the_opposites_is_on_the_side_that_lists_it() -> None:
    sections = data_sections("opposites")
    assert not sections.pop("")
    for facet, lines in sections.items():
        assert facet in FACETS
        for line in lines:
            sides = [[term.strip() for term in side.split(",")] for side in line.split("|")]
            names = [side[0].removeprefix("=") for side in sides]
            assert len(sides) > 1
            for name, terms in zip(names, sides, strict=True):
                for term in (each.removeprefix("=") for each in terms):
                    assert set(content_stems(term)) - {"no", "without"}, term
                    places = [side.name for side in sides_of(term, facet) if side.opposites.name == " / ".join(names)]
                    assert places == [name], term


def test_a_run_of_several_samples_writes_shares_disagreements_and_what_too_few_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*quotes: str) -> Any:
        aspects = [{"quote": quote, "text": quote, "facet": facet_of(quote)} for quote in quotes]
        return json_reply(
            completion(json.dumps({"aspects": aspects, "caption": ""}))
        )  # from "test-model", asked as "m"

    by_seed = {3: said("slow solo piano", "warm strings"), 4: said("slow solo piano"), 5: said("calm"), 6: said()}
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    workspace = Workspace(tmp_path)
    workspace.write(Track, tracks(1, tags=["aggressive", "solo piano"]))
    workspace.write(Document, documents({"d": PROSE}))
    workspace.write(Match, matches([("t-000", "d")]))
    prompts = tmp_path / "prompts"
    write_pack(prompts, "quartet", samples=4)
    with chat_server(lambda body, asked: by_seed[body["seed"]]) as server:
        typed = ["--base-url", f"{server.url}/v1", "--model", "m"]
        try:
            main(["--workspace", str(tmp_path), "--json", "generate", "run", "quartet", *typed])
        finally:
            signal.signal(signal.SIGTERM, before)
    result = json.loads(capsys.readouterr().out)
    assert (result["descriptions"], result["disagreements"]) == ({"catalogue": 1, "mined": 3}, 1)
    found = {
        (each["origin"], each["sample_idx"], aspect["text"]): tuple((aspect["agreement"] or {}).values())
        for each in workspace.read(Description).to_dicts()
        for aspect in each["aspects"]
    }
    assert found == {
        ("catalogue", None, "aggressive"): (None, None, 1 / 2),
        ("catalogue", None, "solo piano"): (None, None, 1.0),
        ("mined", 0, "slow solo piano"): (1 / 2, None, 1 / 2),
        ("mined", 0, "warm strings"): (1 / 4, None, 1 / 2),
        ("mined", 1, "slow solo piano"): (1 / 2, None, 1 / 2),
        ("mined", 2, "calm"): (1 / 4, None, 1 / 2),
    }
    (row,) = workspace.read(Disagreement).to_dicts()
    assert (row["opposites"], [each["text"] for each in row["said"]]) == ("calm / aggressive", ["calm", "aggressive"])

    with Journal.read(workspace.generation_dir) as journal:
        told = rebuild_descriptions(workspace, journal, [prompts], min_agreement=0.5)
        table = workspace.table_path(Description).read_bytes()
        assert rebuild_descriptions(workspace, journal, [prompts], min_agreement=0.5) == told
    assert workspace.table_path(Description).read_bytes() == table
    assert (told["descriptions"], told["disagreements"]) == ({"catalogue": 1, "mined": 2}, 1)
    assert [each["text"] for each in workspace.read(Disagreement)["said"].to_list()[0]] == ["calm", "aggressive"]
    low = workspace.read_rejected().filter(pl.col("reason") == "agreement_low")
    assert sorted(finding.partition(";")[0] for finding in low["finding"]) == [
        "'calm' is said by 1 of 4 samples",
        "'warm strings' is said by 1 of 4 samples",
        "nothing is left of the description: no aspect of it is said by enough",
    ]
