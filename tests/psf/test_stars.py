"""PSFs from stars: against truth that is known, with all that spoils a star, and on the stars of the XDF."""  # noqa: E501

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from strategies import plain_grid, read_only, snapshot
from telescope import BANDS, SCALE, star, stars, telescope

from hstcube import (
    Grid,
    build,
    examine_stars,
    find_stars,
    fit_width,
    measure_psf,
    psf_match,
    star_stamps,
    star_table,
)
from hstcube.errors import PSFError
from hstcube.files.fields import open_stars
from hstcube.matching.solver import matching_kernel
from hstcube.psf.preparation import on_one_frame
from hstcube.psf.profiles import RADII, encircled_energy, radius_map

RADIUS = np.array(RADII) / SCALE  # pixels
FAR = np.array(RADII) >= 0.18


def growth(image):
    """Return the curve of growth, one at 1.2 arcsec."""
    grown = encircled_energy(np.asarray(image, dtype=float), RADIUS)
    return grown / grown[-1]


def gap(image, other):
    """Return the largest relative difference of encircled energies at 0.18 arcsec and beyond."""
    return abs(growth(image) / growth(other) - 1)[FAR].max()


def of(table, name, band):
    return str(table.verdict.sel(star=name, band=band).item()), str(
        table.reason.sel(star=name, band=band).item()
    )


@pytest.fixture(scope="module")
def good():
    return stars(np.random.default_rng(7), 4)


# -- the mean of good stars


def test_the_psf_of_good_stars_is_the_truth(good):
    psf = measure_psf(good)
    assert psf.dims == ("band", "ky", "kx")
    assert psf.shape == (4, 65, 65)
    np.testing.assert_allclose(psf.sum(("ky", "kx")), 1, atol=1e-6)
    np.testing.assert_allclose(psf.ky, (np.arange(65) - 32) * SCALE, atol=1e-12)
    assert psf.stars.values.tolist() == ["1 2 3 4"] * 4
    for band in BANDS:
        assert gap(psf.sel(band=band), telescope(band)) < 0.005, band
        seen = telescope(band, sharp=False)
        assert abs(growth(psf.sel(band=band)) / growth(seen) - 1).max() < 0.01, band
        if band in ("f105w", "f160w"):  # in ACS four stars do not show all places within a pixel
            misplaced = abs(psf.sel(band=band).values - seen)[radius_map(seen.shape) <= 20].sum()
            assert misplaced < 0.02, band


def test_good_stars_are_used(good):
    looked_at = examine_stars(good)
    assert (looked_at.verdict == "used").all()
    assert (looked_at.reason == "").all()
    table = star_table(looked_at)
    assert len(table) == 16
    assert str(table["core_width"].unit) == "arcsec"
    assert set(table["verdict"]) == {"used"}


def test_stars_go_in_untouched_and_their_order_does_not_matter(good):
    frozen = {name: read_only(cube) for name, cube in good.items()}
    before = {name: snapshot(cube) for name, cube in frozen.items()}
    psf = measure_psf(frozen)
    assert before == {name: snapshot(cube) for name, cube in frozen.items()}
    backwards = measure_psf(dict(reversed(frozen.items())))
    np.testing.assert_allclose(psf.values, backwards.values, atol=1e-8)


def test_a_larger_psf_can_be_asked_for(good):
    assert measure_psf(good, size=31).shape == (4, 31, 31)


def test_the_verdicts_can_be_changed(good):
    looked_at = examine_stars(good)
    looked_at.verdict.loc["3"] = "rejected"
    assert set(measure_psf(looked_at).stars.values.tolist()) == {"1 2 4"}


def test_one_star_and_one_band_are_enough(good):
    one = {"1": good["1"].sel(band=["f160w"])}
    assert gap(measure_psf(one).values[0], telescope("f160w")) < 0.01


def test_bright_stars_count_more_than_faint_ones():
    rng = np.random.default_rng(3)
    some = {
        "bright": star(rng, flux=1000),
        **{f"faint {i}": star(rng, flux=1, noise=1e-3) for i in range(3)},
    }
    psf = measure_psf(some)
    assert gap(psf.sel(band="f160w"), telescope("f160w")) < 0.01


# -- what spoils a star


