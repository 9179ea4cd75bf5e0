"""`make parity`: one artifact and one seed in every runtime that can be had, and what differs (docs/portability.md)."""
