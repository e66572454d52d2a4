"""A made-up field with known truth: stamps of a galaxy, its neighbours, a merger and stars.

Everything follows from the seed. Scenes are drawn on 30 mas pixels, convolved with PSFs that have
wings, and summed to 60 mas; noise, weights, sky and headers are those of the XDF (Illingworth et
al. 2013, ApJS 209, 6), with their faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.basics.convolution import convolver
from hstcube.core.bands import band as find_band
from hstcube.core.grids import Grid
from hstcube.core.mappings import pixel_mapping
from hstcube.demo.cameras import BANDS, FINE, SCALE, WIDE, Camera, psf_image
from hstcube.fits.local import as_path
from hstcube.fits.units import hdu
from hstcube.fits.writing import write_files, written_whole
from hstcube.surveys.beside import LABELS
from hstcube.surveys.known import known_survey
from hstcube.surveys.patterns import IMAGES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Image = NDArray[np.float64]

__all__ = ["MERGER", "TARGET", "images_of", "light_of_galaxy", "simulate", "stamp_grid"]

TARGET, MERGER, NEIGHBOURS, STAR = 101, 102, (201, 202, 203), 301  # labels of the map

# pixels of 60 mas: the stamps, and what the truth shows beyond them on every side
SIZE, MARGIN = 100, 30
STARS = 3
STAMP = 67  # pixels of 60 mas: the stamps of stars
BRIGHTEST = 200.0  # electron/s: the first star, the others a half and a third of it
CENTRE = (53.16, -27.78)  # RA, Dec [deg]
ROTATION = 42.0  # degrees, of the segmentation map
MAP_SIDE = 191  # pixels of 30 mas
GAP = (slice(0, 9), slice(60, 100))  # of the F435W stamp: not covered by any exposure

FINE_BANDS = ("f606w", "f775w", "f814w", "f850lp")
IR_RMS = 0.47  # rms of a WFC3/IR pixel times sqrt(wht), as in the XDF
# [p, 1, p] x [p, 1, p] gives rho(0,1) = 0.55, rho(1,1) = 0.30, rho(0,2) = 0.09, as in the XDF
IR_TAP = 0.335


@dataclass(frozen=True)
class Part:
    """One component of a source, of one colour: an ellipse of light that goes as exp(-r**power)."""

    label: int
    x: float  # arcsec from the centre of the stamp
    y: float
    flux: float  # uJy in F160W
    slope: float  # flux goes as wavelength**slope
    radius: float  # arcsec, scale length
    ratio: float  # minor over major axis
    angle: float  # degrees
    power: float  # 1 a disc, 0.5 a bulge, 2 a clump


def simulate(
    folder: str | Path, *, field: str = "demo", seed: int = 1, overwrite: bool = False
) -> Path:
    """Write the stamps of a made-up field, as `open_field` and `run` read them, and the truth.

    Parameters
    ----------
    folder : path
        Gets ``new_stamps``, ``segment_maps``, ``psf_stars`` and ``truth.nc``.
    field : str
        Name of the field; labels 101 (the galaxy) and 102 make a merger.
    seed : int
        Of everything that is random.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    Path
        The truth, a netCDF file: ``native`` (band, y, x), noise-free images [electron s-1 per pixel
        of 60 mas] on the stamps' grid and 30 pixels beyond on every side; ``at_f160w``, the same
        scene at the PSF of F160W; ``psf`` (band, ky, kx) on 60 mas; ``flux`` (band, source) and
        ``sky`` (band,).
    """
    folder = as_path(folder)
    rng = np.random.default_rng(seed)
    parts = _sources(rng)
    files: dict[Path, bytes] = {}
    native, psfs, at_f160w = [], [], []
    broadest = psf_image(BANDS["f160w"], FINE, WIDE)
    for name, camera in BANDS.items():
        fine = _drawn(parts, name, psf_image(camera, FINE, WIDE))
        at_f160w.append(_summed(_drawn(parts, name, broadest)))
        native.append(_summed(fine))
        psfs.append(psf_image(camera, SCALE, 65))
        files |= _stamps(folder / "new_stamps", field, name, camera, native[-1], rng)
        if name in FINE_BANDS:
            files |= _stamps(folder / "new_stamps", field, name, camera, fine, rng, scale=FINE)
    for star in range(1, STARS + 1):
        place = rng.uniform(-0.5, 0.5, 2)
        for name, camera in BANDS.items():
            image = BRIGHTEST / star * psf_image(camera, SCALE, STAMP, shift=place)
            files |= _stamps(folder / "psf_stars", str(star), name, camera, image, rng, margin=0)
    files[folder / LABELS.format(field=field)] = _label_map(parts)
    write_files(files, overwrite=overwrite)
    images = {"native": native, "at_f160w": at_f160w}
    return _write_truth(folder / "truth.nc", parts, images, np.stack(psfs), overwrite=overwrite)


def images_of(bands: Sequence[str], seed: int = 1) -> tuple[Any, Any, Any, xr.DataArray]:
    """Return what `simulate` writes of bands, without files.

    Returns
    -------
    sci, wht : array of float32, (band, y, x)
        The stamps of 60 mas.
    psf : array, (band, ky, kx)
        Their true PSFs, on 60 mas.
    labels : DataArray of float32, (y, x)
        The segmentation map, on its own grid; it was interpolated.
    """
    rng = np.random.default_rng(seed)
    parts = _sources(rng)
    planes = {}
    for name, camera in BANDS.items():  # all of them, for the same random numbers
        fine = _drawn(parts, name, psf_image(camera, FINE, WIDE))
        planes[name] = _observed(name, camera, _summed(fine), rng)
        if name in FINE_BANDS:
            _observed(name, camera, fine, rng, scale=FINE)
    values, grid = _interpolated_labels(parts)
    psf = np.stack([psf_image(BANDS[name], SCALE, 65) for name in bands])
    sci, wht = (np.stack([planes[name][i] for name in bands]) for i in (0, 1))
    return sci, wht, psf, xr.DataArray(values, grid.coords(), ("y", "x"), name="labels")


def light_of_galaxy(band: str, psf: Image, seed: int = 1) -> Image:
    """Return the galaxy and its companion in a band at a PSF, uJy per pixel of 30 mas."""
    parts = _sources(np.random.default_rng(seed))
    both = [part for part in parts if part.label in (TARGET, MERGER)]
    zeropoint = known_survey("xdf", SCALE).zeropoint[band]
    return np.asarray(_drawn(both, band, psf) * 10 ** (-0.4 * (zeropoint - 23.9)))


def _sources(rng: np.random.Generator) -> list[Part]:
    """Return a galaxy, a companion, neighbours and a star.

    The galaxy has a red bulge, a disc that is bluer outside, and clumps.
    """
    angle = rng.uniform(0, 180)
    parts = [
        Part(TARGET, 0.0, 0.0, 2.2, 2.2, 0.10, 0.8, angle, 0.7),
        Part(TARGET, 0.0, 0.0, 4.0, 1.2, 0.24, 0.6, angle, 1.0),
        Part(TARGET, 0.0, 0.0, 2.5, 0.2, 0.32, 0.6, angle, 1.0),
        Part(MERGER, 0.85, -0.75, 0.9, 0.8, 0.14, 0.7, rng.uniform(0, 180), 1.0),
    ]
    for _ in range(5):
        turn, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.8)
        spot = (distance * np.cos(turn), 0.6 * distance * np.sin(turn))
        parts.append(Part(TARGET, *spot, rng.uniform(0.05, 0.15), -1.0, 0.06, 1.0, 0.0, 2.0))
    for label, spot in zip(NEIGHBOURS, ((-1.9, 1.3), (2.1, 1.7), (-1.5, -2.2)), strict=True):
        flux, slope, turn = rng.uniform(0.2, 0.8), rng.uniform(0, 1.5), rng.uniform(0, 180)
        parts.append(Part(label, *spot, flux, slope, 0.12, 0.7, turn, 1.0))
    parts.append(Part(STAR, 2.205, -0.915, 0.5, 0.5, 0.01, 1.0, 0.0, 2.0))  # in one pixel of 30 mas
    return parts


def _drawn(parts: list[Part], band: str, psf: Image) -> Image:
    """Return the scene in one band on 30 mas pixels [electron/s], convolved with a PSF."""
    side = 2 * (SIZE + 2 * MARGIN)
    scene = np.zeros((side, side))
    for part in parts:
        scene += _shape(part, side) * _count_rate(part, band)
    return convolver(psf / psf.sum(), scene.shape)(scene)


@lru_cache(maxsize=16)
def _shape(part: Part, side: int) -> Image:
    """Return the light of a component, unit sum: the same in all bands."""
    offset = (np.arange(side) - (side - 1) / 2) * FINE
    x, y = offset[None, :] - part.x, offset[:, None] - part.y
    turn = np.deg2rad(part.angle)
    major, minor = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    radius = np.hypot(major, minor / part.ratio) / part.radius
    image = np.exp(-(np.hypot(radius, 0.1) ** part.power))
    return np.asarray(image / image.sum())


def _count_rate(part: Part, band: str) -> float:
    """Return the count rate of a component [electron/s] by the zero points of the XDF."""
    wavelength = find_band(band).pivot / find_band("f160w").pivot
    flux = part.flux * wavelength**part.slope
    survey = known_survey("xdf", SCALE)
    return float(flux * 10 ** (0.4 * (survey.zeropoint[band] - 23.9)))


def _summed(fine: Image) -> Image:
    ny, nx = fine.shape
    return np.asarray(fine.reshape(ny // 2, 2, nx // 2, 2).sum((1, 3)))


def _stamps(
    folder: Path,
    field: str,
    band: str,
    camera: Camera,
    image: Image,
    rng: np.random.Generator,
    *,
    scale: float = SCALE,
    margin: int = MARGIN,
) -> dict[Path, bytes]:
    """Return the science and weight files of one band."""
    planes = _observed(band, camera, image, rng, scale=scale, margin=margin)
    label = f"{round(scale * 1000)}mas"
    cards = _cards(band, camera, planes[0].shape, scale)
    files = {}
    for kind, plane in zip(("sci", "wht"), planes, strict=True):
        name = IMAGES.format(field=field, scale=label, band=band, kind=kind)
        first = ("FILETYPE", kind.upper(), "type of data found in data file")
        files[folder / name] = hdu(plane, [first, *cards])
    return files


def _observed(
    band: str,
    camera: Camera,
    image: Image,
    rng: np.random.Generator,
    *,
    scale: float = SCALE,
    margin: int = MARGIN,
) -> tuple[Any, Any]:
    """Return a noise-free image as it is observed, with sky and noise, and its weights; float32."""
    border = margin * round(SCALE / scale)
    image = image[border : image.shape[0] - border, border : image.shape[1] - border]
    area = (scale / SCALE) ** 2
    y, x = np.indices(image.shape) / max(image.shape)
    wht = camera.wht / area * (1 + 0.15 * np.sin(5 * x + 1) * np.cos(4 * y))
    noise = _unit_noise(rng, image.shape, infrared=find_band(band).detector == "IR") / np.sqrt(wht)
    photons = rng.normal(size=image.shape) * np.sqrt(np.clip(image, 0, None) / camera.exposure)
    sci = image + noise + photons + camera.sky * area
    if band == "f435w" and scale == SCALE and margin:
        sci[GAP], wht[GAP] = 0, 0
    return sci.astype(np.float32), wht.astype(np.float32)


def _unit_noise(rng: np.random.Generator, shape: tuple[int, ...], *, infrared: bool) -> Image:
    """Return noise in units of 1/sqrt(wht): white in ACS, correlated in drizzled WFC3/IR pixels."""
    if not infrared:
        return rng.normal(size=shape)
    white = rng.normal(size=(shape[0] + 2, shape[1] + 2))
    rows = IR_TAP * (white[:-2] + white[2:]) + white[1:-1]
    both = IR_TAP * (rows[:, :-2] + rows[:, 2:]) + rows[:, 1:-1]
    return np.asarray(IR_RMS * both / (1 + 2 * IR_TAP**2))


def _cards(
    band: str, camera: Camera, shape: tuple[int, ...], scale: float
) -> list[tuple[str, Any, str]]:
    """Return the header of an XDF stamp, with its faults.

    Every band says WFC3/IR, and there is no zero point.
    """
    return [
        ("TELESCOP", "HST", "telescope used to acquire data"),
        ("INSTRUME", "WFC3", "identifier for instrument used to acquire data"),
        ("DETECTOR", "IR", "detector used"),
        ("FILTER", band, "filter element selected"),
        ("EXPTIME", 1.0, "exposure duration (seconds)--calculated"),
        ("BUNIT", "ELECTRONS/S", "brightness units"),
        *((key, value, "") for key, value in stamp_grid(shape, scale).cards),
        ("XDFVER", "simulated by hstcube in the manner of the XDF V1.0", ""),
        ("TEXPTIME", camera.exposure, "total exposure time (seconds)"),
    ]


def stamp_grid(shape: tuple[int, ...], scale: float, rotation: float = 0.0) -> Grid:
    """Return a grid whose middle is the middle of the stamps."""
    turn = np.deg2rad(rotation)
    step = scale / 3600
    cards = {
        "EQUINOX": 2000.0,
        "WCSAXES": 2,
        "CRPIX1": (shape[1] + 1) / 2,
        "CRPIX2": (shape[0] + 1) / 2,
        "CRVAL1": CENTRE[0],
        "CRVAL2": CENTRE[1],
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CD1_1": -step * np.cos(turn),
        "CD1_2": step * np.sin(turn),
        "CD2_1": step * np.sin(turn),
        "CD2_2": step * np.cos(turn),
    }
    return Grid.from_header(
        {k: v.item() if isinstance(v, np.generic) else v for k, v in cards.items()},
        shape=(shape[0], shape[1]),
    )


def _label_map(parts: list[Part]) -> bytes:
    values, grid = _interpolated_labels(parts)
    cards = [("BITPIX", None, ""), *((key, value, "") for key, value in grid.cards)]
    return hdu(None, [("OBJECT", "segmentation map", "")]) + hdu(values, cards, extname="DATA")


def _interpolated_labels(parts: list[Part]) -> tuple[Any, Grid]:
    """Return a segmentation map: 30 mas, rotated; interpolated once: borders are no integers."""
    from scipy import ndimage

    labels = sorted({part.label for part in parts})
    psf = psf_image(BANDS["f160w"], FINE, WIDE)
    light = np.stack([_drawn(_of_label(parts, label), "f160w", psf) for label in labels])
    # 1.5 sigma of a pixel of 60 mas, on pixels of a quarter of its area
    limit = 1.5 / np.sqrt(BANDS["f160w"].wht) / 4
    plain = np.where(light.sum(0) > limit, np.array(labels)[light.argmax(0)], 0)
    side = plain.shape[0]
    grid = stamp_grid((MAP_SIDE, MAP_SIDE), FINE, ROTATION)
    rows, columns = np.indices(grid.shape, dtype=float)
    y, x = pixel_mapping(grid, stamp_grid((side, side), FINE))(rows, columns)
    values = ndimage.map_coordinates(plain.astype(np.float32), [y, x], order=1)
    return values.astype(np.float32), grid


def _write_truth(
    path: Path, parts: list[Part], images: dict[str, list[Image]], psf: Image, *, overwrite: bool
) -> Path:
    labels = sorted({part.label for part in parts})
    flux = [[_flux_of(parts, label, band) for label in labels] for band in BANDS]
    units = {"units": "electron s-1"}
    frame = ("band", "y", "x")
    variables: dict[str, Any] = {}
    for name, planes in images.items():
        stack = np.stack(planes).astype(np.float32)
        variables[name] = (frame, stack, {**units, "margin": MARGIN})
    variables["psf"] = (("band", "ky", "kx"), psf.astype(np.float32))
    variables["flux"] = (("band", "source"), flux, units)
    variables["sky"] = ("band", [camera.sky for camera in BANDS.values()], units)
    truth = xr.Dataset(
        variables,
        {"band": np.array(list(BANDS), object), "source": labels},
        {
            "title": "noise-free truth of a field made by hstcube.demo.field",
            "target": TARGET,
            "merger": MERGER,
        },
    )
    return written_whole(
        path, lambda part: truth.to_netcdf(part, engine="netcdf4"), overwrite=overwrite
    )


def _of_label(parts: list[Part], label: int) -> list[Part]:
    return [part for part in parts if part.label == label]


def _flux_of(parts: list[Part], label: int, band: str) -> float:
    """Return the count rate of a source [electron/s]."""
    return sum(_count_rate(part, band) for part in _of_label(parts, label))
