"""Small things that the doors need: a cube, a map on its pixels, and the files of a field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["BANDS", "SHAPE", "pixels", "small_cube", "small_map", "wcs_cards"]

BANDS, SHAPE, SCALE = ("f435w", "f160w"), (20, 22), 0.06
OBJECT, NEIGHBOUR = 7, 9


def wcs_cards(*, scale: float = SCALE, crpix: tuple[float, float] = (1.0, 1.0)) -> dict[str, Any]:
    """Return the cards of a plain grid: north up, east left."""
    return {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": crpix[0], "CRPIX2": crpix[1],
        "CRVAL1": 53.16, "CRVAL2": -27.79, "CD1_1": -scale / 3600, "CD1_2": 0.0, "CD2_1": 0.0,
        "CD2_2": scale / 3600,
    }  # fmt: skip


def pixels(bands: int = len(BANDS), shape: tuple[int, int] = SHAPE) -> tuple[Any, Any]:
    """Return sci and wht of a source on noise, with a hole at a corner of the first band."""
    rng = np.random.default_rng(4)
    y, x = np.indices(shape)
    apart = np.hypot(y - shape[0] // 2, x - shape[1] // 2)
    source = np.exp(-0.5 * (apart / 2.5) ** 2)
    sci = rng.normal(0, 0.01, (bands, *shape)) + source * np.arange(1, bands + 1)[:, None, None]
    wht = np.full(sci.shape, 1e4) * (1 + 0.2 * rng.random(sci.shape))
    sci[0, :3, :4], wht[0, :3, :4] = np.nan, 0
    return sci.astype(np.float32), wht.astype(np.float32)


def small_cube(bands: tuple[str, ...] = BANDS, shape: tuple[int, int] = SHAPE) -> xr.Dataset:
    """Return a cube as `open_field` may give it."""
    from hstcube import Grid, build

    sci, wht = pixels(len(bands), shape)
    grid = Grid.from_header(wcs_cards(), shape=shape)
    widths = np.linspace(0.1, 0.2, len(bands))
    return build(
        sci, wht, bands=bands, grid=grid, units="electron s-1", field="f1", title="small",
        psf_fwhm=widths, zeropoint=np.linspace(25.5, 26, len(bands)),
    )  # fmt: skip


def small_map(shape: tuple[int, int] = SHAPE) -> Any:
    """Return labels: an object in the middle, a neighbour, and sky."""
    y, x = np.indices(shape)
    apart = np.hypot(y - shape[0] // 2, x - shape[1] // 2)
    labels = np.where(apart < 4, OBJECT, 0)
    labels[2:6, -5:-1] = NEIGHBOUR
    return labels.astype(np.int32)
