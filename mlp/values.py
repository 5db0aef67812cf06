"""What callers bring: arrays of exactly the graph's dtype and shape, all finite, checked where they enter.

Rules see them through read-only views, so nothing can change what belongs to the caller. What does not fit is refused,
and where one can tell what was meant, with the expression that fits.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice

import numpy as np

from mlp.graph import DTYPES, Graph, Variable
from mlp.inputs import listed, one_of, positive_int
from mlp.ops import Array


def one_hot(labels: object, q: int, dtype: str = "float64") -> Array:
    """Columns for cross-entropy: of each label k a column with a 1 at entry k, and zeros elsewhere.

    Parameters
    ----------
    labels : array_like, shape (n,), (1, n) or (n, 1)
        Whole numbers from 0 to q − 1, as integers, as floats (``numpy.loadtxt`` reads them so), or as True and False.
    q : int
        How many classes, at least 2.
    dtype : str
        ``"float64"`` or ``"float32"``, as the graph's.

    Returns
    -------
    ndarray, shape (q, n)

    Raises
    ------
    TypeError, ValueError
        For labels that are no such numbers.

    Examples
    --------
    >>> one_hot([0, 2, 1], 3)
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 1., 0.]])
    """
    classes = positive_int(q, "q")
    if classes < 2:
        raise ValueError(f"q: expected at least 2 classes, received {q}")
    one_of(dtype, DTYPES, "dtype")
    expected = f"labels: expected whole numbers from 0 to {classes - 1}"
    try:
        given = np.asarray(labels)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{expected}, one for each example, received {type(labels).__name__}") from None
    if given.ndim not in (1, 2) or (given.ndim == 2 and 1 not in given.shape) or not given.size:
        raise ValueError(f"{expected} in shape (n,), (1, n) or (n, 1), received shape {given.shape}")
    flat = given.reshape(-1)
    if flat.dtype.kind not in "biuf":
        names = "; pass np.unique(labels, return_inverse=True)[1]" if flat.dtype.kind in "US" else ""
        raise TypeError(f"{expected}, received dtype {flat.dtype}{names}")
    wrong = ~((flat >= 0) & (flat <= classes - 1) & (flat == np.floor(flat)))
    if wrong.any():
        index = int(np.argmax(wrong))
        from_one = flat.min() == 1 and flat.max() == classes and not wrong[flat < classes].any()
        these = "labels" if isinstance(labels, np.ndarray) else "np.asarray(labels)"
        way_out = f"; if they count from 1, pass {these} - 1" if from_one else ""
        raise ValueError(f"{expected}, received {flat[index]} for example {index}{way_out}")
    columns = np.zeros((classes, flat.size), dtype)
    columns[flat.astype(np.intp), np.arange(flat.size)] = 1
    return columns


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


def check_array(graph: Graph, name: str, array: Array, label: str = "", *, batch: bool = True) -> None:
    """Exactly the dtype and shape of the variable, finite entries, and what the operators that read it require.

    ``label`` is what the caller calls the array, where that is not the variable's name; ``batch`` says whether the
    caller could take the graph for another number of examples.
    """
    variable, label = graph.variables[name], label or name
    expected = f"{label}: expected a {variable.dtype} array of shape {variable.shape}"
    if type(array) is not np.ndarray:
        received: object = type(array).__name__
    elif array.dtype != variable.dtype:
        received = f"dtype {array.dtype}" + f", shape {array.shape}" * (array.shape != variable.shape)
    elif array.shape != variable.shape:
        raise ValueError(f"{expected}, received shape {array.shape}{_way_out(graph, name, array, label, batch)}")
    else:
        wrong = _wrong_entries(graph, name, array)
        if wrong:
            turned = array.ndim == 2 and array.shape == array.T.shape and not _wrong_entries(graph, name, array.T)
            raise ValueError(f"{label}: expected {wrong}" + f"; an example is a column; pass {label}.T" * turned)
        return
    raise TypeError(f"{expected}, received {received}{_way_out(graph, name, array, label, batch)}")


def _wrong_entries(graph: Graph, name: str, array: Array) -> str | None:
    """What is expected of the entries, where it is not so."""
    if not is_finite(array):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        return f"finite numbers, received {array[where]} at {where}"
    for index, argnum in graph.readers(name):
        check = graph.table[graph.equations[index].op].requires.get(argnum)
        wrong = check(array) if check else None
        if wrong:
            return wrong
    return None


def _way_out(graph: Graph, name: str, array: object, label: str, batch: bool) -> str:
    """What to pass instead, where that can be told: the first reading that fits, else that fits another batch."""
    variable = graph.variables[name]
    readings = [
        (text, made)
        for text, made in _readings(variable, array, label)
        if made.size and made.ndim == len(variable.shape) and made.shape[:1] == variable.shape[:1]
        if _wrong_entries(graph, name, made) is None
    ]
    for text, made in readings:
        if made.shape == variable.shape:
            return f"{_why(text, label)}; pass {text}"
    free = batch and variable.role != "parameter" and len(variable.shape) == 2 and variable.shape[1] == graph.batch
    for text, made in readings if free else ():
        passed = f"{_why(text, label)}; pass {text}" if text != label else ""
        return f"{passed}; graph.with_batch({made.shape[1]}) takes as many examples"
    if variable.role == "target" and len(variable.shape) == 2 and not readings:
        return _as_labels(array, variable.shape[0], label)
    return ""


def _as_labels(array: object, q: int, label: str) -> str:
    """Why a row of labels is none."""
    try:
        raw = np.asarray(array)
    except ValueError:  # rows of different lengths
        return ""
    for _, indices in islice(_labels(raw, array, label), 1):
        try:
            one_hot(indices, q)
        except (TypeError, ValueError) as error:
            return f"; read as labels: {str(error).removeprefix('labels: ')}" if raw.ndim == 1 else ""
    return ""


def _why(text: str, label: str) -> str:
    return "; an example is a column" if ".T" in text.removeprefix(label) else ""


def _readings(variable: Variable, array: object, label: str) -> Iterator[tuple[str, Array]]:
    """Ways to read what was brought, as an array of the right dtype: expressions, and what they give."""
    text, dtype = label, variable.dtype
    try:
        raw = np.asarray(array)
        if raw.dtype.kind not in "biufOUST":  # complex numbers, records, dates
            return
        numbers = raw.astype(dtype)
    except (TypeError, ValueError):  # words, or rows of different lengths
        numbers = np.empty(0)
    if type(array) is not np.ndarray:
        text = f"np.asarray({label}, {dtype!r})"
    elif array.dtype != dtype:
        text = f"{label}.astype({dtype!r})"
    yield text, numbers
    if variable.role != "parameter" and numbers.ndim == 2:
        yield f"{text}.T", numbers.T
    if variable.role == "target" and len(variable.shape) == 2:
        wanted = str(variable.shape[0]) + (f", {dtype!r}" if dtype != "float64" else "")
        for labels, indices in _labels(raw, array, label):
            with suppress(TypeError, ValueError):  # where these are no labels
                yield f"mlp.one_hot({labels}, {wanted})", one_hot(indices, variable.shape[0], dtype)
    if numbers.ndim == 1:
        yield f"{text}.reshape(-1, 1)", numbers.reshape(-1, 1)
        yield f"{text}.reshape(1, -1)", numbers.reshape(1, -1)


def _labels(raw: Array, array: object, label: str) -> Iterator[tuple[str, Array]]:
    """Ways to read labels: as they are, counted from 1, as whole numbers in another guise, as names."""
    these = label if isinstance(array, np.ndarray) else f"np.asarray({label})"
    if raw.dtype.kind in "biuf":
        yield label, raw
        if raw.dtype.kind != "b":
            yield f"{these} - 1", raw.astype("float64") - 1
    if raw.dtype.kind not in "OUST":
        return
    try:
        yield f"{these}.astype(int)", raw.astype(int)
    except (TypeError, ValueError):  # words
        try:
            yield f"np.unique({label}, return_inverse=True)[1]", np.unique(raw, return_inverse=True)[1]
        except TypeError:  # of kinds that cannot be sorted
            return


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
