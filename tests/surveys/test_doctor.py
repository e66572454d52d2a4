"""The header doctor: what images are, what is wrong with them, and that nothing is silent."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from made import code_of
from releases_made import DRESSES, write_release
from stamps import ALL_BANDS, rewrite, stamp, write_field

import hstcube
from hstcube.core.stack import stack_bands
from hstcube.core.state import notes_of
from hstcube.errors import HstCubeWarning
from hstcube.fits.weights import apparent_noise, grain, scatter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr
    from commands import Said

RNG = np.random.default_rng(13)
NO_MAP = ("--no-mask", "--sky", "none", "--to", "0.3arcsec")


def opened(files: Any, **how: Any) -> tuple[xr.Dataset, dict[str, str]]:
    """Return a cube of a folder's only field, or of files, and what is warned of, by its code."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", HstCubeWarning)
        if isinstance(files, dict):
            cube = hstcube.open_bands(files, field="1", **how)
        else:
            (found,) = hstcube.list_fields(files)
            cube = hstcube.open_field(files, found.field, **how)
    return cube, {one.message.code: one.message.text for one in told}  # type: ignore[union-attr]


def pair(folder: Path, band: str) -> dict[str, tuple[Path, Path]]:
    return {band: (stamp(folder, band), stamp(folder, band, "wht"))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a field whose noise is what its weights say."""
    data = write_field(tmp_path / "data", bands=("f606w", "f160w"), shape=(80, 80))
    for band, step in (("f606w", 0.06 / 0.05), ("f160w", 0.06 / 0.1283)):
        with fits.open(stamp(data, band, "wht")) as hdus:
            sigma = hdus[0].data ** -0.5 * apparent_noise(step)
        drawn = (sigma * RNG.normal(size=sigma.shape)).astype(np.float32)
        rewrite(stamp(data, band), pixels=lambda _, drawn=drawn: drawn)
    return data


# -- weights


WRONG: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "an rms taken for an inverse variance": (lambda wht: wht**-0.5, "ivar", "HC-D24"),
    "a variance taken for an inverse variance": (lambda wht: 1 / wht, "ivar", "HC-D24"),
    "an inverse variance taken for an rms": (lambda wht: wht, "rms", "HC-D24"),
    "an inverse variance taken for a variance": (lambda wht: wht, "variance", "HC-D24"),
    "a variance taken for an rms": (lambda wht: 1 / wht, "rms", "HC-D24"),
    "an rms taken for a variance": (lambda wht: wht**-0.5, "variance", "HC-D24"),
    "times of the header": (lambda wht: np.full_like(wht, 5000), "ivar", "HC-D28"),
    "times by pixels of the detector": (lambda wht: np.full_like(wht, 5000), "ivar", "HC-D28"),
    "times of another header": (lambda wht: np.full_like(wht, 777), "ivar", "HC-D24"),
    "weights that are 1000 times too large": (lambda wht: wht * 1000, "ivar", "HC-D24"),
    "weights that are 100 times too small": (lambda wht: wht / 100, "ivar", "HC-D24"),
}


@pytest.mark.slow
@pytest.mark.parametrize("band", ["f606w", "f160w"])
@pytest.mark.parametrize("what", WRONG)
def test_weights_that_are_something_else_are_told_on_opening_and_by_check(
    folder: Path, call: Callable[..., Said], what: str, band: str
) -> None:
    wrong, kind, code = WRONG[what]
    native = {"f606w": 0.05, "f160w": 0.1283}[band]
    time = 5000 / (0.06 / native) ** 2 if "detector" in what else 5000
    rewrite(stamp(folder, band), cards={"TEXPTIME": time})
    assert not {"HC-D24", "HC-D28"} & opened(pair(folder, band))[1].keys()
    rewrite(stamp(folder, band, "wht"), pixels=wrong)
    told = opened(pair(folder, band), wht_kind=kind)[1]
    assert code in told
    assert told[code].startswith(f"{band}: ")
    if kind != "ivar":
        assert f"not a{'n' * (kind == 'rms')} {kind}" in told[code]
        return
    checked = call("check", folder, *NO_MAP)
    assert f"{code} " in checked.out
    assert "wht_kind" in checked.out
    assert f"{code} " in call("check", folder, "--sky", "measure").out


@pytest.mark.parametrize(
    ("camera", "scale", "drop"),
    [
        (("WFC3", "IR", 0.1283), 0.03, 0.8), (("WFC3", "IR", 0.1283), 0.02, 0.8),
        (("WFC3", "IR", 0.1283), 0.06, 0.8), (("ACS", "WFC", 0.05), 0.03, 1.0),
        (("ACS", "WFC", 0.05), 0.06, 0.8),
    ],
)  # fmt: skip
def test_what_drizzling_does_to_the_scatter_is_no_fault(
    camera: tuple[str, str, float], scale: float, drop: float
) -> None:
    """Fruchter & Hook 2002, equations 9 and 10, against drops that are laid on pixels."""
    step, side = scale / camera[2], 120
    small = np.zeros((side, side))
    weight = np.zeros((side, side))
    rng = np.random.default_rng(5)
    edges = np.arange(side + 1) * step

    def share(start: float) -> Any:
        """Return how much of a drop falls on each pixel along an axis."""
        low, high = np.maximum(edges[:-1], start), np.minimum(edges[1:], start + drop)
        return np.clip(high - low, 0, None) / drop

    number = int(side * step)
    for _ in range(30):
        y0, x0 = rng.uniform(-1, 0, 2)
        rows = np.stack([share(y0 + i + (1 - drop) / 2) for i in range(number + 2)])
        columns = np.stack([share(x0 + i + (1 - drop) / 2) for i in range(number + 2)])
        noise = rng.normal(size=(number + 2, number + 2))
        small += rows.T @ noise @ columns
        weight += rows.T @ np.ones_like(noise) @ columns
    middle = (slice(side // 4, -side // 4),) * 2
    sci, wht = (small / weight)[middle], weight[middle]
    # of a pixel of the output so many seconds fell; its error if pixels were alone
    expected = apparent_noise(step, drop)
    assert scatter(sci, wht) == pytest.approx(expected, rel=0.12)


def test_times_as_weights_of_counts_give_the_errors_of_rates(folder: Path) -> None:
    """Images in counts with exposure times, as AstroDrizzle writes them with units of counts."""
    seconds = 2000.0
    one = pair(folder, "f606w")
    rates = opened(one)[0]
    rewrite(stamp(folder, "f606w", "wht"), pixels=lambda wht: np.full_like(wht, seconds))
    right = opened(one, wht_kind="exptime")[0]
    rewrite(
        stamp(folder, "f606w"),
        cards={"BUNIT": "ELECTRONS", "TEXPTIME": seconds},
        pixels=lambda sci: sci * np.float32(seconds),
    )
    cube, told = opened(one, wht_kind="exptime")
    assert "HC-D27" in told
    assert not {"HC-D24", "HC-D28"} & told.keys()
    np.testing.assert_allclose(cube.sci, rates.sci, rtol=1e-5)
    np.testing.assert_allclose(cube.wht, right.wht, rtol=1e-4)
    assert "HC-D28" in opened(one)[1]  # of counts, too


def test_counts_that_are_called_rates_are_told(folder: Path) -> None:
    rewrite(stamp(folder, "f606w"), pixels=lambda sci: sci * np.float32(2000))
    assert "HC-D24" in opened(pair(folder, "f606w"))[1]


# -- errors of JWST


def jwst(folder: Path, **change: Any) -> Path:
    return write_release(folder, replace(DRESSES["jwst"], **change))


def changed(folder: Path, unit: str, change: Callable[[Any], Any]) -> None:
    for path in folder.glob("*_i2d.fits"):
        with fits.open(path, mode="update") as hdus:
            hdus[unit].data = change(hdus[unit].data).astype(np.float32)


def test_errors_of_jwst_have_the_noise_that_blank_sky_shows(tmp_path: Path) -> None:
    folder = jwst(tmp_path)
    cube, told = opened(folder)
    assert not told
    assert "HC-N22" in {code for code, _ in notes_of(cube.attrs["history"])}
    shown = apparent_noise(0.063 / 0.063, 0.8)  # as they were made
    np.testing.assert_allclose(cube.noise_scale, shown, rtol=0.08)
    assert (np.abs(cube.noise_acf.sel(dy=0, dx=0) - 1) < 1e-6).all()
    for times in (0.5, 1.5):  # wrong by so much, it is mended by what is measured
        changed(folder, "ERR", lambda errors, times=times: errors * times)
        again, told = opened(folder)
        assert not told
        np.testing.assert_allclose(
            hstcube.variance(again), hstcube.variance(cube), rtol=1e-3, equal_nan=True
        )
        changed(folder, "ERR", lambda errors, times=times: errors / times)


def test_errors_of_jwst_in_a_filter_of_no_table_are_judged_too(tmp_path: Path) -> None:
    folder = jwst(tmp_path)
    path = next(folder.glob("*_i2d.fits"))
    for key in ("FILTER", "PUPIL"):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header[key] = "F999W" if key == "FILTER" else "CLEAR"
    files = {"f999w": (path, path)}
    cube, _ = opened(files, pivot={"f999w": 30000.0})
    assert "HC-N22" in {code for code, _ in notes_of(cube.attrs["history"])}


@pytest.mark.parametrize("times", [0.05, 20.0])
def test_errors_of_jwst_that_are_far_from_the_scatter_are_told(
    tmp_path: Path, times: float
) -> None:
    folder = jwst(tmp_path)
    changed(folder, "ERR", lambda errors: errors * times)
    told = opened(folder)[1]
    assert "of ERR, not by" in told["HC-D24"]


def test_where_no_sky_is_blank_the_noise_of_errors_stays_white(tmp_path: Path) -> None:
    folder = jwst(tmp_path)
    y, x = np.indices((48, 48)) / 7
    wave = (np.sin(x) * np.sin(y)).astype(np.float32)
    changed(folder, "SCI", lambda sci: sci + 400 * sci.std() * wave)
    cube, told = opened(folder)
    assert not told
    assert "noise_scale" not in cube.coords
    assert "HC-N20" in {code for code, _ in notes_of(cube.attrs["history"])}


def test_the_grain_of_a_smooth_image_is_its_noise() -> None:
    noise = RNG.normal(size=(64, 64))
    slope = np.add.outer(np.arange(64.0), np.arange(64.0) ** 2 / 100)
    assert grain(noise + slope, np.ones((64, 64))) == pytest.approx(1, rel=0.05)
    assert scatter(noise + 10 * slope, np.ones((64, 64))) > 4


@pytest.mark.parametrize("lazy", [False, True])
def test_dead_pixels_of_separate_errors_have_no_data(tmp_path: Path, lazy: bool) -> None:
    folder = write_release(tmp_path, DRESSES["cosmos-web"])
    for path in folder.glob("*_sci.fits.gz"):
        with fits.open(path) as hdus:
            data, header = hdus[0].data.copy(), hdus[0].header
        data[4, 7] = 0
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    cube, _ = opened(folder, **({"chunks": {"y": 16}} if lazy else {}))
    assert (cube.wht.values[:, 4, 7] == 0).all()
    assert np.isnan(cube.sci.values[:, 4, 7]).all()
    assert (cube.wht.values > 0).sum() == 2 * (48 * 48 - 1)


# -- zero points


def test_the_zero_point_that_a_release_means_goes_first_and_others_are_told(tmp_path: Path) -> None:
    folder = write_release(tmp_path, DRESSES["hlf"])
    right = opened(folder)[0].zeropoint.values.tolist()
    for path in folder.glob("*_wht.fits.gz"):
        with fits.open(path) as hdus:
            data, header = hdus[0].data.copy(), hdus[0].header
        header["ABZP"] = header["ZEROPNT"] + 0.5
        fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    cube, told = opened(folder)
    assert cube.zeropoint.values.tolist() == right
    assert "by ZEROPNT" in told["HC-D31"]


def test_a_stale_zero_point_is_told_and_never_taken(tmp_path: Path) -> None:
    cube, told = opened(write_release(tmp_path / "a", DRESSES["dja"]))
    assert "by ZP 28.00" in told["HC-D31"]
    assert cube.zeropoint.values.round(2).tolist() == [28.9, 28.9]
    good = replace(DRESSES["dja"], cards={"ZP": 28.9})
    assert not opened(write_release(tmp_path / "b", good))[1]
    field = write_field(tmp_path / "c", bands=("f606w",))
    rewrite(stamp(field, "f606w"), cards={"XDFVER": None, "ZP": 26.5})
    assert np.isnan(opened(pair(field, "f606w"))[0].zeropoint.values).all()


# -- photon noise in other units


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    data = write_field(tmp_path / "data", bands=("f606w", "f160w"), sky=False)
    for band in ("f606w", "f160w"):
        rewrite(stamp(data, band), cards={"TEXPTIME": 5e4})
    return data


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["uJy", "MJy sr-1", "nJy"])
def test_photon_noise_is_the_same_in_every_unit(
    bright: Path, tmp_path: Path, call: Callable[..., Said], unit: str
) -> None:
    cubes = {}
    for name, how in (("rates", ()), ("flux", ("--units", unit))):
        done = call("run", bright, "-o", tmp_path / name, "--to", "0.3arcsec", *how)
        assert done.code == 0, done.err
        cubes[name] = hstcube.open_cube(tmp_path / name / "1.nc")
    assert cubes["flux"].attrs["poisson"] == cubes["rates"].attrs["poisson"] == "50000 s"
    wanted = hstcube.to_flux(cubes["rates"], unit)
    np.testing.assert_allclose(cubes["flux"].wht, wanted.wht, rtol=1e-4)
    off = call("run", bright, "-o", tmp_path / "off", "--units", unit, "--poisson", "none", "--to",
               "0.3arcsec")  # fmt: skip
    assert "HC-N13" in off.err  # as for rates: it matters, and is left out
    assert "photon noise will be added" in call("check", bright, "--units", unit).out


def test_electrons_stay_with_a_cube_through_every_file_and_step(
    bright: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        rates = hstcube.open_field(bright, "1")
        cube = hstcube.open_field(bright, "1", units="MJy/sr")
        assert "electrons" not in rates.coords
        area = hstcube.Grid.of(cube).scale ** 2
        one = (rates.sci / cube.sci).max(("y", "x")) / area
        np.testing.assert_allclose(cube.electrons, one, rtol=1e-5)
        hstcube.to_fits(cube, tmp_path / "fits")
        hstcube.save_cube(cube, tmp_path / "1.nc")
        later = {
            "fits": hstcube.open_field(tmp_path / "fits", "1"),
            "netcdf": hstcube.open_cube(tmp_path / "1.nc"),
            "stack": stack_bands([cube.isel(band=[1]), cube.isel(band=[0])]),
            "regrid": hstcube.regrid(cube, hstcube.Grid.of(cube).coarsen(2), method="exact"),
            "match": hstcube.psf_match(cube, to="0.3arcsec"),
        }
        for step, same in later.items():
            np.testing.assert_allclose(same.electrons, cube.electrons, err_msg=step)
        # of a surface brightness they are those of an arcsec2, so that any pixel's are known
        noisy = [
            hstcube.add_poisson(hstcube.rebin(hstcube.subtract_sky(one, 0.0), 2), exposure=1e3)
            for one in (cube, rates)
        ]
        flux = [hstcube.to_flux(one, "uJy") for one in noisy]
        np.testing.assert_allclose(flux[0].wht, flux[1].wht, rtol=1e-4)
        both = stack_bands([rates.isel(band=[0]), rates.isel(band=[1])])
        assert "electrons" not in both.coords
        red = hstcube.deredden(cube, 0.1)
        np.testing.assert_allclose(
            red.electrons * 10 ** (0.4 * red.extinction), cube.electrons, rtol=1e-6
        )


def test_bands_of_which_nobody_knows_the_electrons_are_a_warning(
    bright: Path, tmp_path: Path, call: Callable[..., Said]
) -> None:
    factor = float(10 ** (-0.4 * (25.94 - 31.4)))
    rewrite(stamp(bright, "f160w"), cards={"BUNIT": "nJy"}, pixels=lambda sci: sci * factor)
    rewrite(stamp(bright, "f160w", "wht"), pixels=lambda wht: wht / factor**2)
    how = ("--units", "uJy", "--to", "0.3arcsec")
    for said in (
        call("check", bright, *how).out,
        call("run", bright, "-o", tmp_path / "o", *how).err,
    ):
        assert "HC-N13" in said
        assert "how many electrons" in said
    cube = hstcube.open_cube(tmp_path / "o" / "1.nc")
    assert cube.attrs["poisson"] == "50000 s, none"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        observed = hstcube.open_field(bright, "1", units="uJy")
    refused = lambda: hstcube.add_poisson(observed, exposure=1e3)  # noqa: E731
    assert code_of(refused) == "HC-N11"


def test_photons_that_are_in_the_errors_of_jwst_are_never_added_beside_other_bands(
    bright: Path, tmp_path: Path
) -> None:
    """One cube of electrons per second and of JWST's errors: each band as it needs it."""
    grid = hstcube.Grid.of(hstcube.open_field(bright, "1"))
    header = fits.Header({"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "FILTER": "F444W",
                          "PUPIL": "CLEAR", "EXPTIME": 900.0, "BUNIT": "MJy/sr"})  # fmt: skip
    header.update(grid.header())
    sci = RNG.normal(0, 0.02, grid.shape).astype(np.float32)
    path = tmp_path / "jw_i2d.fits"
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(sci + 1, header, name="SCI"),
            fits.ImageHDU(np.full(grid.shape, 0.02, np.float32), header, name="ERR"),
        ]
    ).writeto(path)
    both = pair(bright, "f160w") | {"f444w": (path, path)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        cube = hstcube.open_bands(both, field="1", units="uJy")
        assert cube.photons.values.tolist() == ["", "in ERR"]
        assert cube.attrs["poisson"] == ""
        done = hstcube.add_poisson(hstcube.subtract_sky(cube, 0.0))
        hstcube.to_fits(cube, tmp_path / "fits")
        again = hstcube.open_field(tmp_path / "fits", "1")
    assert (done.wht[0] < cube.wht[0]).any()
    np.testing.assert_array_equal(done.wht[1], cube.wht[1])
    assert done.attrs["poisson"] == "50000 s, none"
    assert again.photons.values.tolist() == ["", "in ERR"]
    np.testing.assert_array_equal(again.electrons, cube.electrons)
    forced = hstcube.add_poisson(hstcube.subtract_sky(cube, 0.0), exposure=[5e4, 100.0])
    np.testing.assert_array_equal(forced.wht[1], cube.wht[1])


# -- what check says


@pytest.mark.slow
@pytest.mark.parametrize("name", DRESSES)
def test_check_says_of_every_release_what_was_found_with_and_without_a_map(
    tmp_path: Path, call: Callable[..., Said], name: str
) -> None:
    dress = DRESSES[name]
    folder = write_release(tmp_path, dress)
    cube, _ = opened(folder)
    for how in ((), NO_MAP):
        said = call("check", folder, *how)
        (report,) = json.loads(call("check", folder, "--json", *how).out)
        rows = {row["band"]: row for row in report["found"]}
        assert list(rows) == cube.band.values.tolist()
        for band, row in rows.items():
            one = cube.coords.to_dataset().sel(band=band)
            assert (row["instrument"], row["detector"]) == (one.instrument, one.detector)
            assert row["unit"] == cube.sci.attrs["units"]
            assert row["zeropoint"] == one.zeropoint.item()
            camera = "/".join(filter(None, (row["instrument"], row["detector"])))
            line = next(line for line in said.out.splitlines() if f"found: {band} " in line)
            assert camera in line
            assert f"zero point {row['zeropoint']:.2f}" in line
            assert f"weights {row['weights']}" in line
        codes = {one["code"] for one in report["findings"]}
        assert codes >= dress.told
        if dress.weight == "ERR":
            assert {"HC-D42", "HC-N22"} <= codes
        assert all(code in said.out for code in codes)


def test_a_field_of_eighteen_files_is_checked_with_each_pixel_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Said]
) -> None:
    folder = write_field(tmp_path, bands=ALL_BANDS)
    from hstcube.files import fields

    reads: list[str] = []
    plain = fields.read_plane

    def counted(path: Path, *how: Any, **more: Any) -> Any:
        reads.append(path.name)
        return plain(path, *how, **more)

    monkeypatch.setattr(fields, "read_plane", counted)
    assert call("check", folder).code == 0
    assert sorted(reads) == sorted(path.name for path in (folder / "new_stamps").iterdir())
