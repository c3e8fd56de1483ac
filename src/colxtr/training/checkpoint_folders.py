"""The folders of a training run: work that can be gone on with, and a result that appears whole.

`<output>.work/` holds checkpoints until `<output>/` is there. Knows nothing of models.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from colxtr.storage.files import make_folder, named_errors, write_atomically
from colxtr.training.libraries import imported
from colxtr.training.parts import changed

_REPORT = "colxtr_training.json"
_COMPLETE = "complete"  # an empty file, written after all others of a checkpoint


def work_folder(output: Path) -> Path:
    """Where the checkpoints of a result are kept until it is there."""
    return output.with_name(f"{output.name}.work")


def begin(output: Path, about: Mapping[str, object]) -> Path:
    """The work folder of a run: as it was left, if it was begun with the same settings.

    Args:
        output: The folder of the result.
        about: All that decides about the result, as JSON. If an entry differs, the work is thrown
            away, and standard error says which.
    """
    work = work_folder(output)
    path = work / "about.json"
    content = json.loads(json.dumps(about))
    old = _read(path)
    if old == content:
        return work
    if old is not None:
        what = ", ".join(changed(old, content))
        sys.stderr.write(f"{work}: begun with other settings ({what}); beginning again\n")
    with named_errors(work):
        if work.exists():
            shutil.rmtree(work)
        make_folder(work)
    write_atomically(path, json.dumps(content, indent=1).encode())
    return work


def last_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that was written whole; broken ones are removed."""
    whole = []
    for path in work.glob("checkpoint-*"):
        if (path / _COMPLETE).is_file():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def marking(advance: Callable[[int], None]) -> Any:
    """A callback for the trainer: marks checkpoints as whole, and counts steps for a bar."""
    transformers = imported("transformers", "training")

    class Marking(transformers.TrainerCallback):  # type: ignore[name-defined, misc]  # untyped
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            advance(state.global_step)  # of a run that goes on

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            advance(1)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_atomically(folder / _COMPLETE, b"")

    return Marking()


def finished(output: Path, about: Mapping[str, object]) -> dict[str, Any] | None:
    """The report of a run with these settings whose result is there; None if there is none."""
    content = _read(output / _REPORT)
    if content is None or content["about"] != json.loads(json.dumps(about)):
        return None
    report: dict[str, Any] = content["report"]
    return report


def finish(
    output: Path, about: Mapping[str, object], report: object, save: Callable[[str], None]
) -> None:
    """Save the result so that it is there as a whole or not at all, and remove the work.

    Args:
        output: The folder of the result; what is there is replaced.
        about: As `begin` had it.
        report: What the run came to, as JSON.
        save: Writes the result into a folder.
    """
    partial, work = output.with_name(f"{output.name}.partial"), work_folder(output)
    with named_errors(output):
        shutil.rmtree(partial, ignore_errors=True)
        save(str(partial))
        content = json.dumps({"about": about, "report": report}, indent=1)
        (partial / _REPORT).write_text(content, encoding="utf-8")
        if output.exists():
            shutil.rmtree(output)
        partial.replace(output)
        shutil.rmtree(work)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
