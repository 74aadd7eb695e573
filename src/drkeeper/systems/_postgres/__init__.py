"""The parts of `systems/postgres.py`, which is the only one to import them."""
