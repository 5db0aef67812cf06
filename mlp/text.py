"""Numbers in words, written alike everywhere: in chapters, in traces, in drawings and views."""

from collections.abc import Callable, Iterable

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


def span(values: Iterable[float], digits: int = 4, write: Callable[[float, int], str] = number) -> str:
    """The range of some numbers, or one number where both ends are written alike.

    >>> span([0.142, 0.111, 0.138], 2), span([5, 5.01], 2)
    ('0.11 to 0.14', '5')
    """
    found = list(values)
    low, high = write(min(found), digits), write(max(found), digits)
    return low if low == high else f"{low} to {high}"


def bytes_text(count: int) -> str:
    """A number of bytes, exact below 10 kB, in decimal units above.

    >>> bytes_text(96), bytes_text(12_345), bytes_text(2_500_000), bytes_text(40 * 10**12)
    ('96 B', '12.3 kB', '2.5 MB', '40 TB')
    """
    if count < 10_000:
        return f"{count:,} B"
    power = next((k for k in (1, 2, 3, 4) if count < 999.5 * 1e3**k), 5)
    return f"{number(count / 1e3**power, 3)} {' kMGTP'[power]}B"
