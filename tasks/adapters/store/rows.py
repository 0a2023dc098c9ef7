"""Rows of a stored array that is too large for memory, read where it lies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Pieces:
    """An array that is made a piece at a time and never whole.

    Args:
        shape: of the whole; the first axis is rows.
        dtype: of the whole.
        parts: consecutive rows, in pieces of any length.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parts: Iterable[NDArray[np.generic]]

    def chunks(self, rows: int) -> Iterator[NDArray[np.generic]]:
        """The same rows in pieces of so many; the last may be shorter."""
        waiting: list[NDArray[np.generic]] = []
        count = 0
        for part in self.parts:
            waiting.append(part)
            count += len(part)
            while count >= rows:
                joined = np.concatenate(waiting)
                yield joined[:rows]
                waiting, count = [joined[rows:]], count - rows
        if count:
            yield np.concatenate(waiting)


@dataclass(frozen=True)
class StoredRows:
    """Rows on disk that are used as a tensor of shape (rows, d) is: by length, by indices, in order.

    A chunk is a file of whole rows, uncompressed, with a checksum behind them, so that any row is found
    without its chunk. Batches are those of a tensor with the same rows, bit for bit. What was read stays
    with the system's cache and counts for no process.

    Args:
        folder: holds the files of the chunks by number.
        shape: (rows, d).
        stored: dtype of the files.
        chunk: rows in a chunk.
        dtype: of the tensors given out.
        device: where they are.
    """

    folder: Path
    shape: tuple[int, int]
    stored: np.dtype[Any]
    chunk: int
    dtype: torch.dtype
    device: torch.device

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: Tensor) -> Tensor:
        """The rows with these numbers, shape (len(indices), d)."""
        wanted = indices.cpu().numpy()
        order = np.argsort(wanted, kind="stable")
        ascending = wanted[order]
        found = np.empty((len(wanted), self.shape[1]), self.stored)
        edges = np.flatnonzero(np.diff(ascending // self.chunk)) + 1
        for places in np.split(np.arange(len(wanted)), edges):
            if len(places):
                number = int(ascending[places[0]]) // self.chunk
                found[order[places]] = self._rows(number, ascending[places] - number * self.chunk)
        return self._tensor(found)

    def _rows(self, number: int, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        size = self.shape[1] * self.stored.itemsize
        with self._file(number).open("rb", buffering=0) as stream:
            handle = stream.fileno()
            content = b"".join([os.pread(handle, size, size * row) for row in rows.tolist()])
        return np.frombuffer(content, self.stored).reshape(len(rows), self.shape[1])

    def split(self, rows: int) -> Iterator[Tensor]:
        """All rows in order, so many at a time."""
        parts = Pieces(self.shape, self.stored, self._chunks()).chunks(rows)
        return (self._tensor(part) for part in parts)

    def _chunks(self) -> Iterator[NDArray[np.generic]]:
        for number in range(-(-len(self) // self.chunk)):
            count = min(self.chunk, len(self) - number * self.chunk)
            values = np.fromfile(self._file(number), self.stored, count * self.shape[1])
            yield values.reshape(count, self.shape[1])

    def _file(self, number: int) -> Path:
        return self.folder / str(number) / "0"

    def _tensor(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values).to(device=self.device, dtype=self.dtype)
