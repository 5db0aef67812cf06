"""What drawings, plots and views need besides NumPy: packages that an extra of the distribution brings.

Where one is not installed, the error says which extra it is of.
"""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports of third parties: where one fails, the error says what brings it.

    >>> with extra("plots"):
    ...     import matplotlib
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(missing(f"mlp.{name}", name, error), name=error.name) from None


def missing(what: str, name: str, error: ModuleNotFoundError) -> str:
    """Say what needs the package that was not found, and how it is installed."""
    package = str(error.name).partition(".")[0]
    return f"{what} needs the package {package!r}, which is not installed: install mlp with 'pip install \".[{name}]\"'"
