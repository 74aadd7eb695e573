"""Rendering of drill records."""