def test_a_saturated_star_gives_its_wings_only(good):
    def saturate(band, sci, wht):
        if band == "f814w":
            np.minimum(sci, 0.45 * sci.max(), out=sci)

    several = good | {"5": star(np.random.default_rng(8), spoil=saturate, flux=5000.0)}
    looked_at = examine_stars(several)
    verdict, reason = of(looked_at, "5", "f814w")
    assert verdict == "wings only"
    assert "flattened core" in reason
    assert of(looked_at, "5", "f160w")[0] == "used"
    assert gap(measure_psf(looked_at).sel(band="f814w"), telescope("f814w")) < 0.005


def test_a_star_with_a_damaged_core_gives_its_wings_only(good):
    def damage(band, sci, wht):
        if band == "f105w":
            wht[35, 36] = 1e-3 * wht[35, 36]
            sci[35, 36] *= 0.5

    several = good | {"5": star(np.random.default_rng(8), spoil=damage)}
    looked_at = examine_stars(several)
    verdict, reason = of(looked_at, "5", "f105w")
    assert verdict == "wings only"
    assert "damaged core" in reason
    assert gap(measure_psf(looked_at).sel(band="f105w"), telescope("f105w")) < 0.005


@pytest.mark.slow
def test_a_core_without_data_is_kept_out(good):
    def hole(band, sci, wht):
        if band == "f160w":
            sci[34:37, 34:37], wht[34:37, 34:37] = np.nan, 0

    several = good | {"5": star(np.random.default_rng(8), spoil=hole)}
    assert of(examine_stars(several), "5", "f160w")[0] == "wings only"
    assert gap(measure_psf(several).sel(band="f160w"), telescope("f160w")) < 0.005


def test_an_extended_source_is_rejected_in_all_bands(good):
    from scipy import ndimage

    def extended(band, sci, wht):
        if band in ("f105w", "f160w"):
            sci[:] = 0.6 * sci + 0.4 * ndimage.gaussian_filter(sci, 5)

    looked_at = examine_stars(good | {"galaxy": star(np.random.default_rng(8), spoil=extended)})
    for band in BANDS:
        verdict, reason = of(looked_at, "galaxy", band)
        assert verdict == "rejected"
        assert reason.startswith("extended: in f105w, f160w")
    assert "galaxy" not in " ".join(measure_psf(looked_at).stars.values)


def test_faint_stars_are_rejected_or_give_their_cores_only(good):
    rng = np.random.default_rng(8)
    looked_at = examine_stars(
        good | {"faint": star(rng, flux=1.0), "fainter": star(rng, flux=0.03)}
    )
    verdict, reason = of(looked_at, "faint", "f160w")
    assert verdict == "core only"
    assert "signal to noise" in reason
    verdict, reason = of(looked_at, "fainter", "f160w")
    assert verdict == "rejected"
    assert "too faint" in reason


@pytest.mark.slow
@pytest.mark.parametrize("apart", [(6, 6), (-9, 3)])
@pytest.mark.parametrize("share", [0.02, 0.1])
def test_a_companion_star_is_taken_out(good, apart, share):
    def companion(band, sci, wht):
        y, x = np.array(apart) + 0.3
        whole, part = np.floor([y, x]).astype(int), np.array([y, x]) - np.floor([y, x])
        other = telescope(band, size=101, shift=tuple(part))
        sci += share * sci.sum() * other[15 - whole[0] :, 15 - whole[1] :][:71, :71]

    several = good | {"5": star(np.random.default_rng(8), spoil=companion)}
    looked_at = examine_stars(several)
    for band in BANDS:
        verdict, reason = of(looked_at, "5", band)
        assert verdict == "used", reason
        assert reason.endswith("taken out")
        assert gap(looked_at.image.sel(star="5", band=band), telescope(band)) < 0.01


def test_a_galaxy_beside_a_star_is_taken_out(good):
    y, x = np.indices((71, 71))

    def galaxy(band, sci, wht):
        sci += (
            0.03
            * sci.sum()
            * np.exp(-0.5 * (((y - 48) / 3) ** 2 + ((x - 45) / 2) ** 2))
            / (2 * np.pi * 6)
        )

    looked_at = examine_stars(good | {"5": star(np.random.default_rng(8), spoil=galaxy)})
    for band in BANDS:
        assert of(looked_at, "5", band) == ("used", "1 neighbour taken out")
        assert gap(looked_at.image.sel(star="5", band=band), telescope(band)) < 0.015


