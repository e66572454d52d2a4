"""Faults, and how the fix that is given with each is applied: in Python, and on the command line.

What is applied is read out of the fix itself, so that a fix that names what is not there, or does
not help, fails.
"""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from astropy.io import fits
from astropy.table import Table
from defects import of_no_survey
from stamps import BANDS, NEIGHBOUR, OBJECT, label_map, rewrite, sky_file, stamp, write_field
from typer.testing import CliRunner

import hstcube
from hstcube.cli.app import app
from hstcube.core.grids import Grid
from hstcube.core.state import notes_of
from hstcube.errors import HstCubeWarning
from hstcube.fits import opening
from hstcube.jobs.fluxes import bin_cube
from hstcube.pipeline import runs
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan
from hstcube.pipeline.recipe import read_recipe
from hstcube.sed.catalogue import catalogue

if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from pathlib import Path


class Mend(NamedTuple):
    """A fault of Python: what raises it or warns of it, and the same with what its fix says.

    ``use`` gets the folder of a good field, and `arguments`, which are read from the fix by the
    pattern ``says`` unless ``add`` tells how its match is applied.
    """

    says: str
    use: Callable[..., Any]
    make: Callable[[Path], Any] = lambda _: None
    add: Callable[[Path, re.Match[str]], dict[str, Any] | None] | None = None
    told: bool = False  # what was refused is done, and warned of


class Shell(NamedTuple):
    """A fault of a command, and the same with the options that its fix says."""

    says: str
    command: str
    make: Callable[[Path], Any] = lambda _: None
    add: Callable[[Path, re.Match[str]], str] = lambda _, found: found[1]
    instead: bool = False  # the whole command is what is added
    told: bool = False  # what was refused is done, and warned of


def arguments(text: str) -> dict[str, Any]:
    """Return the arguments that a text names, as in "to='f160w'"."""
    call = ast.parse(f"f({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}


def given(**values: Any) -> Callable[[Path, re.Match[str]], dict[str, Any]]:
    """Give an argument that a fix names without a value, the name as the fix says it."""

    def add(folder: Path, found: re.Match[str]) -> dict[str, Any]:
        name = found[1]
        value = values[name]
        return {name: value(folder) if callable(value) else value}

    return add


def first_of(name: str) -> Callable[[Path, re.Match[str]], dict[str, Any]]:
    """Choose the first of what a fix lists."""
    return lambda _, found: {name: found[1].strip().strip("'")}


# -- what is used


def cube_of(folder: Path, **how: Any) -> xr.Dataset:
    return hstcube.open_field(folder, "1", **how)


def labels_of(folder: Path) -> xr.DataArray:
    return hstcube.open_labels(label_map(folder))


def seen_on(folder: Path) -> xr.DataArray:
    return hstcube.regrid_labels(labels_of(folder), Grid.of(cube_of(folder)))


def groups_of(folder: Path) -> xr.DataArray:
    seen = seen_on(folder)
    return (seen > 0).astype("int32")


def blank_of(folder: Path) -> Any:
    return (seen_on(folder) <= 0).values  # also beyond the map


def homogenized(folder: Path, **how: Any) -> xr.Dataset:
    how = {"labels": labels_of(folder), **how}
    return hstcube.homogenize(cube_of(folder), **how)


def matched(folder: Path, **how: Any) -> xr.Dataset:
    return hstcube.psf_match(cube_of(folder), **how)


def bands_of(folder: Path, *names: str, **how: Any) -> xr.Dataset:
    pairs = {name: (stamp(folder, BANDS[i]), stamp(folder, BANDS[i], "wht"))
             for i, name in enumerate(names)}  # fmt: skip
    return hstcube.open_bands(pairs, field="1", **how)


def fluxes(folder: Path, unit: str = "uJy", **how: Any) -> xr.Dataset:
    return hstcube.to_flux(bands_of(folder, *BANDS, **how), unit)


def centre(folder: Path) -> Any:
    grid = Grid.of(cube_of(folder))
    return grid.wcs.pixel_to_world((grid.shape[1] - 1) / 2, (grid.shape[0] - 1) / 2)


def psf_image(fwhm: float = 0.18, side: int = 41) -> np.ndarray:
    y, x = np.indices((side, side)) - side // 2
    return np.exp(-4 * np.log(2) * (x**2 + y**2) * 0.06**2 / fwhm**2)


def psfs(*, widths: tuple[float, ...] = (0.10, 0.11, 0.19), scale: float = 0.06) -> xr.DataArray:
    found = [hstcube.prepare_psf(psf_image(w), scale=0.06, to_scale=scale, name=n)
             for w, n in zip(widths, BANDS, strict=True)]  # fmt: skip
    return xr.concat(found, xr.IndexVariable("band", list(BANDS))).rename("psf")


def strange(folder: Path) -> None:
    """Make the images those of no survey: nothing is known of their PSFs and zero points."""
    of_no_survey(folder)


def run(folder: Path, *, ids: Any = (), fields: Any = (), **how: Any) -> Any:
    targets = plan(folder, fields, ids, scale="60mas")
    for outcome in runs.run(targets, folder.parent / "out", Options(**{"netcdf": False, **how})):
        if outcome.error:
            raise outcome.error


def field_file(folder: Path, *lines: str, of: str | None = None, of_map: str = "") -> Path:
    """Write a field file of the field; each line goes to the band `of`, or to every band."""
    text = ""
    for band in BANDS:
        sci, wht = stamp(folder, band), stamp(folder, band, "wht")
        text += f"[bands.{band}]\nsci = {str(sci)!r}\nwht = {str(wht)!r}\n"
        text += "".join(f"{line}\n" for line in lines if of in {None, band})
    path = folder.parent / "field.toml"
    path.write_text(f"name = '1'\n{text}[labels]\npath = {str(label_map(folder))!r}\n{of_map}\n")
    return path


def two_fields(folder: Path) -> None:
    write_field(folder, "2")


def a_release_at_two_scales(folder: Path) -> None:
    """Give a band of another scale to a field, and all images the names of a release."""
    write_field(folder, scale="30mas", bands=("f435w",))
    for path in sorted((folder / "new_stamps").iterdir()):
        _, scale, band, kind = path.name.removesuffix(".fits").split("_")
        if (scale == "30mas") == (band == "f435w"):
            path.rename(folder / f"gds-grizli-v7.2-{band}_drc_{kind}.fits")
        else:
            path.unlink()


def nothing_in(band: str) -> Callable[[Path], Any]:
    return lambda folder: rewrite(stamp(folder, band, "wht"), pixels=np.zeros_like)


def no_object_in_the_middle(folder: Path) -> None:
    rewrite(label_map(folder), pixels=lambda labels: np.where(labels == OBJECT, 0, labels))


def two_pieces(folder: Path) -> None:
    def change(labels: np.ndarray) -> np.ndarray:
        labels = labels.copy()
        labels[:6, :6] = OBJECT
        return labels

    rewrite(label_map(folder), pixels=change)


def crowded(folder: Path) -> None:
    rewrite(label_map(folder), pixels=lambda labels: np.where(labels == 0, 7, labels))


def without(*paths: Callable[[Path], Path]) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for path in paths:
            path(folder).unlink()

    return remove


def no_levels(folder: Path) -> None:
    for band in BANDS:
        sky_file(folder, band).unlink()


def no_map(folder: Path) -> None:
    label_map(folder).unlink()


def nothing_of_the_sky(folder: Path) -> None:
    no_levels(folder)
    no_map(folder)


def three_maps(folder: Path) -> None:
    path = label_map(folder)
    with fits.open(path) as hdus:
        data, header = hdus[-1].data.copy(), hdus[-1].header.copy()
    units = [fits.ImageHDU(data, header, name=name) for name in ("ONE", "TWO")]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path, overwrite=True)


