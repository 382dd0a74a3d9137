"""Tests of answers and their metrics."""
