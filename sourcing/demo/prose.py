"""Prose and tags about a track, drawn from the track's audible attributes, never contradicting the sound."""

from __future__ import annotations

import random
import re
from typing import Any

from sourcing.demo.word_lists import phrases, word_list
from sourcing.demo.world import DemoTrack

__all__ = ["ATTRIBUTES", "annotation", "article", "review", "tags"]

#: the audible attributes a text may speak of
ATTRIBUTES = ("lead", "tempo", "mode", "drums", "effect", "density", "mood")
_SECTIONS = (("Composition", "Reception"), ("Background and composition", "Critical reception"), ("Music", "Legacy"))


def article(track: DemoTrack, rng: random.Random) -> str:
    """An encyclopedia's plain-text extract: an opening paragraph and two sections under `== headings ==`."""
    opening = f"{_fill('opening', track, rng)} {_lead_sentence(track, rng)}"
    facts = [*_attribute_sentences(track, rng)]
    music_sentences = facts[: rng.randint(4, 6)]
    music_sentences.insert(rng.randint(0, 2), _fill("noise", track, rng))
    reception = [_fill("noise", track, rng), _attribute("mood", track, rng)]
    if rng.random() < 0.5:
        reception.append(_fill("noise", track, rng))
    music, reviews = rng.choice(_SECTIONS)
    body = [opening, f"== {music} ==\n{' '.join(music_sentences)}", f"== {reviews} ==\n{' '.join(reception)}"]
    return "\n\n\n".join(body)


def review(track: DemoTrack, rng: random.Random) -> list[str]:
    """Two paragraphs in a reviewer's voice, shorter than an article and with less about dates."""
    facts = _attribute_sentences(track, rng)[: rng.randint(3, 5)]
    first = [_fill("review_opening", track, rng), _lead_sentence(track, rng), *facts[:2]]
    second = [*facts[2:], _attribute("mood", track, rng), _fill("review_closing", track, rng)]
    return [" ".join(first), " ".join(second)]


def annotation(track: DemoTrack, rng: random.Random) -> str:
    """The line or two that an editor of a database leaves about a track."""
    return f"{_lead_sentence(track, rng)} {_fill('noise', track, rng)}"


def tags(track: DemoTrack, rng: random.Random) -> list[dict[str, Any]]:
    """Tags with votes: right ones from the sound, junk that listeners leave, now and then a wrong one."""
    votes: dict[str, int] = {track.style_tag: rng.randint(4, 12)}
    values = track.audible
    attributes = ["lead", "mood", *rng.sample(["tempo", "drums", "effect", "mode", "density"], rng.randint(2, 5))]
    for attribute in attributes:
        names = phrases(attribute, values[attribute], "tags")
        votes.setdefault(names[0] if rng.random() < 0.65 else rng.choice(names), rng.randint(1, 9))
    for instrument in track.spec.backing:
        if rng.random() < 0.5:
            votes.setdefault(phrases("lead", instrument, "tags")[0], rng.randint(1, 4))
    votes.setdefault("instrumental", rng.randint(1, 8))
    for junk in rng.sample(word_list("names")["junk_tags"], rng.randint(0, 3)):
        votes.setdefault(junk, rng.randint(1, 6))
    if rng.random() < 0.3:
        votes.setdefault(track.artist.lower(), rng.randint(1, 3))
    if rng.random() < 0.06:  # someone misheard, or meant another track
        wrong = rng.choice([value for value in word_list("phrases")["lead"] if value not in track.instruments])
        votes.setdefault(phrases("lead", wrong, "tags")[0], 1)
    ranked = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    return [{"name": name, "count": count} for name, count in ranked]


def _attribute_sentences(track: DemoTrack, rng: random.Random) -> list[str]:
    """One sentence per attribute in a drawn order; the lead comes first, its backing right after it."""
    lead = [_attribute("lead", track, rng)]
    if track.spec.backing:
        lead.append(_attribute("backing", track, rng))
    rest = [_attribute(name, track, rng) for name in ("tempo", "mode", "drums", "effect", "density")]
    rng.shuffle(rest)
    return lead + rest


def _attribute(name: str, track: DemoTrack, rng: random.Random) -> str:
    if name == "backing":
        phrase = rng.choice(phrases("lead", track.spec.backing[0]))
        return _fill("backing", track, rng, phrase)
    value = track.audible[name]
    family = f"{name}_{value}" if f"{name}_{value}" in word_list("sentences") else name
    return _fill(family, track, rng, rng.choice(phrases(name, value)))


def _lead_sentence(track: DemoTrack, rng: random.Random) -> str:
    spec = track.spec
    adjective = rng.choice(phrases("tempo", spec.tempo, "adjectives"))
    lead = _bare(rng.choice(phrases("lead", spec.lead)))
    drums = rng.choice(phrases("drums", spec.drums))
    values = {
        "style": track.style_tag,
        "a_style": with_article(track.style_tag),
        "a_tempo_lead": with_article(f"{adjective} {lead}"),
        "with_drums": f" and {drums}" if spec.drums != "none" else f" with {drums}" if rng.random() < 0.4 else "",
        "a_mood": rng.choice(phrases("mood", track.mood)),
        "a_mode": rng.choice(phrases("mode", spec.mode)),
        "a_effect": rng.choice(phrases("effect", spec.effect)),
    }
    return str(rng.choice(word_list("sentences")["lead_sentence"])).format(**values)


def _fill(family: str, track: DemoTrack, rng: random.Random, phrase: str = "") -> str:
    names = word_list("names")
    values = {
        "x": _bare(phrase),
        "a_x": phrase,
        "A_x": phrase[:1].upper() + phrase[1:],
        "s": f'"{track.title}"',
        "artist": track.artist,
        "album": track.album,
        "year": track.year,
        "label": rng.choice(names["labels"]),
        "place": rng.choice(names["places"]),
        "person": rng.choice(names["persons"]),
        "date": f"{rng.randint(1, 28)} {rng.choice(('March', 'June', 'September', 'November'))} {track.year}",
        "chart": rng.randint(2, 40),
        "n": rng.randint(3, 19),
        "later": track.year + rng.randint(2, 9),
    }
    return str(rng.choice(word_list("sentences")[family])).format(**values)


def with_article(phrase: str) -> str:
    """The phrase with the article "a" or "an", chosen by spelling."""
    return f"{'an' if re.match(r'[aeio]|8|un(?!i)', phrase) else 'a'} {phrase}"


def _bare(phrase: str) -> str:
    return re.sub(r"^(an?|the) ", "", phrase)
