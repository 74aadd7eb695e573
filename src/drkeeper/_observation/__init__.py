"""The parts of `observation`: records that are read once, runs by the audit log, the room in regions."""
