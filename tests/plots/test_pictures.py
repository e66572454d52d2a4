"""What pictures show is what the cube says: places, directions, colours, and nothing cut off."""

from __future__ import annotations

import io
import pickle
import re
import warnings
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from astropy.table import Table
from made import code_of, cube_on
from matplotlib.figure import Figure
from matplotlib.image import imread
from strategies import plain_grid

import hstcube
from hstcube import Grid, plot
from hstcube.demo.field import simulate
from hstcube.errors import HstCubeWarning
from hstcube.plots import psf as psf_plots
from hstcube.plots._sky_axes import Place
from hstcube.plots.colours import lupton
from hstcube.plots.cube import plane, sky_noise
from hstcube.plots.maps import colours_apart

if TYPE_CHECKING:
    from collections.abc import Callable

BANDS = ("f435w", "f814w", "f160w")
SIDE = 40
LEAST = 6.0  # points: the smallest letters that are read in print


def galaxy(grid: Grid | None = None, *, matched: bool = True, title: str = "") -> xr.Dataset:
    """Return a round source at row 24 and column 15, redder to its right, and its mask."""
    grid = grid or plain_grid((SIDE, SIDE))
    y, x = np.indices(grid.shape)
    light = 40 * np.exp(-((y - 24) ** 2 + (x - 15) ** 2) / 2 / 4**2)
    tilt = 10 ** (0.02 * (x - 15))
    noise = np.random.default_rng(1).normal(size=(3, *grid.shape)) / 2
    sci = np.stack([light / tilt, light, light * tilt]) + noise
    state = {"matched_to": ["f160w"] * 3, "psf_fwhm": [0.18] * 3} if matched else {
        "psf_fwhm": [0.11, 0.13, 0.18]}  # fmt: skip
    cube = cube_on(grid, BANDS, sci, **state)
    keep = (y - 24) ** 2 + (x - 15) ** 2 < 11**2
    return hstcube.mask(cube, keep).assign_attrs(title=title)


def turned(angle: float, *, flipped: bool = False) -> Grid:
    """Return a grid whose north is turned by an angle [deg] from up, to the left."""
    turn, step = np.deg2rad(angle), 0.06 / 3600
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 53.1, "CRVAL2": -27.8,
        "CRPIX1": 20.0, "CRPIX2": 20.0,
        "CD1_1": -step * np.cos(turn), "CD1_2": -step * np.sin(turn),
        "CD2_1": -step * np.sin(turn), "CD2_2": step * np.cos(turn),
    }  # fmt: skip
    if flipped:  # east to the right
        cards |= {"CD1_1": -cards["CD1_1"], "CD2_1": -cards["CD2_1"]}
    return Grid.from_header(cards, shape=(SIDE, SIDE))


def kernels() -> xr.DataArray:
    k = np.arange(-9, 10)
    core = np.exp(-(k[:, None] ** 2 + k**2) / 8) - 0.05
    coords = {"band": list(BANDS), "ky": k * 0.06, "kx": k * 0.06}
    return xr.DataArray(np.stack([core] * 3), coords, ("band", "ky", "kx"))


def growth_of_psfs() -> xr.Dataset:
    ratio = np.linspace(1.3, 1.0, 8) * np.array([[1.0], [0.99], [1.0]])
    return xr.Dataset(
        {"ee_ratio": (("band", "radius"), ratio)},
        {"band": list(BANDS), "radius": np.linspace(0.1, 1, 8)},
        {"to": "f160w"},
    )


def noise() -> Table:
    rows = [(band, size, 1.0, 1.1, 0.1, 50) for band in BANDS for size in (1, 3, 5)]
    return Table(rows=rows, names=("band", "size", "ratio", "constant", "error", "number"))


def sky(cube: xr.Dataset) -> Figure:
    blank = ~cube.mask[0]
    levels = hstcube.measure_sky(cube, background=blank)
    return plot.sky_histograms(cube, background=blank, levels=levels)


