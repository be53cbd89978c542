"""The towers, their projections and the dual encoder."""
