"""Identifiers of recordings: track ids, ISRCs and MusicBrainz ids, read and made."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from sourcing.catalogue.cells import ValueRefused, cell_text, is_empty
from sourcing.store.schemas import TRACK_ID_PATTERN

__all__ = ["is_legal_id", "made_id", "one_text", "read_isrc", "read_mbid", "read_track_id"]

_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_MBID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SPOTIFY = re.compile(r"https?://open\.spotify\.com/(?:[\w-]+/)?track/(\w+)(?:[?#].*)?")
_SIGNS = {" ": "a space", "/": "a slash", "\\": "a backslash", "\t": "a tab"}
_ID_CURE = "use letters, digits, . _ : -"


def read_track_id(value: Any) -> str:
    """A legal id; of a Spotify address its URI. ValueRefused when the cell is empty or has other signs."""
    track_id = _id_text(value)
    if not track_id:
        raise ValueRefused("track_id_missing", "track_id is empty; give every track a name of its own")
    if not re.fullmatch(TRACK_ID_PATTERN, track_id):
        if len(track_id) > 128:
            finding = f'track_id "{track_id[:20]}…" has {len(track_id)} characters; use 128 at most'
            raise ValueRefused("track_id_illegal", finding)
        sign = next(char for char in track_id if not re.fullmatch(TRACK_ID_PATTERN, char))
        raise ValueRefused("track_id_illegal", f'track_id "{track_id}" has {_SIGNS.get(sign, repr(sign))}; {_ID_CURE}')
    return track_id


def made_id(track: Mapping[str, Any]) -> str:
    """The ISRC, else a hash of what names the recording: the same for the same row in any file."""
    if track["isrc"]:
        return f"isrc:{track['isrc']}"
    seconds = round(track["duration_s"]) if track["duration_s"] else ""
    name_parts = [" ".join(str(track[name] or "").casefold().split()) for name in ("artist", "title", "album")]
    return f"made:{hashlib.sha256(json.dumps([*name_parts, seconds]).encode()).hexdigest()[:16]}"


def read_isrc(text: str) -> str:
    bare = re.sub(r"[\s-]", "", text).upper().removeprefix("ISRC")
    if not _ISRC.fullmatch(bare):
        raise ValueRefused(
            "isrc_illegal", f'isrc "{text[:60]}" is not two letters, three letters or digits, seven digits'
        )
    return bare


def read_mbid(text: str) -> str:
    bare = text.lower().rstrip("/").rsplit("/", 1)[-1]  # also taken from the address of a recording's page
    if not _MBID.fullmatch(bare):
        raise ValueRefused(
            "mbid_illegal", f'mbid "{text[:60]}" is not a MusicBrainz id; copy the recording\'s 36 characters'
        )
    return bare


def is_legal_id(text: str) -> bool:
    """Whether a cell can name a track."""
    track_id = _id_text(text)
    return bool(track_id and re.fullmatch(TRACK_ID_PATTERN, track_id))


def _id_text(value: Any) -> str | None:
    try:
        text = (one_text(value) or "").lstrip("'").strip()
    except ValueRefused as refusal:
        raise ValueRefused("track_id_not_text", f"track_id is {refusal.finding}; write it as text") from None
    spotify = _SPOTIFY.fullmatch(text)
    return f"spotify:track:{spotify[1]}" if spotify else None if is_empty(text) else text


def one_text(value: Any) -> str | None:
    """The text of a cell, or of a list of one."""
    values = [each for each in value if each is not None] if isinstance(value, list | tuple) else []
    return cell_text(values[0] if len(values) == 1 else value)
