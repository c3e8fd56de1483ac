"""Proofs that an index survives: faults, kills, power loss, damage, hostile files.

Each module is one way to hurt an index and has a function `run(size, seed) -> Tally`. `make test`
runs small ones, `make torture` those of docs/reliability.md. Part of the tests, not of the package.
"""
