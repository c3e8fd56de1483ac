"""JSON values as what they are declared to be. Knows nothing of what they mean.

`TypeError` and `ValueError` say what is otherwise: the caller knows the file.
"""

from __future__ import annotations

from types import UnionType
from typing import TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def typed(value: object, kind: type[T]) -> T:
    """A value that must be of this very type."""
    if type(value) is not kind:  # true is no integer here
        raise TypeError(f"{value!r:.100} is no {kind.__name__}")
    return value


def record(kind: type[T], values: object) -> T:
    """A dataclass whose fields have exactly the types that it declares."""
    made = kind(**typed(values, dict))
    for name, declared in get_type_hints(kind).items():
        value = getattr(made, name)
        allowed = get_args(declared) if isinstance(declared, UnionType) else (declared,)
        if type(value) not in allowed and get_origin(declared) is not type(value):
            raise TypeError(f"{name!r} is {value!r:.100}")
    return made
