"""The whole job on a made-up field, and how near it comes to the truth."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.assembly.opening import open_field
from hstcube.basics.convolution import convolver
from hstcube.core.cube import build
from hstcube.core.grids import Grid
from hstcube.demo.field import MERGER, TARGET, simulate
from hstcube.demo.line import line_map_file
from hstcube.errors import HstCubeWarning
from hstcube.files.fields import open_stars
from hstcube.files.labels import open_labels
from hstcube.files.netcdf import open_cube
from hstcube.files.psfs import save_psf
from hstcube.fits.local import as_path
from hstcube.fits.writing import write_files
from hstcube.matching.kernels import gaussian_kernels, matching_kernels
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan
from hstcube.pipeline.recipe import homogenize
from hstcube.pipeline.runs import run
from hstcube.plots.cube import figure_bytes, homogeneous
from hstcube.psf.preparation import with_psf
from hstcube.psf.stars import measure_psf
from hstcube.report.fields import report_run
from hstcube.surveys.names import find_field

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Image = NDArray[np.float64]

__all__ = ["Comparison", "compare_with_truth", "demonstrate"]

FIELD, PAIR = "demo", "pair"


class Comparison(NamedTuple):
    """One band of the demo field against its truth.

    ``flux`` is what the run measured in the mask, over the reference: the noise-free native images
    of the larger frame, convolved with the same kernels, then masked; ``noise`` is the standard
    error of that ratio. ``rim`` and ``rim_masked_first`` are the colour bias of the outermost ring
    of the mask, band minus F160W [mag], of noise-free stamps: matched then masked, and masked then
    convolved with Gaussians, as in 2022. Against the true scene at the true PSF of F160W, and
    noise-free: ``scene`` is the flux in the mask, ``scene_rim`` the colour bias of its ring [mag],
    ``core`` the light within 0.18 arcsec of the galaxy's centre, ``core_gaussian`` the same with
    Gaussians.
    """

    band: str
    flux: float
    noise: float
    rim: float
    rim_masked_first: float
    scene: float
    scene_rim: float
    core: float
    core_gaussian: float


def demonstrate(
    out: str | Path, *, seed: int = 1, overwrite: bool = False
) -> tuple[list[Comparison], dict[str, Path]]:
    """Simulate a field, make its cubes, compare them with the truth, and draw a picture.

    What `hstcube demo` does: cubes are made as `hstcube run` makes them.

    Parameters
    ----------
    out : path
        Gets ``stamps`` (with ``truth.nc``, and ``psf_60mas.fits`` measured from its stars),
        ``products`` (with the report of the galaxy, ``demo.html``), ``truth.json``, ``demo.png``,
        and ``ifu.fits``, the galaxy's line as an integral-field unit sees it.
    seed : int
        Of the simulation.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    list of Comparison, dict of str to Path
        One line a band; where things are.
    """
    out = as_path(out)
    places = {
        "stamps": out / "stamps",
        "products": out / "products",
        "table": out / "truth.json",
        "picture": out / "demo.png",
        "line": out / "ifu.fits",
        "report": out / "products" / f"{FIELD}.html",
    }
    truth = simulate(places["stamps"], field=FIELD, seed=seed, overwrite=overwrite)
    psf = measure_psf(open_stars(places["stamps"] / "psf_stars"))
    psf = psf.assign_coords(psf_energy=("band", np.ones(psf.sizes["band"])))  # made up so
    save_psf(psf, places["stamps"] / "psf_60mas.fits", overwrite=overwrite)
    targets = plan(places["stamps"], [], [f"{PAIR}={FIELD}:{TARGET},{MERGER}"], scale="60mas")
    options = Options(overwrite=overwrite, measure_noise=True)
    outcomes = run(targets, places["products"], options)
    for outcome in outcomes:
        if outcome.error:
            raise outcome.error
    shown = [outcome for outcome in outcomes if outcome.target.name == FIELD]
    for made in report_run(shown, places["products"], options):
        if made.error:
            raise made.error
    cube = open_cube(places["products"] / f"{FIELD}.nc")
    rows = compare_with_truth(cube, places["stamps"], truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        picture = figure_bytes(homogeneous(open_field(places["stamps"], FIELD), cube))
    table = json.dumps([row._asdict() for row in rows], indent=1).encode()
    files = {places["table"]: table, places["picture"]: picture}
    write_files({**files, places["line"]: line_map_file(seed)}, overwrite=overwrite)
    return rows, places


def compare_with_truth(cube: xr.Dataset, stamps: Path, truth: Path) -> list[Comparison]:
    """Compare the cube of a simulated field with its truth; see `Comparison`."""
    with xr.open_dataset(truth, engine="netcdf4") as opened:
        true = opened.load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        native = open_field(stamps, FIELD)
        labels = open_labels(find_field(stamps, FIELD).labels or "")
        matched, masked_first = _made_without_noise(native, true, labels)
    scene = _inside(true.at_f160w, true)
    reference = _inside(_convolved(true.native, matching_kernels(native.psf, to="f160w")), true)
    gaussian = _inside(_convolved(true.native, gaussian_kernels(native, to="f160w")), true)
    mask = cube.mask.values & (native.wht.values > 0)
    ring = _ring(mask.all(axis=0))
    rows = []
    for i, band in enumerate(cube.band.values.tolist()):
        inside = mask[i]
        total = reference[i][inside].sum()
        row = Comparison(
            band=band,
            flux=float(cube.sci.values[i][inside].sum() / total),
            noise=_sum_error(cube, native, i, inside) / total,
            rim=_bias(matched, reference, i, ring),
            rim_masked_first=_bias(masked_first, reference, i, ring),
            scene=float(matched[i][inside].sum() / scene[i][inside].sum()),
            scene_rim=_bias(matched, scene, i, ring),
            core=_core(matched[i]) / _core(scene[i]),
            core_gaussian=_core(gaussian[i]) / _core(scene[i]),
        )
        rows.append(row)
    return rows


def _made_without_noise(
    native: xr.Dataset, true: xr.Dataset, labels: xr.DataArray
) -> tuple[Image, Image]:
    """Return what the default recipe and the original make of noise-free stamps, (band, y, x)."""
    quiet = _noise_free(native, _inside(true.native, true))
    matched = homogenize(with_psf(quiet, native.psf), sky=None, labels=labels)
    masked_first = homogenize(quiet, sky=None, labels=labels, recipe="original")
    return _without_nan(matched), _without_nan(masked_first)


def _without_nan(cube: xr.Dataset) -> Image:
    return np.asarray(np.nan_to_num(cube.sci.values.astype(float)))


def _convolved(images: xr.DataArray, kernels: xr.DataArray) -> xr.DataArray:
    """Return images, (band, y, x), each convolved with its kernel."""
    planes = zip(images.values, kernels.values, strict=True)
    return images.copy(
        data=np.stack([convolver(kernel, plane.shape)(plane) for plane, kernel in planes])
    )


def _inside(images: xr.DataArray, true: xr.Dataset) -> Image:
    """Leave out what the truth shows beyond the stamps."""
    margin = int(true.native.attrs["margin"])
    return np.asarray(images.values[:, margin:-margin, margin:-margin], dtype=np.float64)


def _noise_free(native: xr.Dataset, images: NDArray[np.float64]) -> xr.Dataset:
    """Return the cube of the noise-free stamps, with the weights of the noisy ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        return build(
            images,
            native.wht.values,
            bands=native.band.values.tolist(),
            grid=Grid.of(native),
            units=native.sci.attrs["units"],
            psf_fwhm=native.psf_fwhm.values,
            zeropoint=native.zeropoint.values,
        )


