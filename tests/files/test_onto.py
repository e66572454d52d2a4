"""Bands that lie on several pixel grids, in one step."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from stamps import BANDS, label_map, rewrite, stamp, write_field

import hstcube
from hstcube import open_bands, open_field
from hstcube.core.grids import Grid
from hstcube.errors import FileError, GridError


def crop(folder, band, rows, columns):
    """Leave so many rows and columns at the edges of a band's images out: the same grid."""
    for kind in ("sci", "wht"):
        path = stamp(folder, band, kind)
        with fits.open(path) as hdus:
            (y0, y1), (x0, x1) = rows, columns
            header = hdus[0].header
            data = hdus[0].data[y0 : len(hdus[0].data) - y1, x0 : hdus[0].data.shape[1] - x1]
        header["CRPIX1"] -= x0
        header["CRPIX2"] -= y0
        fits.writeto(path, data, header, overwrite=True)


@pytest.fixture
def field(tmp_path):
    return write_field(tmp_path / "field")


def test_a_band_that_was_cut_smaller_keeps_its_pixels_and_has_no_data_beyond(field):
    whole = open_field(field, "1")
    crop(field, "f850lp", (3, 2), (4, 1))
    with pytest.raises(GridError) as caught:
        open_field(field, "1")
    assert caught.value.code == "HC-D01"
    assert "onto='f435w'" in caught.value.fix
    assert "cutout" in caught.value.fix
    with pytest.warns(hstcube.HstCubeWarning, match="HC-W16"):
        cube = open_field(field, "1", onto="f160w")
    assert Grid.of(cube) == Grid.of(whole)
    for band in ("f435w", "f160w"):
        xr.testing.assert_equal(cube.sci.sel(band=band), whole.sci.sel(band=band))
    inner = {"y": slice(3, -2), "x": slice(4, -1)}
    f850lp = cube.sel(band="f850lp")
    np.testing.assert_array_equal(f850lp.sci[inner], whole.sci.sel(band="f850lp")[inner])
    np.testing.assert_array_equal(f850lp.wht[inner], whole.wht.sel(band="f850lp")[inner])
    assert (f850lp.wht > 0).sum() == f850lp.wht[inner].size
    smaller = open_field(field, "1", onto="F850LP")
    assert smaller.sizes["y"] == whole.sizes["y"] - 5
    np.testing.assert_array_equal(smaller.sci.sel(band="f160w"), whole.sci.sel(band="f160w")[inner])


def test_a_part_of_a_pixel_is_regridded_with_flux_and_place_kept(field):
    whole = open_field(field, "1")
    for kind in ("sci", "wht"):
        path = stamp(field, "f850lp", kind)
        rewrite(path, cards={"CRPIX2": fits.getval(path, "CRPIX2") - 0.5})
    cube = open_field(field, "1", onto="f160w")
    # the image lies half a pixel higher on the sky: each new pixel is the mean of two old ones
    old, new = (one.sci.sel(band="f850lp").values.astype(float) for one in (whole, cube))
    np.testing.assert_allclose(new[1:-1], (old[1:-1] + old[:-2]) / 2, rtol=1e-4, atol=1e-6)


def test_the_grid_of_a_band_that_is_not_asked_for_will_do(field):
    crop(field, "f160w", (5, 5), (5, 5))
    cube = open_field(field, "1", bands=["f435w"], onto="f160w")
    assert cube.band.values.tolist() == ["f435w"]
    assert cube.sizes["y"] == open_field(field, "1", bands=["f160w"]).sizes["y"]


def test_a_grid_is_named_by_its_scale_even_where_file_names_say_none(tmp_path):
    fine = write_field(tmp_path / "fine", scale="30mas", shape=(80, 88))
    coarse = write_field(tmp_path / "coarse")
    files = {
        "f435w": (stamp(fine, "f435w", scale="30mas"), stamp(fine, "f435w", "wht", scale="30mas")),
        "f160w": (stamp(coarse, "f160w"), stamp(coarse, "f160w", "wht")),
    }
    for onto, scale in {"60mas": 0.06, "30mas": 0.03, "f435w": 0.03}.items():
        cube = open_bands(files, field="x", onto=onto)
        assert Grid.of(cube).scale == pytest.approx(scale, rel=1e-4)
    with pytest.raises(FileError, match="image at '40mas'") as caught:
        open_bands(files, field="x", onto="40mas")
    assert "f435w" in caught.value.fix


def test_a_field_of_one_grid_stays_as_it_is(field):
    plain = open_field(field, "1")
    for onto in ("f160w", "60mas"):
        xr.testing.assert_identical(open_field(field, "1", onto=onto), plain)
    with pytest.raises(FileError):
        open_field(field, "1", onto="30mas")


