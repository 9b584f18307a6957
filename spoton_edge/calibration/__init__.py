"""Getting the ground, and knowing how good it is: fit, check, refine, draw, import.

`plane`, `fit` and `judge` need NumPy only, because the daemon asks them at its start whether a camera can be trusted.
All functions take arrays and config objects and return dataclasses of figures; words are in `report`, files in `files`.
"""
