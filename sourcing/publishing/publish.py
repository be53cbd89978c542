"""Publish: workspace tables in, one sealed dataset version out."""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from sourcing import __version__
from sourcing.errors import DatasetError, InputError
from sourcing.generation.descriptions.invention import invention_rates
from sourcing.generation.endpoint.diagnosis import DOCTOR_FILE
from sourcing.generation.journal.journal import Journal
from sourcing.publishing.card import render_card
from sourcing.publishing.numbering import next_version
from sourcing.publishing.splits import SPLIT_RULE, Splits, split_tracks
from sourcing.publishing.validate import ValidTables, validate_tables, validation_report
from sourcing.publishing.withdrawals import changes_since, consent_age, lost_documents
from sourcing.redactor import redact
from sourcing.settings import PublishSettings
from sourcing.store.schemas import Description, Document, Rejected, Track
from sourcing.store.versions import CONFIGS, SPLITS, DatasetFolder, DatasetVersion, file_sha256, hold_dataset
from sourcing.store.workspace import Workspace, write_json

__all__ = ["STEPS", "PublishOptions", "PublishResult", "WorkspaceTables", "logical_hash", "publish", "read_tables"]

#: What `publish` tells of, each when it is done.
STEPS = ("rows checked", "tracks split", "rows hashed", "version written")

_GUESTS_TOLD = 20  # of those heard in two splits


@dataclass(frozen=True)
class WorkspaceTables:
    """The tables a version is made of; `inputs` names each workspace file it came from with its sha256.

    `spend` is what each prompt cost (id@version → calls, tokens, USD), `doctor` what the model server was found to be,
    `invention` how many recordings that do not exist each prompt and model claimed to know.
    """

    tracks: pl.DataFrame
    descriptions: pl.DataFrame
    documents: pl.DataFrame | None = None
    rejected_rows: pl.DataFrame = field(default_factory=Rejected.create_empty)
    inputs: Mapping[str, str] = field(default_factory=dict)
    spend: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    doctor: Mapping[str, Any] | None = None
    invention: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class PublishOptions:
    """Version number, reason and maximum rows of a Parquet file for a new version.

    Without `version` the number follows from the latest one, see `next_version`.
    """

    version: str | None = None
    why: str = ""
    rows_per_shard: int = 500_000


@dataclass(frozen=True)
class PublishResult:
    """The version; `created` is false when the latest one already held exactly this, and stands for it.

    `changes` is what CHANGES.json says, `consent` how long ago its documents were asked for.
    """

    version: DatasetVersion
    created: bool
    report: Mapping[str, Any]
    changes: Mapping[str, Any]
    consent: Mapping[str, Any]


def read_tables(workspace: Workspace) -> WorkspaceTables:
    """The tables `publish` needs; documents may be absent, tracks and descriptions may not."""
    tracks, descriptions = workspace.read(Track), workspace.read(Description)
    documents = workspace.read(Document) if workspace.has(Document) else None
    present = [schema for schema in (Track, Document, Description) if workspace.has(schema)]
    inputs = {path.name: file_sha256(path) for path in map(workspace.table_path, present)}
    with Journal.read(workspace.generation_dir) as journal:
        spend = journal.reader.spend()
        invention = [
            {"prompt": prompt, "model": model, **own.as_dict()}
            for (prompt, model), own in invention_rates(journal).items()
        ]
    diagnosis = workspace.generation_dir / DOCTOR_FILE
    doctor = json.loads(diagnosis.read_text(encoding="utf-8")) if diagnosis.exists() else None
    return WorkspaceTables(tracks, descriptions, documents, workspace.read_rejected(), inputs, spend, doctor, invention)


