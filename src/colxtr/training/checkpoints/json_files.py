"""The JSON files of a checkpoint, read with errors that name them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from colxtr.errors import ModelError


def read_json(path: Path) -> Any:
    """The content of a JSON file of a checkpoint.

    Raises:
        ModelError: It is missing or no JSON; names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}; copy the checkpoint again") from None


def read_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file that must hold an object; as `read_json`."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a JSON object")
    return content