def curve(folder: Path) -> str:
    path = folder / "curve.txt"
    wavelength = np.linspace(5000, 7000, 50)
    np.savetxt(path, np.c_[wavelength, np.exp(-(((wavelength - 6000) / 500) ** 2))])
    return str(path)


def odd_band(folder: Path, **how: Any) -> Any:
    cube = bands_of(folder, "f999w", pivot={"f999w": 6000.0}, zeropoint={"f999w": 25.0})
    return hstcube.to_sed(cube, "eazy", folder / "sed", **how)


def saved(folder: Path) -> Path:
    return hstcube.save_cube(cube_of(folder), folder.parent / "cube.nc")


def plain_netcdf(folder: Path) -> None:
    cube_of(folder).to_netcdf(folder.parent / "cube.nc", engine="netcdf4")


def lost_cards(folder: Path) -> xr.Dataset:
    cube = cube_of(folder)
    return cube.assign_coords(wcs=cube.wcs.copy().assign_attrs({}).drop_attrs())


def other_cards(folder: Path) -> xr.Dataset:
    cube = cube_of(folder)
    return cube.assign_coords(wcs=cube.wcs.assign_attrs(CRVAL1=cube.wcs.attrs["CRVAL1"] + 1))


def shifted_scales(folder: Path) -> None:
    """Move images at 30 mas by a quarter of a pixel of 60 mas against their headers."""
    fine = ("f435w", "f850lp")
    write_field(folder, scale="30mas", bands=fine, shape=(80, 88), sky=False, labels=False)
    for band in fine:
        for kind in ("sci", "wht"):
            path = stamp(folder, band, kind, scale="30mas")
            rewrite(path, cards={"CRPIX1": fits.getheader(path)["CRPIX1"] + 0.5})


def other_object(folder: Path) -> None:
    rewrite(label_map(folder), cards={"RAF_ID": NEIGHBOUR})


def coarser_stamps(folder: Path) -> None:
    write_field(folder, scale="80mas")
    hstcube.save_psf(psfs(scale=0.08), folder / "psf80.fits")


def larger(folder: Path) -> None:
    write_field(folder, shape=(120, 124))


def strange_and_larger(folder: Path) -> None:
    larger(folder)
    strange(folder)


def calibrated_cube(folder: Path) -> xr.Dataset:
    cube = cube_of(folder)
    return hstcube.with_noise(cube, hstcube.calibrate_noise(cube, background=blank_of(folder)))


def errors_of(folder: Path, cube: xr.Dataset) -> xr.DataArray:
    return hstcube.group_errors(cube, groups_of(folder))


def no_autocorrelation(folder: Path) -> xr.Dataset:
    cube = calibrated_cube(folder)
    return cube.assign_coords(noise_acf=cube.noise_acf * np.float32(2))


def other_lags(folder: Path) -> xr.Dataset:
    cube = calibrated_cube(folder)
    return cube.assign_coords(dy=cube.dy * 0.7, dx=cube.dx * 0.7)


def vars_of(*names: str) -> dict[str, Any]:
    return {name: getattr(hstcube, name) for name in names}


def with_photons(folder: Path, last: str) -> xr.Dataset:
    cube = cube_of(folder)
    if last:
        return getattr(hstcube, last)(hstcube.add_poisson(cube, exposure=1000.0))
    return hstcube.add_poisson(hstcube.to_flux(cube), exposure=1000.0)


def tell_of_noise(cube: xr.Dataset) -> None:
    """Warn as long as nothing is known of how the noise is correlated, as the note says."""
    said = notes_of(cube.attrs["history"])
    if "noise_scale" not in cube.coords:
        warnings.warn(HstCubeWarning(*said[-1]), stacklevel=2)


def strange_but_wide(folder: Path) -> None:
    """Nothing is known of the images but the widths of their PSFs."""
    strange(folder)
    for band in BANDS:
        rewrite(stamp(folder, band), cards={"PSFFWHM": 0.2, "TEXPTIME": None, "EXPTIME": 1.0})


def with_times(folder: Path) -> None:
    for band in BANDS:
        rewrite(stamp(folder, band), cards={"TEXPTIME": 5e4})


def tell_of_photons(cube: xr.Dataset) -> None:
    """Warn of what the notes of a cube say."""
    for code, text in notes_of(cube.attrs["history"]):
        warnings.warn(HstCubeWarning(code, text), stacklevel=2)


def one_product_less(folder: Path) -> None:
    out = folder.parent / "out"
    hstcube.to_fits(cube_of(folder), out)
    for path in out.glob("1_f435w_*.fits"):
        path.unlink()


def products_again(folder: Path, **how: Any) -> xr.Dataset:
    out = folder.parent / "out"
    if how:
        hstcube.to_fits(cube_of(folder), out, **how)
    return hstcube.open_field(out, "1")


def older_netcdf(folder: Path) -> None:
    run(folder, netcdf=True)
    hstcube.to_fits(cube_of(folder), folder.parent / "out", overwrite=True)


def opened_again(folder: Path, **how: Any) -> xr.Dataset:
    if how:
        run(folder, netcdf=True, **how)
    return hstcube.open_field(folder.parent / "out", "1")


def foreign_product(folder: Path, write: str) -> xr.Dataset:
    if write:  # the stamps themselves
        return hstcube.open_field(folder, "1")
    out = folder.parent / "out"
    hstcube.to_fits(cube_of(folder), out)
    rewrite(out / "1_f435w_sci.fits", cards={"HSTCUBE": None, "CHECKSUM": None})
    return hstcube.open_field(out, "1")


