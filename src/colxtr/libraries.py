"""Optional libraries: imported where they are used, named with their extra where they lack."""

from __future__ import annotations

import importlib
from typing import Any

from colxtr.errors import MissingDependencyError


def imported(name: str, purpose: str, extra: str) -> Any:
    """Import a module that a plain installation lacks.

    Args:
        name: Its full name.
        purpose: What it is needed for, as "drawing figures".
        extra: The extra of colxtr that brings it.

    Raises:
        MissingDependencyError: It is not installed; names the extra.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"{purpose} needs {name}, which cannot be imported ({error}); "
            f"install it with: pip install 'colxtr[{extra}]'"
        ) from None
