"""Where recovery points live: a store, frames cut by content, and the vault over several regions."""
