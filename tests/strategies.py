"""Small cubes for the laws.

Every parity of size, one to five bands, holes, grids turned and flipped at will.

Structure is drawn by hypothesis, pixels come from a seeded generator: examples shrink well and cost
little.
"""

from __future__ import annotations

import contextlib
import copy
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from hstcube import Grid, HstCubeWarning, build, mask, psf_match, subtract_sky
from hstcube.core.mappings import pixel_mapping
from hstcube.psf.profiles import FWHM_OF_SIGMA

# HYPOTHESIS_PROFILE: "laws", the same examples in every run; "quick", a third of these; "search",
# new ones, and ten times as many
_PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "laws")
_SHARE = {"laws": 1.0, "quick": 1 / 3, "search": 10.0}[_PROFILE]
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
_PHASES = [
    Phase.explicit,
    Phase.generate,
    Phase.shrink,
]  # not explain: it runs a failing example hundreds of times
_COMMON = {"deadline": None, "phases": _PHASES, "database": None, "suppress_health_check": _SLOW}
settings.register_profile("laws", derandomize=True, **_COMMON)
settings.register_profile("quick", derandomize=True, **_COMMON)
settings.register_profile("search", print_blob=True, **_COMMON)
settings.load_profile(_PROFILE)

BANDS = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")
NIRCAM = ("f070w", "f090w", "f115w", "f140m", "f150w", "f162m", "f182m", "f200w", "f210m")
FLOAT32 = 1e-6  # of the peak: what float32 cubes promise
SIDES = st.integers(5, 40)
SEEDS = st.integers(0, 2**32 - 1)


def examples(number: int) -> settings:
    """Return how many examples a law is tried on."""
    return settings(max_examples=max(round(number * _SHARE), 1))


# -- grids


@st.composite
def grids(draw, *, shape=None, angle=None):
    """Draw a grid of 30 to 128 mas anywhere on the sky, turned and flipped; CD or PC cards."""
    scale = draw(st.sampled_from([0.03, 0.06, 0.128])) / 3600
    turn = np.deg2rad(draw(st.floats(0, 360)) if angle is None else angle)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    unit = turned @ np.diag(
        [draw(st.sampled_from([-1.0, 1.0])), draw(st.sampled_from([-1.0, 1.0]))]
    )
    header = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN",
        "CRPIX1": draw(st.floats(-50, 90)), "CRPIX2": draw(st.floats(-50, 90)),
        "CRVAL1": draw(st.floats(0, 360, exclude_max=True)), "CRVAL2": draw(st.floats(-89, 89)),
    }  # fmt: skip
    if draw(st.booleans()):
        header = {
            "WCSAXES": 2,
            **header,
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "LONPOLE": 180.0,
            "RADESYS": "ICRS",
        }
    if draw(st.booleans()):
        header |= {f"CD{i}_{j}": float(scale * unit[i - 1, j - 1]) for i in (1, 2) for j in (1, 2)}
    else:
        header |= {"CDELT1": scale, "CDELT2": scale}
        header |= {f"PC{i}_{j}": float(unit[i - 1, j - 1]) for i in (1, 2) for j in (1, 2)}
    return Grid.from_header(header, shape=shape or (draw(SIDES), draw(SIDES)))


def plain_grid(shape, *, scale=0.06):
    """Return a grid with north up and east left, at the place of the XDF."""
    header = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": 1.0,
        "CRPIX2": 1.0,
        "CRVAL1": 53.16,
        "CRVAL2": -27.79,
        "CD1_1": -scale / 3600,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": scale / 3600,
    }
    return Grid.from_header(header, shape=shape)


# -- pixels


def holes(rng, shape, kind):
    """Where an image has no data.

    Nowhere, on islands, on single pixels, in a row, or nearly everywhere.
    """
    ny, nx = shape
    gone = np.zeros(shape, dtype=bool)
    if kind == "islands":
        for _ in range(2):
            y, x = rng.integers(0, ny), rng.integers(0, nx)
            gone[y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)] = True
    elif kind == "pixels":
        gone = rng.random(shape) < 0.05
    elif kind == "row":
        gone[rng.integers(0, ny)] = True
    elif kind == "nearly all":
        gone = rng.random(shape) < 0.9
    gone[rng.integers(0, ny), rng.integers(0, nx)] = False  # a band without any data is not a band
    return gone


HOLES = ("none", "islands", "pixels", "row", "nearly all")


def picture(rng, shape, *, noise=1.0, brightest=1e3):
    """White noise and a few sources from one to `brightest` times as bright."""
    y, x = np.indices(shape)
    image = rng.normal(0, noise, shape)
    for peak in 10 ** rng.uniform(0, np.log10(brightest), 3):
        y0, x0, width = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(0.7, 2.5)
        image += noise * peak * np.exp(-0.5 * ((y - y0) ** 2 + (x - x0) ** 2) / width**2)
    return image


def weights(rng, shape, *, noise=1.0):
    """Inverse variances that differ from pixel to pixel, by up to a hundred."""
    return 10 ** rng.uniform(-1, 1, shape) / noise**2