def fields_alike(folder: Path) -> None:
    write_field(folder, "a")
    write_field(folder, "A")


def done(_: Any) -> dict[str, Any]:
    """Say that the fix was applied to files, not to arguments."""
    return {}


def no_filter(folder: Path) -> None:
    for kind in ("sci", "wht"):
        rewrite(stamp(folder, "f435w", kind), cards={"FILTER": None, "FILTER1": None})


def one_band(folder: Path, sci: str, wht: str) -> str:
    files = stamp(folder, "f160w"), stamp(folder, "f160w", "wht")
    return f"name = '1'\n[bands.f160w]\n{sci} = {str(files[0])!r}\n{wht} = {str(files[1])!r}\n"


def detected(folder: Path, found: re.Match[str]) -> str:
    """Detect the sources as a fix says, and look at the field with their map."""
    maps = folder.parent / "maps"
    assert CliRunner().invoke(app, [found[1], str(folder), "-o", str(maps)]).exit_code == 0
    return f"check FOLDER --labels {maps}"


def one_in_nanojansky(folder: Path) -> None:
    rewrite(stamp(folder, "f160w"), cards={"BUNIT": "nJy"})


def level_in_counts(folder: Path) -> None:
    """Write a sky level that says a unit that nothing ties to that of the images."""
    said = "# sky of field 1, f435w: DN s-1 per pixel of 0.06 arcsec, by hand"
    sky_file(folder, "f435w").write_text(f"{said}\n0.001\n")


def exposure_times(folder: Path) -> None:
    """Make the weights of F435W exposure times, by the header of its image."""
    for kind in ("sci", "wht"):
        rewrite(stamp(folder, "f435w", kind), cards={"TEXPTIME": 5000.0})
    rewrite(stamp(folder, "f435w", "wht"), pixels=lambda wht: np.full_like(wht, 5000.0))


def another_pivot(folder: Path) -> None:
    rewrite(stamp(folder, "f435w"), cards={"PHOTPLAM": 4400.0})


def as_rms(folder: Path) -> None:
    for band in BANDS:
        rewrite(stamp(folder, band, "wht"), pixels=lambda wht: (1 / np.sqrt(wht)).astype("f4"))


def negative(folder: Path) -> xr.Dataset:
    cube = hstcube.subtract_sky(cube_of(folder), 0)
    wrong = cube.wht.where(cube.y != cube.y[0], -1).astype("f4")
    return cube.assign(wht=wrong)


def fluxes_of_one(folder: Path, **how: Any) -> xr.Dataset:
    return hstcube.to_flux(bands_of(folder, "f435w", **how))


def rebuilt(folder: Path, **state: Any) -> xr.Dataset:
    cube = cube_of(folder)
    names = cube.band.values.tolist()
    return hstcube.build(cube.sci.values, cube.wht.values, bands=names, grid=Grid.of(cube),
                         units="uJy", **state)  # fmt: skip


def elsewhere(folder: Path) -> Grid:
    grid = Grid.of(cube_of(folder))
    cards = {card[0]: card[1] for card in grid.header_cards()}
    cards["CRVAL2"] += 1
    return Grid.from_header(fits.Header(cards), shape=grid.shape)


def twice(place: Any) -> list[tuple[float, float]]:
    return [(place.ra.deg, place.dec.deg), (place.ra.deg, place.dec.deg + 0.1 / 3600)]


def from_zero(folder: Path) -> xr.DataArray:
    """Return a map of two groups, numbered from 0, where -1 is no group."""
    seen = seen_on(folder)
    return (seen > 0).astype("int32") + (seen == OBJECT) - 1


def half_nan(folder: Path) -> xr.DataArray:
    keep = (seen_on(folder) > 0).astype(float)
    return keep.where(keep.y != keep.y[0])


def off_centre(*, prepared: bool) -> Any:
    image = np.roll(psf_image(), 3, axis=0)
    if prepared:
        return xr.concat([hstcube.prepare_psf(image, scale=0.06, name=n) for n in BANDS], "band")
    return psfs().roll(ky=3)


def strange_psfs() -> xr.DataArray:
    """PSFs of which one has a core that is broader than the target's, and no wings."""
    found = psfs()
    y = found.ky
    broad = np.exp(-((np.abs(y) / 0.16) ** 6)) * np.exp(-((np.abs(found.kx) / 0.16) ** 6))
    found = xr.where(found.band == "f435w", broad / broad.sum(), found)
    return found.transpose("band", "ky", "kx").rename("psf")


def crossed_psfs() -> xr.DataArray:
    """PSFs that are long along y and along x: neither is reached from the other."""
    found = psfs()
    for band, (tall, wide) in {"f435w": (0.12, 0.05), "f850lp": (0.05, 0.12)}.items():
        core = np.exp(-((found.ky / tall) ** 2 + (found.kx / wide) ** 2) / 2)
        found = xr.where(found.band == band, core / core.sum(), found)
    narrow = np.exp(-(found.ky**2 + found.kx**2) / 2 / 0.05**2)
    found = xr.where(found.band == "f160w", narrow / narrow.sum(), found)
    return found.transpose("band", "ky", "kx").rename("psf")


def psf_file_alone(folder: Path) -> None:
    of_no_survey(folder)
    psf_file(folder)


def crossed_psf_file(folder: Path) -> None:
    of_no_survey(folder)
    hstcube.save_psf(crossed_psfs(), folder / "psf.fits")


def smaller_band(folder: Path) -> None:
    """Cut the rim off the images of one band: the same pixels, fewer of them."""
    for kind in ("sci", "wht"):
        path = stamp(folder, "f850lp", kind)
        with fits.open(path) as hdus:
            data, header = hdus[0].data[3:-2, 4:-1], hdus[0].header
        header["CRPIX1"] -= 4
        header["CRPIX2"] -= 3
        fits.writeto(path, data, header, overwrite=True)


def moved_band(folder: Path) -> None:
    """Shift the grid of one band by a part of a pixel."""
    for kind in ("sci", "wht"):
        path = stamp(folder, "f850lp", kind)
        rewrite(path, cards={"CRPIX1": fits.getval(path, "CRPIX1") + 0.4})


def assigned(folder: Path, dims: tuple[str, ...]) -> xr.Dataset:
    found = psfs()
    return cube_of(folder).assign_coords(psf=(dims, found.values), ky=found.ky, kx=found.kx)


