"""What lies beside the images of a field: its segmentation map, its PSFs, levels of its sky."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hstcube.core.bands import digits
from hstcube.fits.local import kind_of

if TYPE_CHECKING:
    from hstcube.surveys.releases import Image

__all__ = ["LABELS", "SKY", "SKY_SCALE", "Places", "labels_file", "psf_file", "sky_file"]

LABELS = "segment_maps/udf_mosaic_{field}_HST_SEGMAP.fits"
SKY = ("NEW_SKY/sky_{field}_{digits}.txt", "NEW_SKY/sky_{field}_{band}.txt")
PSF = "psf_{scale}.fits"
SKY_SCALE = "60mas"  # a level belongs to a pixel scale; the original measured it at this one


class Places(NamedTuple):
    """Where to look for what belongs to images; see `list_fields`."""

    folder: Path
    labels: str | None
    sky: str | None
    maps: list[Image]


def labels_file(places: Places, name: str, scale: str) -> Path | None:
    """Return the segmentation map: the usual one if it exists, one that was named anyway."""
    if places.labels is None:
        usual = _first(places.folder / _filled(Path(LABELS), name, scale))
        mine = [image for image in places.maps if image.field == name]
        mine.sort(key=lambda image: image.scale != scale)
        return usual if usual or not mine else mine[0].path
    place = Path(places.labels)
    if kind_of(place) == "folder":
        return place / _filled(Path(Path(LABELS).name), name, scale)
    return _filled(place, name, scale)


def sky_file(places: Places, name: str, scale: str, band: str) -> Path | None:
    """Return the file of a band's sky: a usual one if it exists, one that was named anyway."""
    usual = [_filled(Path(pattern), name, scale, band) for pattern in SKY]
    if places.sky is None:
        candidates = [places.folder / path for path in usual if scale == SKY_SCALE]
    elif kind_of(Path(places.sky)) == "folder":
        candidates = [Path(places.sky) / path.name for path in usual]
    else:
        return _filled(Path(places.sky), name, scale, band)
    return next(filter(None, map(_first, candidates)), None)


def _filled(pattern: Path, name: str, scale: str, band: str = "") -> Path:
    text = str(pattern)
    for key, value in (("field", name), ("scale", scale), ("band", band), ("digits", digits(band))):
        text = text.replace(f"{{{key}}}", value)
    return Path(text)


def psf_file(places: Places, name: str, scale: str) -> Path | None:
    """Return the file of the PSFs, if there is one."""
    return _first(places.folder / _filled(Path(PSF), name, scale))


def _first(path: Path) -> Path | None:
    """Return the file, or its compressed form, whichever exists."""
    for ending in ("", ".gz", ".fz"):
        if kind_of(found := path.with_name(path.name + ending)):
            return found
    return None