@st.composite
def images(draw, *, sides=SIDES, kinds=HOLES):
    """One image in float64 and its weights, (y, x); NaN and 0 where there is no data."""
    shape, rng = (draw(sides), draw(sides)), np.random.default_rng(draw(SEEDS))
    gone = holes(rng, shape, draw(st.sampled_from(kinds)))
    return np.where(gone, np.nan, picture(rng, shape)), np.where(gone, 0.0, weights(rng, shape))


@st.composite
def kernels(draw, *, largest=13, negative=True):
    """Draw a kernel of odd sizes and unit sum without any symmetry.

    Its negative part is at most 5 % of its sum.
    """
    shape = tuple(2 * draw(st.integers(0, largest // 2)) + 1 for _ in "yx")
    rng = np.random.default_rng(draw(SEEDS))
    kernel = rng.random(shape) ** 3 + 1e-3
    kernel /= kernel.sum()
    if negative and kernel.size > 1 and draw(st.booleans()):
        ripple = rng.random(shape) ** 3
        kernel += 0.05 * (kernel - ripple / ripple.sum())
    return kernel / kernel.sum()


# -- cubes


@st.composite
def cubes(draw, *, bands=(1, 5), sides=SIDES, kinds=HOLES, angle=None, names=BANDS):
    """Draw a cube as `open_field` might give it.

    Native resolution, sky not subtracted, everything else at random.

    The PSFs go from 1.5 pixels to as broad as the frame.
    """
    names = draw(st.permutations(names))[: draw(st.integers(*bands))]
    grid = draw(grids(shape=(draw(sides), draw(sides)), angle=angle))
    rng = np.random.default_rng(draw(SEEDS))
    noise = 10.0 ** draw(st.integers(-4, 3))
    sci = np.stack([picture(rng, grid.shape, noise=noise) for _ in names])
    wht = np.stack([weights(rng, grid.shape, noise=noise) for _ in names])
    for image, weight in zip(sci, wht, strict=True):
        gone = holes(rng, grid.shape, draw(st.sampled_from(kinds)))
        image[gone & (rng.random(grid.shape) < 0.5)] = (
            np.nan
        )  # a hole is told by either image, or by both
        weight[gone & ~(np.isnan(image) & (rng.random(grid.shape) < 0.5))] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)  # of pixels that are NaN and have a weight
        return build(
            sci,
            wht,
            bands=names,
            grid=grid,
            units=draw(st.sampled_from(["electron s-1", "uJy", "MJy sr-1"])),
            mask=rng.random(sci.shape) < 0.7 if draw(st.booleans()) else None,
            field="f1",
            title=draw(st.sampled_from(["", "a field", "O'Neill's / field"])),
            psf_fwhm=_widths(draw, rng, len(names), grid),
            zeropoint=rng.uniform(24, 27, len(names)),
        )


def _widths(draw, rng, number, grid):
    """FWHM of each band, arcsec.

    The broadest is two pixels or as wide as the frame, and two may be equal.
    """
    widths = rng.uniform(1.5, 2.0, number)
    widths[rng.integers(number)] = draw(st.sampled_from([2.0, 2.05, 4.0, float(max(grid.shape))]))
    if number > 1 and draw(st.booleans()):
        widths[0] = widths[1]
    return widths * grid.scale


def broadest(cube):
    """Return the band that all others can be matched to, or were; the reddest one of equals."""
    if cube.matched_to.values[0]:
        return str(cube.matched_to.values[0])
    return str(cube.band.values[cube.psf_fwhm.values == cube.psf_fwhm.values.max()][-1])


def levels(cube):
    """Return a sky level for every band, and its error."""
    number = np.arange(1.0, cube.sizes["band"] + 1)
    level = np.nanmedian(cube.sci.values) * number / 3
    return xr.DataArray(
        level, {"band": cube.band, "sky_error": ("band", abs(level) / 10)}, ("band",), "sky"
    )


def chosen(cube):
    """Return a mask with no symmetry, (y, x)."""
    rows, columns = np.arange(cube.sizes["y"])[:, None], np.arange(cube.sizes["x"])
    return xr.DataArray(
        (rows + 2 * columns) % 5 > 0, {"y": cube.y, "x": cube.x, "wcs": cube.wcs}, ("y", "x")
    )


def kernels_of(cube, *, seed=1, radius=(2, 1)):
    """Return a kernel without any symmetry for every band."""
    stack = np.random.default_rng(seed).random(
        (cube.sizes["band"], 2 * radius[0] + 1, 2 * radius[1] + 1)
    )
    return xr.DataArray(
        stack / stack.sum((1, 2), keepdims=True), {"band": cube.band}, ("band", "ky", "kx")
    )


STEPS = {
    "subtract_sky": lambda cube: subtract_sky(cube, levels(cube)),
    "psf_match to a band": lambda cube: psf_match(cube, to=broadest(cube)),
    "psf_match to a width": lambda cube: psf_match(
        cube, to=f"{1.1 * float(cube.psf_fwhm.max()):.6f}arcsec"
    ),
    "psf_match with kernels": lambda cube: psf_match(
        cube, to=broadest(cube), kernels=kernels_of(cube)
    ),
    "mask": lambda cube: mask(cube, chosen(cube)),
}


# -- segmentation maps


@st.composite
def label_maps(draw, *, sides=SIDES, grid=None):
    """Draw a segmentation map of up to four objects on its own grid; -2 belongs to nobody."""
    grid = grid or draw(grids(shape=(draw(sides), draw(sides))))
    rng = np.random.default_rng(draw(SEEDS))
    y, x = np.indices(grid.shape)
    labels = np.zeros(grid.shape, dtype=np.int32)
    for label in (3, 24353, 7, 24350)[: draw(st.integers(1, 4))]:
        y0, x0, radius = (
            rng.uniform(0, grid.shape[0]),
            rng.uniform(0, grid.shape[1]),
            rng.uniform(1, 8),
        )
        labels[np.hypot(y - y0, x - x0) < radius] = label
    labels[rng.random(grid.shape) < 0.02] = -2
    return xr.DataArray(
        labels, grid.coords(), ("y", "x"), "labels", {"interpolated": int((labels == -2).sum())}
    )


@st.composite
def grids_over(draw, grid):
    """Draw a grid with another's projection, turned, shifted, scaled, over part of its sky."""
    step = draw(st.floats(0.4, 2.5))
    turn = np.deg2rad(draw(st.floats(0, 360)))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    cards = {key: value for key, value in grid.cards if not key.startswith(("CD", "PC"))}
    matrix = step * grid.matrix @ rotation @ np.diag([draw(st.sampled_from([-1.0, 1.0])), 1.0])
    cards |= {f"CD{i}_{j}": float(matrix[i - 1, j - 1]) for i in (1, 2) for j in (1, 2)}
    shape = (draw(SIDES), draw(SIDES))
    centred = Grid.from_header(cards | {"CRPIX1": 1.0, "CRPIX2": 1.0}, shape=shape)
    y, x = pixel_mapping(grid, centred)((grid.shape[0] - 1) / 2, (grid.shape[1] - 1) / 2)
    cards["CRPIX1"] = 1.0 - float(x) + shape[1] * draw(st.floats(0.3, 0.7))
    cards["CRPIX2"] = 1.0 - float(y) + shape[0] * draw(st.floats(0.3, 0.7))
    return Grid.from_header(cards, shape=shape)


# -- files


@contextlib.contextmanager
def a_folder():
    """Give one example a folder of its own; pytest's tmp_path is one for all of them."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# -- comparisons


def snapshot(data):
    """Everything that a Dataset or DataArray holds, bit for bit, to be compared later."""
    parts = (
        data.variables
        if isinstance(data, xr.Dataset)
        else {**data.coords.variables, None: data.variable}
    )
    return (
        copy.deepcopy(data.attrs),
        copy.deepcopy(data.encoding),
        list(parts),
        {
            name: (v.dims, v.dtype, _bits(v.values), copy.deepcopy((v.attrs, v.encoding)))
            for name, v in parts.items()
        },
    )


def _bits(values):
    return values.tolist() if values.dtype == object else values.tobytes()


def read_only(data):
    """Return a copy none of whose arrays can be written to."""
    frozen = data.copy(deep=True)
    parts = (
        frozen.variables
        if isinstance(data, xr.Dataset)
        else {**frozen.coords.variables, None: frozen.variable}
    )
    for variable in parts.values():
        if isinstance(variable, xr.IndexVariable):
            continue  # a pandas index is immutable anyway
        variable.values.flags.writeable = False
    return frozen


def same_bits(one, other, *, names=("sci", "wht", "mask")):
    """Assert that the pixels of two cubes are equal to the last bit."""
    for name in names:
        assert one[name].dims == other[name].dims, name
        assert one[name].dtype == other[name].dtype, name
        assert one[name].values.tobytes() == other[name].values.tobytes(), f"{name} differs"


def same_to_float32(one, other, *, peak):
    """Assert that two cubes have the same data, to 1e-6 of the peak of each band.

    `peak` is the brightest pixel of what went in, (band, 1, 1). Weights have no zero point: theirs
    are relative.
    """
    np.testing.assert_array_equal(one.wht.values > 0, other.wht.values > 0)
    np.testing.assert_array_equal(one.mask.values, other.mask.values)
    difference = abs(one.sci.values.astype(float) - other.sci.values) / peak
    assert np.max(difference, where=one.wht.values > 0, initial=0) < FLOAT32
    np.testing.assert_allclose(one.wht.values, other.wht.values, rtol=FLOAT32)


def peak_of(cube):
    """Brightest pixel of each band, (band, 1, 1)."""
    return np.nanmax(abs(cube.sci.values.astype(float)), axis=(1, 2), keepdims=True)


def gaussian_sigma(cube, fwhm):
    """FWHM in arcsec to sigma in pixels."""
    return fwhm / FWHM_OF_SIGMA / Grid.of(cube).scale
