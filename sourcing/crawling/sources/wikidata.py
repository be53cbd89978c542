"""Wikidata: the item of a recording, work or album, by its MusicBrainz ids or ISRC, with names in every asked language.

An item states its performer, genres and instruments as other items, whose names are not in it. Where it has any, the
item's page gives no document but leads to one more question, for the item and those others together: that one answer
holds claims and names, and states the whole. A document per asked language, so that a Chinese title and Chinese
genres are found as readily as English ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from sourcing.crawling.parsing.values import as_object, other_names, read_json
from sourcing.crawling.source import Lead, Page, PageError, Source, Standing, TaskSpec
from sourcing.crawling.sources.musicbrainz import MBID
from sourcing.crawling.wiki.mediawiki import (
    API_ERRORS,
    API_ETIQUETTE,
    QID,
    VARIANTS,
    api_answer,
    api_url,
    edition_of,
)
from sourcing.crawling.wiki.wikibase import Entity, duration_s, items, label, names, texts, year

__all__ = ["SOURCE", "EntityPage", "IsrcPage", "LabelsPage", "MbidPage", "WorkPage", "tasks"]

NAME = "wikidata"
MAX_HITS = 3
MAX_RECORDINGS = 2  # an item with more recordings than this is a song that many have sung: none of them is meant
_SEARCH_LIMIT = 5
_MBID_PROPERTY, _ISRC_PROPERTY, _WORK_PROPERTY = "P4404", "P1243", "P435"
_INSTANCE_OF, _PERFORMER, _GENRE, _PART_OF = "P31", "P175", "P136", "P361"
_INSTRUMENTS = ("P1303", "P870")  # played by someone · scored for
_PUBLISHED, _DURATION = "P577", "P2047"
_RELEASE_GROUP, _ARTIST = "P436", "P434"
_DISCOGS_MASTER, _DISCOGS_RELEASE, _LASTFM = "P1954", "P2206", "P3192"
#: album; studio, live, compilation, soundtrack, remix, greatest hits, demo album; EP, mixtape
_ALBUMS = frozenset(
    """Q482994 Q208569 Q209939 Q222910 Q4176708 Q963099 Q723849 Q5610543 Q169930 Q1892995 Q108041408""".split()
)
#: song, single, audio track, musical work, composition; track with vocals, without; single release
_SONGS = frozenset("Q7366 Q134556 Q7302866 Q105543609 Q2188189 Q207628 Q55850593 Q55850643 Q108352496".split())
_GROUPS = frozenset({"Q215380", "Q5741069", "Q2088357"})  # musical group, rock band, musical ensemble
#: What no track is, though performers are stated of it: film, TV series, game, book, novel, musical, concert, concert
#: tour, festival, label, genre, instrument, music video, list, disambiguation page, music award
_OTHERS = frozenset(
    """Q11424 Q5398426 Q7889 Q571 Q8261 Q2743 Q182832 Q1573906 Q868557 Q18127 Q188451 Q34379 Q193977 Q13406463
    Q4167410 Q1364556""".split()
)
_MOST = {_PERFORMER: 3, _GENRE: 6, _INSTRUMENTS[0]: 4, _INSTRUMENTS[1]: 4, _PART_OF: 2}  # names looked up per claim
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
#: Where a name in a way of writing Chinese may lie, best first.
_CHINESE = {
    "zh": ("zh", "zh-hans", "zh-cn", "zh-sg", "zh-hant", "zh-tw", "zh-hk"),
    "zh-hans": ("zh-hans", "zh-cn", "zh-sg", "zh"),
    "zh-hant": ("zh-hant", "zh-tw", "zh-hk", "zh"),
    "zh-cn": ("zh-cn", "zh-hans", "zh"),
    "zh-tw": ("zh-tw", "zh-hant", "zh"),
    "zh-hk": ("zh-hk", "zh-hant", "zh"),
}
#: Languages asked for beside: a name in the letters it was first written in finds tracks that are named so.
_LETTERS = ("ja", "ko", "ru", "uk", "el", "he", "ar", "th")
_ANY_LANGUAGE = "mul"  # Wikidata's code for a name that is the same in most languages


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """A search for the item that states the track's MBID, else its ISRC; other tracks are led to by other sources."""
    for kind, column in ((MbidPage.kind, "mbid"), (IsrcPage.kind, "isrc")):
        if track.get(column):
            yield source.ask(kind, str(track[column]), track_id=str(track["track_id"]))
            return


def _search_url(claim: str, source: Source) -> str:
    query = {"action": "query", "list": "search", "srsearch": f"haswbstatement:{claim}", "srlimit": _SEARCH_LIMIT}
    return api_url(source.base_url, query)


def _entity_url(qid: str, source: Source) -> str:
    return f"{source.base_url}/wiki/Special:EntityData/{quote(qid, safe='')}.json"


