"""What lies beside the images of a field: its segmentation map, its PSFs, levels of its sky."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hstcube.core.bands import digits
from hstcube.fits.local import as_path, kind_of

if TYPE_CHECKING:
    from hstcube.surveys.releases import Image

__all__ = [
    "LABELS",
    "SKY",
    "SKY_SCALE",
    "Places",
    "labels_file",
    "other_scale",
    "psf_file",
    "scale_of_label",
    "sky_file",
]

LABELS = "segment_maps/udf_mosaic_{field}_HST_SEGMAP.fits"
SKY = ("NEW_SKY/sky_{field}_{digits}.txt", "NEW_SKY/sky_{field}_{band}.txt")
PSF = "psf_{scale}.fits"
SKY_SCALE = "60mas"  # a level belongs to a pixel scale; the original measured it at this one
_SAME_SCALE = 0.05  # a label and the scale that it means: it is rounded


def scale_of_label(label: str) -> float:
    """Return the pixel scale [arcsec] that a label such as "60mas" says; NaN for any other."""
    try:
        return float(label.removesuffix("mas")) / 1000
    except ValueError:
        return math.nan


def other_scale(label: str | None, scale: float) -> bool:
    """Return whether a label means another pixel scale [arcsec]; one such as "mixed" means none."""
    return abs(scale_of_label(label or "") - scale) > _SAME_SCALE * scale


class Places(NamedTuple):
    """Where to look for what belongs to images; see `list_fields`."""

    folder: Path
    labels: str | None
    sky: str | None
    maps: list[Image]


def labels_file(places: Places, name: str, scale: str) -> Path | None:
    """Return the segmentation map: the usual one if it exists, one that was named anyway."""
    if places.labels is None:
        usual = _first(places.folder / _filled(LABELS, name, scale))
        mine = [image for image in places.maps if image.field == name]
        mine.sort(key=lambda image: image.scale != scale)
        return usual if usual or not mine else mine[0].path
    place = as_path(places.labels)
    if kind_of(place) == "folder":
        return place / _filled(Path(Path(LABELS).name), name, scale)
    return _filled(place, name, scale)


def sky_file(places: Places, name: str, scale: str, band: str) -> Path | None:
    """Return the file of a band's sky: a usual one if it exists, one that was named anyway."""
    if places.sky is None and scale != SKY_SCALE:
        return None
    usual = (_filled(pattern, name, scale, band) for pattern in SKY)
    if places.sky is None:
        candidates = (places.folder / path for path in usual)
    elif kind_of(as_path(places.sky)) == "folder":
        candidates = (as_path(places.sky) / path.name for path in usual)
    else:
        return _filled(as_path(places.sky), name, scale, band)
    return next(filter(None, map(_first, candidates)), None)


def _filled(pattern: str | Path, name: str, scale: str, band: str = "") -> Path:
    text = str(pattern)
    for key, value in (("field", name), ("scale", scale), ("band", band), ("digits", digits(band))):
        text = text.replace(f"{{{key}}}", value)
    return Path(text)


def psf_file(places: Places, name: str, scale: str) -> Path | None:
    """Return the file of the PSFs, if there is one."""
    return _first(places.folder / _filled(PSF, name, scale))


def _first(path: Path) -> Path | None:
    """Return the file, or its compressed form, whichever exists."""
    compressed = (path.with_name(path.name + ending) for ending in (".gz", ".fz"))
    return next(filter(kind_of, chain([path], compressed)), None)