def all_masked(folder: Path) -> xr.Dataset:
    cube = cube_of(folder)
    return cube.assign(
        mask=cube.mask | True, sci=cube.sci.where(cube.y != cube.y[0]),
        wht=cube.wht.where(cube.y != cube.y[0], 0).astype("f4"),
    )  # fmt: skip


def calibrated(folder: Path, first: tuple[str, ...]) -> Any:
    cube = cube_of(folder) if first else matched(folder)
    return hstcube.calibrate_noise(cube, background=blank_of(folder))


def poisson(folder: Path, first: str) -> Any:
    cube = cube_of(folder)
    if first == "psf_match":
        return hstcube.add_poisson(hstcube.psf_match(cube), exposure=1000.0)
    return hstcube.psf_match(getattr(hstcube, first)(cube, exposure=1000.0))


def flux_table(folder: Path, name: str) -> Any:
    cube = hstcube.subtract_sky(cube_of(folder), 0)
    return getattr(hstcube, name)(hstcube.to_flux(cube), groups_of(folder))


def two_scales(folder: Path) -> None:
    write_field(folder, scale="30mas", bands=BANDS[:1], shape=(80, 88), sky=False, labels=False)


def map_in(key: str) -> str:
    return f"{key} = 'TWO'"


def moved_map(folder: Path) -> None:
    label_map(folder).rename(folder.parent / "map.fits")


def levels_elsewhere(folder: Path) -> None:
    place = folder.parent / "levels"
    place.mkdir()
    for band in BANDS:
        (place / sky_file(folder, band).name).write_text(sky_file(folder, band).read_text())
        sky_file(folder, band).unlink()


def no_sky_but_elsewhere(folder: Path) -> None:
    levels_elsewhere(folder)
    moved_map(folder)


def crowded_without_levels(folder: Path) -> None:
    levels_elsewhere(folder)
    crowded(folder)


def psf_file(folder: Path) -> None:
    hstcube.save_psf(psfs(), folder / "psf.fits")


def strange_psf_file(folder: Path) -> None:
    hstcube.save_psf(strange_psfs(), folder / "psf.fits")


def foreign_record(folder: Path) -> None:
    (folder.parent / "out").mkdir()
    (folder.parent / "out" / "run.json").write_text("[]")


def odd_cube(folder: Path) -> None:
    no_filter(folder)
    cube = bands_of(folder, "f999w", pivot={"f999w": 6000.0}, zeropoint={"f999w": 25.0})
    hstcube.save_cube(hstcube.subtract_sky(cube, 0), folder.parent / "cube.nc")


def measured(folder: Path, command: str, out: str) -> str:
    """Measure the levels anew with a command, and say where they are."""
    result = CliRunner().invoke(app, [command, str(folder), out, str(folder.parent / "levels")])
    assert result.exit_code == 0, result.output
    return f"--sky {folder.parent / 'levels'}"


WIDTH_IN_ORIGINAL = {"recipe": "original", "to": "0.3arcsec"}

# -- the faults of Python

