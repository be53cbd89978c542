"""Folders of sound: MP3 and M4A tags, headers that cannot be, and what is left out, said."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from sourcing.catalogue import read_catalogue
from sourcing.store.audio import AUDIO_SUFFIXES, audio_path, read_wav_header, undecodable

GIVEN = Path(__file__).parents[3] / "shared" / "faults" / "inputs"
RECORDING = "6b3f1a52-0000-4000-8000-0123456789ab"


def _syncsafe(number: int) -> bytes:
    return bytes((number >> shift) & 127 for shift in (21, 14, 7, 0))


def _mp3(path: Path, **frames: bytes) -> None:
    """An MP3 of twenty empty frames, 0.52 s, behind an ID3v2.4 tag."""
    tag = b"".join(name[:4].encode() + _syncsafe(len(body)) + bytes(2) + body for name, body in frames.items())
    path.write_bytes(b"ID3\x04\x00\x00" + _syncsafe(len(tag)) + tag + (b"\xff\xfb\x90\x64" + bytes(413)) * 20)


def _m4a(path: Path, **free: str) -> None:
    def atom(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + name + body

    def data(text: str) -> bytes:
        return atom(b"data", struct.pack(">II", 1, 0) + text.encode())

    head = atom(b"\xa9nam", data("Song")) + atom(b"\xa9ART", data("Ada"))
    named = (
        atom(b"mean", bytes(4) + b"com.apple.iTunes")
        + atom(b"name", bytes(4) + name.replace("_", " ").encode())
        + data(text)
        for name, text in free.items()
    )
    items = atom(b"ilst", head + b"".join(atom(b"----", body) for body in named))
    path.write_bytes(atom(b"ftyp", b"M4A " + bytes(4)) + atom(b"moov", atom(b"udta", atom(b"meta", bytes(4) + items))))


def _wav(
    path: Path,
    *,
    rate_hz: int = 22_050,
    channels: int = 1,
    bits: int = 16,
    block_align: int = 2,
    data_size: int = 44_100,
    magic: bytes = b"RIFF",
    before: bytes = b"",
) -> Path:
    """One second of 16 bit mono, whatever its header says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fmt = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * block_align & 0xFFFFFFFF, block_align, bits)
    body = (
        b"WAVE"
        + before
        + b"fmt "
        + struct.pack("<I", 16)
        + fmt
        + b"data"
        + struct.pack("<I", data_size)
        + b"\1\2" * 22_050
    )
    path.write_bytes(magic + struct.pack("<I", min(len(body), 0xFFFFFFFF)) + body)
    return path


@pytest.mark.parametrize(
    "frames",
    [
        {"TLAN": b"\x03deu", "UFID": b"http://musicbrainz.org\0" + RECORDING.encode()},
        {"TLAN": b"\x03ger", "TXXX": b"\x03MusicBrainz Track Id\0" + RECORDING.encode()},
        {"TLAN": b"\x03German", "TXXX": b"\x03MUSICBRAINZ_TRACKID\0" + RECORDING.encode()},
    ],
)
def test_mp3_tags_name_the_recording_and_the_language(tmp_path: Path, frames: dict[str, bytes]) -> None:
    (tmp_path / "x").mkdir()
    _mp3(tmp_path / "x/a.mp3", TIT2=b"\x03Song", TPE1=b"\x03Ada\0Bo", **frames)
    row = read_catalogue(tmp_path).tracks.to_dicts()[0]
    assert (row["title"], row["artist"], row["mbid"], row["language"]) == ("Song", "Ada, Bo", RECORDING, "de")
    assert row["duration_s"] == pytest.approx(0.522, abs=1e-3)


def test_m4a_tags_are_read_and_its_sound_is_named_as_not_decodable(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    _m4a(tmp_path / "x/a.m4a", MusicBrainz_Track_Id=RECORDING, LANGUAGE="fra", ISRC="GBAYE0000001")
    read = read_catalogue(tmp_path)
    row = read.tracks.to_dicts()[0]
    assert (row["mbid"], row["language"], row["isrc"], row["audio"]) == (RECORDING, "fr", "GBAYE0000001", None)
    assert read.rejected["reason"].to_list() == ["audio_undecodable"]
    assert ".m4a files cannot be decoded; convert it to FLAC" in read.rejected["finding"][0]


@pytest.mark.parametrize(
    ("suffix", "taken"), [(".FLAC", True), (".aac", False), (".WMA", False), (".oga", True), (".aiff", True)]
)
def test_a_row_that_names_sound_gets_the_answer_its_kind_has(tmp_path: Path, suffix: str, taken: bool) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"x")
    (tmp_path / "c.csv").write_text(f"track_id,title,artist,audio\na,Song,Ada,a{suffix}\n", encoding="utf-8")
    read = read_catalogue(tmp_path / "c.csv")
    assert read.tracks["audio"].to_list() == [f"a{suffix}" if taken else None]
    assert read.rejected["reason"].to_list() == ([] if taken else ["audio_undecodable"])


