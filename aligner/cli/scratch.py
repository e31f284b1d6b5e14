"""One folder for all temporary files of a run, swept up however the run ends."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class Scratch:
    """A private folder; ``folder`` is None where none can be made, and then nothing is recorded."""

    def __init__(self) -> None:
        self.folder = _make_folder()

    @property
    def chatter(self) -> Path:
        """Where the frameworks' output goes."""
        return self.folder / "chatter" if self.folder else Path(os.devnull)

    @property
    def stack(self) -> Path:
        """Where the Python stack goes when native code crashes."""
        return self.folder / "stack" if self.folder else Path(os.devnull)

    def sweep(self, partials: Iterable[str]) -> None:
        """Delete the folder, and the partial files that have not been moved to their final names."""
        for partial in partials:
            _unlink(Path(partial))
        if self.folder is None:
            return
        _unlink(self.chatter)
        _unlink(self.stack)
        try:
            self.folder.rmdir()
        except OSError:
            import shutil  # only where a framework left something

            shutil.rmtree(self.folder, ignore_errors=True)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _make_folder() -> Path | None:
    """What tempfile.mkdtemp does, without the milliseconds of importing it."""
    bases = (os.environ.get("TMPDIR"), os.environ.get("TEMP"), os.environ.get("TMP"), "/tmp", "/var/tmp")
    for base in filter(None, bases):
        folder = Path(base).absolute() / f"aligner-{os.getpid()}-{os.urandom(6).hex()}"
        try:
            folder.mkdir(mode=0o700)
        except OSError:
            continue
        return folder
    return None
