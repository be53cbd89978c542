"""The exception tree: what can go wrong, said so that the reader knows what to do.

    CrossmusimError
    ├── UsageError             exit 2   flags or settings that cannot be
    ├── InputError             exit 3   something handed to us is refused
    │   ├── CatalogueError              a catalogue that cannot be read
    │   ├── AudioError                  a sound file that cannot be used
    │   ├── PromptError                 a prompt pack that does not hold
    │   ├── DatasetError                a dataset version that is missing, taken or tampered with
    │   └── CheckpointError             a checkpoint that does not fit
    ├── UpstreamError          exit 4   a site or a model server that does not serve
    └── StoppedShort           exit 5   ended early, resumable: a budget, a limit, an interrupt, a held lock

Raise the leaf where the fact is known; only `sourcing.cli` catches, prints one sentence and exits.
"""

from __future__ import annotations

__all__ = [
    "AudioError",
    "CatalogueError",
    "CheckpointError",
    "CrossmusimError",
    "DatasetError",
    "InputError",
    "PromptError",
    "StoppedShort",
    "UpstreamError",
    "UsageError",
]

#: Packages of the extra `train`: `sourcing` does without them, and what cannot says how to get them.
_TRAIN_EXTRA = ("torch", "sentence_transformers", "transformers", "safetensors", "numpy", "soundfile", "soxr")


class CrossmusimError(Exception):
    """An error a user can act on: it names the thing, what was found there and the cure."""

    exit_code = 1

    def __init__(self, thing: str, found: str, cure: str) -> None:
        self.thing, self.found, self.cure = thing, found, cure
        super().__init__(thing, found, cure)

    def __str__(self) -> str:
        return f"{self.thing}: {self.found}; {self.cure}"


class UsageError(CrossmusimError):
    """Flags or settings that contradict each other or the world."""

    exit_code = 2


class InputError(CrossmusimError):
    """Something handed to us is refused."""

    exit_code = 3


class CatalogueError(InputError):
    """A catalogue that cannot be read at all; single bad rows are rejected rows instead."""


class AudioError(InputError):
    """A sound file that is missing, unreadable, silent or too short."""


class PromptError(InputError):
    """A prompt pack that does not load, lint or render."""


class DatasetError(InputError):
    """A dataset version that is missing, already there, or not what its manifest says."""


class CheckpointError(InputError):
    """A checkpoint that is missing, torn, or made from other data or another configuration."""


class UpstreamError(CrossmusimError):
    """A site or model server that is not there, or refuses to serve us."""

    exit_code = 4


class StoppedShort(CrossmusimError):
    """Work ended early and can be taken up again with the same command."""

    exit_code = 5


def missing_extra(error: ModuleNotFoundError, thing: str) -> Exception:
    """Return the error to raise where `thing` met a package that is not installed: of others, it is the one given."""
    package = (error.name or "").partition(".")[0]
    if package not in _TRAIN_EXTRA:
        return error
    return UsageError(thing, f"needs {package}, which is not installed", "run `pip install '.[train]'` in the checkout")
