"""A pytest plugin: the model Rampart, installed once a run by the command that users run; never skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

INSTALL = [sys.executable, "-c", "from securemem.cli import main; main()", "models", "install", "rampart"]


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of models with Rampart in it; with several workers, all share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "models"
    with FileLock(shared / "models.lock"):
        done = subprocess.run(
            INSTALL, env=os.environ | {"SECUREMEM_MODELS": str(folder)}, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def rampart(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of Rampart, where engines find it by its name."""
    monkeypatch.setenv("SECUREMEM_MODELS", str(models_folder))
    return models_folder / "rampart"
