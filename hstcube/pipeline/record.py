"""What is kept of a run: what became of its targets, what was said, and run.json."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube import __version__
from hstcube.errors import HstCubeWarning, WriteError
from hstcube.fits.writing import write_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

    from hstcube.errors import HstCubeError
    from hstcube.pipeline.plan import Options, Target
    from hstcube.surveys.names import FieldFiles

__all__ = ["Note", "Outcome", "heard", "record_of", "require_writable", "write_record"]

RECORD = "run.json"


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


def require_writable(out: Path) -> None:
    """Make the folder of a run and try it, before anything is computed.

    Raises
    ------
    WriteError
        If it is no folder, or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise WriteError("HC-O01", "is not a folder", "choose another place with -o", file=str(out))
    probe = out / f".{RECORD}.probe"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise WriteError(
            "HC-O01",
            f"cannot be written: {error.strerror}",
            "choose another folder with -o",
            file=str(out),
        ) from error


def record_of(outcome: Outcome, cube: xr.Dataset, options: Options) -> dict[str, Any]:
    """Return what run.json keeps of a target whose cube was written."""
    files = outcome.target.files
    levels = dict(zip(outcome.bands, map(_number, cube.sky.values), strict=True))
    return {
        "field": files.field,
        "ids": list(outcome.target.ids),
        "bands": list(outcome.bands),
        "pixels": outcome.pixels,
        "sky": {"origin": outcome.sky, "levels": levels},
        "inputs": {str(path): _sha256(path) for path in _inputs(outcome, options)},
        "outputs": [path.name for path in outcome.files],
        "warnings": [str(note) for note in outcome.notes],
        "options": {
            "bands": list(options.bands),
            "masked": options.masked,
            "noise": options.noise,
            "layout": options.layout,
            "apply_mask": options.apply_mask,
            "psf": options.psf,
            "onto": options.onto,
            "align": options.align or "report",
            **options.recipe,
        },
        "versions": _versions(),
    }


def write_record(out: Path, outcomes: list[Outcome], *, overwrite: bool) -> None:
    """Add a run's targets to run.json, beside those of earlier runs into the same folder.

    A target that failed replaces one that was made before only where products are replaced.
    """
    path = out / RECORD
    targets = _targets_of(path)
    for outcome in outcomes:
        name = outcome.target.name
        if outcome.error is None:
            targets[name] = {"status": "ok", **outcome.record}
        elif overwrite or targets.get(name, {}).get("status") != "ok":
            targets[name] = {
                "status": "failed",
                "code": outcome.error.code,
                "message": str(outcome.error),
                "field": outcome.target.files.field,
            }
    text = json.dumps({"hstcube": __version__, "targets": targets}, indent=1)
    write_files({path: text.encode()}, overwrite=True)


def _targets_of(path: Path) -> dict[str, Any]:
    try:
        targets: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["targets"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return targets


def _inputs(outcome: Outcome, options: Options) -> list[Path]:
    """Return the files that a cube was made of."""
    files = outcome.target.files
    paths = [files.one(band, kind) for band in outcome.bands for kind in ("sci", "wht")]
    levels = [files.bands[band].sky for band in outcome.bands]
    return [
        path
        for path in (*paths, files.labels, _psf_file(files, options), *levels)
        if isinstance(path, Path)
    ]


def _psf_file(files: FieldFiles, options: Options) -> Path | None:
    if options.psf == "auto":
        return files.psf
    place = Path(options.psf)
    return place if place.is_file() else None  # else the name of a survey, or "gaussian"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
