"""Licence and credit of an exported model: what the checkpoint says of itself goes with it."""

from __future__ import annotations

import re
from pathlib import Path

from colxtr.encoder_config import EncoderConfig
from colxtr.training.checkpoints.credit import CARD, card_of, copy_licences


def write_credit(
    folder: Path, config: EncoderConfig, *, origin: Path | None, layout: str, weights: str
) -> None:
    """Write MODEL_CARD.md, and copy the licence files of the checkpoint, where it has any.

    Args:
        folder: The encoder folder.
        config: Its settings.
        origin: The folder of the checkpoint; None for a model that came from none.
        layout: The checkpoint's layout, for people.
        weights: "float32" or what int8 they are, for people.
    """
    card = ""
    if origin is not None:
        copy_licences(origin, folder)
        card = card_of(origin)
    lines = [
        f"# {config.name}",
        "",
        f"A colxtr encoder folder: {config.dim} dimensions a token, {weights}. `colxtr export` "
        f"made it of a checkpoint ({layout}); the weights are the checkpoint's, and so is the "
        "licence.",
        "",
        f"- Licence: {_licence(card)}",
        f"- Queries up to {config.query_length} tokens, documents up to {config.document_length}.",
    ]
    if card:
        lines += ["", "## The card of the checkpoint", "", _without_front_matter(card)]
    (folder / CARD).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _licence(card: str) -> str:
    front = re.match(r"---\n(.*?)\n---", card, re.S)
    found = re.search(r"^licen[sc]e:\s*(\S.*)$", front[1] if front else "", re.M | re.I)
    if found:
        return found[1].strip(" '\"")
    return "not named by the checkpoint's card; ask its authors before you pass it on"


def _without_front_matter(card: str) -> str:
    return re.sub(r"\A---\n.*?\n---\n?", "", card, flags=re.S).strip()
