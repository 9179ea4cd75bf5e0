"""Measurements that decide whether a lowering counts; not part of the installed package."""
