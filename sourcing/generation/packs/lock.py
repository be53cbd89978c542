"""The lock of a folder of prompt packs: the hash of each version, so that a changed template needs a new one."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from sourcing.errors import PromptError
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.pack_files import load_pack, pack_folders, read_pack_file
from sourcing.generation.packs.versions import keep_version
from sourcing.store.workspace import atomic_path

__all__ = ["LOCK_FILE", "check_lock", "draft_name", "lock_packs", "read_lock"]
LOCK_FILE = "prompts.lock"


def read_lock(root: Path) -> dict[str, str]:
    """`id@version` → prompt hash, of one folder of packs; empty when it has no lock."""
    path = root / LOCK_FILE
    if not path.exists():
        return {}
    text = read_pack_file(path)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise PromptError(str(path), f"not TOML ({error})", "restore it from version control") from error
    return {name: str(value) for name, value in values.items()}


def draft_name(pack: Pack) -> str:
    """The pack's name, with `-draft` where its version was locked with another hash: a template being worked on."""
    locked = read_lock(pack.folder.parent).get(pack.name, pack.prompt_hash)
    return pack.name if locked == pack.prompt_hash else f"{pack.name}-draft"


def check_lock(pack: Pack) -> None:
    """PromptError when the pack's version was locked with another hash; a version not yet locked passes."""
    hash_in_lock = read_lock(pack.folder.parent).get(pack.name)
    if hash_in_lock is not None and hash_in_lock != pack.prompt_hash:
        raise PromptError(
            f"prompt pack {pack.name}",
            "its templates, schema or sampling changed under a locked version",
            "bump `version` in its front matter and run `crossmusim prompts lock`",
        )


def lock_packs(root: Path, *, only: Sequence[str] | None = None) -> list[str]:
    """Add the versions not locked yet to the folder's lock, sorted; returns them. Locked lines never change.

    A copy of each version is kept in its pack, see `versions`.
    """
    hashes = read_lock(root)
    new_names = []
    for pack_id, folder in pack_folders([root]).items():
        if only is not None and pack_id not in only:
            continue
        pack = load_pack(folder)
        check_lock(pack)
        keep_version(pack)
        if pack.name not in hashes:
            hashes[pack.name] = pack.prompt_hash
            new_names.append(pack.name)
    if new_names:
        lines = [f'"{name}" = "{value}"\n' for name, value in sorted(hashes.items())]
        head = "# Written by `crossmusim prompts lock`: the hash of each pack version; a line never changes.\n"
        with atomic_path(root / LOCK_FILE) as temporary:
            temporary.write_text(head + "".join(lines), encoding="utf-8")
    return new_names
