"""`python -m torture [NAME[=SIZE] ...]`: the proofs, in full or at a given size, as a table.

Sizes: faults and damage are tried one in SIZE, all others SIZE times. The exit status is 1 if
anything happened that must not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from torture import damage, faults, full_disk, fuzz, kills, machine, power, readers
from torture.tally import Tally


class Proof(NamedTuple):
    """One proof.

    Attributes:
        run: Of a size and a seed.
        size: Of the long form.
    """

    run: Callable[[int, int], Tally]
    size: int


PROOFS = {
    "faults": Proof(faults.run, 1),
    "kills": Proof(kills.run, 500),
    "power": Proof(power.run, 2_400),
    "flips": Proof(damage.run_flips, 1),
    "exchanges": Proof(damage.run_exchanges, 1),
    "disk": Proof(full_disk.run, 50),
    "readers": Proof(readers.run, 200),
    "machine": Proof(machine.run, 500),
    "fuzz": Proof(fuzz.run, 100_000),
}


def main() -> int:
    """Run what is asked for; everything by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("proofs", nargs="*", help=f"of {', '.join(PROOFS)}")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    failed = False
    print("| proof | what happened | what must not |\n|---|---|---|", flush=True)
    for name, _, size in (each.partition("=") for each in chosen.proofs or PROOFS):
        start = time.perf_counter()
        tally = PROOFS[name].run(int(size) if size else PROOFS[name].size, chosen.seed)
        print(tally.row(), flush=True)
        seconds = time.perf_counter() - start
        print(f"{name}: {seconds:.0f} s", *tally.problems, sep="\n", file=sys.stderr, flush=True)
        failed |= tally.n_problems > 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
