"""Numbers in words, written alike everywhere: in chapters, in traces, in drawings and views.

Pages have real minus signs, arrows and Greek letters. Errors and what training reports are plain; all else that is
printed falls back to plain characters where standard output has no others: a report never stops a run.
"""

import sys
from collections.abc import Callable, Iterable

import numpy as np

from mlp.ops import Array

STAND_INS = str.maketrans(
    {
        **{"−": "-", "→": "->", "←": "<-", "…": "...", "⋯": "...", "×": "x", "·": "*", "⊙": "*", "√": "sqrt "},
        **{"‖": "||", "½": "1/2", "¼": "1/4", "≥": ">=", "≤": "<=", "≠": "!=", "′": "'", "∂": "d", "Σ": "sum"},
        **{"✓": "[ok]", "✗": "[wrong]", "⁽": "(", "⁾": ")", "ᵀ": "^T", "⁻": "^-", "ᵢ": "_i", "ⱼ": "_j", "ℓ": "l"},
        **{"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "λ": "lambda", "μ": "mu"},
        **{"π": "pi", "σ": "sigma", "φ": "phi", "“": '"', "”": '"', "’": "'", "–": "-", "∞": "inf"},
        **{sign: f"^{digit}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
        **{sign: f"_{digit}" for digit, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    }
)


def plain(text: str) -> str:
    """The same without typographic signs: for what is written to a log as well as to a page.

    >>> plain("J 3.5 → −1")
    'J 3.5 -> -1'
    """
    return text.translate(STAND_INS)


def printed(text: str) -> str:
    """The same in characters that standard output can show; it may be a Windows pipe, or plain ASCII."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # nowhere, or a text in memory

    def shown(character: str) -> str:
        try:
            character.encode(encoding)
            return character
        except UnicodeEncodeError:
            return plain(character) if plain(character) != character else ascii(character)[1:-1]

    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return "".join(map(shown, text))


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
