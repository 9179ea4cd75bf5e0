"""Analyses: facts about a graph, found without editing it."""
