"""Comma-separated numbers, read so that every fault is named with its file and line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spoton_edge.errors import UsageError
from spoton_edge.types import F8, I8


def numbers(path: Path, columns: int) -> tuple[F8, I8]:
    """The numbers f8 (N, C) of a file with at least `columns` columns, and the line i8 (N,) of each row.

    A first line that is no numbers is a header; lines that begin with # say nothing. Raises UsageError.
    """
    table: list[list[float]] = []
    where: list[int] = []
    for index, (number, line) in enumerate(lines(path)):
        if index == 0 and not is_number(line[0]):
            continue
        if len(line) < columns or (table and len(line) != len(table[0])):
            raise UsageError(f"{path}:{number}: has {len(line)} columns, wants {len(table[0]) if table else columns}")
        table.append([finite(path, number, cell) for cell in line])
        where.append(number)
    if not table:
        return np.zeros((0, columns)), np.zeros(0, np.int64)
    return np.array(table, np.float64), np.array(where, np.int64)


def lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers from 1 and cells of the lines that say something; a comma at the end is no column."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, line in enumerate(csv.reader(file), 1):
                cells = line[:-1] if line and not line[-1].strip() else line
                if cells and not cells[0].lstrip().startswith("#"):
                    yield number, cells
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: is not a text file of comma-separated numbers") from error


def is_number(cell: str) -> bool:
    """Whether a cell is one, be it infinite."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def finite(path: Path, line: int, cell: str) -> float:
    """The number in a cell; raises UsageError where it is none."""
    if not is_number(cell) or not np.isfinite(float(cell)):
        raise UsageError(f"{path}:{line}: {cell!r} is not a finite number")
    return float(cell)
