"""The parts of a quarterly record, each worked out by itself; `drkeeper.quarter` puts them together."""