def pictures() -> dict[str, Callable[[xr.Dataset], Figure]]:
    groups = np.zeros((SIDE, SIDE), np.int32)
    groups[14:24, 6:24], groups[24:34, 6:24], groups[20:28, 10:20] = 1, 2, 3
    middle = Grid.of(galaxy()).wcs.pixel_to_world(15, 24)
    rings, radii = np.arange(0, 0.8, 0.1), [0.2, 0.4, 0.6]

    def spectra(images: xr.Dataset, **how: Any) -> Figure:
        return plot.sed(hstcube.photometry(images, groups), **how)

    return {
        "bands": plot.bands,
        "before and after": lambda cube: plot.quicklook(cube, before=cube),
        "homogeneous": lambda cube: plot.homogeneous(cube, cube),
        "one band": lambda cube: plot.quicklook(cube.isel(band=[0])),
        "rgb": plot.rgb,
        "colours": lambda cube: plot.colour_map(cube, "f435w", "f160w"),
        "colours before and after": lambda cube: plot.before_after(cube, cube),
        "mask": lambda cube: plot.mask_overlay(cube, cube.sci[0].copy(data=groups)),
        "S/N": plot.snr_maps,
        "S/N of groups": lambda cube: plot.snr_maps(cube, groups=groups),
        "bins": lambda cube: plot.bins(cube, groups),
        "bins and S/N": lambda cube: plot.bin_map(cube, groups),
        "sigmas": lambda cube: plot.compare(cube, cube),
        "ratio": lambda cube: plot.compare(cube, cube, how="ratio"),
        "spectra": spectra,
        "spectra and places": lambda cube: spectra(cube, scale="log", cube=cube, groups=groups),
        "kernels": lambda _: plot.kernels(kernels()),
        "curves of PSFs": lambda _: plot.psf_curves(growth_of_psfs(), growth_of_psfs()),
        "noise": lambda _: plot.noise_curve(noise()),
        "sky": lambda cube: plot.sky_histograms(
            cube,
            background=~cube.mask[0],
            levels=hstcube.measure_sky(cube, background=~cube.mask[0]),
        ),
        "growth": lambda cube: plot.growth_curve(
            hstcube.curve_of_growth(cube, middle, radii=radii)
        ),
        "profile": lambda cube: plot.radial_profile(
            hstcube.radial_profile(cube, middle, edges=rings)
        ),
    }


