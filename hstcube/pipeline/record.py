"""What is kept of a run: what became of its targets, what was said, and run.json."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from hstcube import __version__
from hstcube.assembly.psfs import psf_files
from hstcube.basics.digests import digests_of
from hstcube.core.state import attribute, notes_of
from hstcube.errors import HstCubeError, HstCubeWarning, WriteError, warn_caller
from hstcube.fits.reads import read_as, state_of
from hstcube.fleet.proof import asked
from hstcube.maps.opening import detection_meant
from hstcube.pipeline.options import neighbours_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import xarray as xr

    from hstcube.assembly.psfs import PSFChoice
    from hstcube.fits.reads import State
    from hstcube.pipeline.options import Options
    from hstcube.pipeline.plan import Target
    from hstcube.surveys.names import FieldFiles

__all__ = [
    "SOME_FAILED",
    "Note",
    "Outcome",
    "done_before",
    "exit_code",
    "heard",
    "inputs_of",
    "job_of",
    "record_of",
    "require_writable",
]

RECORD = "run.json"
SOME_FAILED = 5
_OTHERS = ("dask", "photutils", "regions", "reproject", "scikit-image")  # that make pixels, too


class Note(NamedTuple):
    """A warning of this package, as data."""

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


@dataclass
class Outcome:
    """What became of a target; `levels` of the sky are there where those alone were wanted."""

    target: Target
    error: HstCubeError | None = None
    files: list[Path] = dataclasses.field(default_factory=list)
    notes: list[Note] = dataclasses.field(default_factory=list)
    bands: tuple[str, ...] = ()
    pixels: int = 0
    sky: str = ""
    levels: xr.DataArray | None = None
    record: dict[str, Any] = dataclasses.field(default_factory=dict)
    before: bool = False
    """Whether an earlier run made it."""
    why: str = ""
    """Why it was made again."""
    blocks: str = ""
    """How many of its blocks a run had written that ended before it was whole."""


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """Return 0 when all is well, 5 when some targets failed, else what the first failure says."""
    outcomes = list(outcomes)
    failed = [outcome.error for outcome in outcomes if outcome.error]
    if not failed:
        return 0
    return SOME_FAILED if len(failed) < len(outcomes) else failed[0].exit_code


@contextlib.contextmanager
def heard() -> Iterator[list[Note]]:
    """Collect the warnings of this package, each once, instead of showing them."""
    notes: list[Note] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", HstCubeWarning)
        shown: Any = warnings.showwarning

        def listen(message: Any, *where: Any, **more: Any) -> None:
            if not isinstance(message, HstCubeWarning):
                shown(message, *where, **more)
            elif (note := Note(message.code, message.text)) not in notes:
                notes.append(note)

        warnings.showwarning = listen
        yield notes


def require_writable(out: Path, *, write: bool = True) -> None:
    """Make the folder of a run and try it, before anything is computed.

    Without `write` only its permissions are looked at.

    Raises
    ------
    WriteError
        If it is no folder, or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise WriteError(
            "HC-O01", "is not a folder", "choose another place[[ with -o|]]", file=str(out)
        )
    if not write:
        place = next(one for one in (out, *out.absolute().parents) if one.exists())
        if not os.access(place, os.W_OK | os.X_OK):
            raise _not_writable(out, os.strerror(errno.EACCES))
        return
    probe = out / f".{RECORD}.probe"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)  # another run may have tried the folder, too
    except OSError as error:
        raise _not_writable(out, error.strerror) from error


def _not_writable(out: Path, why: str | None) -> WriteError:
    fix = "choose another folder[[ with -o|]]"
    return WriteError("HC-O01", f"cannot be written: {why}", fix, file=str(out))


def record_of(
    outcome: Outcome, cube: xr.Dataset, options: Options, *, command: str = ""
) -> dict[str, Any]:
    """Return what run.json keeps of a target whose cube was written; `command` asked for it."""
    files = outcome.target.files
    levels = dict(zip(outcome.bands, map(_number, cube.sky.values), strict=True))
    return {
        "field": files.field,
        "ids": list(outcome.target.ids),
        "bands": list(outcome.bands),
        "pixels": outcome.pixels,
        "poisson": attribute(cube, "poisson"),
        "sky": {"origin": outcome.sky, "levels": levels},
        "inputs": {},
        "labels": None if files.labels is None else str(files.labels),
        "command": command,
        "outputs": [path.name for path in outcome.files],
        "warnings": [str(note) for note in outcome.notes],
        "notes": [f"{code} {text}" for code, text in notes_of(attribute(cube, "history"))],
        "options": {
            "bands": list(options.bands),
            "masked": options.masked,
            "noise": options.noise,
            "layout": options.layout,
            "apply_mask": options.apply_mask,
            "psf": options.psf,
            "psf_fwhm": options.psf_fwhm,
            "onto": options.onto,
            "align": options.align or "report",
            "units": options.units,
            **neighbours_of(files),
            **options.recipe,
            "to": str(cube.matched_to.values[0]),
        },
        "versions": _versions(),
    }


