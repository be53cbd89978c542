"""The workbench's page: runs side by side, as one self-contained file or served live on loopback."""
