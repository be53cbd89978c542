"""Genius: what a song's page says about the song, found by title and artist; never its lyrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, urlencode

from sourcing.crawling.parsing.search_hits import asked_in, plausible
from sourcing.crawling.parsing.values import as_int, as_list, as_object, clean, first_sentences, read_json, year_of
from sourcing.crawling.source import ErrorRules, Key, Lead, Page, PageError, Source, TaskSpec

__all__ = ["SOURCE", "SearchPage", "SongPage", "tasks"]

NAME = "genius"
MAX_HITS = 2
_MAX_DEPTH = 40
#: Quotations on a song's page are mostly its lyrics; the others hold no prose.
_LEFT_OUT = frozenset({"blockquote", "pre", "embed", "iframe", "img", "table", "hr"})
_BLOCKS = frozenset({"p", "ul", "ol", "li", "h1", "h2", "h3", "h4", "div"})
_PLACEHOLDER = "?"  # stands where nobody has written a description


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """One search per track."""
    query = urlencode({"q": " ".join(f"{track['title']} {track['artist']}".split())}, quote_via=quote)
    yield TaskSpec(NAME, f"{source.base_url}/search?{query}", SearchPage.kind, str(track["track_id"]))


def _song_url(song_id: str, source: Source) -> str:
    """Asked for as a tree, because in plain text a quotation cannot be told from the prose around it."""
    return f"{source.base_url}/songs/{quote(song_id, safe='')}?text_format=dom"


class SearchPage(Page):
    """A list of hits: it only leads to the most plausible songs."""

    kind = "search"

    def documents(self) -> list[dict[str, Any]]:
        self._songs()
        return []

    def follow(self) -> Iterable[Lead]:
        names_with_hits = [
            (f"{song.get('title')} {_artist(song)}", song_id)
            for song in self._songs()
            if (song_id := as_int(song.get("id"))) is not None
        ]
        for song_id in plausible(asked_in(self.capture.url, "q"), names_with_hits, limit=MAX_HITS):
            yield Lead(NAME, SongPage.kind, str(song_id))

    def _songs(self) -> list[dict[str, Any]]:
        hits = _response(self).get("hits")
        if not isinstance(hits, list):
            raise PageError("hits_missing", "a search answer without a list of hits")
        results = (hit.get("result") for hit in hits if isinstance(hit, dict) and hit.get("type") == "song")
        return [song for song in results if isinstance(song, dict)]


class SongPage(Page):
    """One song; the API does not give its lyrics, and nothing here asks for the page that has them."""

    kind = "song"

    def documents(self) -> list[dict[str, Any]]:
        song = as_object(_response(self).get("song"))
        song_id, title = as_int(song.get("id")), clean(song.get("title"))
        if song_id is None or title is None:
            raise PageError("not_a_song", f"a record with id {song.get('id')!r} and title {title!r}")
        text = _description(song.get("description"))
        return [
            {
                "record_id": str(song_id),
                "permalink": f"https://genius.com/songs/{song_id}",
                "granularity": "recording",
                "title": title,
                "title_raw": clean(song.get("title_with_featured")) or title,
                "artist": _artist(song) or None,
                "album": clean(as_object(song.get("album")).get("name")),
                "year": year_of(song.get("release_date")),
                "tags": [{"name": "instrumental", "count": None}] if song.get("instrumental") is True else [],
                "lead": first_sentences(text),
                "text": text,
            }
        ]


def _response(page: Page) -> dict[str, Any]:
    answer = read_json(page.capture)
    response = answer.get("response")
    if not isinstance(response, dict):
        message = as_object(answer.get("meta")).get("message")
        raise PageError("response_missing", f"an answer without a response: {str(message)[:200]}")
    return response


def _artist(song: Mapping[str, Any]) -> str:
    """The credit as the site writes it, guests included; older answers have the first artist only."""
    return clean(song.get("artist_names")) or clean(as_object(song.get("primary_artist")).get("name")) or ""


def _description(description: Any) -> str | None:
    """Paragraphs of prose; those that are nothing but an address are left out."""
    if not isinstance(description, dict):
        return None
    text = _text(description["dom"], _MAX_DEPTH) if "dom" in description else description.get("plain")
    paragraphs = (clean(text) or "").split("\n\n")
    own_paragraphs = [part for part in paragraphs if part != _PLACEHOLDER and not re.fullmatch(r"https?://\S+", part)]
    return "\n\n".join(own_paragraphs) or None


def _text(node: Any, depth: int) -> str:
    """Text of a node {"tag", "children"} and of all below it."""
    if isinstance(node, str):
        return node
    if not isinstance(node, dict) or str(node.get("tag")) in _LEFT_OUT or depth == 0:
        return ""
    if node.get("tag") == "br":
        return "\n"
    inner = "".join(_text(child, depth - 1) for child in as_list(node.get("children")))
    return f"\n\n{inner}\n\n" if str(node.get("tag")) in _BLOCKS else inner


SOURCE = Source(
    name=NAME,
    title="Genius",
    ship_class="C",
    base_url="https://api.genius.com",
    rate_per_s=0.5,
    licences={"*": "unknown"},
    attribution="“{title}”, Genius contributors, {permalink}",
    terms_url="https://genius.com/static/terms",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"song": _song_url},
    pages=(SearchPage, SongPage),
    errors=ErrorRules(
        codes=("meta.status", "error"),
        message="meta.message",
        hint=rb'"error"|"status"\s*:\s*[345]',
        rules=(
            (r"^429$", "later", "rate_exceeded"),
            (r"^5\d\d$", "later", "service_failed"),
            (r"^401$|token|unauthori[sz]ed", "no", "key_refused"),
            (r"^404$", "gone", "not_found"),
        ),
    ),
    key=Key("GENIUS_ACCESS_TOKEN", header="Authorization", template="Bearer {key}"),
    headers={"Accept": "application/json"},
    acknowledgement=(
        "the terms of Genius grant no licence to its contributors' texts: you answer for storing them and for what "
        "you make of them"
    ),
    api_terms="https://docs.genius.com",
)
