"""The verbs of the command line: a module to a noun, a folder where one fills it; they alone print, prompt and exit."""
