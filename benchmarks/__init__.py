"""Ratios measured side by side; run with ``python -m benchmarks.NAME``."""
