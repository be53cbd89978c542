"""An invented world: thirty artists in ten styles, their tracks with sound attributes, and the owner's catalogue."""

from __future__ import annotations

import csv
import hashlib
import io
import random
import uuid
from dataclasses import dataclass
from functools import cached_property

from sourcing.demo.synth import BPM, DURATION_S, TrackSpec
from sourcing.demo.word_lists import word_list
from sourcing.errors import UsageError

__all__ = ["COLUMNS", "MIN_TRACKS", "DemoTrack", "World", "build_world", "catalogue_csv"]

MIN_TRACKS = 30
COLUMNS = (
    "track_id", "title", "artist", "album", "year", "isrc", "mbid", "duration_s", "language", "audio", "tags", "labels",
)  # fmt: skip
_BROAD = {
    "ambient": "electronic", "folk": "acoustic", "neoclassical": "classical", "house": "electronic",
    "chiptune": "electronic", "jungle": "electronic", "parade": "classical", "garage": "rock", "lofi": "electronic",
    "lounge": "jazz",
}  # fmt: skip
_LOUD = ("overdrive",)


@dataclass(frozen=True)
class DemoTrack:
    """One track with all attributes; catalogue and web each tell a part of the attributes."""

    track_id: str
    title: str
    artist: str
    album: str
    year: int
    isrc: str
    mbid: str
    language: str
    style: str
    style_tag: str
    spec: TrackSpec
    number: int  # place in the catalogue, from 0

    @property
    def audio(self) -> str:
        return f"audio/{self.track_id}.flac"

    @property
    def mood(self) -> str:
        """The mood that tempo, mode and loudness add up to."""
        spec = self.spec
        bright = spec.mode in ("major", "pentatonic")
        quick = spec.tempo in ("fast", "very fast")
        if spec.lead in _LOUD or spec.effect == "fuzz":
            return "joyful" if bright and quick else "urgent"
        if quick:
            return "joyful" if bright else "urgent"
        if spec.tempo == "moderate":
            return "warm" if bright else "brooding"
        if bright:
            return "calm" if spec.drums in ("none", "brushed") else "warm"
        return "melancholy"

    @property
    def audible(self) -> dict[str, str]:
        """The audible attributes of the track: attribute → value."""
        spec = self.spec
        return {
            "lead": spec.lead, "tempo": spec.tempo, "mode": spec.mode, "drums": spec.drums, "effect": spec.effect,
            "density": spec.density, "mood": self.mood,
        }  # fmt: skip

    @property
    def instruments(self) -> tuple[str, ...]:
        return (self.spec.lead, *self.spec.backing)


@dataclass(frozen=True)
class World:
    """The invented artists and tracks of a seed; `tracks` in catalogue order."""

    seed: int
    tracks: tuple[DemoTrack, ...]

    @cached_property
    def artists(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(track.artist for track in self.tracks))

    def draw(self, what: str) -> random.Random:
        """A separate random generator per purpose, so that a new purpose changes no earlier draw."""
        return random.Random(f"{self.seed}:{what}")


