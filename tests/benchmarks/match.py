"""Matching of an invented catalogue at two sizes, and its blocks against holding every document to every track."""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime

import polars as pl

from sourcing.matching.blocking import Blocks
from sourcing.matching.scoring import Pair, score_pair
from sourcing.matching.sides import DocumentSide, read_document, read_track
from sourcing.store.schemas import Document, Match, Track
from sourcing.store.workspace import Workspace
from tests.benchmarks.measure import measure

SIZES = (10_000, 100_000)
SLICE = 400  # documents and tracks of the all-pairs peer


def _words(text: str) -> list[str]:
    return text.split()


_SYLLABLES = _words("ka ro mi ten sul va lor ne dri pa shu ber gan ti osk hel mar fin qua zo lin der wy bra")
_WORDS = _words(
    "love night home river light summer rain heart blue dance fire city dream moon road little lonely "
    "wild golden winter ocean shadow silver morning angel train stranger burning paper glass echo harbour "
    "garden thunder"
)
_COMMON = ("Intro", "Home", "Hello", "Angel", "Interlude", "Love", "Outro", "Stay", "Run", "Time")
_HANZI = "愛夜海風雨花雪月天空心夢星光春秋山水雲歌時間遠方記憶溫柔後來晴"
_CYRILLIC = _words("звезда ночь река город дорога зима сердце огонь небо песня ветер дом море весна")
_VERSIONS = ("Live", "Acoustic", "Remix", "Instrumental", "Demo", "Karaoke Version")
_EDITIONS = (" (Remastered 2009)", " - Radio Edit", " (feat. Ana Cruz)", " [Explicit]", " - Single Version")


def main() -> None:
    for size in SIZES:
        _at_size(size)
    _against_all_pairs()


def _at_size(size: int) -> None:
    """`match run` as a user types it, start-up included, and how many of the right pairs came out."""
    tracks, documents, about = invented(size)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        workspace.write(Track, tracks)
        workspace.write(Document, documents)
        run = measure([sys.executable, "-m", "sourcing.cli", "--workspace", folder, "--json", "match", "run"])
        rows = workspace.read(Match).select("doc_id", "track_id", "band").rows()
    bands = {(doc_id, track_id): band for doc_id, track_id, band in rows}
    told = json.loads(run.stdout)
    right = [bands.get(pair) for pair in about.items()]
    print(
        f"{size:,} documents to {size:,} tracks: {run.wall_s:.1f} s, {run.cpu_s:.1f} CPU s; "
        f"accept {told['accept']:,}, review {told['review']:,}, reject kept {told['reject']:,}; "
        f"right pairs kept {sum(band is not None for band in right) / len(right):.4f}, "
        f"accepted {right.count('accept') / len(right):.4f}"
    )


def _against_all_pairs() -> None:
    """What a loop over all pairs keeps, and how much of it the blocks bring together."""
    tracks, documents, _ = invented(SLICE, seed=1)
    known = [read_track(row) for row in tracks.iter_rows(named=True)]
    pages = [read_document(row) for row in documents.iter_rows(named=True)]

    def keeps(positions: Iterable[int], page: DocumentSide) -> dict[tuple[int, str], Pair]:
        pairs = ((n, score_pair(known[n], page, max_duration_gap_s=3.0)) for n in positions)
        return {(n, page.doc_id): pair for n, pair in pairs if pair is not None}

    started = time.perf_counter()
    everything = {key: pair for page in pages for key, pair in keeps(range(SLICE), page).items()}
    peer_s, started = time.perf_counter() - started, time.perf_counter()
    blocks = Blocks(known)
    held = [(blocks.candidates(page), page) for page in pages]
    ours = {key: pair for positions, page in held for key, pair in keeps(positions, page).items()}
    ours_s = time.perf_counter() - started
    scored = sum(len(positions) for positions, _ in held)
    worth = {key for key, pair in everything.items() if pair.score >= 0.75 and not pair.veto}
    print(
        f"all pairs of {SLICE} and {SLICE}: {SLICE * SLICE:,} scored in {peer_s:.2f} s; in blocks {scored:,} in "
        f"{ours_s:.2f} s ({peer_s / ours_s:.0f}x), "
        f"{len(everything.keys() & ours) / len(everything):.4f} of the pairs it keeps, "
        f"{len(worth & ours.keys()) / len(worth):.4f} of those worth a look"
    )