@pytest.mark.parametrize(
    ("header", "duration_s", "missing_bytes"),
    [
        ({}, 1.0, 0),
        ({"data_size": 0xFFFFFFFF}, 1.0, 0),
        ({"data_size": 0}, 1.0, 0),
        ({"data_size": 10_000_000}, 1.0, 9_955_900),
        ({"data_size": 22_050}, 0.5, 0),
        (
            {"data_size": 0xFFFFFFFF, "magic": b"RF64", "before": b"ds64" + struct.pack("<IQQQ", 24, 0, 44_100, 0)},
            1.0,
            0,
        ),
        ({"before": b"LIST" + struct.pack("<I", 5) + b"INFOx\0"}, 1.0, 0),
    ],
)
def test_a_wav_is_as_long_as_its_bytes(
    tmp_path: Path, header: dict[str, int], duration_s: float, missing_bytes: int
) -> None:
    found = read_wav_header(_wav(tmp_path / "a.wav", **header))  # type: ignore[arg-type]
    assert found is not None
    assert (found.duration_s, found.missing_bytes, found.fault) == (duration_s, missing_bytes, None)


@pytest.mark.parametrize(
    "header",
    [
        {"rate_hz": 1},
        {"rate_hz": 0},
        {"rate_hz": 4_000_000_000},
        {"channels": 0},
        {"channels": 65_535},
        {"bits": 0},
        {"block_align": 0},
        {"block_align": 1},
    ],
)
def test_a_wav_whose_header_cannot_be_is_rejected(tmp_path: Path, header: dict[str, int]) -> None:
    _wav(tmp_path / "Ada/good.wav")
    _wav(tmp_path / "Ada/odd.wav", **header)  # type: ignore[arg-type]
    read = read_catalogue(tmp_path)
    assert read.tracks["track_id"].to_list() == ["Ada:good"]
    assert read.rejected.select("key", "reason").rows() == [("Ada/odd.wav", "row_unreadable")]


def test_a_file_of_parts_without_end_is_told_and_the_others_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sourcing.catalogue.folder._MAXIMUM_READS", 10_000)
    _wav(tmp_path / "Ada/good.wav")
    with _wav(tmp_path / "Ada/padded.wav").open("ab") as stream:
        stream.truncate(200_000)  # zeros behind the sound, as a recorder leaves them: chunks of no size
    read = read_catalogue(tmp_path)
    assert read.tracks["track_id"].to_list() == ["Ada:good"]
    assert "more than 10,000 parts" in read.rejected["finding"][0]


def test_every_beginning_of_a_wav_is_read_or_rejected(tmp_path: Path) -> None:
    whole = _wav(tmp_path / "a.wav").read_bytes()
    for length in range(60):
        (tmp_path / "a.wav").write_bytes(whole[:length])
        read_wav_header(tmp_path / "a.wav")


def test_what_is_cut_or_left_out_is_said(tmp_path: Path) -> None:
    _wav(tmp_path / "Ada/cut.wav", data_size=10_000_000)
    (tmp_path / "Ada/cover.JPG").write_bytes(b"x")
    (tmp_path / "Ada/.hidden.wav").write_bytes(b"x")
    (tmp_path / "Ada/gone.flac").symlink_to(tmp_path / "nowhere")
    read = read_catalogue(tmp_path)
    assert read.rejected.select("key", "reason").rows() == [("Ada/cut.wav", "audio_cut")]
    assert read.tracks["duration_s"].to_list() == [1.0]
    assert read.notes == [
        "1 files are left out: .jpg is no sound",
        "1 files are left out: a link that leads nowhere",
        "1 files are left out: hidden",
    ]


def test_what_is_a_path_and_what_are_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("noise").write_bytes(b"x")
    Path("jazz").mkdir()
    Path("link").symlink_to("nowhere")
    paths = {"gone.wav": "gone.wav", " a b.FLAC ": "a b.FLAC", "~/a.mp3": f"{tmp_path}/a.mp3", "noise": "noise"}
    paths |= {
        "file:///x/a%20b.ogg": "/x/a b.ogg",
        "./jazz": "jazz",
        "link": "link",
        "a.m4a": "a.m4a",
        "~no.such.user/a.wv": "~no.such.user/a.wv",
    }
    assert {text: str(audio_path(text)) for text in paths} == paths
    words = [
        "jazz",
        "calm solo piano",
        "AC/DC",
        "a/b",
        "",
        "x" * 5_000,
        "a\0b.wav",
        "two\nlines.wav",
        "file: under jazz",
        "~",
    ]
    assert [text for text in words if audio_path(text) is not None] == []


def test_one_list_says_what_is_decoded() -> None:
    assert [suffix for suffix in AUDIO_SUFFIXES if undecodable(f"A{suffix.upper()}")] == [
        suffix for suffix in AUDIO_SUFFIXES if undecodable(suffix.replace(".", "a."))
    ]
    assert undecodable("a.flac") is None


@pytest.mark.skipif(not GIVEN.exists(), reason="the folder of faults is not here")
def test_the_given_headers() -> None:
    pipe, rate = (read_wav_header(GIVEN / name) for name in ("ffmpeg_pipe_header.wav", "rate1.wav"))
    assert pipe is not None
    assert rate is not None
    assert pipe.duration_s == pytest.approx(4_000 / 22_050)
    assert rate.fault == "its header tells of 1 samples a second"
