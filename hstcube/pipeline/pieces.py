"""What a field is read from, each piece by itself: one that is bad does not hide another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from hstcube.files.headers import BandImages, band_state, common_units, require_band
from hstcube.files.levels import read_levels
from hstcube.fits.images import Plane, image_unit, read_plane
from hstcube.fits.opening import located, opened
from hstcube.surveys.names import scale_of_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from astropy.io import fits

    from hstcube.surveys.names import FieldFiles

__all__ = ["of_band", "of_levels"]

Kind = Literal["sci", "wht"]


def of_band(files: FieldFiles, name: str, *, lazy: bool = False) -> Iterator[Callable[[], Any]]:
    """Yield functions that each look at one thing of a band, and raise what is wrong with it.

    Parameters
    ----------
    files : FieldFiles
    name : str
        The band.
    lazy : bool
        Look at headers only.
    """
    part = next((one for one in files.parts if name in one.bands), files)
    for kind in get_args(Kind):
        yield partial(_plane, part, name, kind, lazy=lazy)
        yield partial(_name, part, name, kind)
    yield partial(_numbers, part, name)


def of_levels(files: FieldFiles, names: list[str]) -> Iterator[Callable[[], Any]]:
    """Yield functions that each read the sky level of one band."""
    scale = None if files.parts else scale_of_label(files.scale)
    for name in names:
        if name in files.bands:
            yield partial(read_levels, files, [name], scale=scale if scale and scale > 0 else None)


def _plane(files: FieldFiles, name: str, kind: Kind, *, lazy: bool) -> None:
    read_plane(files.one(name, kind), kind, band=name, lazy=lazy)


def _name(files: FieldFiles, name: str, kind: Kind) -> None:
    """Look whether an image is of the band that it is named after."""
    header = _header(files, name, kind)
    with located(files.one(name, kind), name):
        require_band(name, header)


def _numbers(files: FieldFiles, name: str) -> None:
    """Look at the unit, the zero point and the width that a header says, wherever its WCS leads."""
    nowhere: Any = None
    plane = Plane(None, _header(files, name, "sci"), nowhere)
    image = BandImages(name, plane, plane)
    units = common_units(files, [image]).unit
    band_state(files, [image], psf_fwhm={}, units=units, scale=scale_of_label(files.scale))


def _header(files: FieldFiles, name: str, kind: Kind) -> fits.Header:
    path = files.one(name, kind)
    with located(path, name), opened(path) as hdus:
        header: fits.Header = image_unit(hdus, kind, path).header
        header.tostring()  # astropy mends the cards that it can
        return header
