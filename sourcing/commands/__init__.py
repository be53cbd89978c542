"""The verbs of the command line, a module or a folder to a noun; they alone print, prompt and exit."""
