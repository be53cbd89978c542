"""The demo's loopback site: MusicBrainz, Wikipedia and a review magazine on one port, with a log of every request."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from rapidfuzz import fuzz

from sourcing.demo.web import ROBOTS_TXT, Web

__all__ = ["DemoSite", "answer"]

_JSON = "application/json; charset=utf-8"
_PHRASE = re.compile(r'"((?:\\.|[^"\\])+)"')


class DemoSite:
    """`with DemoSite(web, log_path) as site: ... site.url`; serves until the block ends.

    The log is JSONL, one line per request once it is over: time (Unix seconds), path, status, and whether the whole
    answer could be written (`answered` is false when the client died first).
    """

    def __init__(self, web: Web, log_path: Path, port: int = 0) -> None:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log, lock = log_path.open("a", encoding="utf-8"), threading.Lock()
        self._log = log

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # headers and body leave in one packet

            def do_GET(self) -> None:
                at_s = time.time()
                status, content_type, text = answer(web, self.path)
                body = text.encode()
                answered = False
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", content_type)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    self.wfile.flush()
                    answered = True
                except OSError:
                    self.close_connection = True
                line = {"time": round(at_s, 4), "path": self.path, "status": status, "answered": answered}
                with lock:
                    log.write(json.dumps(line) + "\n")
                    log.flush()

            def log_message(self, *_: Any) -> None:
                pass

        try:
            self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError:
            log.close()
            raise
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> DemoSite:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._log.close()


def answer(web: Web, path: str) -> tuple[int, str, str]:
    """The status, content type and text that answer a GET of `path`."""
    parts = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    where = unquote(parts.path)
    if where == "/robots.txt":
        return 200, "text/plain; charset=utf-8", ROBOTS_TXT
    if where.startswith("/musicbrainz/ws/2/"):
        return _musicbrainz(web, where.removeprefix("/musicbrainz/ws/2/"), query)
    if where == "/wikipedia/w/api.php":
        return 200, _JSON, json.dumps(_wikipedia(web, query), ensure_ascii=False)
    page = web.pages.get(where.removeprefix("/reviews/")) if where.startswith("/reviews/") else None
    if page is not None:
        return 200, "text/html; charset=utf-8", page
    return 404, "text/html; charset=utf-8", "<!doctype html><title>Not found</title><p>There is nothing here."


def _musicbrainz(web: Web, what: str, query: dict[str, str]) -> tuple[int, str, str]:
    if what == "recording" and "query" in query:
        recordings = _search_recordings(web, query["query"], int(query.get("limit", "25")))
        hits = {"created": "2026-02-12T00:00:00.000Z", "count": len(recordings), "offset": 0, "recordings": recordings}
        return 200, _JSON, json.dumps(hits, ensure_ascii=False)
    included = set(re.split(r"[+ ]", query.get("inc", "")))
    kind, _, key = what.partition("/")
    if kind == "recording" and key in web.recordings:
        return 200, _JSON, json.dumps(_included(web.recordings[key], included), ensure_ascii=False)
    if kind == "isrc" and key in web.isrcs:
        recordings = [_included(web.recordings[mbid], included) for mbid in web.isrcs[key]]
        return 200, _JSON, json.dumps({"isrc": key, "recordings": recordings}, ensure_ascii=False)
    return 404, _JSON, json.dumps({"error": "Not Found", "help": "For usage, please see: the development docs"})


def _included(record: dict[str, Any], included: set[str]) -> dict[str, Any]:
    """The parts of a record that `inc=` names; the real service too leaves the others out."""
    needs = {"artist-credit": "artist-credits", "isrcs": "isrcs", "tags": "tags", "genres": "genres"}
    needs |= {"annotation": "annotation", "relations": "url-rels", "releases": "releases"}
    return {name: value for name, value in record.items() if name not in needs or needs[name] in included}


def _search_recordings(web: Web, query: str, limit: int) -> list[dict[str, Any]]:
    """Hits with scores of 0 to 100 for the quoted title and artist of a Lucene query, best first."""
    phrases = [re.sub(r"\\(.)", r"\1", phrase) for phrase in _PHRASE.findall(query)] or [query]
    hits = []
    for record in web.recordings.values():
        names = [record["title"], record["artist-credit"][0]["name"]]
        pairs = zip(phrases, names, strict=False)
        scores = [max(fuzz.ratio(phrase.lower(), name.lower()), 0.97 * _starts(phrase, name)) for phrase, name in pairs]
        score = round(sum(scores) / len(scores))
        if min(scores) > 55 and score > 60:
            hits.append((score, record))
    hits.sort(key=lambda hit: (-hit[0], hit[1]["id"]))
    columns = ("id", "title", "length", "disambiguation", "artist-credit", "first-release-date", "releases", "isrcs")
    return [{"score": score, **{name: record[name] for name in columns}} for score, record in hits[:limit]]


def _starts(phrase: str, name: str) -> float:
    return 100.0 if name.lower().startswith(phrase.lower() + " (") else 0.0


def _wikipedia(web: Web, query: dict[str, str]) -> dict[str, Any]:
    if query.get("action") == "parse":
        return _wikitext(web, query)
    if query.get("action") != "query":
        info = f'Unrecognized value for parameter "action": {query.get("action")}.'
        return {"error": {"code": "badvalue", "info": info}}
    if query.get("list") == "search":
        articles = _search_articles(web, query.get("srsearch", ""), int(query.get("srlimit", "10")))
        return {"batchcomplete": True, "query": {"searchinfo": {"totalhits": len(articles)}, "search": articles}}
    result: dict[str, Any] = {}
    pages = []
    for requested in query.get("titles", "").split("|"):
        title = web.redirects.get(requested, requested)
        if title != requested:
            result.setdefault("redirects", []).append({"from": requested, "to": title})
        pages.append(web.articles.get(title) or {"ns": 0, "title": title, "missing": True})
    asked_for = set(query.get("prop", "").split("|"))
    parts = {"extracts": ["extract"], "pageprops": ["pageprops"], "revisions": ["revisions"]}
    dropped = {name for prop, names in parts.items() if prop not in asked_for for name in names}
    result["pages"] = [{name: value for name, value in page.items() if name not in dropped} for page in pages]
    return {"batchcomplete": True, "query": result}


def _wikitext(web: Web, query: dict[str, str]) -> dict[str, Any]:
    """The wikitext of an article's opening: the demo's articles have no infobox."""
    page = query.get("page", "")
    article = web.articles.get(web.redirects.get(page, page))
    if article is None:
        return {"error": {"code": "missingtitle", "info": "The page you specified doesn't exist."}}
    wikitext = article["extract"].split("\n")[0]
    return {"parse": {name: article[name] for name in ("title", "pageid")} | {"wikitext": wikitext}}


def _search_articles(web: Web, text_query: str, limit: int) -> list[dict[str, Any]]:
    """Articles that hold every quoted phrase, best first; those that hold all in their title or opening come first."""
    phrases = [phrase.lower() for phrase in _PHRASE.findall(text_query)] or [text_query.strip('" ').lower()]
    hits = []
    for title, page in web.articles.items():
        text = f"{title}\n{page['extract']}".lower()
        if all(phrase in text for phrase in phrases):
            opening = text[:300]
            in_title = sum(phrase in title.lower() for phrase in phrases)
            hits.append((-2 * in_title - sum(phrase in opening for phrase in phrases), page["pageid"], page))
    hits.sort(key=lambda hit: hit[:2])
    return [_hit(page) for _, _, page in hits[:limit]]


def _hit(page: dict[str, Any]) -> dict[str, Any]:
    words: Iterable[str] = page["extract"].split()
    return {
        "ns": 0,
        "title": page["title"],
        "pageid": page["pageid"],
        "size": page["length"],
        "wordcount": len(list(words)),
        "snippet": page["extract"][:120],
        "timestamp": page["revisions"][0]["timestamp"],
    }
