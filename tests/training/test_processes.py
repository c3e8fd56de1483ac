"""`train` in two processes of half a batch each is `train` in one of all of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_data import tiny_set, write_beir
from tiny_torch import save_bert

from colxtr.training.recipes import settings_from
from colxtr.training.run_state import model_weights
from colxtr.training.trainer import train

pytestmark = [
    pytest.mark.filterwarnings("ignore:objective.k_train is"),
    pytest.mark.filterwarnings("ignore::colxtr.training.checkpoints.save.SavingWarning"),
]

PROGRAM = """
import json, os, sys, warnings
sys.path[:0] = sys.argv[3:]
warnings.simplefilter("ignore")
from tiny_data import tiny_set
from colxtr.training.recipes import settings_from
from colxtr.training.starting import load_start
from colxtr.training.trainer import train

settings = settings_from(json.loads(sys.argv[1]), "test")
model = load_start(settings.model, tiny_set(), settings.seed)
if os.environ["RANK"] == "1":  # as if its projection had come out otherwise
    model[1].linear.weight.data += 0.1
train(settings, tiny_set(), sys.argv[2], model=model)
"""


def tables(source: Path, size: int) -> dict[str, dict[str, object]]:
    return {
        "model": {"source": str(source), "dim": 16},
        "objective": {"scoring": "xtr", "k_train": 60, "self_distillation": 0.5},
        "batches": {"size": size, "gradient_cache": True, "tokens_per_forward": 64},
        "optimizer": {"steps": 4, "learning_rate": 1e-3},
        "checkpoints": {"every": 2, "log_every": 1},
        "evaluation": {"folders": [f"{source}-beir"], "every": 2},
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    source = save_bert(tmp_path / "bert", dropout=0.0)
    write_beir(tmp_path / "bert-beir", tiny_set(), "dev")
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    here = Path(__file__).parent
    given = json.dumps(tables(source, 4))
    command = [sys.executable, "-c", PROGRAM, given, tmp_path / "two", here, here.parent]
    started = [
        subprocess.Popen(
            list(map(str, command)),
            env=os.environ | meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.DEVNULL,
        )
        for rank in range(2)
    ]
    train(settings_from(tables(source, 8), "test"), tiny_set(), tmp_path / "one")
    assert [process.wait(timeout=180) for process in started] == [0, 0]
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert [line["step"] for line in two] == [0, 1, 2, 3, 4]
    for ours, theirs in zip(two, one, strict=True):
        for name in ("loss", "contrastive", "self_distillation", "temperature", "nDCG@10"):
            assert ours.get(name) == pytest.approx(theirs.get(name), abs=1e-5), name
    for ours, theirs in zip(
        *(
            model_weights(tmp_path / name / "checkpoints" / "step-00000004").values()
            for name in ("two", "one")
        ),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
