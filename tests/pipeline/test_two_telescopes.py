"""One cube of HST and JWST, from files, by one command.

The scene is drawn by astropy's Sersic profiles, seen by two telescopes through the optics of
tests/telescope.py, in mixed units on pixels of 60 and 40 mas.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.modeling.models import Sersic2D
from scipy import ndimage, signal
from telescope import camera, optics

import hstcube

FINE, SIDE = 0.01, 6.0  # arcsec
SCALES = {"f606w": 0.06, "f160w": 0.06, "f150w": 0.04, "f444w": 0.04}
# uJy of a bulge and a disc: a red galaxy with a blue rim
FLUXES = {"f606w": (0.4, 2.0), "f150w": (2.0, 3.0), "f160w": (2.2, 3.1), "f444w": (5.0, 3.5)}
CAMERAS = {"f606w": ("ACS", "WFC"), "f160w": ("WFC3", "IR"), "f150w": ("NIRCAM", "NRCB1"),
           "f444w": ("NIRCAM", "NRCBLONG")}  # fmt: skip
PER_ELECTRON = {"f606w": 26.49, "f160w": 25.94}  # AB mag of one electron per second
NOISE = 2e-5  # uJy of a pixel
RA, DEC = 53.16, -27.79


def scene() -> list[np.ndarray]:
    """Return bulge and disc on fine pixels, unit sums."""
    n = round(SIDE / FINE)
    y, x = (np.mgrid[:n, :n] - (n - 1) / 2) * FINE
    models = [
        Sersic2D(r_eff=0.15, n=2.0, ellip=0.1, theta=0.3),
        Sersic2D(r_eff=0.5, n=1.0, ellip=0.4, theta=0.8),
    ]
    images = [model(x, y) for model in models]
    return [image / image.sum() for image in images]


def boxes(band: str) -> tuple[float, float, float]:
    return (camera(band).pixel, camera(band).drop, SCALES[band])


def sampled(image: np.ndarray, scale: float) -> np.ndarray:
    """Return what is on the middles of pixels, as fluxes of these pixels."""
    n = round(SIDE / scale)
    places = ((np.arange(n) - (n - 1) / 2) * scale / FINE) + (len(image) - 1) / 2
    grid = np.meshgrid(places, places, indexing="ij")
    return ndimage.map_coordinates(image, grid, order=5) * (scale / FINE) ** 2


def seen(band: str, through: str, scale: float) -> np.ndarray:
    """Return the scene of a band [uJy] through the PSF of a band's image, on pixels of `scale`."""
    psf = optics(through, scale=FINE, size=391, boxes=boxes(through))
    total = sum(flux * one for flux, one in zip(FLUXES[band], scene(), strict=True))
    return sampled(signal.fftconvolve(total, psf / psf.sum(), mode="same"), scale)


def header(scale: float) -> fits.Header:
    n = round(SIDE / scale)
    return fits.Header(
        {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": RA, "CRVAL2": DEC,
            "CRPIX1": (n + 1) / 2, "CRPIX2": (n + 1) / 2, "CD1_1": -scale / 3600, "CD1_2": 0.0,
            "CD2_1": 0.0, "CD2_2": scale / 3600,
        }
    )  # fmt: skip


def per_unit(band: str) -> float:
    """Return the uJy of one unit of a band's file."""
    if band in PER_ELECTRON:
        return float(10 ** (-0.4 * (PER_ELECTRON[band] - 23.9)))
    return float(1e12 * (np.deg2rad(SCALES[band] / 3600)) ** 2)  # MJy/sr


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory):
    """Write the images, their PSFs, the map and the field file."""
    folder = tmp_path_factory.mktemp("both")
    rng = np.random.default_rng(3)
    lines = []
    for band, scale in SCALES.items():
        unit = per_unit(band)
        image = seen(band, band, scale)
        image = image + rng.normal(0, NOISE, image.shape)
        cards = header(scale)
        cards["INSTRUME"], cards["DETECTOR"] = CAMERAS[band]
        cards["FILTER"] = band.upper()
        cards["BUNIT"] = "ELECTRONS/S" if band in PER_ELECTRON else "MJy/sr"
        if band in PER_ELECTRON:
            cards["ZEROPNT"] = PER_ELECTRON[band]
        fits.writeto(folder / f"{band}_sci.fits", (image / unit).astype("f4"), cards)
        weights = np.full(image.shape, (unit / NOISE) ** 2, "f4")
        fits.writeto(folder / f"{band}_wht.fits", weights, cards)
        psf = optics(band, scale=scale, size=2 * round(1.95 / scale) + 1, boxes=boxes(band))
        card = fits.Header({"FILTER": band.upper(), "PIXSCALE": scale, "PSFENER": 1.0})
        fits.writeto(folder / f"{band}_psf.fits", psf / psf.sum(), card)
        lines += [f"[bands.{band}]", *(f'{k} = "{band}_{k}.fits"' for k in ("sci", "wht", "psf"))]
    shown = seen("f160w", "f160w", 0.06)
    labels = (shown > 1e-3).astype(np.int16)
    fits.writeto(folder / "map.fits", labels, header(0.06))
    lines += ["[labels]", 'path = "map.fits"']
    (folder / "both.toml").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.slow
def test_colours_are_right_to_one_percent(field, call, tmp_path):
    out = tmp_path / "out"
    done = call("run", field / "both.toml", "-o", out, "--onto", "f160w", "--units", "uJy")
    assert done.code == 0, done.err
    cube = hstcube.open_cube(out / "both.nc")
    assert cube.band.values.tolist() == ["f606w", "f150w", "f160w", "f444w"]
    assert set(cube.matched_to.values) == {"f160w"}
    record = json.loads((out / "run.json").read_text())["targets"]["both"]
    assert record["options"]["to"] == "f160w"
    assert any("HC-P35" in note for note in record["notes"])
    grid = hstcube.Grid.of(cube)
    y, x = np.indices(grid.shape) - (grid.shape[0] - 1) / 2
    radius = np.hypot(y, x) * grid.scale
    groups = {
        "object": cube.mask.sel(band="f160w").values,
        "core": radius < 0.2,
        "rim": (radius > 0.6) & (radius < 0.9),
    }
    for name, keep in groups.items():
        colours = {}
        for band in SCALES:
            # the truth: every band through the PSF of F160W
            truth = seen(band, "f160w", 0.06)[keep].sum()
            colours[band] = cube.sci.sel(band=band).values[keep].sum() / truth
        for band, ratio in colours.items():
            assert ratio / colours["f160w"] == pytest.approx(1, abs=0.01), (name, band)
            assert ratio == pytest.approx(1, abs=0.01), (name, band)


def test_check_says_what_the_run_will_match_and_names_the_grids_without_onto(field, call):
    checked = call("check", field / "both.toml", "--onto", "f160w", "--units", "uJy")
    assert checked.code == 0, checked.out
    assert "note: HC-P35 matched to f160w, FWHM 0.1" in checked.out  # not of any survey
    refused = call("check", field / "both.toml", "--units", "uJy")
    assert refused.code == 3
    assert "--onto" in refused.out


def test_without_matching_the_core_is_wrong_by_far_more():
    """The test can fail: the bands differ as the telescopes do."""
    y, x = np.indices((100, 100)) - 49.5
    core = np.hypot(y, x) * 0.06 < 0.2
    raw = seen("f606w", "f606w", 0.06)[core].sum() / seen("f606w", "f160w", 0.06)[core].sum()
    assert raw > 1.2
