"""Two processes with half a batch each compute what one computes with all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

PROGRAM = """
import sys, torch, torch.distributed as dist
from safetensors.torch import save_file
from colxtr.training.gathering import (
    average_gradients, from_first, gather_keys, gather_tokens, mean_over_processes
)
from colxtr.training.matching import Tokens
from colxtr.training.objectives import Objective, Targets
from colxtr.training.settings import ObjectiveSettings

rank, processes, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if processes > 1:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=processes
    )
generator = torch.Generator().manual_seed(0)
weight = torch.randn(8, 6, generator=generator, dtype=torch.float64).requires_grad_()
q = torch.randn(4, 3, 8, generator=generator, dtype=torch.float64)
d = torch.randn(7, 5, 8, generator=generator, dtype=torch.float64)
d_mask = torch.rand(7, 5, generator=generator) < 0.7
d_mask[:, 0] = True
d_mask[:3, 4:] = False  # so that the first process's are shorter
keys = torch.tensor([1, 2, 3, 3, 4, 5, 1])  # 1 and 3 come in both halves
own = torch.tensor([[1, 3], [2, 1], [3, 5], [4, 1]])
scores = torch.randn(4, 2, generator=generator, dtype=torch.float64)
mine, theirs = (slice(0, 4), slice(0, 7))
if processes > 1:
    mine, theirs = [(slice(0, 2), slice(0, 3)), (slice(2, 4), slice(3, 7))][rank]
length = 4 if processes > 1 and rank == 0 else 5
assert from_first(7.0 + rank) == 7.0
for scoring in ("colbert", "xtr"):
    weight.grad = None
    documents = gather_tokens(Tokens(d[theirs, :length] @ weight, d_mask[theirs, :length]))
    objective = Objective(ObjectiveSettings(scoring=scoring, distillation=1.0)).double()
    queries = Tokens(q[mine] @ weight, torch.ones(q[mine].shape[:2], dtype=torch.bool))
    losses = objective(
        queries, documents, gather_keys(keys[theirs]),
        Targets(own[mine], own[mine, :1], scores[mine]), k_train=9,
    )
    losses.total.backward()
    average_gradients([weight, objective.log_temperature])
    save_file(
        {"loss": mean_over_processes(losses.total), "weight": weight.grad,
         "temperature": objective.log_temperature.grad},
        f"{folder}/{scoring}-{processes}-{rank}.safetensors",
    )
if processes > 1:
    dist.destroy_process_group()
"""


def test_two_processes_are_one(tmp_path: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(rank), str(n), str(tmp_path)])
        for n, rank in ((1, 0), (2, 0), (2, 1))
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    for scoring in ("colbert", "xtr"):
        one = load_file(tmp_path / f"{scoring}-1-0.safetensors")
        for rank in range(2):
            half = load_file(tmp_path / f"{scoring}-2-{rank}.safetensors")
            for name, tensor in one.items():
                torch.testing.assert_close(half[name], tensor, rtol=1e-9, atol=1e-12)
