"""The command line's commands, one module or folder per noun; only these modules print, prompt and exit."""
