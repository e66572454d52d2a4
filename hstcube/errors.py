"""Errors and warnings: what is wrong, where, and what to do.

Every error carries a stable code; ``codes.csv`` beside this file says what each code means, what
causes it and how it is mended.
"""

from __future__ import annotations

import inspect
import re
import warnings
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from hstcube import shipped

if TYPE_CHECKING:
    from types import FrameType

__all__ = [
    "TWO_WAYS",
    "BandError",
    "Code",
    "CubeError",
    "FileError",
    "GridError",
    "HstCubeError",
    "HstCubeWarning",
    "LabelError",
    "NoiseError",
    "Note",
    "PSFError",
    "RecipeError",
    "SkyError",
    "WriteError",
    "codes",
    "is_slip",
    "language",
    "spoken",
    "warn_caller",
]

Note = tuple[str, str]  # code and text of what is odd: a warning, or a note where nobody can act

# how who reads the messages calls hstcube: the command line says so when it starts
language: ContextVar[Literal["python", "shell"]] = ContextVar("language", default="python")

TWO_WAYS = re.compile(r"\[\[(.*?)\|(.*?)\]\](?!\])", re.DOTALL)


def spoken(text: str) -> str:
    """Return a message as its reader speaks: of ``[[--labels FILE|labels=]]`` one half is left.

    Examples
    --------
    >>> spoken("give a map: [[--labels FILE|labels=]]")
    'give a map: labels='
    """
    half = 1 if language.get() == "shell" else 2
    return TWO_WAYS.sub(lambda found: found[half], text)


class HstCubeError(ValueError):
    """What every error of this package is.

    Parameters
    ----------
    code : str
        Stable identifier, a row of ``codes.csv``.
    reason : str
        What is wrong, and what was found instead.
    fix : str
        What to do; a line that can be pasted where there is one. Where the command line says it
        otherwise than Python, ``[[--labels FILE|labels=]]`` holds both; see `spoken`.
    file, band : str
        Where, as far as it is known.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> try:
    ...     hstcube.to_flux(cube, "kg")
    ... except hstcube.HstCubeError as error:
    ...     code, fix = error.code, error.fix
    >>> code, fix
    ('HC-D33', "choose e.g. 'uJy', 'nJy', 'erg s-1 cm-2 AA-1' or 'MJy sr-1'")
    """

    exit_code = 3

    def __init__(
        self, code: str, reason: str, fix: str = "", file: str = "", band: str = ""
    ) -> None:
        super().__init__(
            code, reason, fix, file, band
        )  # all of them in args, so that the error can be pickled
        self.code = code
        self.file = file
        self.band = band

    @property
    def reason(self) -> str:
        """What is wrong, in the words of who reads it."""
        return spoken(self.args[1])

    @property
    def fix(self) -> str:
        """What to do, in the words of who reads it."""
        return spoken(self.args[2])

    def at(self, *, file: str = "", band: str = "") -> None:
        """Say where it happened, as far as the error does not say so itself."""
        self.file, self.band = self.file or file, self.band or band
        self.args = (*self.args[:3], self.file, self.band)

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.file, self.band and f"band {self.band}") if part)
        line = f"{self.code} {where}: {self.reason}" if where else f"{self.code} {self.reason}"
        return f"{line}\n  fix: {self.fix}" if self.fix else line


def is_slip(error: Exception) -> bool:
    """Say whether an exception that is none of ours was raised in a line of hstcube itself.

    It says nothing about the file that was read then: it is a mistake of ours, to be passed on as
    it is.
    """
    if isinstance(error, OSError | MemoryError | EOFError):  # a file was read there
        return False
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and _is_ours(at.tb_frame)


def _is_ours(frame: FrameType) -> bool:
    return f"{frame.f_globals.get('__name__', '')}.".startswith("hstcube.")


class FileError(HstCubeError):
    """A file is missing, damaged, or not what it should be."""


class BandError(HstCubeError):
    """A band is missing, unknown, or there twice."""


class GridError(HstCubeError):
    """Pixel grids are invalid, or differ where they must not."""


class CubeError(HstCubeError):
    """A Dataset is not a cube, or a step does not fit its state."""


class LabelError(HstCubeError):
    """A segmentation map does not hold what is asked of it."""


class SkyError(HstCubeError):
    """A sky level is missing, unreadable or impossible."""


class PSFError(HstCubeError):
    """A resolution cannot be reached from what is known."""


class NoiseError(HstCubeError):
    """The noise of a cube cannot be told: an impossible description, or a step out of order."""


class RecipeError(HstCubeError):
    """A recipe, a field file or an option is not understood."""


class WriteError(HstCubeError):
    """An output cannot be written; what was there before is untouched."""

    exit_code = 4


class HstCubeWarning(UserWarning):
    """Something was assumed or corrected; the cube's ``warnings`` keep the same line.

    Parameters
    ----------
    code : str
        Stable identifier, a row of ``codes.csv``.
    text : str
        What there is to say.
    field : str
        Of the cube, as far as it is known.

    Examples
    --------
    >>> import warnings
    >>> import hstcube
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     _ = hstcube.cutout(hstcube.example(), (53.16, -27.78), 20)
    >>> told[0].message.code
    'HC-W16'
    """

    def __init__(self, code: str, text: str = "", field: str = "") -> None:
        super().__init__(code, text, field)  # all of them in args, so that it can be pickled
        self.code = code
        self.text = text
        self.field = field

    def __str__(self) -> str:
        line = f"{self.code} {self.text}".strip()
        return f"{self.field}: {line}" if self.field else line


def warn_caller(warning: HstCubeWarning) -> None:
    """Issue a warning at the line that called hstcube: it names what its reader wrote.

    Python shows a warning once for each line that it comes from, so that one from inside hstcube
    would be silent when a cell is run on another cube.
    """
    at, level, of_caller = inspect.currentframe(), 0, 1
    while at is not None:
        level += 1
        if _is_ours(at):
            of_caller = level + 1
        at = at.f_back
    warnings.warn(warning, stacklevel=of_caller)


class Code(NamedTuple):
    """One row of the catalogue.

    ``kind`` is E (error), W (warning) or N (note); ``mend`` is "applied" where a test does what the
    fix says and the fault is gone, "advice" where nobody but the user can do it.
    """

    code: str
    kind: str
    meaning: str
    cause: str
    fix: str
    mend: str


@cache
def codes() -> dict[str, Code]:
    """Return the catalogue of codes, in its order."""
    return {row["code"]: Code(**row) for row in shipped.table("hstcube", "codes.csv")}