def test_a_level_of_sky_is_taken_out(good):
    def sky(band, sci, wht):
        sci += 0.05

    looked_at = examine_stars(good | {"5": star(np.random.default_rng(8), spoil=sky)})
    for band in BANDS:
        assert (
            gap(looked_at.image.sel(star="5", band=band), looked_at.image.sel(star="1", band=band))
            < 0.006
        )


# -- what cannot be


def refuses(code, do):
    with pytest.raises(PSFError) as caught:
        do()
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def test_no_stars_no_cores_and_no_common_bands_are_errors(good):
    refuses("HC-P10", lambda: measure_psf({}))
    looked_at = examine_stars(good)
    looked_at.verdict.loc[{"band": "f814w"}] = "wings only"
    error = refuses("HC-P10", lambda: measure_psf(looked_at))
    assert error.band == "f814w"
    fewer = {**good, "2": good["2"].isel(band=[0, 1])}
    refuses("HC-P11", lambda: examine_stars(fewer))
    finer = {**good, "2": star(np.random.default_rng(1), scale=0.03)}
    refuses("HC-P11", lambda: examine_stars(finer))


def test_stamps_that_are_not_there_are_errors(tmp_path, good):
    refuses("HC-P10", lambda: open_stars(tmp_path, scale="60mas"))


def test_a_width_needs_a_star_and_a_method():
    psf = telescope("f160w")
    refuses("HC-P06", lambda: fit_width(psf, method="best"))
    refuses("HC-P08", lambda: fit_width(psf * 0))
    refuses("HC-P08", lambda: fit_width(psf * np.nan))
    refuses("HC-P08", lambda: fit_width(psf, np.zeros(psf.shape)))


# -- widths


@pytest.mark.parametrize("sigma", [1.2, 2.0, 3.3])
def test_the_width_of_a_gaussian_is_its_width(sigma):
    y, x = np.indices((41, 43))
    gaussian = 5.0 * np.exp(-0.5 * ((y - 20.3) ** 2 + (x - 21.4) ** 2) / sigma**2) + 0.1
    assert fit_width(gaussian) == pytest.approx(sigma, rel=1e-6)
    assert fit_width(gaussian, radius_map(gaussian.shape, (20, 21)) < 9) == pytest.approx(
        sigma, rel=1e-6
    )
    # integrated over pixels, a sampled Gaussian is narrower by 1/12 of a pixel's variance
    assert fit_width(gaussian, method="core") == pytest.approx(np.sqrt(sigma**2 - 1 / 12), rel=0.01)
    assert fit_width(gaussian - 0.1, method="profile") == pytest.approx(sigma, rel=0.06)


# -- stars in a mosaic


@pytest.fixture(scope="module")
def mosaic():
    """Return a mosaic of six stars and eight galaxies, and where the stars are (y, x)."""
    rng = np.random.default_rng(11)
    side = 420
    places = np.array(
        [[80.3, 90.7], [85.3, 300.2], [210.1, 60.4], [230.6, 215.2], [330.2, 330.9], [340.0, 130.0]]
    )
    galaxies = np.array(
        [
            [150, 150],
            [40, 200],
            [150, 370],
            [300, 230],
            [380, 60],
            [270, 370],
            [390, 230],
            [140, 40],
        ]
    )
    y, x = np.indices((side, side))
    sci = rng.normal(0, 1e-3, (len(BANDS), side, side))
    for i, band in enumerate(BANDS):
        for flux, place in zip((400, 300, 250, 200, 150, 100), places, strict=True):
            row, column = np.floor(place).astype(int)
            image = telescope(band, size=121, shift=tuple(place - [row, column]))
            sci[i, row - 60 : row + 61, column - 60 : column + 61] += flux * image
        for flux, place in zip((900, 500, 300, 200, 100, 60, 40, 30), galaxies, strict=True):
            radius = np.hypot(y - place[0], 1.3 * (x - place[1]))
            profile = np.exp(-radius / 4)
            sci[i] += flux * profile / profile.sum()
    cube = build(
        sci, np.full(sci.shape, 1e6), bands=BANDS, grid=plain_grid((side, side)), units="electron s-1",  # noqa: E501
        psf_fwhm=[0.1, 0.11, 0.18, 0.19],
    )  # fmt: skip
    return cube, places


def test_stars_are_found_in_a_mosaic_and_galaxies_are_not(mosaic):
    cube, places = mosaic
    found = find_stars(cube)
    assert found.shape == (6, 2)
    np.testing.assert_allclose(found, places, atol=0.2)  # the brightest first
    assert find_stars(cube, brightest=2).shape == (2, 2)


