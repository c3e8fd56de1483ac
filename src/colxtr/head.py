"""Where an open index stands: at one generation, until it goes to a newer one.

Whoever reads or writes asks here which generation that is. Knows nothing of what is done with it.
"""

from __future__ import annotations

from colxtr.snapshot import Snapshot
from colxtr.storage.generation import Generation
from colxtr.storage.manifest import Manifest, newest_generation, read_manifest


class Head:
    """The generation that an open index stands at.

    Going on is one assignment: a search in another thread ends on the snapshot that it began with,
    and what only the old generation held open goes with the last of these.

    Attributes:
        folder: Of the index.
        snapshot: The generation, ready to be searched.
    """

    def __init__(self, generation: Generation) -> None:
        self.folder = generation.folder
        self.snapshot = Snapshot(generation)

    @property
    def generation(self) -> Generation:
        """The generation itself."""
        return self.snapshot.generation

    def follow(self, manifest: Manifest | None) -> None:
        """Go to the generation of a manifest that was just committed; None: nothing was."""
        if manifest is not None:
            self.snapshot = Snapshot(self.generation.following(manifest))

    def catch_up(self) -> None:
        """Go to what is committed, if an interruption kept the writer from following it."""
        if newest_generation(self.folder) != self.generation.manifest.generation:
            self.follow(read_manifest(self.folder))

    def refresh(self) -> bool:
        """Go to the newest generation, whatever a writer commits meanwhile; True if it is newer."""
        before = self.generation
        if newest_generation(self.folder) != before.manifest.generation:
            newest = before.newest_after()
            if newest is not before:
                self.snapshot = Snapshot(newest)
        return self.generation is not before

    def close(self) -> None:
        """Close the generation's files."""
        self.generation.close()
