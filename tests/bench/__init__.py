"""Figures: each module has a `main` that prints them. `python -m tests.bench` runs all, `python -m tests.bench.NAME` one."""
