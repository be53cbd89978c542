"""Wikipedia: the articles a search for title and artist finds, as plain prose with the revision's permalink."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from sourcing.crawling.sources.base import Lead, Page, PageError, Source, TaskSpec
from sourcing.crawling.sources.encyclopedia import (
    article_text,
    artist_in_lead,
    granularity_of,
    split_title,
    year_in_lead,
)
from sourcing.crawling.sources.reading import clean, first_sentences, read_json

__all__ = ["SOURCE", "ArticlePage", "SearchPage", "tasks"]

NAME = "wikipedia"
MAX_HITS = 3
_MAXLAG_S = 5  # asked to step back when the replicas lag more, as the API's etiquette wants
_API = {"maxlag": _MAXLAG_S, "format": "json", "formatversion": 2}


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """One search per track, for both names as phrases."""
    phrases = [" ".join(str(track[column]).replace('"', " ").split()) for column in ("title", "artist")]
    query = {
        "action": "query",
        "list": "search",
        "srsearch": " ".join(f'"{phrase}"' for phrase in phrases if phrase),
        "srlimit": MAX_HITS,
    }
    yield TaskSpec(NAME, _url(source.base_url, query), SearchPage.kind, str(track["track_id"]))


def _url(base_url: str, query: Mapping[str, Any]) -> str:
    return f"{base_url}/w/api.php?{urlencode({**query, **_API}, quote_via=quote)}"


def _article_url(title: str, source: Source) -> str:
    query = {
        "action": "query",
        "prop": "extracts|pageprops|info|revisions",
        "explaintext": 1,
        "rvprop": "ids|timestamp",
        "titles": title,
        "redirects": 1,
    }
    return _url(source.base_url, query)


class SearchPage(Page):
    """A list of hits: it only leads to their articles."""

    kind = "search"

    def documents(self) -> list[dict[str, Any]]:
        self._titles()
        return []

    def follow(self) -> Iterable[Lead]:
        for title in self._titles():
            yield Lead(NAME, ArticlePage.kind, title)

    def _titles(self) -> list[str]:
        hits = _query(self).get("search")
        if not isinstance(hits, list):
            raise PageError("search_missing", "an answer without a list of search hits")
        titles = (hit.get("title") for hit in hits if isinstance(hit, dict))
        return list(dict.fromkeys(title for title in titles if isinstance(title, str) and title))[:MAX_HITS]


class ArticlePage(Page):
    """One article; several in one answer give several documents."""

    kind = "page"

    def documents(self) -> list[dict[str, Any]]:
        pages = _query(self).get("pages")
        if not isinstance(pages, list) or not pages:
            raise PageError("page_missing", "an answer without pages")
        documents = []
        for page in pages:
            try:
                documents.append(self._document(page if isinstance(page, dict) else {}))
            except PageError as error:
                self.refused.append(error)
        if self.refused and not documents:
            raise self.refused.pop(0)
        return documents

    def _document(self, page: Mapping[str, Any]) -> dict[str, Any]:
        title_raw = clean(page.get("title"))
        if page.get("missing") or page.get("invalid") or title_raw is None or "pageid" not in page:
            raise PageError("page_missing", f"there is no article {str(page.get('title'))[:120]!r}")
        properties = page.get("pageprops")
        if isinstance(properties, dict) and "disambiguation" in properties:
            raise PageError("disambiguation", f"{title_raw!r} only lists what the name may mean")
        text = article_text(page.get("extract"))
        if text is None:
            raise PageError("text_missing", f"the article {title_raw!r} came without an extract")
        title, qualifier = split_title(title_raw)
        lead, opening = first_sentences(text), first_sentences(text, 1) or ""
        granularity = granularity_of(opening, qualifier)
        about_music = granularity in ("recording", "release")
        language = self._language(page)
        return {
            "record_id": f"{language}:{page['pageid']}",
            "permalink": self._permalink(title_raw, page),
            "granularity": granularity,
            "title": title,
            "title_raw": title_raw,
            "artist": title if granularity == "artist" else artist_in_lead(opening, qualifier) if about_music else None,
            "year": year_in_lead(opening) if about_music else None,
            "language": language,
            "lead": lead,
            "text": text,
        }

    def _language(self, page: Mapping[str, Any]) -> str:
        """As the answer says, else by the host name (de.wikipedia.org)."""
        stated = page.get("pagelanguagehtmlcode") or page.get("pagelanguage")
        if isinstance(stated, str) and stated:
            return stated
        host = urlsplit(self.source.base_url).hostname or ""
        return host.split(".")[0] if host.endswith(".wikipedia.org") else "en"

    def _permalink(self, title: str, page: Mapping[str, Any]) -> str:
        revisions = page.get("revisions")
        first = revisions[0] if isinstance(revisions, list) and revisions else {}
        revision = (first.get("revid") if isinstance(first, dict) else None) or page.get("lastrevid")
        address = f"{self.source.base_url}/w/index.php?title={quote(title.replace(' ', '_'), safe='')}"
        return f"{address}&oldid={revision}" if isinstance(revision, int) else address


def _query(page: Page) -> dict[str, Any]:
    answer = read_json(page.captured)
    error = answer.get("error")
    if error is not None:
        code = error.get("code") if isinstance(error, dict) else None
        info = error.get("info") if isinstance(error, dict) else error
        raise PageError("maxlag" if code == "maxlag" else "api_error", f"{code}: {str(info)[:200]}")
    query = answer.get("query")
    if not isinstance(query, dict):
        raise PageError("query_missing", f"an answer with only {sorted(answer)[:6]}")
    return query


SOURCE = Source(
    name=NAME,
    title="Wikipedia",
    ship_class="A",
    base_url="https://en.wikipedia.org",
    rate_per_s=1.0,
    licences={"*": "CC-BY-SA-4.0"},
    attribution="“{title_raw}”, Wikipedia contributors, {permalink}",
    terms_url="https://foundation.wikimedia.org/wiki/Policy:Terms_of_Use",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"page": _article_url},
    pages=(SearchPage, ArticlePage),
    headers={"Accept": "application/json"},
    api_terms="https://www.mediawiki.org/wiki/API:Etiquette",
)
