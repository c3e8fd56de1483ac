"""These tests need torch: `make test` runs them in an environment of their own."""

from importlib.util import find_spec

if find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
