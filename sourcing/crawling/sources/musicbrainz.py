"""MusicBrainz: recordings by MBID, by ISRC, or found by title and artist, with their tags and annotation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, unquote, urlencode

from sourcing.crawling.dumps import read_musicbrainz_json
from sourcing.crawling.parsing.values import (
    as_int,
    as_list,
    as_object,
    clean,
    first_sentences,
    other_names,
    read_json,
    seconds_of_ms,
    voted_tags,
    year_of,
)
from sourcing.crawling.source import ErrorRules, Lead, Page, PageError, Source, TaskSpec

__all__ = ["SOURCE", "IsrcPage", "RecordingPage", "SearchPage", "tasks"]

NAME = "musicbrainz"
MBID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAX_HITS = 3
MAX_WORKS = 3  # a medley performs many
MIN_HIT_SCORE = 80
_SEARCH_LIMIT = 5
#: work-level-rels brings the links of the works along, Wikidata's among them; aliases are those of the recording and
#: of its artists, in whatever letters.
_RECORDING_INC = "artist-credits+aliases+isrcs+tags+genres+annotation+url-rels+work-rels+work-level-rels+releases"
_ISRC_INC = "artist-credits+isrcs+tags+genres+releases"  # /isrc answers 400 to inc=annotation
_LUCENE_SPECIAL = re.compile(r'([+\-&|!(){}\[\]^"~*?:\\/])')
#: Addresses that name a record of a source, as MusicBrainz writes them → source, kind, and the reference they come to.
_RECORDS = tuple(
    (re.compile(rf"https?://(?:www\.)?{address}(?:[?#].*)?$"), source, kind, ref)
    for address, source, kind, ref in (
        (r"wikidata\.org/wiki/(Q[1-9]\d*)", "wikidata", "entity", "{0}"),
        (r"([a-z]{2,3}(?:-[a-z]+)*)\.wikipedia\.org/wiki/([^?#]+)", "wikipedia", "page", "{0}:{1}"),
        (r"discogs\.com/(?:[a-z]{2}/)?master/(\d+)[^/?#]*", "discogs", "master", "{0}"),
        (r"discogs\.com/(?:[a-z]{2}/)?release/(\d+)[^/?#]*", "discogs", "release", "{0}"),
        (r"last\.fm/music/([^/?#]+/_/[^/?#]+)", "lastfm", "track", "{0}"),
        (r"([\w-]+\.bandcamp\.com/(?:track|album)/[\w%-]+)", "bandcamp", "page", "https://{0}"),
        (r"jamendo\.com/track/(\d+)[^?#]*", "jamendo", "track", "{0}"),
        (r"archive\.org/details/([^/?#]+)/?", "internetarchive", "item", "{0}"),
        (r"ccmixter\.org/files/[^/?#]+/(\d+)/?", "ccmixter", "upload", "{0}"),
    )
)
_CREATIVE_COMMONS = "CC-BY-NC-SA-3.0"
#: Releases whose titles name an album, best first: a pseudo-release is one in other letters, a bootleg anybody's.
_STATUSES = {
    "Official": 0,
    "Promotion": 2,
    "Withdrawn": 3,
    "Cancelled": 3,
    "Expunged": 3,
    "Bootleg": 4,
    "Pseudo-Release": 5,
}
_STATUS_UNSAID = 1
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """One seed per track: its recording when the MBID is known, else its ISRC, else a search."""
    track_id = str(track["track_id"])
    if track.get("mbid"):
        yield source.ask("recording", str(track["mbid"]), track_id=track_id)
    elif track.get("isrc"):
        yield source.ask("isrc", str(track["isrc"]), track_id=track_id)
    else:
        query = f'recording:"{_lucene(track["title"])}" AND artist:"{_lucene(track["artist"])}"'
        parameters = urlencode({"query": query, "limit": _SEARCH_LIMIT, "fmt": "json"}, quote_via=quote)
        yield TaskSpec(NAME, f"{source.base_url}/ws/2/recording?{parameters}", SearchPage.kind, track_id)


def _recording_url(mbid: str, source: Source) -> str:
    return f"{source.base_url}/ws/2/recording/{quote(mbid, safe='')}?inc={_RECORDING_INC}&fmt=json"


def _isrc_url(isrc: str, source: Source) -> str:
    return f"{source.base_url}/ws/2/isrc/{quote(isrc, safe='')}?inc={_ISRC_INC}&fmt=json"


def _lucene(text: Any) -> str:
    return _LUCENE_SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


class RecordingPage(Page):
    """A recording, with leads from the links of recording and works."""

    kind = "recording"

    def documents(self) -> list[dict[str, Any]]:
        return [_document(_answer(self))]

    def follow(self) -> Iterator[Lead]:
        recording = _answer(self)
        mbid = str(recording.get("id"))
        if MBID.fullmatch(mbid) and recording.get("video") is not True:
            yield Lead("listenbrainz", "recording", mbid)
            yield Lead("wikidata", "mbid", mbid)
            yield from dict.fromkeys(_links(recording))


class IsrcPage(Page):
    """An ISRC may name several recordings; each is a document."""

    kind = "isrc"

    def documents(self) -> list[dict[str, Any]]:
        recordings = _answer(self).get("recordings")
        if not isinstance(recordings, list):
            raise PageError("recordings_missing", "an ISRC answer without a list of recordings")
        return self.read_each(map(as_object, recordings), _document)


class SearchPage(Page):
    """A list of hits, without tags: it only leads to lookups of the most plausible ones."""

    kind = "search"

    def documents(self) -> list[dict[str, Any]]:
        _hits(self)
        return []

    def follow(self) -> Iterable[Lead]:
        hits = [hit for hit in _hits(self) if (as_int(hit.get("score")) or 0) >= MIN_HIT_SCORE and not hit.get("video")]
        # A disambiguation comment marks a variant ("live, 1997", "demo"): the plain recording goes first.
        hits.sort(key=lambda hit: (-(as_int(hit.get("score")) or 0), bool(hit.get("disambiguation"))))
        mbids = dict.fromkeys(str(hit.get("id")) for hit in hits if MBID.fullmatch(str(hit.get("id"))))
        for mbid in list(mbids)[:MAX_HITS]:
            yield Lead(NAME, RecordingPage.kind, mbid)


def _links(recording: Mapping[str, Any]) -> Iterator[Lead]:
    relations = [relation for relation in as_list(recording.get("relations")) if isinstance(relation, dict)]
    yield from _leads_of(relations)
    works = [relation["work"] for relation in relations if isinstance(relation.get("work"), dict)]
    for work in works[:MAX_WORKS]:
        leads = list(_leads_of(as_list(work.get("relations"))))
        yield from leads
        if MBID.fullmatch(str(work.get("id"))) and not any(lead.source == "wikidata" for lead in leads):
            yield Lead("wikidata", "work", str(work["id"]))


def _leads_of(relations: Iterable[Any]) -> Iterator[Lead]:
    """Leads from the addresses of url relations; an address of no known shape leads nowhere."""
    for relation in relations:
        url = relation.get("url") if isinstance(relation, dict) else None
        resource = url.get("resource") if isinstance(url, dict) else None
        lead = _lead_of(resource) if isinstance(resource, str) else None
        if lead is not None and not relation.get("ended"):
            yield lead


def _lead_of(url: str) -> Lead | None:
    for address, source, kind, ref in _RECORDS:
        if match := address.match(url):
            parts = [unquote(part).replace("_", " ") for part in match.groups()]
            return Lead(source, kind, ref.format(*(parts if source == "wikipedia" else match.groups())))
    return None


def _answer(page: Page) -> dict[str, Any]:
    answer = read_json(page.capture)
    if isinstance(answer.get("error"), str):
        raise PageError("api_error", answer["error"])
    return answer


def _hits(page: Page) -> list[dict[str, Any]]:
    recordings = _answer(page).get("recordings")
    if not isinstance(recordings, list):
        raise PageError("recordings_missing", "a search answer without a list of recordings")
    return [hit for hit in recordings if isinstance(hit, dict)]


def _document(recording: Mapping[str, Any]) -> dict[str, Any]:
    mbid, title = str(recording.get("id")), clean(recording.get("title"))
    if not MBID.fullmatch(mbid) or title is None:
        raise PageError("not_a_recording", f"a record with id {mbid[:60]!r} and title {title!r}")
    if recording.get("video") is True:
        raise PageError("video", f"{title[:120]!r} ({mbid}) is a video, not the recording that is heard")
    comment = clean(recording.get("disambiguation"))
    artist = _artist_credit(recording.get("artist-credit"))
    text = _annotation(recording.get("annotation"))
    return {
        "record_id": mbid,
        "permalink": f"https://musicbrainz.org/recording/{mbid}",
        "granularity": "recording",
        "title": title,
        "title_raw": f"{title} ({comment})" if comment else title,  # as the site's pages show it
        "artist": artist,
        "other_titles": other_names(_aliases(recording), than=title),
        "other_artists": other_names(_artist_names(recording.get("artist-credit")), than=artist),
        "album": _album(recording.get("releases")),
        "year": year_of(recording.get("first-release-date")),
        "duration_s": seconds_of_ms(recording.get("length")),
        "isrcs": sorted(
            {code for code in as_list(recording.get("isrcs")) if isinstance(code, str) and _ISRC.fullmatch(code)}
        ),
        "mbid": mbid,
        "tags": _tags(recording),
        "lead": first_sentences(text),
        "text": text,
    }


def _artist_credit(credit: Any) -> str | None:
    """Names as credited, with the join phrases between them: "Queen & David Bowie"."""
    parts = [part for part in as_list(credit) if isinstance(part, dict)]
    texts = (value for part in parts for value in (part.get("name"), part.get("joinphrase")) if isinstance(value, str))
    return clean("".join(texts))


def _aliases(entity: Mapping[str, Any]) -> list[Any]:
    return [as_object(alias).get("name") for alias in as_list(entity.get("aliases"))]


def _artist_names(credit: Any) -> list[Any]:
    """Of a credit of one artist: its own name, its aliases, and the sort name, which is in Latin letters."""
    parts = as_list(credit)
    artist = as_object(as_object(parts[0]).get("artist")) if len(parts) == 1 else {}
    name, sort_name = artist.get("name"), artist.get("sort-name")
    latin = isinstance(name, str) and not name.isascii() and isinstance(sort_name, str) and sort_name.isascii()
    spoken_name = " ".join(reversed(str(sort_name).split(", ", 1))) if latin else None  # "Sakamoto, Kyu"
    return [name, *_aliases(artist), spoken_name]


def _album(releases: Any) -> str | None:
    """The title of the earliest release of the best status; undated ones come last."""
    candidates = [
        (
            _STATUSES.get(str(release.get("status")), _STATUS_UNSAID),
            str(release.get("date") or "9999"),
            str(release.get("id")),
            release["title"],
        )
        for release in as_list(releases)
        if isinstance(release, dict) and isinstance(release.get("title"), str)
    ]
    return clean(min(candidates)[-1]) if candidates else None


def _tags(recording: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Genres and tags in one list: a genre is also a tag, so equal names are one, with the higher count."""
    tag_objects = [tag for name in ("genres", "tags") for tag in as_list(recording.get(name)) if isinstance(tag, dict)]
    return voted_tags((clean(tag.get("name")), as_int(tag.get("count")) or 0) for tag in tag_objects)


