"""Numbers in words, written alike everywhere: in chapters, in traces, in drawings and views."""

import numpy as np

from mlp.ops import Array


def number(value: float, digits: int = 4) -> str:
    """A number with at most ``digits`` significant digits, a real minus sign, and no negative zero.

    >>> number(2.9000000000000004), number(-0.0), number(-6.1)
    ('2.9', '0', '−6.1')
    """
    text = f"{value:.{digits}g}"
    return "0" if float(text) == 0 else text.replace("-", "−")


def tuple_of(array: Array, digits: int = 4) -> str:
    """The entries of a column, a row or any array, in order, in brackets.

    >>> tuple_of(np.array([[3.0], [-2.0]]))
    '(3, −2)'
    """
    return f"({', '.join(number(float(entry), digits) for entry in np.asarray(array).ravel())})"
