"""The command line: one thin file for each noun; what takes long to import is imported inside commands."""
