"""The audio tower, the text tower and the dual encoder of both with projections."""
