"""A folder of audio files: tags where there are any, names of files and folders where there are none."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from sourcing.catalogue import catalogue_sha256, read_catalogue
from sourcing.errors import CatalogueError


def _flac(path: Path, **tags: str) -> None:
    """A FLAC file of no samples: a stream header (44.1 kHz, 88,200 samples long) and its comments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rate_and_length = (44_100 << 44 | 15 << 36 | 88_200).to_bytes(8, "big")
    stream_info = bytes(10) + rate_and_length + bytes(16)
    comments = [f"{name}={value}".encode() for name, value in tags.items()]
    body = bytes(4) + len(comments).to_bytes(4, "little") + b"".join(len(c).to_bytes(4, "little") + c for c in comments)
    blocks = b"\x00" + len(stream_info).to_bytes(3, "big") + stream_info + b"\x84" + len(body).to_bytes(3, "big") + body
    path.write_bytes(b"fLaC" + blocks)


def _wav(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(8000)
        stream.writeframes(bytes(8000))


def test_tags_become_columns(tmp_path: Path) -> None:
    recording = "6b3f1a52-0000-4000-8000-0123456789ab"
    _flac(
        tmp_path / "x/Song №1.flac",
        TITLE="Song",
        ARTIST="Ada",
        ALBUM="First",
        DATE="1999-05-02",
        GENRE="ambient",
        ISRC="GB-AYE-00-00001",
        MUSICBRAINZ_TRACKID=recording,
    )
    row = read_catalogue(tmp_path).tracks.to_dicts()[0]
    facts = {
        "title": "Song",
        "artist": "Ada",
        "album": "First",
        "year": 1999,
        "isrc": "GBAYE0000001",
        "mbid": recording,
    }
    assert {name: row[name] for name in facts} == facts
    assert row["audio"] == "x/Song №1.flac"
    assert row["track_id"].startswith("x:Song_")
    assert row["track_id"].isascii()
    assert (row["duration_s"], row["tags"]) == (2.0, ["ambient"])


def test_without_tags_names_of_file_and_top_folder_serve(tmp_path: Path) -> None:
    _wav(tmp_path / "Ada Loom/First/01 Thread.wav")
    row = read_catalogue(tmp_path).tracks.to_dicts()[0]
    assert (row["track_id"], row["title"], row["artist"]) == ("Ada_Loom:First:01_Thread", "01 Thread", "Ada Loom")
    assert row["duration_s"] == 0.5


def test_a_file_nobody_can_be_named_for_or_that_is_no_audio_is_rejected(tmp_path: Path) -> None:
    _wav(tmp_path / "good/a.wav")
    _wav(tmp_path / "alone.wav")
    (tmp_path / "good/empty.flac").write_bytes(b"")
    (tmp_path / "good/noise.ogg").write_bytes(b"<html>" * 50)
    (tmp_path / "good/notes.txt").write_text("not audio", encoding="utf-8")
    _wav(tmp_path / ".trash/a.wav")
    _wav(tmp_path / "good/._a.wav")
    read = read_catalogue(tmp_path)
    assert read.tracks["track_id"].to_list() == ["good:a"]
    assert dict(read.rejected.select("key", "reason").iter_rows()) == {
        "alone.wav": "artist_missing",
        "good/empty.flac": "row_unreadable",
        "good/noise.ogg": "row_unreadable",
    }


def test_paths_that_fold_to_one_id_get_ids_of_their_own(tmp_path: Path) -> None:
    for name in ("a b.wav", "a_b.wav", "c.wav", "д" * 60 + "/" + "x" * 120 + ".wav"):
        _wav(tmp_path / "Ada" / name)
    ids = dict(read_catalogue(tmp_path).tracks.select("audio", "track_id").iter_rows())
    assert len(set(ids.values())) == 4
    assert ids["Ada/c.wav"] == "Ada:c"
    assert ids["Ada/a b.wav"].startswith("Ada:a_b-")
    (tmp_path / "Ada/c.wav").unlink()
    assert read_catalogue(tmp_path).tracks["track_id"].to_list() == sorted(set(ids.values()) - {"Ada:c"})


def test_a_link_out_of_the_folder_is_rejected(tmp_path: Path) -> None:
    _wav(tmp_path / "out.wav")
    _wav(tmp_path / "in/Ada/a.wav")
    (tmp_path / "in/Ada/link.wav").symlink_to(tmp_path / "out.wav")
    read = read_catalogue(tmp_path / "in")
    assert read.tracks["track_id"].to_list() == ["Ada:a"]
    assert read.rejected["reason"].to_list() == ["audio_outside_folder"]


def test_a_folder_without_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"holds no tracks; .*\.flac"):
        read_catalogue(tmp_path)


def test_the_hash_of_a_folder_follows_its_files(tmp_path: Path) -> None:
    _wav(tmp_path / "Ada/a.wav")
    before = catalogue_sha256(tmp_path)
    assert catalogue_sha256(tmp_path) == before
    _wav(tmp_path / "Ada/b.wav")
    assert catalogue_sha256(tmp_path) != before
