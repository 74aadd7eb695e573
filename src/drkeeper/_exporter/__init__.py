"""The HTTP side of `exporter`."""
