"""Denoised training as one piece of work: mine, distil, score, train, refresh, average, export.

A recipe (`loop_recipe.py`) becomes a list of stages. Each stage has a folder or file below the
output and a key: the digest of its settings, of its inputs, and of the keys of the stages it
builds on. `state.json` holds the keys of what is finished. So the same call, however the last one
ended, repeats nothing that is finished, and does anew what a changed setting touches. Stages go on
by themselves with what they had begun.

Knows neither losses nor models: what a stage does is in `loop_stages.py`.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colxtr.errors import IndexLockedError, InputError
from colxtr.storage.files import make_folder, write_atomically
from colxtr.storage.lock import WriteLock
from colxtr.training.fingerprints import of_value
from colxtr.training.parts import changed

STATE = "state.json"


@dataclass(frozen=True)
class Stage:
    """One step of the loop.

    Attributes:
        name: Its name, and that of its folder below the output: "score", "train-2".
        settings: All that decides about its result beside the stages it builds on, as JSON.
        needs: The names of the stages it builds on.
        run: Does the work, given the stage's folder; goes on with what it finds there. Returns
            figures for people, as JSON.
    """

    name: str
    settings: Mapping[str, Any]
    needs: Sequence[str]
    run: Callable[[Path], Mapping[str, Any]] = field(compare=False)


@dataclass(frozen=True, slots=True)
class StageResult:
    """What became of a stage.

    Attributes:
        name: The stage.
        done_before: Whether it was finished already, so that nothing was done now.
        seconds: What it took, when it was done; after an interruption, the last stretch only.
        figures: What it came to.
    """

    name: str
    done_before: bool
    seconds: float
    figures: Mapping[str, Any]


def run_stages(
    stages: Sequence[Stage],
    output: str | Path,
    *,
    say: Callable[[str], None] | None = None,
) -> list[StageResult]:
    """Do what is not done yet.

    Args:
        stages: In order; each needs only earlier ones.
        output: The folder; may hold what an earlier call left.
        say: Told what is done and why; by default a line on standard error.

    Returns:
        What became of each stage.

    Raises:
        InputError: A stage needs one that does not come before it; or `output` holds something
            else.
        InputError: Another process works in `output`.
    """
    folder, say = Path(output), say or _print
    keys = _keys(stages)
    _check_folder(folder)
    make_folder(folder)
    lock = _locked(folder)
    try:
        state = _State.read(folder / STATE)
        return [_run(stage, keys[stage.name], folder, state, say) for stage in stages]
    finally:
        lock.release()


def stage_folder(output: Path, name: str) -> Path:
    """Where a stage keeps what it makes."""
    return output / name


def _run(
    stage: Stage, key: str, output: Path, state: _State, say: Callable[[str], None]
) -> StageResult:
    folder, before = stage_folder(output, stage.name), state.stages.get(stage.name, {})
    if before.get("key") == key and before.get("finished") and folder.exists():
        return StageResult(stage.name, True, before["seconds"], before["figures"])
    if before and before.get("key") != key:
        say(f"{stage.name}: done anew, for {_why(before, stage)}")
    elif before.get("finished"):
        say(f"{stage.name}: done anew, for {folder} is missing")
    else:
        say(f"{stage.name}: {'going on' if before else 'begun'}")
    if before.get("key") != key:
        shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    state.note(stage.name, key=key, settings=stage.settings, finished=False)
    start = time.monotonic()
    figures = json.loads(json.dumps(stage.run(folder)))
    seconds = round(time.monotonic() - start, 1)
    state.note(
        stage.name,
        key=key,
        settings=stage.settings,
        finished=True,
        seconds=seconds,
        figures=figures,
    )
    return StageResult(stage.name, False, seconds, figures)


def _keys(stages: Sequence[Stage]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for stage in stages:
        if missing := [each for each in stage.needs if each not in keys]:
            raise InputError(f"the stage {stage.name!r} needs {missing[0]!r}, which comes later")
        above = [keys[each] for each in stage.needs]
        keys[stage.name] = of_value([stage.name, dict(stage.settings), above])
    return keys


def _why(before: Mapping[str, Any], stage: Stage) -> str:
    names = changed(before.get("settings", {}), json.loads(json.dumps(dict(stage.settings))))
    if names:
        return f"{', '.join(names)} changed"
    return f"a stage before it was ({', '.join(stage.needs)})"


def _locked(folder: Path) -> WriteLock:
    try:
        return WriteLock(folder)
    except IndexLockedError:
        raise InputError(
            f"{folder}: another process works there; wait for it, or name another folder"
        ) from None


class _State:
    """`state.json`: what is known of each stage."""

    def __init__(self, path: Path, stages: dict[str, Any]) -> None:
        self._path, self.stages = path, stages

    @classmethod
    def read(cls, path: Path) -> _State:
        if not path.is_file():
            return cls(path, {})
        try:
            return cls(path, dict(json.loads(path.read_text(encoding="utf-8"))["stages"]))
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is damaged; delete it, and everything is done anew") from None

    def note(self, name: str, **what: Any) -> None:
        self.stages[name] = what
        content = json.dumps({"stages": self.stages}, indent=1, ensure_ascii=False)
        write_atomically(self._path, content.encode())


def _check_folder(folder: Path) -> None:
    if folder.is_file():
        raise InputError(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / STATE).exists():
        names = {each.name for each in folder.iterdir()} - {"LOCK", f"{STATE}.tmp"}
        if names:
            raise InputError(
                f"{folder} holds other things ({min(names)}); name a new folder, or one that this "
                "command has begun"
            )


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
