"""The parts of `status`: lines of its tables, and what needs attention."""
