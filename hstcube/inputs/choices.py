"""Words and flags that choose: each is checked where it comes in, by one function."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from hstcube.errors import RecipeError
from hstcube.inputs.arrays import shown

if TYPE_CHECKING:
    from hstcube.errors import HstCubeError

__all__ = ["flag", "require_choice"]


def require_choice(
    name: str,
    value: object,
    choices: Any,
    *,
    code: str = "HC-B22",
    error: type[HstCubeError] = RecipeError,
) -> None:
    """Refuse a word that is not one of the choices.

    Parameters
    ----------
    name : str
        The argument, as its caller knows it.
    value : object
        What it was given.
    choices : Literal or sequence of str
        What it may be.
    code : str
        The code of the error.
    error : type
        Its class.

    Raises
    ------
    HstCubeError
        Of the class `error`; it lists the choices, and the nearest one first.

    Examples
    --------
    >>> require_choice("shape", "disk", ("square", "diamond"))
    Traceback (most recent call last):
    hstcube.errors.RecipeError: HC-B22 there is no shape 'disk'
      fix: choose shape= from 'square', 'diamond'
    """
    words = [*(get_args(choices) or choices)]
    if isinstance(value, str) and value in words:
        return
    near = difflib.get_close_matches(str(value), words, n=1, cutoff=0.6)
    listed = ", ".join(repr(word) for word in sorted(words, key=lambda word: word not in near))
    raise error(code, f"there is no {name} {value!r}", f"choose [[one of|{name}= from]] {listed}")


def flag(name: str, value: Any) -> bool:
    """Return True or False of an argument that says whether; any other word would count as True.

    Raises
    ------
    RecipeError
        If it is neither.

    Examples
    --------
    >>> flag("overwrite", "no")
    Traceback (most recent call last):
    hstcube.errors.RecipeError: HC-B22 overwrite is 'no', neither True nor False
      fix: say overwrite=True or overwrite=False
    """
    if isinstance(value, bool | int | np.bool_) and value in (False, True):
        return bool(value)
    reason = f"{name} is {shown(value)}, neither True nor False"
    raise RecipeError("HC-B22", reason, f"say [[with it or without|{name}=True or {name}=False]]")
