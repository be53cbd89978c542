"""The README.md of a model folder: valid for Hugging Face, no figure without its chance, and a person's words stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.config import Recipe, TrainConfig
from training.model.config import ModelConfig
from training.model_card import make_card, update_figures

RECORD: dict[str, Any] = {
    "dataset": "tones@0.1.0", "logical_hash": "ab12", "recipe": Recipe(ModelConfig(), TrainConfig()).as_dict(),
    "tracks": 40, "steps": 30, "epochs": 2.0, "direction": "symmetric", "exported": "last, step 30",
    "validation": {"mrr": 0.5, "r_at_10": 1.0, "mrr_audio_to_text": 0.4}, "validation_tracks": 4,
    "licence_census": {"descriptions": {"CC-BY-4.0": 12, "owner": 3}},
}  # fmt: skip
MEASURED = {
    "value": 0.91, "low": 0.8, "high": 0.95, "chance": 0.25, "chance_low": 0.2, "chance_high": 0.3,
    "clear_of_chance": True,
}  # fmt: skip
EVALUATION = {
    "split": "test", "dataset": "tones@0.1.0", "tracks": 8, "queries": 9, "verdict": "good",
    "metrics": {"text_to_audio": {"mrr": MEASURED}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text_model", "base_model"),
    [
        ("embedded", "sentence-transformers/all-MiniLM-L6-v2"),
        ("some-org/some-model", "some-org/some-model"),
        ("/a/local/folder", None),
    ],
)
def test_hugging_face_reads_the_header_and_no_local_path_is_in_it(text_model: str, base_model: str | None) -> None:
    from huggingface_hub import ModelCard

    text = make_card("tones", ModelConfig(text_model=text_model), RECORD)
    card = ModelCard(text)
    assert card.data.library_name == "sentence-transformers"
    assert card.data.base_model == base_model
    assert "/a/local" not in text


def test_the_card_names_version_licences_and_chance() -> None:
    card = make_card("tones", ModelConfig(), RECORD)
    assert "trust_remote_code=True" in card
    for row in (
        "| dataset version | tones@0.1.0 |",
        "| CC-BY-4.0 | 12 |",
        "| text→audio | MRR | 0.500 | 0.521 |",  # (1 + 1/2 + 1/3 + 1/4) / 4
        "| text→audio | R@10 | 1.000 | 1.000 |",
    ):
        assert row in card


def test_a_run_without_validation_shows_no_figure() -> None:
    card = make_card("tones", ModelConfig(), {**RECORD, "validation": {}, "validation_tracks": 0})
    assert "None yet" in card


def test_an_evaluation_takes_the_place_of_figures_and_of_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(make_card("tones", ModelConfig(), RECORD) + "\nWords of mine.\n", encoding="utf-8")
    before = path.read_text(encoding="utf-8")
    update_figures(tmp_path, EVALUATION)
    after = path.read_text(encoding="utf-8")
    row = "| text→audio | MRR | 0.910 | 0.800 – 0.950 | 0.250 (0.200 – 0.300) | yes |"
    assert row in after
    assert "0.521" not in after
    opening, end = "<!-- figures -->", "<!-- end of figures -->"
    assert after.partition(opening)[0] == before.partition(opening)[0]
    assert after.partition(end)[2] == before.partition(end)[2]
    update_figures(tmp_path, EVALUATION)
    assert path.read_text(encoding="utf-8") == after


def test_a_card_of_a_persons_own_and_a_folder_without_one_stay_as_they_are(tmp_path: Path) -> None:
    update_figures(tmp_path, EVALUATION)
    assert not list(tmp_path.iterdir())
    (tmp_path / "README.md").write_text("# Mine\n")
    update_figures(tmp_path, EVALUATION)
    assert (tmp_path / "README.md").read_text() == "# Mine\n"
