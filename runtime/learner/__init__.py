"""Learning inside an app: samples come with labels, answers are asked for in between (docs/learner.md)."""
