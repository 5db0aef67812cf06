"""What callers bring: arrays of exactly the graph's dtype and shape, all finite, checked where they enter.

Rules see them through read-only views, so nothing can change what belongs to the caller.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mlp.graph import Graph
from mlp.inputs import listed
from mlp.ops import Array


def checked(graph: Graph, values: Mapping[str, Array], needed: Sequence[str]) -> dict[str, Array]:
    """The needed arrays, each checked; one that a matrix product would have to copy is copied here, once."""
    check_names(graph, values, needed)
    arrays = {name: values[name] for name in needed}
    for name, array in arrays.items():
        check_array(graph, name, array)
    return {name: read_only(array if has_unit_stride(array) else array.copy()) for name, array in arrays.items()}


def read_only(array: Array) -> Array:
    """A view of the same numbers, through which no rule can change what belongs to the caller."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_names(graph: Graph, values: Mapping[str, Array], needed: Sequence[str]) -> None:
    """All that is needed is there, and nothing that the graph does not take."""
    if not isinstance(values, Mapping):
        raise TypeError(f"values: expected a dict of arrays by name, received {type(values).__name__}")
    missing = [name for name in needed if name not in values]
    unknown = sorted(map(str, values.keys() - set(graph.given)))
    if missing or unknown:
        problems = [f"{what} {listed(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        raise ValueError(f"values: expected {listed(needed)}; received a mapping with {', '.join(problems)}")


def check_array(graph: Graph, name: str, array: Array, label: str = "") -> None:
    """Exactly the dtype and shape of the variable, finite entries, and what the operators that read it require.

    ``label`` is what the caller calls the array, where that is not the variable's name.
    """
    variable, label = graph.variables[name], label or name
    expected = f"{label}: expected a {variable.dtype} array of shape {variable.shape}"
    if type(array) is not np.ndarray:
        raise TypeError(f"{expected}, received {type(array).__name__}; pass np.asarray({label}, {variable.dtype!r})")
    if variable.role == "target" and array.ndim == 1 < len(variable.shape) and array.dtype.kind in "iu":  # labels
        way_out = f"np.eye({variable.shape[0]})[:, {label}] has a one-hot column for each label"
        raise TypeError(f"{expected}, received dtype {array.dtype}, shape {array.shape}; {way_out}")
    if array.dtype != variable.dtype:
        raise TypeError(f"{expected}, received dtype {array.dtype}; convert it with {label}.astype({variable.dtype!r})")
    if array.shape != variable.shape:
        raise ValueError(f"{expected}, received shape {array.shape}{_way_out(graph, name, array, label)}")
    if not is_finite(array):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"{label}: expected finite numbers, received {array[where]} at {where}")
    for index, argnum in graph.readers(name):
        check = graph.table[graph.equations[index].op].requires.get(argnum)
        wrong = check(array) if check else None
        if wrong:
            raise ValueError(f"{label}: expected {wrong}")


def _way_out(graph: Graph, name: str, array: Array, label: str) -> str:
    """What people mean by an array of another shape, where that can be told: other examples, rows, no matrix."""
    variable = graph.variables[name]
    if variable.shape == (*array.shape, 1):
        return f"; {label}.reshape(-1, 1) is a column"
    if variable.role == "parameter" or array.ndim != 2 or len(variable.shape) != 2:
        return ""
    rows, columns = variable.shape
    if columns == graph.batch and array.shape[0] == rows and array.shape[1]:
        return f"; graph.with_batch({array.shape[1]}) takes as many examples"
    return f"; an example is a column, as in {label}.T" if array.shape == (columns, rows) else ""


def is_finite(array: Array) -> bool:
    """Whether all entries are finite, without a temporary array: NaN and inf show in the extremes."""
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def has_unit_stride(array: Array) -> bool:
    """Whether rows or columns are contiguous, and do not overlap: then a matrix product reads the array where it is."""
    if array.ndim < 2:
        return bool(array.flags.aligned)
    (rows, columns), (down, right), size = array.shape, array.strides, array.itemsize
    by_rows = right == size and down % size == 0 and down >= columns * size
    by_columns = down == size and right % size == 0 and right >= rows * size
    return bool(array.flags.aligned and (array.flags.forc or by_rows or by_columns))
