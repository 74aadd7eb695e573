"""The parts of a quarterly report, worked out from its record; `drkeeper.report.quarter_view` puts them together."""
