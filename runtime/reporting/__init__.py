"""Progress, result and tables of a run."""