def test_the_psf_of_stars_found_in_a_mosaic_is_the_truth(mosaic):
    cube, _ = mosaic
    psf = measure_psf(star_stamps(cube, find_stars(cube)))
    for band in BANDS:
        assert gap(psf.sel(band=band), telescope(band)) < 0.01, band


def test_stamps_are_cut_at_places_on_the_sky_too(mosaic):
    cube, places = mosaic
    sky = Grid.of(cube).wcs.pixel_to_world(places[:, 1], places[:, 0])
    by_pixel, by_sky = star_stamps(cube, places), star_stamps(cube, sky)
    assert list(by_pixel) == list(by_sky) == ["1", "2", "3", "4", "5", "6"]
    for name, one in by_pixel.items():
        xr.testing.assert_identical(one, by_sky[name])
        assert one.sizes["y"] == one.sizes["x"]
        assert one.sizes["y"] % 2 == 1
    assert list(star_stamps(cube, sky[2])) == ["1"]


def test_stars_at_the_border_are_left_out(mosaic):
    cube, _ = mosaic
    assert list(star_stamps(cube, [[3, 200], [210, 60]])) == ["2"]


def test_a_mosaic_without_stars_says_so(mosaic):
    cube, _ = mosaic
    empty = cube.assign(sci=cube.sci * 0)
    assert refuses("HC-P10", lambda: find_stars(empty)).band == "f160w"


# -- the stars of the XDF


@pytest.fixture(scope="module")
def of_xdf(xdf):
    opened = open_stars(xdf / "psf_stars")
    return opened, examine_stars(opened)


@pytest.mark.real
def test_stars_of_the_xdf_get_the_verdicts_that_are_known(of_xdf):
    """SCIENCE.md 2: 1 is extended, 2 has a companion, 3 4 5 are saturated in some bands, 3 is damaged in F105W."""  # noqa: E501
    _, looked_at = of_xdf
    verdict = {
        name: dict(zip(looked_at.band.values, looked_at.verdict.sel(star=name).values, strict=True))
        for name in "12345"
    }
    assert set(verdict["1"].values()) == {"rejected"}
    assert all(reason.startswith("extended") for reason in looked_at.reason.sel(star="1").values)
    assert set(verdict["2"].values()) == {"used"}
    assert set(looked_at.reason.sel(star="2").values) == {"1 neighbour taken out"}
    wings_only = {
        name: {b for b, v in verdict[name].items() if v == "wings only"} for name in "345"
    }
    assert wings_only == {
        "3": {"f606w", "f775w", "f814w", "f105w"}, "4": {"f606w", "f775w", "f814w"}, "5": {"f606w"},
    }  # fmt: skip
    assert "saturation" in str(looked_at.reason.sel(star="4", band="f606w").item())
    assert "damaged core" in str(looked_at.reason.sel(star="3", band="f105w").item())


@pytest.mark.real
def test_the_companion_of_star_2_is_gone(of_xdf):
    """SCIENCE.md 2: it is 0.51 arcsec away, with 1.7 % of the star's flux in F435W and 12.5 % in F160W."""  # noqa: E501
    _, looked_at = of_xdf
    distance = np.hypot(looked_at.ky, looked_at.kx)
    for band in ("f435w", "f850lp", "f125w", "f160w"):
        image = looked_at.image.sel(star="2", band=band)
        others = looked_at.image.sel(star=["3", "4", "5"], band=band).median("star")
        assert gap(image, others) < 0.03
        away = (distance > 0.4) & (distance < 0.62)
        left = float((image - others).where(away).max() / image.max())
        assert left < 0.01, band  # the companion's own peak is 2 to 12 % of the star's


