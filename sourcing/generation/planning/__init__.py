"""Which calls a pack needs, for which tracks and documents."""
