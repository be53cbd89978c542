"""The commands train, evaluate, embed and search: one JSON object each, one sentence for each mistake."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from tiny_models import write_text_model
from training_rows import SMALL, publish_tones

from sourcing.cli import main
from sourcing.store import Track, Workspace
from sourcing.store.versions import DatasetVersion
from sourcing.store.workspace import write_json


class Home(NamedTuple):
    """A workspace with a catalogue, a published version and a trained, evaluated and indexed model."""

    workspace: Path
    root: Path
    version: DatasetVersion
    text_model: Path
    results: dict[str, dict[str, Any]]

    def words(self, *words: object) -> list[str]:
        return ["--workspace", str(self.workspace), "--json", *map(str, words)]

    def train_words(self, name: str = "tones", **settings: object) -> list[str]:
        changed = {**SMALL, **settings}
        flags = [word for key, value in changed.items() for word in ("--set", f"{key}={value}")]
        return self.words("train", name, "--root", self.root, "--text-model", self.text_model, *flags)


def ask(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict[str, Any]:
    capsys.readouterr()
    main(words)
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def ask_in_vain(capsys: pytest.CaptureFixture[str], words: list[str]) -> tuple[int, str]:
    """Exit code, and the one sentence printed."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(words)
    result = json.loads(capsys.readouterr().out)
    assert isinstance(ended.value.code, int)
    return ended.value.code, result["error"]["message"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("a home with spaces")
    version, audio_root = publish_tones(folder)
    workspace = Workspace(folder / "workspace")
    workspace.write(Track, version.scan("tracks").collect())
    write_json(workspace.root / "catalogue.json", {"audio_root": str(audio_root)})
    made = Home(workspace.root, folder / "datasets", version, write_text_model(folder / "text"), {})
    model = workspace.models_dir / "tones"
    command = [sys.executable, "-P", "-m", "sourcing.cli", *made.train_words()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made.results["train"] = json.loads(done.stdout)
    for words in (["evaluate", model, "tones", "--root", made.root], ["embed", model]):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            main(made.words(*words))
        made.results[str(words[0])] = json.loads(out.getvalue())
    return made


def test_train_tells_what_it_made(home: Home) -> None:
    result = home.results["train"]
    assert Path(result["model"]) == home.workspace / "models" / "tones"
    assert (result["dataset"], result["rejected"]) == ("tones@0.1.0", [])
    assert result["steps"] == -(-2 * result["tracks"] // 4)
    assert {"epochs", "train_loss", "validation", "seconds", "tracks", "direction"} <= result.keys()
    assert (home.workspace / "models" / "tones" / "metrics.jsonl").exists()


def test_evaluate_puts_each_number_beside_its_chance_and_keeps_the_record(home: Home) -> None:
    result = home.results["evaluate"]
    assert (result["split"], result["dataset"]) == ("test", "tones@0.1.0")
    assert result["tracks"] >= 2
    for direction in ("text_to_audio", "audio_to_text"):
        assert set(result["metrics"][direction]) == {"r_at_1", "r_at_5", "r_at_10", "mrr", "map_at_10", "median_rank"}
        for figure in result["metrics"][direction].values():
            assert figure["low"] <= figure["high"]
            assert figure["chance_low"] - 1e-9 <= figure["chance"] <= figure["chance_high"] + 1e-9
            assert isinstance(figure["clear_of_chance"], bool)
    assert result["verdict"] in ("good", "within chance")
    assert json.loads((home.workspace / "models" / "tones" / "evaluation.json").read_text()) == result
    card = (home.workspace / "models" / "tones" / "README.md").read_text()
    assert f"Split test of `tones@0.1.0`: {result['tracks']} tracks" in card
    assert "| owner | 24 |" in card


def test_evaluate_measures_the_labels_it_is_given(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words = home.words("evaluate", home.results["train"]["model"], "tones", "--root", home.root, "--split", "train")
    result = ask(capsys, [*words, "--label", "pitch", "--label", "colour"])
    assert set(result["metrics"]["similarity"]["pitch"]) == {"precision_at_10", "map"}
    assert result["skipped"] == ["colour"]


def test_embed_covers_the_catalogue(home: Home) -> None:
    assert home.results["embed"]["tracks"] == 24
    assert home.results["embed"]["rejected"] == []


def test_search_by_words_finds_the_model_by_itself(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    result = ask(capsys, home.words("search", "bright bells", "-k", 4))
    assert result["query"] == "bright bells"
    assert len(result["hits"]) == 4
    assert set(result["hits"][0]) == {"track_id", "title", "artist", "score"}
    scores = [hit["score"] for hit in result["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_search_by_a_track_leaves_that_track_out(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    result = ask(capsys, home.words("search", "--like", "t03-1", "-k", 23))
    assert result["like"] == "t03-1"
    assert "t03-1" not in {hit["track_id"] for hit in result["hits"]}
    assert len(result["hits"]) == 23


def test_a_person_gets_tables(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    main([word for word in home.words("search", "--like", "t03-1", "-k", 2) if word != "--json"])
    out = capsys.readouterr().out
    assert "score" in out
    assert "Artist" in out
    model = home.results["train"]["model"]
    main([word for word in home.words("evaluate", model, "tones", "--root", home.root) if word != "--json"])
    out = capsys.readouterr().out
    assert "median rank" in out
    assert "verdict: " in out


def test_the_same_command_again_trains_nothing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, home.train_words()) == home.results["train"]


def test_a_checkpoint_from_another_dataset_is_refused_by_name(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    publish_tones(home.root.parent, name="others", note=", remastered")
    words = [*home.train_words("others"), "--out", home.results["train"]["model"]]
    code, message = ask_in_vain(capsys, words)
    assert code == 3
    assert "tones@0.1.0" in message
    assert "others@0.1.0" in message
    assert "--out" in message


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["train", "nothing"], 3, "dataset nothing"),
        (["train", "tones", "--recipe", "large"], 2, "demo, paper-start, small"),
        (["train", "tones", "--set", "learning_rat=1"], 2, "no such key"),
        (["train", "tones", "--recipe", "demo"], 3, "it was begun with model.conv_ndim = 4, now it is 8"),
        (["train", "tones", "--text-model", "./nowhere", "--out", "elsewhere"], 2, "nowhere"),
        (["train", "tones", "--resume", "--out", "elsewhere"], 2, "no unfinished run"),
        (["evaluate", "nowhere", "tones"], 3, "no such model folder"),
        (["embed", "nowhere"], 3, "no such model folder"),
        (["search"], 2, "neither words nor --like"),
        (["search", "a", "--like", "b"], 2, "both words and --like"),
        (["search", "--like", "t03-9"], 3, "did you mean"),
        (["search", " "], 3, "empty"),
        (["search", "a", "--index", "nowhere"], 3, "no index in it"),
    ],
)
def test_a_mistake_ends_in_one_sentence(
    home: Home,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    root = ["--root", home.root] if words[0] in ("train", "evaluate") else []
    exit_code, message = ask_in_vain(capsys, home.words(*words, *root))
    assert exit_code == code
    assert says in message
    assert "\n" not in message


def test_a_tampered_version_is_not_trained_on(home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    version, audio_root = publish_tones(tmp_path, artists=8)
    path = version.files("descriptions", "train")[0]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    words = home.words("train", "tones", "--root", tmp_path / "datasets", "--audio-root", audio_root)
    code, message = ask_in_vain(capsys, words)
    assert code == 3
    assert "tones@0.1.0" in message


def test_without_a_catalogue_the_audio_folder_must_be_named(
    home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--workspace", str(tmp_path), "--json", "train", "tones", "--root", str(home.root)]
    code, message = ask_in_vain(capsys, words)
    assert code == 2
    assert "--audio-root" in message


@pytest.mark.e2e
@pytest.mark.parametrize("epochs", [6, pytest.param(25, marks=pytest.mark.proof)])
def test_training_killed_dead_ends_with_the_weights_of_an_undisturbed_run(home: Home, epochs: int) -> None:
    from training.model.weights import load_dual_encoder

    straight, killed = (home.workspace / "models" / f"{name}-{epochs}" for name in ("straight", "killed"))
    command = [sys.executable, "-P", "-m", "sourcing.cli", *home.train_words(epochs=epochs, checkpoint_every_steps=7)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--out", straight], capture_output=True, check=True, env=env)

    process = subprocess.Popen(
        [*command, "--out", killed], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    )
    checkpoints = killed.with_name(f"{killed.name}.run") / "checkpoints"
    while process.poll() is None and not list(checkpoints.glob("step-*.json")):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not killed.exists()

    subprocess.run([*command, "--out", killed], capture_output=True, check=True, env=env)
    first, second = load_dual_encoder(straight).state_dict(), load_dual_encoder(killed).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
