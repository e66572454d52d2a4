"""Words that choose: each is checked where it comes in, by one function."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args

from hstcube.errors import RecipeError

if TYPE_CHECKING:
    from hstcube.errors import HstCubeError

__all__ = ["require_choice"]


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
