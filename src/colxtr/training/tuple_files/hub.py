"""Data sets of the hub by their id: fetched once, then a folder like any other."""

from __future__ import annotations

import re
from pathlib import Path

from colxtr.errors import CorpusError

_HUB_ID = re.compile(r"(?P<id>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
_PATTERNS = ["*.jsonl", "*.jsonl.gz", "*.json", "*.tsv", "*.tsv.gz", "*.parquet"]


def is_hub_id(name: str) -> bool:
    """Whether a name has the form `owner/name` or `owner/name@revision`."""
    return _HUB_ID.fullmatch(name) is not None


def fetch(name: str) -> Path:
    """The folder of a data set of the hub: from the local cache, else downloaded.

    Raises:
        CorpusError: The name is no hub id, or the hub cannot be reached or has no such data set.
    """
    match = _HUB_ID.fullmatch(name)
    if match is None:
        raise CorpusError(
            f"{name!r} is neither a file or folder that exists nor a hub id (owner/name); "
            "check the path"
        )
    import huggingface_hub  # noqa: PLC0415 - only for data sets from the hub

    def snapshot(*, local: bool) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                match["id"],
                repo_type="dataset",
                revision=match["revision"],
                allow_patterns=_PATTERNS,
                local_files_only=local,
            )
        )

    try:
        return snapshot(local=False)  # files that are there are not fetched again
    except Exception as error:
        try:
            return snapshot(local=True)
        except (OSError, ValueError):
            pass
        raise CorpusError(
            f"there is no file or folder {name!r}, and the data set {match['id']!r} could not be "
            f"had from the hub: {str(error).strip().partition(chr(10))[0]}; check the name and the "
            "connection, or download it elsewhere and pass its folder"
        ) from error
