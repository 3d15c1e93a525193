"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from depth.types import UserError

_STALE_SECONDS = 3600.0
_MAX_TEXT_BYTES = 1 << 28


def at_home(argument: str) -> str:
    """An argument of a command line with its leading ~ expanded, where it is a path or --flag=path.

    A shell does so for `--out ~/x` and not for `--out=~/x`. What only begins like a home, as ~x, is left alone.
    """
    flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    is_home = value == "~" or (value.startswith("~") and "/" in value)
    return flag + equals + (os.path.expanduser(value) if is_home else value)


def one_line(error: UserError | PermissionError) -> str:
    """What is said of an error that the user can mend."""
    return str(error) if isinstance(error, UserError) else f"no permission for {error.filename or error}"


def read_text(path: Path, what: str, most: int = _MAX_TEXT_BYTES) -> str:
    """The text of a file in UTF-8, a byte order mark left out, its lines ended by \\n.

    Args:
        path: the file.
        what: it is called in messages, e.g. "the split file".
        most: bytes that such a file may have.

    Raises:
        UserError: the file cannot be read, is too large, or is in another encoding.
    """
    try:
        if path.stat().st_size > most:
            raise UserError(f"{what} {path} is too large: more than {most:,} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {what} {path}: {error.strerror or error}") from None
    # Windows' editors call UTF-16 "Unicode". Without its mark it shows by a zero in every other byte.
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or content.count(0) * 3 > len(content):
        raise UserError(f"{what} {path} is in UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise UserError(f"{what} {path} is not in UTF-8: save it as UTF-8, if it is a text at all") from None


def write_file(path: Path, content: bytes | memoryview, flush: bool = True) -> None:
    """Writes beside the path and renames: it holds the old content or the new, never a part.

    Args:
        path: the file.
        content: all of it.
        flush: waits until it is on the disk, so that it outlives a loss of power; without, for what is soon made again.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    try:
        with written_aside(path) as aside, aside.open("wb") as file:
            file.write(content)
            if flush:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it. Raises UserError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the output folder {folder} cannot be made: {error.strerror}") from None


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A name beside the path, for a file that gets the name `path` when the block ends well, and is removed otherwise.

    The suffix, which some writers look at, is the path's. Raises OSError where the file cannot be renamed.
    """
    aside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        with suppress(OSError):  # after a success it is gone
            aside.unlink()


@contextmanager
def whole_folder(final: Path, marker: str) -> Iterator[Path]:
    """A private empty folder that gets the name `final` when the block ends well, and is removed otherwise.

    `marker` is a file that a finished folder holds: where another process was faster, its folder stays. What killed
    runs left is removed after an hour; a living one touches its folder or that one's parent more often. Raises OSError
    where the disk is full or the folder cannot be written.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f".{glob.escape(final.name)}.*"):
        with suppress(FileNotFoundError):  # another process has just finished or removed it
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


def _rename(folder: Path, final: Path, marker: str) -> None:
    try:
        folder.rename(final)
    except OSError:
        if not (final / marker).is_file():
            raise
