"""MLflow: what its database says of runs, models and versions, and what its buckets must hold for that."""