def publish(
    tables: WorkspaceTables,
    name: str,
    options: PublishOptions = PublishOptions(),
    *,
    root: Path | str = "datasets",
    settings: PublishSettings,
    now: datetime,
    on_progress: Callable[[str], None] = lambda step: None,
) -> PublishResult:
    """Validate, split, write and seal a version under `root`.

    Without a version number it follows from the latest one: 0.1.0 for the first; patch when the keys are the same,
    minor when rows or nullable columns came or went, major when a column is gone or retyped or the split rule
    changed; and when nothing at all changed, the latest version is returned as it is. Equal inputs give Parquet
    files equal byte by byte. What draws on a document whose site or page says no by now, or which is gone, is left
    out, whatever earlier versions hold; those never change. DatasetError when the version exists or no description
    is fit to publish.
    """
    dataset = DatasetFolder(Path(root), name)
    if options.version:
        dataset.refuse_existing(options.version)  # said before the work, and held to once more when sealing
    lost_by_id = lost_documents(dataset.versions(), tables.documents, tables.descriptions, tables.rejected_rows)
    valid = validate_tables(
        tables.tracks, tables.documents, tables.descriptions, tables.rejected_rows, lost_by_id,
        min_confidence=settings.min_confidence,
    )  # fmt: skip
    if valid.descriptions.is_empty():
        raise DatasetError(f"dataset {name}", *_nothing_to_publish(valid))
    report = validation_report(valid)
    on_progress(STEPS[0])
    splits = split_tracks(
        valid.tracks,
        salt=settings.split_salt,
        validation_fraction=settings.validation_fraction,
        test_fraction=settings.test_fraction,
    )
    parts = _split_rows(valid, splits.rows.select("track_id", "split"))
    on_progress(STEPS[1])
    facts = _facts(parts, splits, settings)
    asked_at = valid.documents["consent_at"].fill_null(valid.documents["retrieved_at"])
    consent = consent_age(asked_at, now, settings.consent_max_age_days)
    on_progress(STEPS[2])
    with hold_dataset(root, name) as dataset:
        parent = dataset.versions()[-1] if dataset.versions() else None
        same = parent is not None and all(
            parent.manifest.get(key) == facts[key] for key in ("logical_hash", "split_rule")
        )
        if options.version is None and parent is not None and same:
            return PublishResult(parent, False, report, changes_since(parent, parts, {}), consent)
        number = options.version or next_version(parent, facts, parts)
        dataset.refuse_existing(number)
        changes = changes_since(parent, parts, lost_by_id)
        manifest = {
            **facts,
            "why": redact(options.why),
            "parent": parent.version if parent else None,
            "withdrawn_documents": len(changes["withdrawn"]),
            "created_at": now.astimezone(UTC).isoformat(timespec="seconds"),
            "inputs": dict(tables.inputs),
            "spend": {prompt: dict(tables.spend[prompt]) for prompt in facts["prompts"] if prompt in tables.spend},
            "invention": [row for row in tables.invention if row["prompt"] in facts["prompts"]],
            "doctor": tables.doctor,
            "tools": {"crossmusim": __version__, "polars": pl.__version__, "python": platform.python_version()},
        }
        contents = _Contents(parts, valid, report, changes)
        published_version = _write_and_seal(dataset, number, manifest, contents, options.rows_per_shard)
    on_progress(STEPS[3])
    return PublishResult(published_version, True, report, changes, consent)


def logical_hash(parts: Mapping[tuple[str, str], pl.DataFrame]) -> str:
    """Identity of the rows of (config, split) → frame: neither the order of rows nor the sharding changes it."""
    whole = hashlib.sha256()
    for (config, split), frame in sorted(parts.items(), key=lambda part: part[0]):
        digests = sorted(hashlib.sha256(_canonical(row)).digest() for row in frame.iter_rows(named=True))
        whole.update(f"{config}/{split}/{len(digests)}\n".encode())
        whole.update(b"".join(digests))
    return whole.hexdigest()


