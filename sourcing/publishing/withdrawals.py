"""Documents lost since publication, the changes of a version against its parent, and the age of consent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from sourcing.store.schemas import Document
from sourcing.store.versions import CONFIGS, DatasetVersion

__all__ = ["WITHDRAWN", "LostDocument", "changes_since", "consent_age", "lost_documents"]

WITHDRAWN = "consent_withdrawn"
_GONE = "document_gone"


class LostDocument(NamedTuple):
    """A published document that was withdrawn or is gone by now."""

    reason: str  # consent_withdrawn or document_gone
    finding: str
    url: str
    version: str  # the last one that held it


def lost_documents(
    versions: Sequence[DatasetVersion],
    documents: pl.DataFrame | None,
    descriptions: pl.DataFrame,
    rejected_rows: pl.DataFrame,
) -> dict[str, LostDocument]:
    """doc_id → reason of loss, for documents of the latest version, or in use now and published before.

    Withdrawn is what the documents table or the crawl's rejected rows say a no of; any other loss is `document_gone`.
    """
    if not versions:
        return {}
    consents = Document.create_empty() if documents is None else documents
    consents = consents.select("doc_id", "consent", "consent_evidence")
    allowed_ids = consents.filter(pl.col("consent") == "allow").select("doc_id")
    ids_in_use = descriptions.select(pl.col("doc_ids").explode(empty_as_null=False, keep_nulls=False).alias("doc_id"))
    ids_before = versions[-1].scan("documents").select("doc_id").collect()
    missing = pl.concat([ids_in_use, ids_before]).unique().join(allowed_ids, on="doc_id", how="anti")
    evidence_of_no = dict(consents.filter(pl.col("consent") == "deny").select("doc_id", "consent_evidence").iter_rows())
    refusals = dict(rejected_rows.filter(reason="consent_denied").select("key", "finding").iter_rows())
    lost_by_id: dict[str, LostDocument] = {}
    for version in reversed(versions):
        if len(lost_by_id) == missing.height:
            break
        rows = version.scan("documents").select("doc_id", "url").join(missing.lazy(), on="doc_id", how="semi").collect()
        for doc_id, url in rows.sort("doc_id").iter_rows():
            if doc_id in lost_by_id:
                continue
            finding = f"it was published with {version.version} and is not among the documents any more"
            reason = _GONE
            if doc_id in evidence_of_no:
                signal = (evidence_of_no[doc_id] or ["no signal recorded"])[-1]
                reason, finding = WITHDRAWN, f"its site or page says no now: {signal}"
            elif url in refusals:
                reason, finding = WITHDRAWN, refusals[url]
            lost_by_id[doc_id] = LostDocument(reason, finding, url, version.version)
    return dict(sorted(lost_by_id.items()))


def changes_since(
    parent: DatasetVersion | None,
    parts: Mapping[tuple[str, str], pl.DataFrame],
    lost_by_id: Mapping[str, LostDocument],
) -> dict[str, Any]:
    """CHANGES.json: rows added, removed and kept by key, and every document taken back since the parent."""
    counts = {}
    before_docs: set[str] = set()
    for config, schema in CONFIGS.items():
        key = schema.primary_key()[0]
        frames = [frame for (name, _), frame in parts.items() if name == config]
        after = {each for frame in frames for each in frame[key].to_list()}
        before = set(parent.scan(config).select(key).collect()[key].to_list()) if parent else set()
        before_docs = before if config == "documents" else before_docs
        counts[config] = {"added": len(after - before), "removed": len(before - after), "kept": len(after & before)}
    withdrawn_documents = [
        {"doc_id": doc_id, "url": each.url, "finding": each.finding}
        for doc_id, each in lost_by_id.items()
        if each.reason == WITHDRAWN and doc_id in before_docs
    ]
    return {"parent": parent.version if parent else None, "rows": counts, "withdrawn": withdrawn_documents}


def consent_age(asked_at: pl.Series, now: datetime, max_age_days: int) -> dict[str, Any]:
    """How old the consent of published documents is: the oldest in whole days, and how many are older than allowed."""
    ages = (pl.Series([now]).cast(asked_at.dtype)[0] - asked_at).dt.total_days()
    return {
        "oldest_days": max(int(ages.max() or 0), 0),
        "documents_older": int((ages > max_age_days).sum()),
        "max_age_days": max_age_days,
    }
