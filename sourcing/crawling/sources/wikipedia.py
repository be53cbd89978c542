"""Wikipedia in any language: articles as plain prose with the revision's permalink, and the facts of their infoboxes.

A language is an edition's host ("en", "de", "zh-yue"); the Chinese edition is one host with several ways of writing,
asked for by `zh`, `zh-hans`, `zh-hant`, `zh-cn`, `zh-tw`, `zh-hk`; `zh` means `zh-hans`. That `variant=` changes an
extract is read from TextExtracts' source (its cache is keyed by the preferred variant) and was not tried live.
Wikitext is never converted, so an infobox is asked for once per edition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from sourcing.crawling.parsing.search_hits import words
from sourcing.crawling.parsing.values import as_object, clean, first_sentences
from sourcing.crawling.source import Lead, Page, PageError, Source, Standing, TaskSpec
from sourcing.crawling.wiki.infobox import read_infobox
from sourcing.crawling.wiki.lead_sentences import article_text, name_in_title, read_opening, split_title
from sourcing.crawling.wiki.mediawiki import (
    API_ERRORS,
    API_ETIQUETTE,
    QID,
    VARIANTS,
    api_answer,
    api_url,
    edition_of,
)

__all__ = ["SOURCE", "ArticlePage", "SearchPage", "WikitextPage", "tasks"]

NAME = "wikipedia"
MAX_HITS = 3
_SEARCH_LIMIT = 6
#: Editions a track's own language may add to those of the settings: a tag like "und" has no host.
_EDITIONS = frozenset(
    """af ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl he hi hr hu hy id is it ja ka kk ko la lt lv
    mk ml ms mt my nl nn no pl pt ro ru sk sl sq sr sv sw ta te th tl tr uk ur uz vi zh""".split()
)
_LANGUAGE_REF = re.compile(r"([a-z]{2,3}(?:-[a-z]+)*):(?=\S)")  # titles begin with a capital, so this is no part of one


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """One search per edition, for both names as phrases; the track's own language is asked as well."""
    phrases = [" ".join(str(track[column]).replace('"', " ").split()) for column in ("title", "artist")]
    query = {
        "action": "query",
        "list": "search",
        "srsearch": " ".join(f'"{phrase}"' for phrase in phrases if phrase),
        "srlimit": _SEARCH_LIMIT,
    }
    own = str(track.get("language") or "").split("-")[0].lower()
    editions = [edition_of(language) for language in source.languages] + ([own] if own in _EDITIONS else [])
    urls = dict.fromkeys(api_url(source.url_of(edition), query) for edition in editions)
    for url in urls:
        yield TaskSpec(NAME, url, SearchPage.kind, str(track["track_id"]))


def _article_url(ref: str, source: Source) -> str:
    """Of "zh-hant:Title" or, in the first language, "Title"."""
    language, title = _split_ref(ref, source)
    query = {
        "action": "query",
        "prop": "extracts|pageprops|info|revisions",
        "explaintext": 1,
        "rvprop": "ids|timestamp",
        "titles": title,
        "redirects": 1,
    }
    # A host of one's own has no languages to choose from: the same article stays one address there.
    if edition_of(language) == "zh" and "{language}" in source.base_url:
        query["variant"] = language if language in VARIANTS else "zh-hans"
    return api_url(source.url_of(edition_of(language)), query)


def _wikitext_url(ref: str, source: Source) -> str:
    """The opening section alone: it holds the infobox, and whole articles are long."""
    language, title = _split_ref(ref, source)
    query = {"action": "parse", "page": title, "prop": "wikitext|revid", "section": 0, "redirects": 1}
    return api_url(source.url_of(edition_of(language)), query)


def _split_ref(ref: str, source: Source) -> tuple[str, str]:
    match = _LANGUAGE_REF.match(ref)
    return (match[1], ref[match.end() :]) if match else (source.languages[0] if source.languages else "en", ref)


class _WikipediaPage(Page):
    @property
    def edition(self) -> str:
        """By the address that was asked (de.wikipedia.org); where that names none, the first of the languages."""
        before, language, after = self.source.base_url.partition("{language}")
        pattern = (
            rf"{re.escape(before)}([a-z-]+){re.escape(after)}/" if language else r"https?://([a-z-]+)\.wikipedia\.org/"
        )
        match = re.match(pattern, self.capture.url)
        return match[1] if match else edition_of(self.source.languages[0] if self.source.languages else "en")

    @property
    def asked(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.capture.url).query).items()}

    def permalink(self, title: str, revision: Any) -> str:
        site, api, _ = self.capture.url.partition("/w/api.php")
        address = f"{site if api else self.source.url_of(self.edition)}/w/index.php"
        address += f"?title={quote(title.replace(' ', '_'), safe='')}"
        return f"{address}&oldid={revision}" if isinstance(revision, int) else address


class SearchPage(_WikipediaPage):
    """A list of hits: it only leads to the articles of a few, those called like the track first."""

    kind = "search"

    def documents(self) -> list[dict[str, Any]]:
        self._titles()
        return []

    def follow(self) -> Iterable[Lead]:
        languages = [language for language in self.source.languages if edition_of(language) == self.edition]
        for title in self._titles():
            for language in languages or [self.edition]:
                yield Lead(NAME, ArticlePage.kind, f"{language}:{title}")

    def _titles(self) -> list[str]:
        hits = api_answer(self, "query").get("search")
        if not isinstance(hits, list):
            raise PageError("search_missing", "an answer without a list of search hits")
        titles = (hit.get("title") for hit in hits if isinstance(hit, dict))
        titles_found = list(dict.fromkeys(title for title in titles if isinstance(title, str) and title))
        quoted_title = re.match(r'"([^"]*)"', self.asked.get("srsearch", ""))
        title_words = words(quoted_title[1]) if quoted_title else []
        titles_found.sort(key=lambda title: words(split_title(title)[0]) != title_words)
        return titles_found[:MAX_HITS]


