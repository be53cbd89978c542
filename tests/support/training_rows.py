"""A published dataset of a few tones with words, as training takes it: two classes of sound, twelve artists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from publishing_rows import description, frames, track
from tiny_models import write_tone

from sourcing.publishing.publish import WorkspaceTables, publish
from sourcing.settings import PublishSettings
from sourcing.store.versions import DatasetVersion

WORDS = {"low": ["deep bass", "slow"], "high": ["bright bells", "fast"]}
SMALL = {
    "conv_ndim": 4, "attention_ndim": 16, "projection_hidden_ndim": 16, "embedding_ndim": 8, "clip_s": 1.0,
    "batch_size": 4, "warmup_steps": 2, "epochs": 2, "eval_every_steps": 3, "checkpoint_every_steps": 2,
}  # fmt: skip


def publish_tones(
    root: Path, *, name: str = "tones", artists: int = 12, note: str = "", edit: Any = None
) -> tuple[DatasetVersion, Path]:
    """(version, folder of the audio); `edit(tracks, descriptions)` may change the rows before they are published."""
    tracks, descriptions = [], []
    for artist in range(artists):
        kind = ("low", "high")[artist % 2]
        for number in range(2):
            track_id = f"t{artist:02d}-{number}"
            pitch_hz = (110.0 if kind == "low" else 1760.0) * (1 + 0.02 * artist)
            write_tone(root / "audio" / f"{track_id}.wav", duration_s=1.6, pitch_hz=pitch_hz)
            labels = [{"facet": "pitch", "value": kind}]
            tracks.append(track(track_id, f"Artist {artist:02d}", audio=f"{track_id}.wav", labels=labels))
            aspects = [*WORDS[kind], f"artist {artist}"]
            descriptions.append(
                description(
                    f"d-{track_id}",
                    track_id,
                    aspect_list=aspects,
                    aspects=[{"text": text, "facet": "other", "evidence": []} for text in aspects],
                    caption=f"A tune with {' and '.join(aspects)}{note}",
                )
            )
    if edit:
        edit(tracks, descriptions)
    made = frames(tracks, [], descriptions)
    tables = WorkspaceTables(made["tracks"], made["descriptions"])
    settings = PublishSettings(validation_fraction=0.25, test_fraction=0.25)
    published = publish(tables, name, root=root / "datasets", settings=settings, now=datetime(2026, 3, 1, tzinfo=UTC))
    return published.version, root / "audio"
