"""The ground floor: schemas, the workspace and dataset versions. Everyone may use it."""

from sourcing.store.schemas import Description, Document, Match, Rejected, Track
from sourcing.store.workspace import Workspace

__all__ = ["Description", "Document", "Match", "Rejected", "Track", "Workspace"]
