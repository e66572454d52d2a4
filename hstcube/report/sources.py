"""What a report needs beside the cube of a run: the images as they were observed, and the map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.errors import HstCubeError
from hstcube.fleet.proof import hashes
from hstcube.pipeline.options import Options
from hstcube.pipeline.runs import images_for
from hstcube.pipeline.sources import labels_of
from hstcube.surveys.names import BandFiles, FieldFiles

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Observed", "observed", "observed_of_record"]

_KEPT = ("psf", "psf_fwhm", "onto", "units")  # options of a record that opening takes


class Observed(NamedTuple):
    """Images as they were observed, the segmentation map, and why the images are not there."""

    before: xr.Dataset | None
    labels: xr.DataArray | None
    why: str = ""


def observed(cube: xr.Dataset, files: FieldFiles, options: Options) -> Observed:
    """Open what a cube was made of, as the run did."""
    try:
        before = images_for(files, options).cube
        labels = labels_of(files, before)
    except HstCubeError as error:
        return Observed(None, None, f"cannot be opened: {error.reason}")
    bands = cube.band.values.tolist()
    if not {*bands} <= {*before.band.values.tolist()}:
        return Observed(None, labels, "have other bands")
    before = before.sel(band=bands)
    if not _alike(before, cube):
        return Observed(None, labels, "open on other pixels or in other units now")
    return Observed(before, labels)


def observed_of_record(cube: xr.Dataset, record: dict[str, Any]) -> Observed:
    """Open what a cube was made of, as the record of its run tells it, if it is what it was."""
    inputs = {Path(path): told for path, told in record.get("inputs", {}).items()}
    bands = [str(name) for name in record.get("bands", ())]
    if not inputs or len(inputs) < 2 * len(bands):  # noqa: PLR2004  sci and wht
        return Observed(None, None, "are not in the record of the run")
    now = hashes(inputs)
    if any(now.get(path.name) != told for path, told in inputs.items()):
        return Observed(None, None, "are not there any more, or were changed since")
    paths = iter(inputs)
    images = {name: BandFiles(sci=(next(paths),), wht=(next(paths),)) for name in bands}
    told = record.get("labels")
    files = FieldFiles(
        field=str(record.get("field", "")), scale="", bands=images,
        labels=None if told is None else Path(told),
    )  # fmt: skip
    said = record.get("options", {})
    try:
        options = Options(**{name: said[name] for name in _KEPT if name in said})
    except (HstCubeError, TypeError):
        return Observed(None, None, "are not in the record of the run")
    return observed(cube, files, options)


def _alike(before: xr.Dataset, cube: xr.Dataset) -> bool:
    """Say whether images lie on the pixels of a cube, and one unit of them means the same."""
    same = [np.array_equal(before[dim], cube[dim]) for dim in ("y", "x")]
    same.append(int(before.wcs) == int(cube.wcs))
    same.append(before.sci.attrs.get("units") == cube.sci.attrs.get("units"))
    same.append(np.allclose(before.zeropoint, cube.zeropoint, atol=1e-6, equal_nan=True))
    return all(same)