def build_world(seed: int = 0, tracks: int = 300) -> World:
    """The world of a seed; equal arguments give equal worlds. UsageError below MIN_TRACKS."""
    if tracks < MIN_TRACKS:
        raise UsageError("--tracks", f"{tracks} are too few to learn from", f"ask for {MIN_TRACKS} or more")
    artists, styles = word_list("names")["artists"], list(word_list("styles"))
    rng = random.Random(f"{seed}:world")
    titles = _titles(artists, tracks, rng)
    all_tracks = []
    for number in range(tracks):
        index = number % len(artists)
        draw = random.Random(f"{seed}:track:{number}")
        main, side = styles[index % len(styles)], styles[(3 * index + index // len(styles) + 1) % len(styles)]
        style = main if draw.random() < 0.75 else side
        album_no = number // len(artists) // 5
        albums = word_list("names")["albums"]
        digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
        all_tracks.append(
            DemoTrack(
                track_id=f"trk{number + 1:04d}",
                title=titles[number],
                artist=artists[index],
                album=albums[(index * 5 + album_no * 7) % len(albums)],
                year=1998 + (index * 7) % 24 + album_no * 2,
                isrc=f"ZZDEM{20 + number // 10000:02d}{number + 1:05d}",
                mbid=str(uuid.UUID(bytes=digest[:16], version=4)),
                language=_language(artists[index]),
                style=style,
                style_tag=word_list("styles")[style]["tag"],
                spec=_spec(style, draw),
                number=number,
            )
        )
    return World(seed, tuple(all_tracks))


def catalogue_csv(world: World) -> str:
    """The owner's catalogue: some rows know their ISRC or MBID, some neither; the last two rows are bad on purpose."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for track in world.tracks:
        draw = world.draw(f"row:{track.number}")
        ids = draw.choice(("mbid", "mbid", "isrc", "isrc", "both", "neither", "neither"))
        words = {"lead": track.spec.lead, "style": track.style, "mood": track.mood}
        words |= {name: track.audible[name].replace(" ", "-") for name in ("tempo", "drums", "effect")}
        writer.writerow(
            {
                "track_id": track.track_id,
                "title": track.title,
                "artist": track.artist,
                "album": track.album,
                "year": track.year,
                "isrc": track.isrc if ids in ("isrc", "both") else "",
                "mbid": track.mbid if ids in ("mbid", "both") else "",
                "duration_s": DURATION_S,
                "language": track.language,
                "audio": track.audio,
                "tags": f"instrumental;{_BROAD[track.style]}" if draw.random() < 0.15 else "",
                "labels": ";".join(f"{facet}={value}" for facet, value in words.items()),
            }
        )
    first = world.tracks[0]
    writer.writerow({"track_id": "7/8", "title": "In Seven Eight", "artist": first.artist, "audio": first.audio})
    writer.writerow({"track_id": "trk-untitled", "artist": first.artist, "audio": first.audio})
    return stream.getvalue()


def _language(artist: str) -> str:
    if any("\u0400" <= letter <= "\u04ff" for letter in artist):
        return "ru"
    return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in artist) else "en"


def _spec(style: str, draw: random.Random) -> TrackSpec:
    weights = word_list("styles")[style]

    def pick(name: str) -> str:
        table: dict[str, int] = weights[name]
        return draw.choices(list(table), list(table.values()))[0]

    lead, tempo = pick("lead"), pick("tempo")
    backing: list[str] = []
    others = {name: weight for name, weight in weights["backing"].items() if name != lead}
    for _ in range(min(int(pick("players")), len(others))):
        instrument = draw.choices(list(others), list(others.values()))[0]
        backing.append(instrument)
        del others[instrument]
    return TrackSpec(
        lead=lead,
        tempo=tempo,
        mode=pick("mode"),
        drums=pick("drums"),
        effect=pick("effect"),
        backing=tuple(backing),
        bpm=draw.randint(*BPM[tempo]),
        root_midi=57 + draw.randint(0, 7),
        seed=draw.getrandbits(48),
    )


def _titles(artists: list[str], tracks: int, rng: random.Random) -> list[str]:
    """A title per track: new ones, then a few that two artists share and a few that are an artist's own name."""
    names = word_list("names")
    scripts = {"ru": names["titles_ru"], "zh": names["titles_zh"]}
    used_titles: set[str] = set()
    titles = []
    for number in range(tracks):
        script = scripts.get(_language(artists[number % len(artists)]))
        title = script[number // len(artists) % len(script)] if script else ""
        if script and title in used_titles:
            title = f"{title} {number // len(artists) // len(script) + 1}"
        while not title or title in used_titles:
            title = rng.choice(names["frames"]).format(
                adj=rng.choice(names["adjectives"]),
                noun=rng.choice(names["nouns"]),
                person=rng.choice(names["persons"]).split()[0],
                place=rng.choice(names["places"]),
            ) + (f" {rng.randint(2, 99)}" if len(used_titles) > 1500 else "")
        used_titles.add(title)
        titles.append(title)
    latin = [number for number in range(tracks) if _language(artists[number % len(artists)]) == "en"]
    for pair in range(min(8, tracks // 30)):
        first, second = latin[(pair * 37 + 3) % len(latin)], latin[(pair * 53 + 20) % len(latin)]
        if artists[first % len(artists)] != artists[second % len(artists)]:
            titles[second] = titles[first]
    titles[6] = artists[6]  # self-titled
    titles[8] = artists[7]  # named after another artist of the catalogue
    return titles
