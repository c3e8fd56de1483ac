"""The nearest centroid on a GPU, with torch where it is there; colxtr itself never needs it.

Chosen for large numbers of centroids if torch finds a CUDA device. The environment variable
COLXTR_DEVICE chooses otherwise: "cpu" for the native module, "cuda" (or "cuda:1", or what else
torch knows) for torch. Knows nothing of how centroids come about.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import InputError

LEAST_CENTROIDS = 16_384  # for which loading torch is worth its seconds: 1 million tokens
PRODUCTS = 1 << 28  # in the device's memory at a time: 1 GiB


def chosen_device(n_centroids: int) -> str | None:
    """The torch device for this many centroids; None for the native module.

    Raises:
        InputError: COLXTR_DEVICE asks for a device that is not there.
    """
    wanted = os.environ.get("COLXTR_DEVICE", "")
    if wanted == "cpu":
        return None
    if wanted:
        _check_device(wanted)
        return wanted
    if n_centroids < LEAST_CENTROIDS or find_spec("torch") is None:
        return None
    import torch  # noqa: PLC0415 - loaded for large builds only

    return "cuda" if torch.cuda.is_available() else None


def _check_device(wanted: str) -> None:
    if find_spec("torch") is None:
        raise InputError(
            f"COLXTR_DEVICE is {wanted!r}, but torch is not installed; install it, or set cpu"
        )
    import torch  # noqa: PLC0415

    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"COLXTR_DEVICE is {wanted!r}, but torch says: {reason}") from None


def nearest_on(
    device: str, centroids: NDArray[np.float32]
) -> Callable[[NDArray[np.float32]], NDArray[np.uint32]]:
    """A function that finds the centroid with the largest inner product for each row, exactly.

    Products are in single precision, as the native module's, but are summed in another order: of
    two centroids that are equally near but for rounding, either may be found.

    Args:
        device: As torch writes it.
        centroids: (n_centroids, dim).
    """
    import torch  # noqa: PLC0415

    columns = torch.tensor(centroids, device=device).T.contiguous()  # (dim, n_centroids)
    block = max(PRODUCTS // len(centroids), 1)

    def nearest(rows: NDArray[np.float32]) -> NDArray[np.uint32]:
        found = np.empty(len(rows), np.uint32)
        for start in range(0, len(rows), block):
            some = torch.tensor(rows[start : start + block], device=device)
            found[start : start + block] = torch.argmax(some @ columns, dim=1).cpu().numpy()
        return found

    return nearest