def _ring(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(mask & ~ndimage.binary_erosion(mask, np.ones((3, 3))))


def _bias(made: NDArray[Any], reference: NDArray[Any], i: int, ring: NDArray[np.bool_]) -> float:
    """Return how much redder the ring is than it should be in band i minus F160W, mag."""
    fluxes = [images[j][ring].sum() for images in (made, reference) for j in (i, -1)]
    return float(-2.5 * np.log10(fluxes[0] / fluxes[1] / (fluxes[2] / fluxes[3])))


def _core(image: NDArray[np.float64]) -> float:
    """Return the light within 0.18 arcsec (3 pixels) of the middle of the frame: the galaxy's."""
    y, x = (np.indices(image.shape).T - (np.array(image.shape) - 1) / 2).T
    return float(image[np.hypot(y, x) <= 3].sum())  # noqa: PLR2004


def _sum_error(cube: xr.Dataset, native: xr.Dataset, i: int, mask: NDArray[np.bool_]) -> float:
    """Return the standard error of a sum over the mask.

    Of independent native pixels, and of the level of the sky. Matching spreads the noise of a pixel
    over its neighbours but hardly beyond the mask, and wht is white-equivalent, so the sum of many
    pixels has the variance of the unmatched ones.
    """
    wht = native.wht.values[i][mask]
    return float(np.hypot(np.sqrt((1 / wht).sum()), cube.sky_error.values[i] * mask.sum()))