def done_before(target: Target, known: dict[str, Any], out: Path) -> Outcome:
    """Return what the record tells of a target that an earlier run made."""
    told = [str(line).partition(" ") for line in known.get("warnings", [])]
    return Outcome(
        target,
        files=[out / name for name in known.get("outputs", [])],
        notes=[Note(code, text) for code, _, text in told],
        bands=tuple(known.get("bands", [])),
        pixels=known.get("pixels", 0),
        sky=known.get("sky", {}).get("origin", ""),
        record=known,
        before=True,
    )


def inputs_of(
    files: FieldFiles, bands: list[str], psf: PSFChoice, maps: Sequence[Path] = ()
) -> dict[str, str | None]:
    """Return the SHA-256 of each file that a cube was made of, as it was when it was read.

    `maps` are those of exposure times.

    A file that was changed since has none, and a warning says so.
    """
    hashes: dict[str, str | None] = {}
    for path in (*_inputs(files, bands, psf), *maps):
        hashes[str(path)] = _as_read(path)
    changed = [Path(name).name for name, told in hashes.items() if told is None]
    text = f"changed since they were read: {', '.join(changed)}; their SHA-256 is not known"
    for code, said in [("HC-O23", text)] if changed else []:
        warn_caller(HstCubeWarning(code, said, files.field))
    return hashes


def job_of(question: str, inputs: dict[str, str | None], cube: xr.Dataset) -> str:
    """Return a digest of all that the files of a cube in blocks are made of, "" without.

    That is what was asked, the files that were read, the versions of what computes, and what is in
    memory: the grid, the sky, PSFs, attributes.
    """
    if not cube.sci.chunks or not all(inputs.values()):
        return ""
    known = digests_of(cube.drop_vars(list(cube.data_vars)))
    others = [*map(_version, _OTHERS)]
    return asked(question, list(inputs.values()), _versions(), others, known, cube.sci.chunks)


def _version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _as_read(path: Path) -> str | None:
    """Return the SHA-256 of a file if it is still what was read."""
    try:
        before = state_of(path.stat())
        if before != (read_as(path) or before):
            return None
        told = _sha256(path, before)
        return told if state_of(path.stat()) == before else None
    except OSError:
        return None


@lru_cache(maxsize=256)
def _sha256(path: Path, _: State) -> str:
    """Return the SHA-256 of a file in that state: targets of one field share their inputs."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inputs(files: FieldFiles, bands: list[str], psf: PSFChoice) -> list[Path]:
    """Return the files that a cube was made of."""
    paths = [files.one(band, kind) for band in bands for kind in ("sci", "wht")]
    levels = [files.bands[band].sky for band in bands]
    labels = None if detection_meant(files.labels) else files.labels
    psfs = psf_files(files, bands, psf)
    return [path for path in (*paths, labels, *psfs, *levels) if isinstance(path, Path)]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _versions() -> dict[str, str]:
    import platform

    import astropy
    import scipy
    import xarray as xr

    modules = {"numpy": np, "xarray": xr, "astropy": astropy, "scipy": scipy}
    return {
        "hstcube": __version__,
        "python": platform.python_version(),
        **{name: module.__version__ for name, module in modules.items()},
    }


@dataclass(frozen=True)
class Finding:
    """One thing found: an error, a warning, or what will be assumed (kind "note")."""

    kind: Literal["error", "warning", "note"]
    code: str
    text: str
    fix: str = ""
    file: str = ""
    band: str = ""


@dataclass
class Report:
    """What is known of a target before its run."""

    target: str
    field: str
    bands: tuple[str, ...] = ()
    findings: list[Finding] = dataclasses.field(default_factory=list)
    found: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Camera, unit, zero point and weights of each band, as `facts` tells them."""

    def of(self, kind: str) -> list[Finding]:
        """Return the findings of a kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def refuse(self, error: HstCubeError) -> None:
        """Keep an error, once."""
        finding = Finding("error", error.code, error.reason, error.fix, error.file, error.band)
        if finding not in self.findings:
            self.findings.append(finding)

    def fails(self, *, strict: bool = False) -> bool:
        """Return whether a run would refuse this target."""
        return bool(self.of("error") or (strict and self.of("warning")))
