"""Buckets of model artifacts: inventories of a moment, and objects brought back as of one."""
