"""What the command line writes to: streams that are closed, broken or ASCII do not end a job."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

__all__ = ["Patient", "flush", "open_streams"]


class Patient(io.TextIOWrapper):
    """A stream of text that goes on quietly when nobody listens any more, as in ``| head -1``."""

    def write(self, text: str) -> int:
        """Write, or leave it."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._leave()
            return len(text)

    def flush(self) -> None:
        """Write what is kept, or leave it."""
        try:
            super().flush()
        except BrokenPipeError:
            self._leave()

    def _leave(self) -> None:
        """Let the file descriptor lead nowhere, so that what is kept still can be got rid of."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def open_streams() -> None:
    """Make stdout and stderr streams that can be written to, whatever they are.

    A stream that was closed (cron, ``>&-``) leads nowhere: the next file to be opened would get its
    number else, and whatever is printed. Letters that a terminal has not are printed as ``?``.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004  stderr
        pass
    os.close(number)
    for number, name in ((1, "stdout"), (2, "stderr")):
        setattr(sys, name, _patient(getattr(sys, name), number))


def _patient(stream: Any, number: int) -> Any:
    if stream is None:
        return Patient(open(number, "wb", closefd=False), "utf-8", errors="replace")
    if type(stream) is not io.TextIOWrapper:  # that of a test, or of a notebook
        return stream
    how: dict[str, Any] = {"encoding": stream.encoding, "line_buffering": stream.line_buffering}
    stream.flush()
    return Patient(stream.detach(), errors="replace", write_through=number == 2, **how)  # noqa: PLR2004


def flush() -> None:
    """Write what is kept of both streams.

    Raises
    ------
    OSError
        If they cannot be written: a full disk.
    """
    sys.stdout.flush()
    sys.stderr.flush()
