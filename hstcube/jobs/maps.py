"""Segmentation maps of fields that have none: what `hstcube detect` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.assembly.opening import open_files
from hstcube.core.grids import Grid
from hstcube.fits.local import as_path
from hstcube.fits.reads import keeps
from hstcube.fits.units import hdu
from hstcube.fits.writing import require_free_names, write_files
from hstcube.sky.detection import detect
from hstcube.surveys.beside import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from hstcube.pipeline.plan import Target

__all__ = ["Detected", "detect_maps"]


class Detected(NamedTuple):
    """The sources of a field: their number, that of the central one (0: none), and the map."""

    field: str
    sources: int
    central: int
    path: Path


@keeps()
def detect_maps(
    targets: Sequence[Target],
    out: str | Path,
    *,
    snr: float = 3.0,
    min_pixels: int | None = None,
    deblend: bool = True,
    overwrite: bool = False,
) -> list[Detected]:
    """Detect the sources of every target's field; write one map a field.

    Parameters
    ----------
    targets : sequence of Target
        From `plan`.
    out : path
        Folder for the maps, which get the names that ``labels=out`` looks for.
    snr, min_pixels, deblend
        As in `detect`.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    list of Detected

    Raises
    ------
    WriteError
        If a map exists; nothing is computed then.
    HstCubeError
        As `open_field` and `detect` raise it.
    """
    name = Path(LABELS).name
    places = {
        target.files.field: as_path(out) / name.format(field=target.files.field)
        for target in targets
    }
    require_free_names([*places.values()], overwrite=overwrite)
    found = []
    for target in targets:
        field = target.files.field
        labels = detect(open_files(target.files), snr=snr, min_pixels=min_pixels, deblend=deblend)
        write_files({places[field]: map_bytes(labels)}, overwrite=overwrite)
        ny, nx = labels.shape
        central = max(int(labels.values[ny // 2, nx // 2]), 0)
        found.append(Detected(field, max(int(labels.values.max()), 0), central, places[field]))
    return found


def map_bytes(labels: xr.DataArray) -> bytes:
    """Return a map as FITS, which `open_labels` reads; NaN, in real numbers, where is no data."""
    values = labels.values
    if (values < 0).any():
        values = np.where(values < 0, np.float32(np.nan), values.astype(np.float32))
    cards = [
        ("FILETYPE", "LABELS", "0 = sky"),
        ("DETECTED", labels.attrs.get("detected"), "by hstcube"),
        *Grid.of(labels).header_cards(),
    ]
    return hdu(values, cards)