def _canonical(row: dict[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_stamp).encode()


def _stamp(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    raise TypeError(f"no canonical form for {type(value).__name__}")


def _split_rows(valid: ValidTables, split_of: pl.DataFrame) -> dict[tuple[str, str], pl.DataFrame]:
    """(config, split) → rows in key order, empty ones left out. A document goes where its first track goes."""
    first_track = (
        valid.descriptions.select(pl.col("doc_ids").alias("doc_id"), "track_id")
        .explode("doc_id", empty_as_null=False)
        .group_by("doc_id")
        .agg(pl.col("track_id").min())
    )
    homes = {
        "descriptions": (valid.descriptions, split_of, "track_id"),
        "tracks": (valid.tracks, split_of, "track_id"),
        "documents": (valid.documents, first_track.join(split_of, on="track_id").select("doc_id", "split"), "doc_id"),
    }
    parts: dict[tuple[str, str], pl.DataFrame] = {}
    for config, (frame, home, key) in homes.items():
        schema: type[dy.Schema] = CONFIGS[config]
        rows_with_split = frame.join(home, on=key, how="left")
        assert rows_with_split["split"].null_count() == 0, f"{config} without a split"
        for split in SPLITS:
            rows = (
                rows_with_split.filter(pl.col("split") == split)
                .select(schema.column_names())
                .sort(schema.primary_key())
            )
            if rows.height:
                parts[config, split] = rows
    return parts


def _facts(parts: Mapping[tuple[str, str], pl.DataFrame], splits: Splits, settings: PublishSettings) -> dict[str, Any]:
    """Facts about the rows for the manifest: hashes, counts, splits, prompts, licences."""
    columns = {
        config: {name: str(dtype) for name, dtype in schema.create_empty().schema.items()}
        for config, schema in CONFIGS.items()
    }
    descriptions = pl.concat([frame for (config, _), frame in parts.items() if config == "descriptions"])
    documents = [frame for (config, _), frame in parts.items() if config == "documents"]
    prompt_hashes = (
        descriptions.filter(pl.col("prompt").is_not_null())
        .select("prompt", "prompt_hash")
        .unique()
        .sort("prompt", "prompt_hash")
    )
    prompts: dict[str, list[str]] = {}
    for prompt, digest in prompt_hashes.iter_rows():
        prompts.setdefault(prompt, []).append(digest)
    return {
        "format": 1,
        "logical_hash": logical_hash(parts),
        "columns": columns,
        "schema_fingerprint": hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest(),
        "rows": {config: sum(parts[part].height for part in parts if part[0] == config) for config in CONFIGS},
        "splits": {split: _split_counts(split, parts, splits.rows) for split in SPLITS},
        "split_report": _split_report(splits),
        "split_rule": {
            "rule": SPLIT_RULE,
            "salt": settings.split_salt,
            "validation_fraction": settings.validation_fraction,
            "test_fraction": settings.test_fraction,
        },
        "prompts": prompts,
        "models": sorted(descriptions["model"].drop_nulls().unique().to_list()),
        "licence_census": {
            "descriptions": _count(each for licences in descriptions["licences"].to_list() for each in set(licences)),
            "documents": _count(
                each
                for frame in documents
                for row in frame["licences"].to_list()
                for each in {entry["licence"] for entry in row}
            ),
        },
    }


def _count(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _split_counts(split: str, parts: Mapping[tuple[str, str], pl.DataFrame], groups: pl.DataFrame) -> dict[str, int]:
    counts = {config: parts[config, split].height if (config, split) in parts else 0 for config in CONFIGS}
    return {**counts, "groups": groups.filter(pl.col("split") == split)["group"].n_unique()}


def _split_report(splits: Splits) -> dict[str, Any]:
    """The largest cluster with its joints, and the guests heard in two splits."""
    return {
        "largest_cluster": splits.largest._asdict() if splits.largest else None,
        "guests_in_two_splits": len(splits.leaks),
        "guest_examples": [leak._asdict() for leak in splits.leaks[:_GUESTS_TOLD]],
    }


@dataclass(frozen=True)
class _Contents:
    parts: Mapping[tuple[str, str], pl.DataFrame]
    valid: ValidTables
    report: Mapping[str, Any]
    changes: Mapping[str, Any]


def _write_and_seal(
    dataset: DatasetFolder, number: str, manifest: dict[str, Any], contents: _Contents, rows_per_shard: int
) -> DatasetVersion:
    def fill(folder: Path) -> dict[str, Any]:
        parts = contents.parts.items()
        files = [path for part, frame in parts for path in _write_shards(folder, part, frame, rows_per_shard)]
        contents.valid.quarantine.write_parquet(folder / "quarantine.parquet", compression="zstd")
        write_json(folder / "validation.json", contents.report)
        write_json(folder / "CHANGES.json", contents.changes)
        card = render_card(
            name=dataset.name,
            version=number,
            manifest=manifest,
            report=contents.report,
            examples=contents.valid.descriptions,
            files=files,
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
        return manifest

    try:
        return dataset.seal(number, fill)
    except OSError as error:
        raise InputError(
            f"dataset {dataset.name}@{number}", f"could not be written ({error})", "free space or choose another --root"
        ) from error


def _write_shards(folder: Path, part: tuple[str, str], frame: pl.DataFrame, rows_per_shard: int) -> list[str]:
    config, split = part
    (folder / config).mkdir(exist_ok=True)
    total = -(-frame.height // rows_per_shard)
    names = [f"{config}/{split}-{index:05d}-of-{total:05d}.parquet" for index in range(total)]
    for index, name in enumerate(names):
        shard = frame.slice(index * rows_per_shard, rows_per_shard)
        shard.write_parquet(folder / name, compression="zstd", statistics=True)
    return names


def _nothing_to_publish(valid: ValidTables) -> tuple[str, str]:
    counts = Counter(f"{stage}/{reason}" for stage, reason in valid.quarantine.select("stage", "reason").iter_rows())
    reasons = ", ".join(f"{reason} {count}" for reason, count in counts.most_common(3))
    finding = f"no description is fit to publish ({reasons})" if reasons else "there is no description"
    return (
        finding,
        "run `crossmusim generate run PACK` or `crossmusim generate describe`, and look at the rejected rows",
    )
