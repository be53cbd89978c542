"""One model server: its address and dialect, its client, the embedded one, and what a probe of it tells."""
