"""A virtual environment for each engine, none of them colxtr's own.

    python -m bench.peers.setup --into FOLDER [colxtr] [tachiom] [fast-plaid] [xtr-warp]

Makes what is missing. `colxtr` is this checkout, with matplotlib: it also runs the comparison; it
is installed anew every time. fast-plaid and xtr-warp bring a torch of their own, 5 GB each.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from bench.peers.engines import REQUIREMENTS

ROOT = Path(__file__).parents[2]


def main() -> None:
    makers: dict[str, Callable[[Path], None]] = {
        "colxtr": _install_checkout,
        "tachiom": _install_tachiom,
        "fast-plaid": lambda python: pip(python, "install", REQUIREMENTS["fast-plaid"]),
        "xtr-warp": lambda python: pip(python, "install", REQUIREMENTS["xtr-warp"]),
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, required=True, help="folder of environments")
    parser.add_argument("engines", nargs="*", metavar="engine", help=f"of {', '.join(makers)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.engines) - set(makers):
        parser.error(f"no engine {', '.join(sorted(unknown))}; there are {', '.join(makers)}")
    for name in arguments.engines or makers:
        make_environment(arguments.into / name, makers[name], again=name == "colxtr")


def make_environment(folder: Path, install: Callable[[Path], None], *, again: bool) -> None:
    """Make a virtual environment, unless it is there and complete."""
    done = folder / "installed"
    if done.is_file() and not again:
        print(f"{folder} is there")
        return
    print(f"{folder} is being made")
    python = folder / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install(python)
    done.touch()


def pip(python: Path, *arguments: str | Path) -> None:
    subprocess.run([python, "-m", "pip", arguments[0], "--quiet", *arguments[1:]], check=True)


def _install_checkout(python: Path) -> None:
    pip(python, "install", "--upgrade", ROOT, "matplotlib")


def _install_tachiom(python: Path) -> None:
    """Install TACHIOM's wheel, though it is marked for a newer glibc than many systems have.

    It needs no symbol of that glibc, so it is unpacked where pip refuses it.
    """
    pip(python, "install", "numpy")
    target = f"manylinux_2_39_{platform.machine()}"
    number = "".join(platform.python_version_tuple()[:2])
    with tempfile.TemporaryDirectory() as temporary:
        chosen = ["--no-deps", "--only-binary=:all:", "--platform", target]
        chosen += ["--python-version", number, "--dest", temporary]
        pip(python, "download", *chosen, REQUIREMENTS["tachiom"])
        (wheel,) = Path(temporary).glob("*.whl")
        program = "import sysconfig; print(sysconfig.get_path('platlib'))"
        found = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(found.stdout.strip())


if __name__ == "__main__":
    main()
