"""Fields whose bands come at several pixel scales: one cube, on one grid, with levels of their own scale."""  # noqa: E501

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from stamps import ALL_BANDS, SKY, label_map, rewrite, sky_file, stamp, write_field

import hstcube
from hstcube import (
    Grid,
    HstCubeError,
    HstCubeWarning,
    homogenize,
    open_field,
    open_labels,
    psf_match,
    regrid,
)
from hstcube.files.levels import read_levels
from hstcube.surveys.names import find_field, list_fields

FINE = ("f606w", "f850lp")
COARSE = ("f606w", "f850lp", "f160w")

pytestmark = pytest.mark.filterwarnings("ignore:.*HC-(W16|W20|B04):hstcube.HstCubeWarning")


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    write_field(folder, scale="60mas", bands=COARSE, shape=(40, 44))
    write_field(folder, scale="30mas", bands=FINE, shape=(80, 88), sky=False, labels=False)
    return folder


@pytest.fixture
def shifted(field, tmp_path):
    """Return the same field, the 30 mas images moved by a quarter of a 60 mas pixel against their headers."""  # noqa: E501
    write_field(tmp_path, scale="60mas", bands=COARSE, shape=(40, 44))
    write_field(tmp_path, scale="30mas", bands=FINE, shape=(80, 88), sky=False, labels=False)
    for band in FINE:
        for kind in ("sci", "wht"):
            path = stamp(tmp_path, band, kind, scale="30mas")
            card = open_field(field, "1", scale="30mas").wcs.attrs["CRPIX1"]
            rewrite(path, cards={"CRPIX1": card + 0.5})
    return tmp_path


def sum_over(cube, band):
    return float(np.nansum(cube.sel(band=band).sci.values.astype(float)))


def test_each_band_is_taken_at_its_finest_scale(field):
    files = find_field(field, "1", scale="mixed")
    assert [files.bands[band].sci[0].name.split("_")[1] for band in COARSE] == [
        "30mas",
        "30mas",
        "60mas",
    ]
    assert [part.scale for part in files.parts] == ["30mas", "60mas"]
    assert [found.scale for found in list_fields(field, scale="mixed")] == ["mixed"]
    assert all(band.sky is not None for band in files.bands.values())
    assert files.labels is not None


def test_a_mixed_field_becomes_one_cube_on_the_coarsest_grid(field):
    cube = open_field(field, "1", scale="mixed")
    coarse = open_field(field, "1")
    fine = open_field(field, "1", scale="30mas")
    assert Grid.of(cube) == Grid.of(coarse)
    assert cube.band.values.tolist() == list(COARSE)
    np.testing.assert_array_equal(
        cube.sel(band="f160w").sci.values, coarse.sel(band="f160w").sci.values
    )
    blocks = fine.sel(band="f606w").sci.values.astype(float).reshape(40, 2, 44, 2).sum((1, 3))
    np.testing.assert_allclose(cube.sel(band="f606w").sci.values, blocks, atol=1e-6)
    assert float(cube.sel(band="f606w").psf_fwhm) > float(fine.sel(band="f606w").psf_fwhm)
    assert "regrid(40x44 pixels of 0.06 arcsec" in cube.attrs["history"]


def test_a_mixed_field_goes_to_any_grid(field):
    fine = open_field(field, "1", scale="mixed", onto="30mas")
    assert Grid.of(fine) == Grid.of(open_field(field, "1", scale="30mas"))
    assert sum_over(fine, "f160w") == pytest.approx(
        sum_over(open_field(field, "1"), "f160w"), rel=1e-3
    )
    middle = Grid.of(fine).wcs.pixel_to_world(43.5, 39.5)
    grid = Grid.around(middle, 1.8, 0.045, angle=20)
    for scale in ("mixed", "60mas"):
        assert Grid.of(open_field(field, "1", scale=scale, onto=grid)) == grid
    assert Grid.of(open_field(field, "1", onto="60mas")) == Grid.of(open_field(field, "1"))
    some = open_field(field, "1", scale="mixed", bands=["f160w", "606"], psf_fwhm={"f160w": 0.3})
    assert some.band.values.tolist() == ["f606w", "f160w"]
    assert float(some.sel(band="f160w").psf_fwhm) == 0.3


def test_mixed_fields_are_opened_later_too(field):
    lazy = open_field(field, "1", scale="mixed", chunks={})
    eager = open_field(field, "1", scale="mixed")
    assert lazy.sci.chunks
    np.testing.assert_array_equal(lazy.sci.values, eager.sci.values)


@pytest.mark.parametrize(
    ("how", "code"),
    [({"onto": "40mas"}, "HC-F01"), ({"align": "perhaps"}, "HC-B22"), ({"bands": ["f775w"]}, "HC-F01"),  # noqa: E501
     ({"scale": "60mas", "onto": "30mas"}, "HC-F01")],
)  # fmt: skip
def test_what_is_not_there_is_refused(field, how, code):
    with pytest.raises(HstCubeError, match=code):
        open_field(field, "1", **{"scale": "mixed", **how})


