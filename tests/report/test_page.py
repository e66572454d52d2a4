"""A report tells what is bad, holds the numbers of the cube, and what files say stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import warnings
import zlib
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.table import Table
from made import code_of
from reported import BAD, BANDS, good, parts
from strategies import plain_grid

import hstcube
from hstcube.report.facts import Band, Given, edge_of, facts_of
from hstcube.report.pixels import colour_image, pack_cube, png, shown_part, thumbnail
from hstcube.report.verdict import answers, headline, noise_is_off

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\" onload='x' {{70*70}}"


def faults(cube: xr.Dataset, labels: xr.DataArray | None) -> list[str]:
    facts = facts_of(Given(cube, labels=labels), edge_of(cube, labels))
    return [one.fault for one in answers(facts) if one.state == "bad"]


def written(cube: xr.Dataset, folder: Path, **how: Any) -> tuple[str, Any, Any]:
    """Return the page, its numbers, and what its script is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page, numbers, _ = hstcube.write_report(cube, folder / "field.html", **how)
    text = page.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return text, json.loads(numbers.read_text()), json.loads(data.group(1))


def unpacked(part: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    """Return an array as the page's script reads it."""
    kind = {"float": "<f4", "whole": "<u4", "asinh": "<i2", "log": "<i2"}[part["kind"]]
    octets = np.frombuffer(zlib.decompress(base64.b64decode(part["data"])), np.uint8)
    values = octets.reshape(np.dtype(kind).itemsize, -1).T.copy().view(kind).reshape(shape)
    if part["kind"] in ("float", "whole"):
        return values
    grow = np.sinh if part["kind"] == "asinh" else np.exp
    known = np.where(values == -32768, np.nan, values * part["step"])
    return grow(known) * np.array(part["noise"])[:, None, None]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(text)
    return parser.tags


def test_a_field_that_is_good_is_told_to_be_good() -> None:
    cube, labels = good()
    facts = facts_of(Given(cube, labels=labels), edge_of(cube, labels))
    assert [one.state for one in answers(facts)] == ["good"] * 6
    assert headline(answers(facts)) == ("good", "Good in all 6 respects.")


@pytest.mark.parametrize(
    ("ratio", "error", "off"),
    [(1.18, 0.05, False), (1.18, 0.02, True), (0.8, 0.04, True), (0.8, 0.06, False)],
)
def test_errors_are_off_where_chance_does_not_explain_it(ratio: float, error: float, off: bool):
    band = Band("f160w", 15369.0, noise=ratio, noise_error=error)
    assert noise_is_off(band) is off
    assert not noise_is_off(Band("f160w", 15369.0))


@pytest.mark.slow
@pytest.mark.parametrize("fault", BAD)
def test_each_fault_is_told_of_the_field_that_has_it_and_no_other(fault: str) -> None:
    cube, labels = good()
    assert faults(BAD[fault](cube), labels) == [fault]


def test_a_cube_that_was_not_matched_and_has_no_psf_is_bad() -> None:
    observed, labels = parts()
    bare = observed.drop_vars(["psf", "ky", "kx"])
    found = faults(hstcube.mask(bare, labels == 1), labels)
    assert found[:2] == ["not matched", "PSF unverified"]


def test_the_mask_beside_what_the_map_does_not_cover_is_told() -> None:
    cube, labels = good()
    assert "mask at the edge" in faults(cube, labels.where(labels.x > 45, -1).astype("int32"))


def test_what_cannot_be_measured_is_not_called_good() -> None:
    cube, labels = good()
    facts = facts_of(Given(cube, labels=labels * 0 + 1), edge_of(cube, None))
    told = {one.question: one.state for one in answers(facts)}
    assert told["Is the sky off?"] == told["Are the errors right?"] == "unknown"
    assert headline(answers(facts))[1] == "Good in the 4 respects of 6 that could be checked."


def test_the_page_holds_the_pixels_of_the_cube_bit_for_bit(tmp_path: Path) -> None:
    cube, labels = good()
    _, _, data = written(cube, tmp_path, labels=labels, before=parts()[0])
    flux = hstcube.to_flux(cube, "nJy")
    shape = cube.sci.shape
    assert np.array_equal(unpacked(data["arrays"]["flux"], shape), flux.sci.values)
    errors = np.sqrt(hstcube.variance(flux).values).astype(np.float32)
    assert np.array_equal(unpacked(data["arrays"]["error"], shape), errors)
    observed = hstcube.to_flux(parts()[0], "nJy").sci.values
    assert np.array_equal(unpacked(data["arrays"]["before"], shape), observed)
    inside = unpacked(data["arrays"]["mask"], shape[1:])
    assert np.array_equal(inside == 1, cube.mask.any("band").values)


def test_the_page_holds_the_fluxes_of_the_bins_and_the_model_of_a_fit(tmp_path: Path) -> None:
    cube, labels = good()
    bins = hstcube.bin_pixels(cube, snr=60) * 10  # numbers with gaps
    table = hstcube.photometry(hstcube.to_flux(cube, "nJy"), bins)
    ids = np.asarray(table["id"])[::-1]  # in another order
    fit = Table({"id": ids, "z_phot": ids / 100.0, "model_f160w": ids * 1.0})
    _, _, data = written(cube, tmp_path, labels=labels, groups=bins, fit=fit)
    told = data["groups"]
    numbers = unpacked(data["arrays"]["groups"], bins.shape)
    assert np.array_equal(np.array([0, *told["id"]])[numbers], bins.values)
    for kind in ("flux", "error"):
        measured = np.stack([table[f"{kind}_{band}"].to_value("nJy") for band in BANDS])
        kept = unpacked(data["arrays"][f"group_{kind}"], measured.shape)
        assert np.array_equal(kept, measured.astype(np.float32))
    assert told["model"][3] == pytest.approx([1000 * one for one in told["id"]])  # uJy
    assert told["model"][0] == [None] * len(told["id"])
    assert told["said"][0] == f"z_phot {told['id'][0] / 100:.4g}"


def test_a_fit_of_other_groups_is_refused(tmp_path: Path) -> None:
    cube, labels = good()
    fit = Table({"id": [7000], "mass": [1.0]})
    page = tmp_path / "field.html"
    assert code_of(lambda: hstcube.write_report(cube, page, fit=fit)) == "HC-E08"
    assert code_of(lambda: hstcube.write_report(cube, page, fit=fit, groups=labels)) == "HC-E08"
    assert not page.exists()


@pytest.mark.parametrize("brightest", [1e2, 1e7])
def test_many_pixels_are_kept_in_steps_and_the_loss_is_told(brightest: float) -> None:
    rng = np.random.default_rng(2)
    flux = (brightest ** rng.uniform(0, 1, (2, 400, 400))).astype(np.float32)
    flux[0, 3, 4] = np.nan
    error = rng.uniform(0.5, 2, flux.shape).astype(np.float32)
    packed = pack_cube(flux, error, None)
    kept = unpacked(packed.arrays["flux"], flux.shape)
    off = np.abs(kept - flux) / error
    assert np.nanmax(off) == pytest.approx(packed.loss)
    assert np.isnan(kept[0, 3, 4])
    assert np.nanmax(np.abs(kept / flux - 1)) < 1e-3
    assert np.abs(unpacked(packed.arrays["error"], flux.shape) / error - 1).max() < 3e-4


def test_of_a_mosaic_the_part_around_the_mask_is_shown() -> None:
    cube, _ = good()
    wide = cube.pad(y=(600, 900), x=(20, 0), constant_values=0).assign_coords(
        plain_grid((1620, 140)).coords()
    )
    part = wide.isel(shown_part(wide.assign(mask=wide.mask.astype(bool))))
    assert part.sizes["y"] == 600  # 4 bands of 600 x 600 are 9 of 400 x 400
    assert part.sizes["x"] == 140
    assert part.mask.values.sum() == cube.mask.values.sum()


def test_the_numbers_beside_the_page_are_those_on_it(tmp_path: Path) -> None:
    cube, labels = good()
    text, told, _ = written(cube, tmp_path, labels=labels, before=parts()[0])
    assert told["verdict"] == "good"
    assert told["headline"] in text
    table = hstcube.photometry(hstcube.to_flux(cube, "nJy"), cube.mask.any("band").astype(int))
    for band in told["bands"]:
        assert band["flux"] == table[f"flux_{band['name']}"][0].to_value("nJy")
        for shown in (f"{band['depth']:.2f}", f"{band['noise']:.2f}", f"{band['flux'] / 1e3:.4g}"):
            assert shown in text
    # 5 sigma of the 29 white pixels of an aperture, by their number and the factor of matching
    sigma = 10 ** ((31.4 - told["bands"][0]["depth"]) / 2.5) / 5
    white = 0.05 * np.sqrt(29) * 10 ** ((31.4 - 25) / 2.5)
    assert sigma == pytest.approx(white, rel=0.1)


def test_what_files_say_stays_text(tmp_path: Path) -> None:
    cube, labels = good()
    said = cube.assign_attrs(
        title=HOSTILE, field=HOSTILE, survey=HOSTILE, history=HOSTILE, warnings=HOSTILE
    )
    record = {"inputs": {HOSTILE: HOSTILE}, "versions": {HOSTILE: HOSTILE}, "command": HOSTILE,
              "options": {HOSTILE: HOSTILE}}  # fmt: skip
    text, _, data = written(said, tmp_path, labels=labels, record=record, notes=[HOSTILE])
    tags = tags_of(text)
    assert sum(tag == "script" for tag, _ in tags) == 2
    assert [attrs.get("src", "")[:10] for tag, attrs in tags if tag == "img"] == ["data:image"]
    assert not any(name.startswith("on") for _, attrs in tags for name in attrs)
    assert "4900" not in text
    assert data["bands"] == list(BANDS)
    assert "<" not in re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1)


