"""Every public name shows how it is used, and its errors can be caught by name.

The examples run with the tests: `testpaths` holds the package.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import hstcube

PUBLIC = sorted(name for name in hstcube.__all__ if callable(getattr(hstcube, name)))


def is_kind_of_error(found: Any) -> bool:
    """Say whether it is one of the kinds of HstCubeError, which all are caught alike."""
    error = hstcube.HstCubeError
    return inspect.isclass(found) and issubclass(found, error) and found is not error


def raised_by(function: Any) -> set[str]:
    """Return the classes of errors that a docstring names."""
    said = inspect.getdoc(function) or ""
    _, _, raises = said.partition("Raises\n------\n")
    lines = re.findall(r"(?m)^((?:\w+Error)(?:, \w+Error)*)$", raises)
    return {name for line in lines for name in line.split(", ")}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_an_example_with_a_result(name: str) -> None:
    found = getattr(hstcube, name)
    if is_kind_of_error(found):
        return
    _, there, example = (inspect.getdoc(found) or "").partition("Examples\n--------\n")
    assert there, f"{name} has no example"
    lines = example.splitlines()
    assert lines[0].startswith((">>> import ", ">>> from ")), "imports come first"
    assert ">>> import hstcube" in lines
    shown = [line for line in lines if line.strip() and not line.startswith((">>>", "..."))]
    assert shown, f"the example of {name} shows no result"


@pytest.mark.parametrize("name", PUBLIC)
def test_the_errors_that_a_docstring_names_are_exported(name: str) -> None:
    raised = raised_by(getattr(hstcube, name))
    assert raised <= set(hstcube.__all__)


def test_errors_are_read_out_of_docstrings() -> None:
    assert raised_by(hstcube.photometry) >= {"BandError", "GridError", "PSFError"}
    assert len([name for name in PUBLIC if raised_by(getattr(hstcube, name))]) > 40


def test_a_cube_of_the_examples_is_there_at_once() -> None:
    one = hstcube.example()
    assert hstcube.validate(one) is one
