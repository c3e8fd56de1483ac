"""What a run starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_data import tiny_set
from tiny_torch import save_bert, save_t5

from colxtr.training.settings import ModelSettings
from colxtr.training.starting import load_start


@pytest.mark.parametrize("save", [save_bert, save_t5])
def test_dropout_is_what_the_recipe_says(save: Any, tmp_path: Path) -> None:
    source = str(save(tmp_path / "model"))
    given = tiny_set()

    def differs(dropout: float | None) -> bool:
        model = load_start(ModelSettings(source, dim=16, dropout=dropout), given, 0).train()
        features = model.preprocess(list(given.documents.values()), task="document")
        first, second = (
            model({**features, "modality": "text"}, task="document")["token_embeddings"]
            for _ in range(2)
        )
        return not torch.equal(first, second)

    assert differs(None)
    assert differs(0.5)
    assert not differs(0.0)
