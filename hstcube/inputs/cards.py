"""Cards of headers that may be there and say nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NOTHING", "card_text", "card_value"]

# what programs write where they have nothing to say
NOTHING = ("", "N/A", "NA", "NONE", "NULL", "UNDEFINED", "UNKNOWN", "UNSPECIFIED")


def card_value(header: Mapping[str, Any], key: str) -> Any:
    """Return the value of a card; None where it is missing, has no value or a blank text.

    astropy gives an object of its own for a card without a value.
    """
    value = header.get(key)
    if isinstance(value, str):
        return value if value.strip() else None
    return value if isinstance(value, int | float | complex | np.generic) else None


def card_text(header: Mapping[str, Any], key: str) -> str:
    """Return the value of a card as text without spaces around it, empty where it says nothing."""
    value = card_value(header, key)
    return "" if value is None else str(value).strip()
