"""`bench.defaults`: the share of exhaustive search, on a small corpus of the same layout."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import defaults
from made import Clustered


def test_a_small_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Clustered(seed=5, dim=16)
    documents = made.documents(40, most_tokens=6)
    np.save(tmp_path / "vectors.npy", np.concatenate(documents).astype(np.float16))
    np.save(tmp_path / "doclens.npy", np.array(list(map(len, documents)), np.int32))
    np.save(tmp_path / "queries.npy", made.tokens(5))
    np.save(tmp_path / "query_lengths.npy", np.array([2, 3], np.int32))
    arguments = ["defaults", str(tmp_path), "--qualities", "0.5,1", "--k", "3"]
    for _ in range(2):  # the second time the index is there
        monkeypatch.setattr(sys, "argv", arguments)
        defaults.main()
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["quality"] for line in lines] == [0.5, 1]
        assert {line["recall"] for line in lines} == {1}  # so few are searched exhaustively
        assert lines[0]["documents"] == 40
