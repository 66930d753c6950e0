"""Where newel came from, and how its wheel gets into another project."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from newel import __version__
from newel.errors import FileMissing, NewelError
from newel.project.new import engine

BACKEND = """
from zipfile import ZipFile


def build_wheel(folder, config_settings=None, metadata_directory=None):
    with ZipFile(f"{folder}/newel-9.9-py3-none-any.whl", "w") as wheel:
        wheel.writestr("newel-9.9.dist-info/METADATA", "Metadata-Version: 2.1\\nName: newel\\nVersion: 9.9\\n")
        wheel.writestr("newel-9.9.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
    return "newel-9.9-py3-none-any.whl"
"""
"""Builds another version than the one that is running, without setuptools."""


def test_a_checkout_is_its_own_origin(project_root):
    assert engine.origin() == project_root


def test_newel_from_an_index_is_required_by_its_version(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, None)
    assert engine.origin() == f"newel=={__version__}"


def test_newel_from_a_wheel_has_that_file_as_its_origin(tmp_path, monkeypatch):
    url = (tmp_path / "a b" / "newel-0.2.0-py3-none-any.whl").as_uri()
    installed(tmp_path, monkeypatch, f'{{"url": "{url}", "archive_info": {{}}}}')
    assert engine.origin() == tmp_path / "a b" / "newel-0.2.0-py3-none-any.whl"


def test_newel_that_nobody_installed_is_said_to_be_so(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_package", str(tmp_path / "newel" / "__init__.py"))
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(NewelError, match="nothing says how it came there"):
        engine.origin()


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, recorded: str | None) -> None:
    """Lay out what pip leaves in a site-packages folder, and have it looked into."""
    information = folder / f"newel-{__version__}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: newel\nVersion: {__version__}\n")
    if recorded:
        (information / "direct_url.json").write_text(recorded)
    monkeypatch.setattr(engine, "_package", str(folder / "newel" / "__init__.py"))
    monkeypatch.setattr("sys.path", [str(folder)])


@pytest.mark.parametrize(
    ("recorded", "origin"),
    [
        ({"url": "file:///a/some%20where", "dir_info": {}}, Path("/a/some where")),
        ({"url": "https://x.example/newel-0.2.0.tar.gz", "archive_info": {}},
         "newel @ https://x.example/newel-0.2.0.tar.gz"),
        ({"url": "https://x.example/newel.git", "vcs_info": {"vcs": "git", "commit_id": "1f2e"}},
         "newel @ git+https://x.example/newel.git@1f2e"),
        ({"url": "file:///a/newel", "vcs_info": {"vcs": "git", "commit_id": "1f2e"}},
         "newel @ git+file:///a/newel@1f2e"),
        ({"url": "https://x.example/all.git", "subdirectory": "db/newel",
          "vcs_info": {"vcs": "git", "commit_id": "1f2e"}},
         "newel @ git+https://x.example/all.git@1f2e#subdirectory=db/newel"),
    ],
)  # fmt: skip
def test_what_pip_recorded_gives_a_path_or_a_requirement(recorded, origin):
    assert engine.origin_of(recorded) == origin


def test_a_wheel_is_copied(tmp_path):
    wheel = tmp_path / "newel-0.2.0-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    assert engine.put_wheel(wheel, tmp_path / "wheels") == wheel.name
    assert (tmp_path / "wheels" / wheel.name).read_bytes() == b"a wheel"


def test_an_origin_that_is_gone_is_named_with_its_cure(tmp_path):
    with pytest.raises(FileMissing) as refused:
        engine.put_wheel(tmp_path / "newel-0.2.0-py3-none-any.whl", tmp_path / "wheels")
    assert str(tmp_path / "newel-0.2.0-py3-none-any.whl") in refused.value.what
    assert "python -m pip install" in refused.value.cure
    assert list(tmp_path.iterdir()) == []


def test_a_python_without_pip_is_told_how_to_get_it(project_root, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(NewelError) as refused:
        engine.put_wheel(project_root, tmp_path)
    assert "is built with pip" in refused.value.what
    assert "-m ensurepip" in refused.value.cure


def test_what_pip_says_of_a_failed_build_is_shown(tmp_path):
    (tmp_path / "newel").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "nothing"\n[project]\nname = "newel"\nversion = "0.2.0"\n'
    )
    with pytest.raises(NewelError) as refused:
        engine.put_wheel(tmp_path, tmp_path / "wheels")
    assert f"pip cannot build newel's wheel from {tmp_path}" in refused.value.what
    assert "No module named 'nothing'" in refused.value.excerpt


def test_a_folder_that_holds_another_version_by_now_is_refused(tmp_path):
    (tmp_path / "newel").mkdir()
    (tmp_path / "newel" / "backend.py").write_text(BACKEND)
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["newel"]\n'
        '[project]\nname = "newel"\nversion = "9.9"\n'
    )
    with pytest.raises(NewelError) as refused:
        engine.put_wheel(tmp_path, tmp_path / "wheels")
    assert f"gives newel-9.9-py3-none-any.whl, but newel {__version__} is running" in refused.value.what
    assert list((tmp_path / "wheels").iterdir()) == []
