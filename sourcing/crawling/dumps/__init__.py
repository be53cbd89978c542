"""Readers of published dumps: gigabytes as a stream of records in the shape a source's page objects read.

A source names its reader here, and each is loaded when a dump is read: a crawl needs none of them, and they make
records of the very package the sources lie in.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sourcing.crawling.source import DumpRecord

__all__ = ["read_discogs_xml", "read_musicbrainz_json"]


def read_musicbrainz_json(path: Path) -> Iterator[DumpRecord]:
    """Recordings of a MusicBrainz JSON dump: `recording.tar.xz`, `release.tar.xz`, or their lines in a file."""
    from sourcing.crawling.dumps.musicbrainz_json import read_recordings

    return read_recordings(path)


def read_discogs_xml(path: Path) -> Iterator[DumpRecord]:
    """Releases or masters of a Discogs dump: `discogs_<date>_releases.xml.gz` or `_masters.xml.gz`."""
    from sourcing.crawling.dumps.discogs_xml import read_releases

    return read_releases(path)
