"""The loop: it interprets the artifact's schedule and calls graphs."""