MENDS: dict[str, list[Mend]] = {
    "HC-F01": [
        Mend(
            r"(bands)=",
            cube_of,
            without(lambda f: stamp(f, "f435w", "wht")),
            given(bands=["f850lp", "f160w"]),
        ),
        Mend(r"(scale='\w+')", lambda f, scale="30mas": cube_of(f, scale=scale)),
        Mend(
            r"list them: hstcube\.(\w+)\('(.*)'\)",
            lambda f, name="7": hstcube.open_field(f, name),
            add=lambda _, found: {"name": getattr(hstcube, found[1])(found[2])[0].field},
        ),
    ],
    "HC-F07": [
        Mend(
            r"raise hstcube\.fits\.opening\.(\w+)",
            cube_of,
            lambda _: setattr(opening, "LARGEST_PLANE", 1000),
            lambda _, found: setattr(opening, found[1], 2**32),
        )
    ],
    "HC-F12": [
        Mend(
            r"(hdu)=",
            lambda f, **how: hstcube.open_labels(label_map(f), **how),
            three_maps,
            given(hdu="TWO"),
        )
    ],
    "HC-F31": [
        Mend(
            r"write it again with (save_cube)",
            lambda f: hstcube.open_cube(f.parent / "cube.nc"),
            plain_netcdf,
            lambda f, found: done(
                getattr(hstcube, found[1])(cube_of(f), f.parent / "cube.nc", overwrite=True)
            ),
        )
    ],
    "HC-B01": [
        Mend(
            r"there are (\w+),",
            lambda f, name="f999w": cube_of(f, psf_fwhm={name: 0.2}),
            add=first_of("name"),
        )
    ],
    "HC-B05": [
        Mend(r"(to)= from", lambda f, to="f999w": matched(f, to=to), add=given(to="f160w")),
    ],
    "HC-B06": [Mend(r"(to='\w+')", lambda f, to="f435w": matched(f, to=to))],
    "HC-D21": [
        Mend(
            r"(units='uJy')",
            lambda f, **how: hstcube.open_field(f, "1", **how),
            one_in_nanojansky,
        )
    ],
    "HC-D28": [
        Mend(
            r"(wht_kind='exptime') in open_bands",
            lambda f, **how: bands_of(f, "f435w", **how),
            exposure_times,
        )
    ],
    "HC-B35": [
        Mend(
            r"(pivot)= in open_bands",
            lambda f, **how: bands_of(f, "f435w", **how),
            another_pivot,
            given(pivot={"f435w": 4329.9}),
        )
    ],
    "HC-B07": [
        Mend(
            r"(pivot).*open_bands",
            lambda f, **how: bands_of(f, "f999w", **how),
            no_filter,
            given(pivot={"f999w": 6e3}),
        )
    ],
    "HC-B15": [
        Mend(
            r"did you mean '(\w+)'",
            lambda f: read_recipe(f / "recipe.toml"),
            lambda f: (f / "recipe.toml").write_text("grwo = 1"),
            lambda f, found: done((f / "recipe.toml").write_text(f"{found[1]} = 1")),
        )
    ],
    "HC-B16": [
        Mend(
            r"add \[bands\.f160w\] with (sci) and (wht)",
            lambda f: runs.run(plan(f / "x.toml", [], [], scale=""), f.parent / "out", Options()),
            lambda f: (f / "x.toml").write_text("name = '1'"),
            lambda f, found: done((f / "x.toml").write_text(one_band(f, found[1], found[2]))),
        )
    ],
    "HC-B18": [
        Mend(
            r"e\.g\. '(.*)'",
            lambda f, images="{nonsense}.fits": hstcube.list_fields(f, images=images),
            add=first_of("images"),
        )
    ],
    "HC-B19": [
        Mend(
            r"recipe= from '(\w+)'",
            lambda f, recipe="x": homogenized(f, recipe=recipe),
            add=first_of("recipe"),
        )
    ],
    "HC-B20": [
        Mend(r"(ids)=\['943=", lambda f, ids=("x",): run(f, ids=ids), add=given(ids=["1=4001"]))
    ],
    "HC-B21": [
        Mend(
            r"add '(\w+)' to (fields)",
            lambda f, fields=("1",): run(f, fields=fields, ids=["2=4001"]),
            two_fields,
            lambda _, found: {found[2]: ["1", found[1]]},
        )
    ],
    "HC-B22": [
        Mend(r"from '(\w+)'", lambda f, align="x": cube_of(f, align=align), add=first_of("align"))
    ],
    "HC-B30": [
        Mend(
            r"from '(\w+)'",
            lambda f, mode="x": hstcube.bin_pixels(cube_of(f), mode=mode),
            add=first_of("mode"),
        )
    ],
    "HC-B32": [
        Mend(
            r"(field)=",
            lambda f, **how: bin_cube(f, f.parent / "bins.fits", **how),
            two_fields,
            given(field="1"),
        )
    ],
    "HC-B39": [
        Mend(say, lambda f, **how: homogenized(f, **{**WIDTH_IN_ORIGINAL, **how}))
        for say in (r"(to='\w+')", r"(recipe='\w+')")
    ],
    "HC-B41": [
        Mend(
            r"(scale='\w+')",
            lambda f, **how: hstcube.open_field(f, "gds", **how),
            a_release_at_two_scales,
        )
    ],
    "HC-D08": [
        Mend(r"(bands)=", cube_of, nothing_in("f435w"), given(bands=["f850lp", "f160w"]))
    ],
    "HC-D10": [
        Mend(
            r"e\.g\. (wht\.where\(wht > 0, 0\))",
            lambda f, cube=None: hstcube.to_flux(negative(f) if cube is None else cube),
            add=lambda f, found: {
                "cube": negative(f).assign(wht=eval(found[1], {"wht": negative(f).wht}))
            },
        )
    ],
    "HC-D30": [
        Mend(r"(zeropoint=\{.*?\})", fluxes_of_one, strange),
    ],
    "HC-D36": [
        Mend(
            r"(pivot)=",
            lambda f, pivot=(np.nan, np.nan, np.nan): hstcube.to_flux(
                rebuilt(f, pivot=pivot), "erg s-1 cm-2 AA-1"
            ),
            add=given(pivot=[4300, 9000, 15400]),
        )
    ],
    "HC-W15": [
        Mend(
            r"Grid\.(covering)\(\[cube\]\)",
            lambda f, grid=None: hstcube.regrid(cube_of(f), grid or elsewhere(f)),
            add=lambda f, found: {"grid": getattr(Grid, found[1])([cube_of(f)])},
        )
    ],
    "HC-W17": [
        Mend(
            r"(method='\w+')",
            lambda f, method="bilinear": hstcube.regrid(
                cube_of(f), Grid.of(cube_of(f)).coarsen(4), method=method
            ),
        )
    ],
    "HC-S01": [Mend(r"(ids=\[\d+\])", homogenized, no_object_in_the_middle)],
    "HC-S11": [Mend(r"(largest=True)", homogenized, two_pieces)],
    "HC-S12": [
        Mend(
            r"did you mean (\d+)\?",
            lambda f, label=3: hstcube.object_mask(labels_of(f), int(label)),
            add=first_of("label"),
        )
    ],
    "HC-S16": [
        Mend(
            r"(labels)=",
            lambda f, **how: hstcube.homogenize(cube_of(f), sky=0, recipe="original", **how),
            add=given(labels=labels_of),
        )
    ],
    "HC-S21": [
        Mend(
            r"(overlap='\w+')",
            lambda f, **how: hstcube.apertures(cube_of(f), twice(centre(f)), radius=0.3, **how),
        )
    ],
    "HC-S30": [
        Mend(
            r"background=(labels == 0)",
            lambda f, background=None: hstcube.measure_sky(
                cube_of(f), background=seen_on(f) if background is None else background
            ),
            add=lambda f, found: {"background": eval(found[1], {"labels": seen_on(f).clip(0)})},
        )
    ],
    "HC-S31": [
        Mend(
            r"keep\.(fillna\(1\))",
            lambda f, keep=None: hstcube.mask(cube_of(f), half_nan(f) if keep is None else keep),
            add=lambda f, found: {"keep": eval(f"keep.{found[1]}", {"keep": half_nan(f)})},
        )
    ],
    "HC-K01": [
        Mend(r"(sky)=", lambda f, **how: hstcube.homogenize(cube_of(f), **how), add=given(sky=0.0)),
        Mend(
            r"(labels)=",
            lambda f, **how: hstcube.homogenize(cube_of(f), **how),
            add=given(labels=labels_of),
        ),
    ],
    "HC-K09": [
        Mend(
            r"(measure_sky)\(cube, background=",
            lambda f, sky=1.0: homogenized(f, sky=sky),
            add=lambda f, found: {
                "sky": getattr(hstcube, found[1])(cube_of(f), background=blank_of(f))
            },
        )
    ],
    "HC-K10": [
        Mend(
            r"(again=True)",
            lambda f, **how: hstcube.subtract_sky(hstcube.subtract_sky(cube_of(f), 0), 0, **how),
        )
    ],
    "HC-K11": [Mend(r"(sky)=", homogenized, crowded, given(sky=0.0))],
    "HC-K12": [
        Mend(
            r"method= from '(\w+)'",
            lambda f, method="x": hstcube.measure_sky(
                cube_of(f), background=blank_of(f), method=method
            ),
            add=first_of("method"),
        )
    ],
    "HC-K13": [
        Mend(
            r"(subtract_sky)\(cube, 0\)",
            lambda f, cube=None: hstcube.photometry(
                cube_of(f) if cube is None else cube, groups_of(f)
            ),
            add=lambda f, found: {"cube": getattr(hstcube, found[1])(cube_of(f), 0)},
        )
    ],
    "HC-P01": [
        Mend(
            r"(psf_fwhm)=\{'(\w+)': ([\d.]+)\}",
            lambda f, psf_fwhm=(): hstcube.psf_match(
                hstcube.open_field(
                    f, "1", bands=["f850lp", "f160w"], psf_fwhm={"f850lp": 0.1, **dict(psf_fwhm)}
                ),
                to="f160w",
            ),
            strange,
            lambda _, found: {found[1]: {found[2]: float(found[3])}},
        )
    ],
    "HC-P06": [
        Mend(
            r"method= from '([\w-]+)'",
            lambda f, method="x": matched(f, method=method),
            add=first_of("method"),
        )
    ],
    "HC-P07": [
        Mend(
            r"(prepare_psf)\(image",
            lambda f, prepared=False: hstcube.with_psf(cube_of(f), off_centre(prepared=prepared)),
            add=lambda _, found: {"prepared": hasattr(hstcube, found[1])},
        )
    ],
    "HC-P09": [
        Mend(
            r"(with_psf)\(cube",
            lambda f, cube=None: hstcube.psf_quality(cube_of(f) if cube is None else cube),
            add=lambda f, found: {"cube": getattr(hstcube, found[1])(cube_of(f), psfs())},
        )
    ],
    "HC-P13": [
        Mend(
            r"(allow=\['\w+'\])",
            lambda f, **how: hstcube.psf_match(hstcube.with_psf(cube_of(f), strange_psfs()), **how),
            told=True,
        )
    ],
    "HC-D01": [Mend(r"(onto='\w+')", cube_of, smaller_band)],
    "HC-D02": [Mend(r"(onto='\w+')", cube_of, moved_band)],
    "HC-P36": [
        Mend(
            r"psf=\{'(\w+)': FILE\}",
            lambda f, more=(): cube_of(f, psf=dict.fromkeys(("f435w", "f850lp", *more), psfs())),
            of_no_survey,
            lambda _, found: {"more": [found[1]]},
        )
    ],
    "HC-P34": [
        Mend(
            say,
            lambda f, **how: hstcube.psf_match(hstcube.with_psf(cube_of(f), crossed_psfs()), **how),
            of_no_survey,
            told="allow" in say,
        )
        for say in (r"(to='[\d.]+arcsec')", r"(allow=\['\w+'\])")
    ],
    "HC-P15": [
        Mend(
            r"(scale=[\d.]+)",
            lambda f, **how: hstcube.open_psf(f / "psf.fits", **how),
            lambda f: fits.writeto(
                f / "psf.fits", psf_image().astype("f4"), fits.Header({"FILTER": "F160W"})
            ),
        )
    ],
    "HC-P17": [
        Mend(
            r"(psf_fwhm)=",
            lambda f, **how: bin_cube(f, f.parent / "bins.fits", overwrite=True, field="1")
            if not how
            else hstcube.bin_pixels(cube_of(f, **how), min_area="psf"),
            strange,
            given(psf_fwhm=dict.fromkeys(BANDS, 0.2)),
        )
    ],
    "HC-P20": [
        Mend(
            r"cube\.(assign_coords)\(psf=\((\('band', 'ky', 'kx'\)), psf\)\)",
            lambda f, cube=None: hstcube.photometry(
                cube_of(f) if cube is None else cube, groups_of(f), total=True
            ),
            add=lambda f, found: {"cube": assigned(f, ast.literal_eval(found[2]))},
        )
    ],
    "HC-C01": [
        Mend(
            r"(open_field)",
            lambda _, cube=None: hstcube.to_flux(np.ones(3) if cube is None else cube),
            add=lambda f, found: {"cube": getattr(hstcube, found[1])(f, "1")},
        )
    ],
    "HC-C06": [
        Mend(
            r"hstcube\.(mask)\(cube, keep\)",
            lambda f, cube=None: hstcube.validate(all_masked(f) if cube is None else cube),
            add=lambda f, found: {"cube": getattr(hstcube, found[1])(cube_of(f), seen_on(f) > 0)},
        )
    ],
    "HC-N01": [
        Mend(
            r"groups\.(astype\('int32'\))",
            lambda f, kind=float: hstcube.group_errors(cube_of(f), groups_of(f).astype(kind)),
            add=lambda _, found: {"kind": "int32" if "int32" in found[1] else float},
        )
    ],
    "HC-N05": [
        Mend(
            r"(with_noise)\(cube, SURVEY\)",
            lambda f, survey="": hstcube.with_noise(cube_of(f), survey)
            if survey
            else hstcube.calibrate_noise(cube_of(f), background=blank_of(f) & False),
            add=lambda _, found: {"survey": "xdf" if hasattr(hstcube, found[1]) else ""},
        )
    ],
    "HC-N07": [
        Mend(
            r"before (psf_match)",
            lambda f, first=(): calibrated(f, first),
            add=lambda _, found: {"first": (found[1],)},
        )
    ],
    "HC-N10": [
        Mend(
            r"call (add_poisson) once, before psf_match",
            lambda f, first="psf_match": poisson(f, first),
            add=first_of("first"),
        )
    ],
    "HC-N12": [
        Mend(
            r"(first=0)",
            lambda f, **how: hstcube.group_errors(cube_of(f), from_zero(f), **how),
        )
    ],
    "HC-O04": [
        Mend(
            r"(overwrite=True)",
            lambda f, **how: hstcube.save_cube(cube_of(f), f.parent / "cube.nc", **how),
            saved,
        )
    ],
    "HC-E02": [
        Mend(
            r"(curves)=\{'(\w+)': 'FILE'\}",
            odd_band,
            no_filter,
            lambda f, found: {found[1]: {found[2]: curve(f)}},
        )
    ],
    "HC-E07": [
        Mend(
            r"hstcube\.(photometry) returns",
            lambda _, table=None: catalogue(Table() if table is None else table),
            add=lambda f, found: {"table": flux_table(f, found[1])},
        )
    ],
    "HC-R01": [
        Mend(r"without (strict)=True", lambda f, strict=True: run(f, strict=strict), two_pieces,
             lambda _, found: {found[1]: False})
    ],
    "HC-D22": [
        Mend(
            r"(zeropoint)=",
            lambda f, **how: bands_of(f, *BANDS, **how),
            lambda f: rewrite(stamp(f, "f435w"), cards={"ABZP": "text"}),
            given(zeropoint={"f435w": 25.0}),
        )
    ],
    "HC-D31": [
        Mend(
            r"(zeropoint)=",
            lambda f, **how: bands_of(f, *BANDS, **how),
            lambda f: rewrite(stamp(f, "f435w"), cards={"ABZP": 25.0, "PHOTFNU": 1e-9}),
            given(zeropoint={"f435w": 25.0}),
        )
    ],
    "HC-W01": [
        Mend(
            r"(cube\.assign_coords\(wcs=parent\.wcs\))",
            lambda f, cube=None: hstcube.to_flux(lost_cards(f) if cube is None else cube),
            add=lambda f, m: {"cube": eval(m[1], {"cube": lost_cards(f), "parent": cube_of(f)})},
        )
    ],
    "HC-W20": [
        Mend(
            r"(align='apply')",
            lambda f, **how: hstcube.open_field(f, "1", scale="mixed", **how),
            shifted_scales,
        )
    ],
    "HC-W26": [
        Mend(
            r"(cube\.assign_coords\(grid\.coords\(\)\))",
            lambda f, cube=None: hstcube.to_flux(other_cards(f) if cube is None else cube),
            add=lambda f, m: {
                "cube": eval(m[1], {"cube": other_cards(f), "grid": Grid.of(cube_of(f))})
            },
        )
    ],
    "HC-S07": [Mend(r"(ids)=", homogenized, other_object, given(ids=[OBJECT]))],
    "HC-P16": [
        Mend(
            r"(psf)=measure_psf",
            lambda f, psf="xdf": hstcube.open_field(f, "1", scale="80mas", psf=psf),
            coarser_stamps,
            given(psf=lambda _: psfs(scale=0.08)),
        )
    ],
    "HC-N03": [
        Mend(
            r"(cube\.drop_vars\(\['noise_acf', 'dy', 'dx'\]\))",
            lambda f, cube=None: errors_of(f, no_autocorrelation(f) if cube is None else cube),
            make=larger,
            add=lambda f, m: {"cube": eval(m[1], {"cube": no_autocorrelation(f)})},
        )
    ],
    "HC-N04": [
        Mend(
            r"(cube\.drop_vars\('noise_acf'\))",
            lambda f, cube=None: errors_of(f, other_lags(f) if cube is None else cube),
            make=larger,
            add=lambda f, m: {"cube": eval(m[1], {"cube": other_lags(f)})},
        )
    ],
    "HC-N06": [
        Mend(
            r"(calibrate_noise); their pixels are pooled",
            lambda f, number=1: hstcube.calibrate_noise(
                [cube_of(f)] * number, background=[blank_of(f)] * number
            ),
            add=lambda _, found: {"number": 40 if hasattr(hstcube, found[1]) else 1},
        )
    ],
    "HC-N09": [
        Mend(
            r"(with_noise\(cube, calibrate_noise\(cube, background=labels == 0\)\))",
            lambda f, cube=None: hstcube.with_noise(cube_of(f), "candels") if cube is None else 0,
            make=larger,
            add=lambda f, m: {
                "cube": eval(m[1], {**vars_of("with_noise", "calibrate_noise"),
                                    "cube": cube_of(f), "labels": seen_on(f).clip(0)})
            },
        )
    ],
    "HC-N11": [
        Mend(
            r"before (to_flux)",
            lambda f, last="": with_photons(f, last),
            add=first_of("last"),
        )
    ],
    "HC-N20": [
        Mend(
            r"(with_noise\(cube, calibrate_noise\(cubes)\)\)",
            lambda f, cube=None: tell_of_noise(cube_of(f) if cube is None else cube),
            strange_and_larger,
            lambda f, m: {
                "cube": eval(f"{m[1]}, background=labels == 0))",
                             {**vars_of("with_noise", "calibrate_noise"), "cube": cube_of(f),
                              "cubes": cube_of(f), "labels": seen_on(f).clip(0)})
            },
        )
    ],
    "HC-O20": [
        Mend(
            r"(overwrite=True)",
            products_again,
            one_product_less,
        )
    ],
    "HC-O22": [
        Mend(
            r"(overwrite=True)",
            opened_again,
            older_netcdf,
        )
    ],
    "HC-N13": [
        Mend(
            r"(poisson=\"auto\")",
            lambda f, poisson="none": homogenized(f, poisson=poisson),
            with_times,
        )
    ],
    "HC-N21": [
        Mend(
            r"(poisson)=",
            lambda f, **how: tell_of_photons(homogenized(f, **how)),
            strange_but_wide,
            given(poisson=1200.0),
        ),
        Mend(
            r"(poisson=\"none\")",
            lambda f, **how: tell_of_photons(homogenized(f, **how)),
            strange_but_wide,
        ),
    ],
    "HC-F26": [
        Mend(
            r"(give) the folder of the stamps",
            lambda f, write="": foreign_product(f, write),
            add=lambda _, found: {"write": found[1]},
        )
    ],
}  # fmt: skip

