"""Blocks lose nothing that the score would keep, and processes change nothing."""

from __future__ import annotations

import random

import pytest
from matching_rows import DEFAULTS, documents_of, tracks_of

from sourcing.matching import match_documents, matching
from sourcing.matching.blocking import Blocks
from sourcing.matching.scoring import score_pair
from sourcing.matching.sides import read_document, read_track

ARTISTS = ["Harbour & Kite", "The Harbours", "Various Artists", "周杰倫", "Кино", "AC/DC", "Ana Cruz feat. Mira Sol"]
WORDS = ["low", "tide", "night", "ferry", "home", "晴天", "река", "song", "one", "II"]


def typo(rng, text):
    at = rng.randrange(len(text))
    return text[:at] + text[at + 1 :] if len(text) > 4 and rng.random() < 0.5 else text


@pytest.fixture(scope="module")
def rows():
    rng = random.Random(3)
    titles = [" ".join(rng.choices(WORDS, k=rng.randint(1, 3))) for _ in range(60)]
    tracks = [{"title": rng.choice(titles), "artist": rng.choice(ARTISTS)} for _ in range(200)]
    documents = []
    for _ in range(60):
        track = rng.choice(tracks)
        if rng.random() < 0.7:
            documents.append({"title": typo(rng, track["title"]), "artist": track["artist"].upper()})
        else:
            lead = f"{track['title']} is a song by {track['artist']}."
            documents.append({"title": f"{track['artist']} - {track['title']}", "granularity": "page", "lead": lead})
    return documents_of(documents), tracks_of(tracks)


def test_every_pair_worth_a_look_is_found_as_by_holding_everything_to_everything(rows):
    documents, tracks = rows
    known = [read_track(row) for row in tracks.iter_rows(named=True)]
    blocks = Blocks(known)
    found = wanted = 0
    for row in documents.iter_rows(named=True):
        page = read_document(row)
        candidates = set(blocks.candidates(page))
        for position, track in enumerate(known):
            pair = score_pair(track, page, max_duration_gap_s=3.0)
            if pair is not None and pair.score >= DEFAULTS.review_score and not pair.veto:
                wanted += 1
                found += position in candidates
    assert wanted > 60
    assert found == wanted


def test_the_titles_of_a_prolific_artist_are_sifted_without_loss(rows):
    documents, tracks = rows
    few = [row for row in tracks.iter_rows(named=True) if row["artist"] == "Various Artists"]
    known = [read_track(row) for row in few]
    assert len(known) > 16  # else all are compared anyway
    blocks = Blocks(known)
    for row in documents.iter_rows(named=True):
        page = read_document({**row, "artist": "Various Artists"})
        kept = {n for n, track in enumerate(known) if score_pair(track, page, max_duration_gap_s=3.0) is not None}
        assert kept <= set(blocks.candidates(page))


def test_the_rows_do_not_depend_on_the_number_of_processes(rows, monkeypatch):
    documents, tracks = rows
    alone = match_documents(documents, tracks, DEFAULTS)
    monkeypatch.setattr(matching, "_WORTH_WORKERS", 0)
    monkeypatch.setattr(matching, "_CHUNK", 7)
    counted = []
    together = match_documents(documents, tracks, DEFAULTS, workers=2, on_progress=counted.append)
    assert together.equals(alone)
    assert sum(counted) == documents.height


def test_of_the_rejected_pairs_of_a_document_the_nearest_are_kept():
    tracks = [{"title": "Intro", "artist": "Mira Sol", "duration_s": 60.0 + 20 * n} for n in range(40)]
    document = {"title": "Intro", "artist": "Mira Sol", "duration_s": 60.0}
    matches = match_documents(documents_of([document]), tracks_of(tracks), DEFAULTS)
    assert matches["band"].to_list().count("reject") == 20
    assert matches.filter(band="accept")["track_id"].to_list() == ["t000"]


def test_works_of_a_prolific_composer_are_found_by_number_and_nickname():
    tracks = [
        {"title": f"Nocturne No. {n} in B major, Op. {90 + n}", "artist": "Frédéric Chopin"} for n in range(1, 40)
    ]
    tracks += [
        {"title": "Nocturne in E-flat major, Op. 9, No. 2", "artist": "Frédéric Chopin"},
        {"title": "Étude in C minor, Op. 10, No. 12, “Revolutionary”", "artist": "Frédéric Chopin"},
    ]
    documents = [
        {"title": "Nocturne Op. 9/2", "artist": "Chopin"},
        {"title": 'Etude "Revolutionary"', "artist": "F. Chopin"},
    ]
    matches = match_documents(documents_of(documents), tracks_of(tracks), DEFAULTS)
    accepted = set(matches.filter(band="accept").select("track_id", "doc_id").rows())
    assert accepted == {("t039", "d000"), ("t040", "d001")}
