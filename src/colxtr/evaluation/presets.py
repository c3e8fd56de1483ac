"""How deep the papers searched, by name. Knows nothing of what is searched.

Source: ColXTR (Bhat and Sen 2025): 10 probes; k' = 500 for small collections, 10,000 and 100,000
for large ones.
"""

from __future__ import annotations

from typing import TypedDict

from colxtr.errors import InputError


class Scale(TypedDict, total=False):
    """What a preset says; absent is what `SearchSettings` chooses from the collection."""

    n_probe: int
    k_prime: int


PRESETS: dict[str, Scale] = {
    "default": {},
    "paper-small": {"n_probe": 10, "k_prime": 500},
    "paper-large": {"n_probe": 10, "k_prime": 10_000},
    "paper-largest": {"n_probe": 10, "k_prime": 100_000},
}


def scale(preset: str) -> Scale:
    """The settings of a preset.

    Raises:
        InputError: There is no such preset.
    """
    if preset not in PRESETS:
        raise InputError(f"preset is {preset!r}; {', '.join(PRESETS)} are possible")
    return PRESETS[preset]


def search_options(
    preset: str | None, *, n_probe: int | None = None, k_prime: int | None = None
) -> dict[str, int | None]:
    """`n_probe` and `k_prime` as a search takes them; what is given goes before the preset.

    Raises:
        InputError: There is no such preset.
    """
    named = scale(preset or "default")
    return {
        "n_probe": named.get("n_probe") if n_probe is None else n_probe,
        "k_prime": named.get("k_prime") if k_prime is None else k_prime,
    }