def _labels_url(qids: Iterable[str], source: Source) -> str:
    codes = dict.fromkeys(code for language in source.languages for code in _codes(language))
    query = {
        "action": "wbgetentities",
        "ids": "|".join(qids),
        "props": "info|labels|aliases|claims",
        "languages": "|".join(dict.fromkeys([*codes, _ANY_LANGUAGE, *_LETTERS])),
    }
    return api_url(source.base_url, query)


class _FoundPage(Page):
    """Items that state an identifier: it only leads to the first few."""

    def documents(self) -> list[dict[str, Any]]:
        self._qids()
        return []

    def follow(self) -> Iterator[Lead]:
        for qid in self._qids():
            yield Lead(NAME, EntityPage.kind, qid)

    def _qids(self) -> list[str]:
        hits = api_answer(self, "query").get("search")
        if not isinstance(hits, list):
            raise PageError("search_missing", "an answer without a list of search hits")
        titles = (str(hit.get("title")) for hit in hits if isinstance(hit, dict))
        return list(dict.fromkeys(title for title in titles if QID.fullmatch(title)))[:MAX_HITS]


class MbidPage(_FoundPage):
    kind: ClassVar[str] = "mbid"


class IsrcPage(_FoundPage):
    kind: ClassVar[str] = "isrc"


class WorkPage(_FoundPage):
    """By the MusicBrainz work a recording is a performance of."""

    kind: ClassVar[str] = "work"


class EntityPage(Page):
    """One item with all its claims: documents where it needs no other item's name, and links to other sources."""

    kind: ClassVar[str] = "entity"

    def documents(self) -> list[dict[str, Any]]:
        entity = self._entity()
        return [] if _needed(entity) else _documents(entity, {}, self.source)

    def follow(self) -> Iterator[TaskSpec | Lead]:
        entity = self._entity()
        item_ids = _needed(entity)
        if item_ids:
            url = _labels_url([str(entity["id"]), *item_ids], self.source)
            yield TaskSpec(NAME, url, LabelsPage.kind, priority=1)
        if _granularity(entity) in ("recording", "release"):
            yield from _links(entity, self.source)

    def _entity(self) -> Entity:
        return _first(_entities(read_json(self.capture)))


class LabelsPage(Page):
    """An item together with the items in its claims."""

    kind: ClassVar[str] = "labels"

    def documents(self) -> list[dict[str, Any]]:
        entities = _entities({"entities": api_answer(self, "entities")})
        first_id = parse_qs(urlsplit(self.capture.url).query).get("ids", [""])[0].split("|")[0]
        return _documents(entities.get(first_id) or _first(entities), entities, self.source)


def _entities(answer: Mapping[str, Any]) -> dict[str, Entity]:
    entities = as_object(answer.get("entities"))
    sound: dict[str, Entity] = {
        key: entity
        for key, entity in entities.items()
        if isinstance(entity, dict) and "missing" not in entity and QID.fullmatch(str(entity.get("id")))
    }
    if not sound:
        raise PageError(
            "entity_missing", f"an answer with only {sorted(entities)[:6]}, none of them an item that exists"
        )
    return sound


def _first(entities: Mapping[str, Entity]) -> Entity:
    """The item itself; a redirect answers under the name of its target."""
    return next(iter(entities.values()))


def _needed(entity: Entity) -> list[str]:
    """Ids of items with names that the entity's documents need."""
    return list(dict.fromkeys(qid for name, most in _MOST.items() for qid in items(entity, name)[:most]))


def _granularity(entity: Entity) -> str:
    kinds = set(items(entity, _INSTANCE_OF))
    if kinds & _ALBUMS:
        return "release"
    if kinds & _SONGS or any(texts(entity, name) for name in (_MBID_PROPERTY, _ISRC_PROPERTY, _WORK_PROPERTY)):
        return "recording"
    if kinds & _OTHERS:
        return "page"
    if any(texts(entity, name) for name in (_RELEASE_GROUP, _DISCOGS_MASTER, _DISCOGS_RELEASE)):
        return "release"
    return "artist" if kinds & _GROUPS or texts(entity, _ARTIST) else "page"


def _standing(entity: Entity) -> Standing:
    unsaid = _granularity(entity) == "page" and not _OTHERS.intersection(items(entity, _INSTANCE_OF))
    return Standing.ITEM_OF_UNKNOWN_KIND if unsaid else Standing.ITEM


def _links(entity: Entity, source: Source) -> Iterator[Lead]:
    """Leads to articles in the chosen languages and to records of other sources."""
    sitelinks = entity.get("sitelinks")
    for language in source.languages:
        site = f"{edition_of(language).replace('-', '_')}wiki"
        link = sitelinks.get(site) if isinstance(sitelinks, dict) else None
        title = link.get("title") if isinstance(link, dict) else None
        if isinstance(title, str) and title:
            yield Lead("wikipedia", "page", f"{language}:{title}")
    for master in [ref for ref in texts(entity, _DISCOGS_MASTER) if ref.isdecimal()][:MAX_HITS]:
        yield Lead("discogs", "master", master)
    for release in [ref for ref in texts(entity, _DISCOGS_RELEASE) if ref.isdecimal()][:MAX_HITS]:
        yield Lead("discogs", "release", release)
    for ref in [ref for ref in texts(entity, _LASTFM) if re.fullmatch("[^/]+/_/[^/]+", ref)][:MAX_HITS]:
        yield Lead("lastfm", "track", ref)
    recordings = [mbid for mbid in texts(entity, _MBID_PROPERTY) if MBID.fullmatch(mbid)]
    if len(recordings) <= MAX_RECORDINGS:
        for mbid in recordings:
            yield Lead("musicbrainz", "recording", mbid)


