"""drkeeper: disaster recovery for self-hosted machine-learning platforms."""

__version__ = "0.1.0"