def texts(figure: Figure) -> list[Any]:
    """Return the texts of a figure that are seen, after it was drawn."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    found = figure.findobj(lambda one: isinstance(one, Text) and one.get_visible())
    return [one for one in found if one.get_text().strip() and one.get_window_extent().width > 0]


@pytest.mark.slow
@pytest.mark.parametrize("name", pictures())
def test_nothing_runs_off_the_figure_and_no_letter_is_too_small(name: str) -> None:
    cube = galaxy(title="A galaxy with a title that is longer than any picture of it is wide")
    figure = pictures()[name](cube)
    seen = texts(figure)
    assert seen
    for one in seen:
        assert one.get_fontsize() >= LEAST, one
    assert_all_is_inside(figure)


def assert_all_is_inside(figure: Figure) -> None:
    figure.draw_without_rendering()
    box, page = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= page[0] + 0.01
    assert box.y1 <= page[1] + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", pictures())
def test_a_picture_is_the_same_each_time_and_leaves_the_style_alone(name: str) -> None:
    cube, before = galaxy(), style()
    one, two = (plot.figure_bytes(pictures()[name](cube)) for _ in range(2))
    assert one == two
    assert style() == before
    image = imread(io.BytesIO(one))[..., :3]
    assert np.ptp(image) > 0.5  # not blank


def style() -> dict[str, Any]:
    return {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 200.0])
@pytest.mark.parametrize("flipped", [False, True])
def test_north_and_east_are_where_the_sky_says(angle: float, flipped: bool) -> None:
    grid = turned(angle, flipped=flipped)
    place = Place.of(galaxy(grid))
    here = grid.wcs.pixel_to_world(19.0, 19.0)
    for towards, said in ((0.0, place.north), (90.0, place.east)):
        x, y = grid.wcs.world_to_pixel(here.directional_offset_by(towards * _deg(), _deg() / 3600))
        step = np.array([x - 19.0, y - 19.0])
        assert said == pytest.approx(step / np.hypot(*step), abs=1e-4)


def _deg() -> Any:
    from astropy import units as u

    return 1 * u.deg


def test_the_compass_is_drawn_that_way() -> None:
    axis = plot.rgb(galaxy(turned(30.0))).axes[0]
    letters = {one.get_text(): np.array(one.get_position()) for one in axis.texts}
    roots = [np.array(one.xyann) for one in axis.texts if getattr(one, "arrow_patch", None)]
    place = Place.of(galaxy(turned(30.0)))
    for letter, way in (("N", place.north), ("E", place.east)):
        step = letters[letter] - roots[0]
        assert step / np.hypot(*step) == pytest.approx(way, abs=1e-6)
    assert letters["N"][0] < roots[0][0]  # turned from up to the left
    left, right, bottom, top = (*axis.get_xlim(), *axis.get_ylim())
    for at in (letters["N"], letters["E"]):
        assert left <= at[0] <= right
        assert bottom <= at[1] <= top


def test_zero_is_on_the_object_and_the_scale_is_in_arcsec() -> None:
    cube = galaxy()
    figure = plot.bands(cube)
    axis = figure.axes[0]
    x = 15 + 4**2 * 0.02 * np.log(10)  # the tilt moves the peak of the reddest band
    assert axis.get_xlim() == pytest.approx(((-0.5 - x) * 0.06, (39.5 - x) * 0.06), abs=0.01)
    assert axis.get_ylim() == pytest.approx((-24.5 * 0.06, 15.5 * 0.06), abs=0.01)
    (bar,) = [line for line in axis.lines if line.get_gid() == "scale bar"]
    (said,) = [one.get_text() for one in axis.texts if "″" in one.get_text()]
    assert np.ptp(bar.get_xdata()) == pytest.approx(float(said.rstrip("″")))
    (circle,) = [one for one in axis.patches if one.get_gid() == "PSF"]
    assert 2 * circle.radius == pytest.approx(0.18)
    assert axis.images[0].get_extent() == pytest.approx([*axis.get_xlim(), *axis.get_ylim()])


def test_a_thinned_cube_has_its_own_pixels() -> None:
    place = Place.of(galaxy().isel(y=slice(None, None, 2)))
    assert place.steps == pytest.approx((0.12, 0.06))


def test_the_outline_runs_along_the_edges_of_the_mask() -> None:
    cube = galaxy()
    axis, place = plot.bands(cube).axes[0], Place.of(cube)
    edge = next(one for one in axis.collections if one.get_gid() == "outline")
    keep = cube.mask.values[0]
    ends = np.array(edge.get_segments()) / 0.06 + (place.origin[1], place.origin[0])
    crossed = sum(np.count_nonzero(np.diff(np.pad(keep, 1).astype(int), axis=i)) for i in (0, 1))
    assert len(ends) == crossed
    for (x0, y0), (x1, y1) in ends:
        x, y, across = (x0 + x1) / 2, (y0 + y1) / 2, (0.5, 0) if x0 == x1 else (0, 0.5)
        sides = [keep[round(y + s * across[1]), round(x + s * across[0])] for s in (-1, 1)]
        assert sides[0] != sides[1]


def test_greys_run_from_the_noise_of_the_sky_to_the_bright_pixels_of_the_mask() -> None:
    cube = galaxy()
    image = plot.bands(cube).axes[0].images[0]
    one = plane(cube, 0)
    inside = (one.sci.values / sky_noise(one))[one.mask.values]
    assert sky_noise(one) == pytest.approx(0.5)
    assert image.norm.vmax == pytest.approx(np.percentile(inside, 99.7))
    assert image.norm.vmin == -2
    greys = image.cmap(image.norm(np.array([0.0, 0.1, 1.0]) * image.norm.vmax))[:, 0]
    assert all(one > other for one, other in pairwise(greys))  # darker is brighter
    assert greys[0] > 0.8  # the sky is light


def test_before_and_after_share_their_greys_and_name_their_rows() -> None:
    before, after = galaxy(matched=False), galaxy()
    figure = plot.quicklook(after, before=before)
    images = [axis.images[0] for axis in figure.axes if axis.get_title()]
    assert len(images) == 6
    shown = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    assert {"f435w  0.11″", "f435w  0.18″"} <= set(shown)
    one, other = (shown[f"f435w  {width}″"] for width in ("0.11", "0.18"))
    assert one.images[0].norm is other.images[0].norm
    assert (one.get_ylabel(), other.get_ylabel()) == ("before", "after")
    assert np.array_equal(one.images[0].get_array(), before.sci.values[0] * 2)
    assert one.get_position().y0 > other.get_position().y0


def test_a_colour_is_a_difference_of_magnitudes_and_red_is_red() -> None:
    cube = galaxy()
    axis, bar = plot.colour_map(cube, "F435W", "f160w").axes
    shown = axis.images[0].get_array()
    blue, red = cube.sci.values[0], cube.sci.values[2]
    assert shown[24, 15] == pytest.approx(-2.5 * np.log10(blue[24, 15] / red[24, 15]), abs=1e-5)
    assert shown[24, 20] > shown[24, 10]  # the source is redder to its right
    seen = np.ma.filled(shown, np.nan)
    bright = cube.mask.values[0] & (blue * 2 >= 3) & (red * 2 >= 3)
    assert np.array_equal(np.isfinite(seen), bright)
    high, low = (axis.images[0].cmap(end)[:3] for end in (1.0, 0.0))
    assert high[0] > high[2]
    assert low[2] > low[0]
    assert bar.get_ylabel() == "f435w - f160w  [AB mag]"


def test_an_object_of_one_spectrum_is_white_whatever_its_colour() -> None:
    cube = galaxy()
    light = cube.sci.values[1]
    cube = cube.copy(data={"sci": np.stack([light / 5, light, light * 3]), "wht": cube.wht.values,
                           "mask": cube.mask.values})  # fmt: skip
    image = plot.rgb(cube).axes[0].images[0].get_array()
    assert np.ptp(image[24, 15].astype(int)) <= 3
    assert image[24, 15].min() > 200
    assert image[2, 35].max() < 90  # the sky is dark


def test_the_reddest_band_is_red_in_whatever_order_it_is_named() -> None:
    cube = galaxy()
    one = plot.rgb(cube, ["f160w", "f435w", "f814w"]).axes[0].images[0].get_array()
    two = plot.rgb(cube).axes[0].images[0].get_array()
    assert np.array_equal(one, two)
    assert int(two[24, 21, 0]) > int(two[24, 21, 2])  # redder to the right
    assert int(two[24, 9, 2]) > int(two[24, 9, 0])


def test_pixels_without_data_are_grey_in_a_colour_image() -> None:
    cube = galaxy()
    wht = cube.wht.values.copy()
    wht[1, :4] = 0
    holes = cube.assign(wht=(cube.wht.dims, wht, cube.wht.attrs))
    holes = holes.assign(sci=holes.sci.where(holes.wht > 0), mask=holes.mask & (holes.wht > 0))
    image = lupton([plane(holes, i) for i in range(3)], [1.0, 1.0, 1.0])
    assert (image[:4] == 110).all()
    assert not (image[4:] == 110).all()


def test_colours_of_bands_that_are_not_matched_are_drawn_with_a_warning() -> None:
    cube = galaxy(matched=False)
    for draw in (plot.rgb, lambda cube: plot.colour_map(cube, "f435w", "f160w")):
        with pytest.warns(HstCubeWarning, match=r"HC-P43.*f435w 0\.11 arcsec"):
            draw(cube)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.rgb(galaxy())


def test_neighbours_never_share_a_colour() -> None:
    rng = np.random.default_rng(2)
    seeds = rng.uniform(0, 60, (150, 2))
    y, x = np.indices((60, 60))
    labels = 3 + np.argmin((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2, 2)
    labels[:5] = 0
    ids, colour = np.unique(labels[labels > 0]), colours_apart(labels)
    assert colour.max() < 8  # as many as there are
    shown = np.where(labels > 0, colour[np.searchsorted(ids, labels).clip(0, ids.size - 1)], -1)
    for one, other, a, b in (
        (labels[1:], labels[:-1], shown[1:], shown[:-1]),
        (labels[:, 1:], labels[:, :-1], shown[:, 1:], shown[:, :-1]),
        (labels[1:, 1:], labels[:-1, :-1], shown[1:, 1:], shown[:-1, :-1]),
        (labels[1:, :-1], labels[:-1, 1:], shown[1:, :-1], shown[:-1, 1:]),
    ):
        meet = (one != other) & (one > 0) & (other > 0)
        assert (a[meet] != b[meet]).all()


def test_what_the_map_does_not_cover_is_hatched() -> None:
    cube = galaxy()
    labels = xr.DataArray(np.ones((SIDE, SIDE), np.int32), cube.mask[0].drop_vars("band").coords,
                          ("y", "x"))  # fmt: skip
    half = plot.mask_overlay(cube, labels.isel(x=slice(0, 20))).axes[0]
    whole = plot.mask_overlay(cube, labels).axes[0]
    hatched = [one for one in half.collections if getattr(one, "hatches", [None])[0]]
    assert len(hatched) == 1
    path = np.vstack([path.vertices for path in hatched[0].get_paths()])
    assert path[:, 0].min() == pytest.approx((19.5 - Place.of(cube).origin[1]) * 0.06)
    assert not [one for one in whole.collections if getattr(one, "hatches", [None])[0]]


def test_differences_are_in_noises_and_brighter_is_red() -> None:
    first = galaxy()
    second = first.assign(sci=(first.sci + 1.0).assign_attrs(first.sci.attrs))
    for how, value in (("sigmas", 2.0), ("difference", 1.0)):
        image = plot.compare(first, second, how=how).axes[0].images[0]
        assert np.allclose(image.get_array(), value, atol=1e-5)
        assert -image.norm.vmin == pytest.approx(image.norm.vmax)
        red, _, blue, _ = image.cmap(1.0)
        assert red > blue
    ratio = plot.compare(first, second, how="ratio").axes[0].images[0]
    bright = first.sci.values[0]
    assert ratio.get_array()[24, 15] == pytest.approx(1 + 1 / bright[24, 15], abs=1e-5)
    assert (ratio.norm.vmin + ratio.norm.vmax) / 2 == pytest.approx(1)


def test_a_faint_flux_is_an_upper_limit_on_logarithmic_axes() -> None:
    cube = cube_on(plain_grid((9, 9)), ("f435w", "f160w"), zeropoint=[23.9, 23.9])
    sci = cube.sci.values.copy()
    sci[0] = -0.01
    cube = cube.assign(sci=(cube.sci.dims, sci, cube.sci.attrs))
    groups = np.ones((9, 9), int)
    table = hstcube.photometry(cube, groups)
    axis = plot.sed(table, scale="log").axes[0]
    (limit,) = [line for line in axis.lines if line.get_marker() == "v"]
    assert limit.get_xdata() == pytest.approx([cube.pivot.values[0] / 1e4])
    assert limit.get_ydata() == pytest.approx([table["error_f435w"][0].value])
    labels = [one.get_text() for child in axis.child_axes for one in child.get_xticklabels()]
    assert labels == ["f435w", "f160w"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bands", "before and after", "rgb", "colours", "S/N", "mask",
                                  "sigmas", "colours before and after"])  # fmt: skip
def test_lazy_cubes_are_drawn_alike_and_band_by_band(name: str) -> None:
    cube, draw = galaxy(), pictures()[name]
    lazy = cube.chunk({"band": 1, "y": 20})
    assert plot.figure_bytes(draw(lazy)) == plot.figure_bytes(draw(cube))
    assert lazy.chunks


def test_pictures_are_drawn_on_axes_that_are_given() -> None:
    cube = galaxy()
    figure = Figure()
    axes = figure.subplots(2, 3)
    assert plot.quicklook(cube, before=cube, axes=axes) is figure
    assert all(axis.images for axis in axes.ravel())
    one = Figure().subplots()
    for draw in (plot.rgb, plot.mask_overlay):
        assert draw(cube, axes=one) is one.figure


def test_a_spectrum_shows_how_wide_its_bands_are() -> None:
    cube = galaxy()
    table = hstcube.photometry(cube, np.ones((SIDE, SIDE), int))
    (axis, *_) = plot.sed(table).axes
    across = [one for one in axis.collections if np.ptp(one.get_segments()[0][:, 0]) > 0]
    (bars,) = across
    for (left, right), name in zip(bars.get_segments(), cube.band.values, strict=True):
        known = hstcube.band(str(name))
        assert np.isclose(right[0] - left[0], known.width / 1e4)
        assert np.isclose((right[0] + left[0]) / 2, known.pivot / 1e4)


def test_what_does_not_fit_is_refused_with_what_to_give() -> None:
    cube = galaxy()
    assert code_of(lambda: plot.quicklook(cube, axes=Figure().subplots())) == "HC-B42"
    assert code_of(lambda: plot.rgb(cube, ["f160w"])) == "HC-B42"
    assert code_of(lambda: plot.rgb(cube.isel(band=[0]))) == "HC-B42"
    table = hstcube.photometry(cube, np.ones((SIDE, SIDE), int))
    assert code_of(lambda: plot.sed(table, 2)) == "HC-B42"
    assert code_of(lambda: plot.sed(table, scale="lin")) == "HC-B22"
    assert code_of(lambda: plot.compare(cube, cube, how="quotient")) == "HC-B22"
    assert code_of(lambda: plot.compare(cube, hstcube.to_flux(cube))) == "HC-D21"
    assert code_of(lambda: plot.compare(cube, cube.isel(band=[0]))) == "HC-B01"
    assert code_of(lambda: plot.colour_map(cube, "f435w", "f606w")) == "HC-B01"


def test_no_module_bears_the_name_of_a_picture() -> None:
    """Once it is imported, the module would stand where the function is looked for."""
    modules = {path.stem for path in Path(plot.__file__).parent.glob("*.py")}
    assert not modules & set(dir(plot))


def test_every_picture_is_listed_with_a_module_that_has_it() -> None:
    for name in dir(plot):
        assert callable(getattr(plot, name)), name
    assert "plot" in dir(hstcube)


def test_a_kernel_is_in_units_of_its_peak_and_negative_is_red() -> None:
    axis = plot.kernels(kernels()).axes[0]
    image = axis.images[0]
    assert image.get_array().max() == pytest.approx(1.0)
    assert image.get_array()[9, 9] == pytest.approx(1.0)  # in the middle
    left, right, bottom, top = image.get_extent()
    assert (left, bottom) == pytest.approx((-right, -top))
    assert right == pytest.approx(9.5 * 0.06)
    negative = image.cmap(image.norm(-0.5))
    assert negative[0] > negative[2]


def test_a_notebook_shows_a_picture_without_pyplot() -> None:
    figure = plot.rgb(galaxy())
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pickle.loads(pickle.dumps(figure)).axes  # and it can be sent to a process


@pytest.mark.slow
def test_the_lines_of_the_page_draw_what_they_say() -> None:
    """On a small cube: names that a reader has are given, every line is run."""
    page = (Path(hstcube.__file__).parents[1] / "docs" / "plots.md").read_text(encoding="utf-8")
    cube, native = galaxy(), galaxy()
    groups = np.zeros((SIDE, SIDE), np.int32)
    groups[14:24, 6:24], groups[24:34, 6:24] = 1, 2
    lines = [
        line.split("  #")[0]
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("plot.")
    ]
    assert {name for line in lines for name in re.findall(r"plot\.(\w+)\(", line)} >= (
        set(dir(plot)) - {"bands", "homogeneous", "growth", "snr_map", "figure_bytes"}
    )
    psf = kernels().clip(0)
    known = {
        "hstcube": hstcube, "plot": plot, "cube": cube, "native": native, "bins": groups,
        "table": hstcube.photometry(cube, groups),
        "labels": cube.mask[0].astype(np.int32).drop_vars("band"), "blank": ~cube.mask[0],
        "place": Grid.of(cube).wcs.pixel_to_world(15, 24), "psf": psf,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        for line in lines:
            if "native.psf" in line or "psf_quality" in line or "noise_check" in line:
                continue  # needs measured PSFs, or a field; drawn above
            if "plot.line(" in line:
                continue  # needs the map of a line: tests/ifu draws it
            drawn = eval(line.replace("f606w", "f814w"), known)
            assert isinstance(drawn, Figure), line
            assert plot.figure_bytes(drawn).startswith(b"\x89PNG"), line


def test_stars_and_psfs_are_drawn_in_arcsec_with_what_their_colours_mean(tmp_path: Path) -> None:
    simulate(tmp_path)
    examined = hstcube.examine_stars(
        hstcube.open_stars(tmp_path / "psf_stars", bands=["f606w", "f160w"])
    )
    psf = hstcube.measure_psf(examined)
    half = float(psf.kx[-1] + (psf.kx[1] - psf.kx[0]) / 2)
    kernels = hstcube.matching_kernels(psf, to="f160w")
    for figure, rows in ((psf_plots.stars(examined), 3), (psf_plots.images(psf, kernels), 2)):
        *all_axes, _ = figure.axes[: 2 * rows + 1]
        assert all_axes[0].get_xlim() == pytest.approx((-half, half))
        assert all_axes[0].get_ylim() == pytest.approx((-half, half))
        figure.canvas.draw()
        assert any(text.get_text() for text in all_axes[-2].get_xticklabels())
        assert figure.get_supxlabel() == "arcsec"
        assert {"in units of the peak"} == {axis.get_ylabel() for axis in figure.axes[2 * rows :]}
    middle = figure.axes[2].images[0].get_array()
    assert float(np.abs(middle).max()) == pytest.approx(1)


def test_of_two_bands_the_mean_is_drawn_green() -> None:
    pair = galaxy().isel(band=[0, 2])
    image = np.asarray(plot.rgb(pair).axes[0].images[0].get_array(), dtype=float)
    assert image[24, 15] == pytest.approx(np.full(3, image[24, 15].mean()), abs=12)  # white
    assert image[24, 22, 0] > image[24, 22, 1] > image[24, 22, 2]  # redder to its right
    assert image[24, 8, 0] < image[24, 8, 1] < image[24, 8, 2]
    assert len(plot.before_after(pair, pair).axes) == 5
    assert code_of(lambda: plot.rgb(pair.isel(band=[0]))) == "HC-B42"


FLAT_AND_TALL = {
    "flat": {"y": slice(18, 30)},
    "tall": {"x": slice(9, 21)},
    "a strip": {"y": slice(23, 26)},
}


@pytest.mark.slow
@pytest.mark.parametrize("cut", FLAT_AND_TALL.values(), ids=FLAT_AND_TALL)
@pytest.mark.parametrize(
    "draw",
    [
        plot.quicklook,
        plot.rgb,
        plot.mask_overlay,
        plot.snr_maps,
        lambda cube: plot.quicklook(cube, before=cube),
        lambda cube: plot.compare(cube, cube),
        lambda cube: plot.colour_map(cube, "f435w", "f160w"),
        lambda cube: plot.before_after(cube, cube),
    ],
)
def test_images_that_are_not_square_fill_their_figure(draw: Callable, cut: dict) -> None:
    """A fifth of the figure at least is image, and nothing runs off it."""
    figure = draw(galaxy().isel(cut))
    assert_all_is_inside(figure)
    boxes = [axis.get_window_extent() for axis in figure.axes if axis.images]
    share = sum(box.width * box.height for box in boxes) / figure.bbox.width / figure.bbox.height
    assert share > (0.2 if cut != FLAT_AND_TALL["a strip"] else 0.05)
