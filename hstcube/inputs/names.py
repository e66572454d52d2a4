"""Names that become part of files' names: of fields, targets and bands."""

from __future__ import annotations

import re

from hstcube.errors import RecipeError

__all__ = ["checked_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows


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
