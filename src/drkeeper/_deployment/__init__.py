"""Parts of `drkeeper.deployment`."""
