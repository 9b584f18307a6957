"""Figures: `python -m tests.bench` prints all, `python -m tests.bench.NAME` one."""
