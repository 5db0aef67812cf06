"""What does not change: mappings, which graphs, schedules and operators hold, and rows of the rule table."""

from typing import Any, NoReturn, TypeVar

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T", bound="Constant")


class Frozen(dict[K, V]):
    """A dict that does not change. Unlike a `types.MappingProxyType` it can be copied and pickled."""

    def _refuse(self, *args: object, **named: object) -> NoReturn:
        raise TypeError("expected no change: this mapping stays as it is; dict(mapping) is a copy that may change")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what it was made from, since it cannot be filled later."""
        return Frozen, (dict(self),)


class Constant:
    """What never changes, and so is its own copy."""

    def __copy__(self: T) -> T:
        return self

    def __deepcopy__(self: T, memo: object) -> T:
        return self