def test_the_command_line_does_it_in_one_step(field, call, tmp_path):
    crop(field, "f850lp", (3, 2), (4, 1))
    refused = call("run", field, "-o", tmp_path / "out", "--labels", label_map(field))
    assert refused.code == 3
    assert "--onto f435w" in refused.err
    done = call(
        "run", field, "-o", tmp_path / "out", "--labels", label_map(field), "--onto", "f160w"
    )
    assert done.code == 0, done.err
    cube = hstcube.open_cube(tmp_path / "out" / "1.nc")
    assert cube.band.values.tolist() == list(BANDS)


def test_sky_levels_belong_to_the_pixels_of_their_own_images(tmp_path, call):
    fine = write_field(tmp_path / "fine", scale="30mas", shape=(80, 88))
    coarse = write_field(tmp_path / "coarse")
    level = {"f435w": 1e-4, "f160w": 4e-4}  # of a pixel of 30, and of 60 mas
    lines = []
    for band, (folder, scale) in {"f435w": (fine, "30mas"), "f160w": (coarse, "60mas")}.items():
        lines.append(f"[bands.{band}]")
        images = {kind: stamp(folder, band, kind, scale=scale) for kind in ("sci", "wht")}
        lines += [f'{kind} = "{path}"' for kind, path in images.items()]
        lines.append(f"psf_fwhm = {0.1 if band == 'f435w' else 0.2}")
        lines.append(f"sky = {level[band]}")
    lines += ["[labels]", f'path = "{label_map(coarse)}"']
    (tmp_path / "both.toml").write_text("\n".join(lines))
    wanted = {"60mas": {"f435w": 4e-4, "f160w": 4e-4}, "30mas": {"f435w": 1e-4, "f160w": 1e-4},
              "labels": {"f435w": 1e-4, "f160w": 1e-4}}  # fmt: skip
    for onto, levels in wanted.items():
        out = tmp_path / onto
        done = call("run", tmp_path / "both.toml", "-o", out, "--onto", onto)
        assert done.code == 0, done.err
        cube = hstcube.open_cube(out / "both.nc")
        step = Grid.of(cube).scale
        for band, one in levels.items():
            own = 0.03 if band == "f435w" else 0.06
            assert cube.sky.sel(band=band).item() == pytest.approx(
                level[band] * (step / own) ** 2, rel=1e-4
            )
            if onto != "labels":
                assert cube.sky.sel(band=band).item() == pytest.approx(one, rel=1e-3)


def shifted(folder, band, *, scale="60mas", **pixels):
    """Move the grid of a band's images by parts of pixels."""
    for kind in ("sci", "wht"):
        path = stamp(folder, band, kind, scale=scale)
        rewrite(path, cards={key: fits.getval(path, key) + by for key, by in pixels.items()})


@pytest.mark.parametrize(
    "moved", [{"CRPIX1": 0.5}, {"CRPIX2": 0.5}, {"CRPIX1": 0.3, "CRPIX2": -0.2}]
)
def test_a_cube_with_psfs_is_matched_after_a_shift_along_any_axis(field, moved):
    shifted(field, "f435w", **moved)
    cube = open_field(field, "1", psf="xdf", onto="f160w")
    assert cube.sizes["ky"] == cube.sizes["kx"]
    matched = hstcube.psf_match(cube, to="f160w")
    assert (hstcube.psf_quality(matched).verdict == "good").all()


def test_bands_of_one_scale_on_several_grids_are_joined_in_mixed_scales_too(tmp_path):
    folder = write_field(tmp_path / "field", bands=("f606w",), shape=(80, 88), scale="30mas")
    write_field(folder, bands=("f105w", "f160w"))
    shifted(folder, "f105w", CRPIX1=0.4)
    with pytest.raises(GridError) as caught:
        open_field(folder, "1", scale="mixed")
    assert caught.value.code == "HC-D02"
    cube = open_field(folder, "1", scale="mixed", onto="60mas")
    assert cube.band.values.tolist() == ["f606w", "f105w", "f160w"]


def test_products_lie_on_one_grid_and_keep_their_psfs(field, tmp_path):
    cube = open_field(field, "1", psf="xdf")
    hstcube.to_fits(cube, tmp_path / "out")
    grid = hstcube.Grid.of(cube).coarsen(2)
    assert Grid.of(open_field(tmp_path / "out", "1", onto=grid)) == grid
    for onto in ("f160w", "60mas"):
        xr.testing.assert_equal(open_field(tmp_path / "out", "1", onto=onto).sci, cube.sci)
    with pytest.raises(FileError):
        open_field(tmp_path / "out", "1", onto="30mas")
    for psf in ({"psf": "xdf"}, {"psf_fwhm": {"f160w": 0.2}}, {"psf": {"f160w": "a.fits"}}):
        with pytest.raises(hstcube.HstCubeError) as caught:
            open_field(tmp_path / "out", "1", **psf)
        assert caught.value.code == "HC-P09"
