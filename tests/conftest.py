"""Fixtures of all tests; real stamps come from the folder that HSTCUBE_XDF names."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import Said

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., Said]:
    """Give a function that runs `hstcube` with arguments, in this process."""
    from hstcube.cli import app

    before = signal.getsignal(signal.SIGTERM)

    def command(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["hstcube", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            app.main()
        signal.signal(signal.SIGTERM, before)
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return Said(end.value.code, said.out, said.err)

    return command
