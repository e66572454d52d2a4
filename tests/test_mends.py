"""Every fix that the registry calls applied is applied here, and the same fault is gone."""

from __future__ import annotations

import itertools
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mends import MENDS, SHELLS, Mend, Shell, arguments
from stamps import write_field
from typer.testing import CliRunner

import hstcube
from hstcube.cli.app import app
from hstcube.errors import HstCubeError, HstCubeWarning, codes, language, spoken
from hstcube.fits import opening

if TYPE_CHECKING:
    from collections.abc import Iterator

RAISED = "raised"
PACKAGE = Path(hstcube.__file__).parent
EACH = [(code, i) for code, mends in MENDS.items() for i in range(len(mends))]
EACH_SHELL = [(code, i) for code, mends in SHELLS.items() for i in range(len(mends))]


@pytest.fixture(autouse=True)
def whole_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(opening, "LARGEST_PLANE", opening.LARGEST_PLANE)
    before = language.set("python")
    yield
    language.reset(before)


def told(use: Any, *given: Any, **how: Any) -> dict[str, str]:
    """Return the codes that a call raises or warns of, each with its fix."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            use(*given, **how)
        except HstCubeError as error:
            return {error.code: error.fix, RAISED: error.code}
    from_here = {one.filename for one in caught if isinstance(one.message, HstCubeWarning)}
    assert not [name for name in from_here if PACKAGE in Path(name).parents]  # nobody's lines there
    ours = [one.message for one in caught if isinstance(one.message, HstCubeWarning)]
    return {one.code: f"{one.text}; {spoken(codes()[one.code].fix)}" for one in ours}


@pytest.mark.slow
@pytest.mark.parametrize(("code", "number"), EACH)
def test_what_a_fix_says_in_python_mends_the_fault(code: str, number: int, tmp_path: Path) -> None:
    mend: Mend = MENDS[code][number]
    folder = write_field(tmp_path / "data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mend.make(folder)
    said = told(mend.use, folder)
    assert code in said, said
    found = re.search(mend.says, said[code])
    assert found, said[code]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        how = mend.add(folder, found) if mend.add else arguments(found[1])
    after = told(mend.use, folder, **(how or {}))
    if mend.told:
        assert RAISED not in after
    else:
        assert code not in after, after


def fix_in(output: str, code: str) -> str:
    """Return the fix that a command printed with a code; of a warning the registry's."""
    lines = output.splitlines()
    for line, after in itertools.pairwise(lines):
        if code in line and after.strip().startswith("fix: "):
            return after.strip().removeprefix("fix: ")
    return spoken(codes()[code].fix)


def command(text: str, folder: Path) -> tuple[str, int]:
    """Run a command; return what it said, errors and fixes too, and its exit code."""
    places = {"FOLDER": folder, "OUT": folder.parent / "out", "CUBE": folder.parent / "cube.nc",
              "PSF": folder / "psf.fits"}  # fmt: skip
    words = [re.sub("FOLDER|OUT|CUBE|PSF", lambda m: str(places[m[0]]), w) for w in text.split()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(app, words)
    wrong = result.exception if isinstance(result.exception, HstCubeError) else None
    return f"{result.output}\n{wrong or ''}", result.exit_code


@pytest.mark.slow
@pytest.mark.parametrize(("code", "number"), EACH_SHELL)
def test_what_a_fix_says_on_the_command_line_mends_the_fault(
    code: str, number: int, tmp_path: Path
) -> None:
    language.set("shell")
    mend: Shell = SHELLS[code][number]
    folder = write_field(tmp_path / "data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mend.make(folder)
    said, _ = command(mend.command, folder)
    assert code in said, said
    fix = fix_in(said, code)
    found = re.search(mend.says, fix)
    assert found, fix
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        more = mend.add(folder, found)
    if not mend.instead and "--overwrite" not in more and mend.command.startswith("run"):
        more += " --overwrite"
    said, ended = command(more if mend.instead else f"{mend.command} {more}", folder)
    assert mend.told or code not in said, said
    assert ended == 0, said


def test_the_registry_calls_applied_what_is_applied_here_and_nothing_else() -> None:
    applied = {code.code for code in codes().values() if code.mend == "applied"}
    assert applied == {*MENDS, *SHELLS}
    assert {code.mend for code in codes().values()} == {"applied", "advice"}