def test_the_page_loads_nothing_and_runs_one_script(tmp_path: Path) -> None:
    cube, labels = good()
    text, _, _ = written(cube, tmp_path, labels=labels)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text).group(1)
    policy = policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    for kind, code in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_every_picture_has_a_text(tmp_path: Path) -> None:
    cube, labels = good()
    text, _, _ = written(cube, tmp_path, labels=labels, before=parts()[0])
    for tag, attrs in tags_of(text):
        if tag == "img":
            assert attrs["alt"]
        if tag == "canvas" or (tag == "svg" and "x" not in attrs):
            assert attrs.get("aria-label") or attrs.get("aria-hidden"), attrs


def test_a_page_that_is_there_is_kept(tmp_path: Path) -> None:
    cube, labels = good()
    (tmp_path / "field.qa.json").write_text("mine")
    page = tmp_path / "field.html"
    assert code_of(lambda: hstcube.write_report(cube, page, labels=labels)) == "HC-O04"
    assert [path.name for path in tmp_path.iterdir()] == ["field.qa.json"]


def test_images_of_another_grid_are_refused(tmp_path: Path) -> None:
    cube, _ = good()
    before = parts()[0].isel(x=slice(1, None))
    page = tmp_path / "field.html"
    assert code_of(lambda: hstcube.write_report(cube, page, before=before)) == "HC-D02"


