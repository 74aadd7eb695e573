"""How a Feast registry is read: Feast's messages without Feast, and what changed between two, in words."""
