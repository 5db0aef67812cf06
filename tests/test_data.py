"""The digits: the file that was recorded, every class, and a split that can be repeated."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import mlp
from mlp.data import SHA256, digits
from tests.cases import same_bits

COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as the UCI page gives them for the test part


def together() -> tuple[np.ndarray, np.ndarray]:
    train, test = digits()
    return np.hstack([train.X, test.X]), np.hstack([train.Y, test.Y])


def test_the_file_is_the_one_that_was_recorded() -> None:
    raw = gzip.decompress(files("mlp.data").joinpath("digits.csv.gz").read_bytes())
    assert hashlib.sha256(raw).hexdigest() == SHA256
    assert SHA256 in files("mlp.data").joinpath("README.md").read_text("utf-8")


def test_the_provenance_and_the_licence_are_beside_it() -> None:
    readme = files("mlp.data").joinpath("README.md").read_text("utf-8")
    assert all(word in readme for word in ("Alpaydin", "UCI", "CC BY 4.0", "https://doi.org/10.24432/C50P49"))


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress(b"0,1,2\n"))
    monkeypatch.setattr("mlp.data.files", lambda name: tmp_path)
    with pytest.raises(ValueError, match=f"digits.csv.gz: expected SHA-256 {SHA256}, received .*; install mlp again"):
        digits()


def test_there_are_1797_images_of_every_class() -> None:
    X, Y = together()
    assert X.shape == (64, 1797)
    assert Y.sum(axis=1).tolist() == COUNTS


def test_pixels_run_from_zero_to_one_in_sixteenths() -> None:
    X, _ = together()
    assert (X.min(), X.max()) == (0, 1)
    np.testing.assert_array_equal(X * 16, np.round(X * 16))


def test_labels_are_one_hot_and_also_numbers() -> None:
    train, _ = digits()
    assert set(np.unique(train.Y)) == {0, 1}
    assert (train.Y.sum(axis=0) == 1).all()
    np.testing.assert_array_equal(train.Y[train.labels, np.arange(train.labels.size)], 1)


@pytest.mark.parametrize(("held_out", "sizes"), [(360, (1437, 360)), (1, (1796, 1)), (1796, (1, 1796))])
def test_the_parts_have_the_sizes_asked_for(held_out: int, sizes: tuple[int, int]) -> None:
    train, test = digits(held_out)
    assert (train.X.shape[1], test.X.shape[1]) == (train.Y.shape[1], test.Y.shape[1]) == sizes


def test_the_parts_are_disjoint_and_together_everything() -> None:
    """No two images of the file are equal, so pixels identify an example."""
    train, test = digits()
    images = [{column.tobytes() for column in np.ascontiguousarray(part.X.T)} for part in (train, test)]
    assert images[0].isdisjoint(images[1])
    assert len(images[0]) + len(images[1]) == 1797


def test_the_same_seed_gives_the_same_split_and_another_another() -> None:
    one, again, other = digits(seed=3), digits(seed=3), digits(seed=4)
    assert all(same_bits(a, b) for part, twin in zip(one, again, strict=True) for a, b in zip(part, twin, strict=True))
    assert not np.array_equal(one[1].X, other[1].X)


def test_an_image_goes_with_its_label() -> None:
    """A zero has an empty middle, a one does not: the split moves pixels and labels together."""
    train, _ = digits()
    middle = train.X.reshape(8, 8, -1)[3:5, 3:5].mean(axis=(0, 1))
    assert middle[train.labels == 0].mean() < 0.15 < 0.6 < middle[train.labels == 1].mean()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arrays_are_the_callers_own_contiguous_and_of_the_dtype(dtype: str) -> None:
    train, test = digits(dtype=dtype)
    for array in (*train, *test):
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.flags.owndata
        assert array.flags.writeable


def test_examples_are_data_for_training() -> None:
    train, _ = digits(dtype="float32")
    graph = mlp.network([64, 10], loss="cross_entropy", dtype="float32")
    assert mlp.sgd(graph, graph.init(0), train, lr=0.1, epochs=1, batch_size=100).by_epoch("L")[0] < np.log(10)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"held_out": 0}, ValueError, "held_out: expected a whole number >= 1, received 0"),
        ({"held_out": 1797}, ValueError, "held_out: expected fewer than the 1797 examples, received 1797"),
        ({"held_out": 0.2}, TypeError, r"held_out: expected a whole number >= 1, received 0\.2"),
        ({"seed": 0.5}, TypeError, r"seed: expected an int or a numpy Generator, received 0\.5"),
        ({"seed": None}, TypeError, "seed: expected an int or a numpy Generator, received None"),
        ({"seed": -1}, ValueError, "seed: expected an int >= 0, received -1"),
        ({"dtype": "uint8"}, ValueError, "dtype: expected one of float32, float64, received 'uint8'"),
        ({"dtype": np.float32}, ValueError, "dtype: expected one of float32, float64, received <class"),
    ],
)
def test_an_argument_that_cannot_be_is_named(arguments: dict[str, object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        digits(**arguments)  # type: ignore[arg-type]
