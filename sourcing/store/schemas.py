"""The tables the packages exchange: Track, Document, Match, Description, Disagreement, Rejected.

Each schema is a dataframely class whose columns carry their own documentation (`description=`), which
the dataset card and `dataset show` print. Rows that break a rule come back as rejected rows with the rule's name.
"""

from __future__ import annotations

from typing import Any

import dataframely as dy
import polars as pl

__all__ = [
    "BANDS",
    "FACETS",
    "ORIGINS",
    "TRACK_ID_PATTERN",
    "Description",
    "Disagreement",
    "Document",
    "Match",
    "Rejected",
    "Row",
    "Track",
    "describe_columns",
]

#: One row of a table as it goes into a frame: column name → value.
Row = dict[str, Any]

TRACK_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"

FACETS = (
    "genre",
    "mood",
    "instrument",
    "vocal",
    "tempo_rhythm",
    "harmony",
    "production",
    "era_style",
    "context_use",
    "other",
)
ORIGINS = ("catalogue", "scraped", "mined", "prompted")
BANDS = ("accept", "review", "reject")


class Track(dy.Schema):
    """One row of the catalogue: what the owner knows of a recording."""

    track_id = dy.String(
        primary_key=True,
        regex=TRACK_ID_PATTERN,
        description="unique name of the track, kept through every stage",
    )
    title = dy.String(min_length=1, description="title as the owner writes it")
    artist = dy.String(min_length=1, description="artist credit as the owner writes it")
    album = dy.String(nullable=True, description="album the recording is on")
    year = dy.Int32(nullable=True, min=1000, max=2999, description="year of first publication")
    isrc = dy.String(nullable=True, regex=r"^[A-Z]{2}[A-Z0-9]{3}[0-9]{7}$", description="ISRC without hyphens")
    mbid = dy.String(
        nullable=True,
        regex=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        description="MusicBrainz recording id",
    )
    duration_s = dy.Float64(nullable=True, min=0.0, description="length in seconds")
    language = dy.String(nullable=True, description="language of title and text, as a BCP 47 tag")
    audio = dy.String(nullable=True, description="sound file, relative to the catalogue's folder")
    group_id = dy.String(nullable=True, description="tracks of one group never straddle a split; artist when empty")
    tags = dy.List(dy.String(), description="words the owner already has")
    text = dy.String(nullable=True, description="a sentence or more the owner already has")
    labels = dy.List(
        dy.Struct({"facet": dy.String(), "value": dy.String()}),
        description="facet=value pairs used only to evaluate, never as training text",
    )
    extra = dy.String(nullable=True, description="the catalogue's other columns, one JSON object")


class Document(dy.Schema):
    """One record or page about something, from one source, as its page object read it."""

    doc_id = dy.String(primary_key=True, description="source, then a hash of the record's own id or URL")
    source = dy.String(min_length=1, description="name of the source's declaration")
    url = dy.String(min_length=1, description="the address it was fetched from, secrets stripped")
    permalink = dy.String(nullable=True, description="lasting address of this very revision, for attribution")
    retrieved_at = dy.Datetime(time_unit="us", time_zone="UTC", description="when the response arrived")
    content_sha256 = dy.String(
        regex=r"^[0-9a-f]{64}$", description="of the response body; finds the record in the WARC files"
    )
    granularity = dy.String(description="what it is about: recording, release, artist or page")
    lead_track_id = dy.String(nullable=True, description="the track whose task led here; a hint, not a match")
    title = dy.String(nullable=True, description="title without decoration")
    title_raw = dy.String(nullable=True, description="title as found")
    artist = dy.String(nullable=True, description="artist credit, joined as the source joins it")
    other_titles = dy.List(dy.String(), nullable=True, description="what else the source calls it: aliases, labels")
    other_artists = dy.List(dy.String(), nullable=True, description="other names of a credit of one artist")
    album = dy.String(nullable=True, description="album, when the source names one")
    year = dy.Int32(nullable=True, description="year of first publication, when the source names one")
    duration_s = dy.Float64(nullable=True, min=0.0, description="length in seconds")
    isrcs = dy.List(dy.String(), description="ISRCs without hyphens")
    mbid = dy.String(nullable=True, description="MusicBrainz recording id")
    language = dy.String(nullable=True, description="language of the text, as a BCP 47 tag")
    tags = dy.List(
        dy.Struct({"name": dy.String(), "count": dy.Int64(nullable=True)}),
        description="tags with votes, most voted first",
    )
    lead = dy.String(nullable=True, description="first sentences of the text")
    text = dy.String(nullable=True, description="readable prose, paragraphs parted by a blank line")
    licences = dy.List(
        dy.Struct({"field": dy.String(), "licence": dy.String(), "attribution": dy.String(nullable=True)}),
        description="licence of each field, as SPDX id where one exists, else 'unknown'",
    )
    consent = dy.String(description="allow or deny, by the signals of site and page")
    consent_evidence = dy.List(dy.String(), description="each signal that was read, as 'signal: value'")
    consent_at = dy.Datetime(
        time_unit="us",
        time_zone="UTC",
        nullable=True,
        description="when its site was last asked; a page found unchanged keeps its text and renews this",
    )

    @dy.rule()
    def consent_is_known(cls) -> pl.Expr:
        return pl.col("consent").is_in(["allow", "deny"])

    @dy.rule()
    def granularity_is_known(cls) -> pl.Expr:
        return pl.col("granularity").is_in(["recording", "release", "artist", "page"])


