"""Ctrl-C where a library cannot stand it."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["held_back"]


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold an interrupt back until this ends; a second one comes at once.

    xarray takes several locks one after the other: an interrupt between two of them left one taken,
    and the process waited for itself.
    """
    came: list[int] = []

    def late(number: int, frame: Any) -> None:
        if came:
            before[number](number, frame)
        came.append(number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # no other gets signals
        now = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before = {number: handler for number, handler in now.items() if callable(handler)}
    try:
        for number in before:
            signal.signal(number, late)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            before[came[0]](came[0], None)
