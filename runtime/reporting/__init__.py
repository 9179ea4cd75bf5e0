"""What a run reports: progress, result, tables."""
