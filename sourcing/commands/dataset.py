"""`crossmusim dataset`: publish, list, show and verify dataset versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

_LARGE_CLUSTER = 0.25  # share of the tracks above which publishing warns

_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("datasets"),
    show_default=True,
    help="Folder of published datasets.",
)


@click.command()
@click.argument("name")
@click.option("--version", help="Version to publish, X.Y.Z; the next one by what changed when left out.")
@click.option("--why", default="", help="One sentence for the manifest and the card.")
@_root
@click.pass_obj
def publish(invocation: Invocation, name: str, version: str | None, why: str, root: Path) -> None:
    """Publish the workspace's descriptions as a new version of NAME.

    Rows that break a rule go to the version's quarantine with their reason. No artist is in two splits.

    \b
    Example:
      crossmusim dataset publish mine --why "second crawl"
    """
    from datetime import UTC, datetime

    from sourcing.publishing.card import track_shares
    from sourcing.publishing.publish import STEPS, PublishOptions, read_tables
    from sourcing.publishing.publish import publish as publish_tables

    workspace = invocation.workspace
    with invocation.progress(f"publishing {name}", len(STEPS)) as advance:
        publication = publish_tables(
            read_tables(workspace),
            name,
            PublishOptions(version, why),
            root=root,
            settings=invocation.settings.publish,
            now=datetime.now(UTC),
            on_progress=lambda step: advance(1, step),
        )
    manifest = publication.version.manifest
    shares = track_shares(manifest)
    result = {
        "name": name,
        "version": publication.version.version,
        "path": str(publication.version.path),
        "created": publication.created,
        "rows": manifest["rows"],
        "splits": {
            split: {key: counts[key] for key in ("tracks", "descriptions", "groups")}
            for split, counts in manifest["splits"].items()
        },
        "shares": {split: {"share": share, "wished": wished} for split, (share, wished) in shares.items()},
        "split_report": manifest.get("split_report"),
        "quarantined": publication.report["rows"]["quarantined"],
        "withdrawn": len(publication.changes["withdrawn"]),
        "consent": dict(publication.consent),
        "logical_hash": manifest["logical_hash"],
    }
    verb = "published" if publication.created else "nothing changed since"
    invocation.emit(result, [f"{verb} {publication.version} in {publication.version.path}", *_lines(manifest)])
    if result["quarantined"]:
        invocation.note(f"{result['quarantined']} rejected rows, counted in {result['path']}/validation.json")
    if result["withdrawn"]:
        invocation.note(
            f"documents taken back by their sites: {result['withdrawn']}, named in {result['path']}/CHANGES.json"
        )
    if publication.consent["documents_older"]:
        days = publication.consent["max_age_days"]
        invocation.note(
            f"documents asked for more than {days} days ago: {publication.consent['documents_older']} (the oldest"
            f" {publication.consent['oldest_days']} days); their sites may have said no since, `crossmusim crawl run"
            f" --again-after {days}` asks again"
        )
    for split, counts in manifest["splits"].items():
        if not counts["descriptions"]:
            invocation.note(
                f"the {split} split has no descriptions: describe more tracks or change [publish] fractions"
            )
    for line in _split_warnings(manifest):
        invocation.note(line)


@click.command("list")
@_root
@click.pass_obj
def list_versions(invocation: Invocation, root: Path) -> None:
    """List published versions.

    \b
    Example:
      crossmusim dataset list --root datasets
    """
    from rich.markup import escape
    from rich.table import Table

    from sourcing.store import list_versions as published

    rows = [
        {
            "name": each.name,
            "version": each.version,
            "latest": each.latest,
            "descriptions": each.manifest["rows"]["descriptions"],
            "created_at": each.manifest["created_at"],
            "why": each.manifest["why"],
        }
        for each in published(root)
    ]
    table = Table("name", "version", "descriptions", "created", "why")
    for row in rows:
        mark = " (latest)" if row["latest"] else ""
        table.add_row(
            row["name"], row["version"] + mark, str(row["descriptions"]), row["created_at"], escape(row["why"])
        )
    invocation.emit({"versions": rows}, [table] if rows else [f"{root} holds no dataset yet"])


@click.command()
@click.argument("spec", metavar="NAME[@VERSION]")
@_root
@click.pass_obj
def show(invocation: Invocation, spec: str, root: Path) -> None:
    """Show one version: rows by split, licences, prompts, models, columns.

    \b
    Example:
      crossmusim dataset show mine@0.1.0
    """
    from rich.table import Table

    from sourcing.store import open_version
    from sourcing.store.schemas import describe_columns
    from sourcing.store.versions import CONFIGS

    version = open_version(spec, root)
    manifest = {key: value for key, value in version.manifest.items() if key not in ("files", "seal")}
    columns = Table("config", "column", "meaning")
    for config, schema in CONFIGS.items():
        for name, line in describe_columns(schema).items():
            columns.add_row(config, name, line)
    lines = [f"{version}{' (latest)' if version.latest else ''} in {version.path}", *_lines(manifest), columns]
    invocation.emit({**manifest, "path": str(version.path), "latest": version.latest}, lines)


@click.command()
@click.argument("spec", metavar="NAME[@VERSION]")
@_root
@click.pass_obj
def verify(invocation: Invocation, spec: str, root: Path) -> None:
    """Check every byte of a version against its manifest; exit 3 on any difference.

    \b
    Example:
      crossmusim dataset verify mine@0.1.0
    """
    from sourcing.store import open_version

    version = open_version(spec, root)
    with invocation.progress(f"verifying {version}", len(version.manifest["files"])) as advance:
        problems = version.problems(advance)
    if problems:
        for problem in problems[1:]:
            invocation.note(f"{version}: {problem}")
        raise version.damage(problems)
    files = version.manifest["files"]
    result = {
        "name": version.name,
        "version": version.version,
        "files": len(files),
        "bytes": sum(entry["bytes"] for entry in files),
        "sound": True,
    }
    invocation.emit(result, [f"{version} is sound: {len(files)} files, {result['bytes']:,} bytes"])


def _lines(manifest: dict[str, Any]) -> list[Any]:
    from rich.markup import escape
    from rich.table import Table

    from sourcing.publishing.card import track_shares

    splits = Table("split", "tracks", "share", "wished", "groups", "descriptions", "documents")
    shares = track_shares(manifest)
    for split, counts in manifest["splits"].items():
        tracks, *others = (f"{counts[key]:,}" for key in ("tracks", "groups", "descriptions", "documents"))
        splits.add_row(split, tracks, *(f"{share:.1%}" for share in shares[split]), *others)
    licences = Table("config", "licence", "rows")
    for config, census in manifest["licence_census"].items():
        for licence, count in census.items():
            licences.add_row(config, escape(licence), f"{count:,}")
    facts = [f"prompt {prompt} {digest[:12]}" for prompt, hashes in manifest["prompts"].items() for digest in hashes]
    facts += [f"model {model}" for model in manifest["models"]]
    return [splits, licences, *facts, f"logical hash {manifest['logical_hash'][:12]}"]


def _split_warnings(manifest: dict[str, Any]) -> list[str]:
    """Warnings to a trainer about the splits: a cluster that holds much of the catalogue, guests on two sides."""
    report, tracks = manifest.get("split_report"), manifest["rows"]["tracks"]
    if report is None:  # a version of before there was one
        return []
    warnings = []
    largest = report["largest_cluster"]
    if largest["tracks"] > max(1, _LARGE_CLUSTER * tracks):
        joints = ", ".join(largest["joined_by"])
        joined = f"joined by {joints}" if joints else "of one artist"
        warnings.append(
            f"the largest cluster, {largest['name']}, holds {largest['tracks']:,} of {tracks:,} tracks, {joined};"
            " `group_id` in the catalogue says what belongs together in place of the artists"
        )
    if count := report["guests_in_two_splits"]:
        names = ", ".join(example["artist"] for example in report["guest_examples"][:3])
        warnings.append(
            f"artists heard in two splits through guest credits: {count:,} ({names}); manifest.json names more"
        )
    return warnings