@pytest.mark.filterwarnings("always")
def test_scales_that_lie_apart_are_reported_and_moved_only_when_asked(field, shifted):
    with pytest.warns(
        HstCubeWarning, match="HC-W20 the images at 30mas lie elsewhere than those at 60mas"
    ):
        told = open_field(shifted, "1", scale="mixed")
    with warnings.catch_warnings():
        warnings.simplefilter("error", HstCubeWarning)
        warnings.filterwarnings("ignore", ".*HC-(B04|W16)")
        moved = open_field(shifted, "1", scale="mixed", align="apply")
    assert "HC-W20" in told.attrs["warnings"]
    assert "HC-W20" not in moved.attrs["warnings"]
    assert "apply_shifts(all bands: dy" in moved.attrs["history"]
    right = open_field(field, "1", scale="mixed")
    inside = (slice(None), slice(3, -3), slice(3, -3))
    gaps = [np.abs(cube.sci.values - right.sci.values)[inside][0].max() for cube in (moved, told)]
    assert gaps[0] < 0.4 * gaps[1]


def test_levels_are_converted_to_the_pixels_they_are_subtracted_from(field, tmp_path):
    files = find_field(field, "1", scale="mixed")
    plain = read_levels(files, COARSE, scale=0.06)
    finer = read_levels(files, COARSE, scale=0.06, to=0.03)
    for band in COARSE:
        assert plain[band][0] == pytest.approx(SKY[band])
        assert finer[band][0] == pytest.approx(SKY[band] / 4)
    write_field(tmp_path, bands=("f606w",))
    sky_file(tmp_path, "f606w").write_text(
        "# electron s-1 per pixel of 0.03 arcsec\n# standard error: 1e-6\n1e-4\n"
    )
    own = read_levels(find_field(tmp_path, "1"), ["f606w"], scale=0.06, to=0.06)
    assert own["f606w"] == pytest.approx((4e-4, 4e-6))


@pytest.mark.slow
@pytest.mark.parametrize(("options", "scale"), [
    (("--scale", "mixed"), 0.06), (("--scale", "mixed", "--onto", "30mas"), 0.03), (("--onto", "labels"), 0.03),  # noqa: E501
    (("--scale", "mixed", "--onto", "labels", "--align", "apply"), 0.03), (("--onto", "60mas"), 0.06),  # noqa: E501
])  # fmt: skip
def test_run_takes_mixed_scales_and_the_grid_of_the_map(call, field, tmp_path, options, scale):
    done = call("run", field, "-o", tmp_path, *options)
    assert done.code == 0, done.err
    cube = hstcube.open_cube(tmp_path / "1.nc")
    assert Grid.of(cube).scale == pytest.approx(scale, rel=1e-3)
    if "labels" in options:
        labels = open_labels(label_map(field))
        assert Grid.of(cube) == Grid.of(labels)
    record = json.loads((tmp_path / "run.json").read_text())["targets"]["1"]
    assert record["options"]["onto"] == (
        options[options.index("--onto") + 1] if "--onto" in options else None
    )
    for band in COARSE:
        area = (scale / 0.06) ** 2
        assert float(cube.sel(band=band).sky) == pytest.approx(SKY[band] * area, rel=0.01)
        assert abs(np.nanmedian(cube.sel(band=band).sci.values)) < 0.5 * SKY[band] * area


def test_onto_labels_needs_a_map(call, tmp_path):
    write_field(tmp_path / "in", labels=False)
    done = call(
        "run",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--onto",
        "labels",
        "--no-mask",
        "--sky",
        "none",
    )
    assert done.code == 3
    assert "HC-S16" in done.err


def test_check_tells_of_scales_and_bands_that_lie_apart(call, shifted):
    done = call("check", shifted, "--scale", "mixed")
    assert done.code == 0
    assert "HC-W20 the images at 30mas lie elsewhere" in done.out


def test_matched_at_30_mas_and_then_regridded_the_bands_have_one_resolution(tmp_path):
    folder = write_field(tmp_path, scale="30mas", bands=ALL_BANDS[:5], shape=(80, 88), sky=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        cube = open_field(
            folder,
            "1",
            scale="30mas",
            psf_fwhm=dict.fromkeys(ALL_BANDS[:5], 0.1) | {"f850lp": 0.14},
        )
    made = regrid(psf_match(cube, to="f850lp"), Grid.of(cube).coarsen(2), method="exact")
    assert set(made.matched_to.values) == {"f850lp"}
    assert np.ptp(made.psf_fwhm.values) == 0
    first = psf_match(made, to="f850lp")
    np.testing.assert_array_equal(
        first.sci.values, made.sci.values
    )  # it is done: matching again changes nothing


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("name", ["3", "15", "37"])
def test_mixed_cubes_have_the_colours_of_cubes_of_one_scale(xdf, name):
    labels = open_labels(find_field(xdf, name).labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        plain, mixed = (
            homogenize(open_field(xdf, name, scale=scale, align="apply"), labels=labels)
            for scale in ("60mas", "mixed")
        )
    fluxes = [cube.sci.where(cube.mask).sum(("y", "x")).values for cube in (plain, mixed)]
    colours = [flux / flux[-1] for flux in fluxes]
    np.testing.assert_allclose(colours[1], colours[0], rtol=0.01)  # issue 7
