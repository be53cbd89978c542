"""crossmusim from Python: dataset versions and models; `python -m crossmusim` is the command line.

    from crossmusim import load_model, open_version

    tracks = open_version("mymusic@0.1.0").scan("tracks", split="train").collect()
    vectors = load_model("models/mymusic").encode(["sad solo piano", "song.flac"])

Importing it costs neither polars nor torch: each comes with the first call that needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sourcing import __version__

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from sourcing.store import DatasetVersion

__all__ = ["__version__", "load_model", "open_version"]


def open_version(spec: str, root: Path | str = "datasets") -> DatasetVersion:
    """Open the dataset version `name@X.Y.Z` below `root`, or the latest of `name`; DatasetError names those there are.

    `.scan(config, split)` gives its rows as a LazyFrame, `.manifest` what it was made of, `.verify()` checks its bytes.
    """
    from sourcing.store import open_version

    return open_version(spec, root)


def load_model(path: Path | str) -> SentenceTransformer:
    """Load the model of a folder that `crossmusim train` wrote; `.encode` takes words and paths of sound files.

    CheckpointError where the folder is missing or torn, UsageError where the extra `train` is not installed.
    """
    from sourcing.errors import missing_extra
    from training import load_model

    try:
        return load_model(path)
    except ModuleNotFoundError as error:
        raise missing_extra(error, "load_model") from None


if __name__ == "__main__":
    from sourcing.cli import main

    main()