def _holed(cube: xr.Dataset) -> xr.Dataset:
    keep = ~((cube.x > 55) & (cube.x < 60) & (cube.y > 40) & (cube.y < 60))
    holed = cube.assign(sci=cube.sci.where(keep), wht=cube.wht.where(keep, 0))
    return holed.assign(mask=cube.mask & keep)


def _without_a_band(cube: xr.Dataset) -> xr.Dataset:
    there = cube.band != "f814w"
    bare = cube.assign(sci=cube.sci.where(there), wht=cube.wht.where(there, 0))
    return bare.assign(mask=cube.mask & there)


ODD = {
    "of one band": lambda cube: cube.isel(band=[3]),
    "cut": lambda cube: cube.isel(y=slice(20, 70), x=slice(33, 90)),
    "tiny": lambda cube: cube.isel(y=slice(58, 63), x=slice(60, 65)),
    "flipped": lambda cube: cube.isel(x=slice(None, None, -1)),
    "in blocks": lambda cube: cube.chunk(y=40, x=40),
    "with an empty mask": lambda cube: hstcube.mask(cube, cube.mask.any("band") & False),
    "without a mask": lambda cube: hstcube.mask(cube, cube.mask.any("band") | True),
    "with a hole": _holed,
    "with a band without data": _without_a_band,
    "without PSFs": lambda cube: cube.drop_vars(["psf", "ky", "kx"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ODD)
def test_every_cube_has_a_page(kind: str, tmp_path: Path) -> None:
    cube, labels = good()
    text, told, data = written(ODD[kind](cube), tmp_path, labels=labels)
    assert told["headline"] in text
    assert data["bands"] == [band["name"] for band in told["bands"]]


def test_little_that_could_be_checked_is_no_verdict() -> None:
    cube, _ = good()
    tiny = ODD["tiny"](cube)
    state, said = headline(answers(facts_of(Given(tiny), edge_of(tiny, None))))
    assert (state, said) == ("unknown", "Not known: 2 of 6 respects could be checked.")


def test_an_empty_mask_is_bad() -> None:
    cube, labels = good()
    assert faults(ODD["with an empty mask"](cube), labels) == ["mask empty"]


def test_a_cube_without_zero_points_is_shown_in_its_own_unit(tmp_path: Path) -> None:
    cube, labels = good()
    bare = cube.assign_coords(zeropoint=("band", [np.nan] * 4))
    text, told, data = written(bare, tmp_path, labels=labels)
    assert told["unit"] == data["unit"] == "electron s-1"
    assert told["bands"][0]["depth"] is None
    assert "flux in the mask <span>[electron s-1]" in text
    assert np.array_equal(unpacked(data["arrays"]["flux"], cube.sci.shape), cube.sci.values)


def test_the_picture_shows_a_white_object_on_black_and_the_red_band_as_red() -> None:
    inside = np.zeros((40, 50), bool)
    inside[10:20, 10:20] = True
    flux = np.random.default_rng(1).normal(0, 1, (3, 40, 50))
    flux[:, inside] += np.array([100.0, 300.0, 900.0])[:, None]
    flux[2, 30:34, 30:34] += 900  # in the reddest band alone
    image = colour_image(flux, np.ones_like(flux), inside, [4000.0, 8000.0, 16000.0])
    white = image[inside].mean(axis=0)
    assert white.min() > 200
    assert np.ptp(white) < 6
    red = image[30:34, 30:34].mean(axis=(0, 1))
    assert red[0] > 150
    assert red[1:].max() < 60
    assert image[0:8].mean() < 60


def test_pictures_are_png_with_their_first_row_below(tmp_path: Path) -> None:
    from matplotlib.image import imread

    image = np.random.default_rng(3).integers(0, 255, (7, 12, 3)).astype(np.uint8)
    path = tmp_path / "image.png"
    path.write_bytes(png(image))
    assert np.array_equal((imread(path) * 255).round().astype(np.uint8), image[::-1])
    assert thumbnail(np.zeros((300, 200, 3), np.uint8)).shape == (75, 50, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "f606w"),
        (2, "f814w, f606w as red, blue"),
        (4, "f160w, f814w, f606w as red, green, blue"),
    ],
)
def test_a_page_says_which_bands_its_colours_are(number: int, said: str, tmp_path: Path) -> None:
    page, *_ = written(good()[0].isel(band=slice(number)), tmp_path)
    assert f">{said}; orange: the mask<" in page
    assert (f"{number} bands," in page) == (number > 1)


def test_the_sky_of_a_slice_is_judged(tmp_path: Path) -> None:
    cube = good()[0].isel(y=slice(20, None), x=slice(None, None, -1))
    _, numbers, _ = written(cube, tmp_path)
    assert all(band["sky_left"] is not None for band in numbers["bands"])


def test_bad_noise_without_the_map_asks_for_the_map() -> None:
    cube = good()[0].assign(wht=good()[0].wht * 4)
    facts = facts_of(Given(cube), edge_of(cube, None))
    (answer,) = [one for one in answers(facts) if one.fault == "noise off"]
    assert "segmentation map" in answer.advice