def _documents(entity: Entity, others: Mapping[str, Entity], source: Source) -> list[dict[str, Any]]:
    """One per asked language that the item has a name in; else one in whatever language it has a name in."""
    languages = [language for language in source.languages if label(entity, _codes(language))]
    labels = entity.get("labels")
    if not languages and isinstance(labels, dict):
        languages = [code for code in (_ANY_LANGUAGE, *sorted(labels)) if label(entity, (code,))][:1]
    if not languages:
        raise PageError("label_missing", f"the item {entity['id']} has no name in any language asked for")
    return [_document(entity, others, language, source) for language in languages]


def _document(entity: Entity, others: Mapping[str, Entity], language: str, source: Source) -> dict[str, Any]:
    own = _codes(language)
    widely = dict.fromkeys([*own, _ANY_LANGUAGE, *(code for other in source.languages for code in _codes(other))])
    title = label(entity, own)
    codes = dict.fromkeys([*widely, *_LETTERS])
    performing = items(entity, _PERFORMER)
    sole = performing[0] if len(performing) == 1 else None
    performers = [label(others.get(qid, {}), widely) for qid in performing]
    albums = [
        name
        for qid in items(entity, _PART_OF)[: _MOST[_PART_OF]]
        if _granularity(others.get(qid, {})) == "release" and (name := label(others[qid], widely))
    ]
    item_ids = [qid for name in (_GENRE, *_INSTRUMENTS) for qid in items(entity, name)[: _MOST[name]]]
    tags = dict.fromkeys(name for qid in item_ids if (name := label(others.get(qid, {}), (*own, _ANY_LANGUAGE))))
    mbids = [mbid for mbid in texts(entity, _MBID_PROPERTY) if MBID.fullmatch(mbid)]
    granularity, standing, revision = _granularity(entity), _standing(entity), entity.get("lastrevid")
    no_music = granularity == "page" and standing == Standing.ITEM  # a tour has performers, and is no track of theirs
    artist = title if granularity == "artist" else None if no_music else _joined(performers)
    return {
        "record_id": f"{entity['id']}:{language}",
        "permalink": f"https://www.wikidata.org/w/index.php?title={entity['id']}"
        + (f"&oldid={revision}" if isinstance(revision, int) else ""),
        "granularity": granularity,
        "title": title,
        "title_raw": title,
        "other_titles": other_names(names(entity, codes), than=title),
        "other_artists": other_names(names(others.get(sole, {}), codes), than=artist) if sole and artist else None,
        "artist": artist,
        "album": albums[0] if albums and granularity == "recording" else None,
        "year": year(entity, _PUBLISHED),
        "duration_s": duration_s(entity, _DURATION),
        "isrcs": sorted({code for text in texts(entity, _ISRC_PROPERTY) if _ISRC.fullmatch(code := _bare(text))}),
        "mbid": mbids[0] if len(mbids) == 1 else None,
        "language": None if language == _ANY_LANGUAGE else VARIANTS.get(language, language),
        "tags": [{"name": name, "count": None} for name in tags],
        "subjects": [str(entity["id"])],
        "standing": standing,
    }


def _codes(language: str) -> tuple[str, ...]:
    return _CHINESE.get(language, (language,))


def _joined(names: list[str | None]) -> str | None:
    """All performers or none: a credit with a gap names somebody else (only `_MOST` of them are looked up)."""
    return ", ".join(name for name in names if name) if names and all(names) else None


def _bare(isrc: str) -> str:
    return re.sub(r"[\s-]", "", isrc).upper()


SOURCE = Source(
    name=NAME,
    title="Wikidata",
    ship_class="A",
    base_url="https://www.wikidata.org",
    rate_per_s=1.0,
    licences={"*": "CC0-1.0"},
    attribution="Wikidata, {permalink}",
    terms_url="https://www.wikidata.org/wiki/Wikidata:Licensing",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={
        MbidPage.kind: lambda mbid, source: _search_url(f"{_MBID_PROPERTY}={mbid}", source),
        IsrcPage.kind: lambda isrc, source: _search_url(f"{_ISRC_PROPERTY}={isrc}", source),
        WorkPage.kind: lambda mbid, source: _search_url(f"{_WORK_PROPERTY}={mbid}", source),
        EntityPage.kind: _entity_url,
    },
    pages=(MbidPage, IsrcPage, WorkPage, EntityPage, LabelsPage),
    languages=("en", "zh"),
    headers={"Accept": "application/json"},
    errors=API_ERRORS,
    api_terms=API_ETIQUETTE,
)
