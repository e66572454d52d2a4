"""Fixtures of all tests; real stamps come from the folder that HSTCUBE_XDF names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# the tests that run SED-fitting codes need these installed: make test-clients
collect_ignore = [] if os.environ.get("HSTCUBE_CLIENTS") else ["clients"]


@pytest.fixture(scope="session")
def xdf() -> Path:
    """Return the folder of XDF stamps; skip where it is not named, fail where it is named but absent."""
    name = os.environ.get("HSTCUBE_XDF")
    if not name:
        pytest.skip("HSTCUBE_XDF does not name a folder of XDF stamps")
    folder = Path(name)
    assert folder.is_dir(), f"HSTCUBE_XDF names {folder}, which is not a folder"
    return folder
