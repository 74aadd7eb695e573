"""Parts of `drkeeper.relocation`."""
