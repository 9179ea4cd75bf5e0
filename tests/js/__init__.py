"""Tests of the JavaScript driver that Python judges."""
