"""Reddit: opening posts of threads that name a track and its artist, through the Data API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

from sourcing.crawling.parsing.search_hits import asked_in, names_phrase
from sourcing.crawling.parsing.values import clean, first_sentences, read_json, tags_of, year_of
from sourcing.crawling.source import ErrorRules, Key, Page, PageError, Source, TaskSpec

__all__ = ["SOURCE", "SearchPage", "ThreadPage", "tasks"]

NAME = "reddit"
MAX_HITS = 3
_SEARCH_LIMIT = 25
_MAX_HEADING_CHARS = 300  # the site allows no more
_ID = re.compile(r"[0-9a-z]{1,13}")
_NO_PROSE = (">", "&gt;", "#", "|", "```")  # quotations, headings, tables, code
_GONE = frozenset({"[removed]", "[deleted]"})
#: The form music forums ask for: "Artist -- Title [genre/genre] (year)".
_MUSIC_POST = re.compile(r"(?P<artist>\S.*?)\s+(?:--?|[–—])\s+(?P<title>\S.*?)\s*\[(?P<genres>[^\[\]]+)\](?P<rest>.*)")
_YEAR = re.compile(r"\((\d{4})\)")


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """One search per track, for both names as phrases."""
    phrases = [" ".join(str(track[column]).replace('"', " ").split()) for column in ("title", "artist")]
    query = {
        "q": " ".join(f'"{phrase}"' for phrase in phrases if phrase),
        "type": "link",
        "sort": "relevance",
        "limit": _SEARCH_LIMIT,
        "raw_json": 1,
    }
    address = f"{source.base_url}/search.json?{urlencode(query, quote_via=quote)}"
    yield TaskSpec(NAME, address, SearchPage.kind, str(track["track_id"]))


def _thread_url(thread_id: str, source: Source) -> str:
    return f"{source.base_url}/by_id/t3_{quote(thread_id.removeprefix('t3_'), safe='')}?raw_json=1"


class ThreadPage(Page):
    """Threads asked for by their id."""

    kind = "thread"

    def documents(self) -> list[dict[str, Any]]:
        documents = [row for post in _posts(self) if (row := _document(post))]
        if not documents:
            raise PageError("nothing_to_read", "no thread with words: removed, or only a link")
        return documents


class SearchPage(Page):
    """Hits come as whole records: those that name both the track and its artist are documents, best first."""

    kind = "search"

    def documents(self) -> list[dict[str, Any]]:
        phrases = re.findall(r'"([^"]*)"', asked_in(self.capture.url, "q"))
        names_with_posts = (
            post
            for post in _posts(self)
            if all(names_phrase(f"{post.get('title')} {post.get('selftext')}", phrase) for phrase in phrases)
        )
        documents = (row for post in names_with_posts if (row := _document(post)))
        return list(islice(documents, MAX_HITS))


def _posts(page: Page) -> list[dict[str, Any]]:
    answer = read_json(page.capture)
    if "error" in answer:
        raise PageError("api_error", f"{answer['error']}: {str(answer.get('message'))[:200]}")
    data = answer.get("data")
    children = data.get("children") if isinstance(data, dict) else None
    if not isinstance(children, list):
        raise PageError("listing_missing", f"an answer with only {sorted(answer)[:6]}")
    posts = (child.get("data") for child in children if isinstance(child, dict) and child.get("kind") == "t3")
    return [post for post in posts if isinstance(post, dict)]


def _document(post: Mapping[str, Any]) -> dict[str, Any] | None:
    """None for threads that were removed, are marked as adult, or hold no words: they are no records to reject."""
    thread_id, heading = str(post.get("id")), clean(post.get("title"))
    if not _ID.fullmatch(thread_id) or heading is None or post.get("removed_by_category") or post.get("over_18"):
        return None
    text = _prose(post.get("selftext"))
    music = _MUSIC_POST.fullmatch(heading) if len(heading) <= _MAX_HEADING_CHARS else None
    if text is None and music is None:
        return None
    row: dict[str, Any] = {
        "record_id": thread_id,
        "permalink": f"https://www.reddit.com/comments/{thread_id}",
        "granularity": "page",
        "title": heading,
        "title_raw": heading,
        "lead": first_sentences(text),
        "text": text,
    }
    if music is None:
        return row
    year = _YEAR.search(music["rest"])
    return {
        **row,
        "granularity": "recording",
        "title": music["title"],
        # Without the genres: "dub" and "remix" there are no versions of the title.
        "title_raw": clean(f"{music['title']} {_YEAR.sub('', music['rest'])}"),
        "artist": music["artist"],
        "year": year_of(year[1]) if year else None,
        "tags": tags_of(clean(part) for part in re.split(r"[/,;|]", music["genres"])),
    }


def _prose(selftext: Any) -> str | None:
    """Prose of a post in Markdown; quotations are left out, because they are others' words and often lyrics."""
    text = clean(selftext)
    if text is None or text in _GONE:
        return None
    lines = [line for line in text.split("\n") if not line.startswith(_NO_PROSE)]
    text = "\n".join(re.sub(r"^[*+-]\s+", "", line) for line in lines)
    text = re.sub(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*\)", r"\1", text)
    text = re.sub(r"(?<!\w)([*_~]{1,3})(?=\S)(.{1,500}?)(?<=\S)\1(?!\w)", r"\2", text)
    text = re.sub(r"https?://\S+", "", re.sub(r"\\(?=[^\w\s])", "", text))
    return clean(text)


SOURCE = Source(
    name=NAME,
    title="Reddit",
    ship_class="C",
    base_url="https://oauth.reddit.com",
    rate_per_s=0.5,
    licences={"*": "unknown"},
    attribution="Reddit thread “{title_raw}”, {permalink}",
    terms_url="https://redditinc.com/policies/data-api-terms",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"thread": _thread_url},
    pages=(SearchPage, ThreadPage),
    errors=ErrorRules(
        codes=("error",),
        message="message",
        rules=(
            (r"^429$", "later", "rate_exceeded"),
            (r"^5\d\d$", "later", "service_failed"),
            (r"^40[13]$|token", "no", "key_refused"),
            (r"^404$", "gone", "not_found"),
        ),
    ),
    key=Key("REDDIT_ACCESS_TOKEN", header="Authorization", template="Bearer {key}"),
    headers={"Accept": "application/json"},
    acknowledgement=(
        "the Data API terms of Reddit leave posts to their authors and want a contract for commercial use and for "
        "training models: you have what your use needs, and drop what its author deletes"
    ),
    api_terms="https://support.reddithelp.com/hc/en-us/articles/16160319875092-Reddit-Data-API-Wiki",
)