def _annotation(annotation: Any) -> str | None:
    """Annotation text without its wiki marks: [url|label], ''italic'', '''bold''', = headings =, * bullets."""
    if not isinstance(annotation, str):
        return None
    text = re.sub(r"\[([^\[\]|\n]+)\|([^\[\]\n]+)\]", r"\2", annotation)
    text = re.sub(r"'{2,5}", "", text)
    text = re.sub(r"(?m)^\s*=+\s*(.*?)\s*=+\s*$", r"\1", text)
    text = clean(re.sub(r"(?m)^\s*\*\s+", "", text)) or ""
    return "\n\n".join(line for line in text.split("\n") if line) or None


SOURCE = Source(
    name=NAME,
    title="MusicBrainz",
    ship_class="A",
    base_url="https://musicbrainz.org",
    rate_per_s=1.0,
    licences={"*": "CC0-1.0", "tags": _CREATIVE_COMMONS, "lead": _CREATIVE_COMMONS, "text": _CREATIVE_COMMONS},
    attribution="MusicBrainz, {permalink}",
    terms_url="https://musicbrainz.org/doc/MusicBrainz_API/Rate_Limiting",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"recording": _recording_url, "isrc": _isrc_url},
    pages=(RecordingPage, IsrcPage, SearchPage),
    errors=ErrorRules(
        codes=("error",),
        rules=(
            (r"exceed|rate limit|too many", "later", "rate_exceeded"),
            (r"busy|try again|time.?out|timed out|unavailable|server error|maintenance", "later", "service_failed"),
            (r"not found", "gone", "not_found"),
        ),
    ),
    headers={"Accept": "application/json"},
    api_terms="https://musicbrainz.org/doc/MusicBrainz_API",
    read_dump=read_musicbrainz_json,
)
