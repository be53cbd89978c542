"""The demo: an invented catalogue with sound, a loopback web about it, and the real commands run over both."""
