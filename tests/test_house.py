"""Promises of the package as a whole: what it exports, what importing it costs and touches."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import colxtr

SOURCES = sorted((ROOT / "src" / "colxtr").rglob("*.py"))

# The walk: a module imports only from rooms at or before its own (docs/ARCHITECTURE.md).
WALK = [
    ["errors", "cpus", "progress"],
    ["documents"],
    ["passages", "corpora", "runs", "demo"],
    ["encoder_config"],
    ["pieces", "windows", "tokens"],
    ["model_folders", "network", "encoder"],
    ["_native", "kernels", "reference", "clustering", "codec"],
    ["storage"],
    ["search", "build"],
    ["hits", "explanation", "info"],
    ["index"],
    ["cli", "__main__"],
]
ROOM = {name: number for number, names in enumerate(WALK) for name in names}


def run(program: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return result.stdout


def test_public_names() -> None:
    assert dir(colxtr) == [
        "ColxtrError",
        "Document",
        "Encoder",
        "EncoderConfig",
        "Explanation",
        "Hit",
        "Index",
        "IndexInfo",
        "Token",
        "TokenMatch",
        "__version__",
    ]
    for name in dir(colxtr):
        assert getattr(colxtr, name)
    with pytest.raises(AttributeError, match="no attribute 'Searcher'"):
        colxtr.Searcher  # noqa: B018


def test_version_is_the_packages() -> None:
    assert re.search(
        rf'^version = "{colxtr.__version__}"$', (ROOT / "pyproject.toml").read_text(), re.M
    )


def test_importing_loads_nothing_heavy() -> None:
    loaded = run("import sys, colxtr; print(*sys.modules)").split()
    heavy = {"numpy", "onnxruntime", "tokenizers", "huggingface_hub", "typer", "rich", "torch"}
    assert not heavy & set(loaded)


def test_embeddings_need_no_onnxruntime() -> None:
    program = """
import sys, tempfile, numpy, colxtr
with colxtr.Index.create(tempfile.mkdtemp(), dim=16) as index:
    index.add_embeddings(["a"], [numpy.eye(16)])
    assert index.search_embeddings(numpy.eye(16))[0].id == "a"
assert not {"onnxruntime", "tokenizers", "torch"} & set(sys.modules)
"""
    run(program)


def test_modules_import_only_backwards() -> None:
    for path in SOURCES:
        here = path.relative_to(ROOT / "src" / "colxtr").parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("colxtr"):
                names = [node.module] if node.module != "colxtr" else [
                    f"colxtr.{alias.name}" for alias in node.names
                ]  # fmt: skip
                for name in names:
                    there = name.split(".")[1] if "." in name else ""
                    if there not in ROOM:
                        continue  # a name of the package itself, as colxtr.Index
                    assert ROOM[there] <= ROOM[here], f"{path.name} imports {name}"


def test_every_module_has_its_room() -> None:
    names = {
        path.relative_to(ROOT / "src" / "colxtr").parts[0].removesuffix(".py") for path in SOURCES
    }
    assert names - {"__init__"} <= set(ROOM)
    table = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    for name in names - {"__init__", "__main__"}:
        assert f"`{name}.py`" in table or f"`{name}/`" in table, f"{name} is not in ARCHITECTURE.md"


def test_only_one_module_imports_the_native_one() -> None:
    importers = [path.name for path in SOURCES if "_native" in path.read_text()]
    assert importers == ["kernels.py"]


def test_nothing_is_pickled() -> None:
    for path in SOURCES:
        assert not re.search(r"\bpickle\b|allow_pickle=True|torch\.load", path.read_text()), path


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs nm of a Linux tool chain")
def test_instruction_set_files_define_no_shared_symbols() -> None:
    """A weak symbol compiled for a new machine could be linked into the code for all."""
    headers = [ROOT / "native" / "kernels.h", ROOT / "native" / "kernels.inl"]
    for path in [*sorted((ROOT / "native").glob("simd_*.cpp")), *headers]:
        allowed = {"kernels.h", "kernels.inl", "immintrin.h", "arm_neon.h", "string.h", "cstddef"}
        includes = set(re.findall(r'#include [<"](.+?)[>"]', path.read_text()))
        assert includes <= allowed | {"cstdint"}, path.name
