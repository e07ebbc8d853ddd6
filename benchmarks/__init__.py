"""Measurements of the project: each module is a command, `python -m benchmarks.NAME`, and writes its figures."""
