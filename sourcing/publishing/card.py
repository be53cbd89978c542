"""The card: README.md of a version, whose YAML tells Hugging Face readers where each split lies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import yaml

from sourcing.store.schemas import describe_columns
from sourcing.store.versions import CONFIGS, SPLITS

__all__ = ["render_card", "track_shares"]

_ORIGIN_MEANS = {
    "catalogue": "the catalogue owner's own tags and text",
    "scraped": "tags and lead sentences of pages and records, no model",
    "mined": "a model over pages and records; every aspect carries the characters it rests on",
    "prompted": "a model's own knowledge of the track; no evidence possible",
}
_SHARE_OF = {
    "samples": "the samples drawn from its model under the same prompt",
    "models": "the models asked the same",
    "sources": "the sources that speak of that facet of that track",
}
_AGREEMENT_NOTE = (
    "An aspect's `agreement` tells which share of those who could have said it did say it, or something that implies "
    "it. Where there is nobody to compare with, it is null. Opposites stand side by side; aspects that fewer agreed "
    "with than the makers of this dataset asked for are in the quarantine as `agreement_low`."
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_EXAMPLES = 3
_LICENCE_NOTE = (
    "Licence and consent travel with the text. Each description lists the licences of all it draws on; each document "
    "lists licence and attribution per field. Rows by licence:"
)


def render_card(
    *,
    name: str,
    version: str,
    manifest: Mapping[str, Any],
    report: Mapping[str, Any],
    examples: pl.DataFrame,
    files: Sequence[str],
) -> str:
    """Markdown with front matter. `files` are the Parquet paths of the version; a split without any is not named.

    `examples` are rows of the descriptions config, of which the first few are shown.
    """
    front_matter = _front_matter(name, version, manifest["logical_hash"], report, files)
    sections = [
        f"# {name} {version}",
        "Descriptions of music: aspect lists and captions for tracks, each with its evidence, licence and lineage.",
        _how_to_read(files),
        "## What is in it",
        _rows_by_split(manifest),
        _origins(report),
        *_agreement(report),
        "## Licences",
        _LICENCE_NOTE,
        _census(manifest["licence_census"]),
        _withheld(report["documents_with_text_withheld"]),
        "## How it was made",
        _making(manifest),
        "## Splits",
        _splits(manifest["split_rule"], manifest["split_report"]),
        "## Examples",
        _examples(examples),
        "## Columns",
        *(_columns(config) for config in CONFIGS if any(path.startswith(f"{config}/") for path in files)),
        "## Not in it",
        _withdrawn(manifest),
        f"{report['rows']['quarantined']} rejected rows with their reasons are in `quarantine.parquet`, counted in "
        "`validation.json`. `CHANGES.json` counts what differs from the version before. `manifest.json` lists "
        "every file with its sha256.",
    ]
    return f"---\n{front_matter}---\n\n" + "\n\n".join(filter(None, sections)) + "\n"


def _front_matter(name: str, version: str, logical_hash: str, report: Mapping[str, Any], files: Sequence[str]) -> str:
    """The YAML header. Each config names the rows' logical hash: Hugging Face `datasets` keys its cache by this YAML
    and the folder's name alone, and would give another dataset's rows of the same version number."""
    rows = report["rows"]["descriptions"]
    configs = []
    for config in CONFIGS:
        data_files = [
            {"split": split, "path": f"{config}/{split}-*.parquet"}
            for split in SPLITS
            if any(path.startswith(f"{config}/{split}-") for path in files)
        ]
        if data_files:
            default = {"default": True} if config == "descriptions" else {}
            description = f"{config} of {name}@{version}, logical hash {logical_hash}"
            configs.append({"config_name": config, **default, "description": description, "data_files": data_files})
    header = {
        "pretty_name": f"{name} {version}",
        "language": [language for language in report["languages"] if language != "und"],
        "license": "other",
        "license_name": "per-row",
        "tags": ["music", "music-captioning", "audio-text-retrieval"],
        "size_categories": [next((label for limit, label in _SIZES if rows < limit), "n>1M")],
        "configs": configs,
    }
    return str(yaml.safe_dump(header, sort_keys=False, allow_unicode=True))


def _how_to_read(files: Sequence[str]) -> str:
    split = next((name for name in SPLITS if any(path.startswith(f"descriptions/{name}-") for path in files)), "train")
    return (
        "```python\n"
        "import datasets, duckdb, pandas, polars\n\n"
        f'datasets.load_dataset(FOLDER, "descriptions", split="{split}")\n'
        f"duckdb.sql(\"from 'descriptions/{split}-*.parquet'\")\n"
        f'polars.read_parquet("descriptions/{split}-*.parquet")\n'
        f'pandas.read_parquet("descriptions")  # all splits\n'
        "```"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())


def _rows_by_split(manifest: Mapping[str, Any]) -> str:
    rows = [
        (name, *(f"{counts[key]:,}" for key in ("tracks", "groups", "descriptions", "documents")), *shares)
        for (name, counts), shares in zip(manifest["splits"].items(), track_shares(manifest).values(), strict=True)
    ]
    head = ["split", "tracks", "groups", "descriptions", "documents", "share of tracks", "wished"]
    return _table(head, [(*row[:5], *(f"{share:.1%}" for share in row[5:])) for row in rows])


def track_shares(manifest: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Split → (actual share, target share) of the tracks."""
    rule, tracks = manifest["split_rule"], manifest["rows"]["tracks"]
    target_shares = {"test": rule["test_fraction"], "validation": rule["validation_fraction"]}
    target_shares["train"] = 1 - sum(target_shares.values())
    return {
        name: (counts["tracks"] / max(1, tracks), target_shares[name]) for name, counts in manifest["splits"].items()
    }


