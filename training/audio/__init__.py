"""Sound files in, waveforms and spectrograms out."""
