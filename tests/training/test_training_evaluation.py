"""Every metric against a stupid loop, chance against its formula, and a verdict that does not flatter."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.bootstrap import measure_all
from training.evaluation.report import as_record, table_rows, verdict
from training.evaluation.retrieval import evaluate_retrieval, first_ranks, gather_queries, metrics_of_ranks, rank_all
from training.evaluation.similarity import _precisions, evaluate_similarity


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def stupid_ranks(scores: np.ndarray) -> list[list[int]]:
    return [[sum(1 for other in row if other >= own) for own in row] for row in scores]


def stupid_metrics(ranks: list[int]) -> dict[str, float]:
    ordered = sorted(ranks)
    precision = 0.0
    for place, rank in enumerate(ordered, start=1):
        if rank <= 10:
            precision += place / rank
    return {
        "r_at_1": float(ordered[0] <= 1),
        "r_at_5": float(ordered[0] <= 5),
        "r_at_10": float(ordered[0] <= 10),
        "mrr": 1 / ordered[0],
        "map_at_10": precision / min(10, len(ordered)),
        "median_rank": float(ordered[0]),
    }


def test_ranks_and_metrics_equal_a_stupid_loop() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 12, (25, 30)).astype(float)  # few values: ties everywhere
    ranks = rank_all(scores)
    assert ranks.tolist() == stupid_ranks(scores)
    right = [sorted(random.choice(30, size=random.integers(1, 14), replace=False).tolist()) for _ in range(25)]
    padded = np.full((25, 14), np.inf)
    for query, answers in enumerate(right):
        padded[query, : len(answers)] = ranks[query, answers]
    figures = metrics_of_ranks(padded)
    for query, answers in enumerate(right):
        expected = stupid_metrics([int(ranks[query, answer]) for answer in answers])
        assert {name: values[query] for name, values in figures.items()} == pytest.approx(expected)


def test_ranks_start_at_one_and_a_tie_counts_against_the_model() -> None:
    assert rank_all(np.array([[0.9, 0.1, 0.5]])).tolist() == [[1, 3, 2]]
    assert rank_all(np.array([[0.5, 0.5, 0.5]])).tolist() == [[3, 3, 3]]


def test_equal_texts_are_one_query_and_all_their_tracks_are_right() -> None:
    queries = gather_queries([["Slow piano", "a"], ["slow  PIANO"], ["b", "b"]])
    assert queries.texts == ["Slow piano", "a", "b"]
    assert queries.tracks == [[0, 1], [0], [2]]


def test_both_directions_equal_a_stupid_loop() -> None:
    random = np.random.default_rng(1)
    queries = gather_queries([["a", "b"], ["b", "c"], ["d"], ["e", "a"], ["f"]])
    text, audio = unit(random.normal(size=(6, 4))), unit(random.normal(size=(5, 4)))
    figures = evaluate_retrieval(text, audio, queries, replicates=20)
    scores = text @ audio.T
    text_to_audio = [stupid_metrics([stupid_ranks(scores)[q][t] for t in queries.tracks[q]]) for q in range(6)]
    texts_of = [[q for q in range(6) if t in queries.tracks[q]] for t in range(5)]
    audio_to_text = [stupid_metrics([stupid_ranks(scores.T)[t][q] for q in texts_of[t]]) for t in range(5)]
    quick = first_ranks(scores, queries)
    assert [ranks.tolist() for ranks in quick] == [
        [row["median_rank"] for row in side] for side in (text_to_audio, audio_to_text)
    ]
    for direction, expected in (("text_to_audio", text_to_audio), ("audio_to_text", audio_to_text)):
        for name, figure in figures[direction].items():
            summary = np.median if name == "median_rank" else np.mean
            assert figure.value == pytest.approx(summary([row[name] for row in expected])), (direction, name)


def test_chance_is_what_the_formulas_say() -> None:
    random = np.random.default_rng(2)
    queries = gather_queries([[f"text {track}"] for track in range(40)])
    figures = evaluate_retrieval(unit(random.normal(size=(40, 8))), unit(random.normal(size=(40, 8))), queries)
    text_to_audio = figures["text_to_audio"]
    assert text_to_audio["mrr"].chance == pytest.approx(sum(1 / rank for rank in range(1, 41)) / 40, rel=0.05)
    assert text_to_audio["r_at_5"].chance == pytest.approx(5 / 40, rel=0.05)
    assert text_to_audio["median_rank"].chance == pytest.approx(20.5, rel=0.05)


def test_a_model_that_knows_nothing_is_within_chance_and_one_that_knows_is_good() -> None:
    random = np.random.default_rng(3)
    queries = gather_queries([[f"text {track}"] for track in range(60)])
    audio = unit(random.normal(size=(60, 16)))
    blind = evaluate_retrieval(unit(random.normal(size=(60, 16))), audio, queries, replicates=300)
    assert verdict(blind["text_to_audio"]) == "within chance"
    knowing = evaluate_retrieval(unit(audio + 0.25 * random.normal(size=(60, 16))), audio, queries, replicates=300)
    assert verdict(knowing["text_to_audio"]) == "good"
    mrr, rank = knowing["text_to_audio"]["mrr"], knowing["text_to_audio"]["median_rank"]
    assert mrr.low <= mrr.value <= mrr.high
    assert mrr.low > mrr.chance_high
    assert rank.high < rank.chance_low


def test_a_collapsed_model_gains_nothing_from_its_ties() -> None:
    queries = gather_queries([[f"text {track}"] for track in range(20)])
    same = np.tile([[1.0, 0.0]], (20, 1))
    text_to_audio = evaluate_retrieval(same, same, queries, replicates=50)["text_to_audio"]
    assert text_to_audio["median_rank"].value == 20
    assert not text_to_audio["median_rank"].clear_of_chance


def test_intervals_come_from_whole_tracks_not_from_single_queries() -> None:
    values = np.repeat([0.0, 1.0], 50)

    def score(_order: np.ndarray | None) -> dict[str, np.ndarray]:
        return {"x": values}

    by_query = measure_all(score, list(range(100)), 2)["x"]
    by_track = measure_all(score, [0] * 50 + [1] * 50, 2)["x"]
    assert by_query.high - by_query.low < 0.25
    assert (by_track.low, by_track.high) == (0.0, 1.0)


def test_equal_seeds_give_equal_intervals() -> None:
    queries = gather_queries([[f"text {track}"] for track in range(15)])
    audio = unit(np.random.default_rng(4).normal(size=(15, 4)))
    first, again = (as_record(evaluate_retrieval(audio, audio, queries, replicates=50), {}) for _ in range(2))
    assert first == again


def stupid_similarity(audio: np.ndarray, labels: list[set[str]], artists: list[str], k: int) -> tuple[float, float]:
    at_k, average = [], []
    for own in range(len(audio)):
        others = [o for o in range(len(audio)) if artists[o] != artists[own] and labels[o]]
        right = [bool(labels[o] & labels[own]) for o in others]
        if not labels[own] or not any(right) or all(right):
            continue
        ordered = sorted(zip((float(audio[own] @ audio[o]) for o in others), right, strict=True), key=lambda p: -p[0])
        hits = [hit for _, hit in ordered]
        depth = min(k, len(hits))
        at_k.append(sum(hits[:depth]) / depth)
        average.append(np.mean([sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]))
    return float(np.mean(at_k)), float(np.mean(average))


@pytest.mark.parametrize("k", [1, 3, 10])
def test_similarity_equals_a_stupid_loop(k: int) -> None:
    random = np.random.default_rng(5)
    audio = unit(random.normal(size=(14, 5)))
    labels = [set(random.choice(["a", "b", "c"], size=random.integers(0, 3), replace=False)) for _ in range(14)]
    artists = [f"artist {number // 2}" for number in range(14)]
    figures = evaluate_similarity(audio, labels, artists, k=k, replicates=10)
    assert figures is not None
    at_k, average = stupid_similarity(audio, labels, artists, k)
    assert figures[f"precision_at_{k}"].value == pytest.approx(at_k)
    assert figures["map"].value == pytest.approx(average)


def test_a_hit_by_the_same_artist_is_no_hit() -> None:
    audio = unit(np.array([[1.0, 0.0], [1.0, 0.01], [0.9, 0.4], [-1.0, 0.1]]))
    labels: list[set[str]] = [{"a"}, {"a"}, {"b"}, {"a"}]
    figures = evaluate_similarity(audio, labels, ["Ada", " ada", "Bo", "Cy"], k=1, replicates=10)
    assert figures is not None
    assert figures["precision_at_1"].value == 0.0  # each near twin is by the same artist


def test_a_tie_in_similarity_puts_the_wrong_neighbour_first() -> None:
    right, allowed = np.array([[True, False, False]]), np.array([[True, True, False]])
    figures = _precisions(np.array([[0.5, 0.5, 0.9]]), right, allowed, 1)
    assert figures["precision_at_1"].tolist() == [0.0]
    assert figures["map"].tolist() == [0.5]


def test_a_facet_of_one_value_tells_nothing() -> None:
    audio = unit(np.random.default_rng(6).normal(size=(4, 3)))
    assert evaluate_similarity(audio, [{"a"}] * 4, ["A", "B", "C", "D"]) is None
    assert evaluate_similarity(audio, [set(), set(), {"a"}, {"b"}], ["A", "B", "C", "C"]) is None


def test_the_table_names_each_number_with_interval_and_chance() -> None:
    queries = gather_queries([[f"text {track}"] for track in range(8)])
    audio = unit(np.random.default_rng(7).normal(size=(8, 4)))
    record = as_record(evaluate_retrieval(audio, audio, queries, replicates=20), {})
    rows = table_rows(record)
    assert len(rows) == 12
    assert rows[3][:3] == ("text→audio", "MRR", "1.000")
    assert "–" in rows[3][3]
    assert "(" in rows[3][4]
