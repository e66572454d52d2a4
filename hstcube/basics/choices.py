"""Words that choose: each is checked where it comes in, by one function."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, get_args

from hstcube.errors import RecipeError

if TYPE_CHECKING:
    from hstcube.errors import HstCubeError

__all__ = ["checked_name", "require_choice"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows


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
    raise error(code, f"there is no {name} {value!r}", f"choose {name}= from {listed}")


def checked_name(name: str, *, what: str = "a field's") -> str:
    """Return the name of a field, target or band if it can be part of a file's name.

    Parameters
    ----------
    name : str
    what : str
        Whose name it is, for the message.

    Raises
    ------
    RecipeError
        If it is no text, holds anything but letters, digits and ._+- or is longer than 64
        characters.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise RecipeError(
            "HC-B12",
            f"{repr(name)[:70]} cannot be {what} name",
            "use letters, digits and ._+- only, at most 64",
        )
    return name
