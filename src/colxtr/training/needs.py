"""What training needs and a plain installation lacks, said before anything else is done."""

from __future__ import annotations

from importlib.util import find_spec

from colxtr.errors import MissingDependencyError

_PACKAGES = ("torch", "sentence_transformers", "onnx", "onnxscript")


def need_torch(what: str) -> None:
    """Raise `MissingDependencyError` unless the packages of `colxtr[train]` are installed.

    Args:
        what: The command or function that needs them.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise MissingDependencyError(
            f'{what} needs {", ".join(missing)}: pip install "colxtr[train]"'
        )
