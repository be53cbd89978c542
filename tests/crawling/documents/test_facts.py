"""An article's facts: what its item and its infobox state goes before what its opening seems to say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import permutations

import pytest

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.sources import SOURCES, Capture

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
OPENING = '"Low Tide" is a 1981 song by Harbour.'
SONG, TOUR, ODD = "Q7366", "Q1573906", "Q123"


def capture(source, kind, url, body, **changes):
    fields = {"status": 200, "headers": {}, "body": json.dumps(body).encode(), "retrieved_at": NOON, "task_key": "k"}
    return Capture(source=source, kind=kind, url=url, **{**fields, **changes})


def article(extract=OPENING, language="en", **changes):
    page = {"pageid": 7, "title": "Low Tide", "extract": extract, "pageprops": {"wikibase_item": "Q9"}, **changes}
    url = f"https://{language}.wikipedia.org/w/api.php?titles=x"
    return capture("wikipedia", "page", url, {"query": {"pages": [page]}})


def infobox(wikitext="{{Infobox song|artist=Kite|released=1982}}", language="en"):
    url = f"https://{language}.wikipedia.org/w/api.php?action=parse&page=x"
    return capture("wikipedia", "wikitext", url, {"parse": {"title": "Low Tide", "pageid": 7, "wikitext": wikitext}})


def item(kind=SONG, performer="Q5", published="+1980-01-01T00:00:00Z", **changes):
    def claim(value):
        return {"rank": "normal", "mainsnak": {"datavalue": {"value": value}}}

    claims = {"P31": [claim({"id": kind})]}
    claims |= {"P175": [claim({"id": performer})]} if performer else {}
    claims |= {"P577": [claim({"time": published, "precision": 9})]} if published else {}
    names = {"Q9": {"en": "Low Tide", "zh": "退潮"}, "Q5": {"en": "Harbour & Kite", "zh": "港與鳶"}}
    entities = {
        qid: {"id": qid, "labels": {code: {"value": name} for code, name in labels.items()}}
        for qid, labels in names.items()
    }
    entities["Q9"]["claims"] = claims
    url = "https://www.wikidata.org/w/api.php?action=wbgetentities&ids=Q9%7CQ5"
    return capture("wikidata", "labels", url, {"entities": entities}, **changes)


def article_of(*captures):
    documents, _ = extract_documents(captures, SOURCES)
    (found,) = [row for row in documents.to_dicts() if row["source"] == "wikipedia" and row["text"]]
    return found


def facts(*captures):
    found = article_of(*captures)
    return found["granularity"], found["artist"], found["year"]


def test_the_opening_is_read_where_neither_item_nor_infobox_speaks():
    assert facts(article()) == ("recording", "Harbour", 1981)
    assert facts(article(), item(performer=None, published=None)) == ("recording", "Harbour", 1981)
    assert facts(article(), infobox("Prose.")) == ("recording", "Harbour", 1981)


def test_the_infobox_goes_before_the_opening_and_the_item_before_both():
    assert facts(article(), infobox()) == ("recording", "Kite", 1982)
    assert facts(article(), infobox(), item()) == ("recording", "Harbour & Kite", 1980)
    assert facts(article(), infobox(), item(performer=None)) == ("recording", "Kite", 1980)
    assert facts(article(), infobox(), item(published=None)) == ("recording", "Harbour & Kite", 1982)


def test_what_was_captured_first_changes_nothing():
    assert len({facts(*order) for order in permutations([article(), infobox(), item()])}) == 1


def test_an_item_says_what_the_article_is_about():
    assert facts(article(), item(kind=TOUR)) == ("page", None, None)
    assert facts(article(), infobox(), item(kind=TOUR)) == ("page", None, None)
    assert facts(article("Low Tide was shown in 1981."), item()) == ("recording", "Harbour & Kite", 1980)
    assert facts(article("Low Tide was shown in 1981."), infobox()) == ("recording", "Kite", 1982)
    assert facts(article(), item(kind="Q482994"))[0] == "release"
    assert facts(article(), item(kind="Q215380", published=None)) == ("artist", "Low Tide", None)


def test_an_item_of_a_kind_we_do_not_know_leaves_the_kind_to_the_others():
    assert facts(article(), item(kind=ODD)) == ("recording", "Harbour & Kite", 1980)
    assert facts(article("Low Tide is a street."), item(kind=ODD)) == ("page", None, None)


@pytest.mark.parametrize(("language", "artist"), [("en", "Harbour & Kite"), ("zh", "港與鳶"), ("de", "Harbour & Kite")])
def test_the_performers_name_is_that_of_the_articles_language(language, artist):
    opening = {"en": OPENING, "zh": "《退潮》是港演唱的歌曲。", "de": "Ebbe ist ein Lied der Band Hafen."}[language]
    assert facts(article(opening, language), item())[1] == artist


def test_a_performer_comes_with_the_licence_of_the_record_that_states_it():
    licences = {entry["field"]: entry for entry in article_of(article(), item())["licences"]}
    assert (licences["artist"]["licence"], licences["title"]["licence"]) == ("CC0-1.0", "CC-BY-SA-4.0")
    assert "Q9" in licences["artist"]["attribution"]
    assert "artist" not in [entry["field"] for entry in article_of(article(), item(kind=TOUR))["licences"]]
    assert licences.keys() == {"title", "artist", "lead", "text", "*"}


def test_an_item_that_may_not_be_used_states_nothing():
    assert facts(article(), item(consent="deny")) == ("recording", "Harbour", 1981)


def test_the_item_and_infobox_of_another_article_state_nothing():
    other = article(pageid=8, pageprops={"wikibase_item": "Q10"})
    assert facts(other, infobox(), item()) == ("recording", "Harbour", 1981)
