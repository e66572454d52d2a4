"""Fixtures of all tests, and a look at what they cost: `make quick` must stay quick.

Real stamps come from the folder that HSTCUBE_XDF names, crops of images of other surveys from that
of HSTCUBE_SURVEYS.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import Said, hstcube

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLOW, QUICK = 2.0, 120.0  # CPU s: what a test takes that is not marked, and all of these together

# the tests that run SED-fitting codes need these installed: make test-clients
collect_ignore = [] if os.environ.get("HSTCUBE_CLIENTS") else ["clients"]


@pytest.fixture(scope="session")
def xdf() -> Path:
    """Return the folder of XDF stamps; skip where none is named, fail where it is not there."""
    return named_by("HSTCUBE_XDF", "XDF stamps")


@pytest.fixture(scope="session")
def crops() -> Path:
    """Return the folder of crops of other surveys; skip where none is named."""
    return named_by("HSTCUBE_SURVEYS", "crops of other surveys")


def named_by(variable: str, what: str) -> Path:
    name = os.environ.get(variable)
    if not name:
        pytest.skip(f"{variable} does not name a folder of {what}")
    folder = Path(name)
    assert folder.is_dir(), f"{variable} names {folder}, which is not a folder"
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder that `hstcube demo` made, once for all pages, and what it printed."""
    place = tmp_path_factory.mktemp("demo")
    said = hstcube("demo", "hstcube_demo", folder=place)
    return place / "hstcube_demo", said


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


# -- what a test costs


def cpu() -> float:
    """Return the CPU time of this process and of those that it has waited for, s."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Remember the CPU time of a test that is not marked slow."""
    before = cpu()
    yield
    if "slow" not in item.keywords:
        item.user_properties.append(("cpu", cpu() - before))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs real stamps slow: `make real` is for them."""
    for item in items:
        if "real" in item.keywords:
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the quick tests took, and name those that ought to be marked slow; none fails."""
    passed = terminalreporter.getreports("passed")
    costs = {
        one.nodeid: cost for one in passed for key, cost in one.user_properties if key == "cpu"
    }
    late = {name: cost for name, cost in costs.items() if cost > SLOW}
    if sum(costs.values()) > QUICK or late:
        terminalreporter.section("quick tests that are not quick")
        terminalreporter.line(f"{sum(costs.values()):.0f} of {QUICK:.0f} CPU s; to be marked slow:")
        for name, cost in sorted(late.items(), key=lambda one: -one[1]):
            terminalreporter.line(f"{cost:.1f} s  {name}")
