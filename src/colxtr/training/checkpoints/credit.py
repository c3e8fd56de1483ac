"""Licence and card of a checkpoint, which go with everything that is made of it."""

from __future__ import annotations

import shutil
from pathlib import Path

CARD = "MODEL_CARD.md"

_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "NOTICE", "NOTICE.txt")


def copy_licences(origin: Path, folder: Path) -> None:
    """Copy the licence files of a checkpoint, where it has any."""
    for name in _LICENCES:
        if (origin / name).is_file():
            shutil.copyfile(origin / name, folder / name)


def card_of(origin: Path) -> str:
    """What a checkpoint says of itself; empty where it says nothing."""
    for name in (CARD, "README.md"):
        if (origin / name).is_file():
            return (origin / name).read_text(encoding="utf-8", errors="replace")
    return ""
