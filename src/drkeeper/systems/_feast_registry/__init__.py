"""Feast's registry as a protected system: in a file, an object, or rows of a database."""
