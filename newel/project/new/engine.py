"""Where the newel that is running came from, and how another project gets the same one.

From an index or a repository: by what pip is told. From a folder or a file: as a wheel in the project's own folder.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from newel import __file__ as _package
from newel import __version__
from newel.errors import FileMissing, NewelError, PermissionDenied

WHEELS = "wheels"
"""The folder of a new project that newel's wheel lies in."""

_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "newel")
"""What a wheel is built from."""


def origin() -> Path | str:
    """Return the source folder, wheel or archive that newel came from, or the requirement that gives it.

    Raises NewelError where nothing says how it was installed.
    """
    beside = Path(_package).resolve().parents[1]
    if _is_source(beside):  # a checkout: installed editable, or on PYTHONPATH
        return beside
    try:
        recorded = metadata.distribution("newel").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        raise NewelError(
            f"newel runs from {beside}, and nothing says how it came there",
            cure="Install it with pip:  python -m pip install FOLDER_OR_WHEEL",
        ) from None
    return origin_of(json.loads(recorded)) if recorded else f"newel=={__version__}"


def origin_of(recorded: Mapping[str, Any]) -> Path | str:
    """Return what an installer recorded in direct_url.json (PEP 610) as a path or a requirement."""
    url = str(recorded["url"])
    fragment = f"#subdirectory={recorded['subdirectory']}" if "subdirectory" in recorded else ""
    if repository := recorded.get("vcs_info"):
        return f"newel @ {repository['vcs']}+{url}@{repository['commit_id']}{fragment}"
    if url.startswith("file:"):
        return Path(url2pathname(urlsplit(url).path))
    return f"newel @ {url}{fragment}"


def put_wheel(source: Path, folder: Path) -> str:
    """Put newel's wheel into a folder, copied or built, and return its file name.

    Raises FileMissing if the source is gone, and NewelError if it is another version by now or pip cannot build it.
    """
    if not (_is_source(source) or source.is_file()):
        raise FileMissing(
            f"newel was installed from {source}, and it is not there any more",
            cure="Install it again from a folder or a wheel that stays:  python -m pip install FOLDER_OR_WHEEL",
        )
    folder.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".whl":
        shutil.copyfile(source, folder / source.name)
        return source.name
    with tempfile.TemporaryDirectory(prefix="newel-wheel-") as scratch:
        built = _build(source, Path(scratch))
        if not built.name.startswith(f"newel-{__version__}-"):
            raise NewelError(
                f"{source} gives {built.name}, but newel {__version__} is running",
                cure=f"Install what is there now:  python -m pip install '{source}'",
            )
        shutil.copyfile(built, folder / built.name)
    return built.name


def _build(source: Path, scratch: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise NewelError(
            f"newel's wheel is built with pip, which {sys.executable} lacks",
            cure=f"Install it:  {sys.executable} -m ensurepip   (or, with uv:  uv pip install pip)",
        )
    command = ["-m", "pip", "wheel", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [sys.executable, "-P", *command, "--wheel-dir", scratch / "dist", _copy(source, scratch / "newel")],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        cwd=scratch,
    )
    built = sorted((scratch / "dist").glob("newel-*.whl"))
    if done.returncode or not built:
        raise NewelError(
            f"pip cannot build newel's wheel from {source}",
            excerpt="\n".join(f"  {line.strip()}" for line in _told(done.stderr.splitlines())),
            cure="Building takes setuptools, which pip gets from its package index; see whether that is reached.",
        )
    return built[0]


def _told(lines: Sequence[str]) -> Sequence[str]:
    """Pick from what pip prints of a failure: it puts the errors themselves above its own boxes and notes."""
    errors = [line for line in lines if re.match(r"\s*(ERROR|\w*Error):", line)]
    return errors[-3:] or [line for line in lines if line.strip()][-8:]


def _copy(source: Path, to: Path) -> Path:
    """Copy what is built: setuptools writes into the folder it builds from, and finds there what older builds left."""
    if source.is_file():
        return source
    to.mkdir()
    try:
        for name in _SOURCES:
            if (source / name).is_dir():
                shutil.copytree(source / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (source / name).exists():
                shutil.copyfile(source / name, to / name)
    except (OSError, shutil.Error) as error:
        raise PermissionDenied(f"cannot read all of newel's source in {source}: {error}") from error
    return to


def _is_source(folder: Path) -> bool:
    try:
        described = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(described.get("project", {}).get("name") == "newel") and (folder / "newel").is_dir()