@pytest.mark.real
def test_the_widths_of_2022_are_reproduced(xdf):
    """golden/psf_measurements.txt: 65 sigmas. SCIENCE.md 1: their means over five stars, 1.47 pixels in F105W."""  # noqa: E501
    rows = [
        line.split() for line in (xdf / "golden" / "psf_measurements.txt").read_text().splitlines()
    ]
    rows = [row for row in rows if row and row[0].isdigit()]
    assert len(rows) == 65
    sigmas: dict[tuple[str, str], list[float]] = {}
    wanted: dict[tuple[str, str], list[float]] = {}
    for name, digits, scale, sigma in rows:
        band = f"f{digits}{'lp' if digits == '850' else 'w'}"
        image = fits.getdata(xdf / "psf_stars" / f"{name}_{scale}mas_{band}_sci.fits")
        region = fits.getdata(xdf / "psf_masks" / f"mask_psf_{name}_{digits}_{scale}mas.fits")
        got = fit_width(image, region)
        assert got == pytest.approx(float(sigma), abs=0.01), (name, band, scale)
        sigmas.setdefault((band, scale), []).append(got)
        wanted.setdefault((band, scale), []).append(float(sigma))
    for key, values in sigmas.items():
        assert np.mean(values) == pytest.approx(np.mean(wanted[key]), abs=0.005), key
        assert np.std(values) == pytest.approx(np.std(wanted[key]), abs=0.005), key
    of_2022 = {"f105w": 1.47, "f125w": 1.49, "f140w": 1.55, "f160w": 1.56, "f435w": 0.78, "f606w": 0.95, "f775w": 0.87,  # noqa: E501
               "f814w": 0.91, "f850lp": 0.85}  # fmt: skip
    assert {band: round(float(np.mean(sigmas[band, "60"])), 2) for band in of_2022} == of_2022
    assert np.std(sigmas["f105w", "60"]) == pytest.approx(0.07, abs=0.005)


@pytest.mark.slow
@pytest.mark.real
def test_a_star_that_was_left_out_is_matched_as_well_as_stars_agree(of_xdf):
    """Medians over the usable stars of a band; F606W is left out, it has one star that is not saturated."""  # noqa: E501
    opened, looked_at = of_xdf
    found = left_out(opened, looked_at)
    assert {band: len(rows) for band, rows in found.items()} == {
        "f435w": 4, "f775w": 2, "f814w": 2, "f850lp": 4, "f105w": 3, "f125w": 4, "f140w": 4,
    }  # fmt: skip
    for band, rows in found.items():
        error = np.array([row[0] for row in rows])  # (star, radius)
        residual, negative = np.median([row[1:] for row in rows], axis=0)
        assert np.median(abs(error[:, FAR]).max(1)) <= 0.025, band
        assert np.median(np.sqrt((error**2).mean(1))) <= 0.022, band
        assert residual <= 0.12, band
        assert negative <= 0.5, band
        assert abs(np.median(error, 0)[FAR]).max() <= 0.015, band


def measured_kernels(looked_at):
    """Return kernels from the PSFs of these stars, for the bands whose cores one of them shows."""
    shown = [
        band for band in looked_at.band.values if (looked_at.verdict.sel(band=band) == "used").any()
    ]
    psf = measure_psf(looked_at.sel(band=shown)).astype(float)
    target = psf.sel(band="f160w").values
    return {
        band: matching_kernel(psf.sel(band=band).values, target)
        for band in shown
        if band != "f160w"
    }


def left_out(opened, looked_at, kernels_from=measured_kernels):
    """Return per band, for every usable star: errors of encircled energy, residual, the kernel's negative part.

    The kernel comes from the other stars, and is applied to the star's raw stamp.
    """  # noqa: E501
    good = [
        name
        for name in looked_at.star.values
        if (looked_at.verdict.sel(star=name) != "rejected").all()
    ]
    usable = looked_at.verdict.sel(star=good) == "used"
    found = {}
    for name in good:
        kernels = kernels_from(looked_at.sel(star=[other for other in good if other != name]))
        *stack, delta = on_one_frame(*kernels.values(), np.ones((1, 1)))
        framed = dict(zip(kernels, stack, strict=True))
        bands = looked_at.band.values
        every = xr.DataArray(
            [framed.get(band, delta) for band in bands], {"band": bands}, ("band", "ky", "kx")
        )
        matched = examine_stars({other: psf_match(opened[other], kernels=every) for other in good})
        for band, kernel in kernels.items():
            if not usable.sel(star=name, band=[band, "f160w"]).all():
                continue
            made, itself = (
                image / encircled_energy(image, RADIUS[-1:])[0]
                for image in matched.image.sel(star=name, band=[band, "f160w"]).values.astype(float)
            )
            residual = abs(made - itself)[radius_map(made.shape) <= RADIUS[-1]].sum()
            error = growth(made) / growth(itself) - 1
            found.setdefault(band, []).append((error, residual, -kernel[kernel < 0].sum()))
    return found
