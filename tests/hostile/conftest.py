"""The world of files that all of these tests spoil."""

import os
from pathlib import Path

import pytest

from tests.hostile import base


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unspoiled world, made once, also for tests that several processes share."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
    return base.build(shared)
