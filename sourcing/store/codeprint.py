"""Fingerprint of the code that made a file: what is kept between runs counts only while the code and the libraries
below it are the same.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["code_and_libraries"]


def code_and_libraries(files: Iterable[Path], libraries: Iterable[str]) -> list[Any]:
    """Python version, digest of the files' contents, and versions of the distributions."""
    code = hashlib.sha256()
    for path in files:
        code.update(path.read_bytes() + b"\0")
    return [sys.version_info[:2], code.hexdigest(), {name: metadata.version(name) for name in libraries}]
