"""Comparisons: a reproduced hand calculation, intervals that hold what they promise, and the command as typed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import run_command, run_json

from sourcing.errors import UsageError
from sourcing.workbench.compare import compare, difference, smallest_difference
from sourcing.workbench.runs import Run, Subject, find_run, list_runs, read_run, save_run
from sourcing.workbench.trials import Outcome, Trial, Usage


def trial(name: str, aspects: int, unborne: int, caption: str | None = "A slow waltz.", **values: object) -> Trial:
    texts = [{"text": f"aspect {n}", "facet": "mood", "spans": []} for n in range(aspects)]
    rejected = [{"reason": "quote_not_found", "finding": "it is not there", "text": f"x{n}"} for n in range(unborne)]
    return Trial(name, aspects=texts, caption=caption, rejected=rejected, usage=Usage(10, 5, 0.002, 1.0), **values)  # type: ignore[arg-type]


def run_of(trials: list[Trial], *, pack: str = "mine@1.0.0", clusters: dict[str, str] | None = None) -> Run:
    subjects = [
        Subject(each.name, f"digest of {each.name}", (clusters or {}).get(each.name, each.name))
        for each in trials
        if each.sample == 0
    ]
    return Run(pack, "hash", "m", "server", "cases", "2026-01-01T00:00:00+00:00", subjects, trials)


def test_a_comparison_reproduces_what_a_hand_calculates() -> None:
    """Supported shares: A .5, 1, .75; B 1, 1, .5; differences .5, 0, -.25, their mean .25 / 3."""
    a = run_of([trial("one", 1, 1), trial("two", 4, 0), trial("three", 3, 1)])
    b = run_of([trial("one", 2, 0), trial("two", 4, 0), trial("three", 2, 2)], pack="mine@1.1.0")
    result = compare(a, b).differences["supported"]
    assert (result.a, result.b) == pytest.approx((2.25 / 3, 2.5 / 3))
    assert result.value == pytest.approx(0.25 / 3)
    assert (result.wins, result.losses, result.ties) == (1, 1, 1)
    assert (result.items, result.clusters) == (3, 3)
    assert result.low is not None
    assert result.high is not None
    assert -0.25 <= result.low < result.value < result.high <= 0.5, "resampled means lie among the differences"
    assert not result.is_sure


def test_fewer_rejections_are_a_win_and_longer_captions_are_neither() -> None:
    a = run_of([trial(f"i{n}", 2, 2 + n % 2, "Slow.") for n in range(8)])
    b = run_of([trial(f"i{n}", 2, n % 2, "Slow and calm.") for n in range(8)])
    differences = compare(a, b).differences
    assert differences["rejections"].value == -2
    assert differences["rejections"].wins == 8
    assert differences["caption_words"].value == 2


def test_items_of_one_artist_count_as_one() -> None:
    pairs = [(0.0, 1.0 if n < 10 else 0.0, "one" if n < 10 else f"c{n}") for n in range(20)]
    alone = difference([(a, b, f"c{n}") for n, (a, b, _) in enumerate(pairs)])
    together = difference(pairs)
    assert together.clusters == 11
    assert alone.is_sure
    assert not together.is_sure
    assert difference([(0.0, 1.0, "one"), (0.0, 1.0, "one")]).low is None, "one cluster shows nothing"


@pytest.mark.parametrize("clusters", [8, 40])
@pytest.mark.parametrize("kind", ["shares", "passes"])
def test_the_interval_of_equal_prompts_excludes_zero_in_five_of_a_hundred(clusters: int, kind: str) -> None:
    """Of 300 comparisons 15 are expected to; more than 26 or fewer than 4 come once in 400 (binomial)."""
    rng = np.random.default_rng(7)
    excluded = 0
    for seed in range(300):
        per_artist = rng.integers(1, 4, clusters)
        pairs = []
        for cluster, size in enumerate(per_artist):
            shift = rng.normal(0, 0.1) if kind == "shares" else 0.0
            for _ in range(size):
                if kind == "shares":
                    base = rng.normal(0.7, 0.2)
                    pairs.append((base, base + shift + rng.normal(0, 0.15), str(cluster)))
                else:
                    pairs.append((float(rng.random() < 0.6), float(rng.random() < 0.6), str(cluster)))
        excluded += difference(pairs, seed=seed).is_sure
    assert 4 <= excluded <= 26


def test_a_difference_of_the_promised_size_is_seen_four_times_in_five() -> None:
    rng = np.random.default_rng(3)
    deviation, clusters = 0.3, 40
    size = smallest_difference(clusters, deviation)
    assert size == pytest.approx(2.8016 * deviation / math.sqrt(clusters), rel=1e-3)
    seen = sum(
        difference([(0.0, each, str(n)) for n, each in enumerate(rng.normal(size, deviation, clusters))]).is_sure
        for _ in range(200)
    )
    assert 140 <= seen <= 180


def test_what_flipped_what_was_rejected_and_what_had_no_partner_is_told() -> None:
    a = run_of([trial("one", 1, 1), trial("two", 1, 0), trial("only a", 1, 0)])
    b = run_of([trial("one", 1, 0, outcome=Outcome.FAIL), trial("two", 1, 0)])
    result = compare(a, b)
    assert result.flipped == [("one", Outcome.PASS, Outcome.FAIL)]
    assert result.reasons == {"quote_not_found": (1, 0)}
    assert result.unpaired == ["only a"]
    changed = replace(b, subjects=[replace(each, digest="other") for each in b.subjects])
    with pytest.raises(UsageError, match="share no item"):
        compare(a, changed)


def test_near_duplicates_are_captions_alike_within_a_run() -> None:
    a = run_of([trial("one", 1, 0, "A slow waltz for harp."), trial("two", 1, 0, "A slow waltz for a harp.")])
    b = run_of([trial("one", 1, 0, "A slow waltz for harp."), trial("two", 1, 0, "Loud garage rock with organ.")])
    assert compare(a, b).differences["near_duplicates"].value == -1


def test_runs_are_kept_read_and_found(tmp_path: Path) -> None:
    first = save_run(tmp_path, run_of([trial("one", 1, 1, problems=["x"], outcome=Outcome.FAIL)]))
    second = save_run(tmp_path, run_of([trial("one", 1, 1)], pack="mine@1.1.0"))
    assert (first.id, second.id) == ("r1", "r2")
    runs = list_runs(tmp_path)
    assert runs == [first, second]
    assert find_run("mine", runs).id == "r2"
    assert find_run("mine@1.0.0", runs).id == "r1"
    assert find_run("mine:m", runs).id == "r2"
    with pytest.raises(UsageError, match="did you mean mine"):
        find_run("mien", runs)
    (tmp_path / "r3.json").write_text('{"format": 9}', encoding="utf-8")
    with pytest.raises(UsageError, match="no run of this program"):
        read_run(tmp_path / "r3.json")


def test_compare_as_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "workbench" / "runs"
    save_run(folder, run_of([trial(f"i{n}", 1, 1) for n in range(6)]))
    save_run(folder, run_of([trial(f"i{n}", 2, 0) for n in range(6)], pack="mine@1.1.0"))
    typed = ["--workspace", str(tmp_path), "prompts", "compare", "r1", "r2"]
    code, result = run_json(capsys, ["--json", *typed])
    assert code == 0
    assert result["measures"]["supported"]["value"] == 0.5
    assert result["measures"]["supported"]["sure"]
    assert result["usd_per_caption"]["a"] == pytest.approx(0.002)
    code, out, _ = run_command(capsys, typed)
    assert "B better" in out
    code, _, err = run_command(capsys, [*typed[:-1], "r9"])
    assert code == 2
    assert "r9" in err
