"""Files that appear whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from depth.types import UserError

_STALE_SECONDS = 3600.0


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Writes beside the path and renames: it holds the old content or the new, never a part.

    Raises UserError where the disk is full or the folder cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None


@contextmanager
def whole_folder(final: Path, marker: str) -> Iterator[Path]:
    """A private empty folder that gets the name `final` when the block ends well, and is removed otherwise.

    `marker` is a file that a finished folder holds: where another process was faster, its folder stays. What killed
    runs left is removed after an hour. Raises UserError where the disk is full or the folder cannot be written.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        for left in final.parent.glob(f".{glob.escape(final.name)}.*"):
            if time.time() - max(f.stat().st_mtime for f in (left, *left.iterdir())) > _STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
        try:
            # A folder inside the private one: that has the usual permissions once it is renamed.
            (aside / "new").mkdir()
            yield aside / "new"
            _rename(aside / "new", final, marker)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write {final}: {error.strerror or error}") from error


def _rename(folder: Path, final: Path, marker: str) -> None:
    try:
        folder.rename(final)
    except OSError:
        if not (final / marker).is_file():
            raise