class ArticlePage(_WikipediaPage):
    """One article; several in one answer give several documents."""

    kind = "page"

    def documents(self) -> list[dict[str, Any]]:
        return self.read_each(self._pages(), self._document)

    def follow(self) -> Iterator[Lead]:
        """From an article about a recording or release: its infobox, and its item, which knows the other editions."""
        for page in self._pages():
            try:
                document = self._document(page)
            except PageError:
                continue  # refused by `documents`
            if document["granularity"] in ("recording", "release"):
                yield Lead(NAME, WikitextPage.kind, f"{self.edition}:{document['title_raw']}")
                if item := _item_of(page):
                    yield Lead("wikidata", "entity", item)

    def _pages(self) -> list[Mapping[str, Any]]:
        pages = api_answer(self, "query").get("pages")
        if not isinstance(pages, list) or not pages:
            raise PageError("page_missing", "an answer without pages")
        return [as_object(page) for page in pages]

    def _document(self, page: Mapping[str, Any]) -> dict[str, Any]:
        title_raw = clean(page.get("title"))
        if page.get("missing") or page.get("invalid") or title_raw is None or not isinstance(page.get("pageid"), int):
            raise PageError("page_missing", f"there is no article {str(page.get('title'))[:120]!r}")
        properties = page.get("pageprops")
        if isinstance(properties, dict) and "disambiguation" in properties:
            raise PageError("disambiguation", f"{title_raw!r} only lists what the name may mean")
        text = article_text(page.get("extract"))
        if text is None:
            raise PageError("text_missing", f"the article {title_raw!r} came without an extract")
        title, qualifier = split_title(title_raw)
        language = self._language(page)
        granularity, artist, year = read_opening(text, qualifier, language)
        title = name_in_title(title_raw) if granularity == "artist" else title
        revisions = page.get("revisions")
        first = revisions[0] if isinstance(revisions, list) and revisions else {}
        revision = (first.get("revid") if isinstance(first, dict) else None) or page.get("lastrevid")
        return {
            "record_id": f"{language}:{page['pageid']}",
            "permalink": self.permalink(title_raw, revision),
            "granularity": granularity,
            "title": title,
            "title_raw": title_raw,
            "artist": title if granularity == "artist" else artist,
            "year": year,
            "language": language,
            "lead": first_sentences(text),
            "text": text,
            "subjects": [f"{self.edition}:{page['pageid']}", *filter(None, [_item_of(page)])],
            "standing": Standing.PROSE,
        }

    def _language(self, page: Mapping[str, Any]) -> str:
        """The way of writing that was asked for, else the language the answer states, else the edition's."""
        variant = VARIANTS.get(self.asked.get("variant", ""))
        language = page.get("pagelanguagehtmlcode") or page.get("pagelanguage")
        return variant or (language if isinstance(language, str) and language else self.edition)


def _item_of(page: Mapping[str, Any]) -> str | None:
    item = as_object(page.get("pageprops")).get("wikibase_item")
    return item if isinstance(item, str) and QID.fullmatch(item) else None


class WikitextPage(_WikipediaPage):
    """The infobox of an article as a document of facts; none where the article has no infobox about music."""

    kind = "wikitext"

    def documents(self) -> list[dict[str, Any]]:
        article = api_answer(self, "parse")
        title_raw, wikitext = clean(article.get("title")), article.get("wikitext")
        if title_raw is None or not isinstance(wikitext, str) or not isinstance(article.get("pageid"), int):
            raise PageError("wikitext_missing", f"an answer with only {sorted(article)[:6]}")
        infobox = read_infobox(wikitext)
        if infobox is None:
            return []
        return [
            {
                "record_id": f"{self.edition}:{article['pageid']}:infobox",
                "permalink": self.permalink(title_raw, article.get("revid")),
                "granularity": infobox.granularity,
                "title": infobox.title or split_title(title_raw)[0],
                "title_raw": title_raw,
                "artist": infobox.artist,
                "album": infobox.album,
                "year": infobox.year,
                "duration_s": infobox.duration_s,
                "language": self.edition,
                "tags": [{"name": genre, "count": None} for genre in infobox.genres],
                "subjects": [f"{self.edition}:{article['pageid']}"],
                "standing": Standing.INFOBOX,
            }
        ]


SOURCE = Source(
    name=NAME,
    title="Wikipedia",
    ship_class="A",
    base_url="https://{language}.wikipedia.org",
    rate_per_s=1.0,
    licences={"*": "CC-BY-SA-4.0"},
    attribution="“{title_raw}”, Wikipedia contributors, {permalink}",
    terms_url="https://foundation.wikimedia.org/wiki/Policy:Terms_of_Use",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"page": _article_url, "wikitext": _wikitext_url},
    pages=(SearchPage, ArticlePage, WikitextPage),
    languages=("en", "zh"),
    headers={"Accept": "application/json"},
    errors=API_ERRORS,
    api_terms=API_ETIQUETTE,
)
