"""What every worker counts, in memory that all of them share: one row of numbers for each.

Rule 1: counting is an addition to a number that only this process writes: no lock, no system call, and exact whoever
of the workers is asked.
Rule 2: what a worker counted stays when it dies; its successor goes on in the same row.
"""

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator


class Tally:
    """Rows of `width` numbers, made before the workers are forked."""

    def __init__(self, width: int, rows: int) -> None:
        self._width = width
        self._rows = rows
        self._file = _nameless(width * rows * _SIZE)
        self._cells = memoryview(mmap.mmap(self._file, width * rows * _SIZE)).cast("d")

    def __del__(self) -> None:
        os.close(self._file)

    def claim(self) -> "memoryview[float]":
        """A row that no living process has; this one's until it ends."""
        for row in range(self._rows):
            try:
                # A lock of this process, not of its children, which the kernel takes back whatever it dies of.
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, row)
            except OSError:
                continue
            return self._row(row)
        raise RuntimeError(f"{self._rows} processes count already")

    def rows(self) -> Iterator["memoryview[float]"]:
        """Every row, of the living and the dead."""
        return (self._row(row) for row in range(self._rows))

    def _row(self, row: int) -> "memoryview[float]":
        return self._cells[row * self._width : (row + 1) * self._width]


def _nameless(size: int) -> int:
    """An open file that nobody else can open."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("certbound")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, size)
    return file


_SIZE = 8