# -- the faults of commands; FOLDER is the field's, OUT another, SKY one for levels

RUN = "run FOLDER -o OUT --no-netcdf"
WIDTHS = "--psf-fwhm f435w=0.1 --psf-fwhm f850lp=0.1"
ALL = f"{WIDTHS} --psf-fwhm f160w=0.2"
SHELLS: dict[str, list[Shell]] = {
    "HC-F01": [
        Shell(r"(--band) BAND", RUN, without(lambda f: stamp(f, "f435w", "wht")),
              lambda _, found: f"{found[1]} f850lp {found[1]} f160w"),
        Shell(r"(--scale \w+)", f"{RUN} --scale 30mas -f 1"),
        Shell(r"list them: hstcube (ls) (\S+)", f"{RUN} -f 7",
              add=lambda _, found: f"{found[1]} {found[2]}", instead=True),
    ],
    "HC-B05": [Shell(r"(--to) from (\w+)", f"{RUN} --to f999w", add=lambda _, m: f"{m[1]} f160w")],
    "HC-B06": [Shell(r"(--to \w+)", f"{RUN} --to f435w")],
    "HC-B20": [Shell(r"(--ids) 943=", f"{RUN} --ids x", add=lambda _, m: f"{RUN} {m[1]} 1=4001",
                     instead=True)],
    "HC-B21": [Shell(r"add (-f \w+)", f"{RUN} -f 1 --ids 2=4001", two_fields)],
    "HC-B22": [Shell(r"(--scale mixed)", f"{RUN} --align report --psf-fwhm f435w=0.1", two_scales)],
    "HC-B32": [Shell(r"(-f) FIELD", "bin FOLDER -o OUT.fits", two_fields,
                     lambda _, m: f"{m[1]} 1")],
    "HC-B39": [
        Shell(say, f"{RUN} --recipe original --to 0.3arcsec")
        for say in (r"(--to \w+)", r"(--recipe default)")
    ],
    "HC-B41": [
        Shell(r"(--scale mixed)", f"{RUN} --no-mask --sky none {ALL}", a_release_at_two_scales)
    ],
    "HC-D08": [Shell(r"(--band)", RUN, nothing_in("f435w"),
                     lambda _, m: f"{m[1]} f850lp {m[1]} f160w")],
    "HC-D21": [Shell(r"(--units uJy)", f"{RUN} --sky measure", one_in_nanojansky)],
    "HC-K14": [Shell(r"(--sky measure)", RUN, level_in_counts)],
    "HC-D28": [
        Shell(r"(wht_kind = 'exptime') in a field file", "check FOLDER", exposure_times,
              lambda f, m: f"check {field_file(f, m[1])}", instead=True)
    ],
    "HC-B35": [
        Shell(r"(pivot) in a field file", "check FOLDER", another_pivot,
              lambda f, m: f"check {field_file(f, f'{m[1]} = 4329.9', of='f435w')}", instead=True)
    ],
    "HC-D24": [
        Shell(r"(wht_kind = '\w+'), 'variance' or 'exptime' in a field file", "check FOLDER", as_rms,  # noqa: E501
              lambda f, m: f"check {field_file(f, m[1])}", instead=True)
    ],
    "HC-F12": [Shell(r"(hdu) in the part (labels)", RUN, three_maps, instead=True,
                     add=lambda f, m: f"run {field_file(f, of_map=map_in(m[1]))} -o OUT")],
    "HC-S01": [Shell(r"(--ids) FIELD=(\d+)", RUN, no_object_in_the_middle,
                     lambda _, m: f"{m[1]} 1={m[2]}")],
    "HC-S11": [Shell(r"(--largest)", RUN, two_pieces)],
    "HC-S16": [
        Shell(r"(--labels) FILE", RUN, moved_map, lambda f, m: f"{m[1]} {f.parent / 'map.fits'}"),
        Shell(r"(--no-mask)", RUN, no_map),
    ],
    "HC-S40": [
        Shell(r"hstcube (detect) FOLDER -o OUT", "check FOLDER --labels detect",
              add=detected, instead=True)
    ],
    "HC-K01": [
        Shell(r"(--sky) FOLDER", f"{RUN} --no-mask", no_sky_but_elsewhere,
              lambda f, m: f"{m[1]} {f.parent / 'levels'}"),
        Shell(r"(--labels) FILE", f"{RUN} --no-mask", no_sky_but_elsewhere,
              lambda f, m: f"{m[1]} {f.parent / 'map.fits'}"),
    ],
    "HC-K03": [
        Shell(r"hstcube (sky) FOLDER (-o) OUT", RUN,
              lambda f: sky_file(f, "f160w").write_text("nan"),
              lambda f, m: measured(f, m[1], m[2])),
    ],
    "HC-K02": [
        Shell(r"hstcube (sky) FOLDER (-o) OUT", RUN,
              lambda f: sky_file(f, "f160w").write_text("1 2"),
              lambda f, m: measured(f, m[1], m[2])),
    ],
    "HC-K11": [Shell(r"(--sky) FOLDER", RUN, crowded_without_levels,
                     lambda f, m: f"{m[1]} {f.parent / 'levels'}")],
    "HC-P01": [Shell(r"(--psf-fwhm) (\w+)=0.18", f"{RUN} -b f850lp -b f160w --psf-fwhm f850lp=0.1",
                     strange, lambda _, m: f"{m[1]} {m[2]}=0.18")],
    "HC-P13": [Shell(r"(--allow \w+)", f"{RUN} --psf PSF", strange_psf_file, told=True)],
    "HC-D01": [Shell(r"(--onto \w+)", RUN, smaller_band)],
    "HC-D02": [Shell(r"(--onto \w+)", RUN, moved_band)],
    "HC-P36": [
        Shell(r"(--psf \w+=)FILE", f"{RUN} --psf f435w=PSF --psf f850lp=PSF", psf_file_alone,
              lambda f, m: f"{m[1]}{f / 'psf.fits'}")
    ],
    "HC-P34": [
        Shell(say, f"{RUN} --psf PSF", crossed_psf_file, told="allow" in say)
        for say in (r"(--to [\d.]+arcsec)", r"(--allow \w+)")
    ],
    "HC-P12": [Shell(r"(--psf) psf\.fits", RUN, psf_file, lambda f, m: f"{m[1]} {f / 'psf.fits'}")],
    "HC-P20": [
        Shell(r"that was made with (--psf) FILE", "phot FOLDER -f 1 -o OUT.ecsv --total", psf_file,
              lambda f, m: f"{RUN} {m[1]} {f / 'psf.fits'}", instead=True)
    ],
    "HC-O04": [Shell(r"(--overwrite)", f"{RUN} --no-mask", run)],
    "HC-O06": [Shell(r"(-o)", "run FOLDER --no-netcdf -o FOLDER/out", instead=True,
                     add=lambda _, m: f"run FOLDER --no-netcdf {m[1]} OUT")],
    "HC-O09": [Shell(r"(-o)", RUN, foreign_record, instead=True,
                     add=lambda _, m: f"run FOLDER --no-netcdf {m[1]} OUT/other")],
    "HC-E02": [Shell(r"(--curve) (\w+)=FILE", "export CUBE --code eazy -o OUT", odd_cube,
                     lambda f, m: f"{m[1]} {m[2]}={curve(f)}")],
    "HC-W20": [Shell(r"(--align apply)", f"{RUN} --scale mixed {WIDTHS}", shifted_scales)],
    "HC-N13": [Shell(r"(--poisson auto)", f"{RUN} --poisson none", with_times,
                     lambda _, m: f"{RUN} --overwrite {m[1]}", instead=True)],
    "HC-N21": [
        Shell(r"(--poisson) SECONDS", f"check FOLDER {ALL}", strange_but_wide,
              lambda _, m: f"{m[1]} 1200"),
        Shell(r"(--poisson none)", f"check FOLDER {ALL}", strange_but_wide),
        Shell(r"(exposure) in a field file", f"check FOLDER {ALL}", strange_but_wide, instead=True,
              add=lambda f, m: f"check {field_file(f, f'{m[1]} = 1200')} {ALL}"),
    ],
    "HC-S07": [Shell(r"(--ids) FIELD=ID", RUN, other_object, lambda _, m: f"{m[1]} 1={OBJECT}")],
    "HC-P16": [
        Shell(r"then (--psf) psf\.fits", f"{RUN} --scale 80mas --psf xdf", coarser_stamps,
              lambda f, m: f"{RUN} --scale 80mas {m[1]} {f / 'psf80.fits'}", instead=True)
    ],
    "HC-O01": [Shell(r"(-o)", RUN, lambda f: (f.parent / "out").write_text(""), instead=True,
                     add=lambda _, m: f"run FOLDER --no-netcdf {m[1]} FOLDER/../other")],
    "HC-O07": [Shell(r"choose one with (-f)", RUN, fields_alike, lambda _, m: f"{m[1]} a")],
    "HC-R01": [Shell(r"without (--strict)", f"{RUN} --strict", instead=True, add=lambda *_: RUN)],
}  # fmt: skip
