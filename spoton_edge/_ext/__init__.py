"""Compiled modules, built from ext/. Each has a .pyi here and a slow twin in tests/reference.py."""