def invented(size: int, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, str]]:
    """Tracks, documents, and the track that each document is about (documents about none are left out)."""
    rng = random.Random(seed)
    artists = [_artist(rng, n) for n in range(max(20, size // 8))]
    weights = [1 / (rank + 1) ** 0.9 for rank in range(len(artists))]  # Zipf: a few have thousands of tracks
    credits = rng.choices(artists, weights, k=size)
    tracks = [_track(rng, n, artist) for n, artist in enumerate(credits)]
    documents, about = [], {}
    for n in range(size):
        target = rng.randrange(size)
        kind = rng.random()
        if kind < 0.7:
            row = _record(rng, tracks[target])
            about[f"d{n:07}"] = str(tracks[target]["track_id"])
        elif kind < 0.85:  # prose without a credit
            track = tracks[target]
            lead = f'"{track["title"]}" is a song by {track["artist"]}. It was recorded at home in one night.'
            row = {"title": track["title"], "granularity": "page", "lead": lead, "text": lead}
            about[f"d{n:07}"] = str(track["track_id"])
        else:  # somebody else's recording, or another version
            row = _record(rng, tracks[target])
            other = rng.choice(artists) if rng.random() < 0.5 else None
            row |= {"artist": other} if other else {"title": f"{row['title']} ({rng.choice(_VERSIONS)})"}
        documents.append(_document(n, row))
    return (
        pl.DataFrame(tracks, schema=Track.create_empty().schema),
        pl.DataFrame(documents, schema=Document.create_empty().schema),
        about,
    )


def _artist(rng: random.Random, number: int) -> str:
    if number == 0:
        return "Various Artists"
    if number % 11 == 0:
        return "".join(rng.sample(_HANZI, 3))
    if number % 13 == 0:
        return " ".join(rng.sample(_CYRILLIC, 2)).title()
    words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(2, 3))).capitalize() for _ in range(2)]
    shape = number % 5
    return {0: f"The {words[0]}s", 1: f"{words[0]} & {words[1]}", 2: words[0]}.get(shape, " ".join(words))


def _track(rng: random.Random, number: int, artist: str) -> dict[str, object]:
    if rng.random() < 0.03:
        title = rng.choice(_COMMON)
    elif not artist.isascii():
        title = "".join(rng.sample(_HANZI, rng.randint(2, 4))) if artist[0] in _HANZI else " ".join(
            rng.sample(_CYRILLIC, 2)
        )  # fmt: skip
    else:
        rare = "".join(rng.choices(_SYLLABLES, k=3))
        title = " ".join([*rng.choices(_WORDS, k=rng.randint(1, 4)), *([rare] if rng.random() < 0.3 else [])]).title()
    if rng.random() < 0.06:
        title += f" ({rng.choice(_VERSIONS)})"
    duration_s = float(rng.randint(90, 420)) if rng.random() < 0.8 else None
    return {
        "track_id": f"t{number:07}",
        "title": title,
        "artist": artist,
        "duration_s": duration_s,
        "tags": [],
        "labels": [],
    }


def _record(rng: random.Random, track: dict[str, object]) -> dict[str, object]:
    title, artist, duration_s = str(track["title"]), str(track["artist"]), track["duration_s"]
    shape = rng.random()
    if shape < 0.1:
        title += rng.choice(_EDITIONS)
    elif shape < 0.2 and len(title) > 8 and title.isascii():
        at = rng.randrange(1, len(title) - 1)
        title = title[:at] + title[at + 1 :]  # a letter lost
    elif shape < 0.25:
        artist = artist.replace("The ", "").replace("&", "and").upper()
    if isinstance(duration_s, float) and rng.random() < 0.7:
        return {"title": title, "artist": artist, "duration_s": duration_s + rng.uniform(-1.5, 1.5)}
    return {"title": title, "artist": artist}


def _document(number: int, row: dict[str, object]) -> dict[str, object]:
    return {
        "doc_id": f"d{number:07}",
        "source": "invented",
        "url": f"https://example.org/{number}",
        "retrieved_at": datetime(2026, 1, 1, tzinfo=UTC),
        "content_sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "granularity": "recording",
        "title_raw": row["title"],
        "isrcs": [],
        "tags": [],
        "licences": [],
        "consent": "allow",
        "consent_evidence": [],
        **row,
    }
