"""The pages and records of the demo's web about a world: recordings, articles and reviews, noise included.

Not every track is covered, some records are of a live version or a remix, some articles are about something else of
the same name, and a few pages are broken or closed to us, so that every stage has something to refuse.
"""

from __future__ import annotations

import html
import json
import random
import re
import uuid
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sourcing.demo import prose
from sourcing.demo.synth import DURATION_S
from sourcing.demo.word_lists import word_list
from sourcing.demo.world import DemoTrack, World

__all__ = ["ROBOTS_TXT", "Web", "build_web", "review_urls"]

ROBOTS_TXT = "User-agent: *\nDisallow: /reviews/private/\n\nSitemap: /reviews/sitemap.xml\n"
_ARTICLE_SHARE, _REVIEW_SHARE = 0.6, 0.25


@dataclass
class Web:
    """The web's answers by the key in the request; filled by `build_web`, then only read."""

    recordings: dict[str, dict[str, Any]] = field(default_factory=dict)  # MBID → full record
    isrcs: dict[str, list[str]] = field(default_factory=dict)  # ISRC → MBIDs
    articles: dict[str, dict[str, Any]] = field(default_factory=dict)  # title → page of formatversion 2
    redirects: dict[str, str] = field(default_factory=dict)  # title → title of the article
    pages: dict[str, str] = field(default_factory=dict)  # path below /reviews/ → HTML
    dead: list[str] = field(default_factory=list)  # linked paths below /reviews/ that answer 404


def build_web(world: World) -> Web:
    """The web of a world; equal worlds give equal webs."""
    web = Web()
    for track in world.tracks:
        draw = world.draw(f"web:{track.number}")
        if draw.random() < 0.95:
            _add_recording(web, track, draw)
        if track.number % 12 == 5:
            _add_version(web, track, draw, "Live", 31.0)
        if track.number % 17 == 9:
            _add_version(web, track, draw, f"{draw.choice(word_list('names')['places'])} Remix", 1.5)
        if draw.random() < _ARTICLE_SHARE:
            _add_article(web, track, prose.article(track, draw), draw)
        if draw.random() < _REVIEW_SHARE:
            _add_review(web, track, draw)
    _add_wrong_articles(web, world)
    _spoil_reviews(web, world)
    return web


def review_urls(web: Web, base_url: str) -> list[str]:
    """Addresses for `crawl run --urls`, dead and closed pages included."""
    return [f"{base_url}/{path}" for path in sorted([*web.pages, *web.dead])]


# ---- MusicBrainz -------------------------------------------------------------------------------------------


def _add_recording(web: Web, track: DemoTrack, draw: random.Random) -> None:
    tags = prose.tags(track, draw)
    record = _recording(track, track.mbid, track.title, DURATION_S + draw.uniform(-0.6, 0.6), tags)
    record["isrcs"] = [track.isrc]
    if draw.random() < 0.2:
        record["annotation"] = prose.annotation(track, draw)
    web.recordings[track.mbid] = record
    web.isrcs.setdefault(track.isrc, []).append(track.mbid)


def _add_version(web: Web, track: DemoTrack, draw: random.Random, version: str, longer_s: float) -> None:
    """Add a second recording of the track's work to the web: near in name, different in sound."""
    mbid = str(uuid.UUID(int=draw.getrandbits(128), version=4))
    junk = draw.sample(word_list("names")["junk_tags"], 2)
    tags = [{"name": name, "count": draw.randint(1, 5)} for name in [version.split()[-1].lower(), *junk]]
    record = _recording(track, mbid, f"{track.title} ({version})", DURATION_S + longer_s, tags)
    record["disambiguation"] = version.lower()
    web.recordings[mbid] = record


def _recording(
    track: DemoTrack, mbid: str, title: str, duration_s: float, tags: list[dict[str, Any]]
) -> dict[str, Any]:
    artist_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"demo artist {track.artist}"))
    release_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"demo album {track.artist} {track.album}"))
    genre = {"id": str(uuid.uuid5(uuid.NAMESPACE_URL, track.style_tag)), "disambiguation": ""}
    genres = [{**genre, "name": tag["name"], "count": tag["count"]} for tag in tags if tag["name"] == track.style_tag]
    artist = {"id": artist_id, "name": track.artist, "sort-name": track.artist, "disambiguation": "", "type": "Group"}
    return {
        "id": mbid,
        "title": title,
        "length": round(duration_s * 1000),
        "disambiguation": "",
        "video": False,
        "first-release-date": f"{track.year}-0{1 + track.number % 9}-1{track.number % 10}",
        "artist-credit": [{"name": track.artist, "joinphrase": "", "artist": artist}],
        "isrcs": [],
        "annotation": None,
        "tags": sorted(tags, key=lambda tag: str(tag["name"])),
        "genres": genres,
        "relations": [],
        "releases": [
            {"id": release_id, "title": track.album, "status": "Official", "date": str(track.year), "country": "XW"}
        ],
    }


# ---- Wikipedia ---------------------------------------------------------------------------------------------


def _add_article(web: Web, track: DemoTrack, extract: str, draw: random.Random) -> None:
    title = track.title
    if title in web.articles or title == track.artist:
        title = f"{track.title} ({track.artist} song)"
    elif track.title == track.artist or draw.random() < 0.1:
        web.redirects[f"{track.title} (song)"] = title
    _add_page(web, title, extract)