class Match(dy.Schema):
    """A document held against a track: is it about this recording?"""

    track_id = dy.String(primary_key=True, description="the track")
    doc_id = dy.String(primary_key=True, description="the document")
    score = dy.Float64(
        min=0.0,
        max=1.0,
        description="1 is certain; below the review threshold pairs are not kept unless vetoed",
    )
    band = dy.String(description="accept, review or reject")
    method = dy.String(description="mbid, isrc or text")
    reasons = dy.List(dy.String(), description="what spoke for and against, most telling first")

    @dy.rule()
    def band_is_known(cls) -> pl.Expr:
        return pl.col("band").is_in(list(BANDS))


class Description(dy.Schema):
    """One aspect list and caption for a track, from one origin, with its evidence, licence and lineage."""

    description_id = dy.String(primary_key=True, description="hash of track, origin, documents and request")
    track_id = dy.String(description="the track it describes")
    origin = dy.String(description="catalogue, scraped, mined or prompted")
    language = dy.String(description="language of aspects and caption, as a BCP 47 tag; 'und' when not known")
    aspect_list = dy.List(dy.String(), description="short phrases, as in MusicCaps")
    caption = dy.String(nullable=True, description="one or more sentences, as in MusicCaps")
    aspects = dy.List(
        dy.Struct(
            {
                "text": dy.String(),
                "facet": dy.String(),
                "evidence": dy.List(dy.Struct({"doc_id": dy.String(), "start": dy.Int64(), "end": dy.Int64()})),
                "agreement": dy.Struct(
                    {
                        "samples": dy.Float64(nullable=True, min=0.0, max=1.0),
                        "models": dy.Float64(nullable=True, min=0.0, max=1.0),
                        "sources": dy.Float64(nullable=True, min=0.0, max=1.0),
                    },
                    nullable=True,
                ),
            }
        ),
        description="the aspect list with facets and, per aspect, character spans [start, end) of document text and the"
        " share of its model's samples, of the models asked and of the sources that say it (null: nobody to compare)",
    )
    confidence = dy.Float64(
        nullable=True,
        min=0.0,
        max=1.0,
        description="mean, over aspects, of the shares of samples, models and sources that say it (null: nobody to"
        " compare)",
    )
    doc_ids = dy.List(dy.String(), description="documents it draws on")
    licences = dy.List(dy.String(), description="licences of everything it draws on, sorted")
    prompt = dy.String(nullable=True, description="prompt pack as id@version")
    prompt_hash = dy.String(nullable=True, description="sha256 of templates, schema and sampling parameters")
    model = dy.String(nullable=True, description="model as the endpoint reported it")
    request_key = dy.String(nullable=True, description="journal key of the call it came from")
    sample_idx = dy.Int32(nullable=True, description="which of k samples")
    created_at = dy.Datetime(time_unit="us", time_zone="UTC", description="when its newest input arrived")

    @dy.rule()
    def origin_is_known(cls) -> pl.Expr:
        return pl.col("origin").is_in(list(ORIGINS))

    @dy.rule()
    def says_something(cls) -> pl.Expr:
        return (pl.col("aspect_list").list.len() > 0) | pl.col("caption").is_not_null()

    @dy.rule()
    def facets_are_known(cls) -> pl.Expr:
        return pl.col("aspects").list.eval(pl.element().struct.field("facet").is_in(list(FACETS))).list.all()

    @dy.rule()
    def aspects_agree(cls) -> pl.Expr:
        return pl.col("aspects").list.eval(pl.element().struct.field("text")) == pl.col("aspect_list")

    @dy.rule()
    def mined_aspects_carry_evidence(cls) -> pl.Expr:
        has_evidence = pl.col("aspects").list.eval(pl.element().struct.field("evidence").list.len() > 0).list.all()
        return (pl.col("origin") != "mined") | has_evidence


class Disagreement(dy.Schema):
    """Opposites said of one track by different descriptions, with who said which; nothing is decided."""

    track_id = dy.String(primary_key=True, description="the track")
    facet = dy.String(primary_key=True, description="what they disagree about")
    opposites = dy.String(primary_key=True, description="the sides as the list of opposites names them, 'slow / fast'")
    said = dy.List(
        dy.Struct(
            {
                "side": dy.String(),
                "text": dy.String(),
                "description_id": dy.String(),
                "origin": dy.String(),
                "sources": dy.List(dy.String()),
                "model": dy.String(nullable=True),
                "sample_idx": dy.Int32(nullable=True),
            }
        ),
        description="each aspect on a side and whose it is, also of descriptions that too few agreed with to stay",
    )

    @dy.rule()
    def facet_is_known(cls) -> pl.Expr:
        return pl.col("facet").is_in(list(FACETS))

    @dy.rule()
    def has_two_sides(cls) -> pl.Expr:
        return pl.col("said").list.eval(pl.element().struct.field("side")).list.n_unique() > 1


class Rejected(dy.Schema):
    """A row that did not pass a stage, kept with the reason."""

    stage = dy.String(description="catalogue, crawl, import, extract, match, generate, describe or publish")
    key = dy.String(description="what names the row there: a line, a URL, a doc_id, a request key")
    reason = dy.String(description="short and countable, e.g. track_id_illegal, reply_truncated")
    finding = dy.String(description="what was found, in a sentence")
    row = dy.String(nullable=True, description="the row or a piece of it, for a person to look at")


def describe_columns(schema: type[dy.Schema]) -> dict[str, str]:
    """Column name → its one-line documentation, in schema order."""
    return {name: column.description or "" for name, column in schema.columns().items()}
