"""Whole runs of tasks on a data source, to measure what a model learns and keeps."""
