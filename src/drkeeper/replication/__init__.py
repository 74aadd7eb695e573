"""Bucket to bucket: what differs, what may be changed, and who copies it: drkeeper, or the provider itself."""
