"""Measurements with bounds; see benchmarks/README.md."""
