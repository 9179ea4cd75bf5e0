"""Pages to look at: one self-contained HTML file about an artifact or about a run, which needs no network."""
