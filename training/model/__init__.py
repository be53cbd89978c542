"""The towers, their projections and the dual encoder made of them."""
