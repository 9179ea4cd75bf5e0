"""Grids of whole runs: read from TOML, learned side by side, told in a table and in plots."""