def _origins(report: Mapping[str, Any]) -> str:
    rows = [
        (origin, f"{counts['descriptions']:,}", f"{counts['tracks']:,}", _ORIGIN_MEANS[origin])
        for origin, counts in report["origins"].items()
        if counts["descriptions"]
    ]
    return _table(["origin", "descriptions", "tracks", "meaning"], rows)


def _agreement(report: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            f"`{name}`",
            _SHARE_OF[name],
            f"{counts['aspects']:,}",
            f"{counts['said_by_all']:,}",
            f"{counts['said_by_less_than_half']:,}",
            counts["mean"],
        )
        for name, counts in report["agreement"].items()
        if counts["aspects"]
    ]
    if not rows:
        return []
    head = ["score", "share of", "aspects compared", "said by all", "by less than half", "mean"]
    return ["## Agreement", _AGREEMENT_NOTE, _table(head, rows)]


def _census(census: Mapping[str, Mapping[str, int]]) -> str:
    rows = [(config, licence, f"{count:,}") for config in census for licence, count in census[config].items()]
    return _table(["config", "licence", "rows"], rows) if rows else ""


def _withheld(count: int) -> str:
    if not count:
        return ""
    return f"The text of {count:,} documents is left out (`text_withheld`): its licence does not let it be passed on."


def _withdrawn(manifest: Mapping[str, Any]) -> str:
    if not manifest["withdrawn_documents"]:
        return ""
    return (
        f"Documents of {manifest['parent']} that their sites took back: {manifest['withdrawn_documents']:,}, left out"
        " with every description that drew on one. `CHANGES.json` names them."
    )


def _making(manifest: Mapping[str, Any]) -> str:
    lines = [f"- why this version: {manifest['why']}"] if manifest["why"] else []
    if manifest["parent"]:
        lines.append(f"- it follows {manifest['parent']}")
    lines += [
        f"- prompt `{prompt}`, hash `{digest}`" for prompt, hashes in manifest["prompts"].items() for digest in hashes
    ]
    lines += [f"- model as its endpoint named it: `{model}`" for model in manifest["models"]]
    lines += [
        f"- of {each['decoys']} recordings that do not exist, `{each['model']}` under `{each['prompt']}` claimed to"
        f" know {each['claimed']} (invention rate {each['rate']:.0%}, 95 % {each['low']:.0%} to {each['high']:.0%})"
        for each in manifest.get("invention", ())
    ]
    lines += [f"- {tool} {version}" for tool, version in manifest["tools"].items()]
    lines.append(f"- logical hash of all rows: `{manifest['logical_hash']}`")
    return "\n".join(lines)


def _splits(rule: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    text = (
        f"Rule `{rule['rule']}` with salt `{rule['salt']}`: tracks that share a group, a main artist or a recording"
        f" stay together; {rule['test_fraction']:.0%} of tracks are meant for test, {rule['validation_fraction']:.0%}"
        " for validation. A document lies in the split of the first track it was used for."
    )
    if count := report["guests_in_two_splits"]:
        names = ", ".join(example["artist"] for example in report["guest_examples"])
        text += f" Artists heard in two splits through guest credits: {count:,} ({names})."
    return text


def _examples(examples: pl.DataFrame) -> str:
    columns = ["track_id", "origin", "aspect_list", "caption"]
    rows = [
        (row["track_id"], row["origin"], ", ".join(row["aspect_list"]), row["caption"] or "")
        for row in examples.select(columns).head(_EXAMPLES).to_dicts()
    ]
    return _table(columns, rows)


def _columns(config: str) -> str:
    schema = CONFIGS[config]
    types = schema.create_empty().schema
    rows = [(f"`{name}`", f"`{_type_name(types[name])}`", line) for name, line in describe_columns(schema).items()]
    return f"### {config}\n\n" + _table(["column", "type", "meaning"], rows)


def _type_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return f"list of {_type_name(dtype.inner)}"  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        fields = {field.name: _type_name(field.dtype) for field in dtype.fields}  # type: ignore[arg-type]
        return json.dumps(fields).replace('"', "")
    return "timestamp, UTC" if isinstance(dtype, pl.Datetime) else str(dtype).lower()
