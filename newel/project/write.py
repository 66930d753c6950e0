"""Writing files of the project so that all of them are there afterwards, or none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from newel.errors import Location, NewelError, PermissionDenied


def create_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Create files that are not there yet; `files` maps paths relative to `root` to contents.

    Nothing is overwritten, and a failure leaves neither a file nor a folder behind. Raises NewelError for a file that
    exists, PermissionDenied and NewelError for what the file system refuses.
    """
    made: list[Path] = []
    path = ""
    try:
        for path, content in files.items():
            file = root / path
            for folder in reversed([item for item in file.parents if not item.exists()]):
                folder.mkdir()
                made.append(folder)
            with file.open("xb") as stream:
                made.append(file)
                stream.write(content)
    except BaseException as error:
        for item in reversed(made):
            with suppress(OSError):
                item.rmdir() if item.is_dir() else item.unlink()
        if isinstance(error, FileExistsError):
            raise NewelError("is there already, and nothing is overwritten", where=Location(path)) from None
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def unwritable(path: str, error: OSError) -> NewelError:
    """Word what the system says of a file that cannot be written."""
    kind = PermissionDenied if isinstance(error, PermissionError) else NewelError
    return kind(f"cannot write the file: {error.strerror}", where=Location(path))