def _add_page(web: Web, title: str, extract: str, properties: dict[str, str] | None = None) -> None:
    number = len(web.articles) + 1
    web.articles[title] = {
        "pageid": 70_000 + number,
        "ns": 0,
        "title": title,
        "extract": extract,
        "contentmodel": "wikitext",
        "pagelanguage": "en",
        "pagelanguagehtmlcode": "en",
        "pagelanguagedir": "ltr",
        "touched": "2026-02-11T08:00:00Z",
        "lastrevid": 910_000_000 + number * 13,
        "length": len(extract) * 2,
        "revisions": [{"revid": 910_000_000 + number * 13, "parentid": 0, "timestamp": "2026-02-10T19:21:44Z"}],
        "pageprops": {"wikibase_item": f"Q{990_000_000 + number}", **(properties or {})},
    }


def _add_wrong_articles(web: Web, world: World) -> None:
    """Artists' own articles, a few things of the same name that make no sound, and a page that only lists names."""
    for index, artist in enumerate(world.artists):
        tracks = [track for track in world.tracks if track.artist == artist]
        draw = world.draw(f"artist:{artist}")
        titles = ", ".join(f'"{track.title}"' for track in draw.sample(tracks, min(3, len(tracks))))
        place = draw.choice(word_list("names")["places"])
        text = (
            f"{artist} are a musical group from {place}, active since {1991 + index % 20}. "
            f"They are best known for {titles}.\n\n\n== History ==\nThe group met in {place}, where two of its "
            f"members worked on the ferries. They have released {2 + index % 5} albums."
        )
        _add_page(web, artist if artist not in web.articles else f"{artist} (band)", text)
    draw = world.draw("wrong articles")
    things = (
        "1962 film about a lighthouse keeper",
        "village near {place}",
        "novel by {person}",
        "harbour ferry built in 1911",
    )
    without_article = [track for track in world.tracks if track.title not in web.articles and track.language == "en"]
    for track, thing in zip(draw.sample(without_article, min(12, len(without_article))), things * 3, strict=False):
        names = word_list("names")
        what = thing.format(place=draw.choice(names["places"]), person=draw.choice(names["persons"]))
        _add_page(
            web,
            track.title,
            f"{track.title} is a {what}. It was restored in 1987 and has belonged to a foundation since.\n\n\n"
            f"== Name ==\nIt is not to be confused with the music of {track.artist}.",
        )
    title = without_article[0].title
    _add_page(web, f"{title} (disambiguation)", f"{title} may refer to:\n\n{title}, a village", {"disambiguation": ""})


# ---- review pages ------------------------------------------------------------------------------------------


def _add_review(web: Web, track: DemoTrack, draw: random.Random) -> None:
    paragraphs = prose.review(track, draw)
    slug = re.sub(r"[^a-z0-9]+", "-", f"{track.artist} {track.title}".lower()).strip("-") or "review"
    stars = draw.randint(2, 5)
    item: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "MusicRecording",
        "name": track.title,
        "byArtist": {"@type": "MusicGroup", "name": track.artist},
        "inAlbum": {"@type": "MusicAlbum", "name": track.album},
        "duration": f"PT{DURATION_S:.0f}S",
        "genre": track.style_tag,
        "datePublished": str(track.year),
        "review": {
            "@type": "Review",
            "author": {"@type": "Person", "name": draw.choice(word_list("names")["persons"])},
            "reviewRating": {"@type": "Rating", "ratingValue": stars, "bestRating": 5},
            "datePublished": date(track.year + 1, draw.randint(1, 12), draw.randint(1, 28)).isoformat(),
            "reviewBody": paragraphs[0],
        },
    }
    if draw.random() < 0.3:
        item["isrcCode"] = track.isrc
    web.pages[f"{slug}-{track.number + 1}.html"] = _page(track, paragraphs, json.dumps(item, ensure_ascii=False), "")


def _page(track: DemoTrack, paragraphs: list[str], json_ld: str, head: str) -> str:
    """A review page; three in four name a licence, the rest's words stay unpublished."""
    licence = '<a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>'
    terms = f"Our texts are {licence}." if track.number % 4 else "Subscribe to our newsletter."
    title = html.escape(f"{track.title} by {track.artist}: review")
    script = json_ld.replace("</", r"<\/")
    body = "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>{head}
<script type="application/ld+json">{script}</script></head>
<body>
<header><nav><a href="/reviews/">All reviews</a> <a href="/reviews/about">About us</a></nav></header>
<main><article><h1>{title}</h1>
{body}
</article></main>
<footer>The Velmora Listener. Written by hand, printed on Fridays. {terms}</footer>
</body>
</html>
"""


def _spoil_reviews(web: Web, world: World) -> None:
    """Add a page of torn JSON-LD, a page closed to models by meta tag, a page on a disallowed path, a dead link."""
    tracks = world.draw("spoiled reviews").sample(world.tracks, 3)
    texts = [prose.review(track, world.draw(f"spoiled:{track.number}")) for track in tracks]
    torn = '{"@context": "https://schema.org", "@type": "MusicRecording", "name": "' + tracks[0].title.replace('"', "")
    web.pages["torn-json-ld.html"] = _page(tracks[0], texts[0], torn, "")
    noai = '<meta name="robots" content="noai, noimageai">'
    web.pages["not-for-models.html"] = _page(tracks[1], texts[1], "{}", noai)
    web.pages["private/draft.html"] = _page(tracks[2], texts[2], "{}", "")
    web.dead.append("taken-down.html")
