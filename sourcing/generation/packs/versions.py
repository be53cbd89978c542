"""Versions of a pack: a copy of its templates for each locked version, so that an earlier one can be run again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sourcing.errors import PromptError
from sourcing.generation.packs.pack import PROMPT_FILE, Pack, included_file
from sourcing.generation.packs.pack_files import find_pack, load_pack
from sourcing.nearest import nearest

__all__ = ["find_version", "keep_version", "kept_versions"]

_VERSIONS = "versions"


def keep_version(pack: Pack) -> None:
    """Copy the pack's template and includes to `versions/<version>/<id>/` in its folder, unless they are there."""
    target = pack.folder / _VERSIONS / pack.version / pack.id
    if (target / PROMPT_FILE).exists():
        return
    target.mkdir(parents=True, exist_ok=True)
    for name in pack.includes:
        copy = included_file(target, name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(included_file(pack.folder, name), copy)
    shutil.copyfile(pack.folder / PROMPT_FILE, target / PROMPT_FILE)


def kept_versions(folder: Path) -> dict[str, Path]:
    """Version → folder of its copy, in a pack's folder; oldest first."""
    paths = {path.parent.name: path for path in (folder / _VERSIONS).glob(f"*/{folder.name}")}
    return {version: paths[version] for version in sorted(paths, key=_order)}


def find_version(name: str, roots: Sequence[Path]) -> Pack:
    """The pack called `id` or `id@version`: today's, a hidden one of a later root, or the copy of a locked version.

    PromptError names the versions there are when it is not among them.
    """
    pack_id, _, version = name.partition("@")
    pack = find_pack(pack_id, roots)
    if version in ("", pack.version):
        return pack
    known = [pack.version]
    for folder in (root / pack_id for root in roots if (root / pack_id / PROMPT_FILE).exists()):
        for own_version, copy in [*kept_versions(folder).items(), ("", folder)]:
            own = load_pack(copy) if own_version in ("", version) else None
            if own is not None and own.version == version:
                return own
            known.append(own_version or (own.version if own else ""))
    known = sorted(set(known), key=_order)
    raise PromptError(
        f"prompt pack {name}", f"it has the versions {', '.join(known)}", nearest(version, known, "name one")
    )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))
