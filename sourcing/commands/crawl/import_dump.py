"""`crawl import`: records of a published dump or data set that may be about the catalogue's tracks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.crawl.errors import end_on_page_errors
from sourcing.commands.crawl.progress import replay_progress
from sourcing.errors import StoppedShort, UsageError
from sourcing.nearest import nearest

if TYPE_CHECKING:
    import dataframely as dy

    from sourcing.commands.invocation import Invocation
    from sourcing.crawling.documents.import_records import ImportResult
    from sourcing.crawling.sources import Source
    from sourcing.store import Track, Workspace

__all__ = ["import_dump", "wanted_by"]

_PROGRESS_EVERY = 200  # a dump has tens of millions of records, and a bar need not move for each


@click.command("import")
@click.argument("name", metavar="SOURCE")
@click.argument("path", metavar="FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Keep every record, not only those about catalogue tracks.")
@click.option("--limit", type=click.IntRange(min=1), help="Read this many records and no more.")
@click.option("--again", is_flag=True, help="Read the file even though it was imported before.")
@click.pass_obj
def import_dump(
    invocation: Invocation, name: str, path: Path, everything: bool, limit: int | None, again: bool
) -> None:
    """Read FILE, a dump or data set that SOURCE publishes, and keep the records that may be about a track.

    A record is kept when it has a track's MBID or ISRC, or names a track's artist and title (or album). It is
    written into the WARC files under crawl/, so `crawl replay` rebuilds its document without the dump. A file that
    breaks off is kept up to there; records that cannot be read are named in tables/rejected-import.parquet.

    \b
    SOURCE          FILE, packed by gzip, xz, bzip2 or zstd where it is a dump
    musicbrainz     recording.tar.xz, release.tar.xz (JSON dumps)
    discogs         discogs_..._releases.xml.gz, discogs_..._masters.xml.gz
    mtg_jamendo     autotagging.tsv or another tag file, beside raw.meta.tsv
    fma             tracks.csv, beside genres.csv
    musiccaps       musiccaps-public.csv; names no titles: take --all
    lp_musiccaps    a Parquet file of one of its three parts
    musicsem        train.csv
    song_describer  song_describer.csv, beside MTG-Jamendo's raw.meta.tsv

    \b
    Examples:
      crossmusim crawl import discogs discogs_20261101_releases.xml.gz
      crossmusim crawl import musiccaps musiccaps-public.csv --all
    """
    from sourcing.crawling.documents.import_records import Selection, import_records, imported_before
    from sourcing.crawling.documents.rebuild import rebuild_documents
    from sourcing.crawling.dumps.files import packed_position
    from sourcing.crawling.sources import all_effective
    from sourcing.store import Track
    from sourcing.store.interrupts import interrupts

    settings, workspace = invocation.settings, invocation.workspace
    readers = all_effective(settings.sources)
    source = _with_reader(readers, name)
    tracks = None if everything else workspace.read(Track)
    selection = "all" if tracks is None else _selection(workspace)
    if not again and (note := imported_before(workspace, source, path, selection)):
        line = f"{path.name} was imported before: {note['kept']} of {note['read']} records kept; --again reads it again"
        invocation.emit({"source": source.name, "file": str(path), "skipped": True, **_counts(note)}, [line])
        return
    size_bytes = path.stat().st_size
    with interrupts() as received, invocation.progress(f"reading {path.name}", limit) as advance:
        read_records = kept_records = 0

        def on_record(is_kept: bool) -> None:
            nonlocal read_records, kept_records
            read_records, kept_records = read_records + 1, kept_records + is_kept
            if read_records % _PROGRESS_EVERY:
                return
            position_bytes = None if limit else packed_position(path)
            if position_bytes is None:
                advance(_PROGRESS_EVERY, note=f"{kept_records} kept")
            else:
                advance.reach(position_bytes, size_bytes, f"{read_records} records, {kept_records} kept", unit="bytes")

        result = import_records(
            workspace,
            source,
            path,
            Selection(selection, None if tracks is None else wanted_by(tracks)),
            limit=limit,
            stop=lambda: bool(received),
            on_progress=on_record,
        )
    if received:
        raise StoppedShort(
            str(path),
            f"interrupted after {result.read} records, {result.kept} of them kept",
            "the same command reads it again from its start; `crossmusim crawl replay` reads what is kept",
        )
    with workspace.lock("documents"), replay_progress(invocation) as on_read:
        documents, rejected = rebuild_documents(workspace, readers, on_read=on_read)
    if result.torn:
        invocation.note(result.torn)
    counts = {**_counts(vars(result)), "complete": result.complete, "examples": result.examples}
    invocation.emit(
        {
            "source": source.name,
            "file": str(path),
            "skipped": False,
            **counts,
            "torn": result.torn,
            "documents": documents,
            "rejected_rows": rejected,
        },
        _lines(result, documents, everything),
    )
    end_on_page_errors(invocation, "extract", "import")


def wanted_by(tracks: dy.DataFrame[Track]) -> Callable[[Mapping[str, Any]], bool]:
    """Make a predicate on document rows: True when the row may be about one of `tracks`; matching has the last word.

    Exact MBID or ISRC, or artist and title in folded form, brackets and guests aside. A release is wanted for its
    own name as a track's album or title, and for any title in its row's `tracks`.
    """
    mbids: set[str] = set()
    isrcs: set[str] = set()
    titles: dict[str, set[str]] = {}  # artist → what the catalogue has by them
    albums: dict[str, set[str]] = {}
    for track in tracks.iter_rows(named=True):
        mbids.update([track["mbid"]] if track["mbid"] else [])
        isrcs.update([track["isrc"]] if track["isrc"] else [])
        artist = _artist_key(track["artist"])
        titles.setdefault(artist, set()).update(_title_keys(track["title"]))
        albums.setdefault(artist, set()).update(_title_keys(track["album"] or ""))

    def has_work(artist: str | None, title: str | None, *among: dict[str, set[str]]) -> bool:
        key = _artist_key(artist or "")
        return key in titles and any(not _title_keys(title or "").isdisjoint(names[key]) for names in among)

    def is_wanted(row: Mapping[str, Any]) -> bool:
        if row.get("mbid") in mbids or not isrcs.isdisjoint(row.get("isrcs") or ()):
            return True
        among = (titles, albums) if row.get("granularity") == "release" else (titles,)
        if has_work(row.get("artist"), row.get("title"), *among):
            return True
        return any(has_work(track["artist"], track["title"], titles) for track in row.get("tracks") or ())

    return is_wanted


def _artist_key(artist: str) -> str:
    from sourcing.matching.names import fold

    main = re.split(r"[\s(\[]+(?:feat|ft|featuring)\b", artist, maxsplit=1, flags=re.IGNORECASE)[0]
    return fold(main).removeprefix("the ") if main.strip() else ""


def _title_keys(title: str) -> set[str]:
    """The folded whole title, and the folded part before a dash, brackets removed."""
    from sourcing.matching.names import fold

    bare = re.split(r"\s[-–—]\s", re.sub(r"[(\[][^()\[\]]*[)\]]", " ", title), maxsplit=1)[0]
    return {fold(text) for text in (title, bare) if text.strip()}


def _with_reader(readers: Mapping[str, Source], name: str) -> Source:
    source = readers.get(name)
    if source is None or source.read_dump is None:
        able = [source_name for source_name, reader in readers.items() if reader.read_dump]
        finding = "no such source" if source is None else "it publishes no dump or data set that can be read here"
        raise UsageError(f"source {name!r}", finding, nearest(name, able, f"choose among {', '.join(able)}"))
    return source


def _selection(workspace: Workspace) -> str:
    """The name of the catalogue that chooses records: another catalogue wants others of the same file."""
    from sourcing.store import Track

    return "catalogue " + hashlib.sha256(workspace.table_path(Track).read_bytes()).hexdigest()[:16]


def _counts(note: Mapping[str, Any]) -> dict[str, Any]:
    return {name: note[name] for name in ("read", "kept", "repeated", "rejected")}


def _lines(result: ImportResult, documents: int, everything: bool) -> list[str]:
    lines = [f"{result.read} records read, {result.kept} kept, {result.rejected.total()} unreadable"]
    lines += [f"  {example}" for example in result.examples]
    if result.repeated:
        lines.append(f"{result.repeated} more were of records kept already")
    if not (result.kept or result.repeated or everything):
        lines.append("none may be about a track of the catalogue; --all keeps them whatever they are about")
    if result.rejected.total() > len(result.examples):
        lines.append("  tables/rejected-import.parquet has the others")
    if not result.complete:
        lines.append("the file was not read to its end")
    return [*lines, f"{documents} documents"]
