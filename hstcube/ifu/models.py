"""What a line looks like by a fit: at the resolution of the cube, and at that of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.core.cube import build
from hstcube.core.grids import Grid
from hstcube.core.mappings import pixel_mapping
from hstcube.core.offsets import with_noise_coords, with_psf_coords
from hstcube.core.rules import taken
from hstcube.core.state import attribute, record
from hstcube.errors import CubeError
from hstcube.forward.psfs import Moffat, Sampled, as_psf, gaussian_transfer
from hstcube.forward.scene import Scene
from hstcube.ifu.maps import FLUX
from hstcube.ifu.scenes import bands_of, total_fwhm
from hstcube.inputs.choices import require_choice

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from hstcube.ifu.scenes import Bands

    Array = NDArray[np.floating]
    Bool = NDArray[np.bool_]

__all__ = ["Onto", "line_model"]

Onto = Literal["hst", "fine", "map"]

_REACH = 4.0  # FWHM: how far the image of a PSF reaches


def line_model(cube: xr.Dataset, fit: xr.Dataset, *, onto: Onto = "hst") -> xr.Dataset:
    """Return what the line looks like: the weighted sum of the bands that were fitted to its map.

    Parameters
    ----------
    cube : Dataset
        The one that was fitted.
    fit : Dataset
        What `fit_line` gave.
    onto : {"hst", "fine", "map"}
        ``"hst"``: the pixels and the PSF of the cube, where the cube says they lie. ``"map"``: the
        pixels and the PSF of the map, moved by the shift. ``"fine"``: the same, on pixels that are
        a whole number of times smaller and no larger than the cube's; `rebin` makes the map of it.

    Returns
    -------
    Dataset
        A cube of one band, in 1e-20 erg s-1 cm-2 per pixel, as the line is observed. ``wht`` holds
        the errors of the weights, which all pixels share, and the noise of the bands; of the map's
        pixels the latter for noise that changes slowly across its PSF. ``noise_acf``, at the
        resolution of the cube, is that of the bands' noise. ``mask`` is the object, or what was
        fitted.

    Raises
    ------
    CubeError
        If the fit is none of this cube.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> light = 1e3 * cube.sci.sel(band=["f606w"]).values  # a line that is as the light of a band
    >>> how = {"bands": ["line"], "pivot": [6000.0], "units": "1e-20 erg s-1 cm-2"}
    >>> line = hstcube.build(light, 0 * light + 1, grid=hstcube.Grid.of(cube), **how)
    >>> psf = cube.psf.sel(band="f160w")
    >>> fit = hstcube.fit_line(cube, line, bands=["f606w", "f160w"], psf=psf)
    >>> dict(hstcube.line_model(cube, fit).sizes)["y"]
    100
    """
    cube = taken(cube)
    require_choice("onto", onto, Onto)
    _require_fit(cube, fit)
    light = bands_of(cube, fit.band.values.tolist())
    made = (
        _at_the_cube(light, fit) if onto == "hst" else _at_the_map(light, fit, fine=onto == "fine")
    )
    told = {key: attribute(fit, key) for key in ("field", "history", "warnings")}
    made = made.assign_attrs(poisson=attribute(cube, "poisson"), **told)
    return record(made, f"line_model(onto={onto!r})")


def _require_fit(cube: xr.Dataset, fit: Any) -> None:
    wanted = ("weights", "covariance", "keep", "dy", "dx")
    if not hasattr(fit, "data_vars") or any(name not in fit for name in wanted):
        raise CubeError(
            "HC-L18", "this is no fit of a line", "give what [[hstcube line|fit_line]] made"
        )
    missing = set(fit.band.values.tolist()) - set(cube.band.values.tolist())
    shape = (cube.sizes["y"], cube.sizes["x"])
    if missing or fit.keep.shape != shape:
        reason = "the fit was made with another cube"
        raise CubeError("HC-L18", reason, "give the cube that was fitted")


def _at_the_cube(light: Bands, fit: xr.Dataset) -> xr.Dataset:
    """Return the model at the resolution of the cube."""
    weights = fit.weights.values
    covariance = fit.covariance.values[2:, 2:]
    valid = np.asarray(light.valid.all(0), dtype=bool)
    sci = np.tensordot(weights, light.sci, 1)
    variances = (weights[:, None, None] * light.sigma) ** 2
    shared = np.einsum("byx,bc,cyx->yx", light.sci, covariance, light.sci)
    variance = variances.sum(0) + np.clip(shared, 0, None)
    share = np.array([float(np.mean(one[valid])) for one in variances])
    acf = np.tensordot(share / share.sum(), light.acf, 1) if share.sum() else light.acf[0]
    widest = int(np.argmax(np.abs(weights)))
    psf, steps = light.psfs[widest]
    made = _built(sci, variance, valid, light.grid, fit, light.fwhm, _matched(fit, "hst"))
    made = with_psf_coords(made, psf[None].astype(np.float32), steps)
    made = with_noise_coords(made, np.ones(1), acf[None], light.grid.steps)
    return made.assign(mask=made.mask & fit.keep.values)


def _at_the_map(light: Bands, fit: xr.Dataset, *, fine: bool) -> xr.Dataset:
    """Return the model at the resolution of the map, on its pixels or on finer ones."""
    psf, smoothed = psf_of(fit), float(fit.attrs["smoothed"])
    grid, times = Grid.of(fit), 1
    if fine:
        times = max(int(np.ceil(grid.scale / light.grid.scale - 1e-6)), 1)
        middle = 0.5 / times - 0.5
        shape = (grid.shape[0] * times, grid.shape[1] * times)
        grid = grid.stepped((middle, middle), (1 / times, 1 / times), shape)
    y, x = pixel_mapping(grid, light.grid)(*np.ogrid[: grid.shape[0], : grid.shape[1]])
    ny, nx = light.grid.shape
    near = (y > -0.5) & (y < ny - 0.5) & (x > -0.5) & (x < nx - 0.5)  # noqa: PLR2004  its edge
    inside = np.broadcast_to(np.asarray(near), grid.shape)
    keep = fit.keep.values
    scene = Scene(
        light.sci * keep, light.psfs, light.grid, grid, inside, smoothed=smoothed, reach=psf.fwhm
    )
    shift = np.array([float(fit.dy), float(fit.dx)])
    images = scene.seen(psf, shift)
    weights = fit.weights.values
    step = 0.02 * psf.fwhm
    slopes = [
        weights @ (scene.seen(psf, shift + away) - scene.seen(psf, shift - away)) / (2 * step)
        for away in (np.array([step, 0.0]), np.array([0.0, step]))
    ]
    design = np.vstack([slopes, images])
    variance = np.clip(np.einsum("pi,pq,qi->i", design, fit.covariance.values, design), 0, None)
    variance += _noise_seen(light, scene, psf, shift, weights, keep)
    sci, spread = (np.full(grid.shape, np.nan) for _ in range(2))
    sci[inside], spread[inside] = weights @ images, variance
    width = total_fwhm(psf, smoothed)
    made = _built(sci, spread, inside, grid, fit, width, _matched(fit, "map"))
    image = _psf_image(psf, smoothed, grid)
    made = with_psf_coords(made, image[None].astype(np.float32), grid.steps)
    used = np.isfinite(fit.model.values)
    return made.assign(mask=made.mask & np.kron(used, np.ones((times, times), bool)))


def _noise_seen(
    light: Bands, scene: Scene, psf: Moffat | Sampled, shift: Array, weights: Array, keep: Bool
) -> Array:
    """Return the variance that the bands' noise gives to the pixels of a map.

    The variance around each pixel, times what the forward model does to the power of noise.
    """
    power = scene.power(psf, light.acf)
    there = scene.of(light.sigma**2 * keep).seen(psf, shift) / scene.area
    return np.asarray((weights**2 * power) @ np.clip(there, 0, None))


def psf_of(fit: xr.Dataset) -> Moffat | Sampled:
    """Return the PSF of the map that a fit was made with."""
    if "map_psf" not in fit:
        return as_psf(fit.attrs["psf"])
    image, step = fit.map_psf.values, float(fit.attrs["psf_step"])
    return Sampled(image, step, float(fit.attrs["psf_fwhm"]))


def _matched(fit: xr.Dataset, onto: str) -> str:
    if onto == "hst":
        return str(fit.attrs["matched_to"])
    return str(fit.attrs.get("psf", "the map's PSF"))


def _built(
    sci: Array, variance: Array, valid: Bool, grid: Grid, fit: xr.Dataset, fwhm: float, to: str
) -> xr.Dataset:
    good = valid & np.isfinite(variance) & (variance > 0)
    wht = np.divide(1.0, variance, where=good, out=np.zeros(sci.shape))
    return build(
        np.where(good, sci, np.nan)[None],
        wht[None],
        bands=[str(fit.attrs["line"])],
        grid=grid,
        units=FLUX,
        psf_fwhm=[fwhm],
        matched_to=[to],
        sky=[0.0],
        sky_error=[0.0],
        pivot=[float(fit.attrs["wavelength"])],
    )


def _psf_image(psf: Moffat | Sampled, smoothed: float, grid: Grid) -> Array:
    """Return the PSF on the pixels of a grid, with what smoothed the map and its pixels."""
    half = int(np.ceil(_REACH * total_fwhm(psf, smoothed) / grid.scale))
    size = 4 * half + 1  # twice the image: what lies beyond comes around the circle
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    v, u = fy / grid.steps[0], fx / grid.steps[1]
    transfer = psf.transfer(v, u) * gaussian_transfer(np.hypot(v, u), smoothed)
    whole = np.fft.irfft2(transfer * np.sinc(fy) * np.sinc(fx), (size, size))
    whole = np.roll(whole, (2 * half, 2 * half), (0, 1))
    image = whole[half : 3 * half + 1, half : 3 * half + 1]
    return np.asarray(image / image.sum())
