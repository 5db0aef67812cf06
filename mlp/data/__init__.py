"""Real data for the book: the UCI digits, 1,797 images of 8×8 pixels (provenance and licence in README.md)."""

import csv
import gzip
import hashlib
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from mlp.graph import DTYPES
from mlp.inputs import generator, one_of, positive_int
from mlp.ops import Array

SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
SIDE, LEVELS, CLASSES = 8, 16, 10


class Examples(NamedTuple):
    """Examples as columns.

    Attributes
    ----------
    X : ndarray, shape (64, N)
        Pixels from 0 to 1, row by row: ``X[:, i].reshape(8, 8)`` is an image.
    Y : ndarray, shape (10, N)
        One-hot labels.
    """

    X: Array
    Y: Array

    @property
    def labels(self) -> Array:
        """The digit of each example, shape (N,), whole numbers."""
        labels: Array = self.Y.argmax(axis=0)
        return labels


def digits(held_out: int = 360, seed: int = 0, dtype: str = "float64") -> tuple[Examples, Examples]:
    """The digits, split at random into examples to train on and examples held out.

    Parameters
    ----------
    held_out : int
        How many of the 1,797 examples to hold out.
    seed : int
        The same seed gives the same split.
    dtype : str
        ``"float64"`` or ``"float32"``.

    Returns
    -------
    train, test : Examples
        Each with X (64, N) and Y (10, N).
    """
    one_of(dtype, DTYPES, "dtype")
    table = _read()
    if positive_int(held_out, "held_out") >= len(table):
        raise ValueError(f"held_out: expected fewer than the {len(table)} examples, received {held_out}")
    table = table[generator(seed).permutation(len(table))]
    pixels = np.ascontiguousarray((table[:, :-1] / LEVELS).T, dtype)
    one_hot = np.zeros((CLASSES, len(table)), dtype)
    one_hot[table[:, -1], np.arange(len(table))] = 1
    parts = slice(held_out, None), slice(None, held_out)
    train, test = (Examples(pixels[:, part].copy(), one_hot[:, part].copy()) for part in parts)
    return train, test


def _read() -> Array:
    """All lines as whole numbers, shape (1797, 65), after checking that they are the ones that were recorded."""
    raw = gzip.decompress(files(__name__).joinpath("digits.csv.gz").read_bytes())
    found = hashlib.sha256(raw).hexdigest()
    if found != SHA256:
        raise ValueError(f"digits.csv.gz: expected SHA-256 {SHA256}, received {found}; install mlp again")
    return np.array([[int(entry) for entry in line] for line in csv.reader(raw.decode().splitlines())])
