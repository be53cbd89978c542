"""The base of everything: schemas, the workspace, dataset versions. Every package may use it."""

from sourcing.store.schemas import Description, Disagreement, Document, Match, Rejected, Track
from sourcing.store.versions import DatasetVersion, list_versions, open_version
from sourcing.store.workspace import Workspace

__all__ = [
    "DatasetVersion",
    "Description",
    "Disagreement",
    "Document",
    "Match",
    "Rejected",
    "Track",
    "Workspace",
    "list_versions",
    "open_version",
]
