"""Bad input: each defect is made here once, and the error says what, where and what to do."""

from __future__ import annotations

import gzip
import pickle
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from defects import (
    DEFECTS,
    Defect,
    move_by,
    open_it,
    open_map,
    open_only,
    product,
    read_recipe,
    set_pixels,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stamps import (
    BANDS,
    NEIGHBOUR,
    OBJECT,
    label_map,
    rewrite,
    stamp,
    write_field,
)

import hstcube
from hstcube.core.state import notes_of
from hstcube.errors import (
    FileError,
    HstCubeError,
    HstCubeWarning,
    LabelError,
    RecipeError,
    SkyError,
    WriteError,
    codes,
)
from hstcube.files import levels
from hstcube.surveys import names as surveys

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings(
    "ignore::hstcube.errors.HstCubeWarning"
)  # every made-up field has a wrong camera


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_a_defect_says_what_and_where_and_what_to_do(defect: Defect, tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    defect.make(folder)
    with pytest.raises(HstCubeError) as caught:
        defect.use(folder)
    error = caught.value
    assert (type(error), error.code) == (defect.error, defect.code), error
    assert defect.said in error.reason
    file, band = defect.at
    assert error.band == band
    if file:
        assert Path(error.file).name == file, error
    assert error.fix
    assert error.code in codes()
    assert str(error).startswith(error.code)
    assert str(error).endswith(f"fix: {error.fix}")
    assert vars(pickle.loads(pickle.dumps(error))) == vars(
        error
    )  # an error crosses from a worker's process


def test_the_nearest_known_key_is_proposed(tmp_path: Path) -> None:
    for text, proposed in (
        ("grwo = 1", "grow"),
        ("recpie = 'original'", "recipe"),
        ("sku = 0.0", "sky"),
        ("id = [1]", "ids"),
    ):
        with pytest.raises(RecipeError, match="unknown key") as caught:
            read_recipe(text)(tmp_path)
        assert f"did you mean {proposed!r}?" in caught.value.fix


def test_a_missing_label_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    with pytest.raises(LabelError) as caught:
        hstcube.object_mask(open_map(folder), 40011)
    assert caught.value.fix == f"did you mean {OBJECT}?"


def test_an_object_is_named_only_of_a_map_that_has_one() -> None:
    labels = hstcube.example().labels
    with pytest.raises(HstCubeError, match=r"name the object: ids=\[101\]"):
        hstcube.object_mask(xr.where((labels.y == 50) & (labels.x == 50), 0, labels))
    with pytest.raises(HstCubeError, match=r"give a map that has objects$"):
        hstcube.object_mask(labels * 0)


def test_a_failed_write_has_its_own_exit_code(tmp_path: Path) -> None:
    assert (WriteError("HC-O01", "x").exit_code, FileError("HC-F01", "x").exit_code) == (4, 3)


# -- what is unusual, and read all the same


def write_raw(path: Path, array: np.ndarray, **more: Any) -> None:
    """Replace a stamp's pixels by integers as they are, with cards that say what they mean."""
    header = fits.getheader(path)
    header["BITPIX"] = 8 * array.itemsize
    for key, value in more.items():
        header[key] = value
    body = array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(header.tostring().encode() + body + bytes(-len(body) % 2880))


@pytest.mark.parametrize(
    ("dtype", "zero", "scale"),
    [("i2", 10.0, 0.5), ("i2", 32768.0, 1.0), ("i4", 0.0, 1e-6), ("u1", -1.0, 0.25)],
)
def test_integers_are_read_with_their_scale_and_zero(
    tmp_path: Path, dtype: str, zero: float, scale: float
) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    stored = np.arange(1760).reshape(40, 44).astype(dtype)
    write_raw(stamp(folder, "f435w"), stored, BZERO=zero, BSCALE=scale)
    cube = open_it(folder)
    assert cube.sci.dtype == np.float32
    np.testing.assert_array_equal(
        cube.sci.values[0], (zero + scale * stored.astype(float)).astype(np.float32)
    )


def test_blank_integers_have_no_data(tmp_path: Path) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    stored = np.full((40, 44), 6, "i2")
    stored[3, 5] = -32768
    write_raw(stamp(folder, "f435w"), stored, BZERO=10.0, BSCALE=0.5, BLANK=-32768)
    with pytest.warns(HstCubeWarning, match="HC-D07 f435w: 1 pixel"):
        cube = open_it(folder)
    expected = np.full((40, 44), 13.0)
    expected[3, 5] = np.nan
    np.testing.assert_array_equal(cube.sci.values[0], expected)
    assert cube.wht.values[0, 3, 5] == 0
    assert not cube.mask.values[0, 3, 5]


def two_units(folder: Path, *kinds: str) -> Path:
    """Write sci and wht of a band into one file, in that order, after an empty primary header."""
    units = []
    for kind in kinds:
        with fits.open(stamp(folder, "f435w", kind), memmap=False) as hdus:
            units.append(fits.ImageHDU(hdus[0].data, hdus[0].header, name=kind.upper()))
    path = folder / "both.fits"
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    return path


def compressed(folder: Path) -> None:
    for path in list((folder / "new_stamps").iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def fpacked(folder: Path) -> None:
    for path in list((folder / "new_stamps").iterdir()):
        with fits.open(path, memmap=False) as hdus:
            unit = fits.CompImageHDU(
                hdus[0].data, hdus[0].header, compression_type="GZIP_2", quantize_level=0
            )
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path.with_name(path.name + ".fz"))
        path.unlink()


def in_an_extension(folder: Path) -> None:
    for path in list((folder / "new_stamps").iterdir()):
        with fits.open(path, memmap=False) as hdus:
            fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(hdus[0].data, hdus[0].header)]).writeto(
                path, overwrite=True
            )


def with_a_third_axis(folder: Path) -> None:
    for path in (folder / "new_stamps").iterdir():
        rewrite(path, pixels=lambda image: image[None])


def as_float64(folder: Path) -> None:
    for path in (folder / "new_stamps").iterdir():
        rewrite(path, pixels=lambda image: image.astype(float))


def named_by_digits(folder: Path) -> None:
    for path in (folder / "new_stamps").iterdir():
        path.rename(
            path.with_name(path.name.replace("_f", "_").replace("lp", "").replace("w_", "_"))
        )


def in_the_folder_itself(folder: Path) -> None:
    for path in (folder / "new_stamps").iterdir():
        path.rename(folder / path.name)


def almost_on_one_grid(folder: Path) -> None:
    move_by(5e-5, "wht")(folder)


@pytest.mark.parametrize(
    "change",
    [
        compressed,
        fpacked,
        in_an_extension,
        with_a_third_axis,
        as_float64,
        named_by_digits,
        in_the_folder_itself,
        almost_on_one_grid,
    ],
    ids=lambda change: change.__name__,
)
def test_the_same_pixels_in_another_dress_are_the_same_cube(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = write_field(tmp_path)
    before = open_it(folder)
    change(folder)
    xr.testing.assert_identical(open_it(folder), before)


@pytest.mark.parametrize("order", [("sci", "wht"), ("wht", "sci")])
def test_extensions_are_found_by_name_not_by_order(order: tuple[str, str], tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    path = two_units(folder, *order)
    cube = hstcube.open_bands({"f435w": (path, path)}, field="1")
    xr.testing.assert_identical(
        cube.drop_attrs(deep=False), open_only("f435w")(folder).drop_attrs(deep=False)
    )


@pytest.mark.parametrize(("kind", "power"), [("rms", -0.5), ("variance", -1.0), ("ivar", 1.0)])
@pytest.mark.parametrize("chunks", [None, {"y": 16, "x": 16}])
def test_weights_of_any_kind_become_inverse_variances(
    kind: str, power: float, chunks: dict[str, int] | None, tmp_path: Path
) -> None:
    folder = write_field(tmp_path)
    expected = open_only("f435w")(folder).wht.values
    rewrite(stamp(folder, "f435w", "wht"), pixels=lambda wht: wht**power)
    files = {"f435w": (stamp(folder, "f435w"), stamp(folder, "f435w", "wht"))}
    cube = hstcube.open_bands(files, field="1", wht_kind=kind, chunks=chunks)
    np.testing.assert_allclose(
        cube.wht.values, expected, rtol=4e-7
    )  # twice the rounding of float32


def test_a_pixel_without_weight_has_no_data(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    before = open_it(folder)
    rewrite(stamp(folder, "f850lp", "wht"), pixels=set_pixels(0, count=7))
    after = open_it(folder)
    assert np.isnan(after.sci.values[1].flat[:7]).all()
    assert not after.mask.values[1].flat[:7].any()
    assert (
        after.attrs["warnings"] == before.attrs["warnings"]
    )  # that is what a weight of zero is for
    has_data = after.wht.values > 0
    assert (~has_data).sum() == 7
    np.testing.assert_array_equal(after.sci.values[has_data], before.sci.values[has_data])


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_one_impossible_weight_in_a_thousand_is_a_pixel_without_data(
    value: float, tmp_path: Path
) -> None:
    folder = write_field(tmp_path)
    rewrite(stamp(folder, "f850lp", "wht"), pixels=set_pixels(value, count=1))  # of 1760
    with pytest.warns(HstCubeWarning, match="HC-D10 f850lp: 1 "):
        cube = open_it(folder)
    assert cube.wht.values[1, 0, 0] == 0
    assert np.isnan(cube.sci.values[1, 0, 0])
    assert sum("HC-D10" in line for line in cube.attrs["warnings"].splitlines()) == 1


def codes_in(told: list[warnings.WarningMessage]) -> list[str]:
    return [code for warning in told for code in re.findall(r"HC-\w\d\d", str(warning.message))]


def of_no_survey(folder: Path) -> Path:
    """Return a field whose images no survey made."""
    for band in BANDS:
        rewrite(stamp(folder, band), cards={"XDFVER": None})
    return folder


def test_a_wrong_camera_is_corrected_and_told_once(tmp_path: Path) -> None:
    folder = of_no_survey(write_field(tmp_path))
    with pytest.warns(HstCubeWarning) as told:
        cube = open_it(folder)
    assert codes_in(told) == ["HC-B04"]
    assert "f435w, f850lp: the headers say WFC3/IR" in cube.attrs["warnings"]
    assert cube.pivot.values.tolist() == [
        4329.9,
        9031.5,
        15369.2,
    ]  # bands.csv: ACS/WFC, ACS/WFC, WFC3/IR


def test_a_missing_unit_is_assumed_and_told(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    for band in BANDS:
        rewrite(stamp(folder, band), cards={"BUNIT": None})
    with pytest.warns(HstCubeWarning, match="HC-D20 f435w"):
        cube = open_it(folder)
    assert cube.sci.attrs["units"] == "electron s-1"


def test_what_a_map_leaves_open_is_told(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    rewrite(label_map(folder), pixels=lambda labels: np.where(labels == NEIGHBOUR, 0, labels))
    opened = open_it(folder).assign_attrs(survey="")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cube = hstcube.homogenize(opened.isel(x=slice(0, 24)), labels=open_map(folder))
    assert sorted(codes_in(told)) == ["HC-P12", "HC-S04", "HC-S08", "HC-S14"]
    assert "reaches the right of the frame" in cube.attrs["warnings"]


def test_what_holds_for_every_field_of_a_survey_is_noted_not_warned_of(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cube = hstcube.homogenize(open_it(folder), labels=open_map(folder))
    assert codes_in(told) == ["HC-P12"]
    assert "HC-B04" not in cube.attrs["warnings"]
    noted = [code for code, _ in notes_of(cube.attrs["history"])]
    # HC-K15: the stamp is small, and little of it is 0.6 arcsec from the galaxy
    assert sorted(noted) == ["HC-B04", "HC-K15", "HC-N20", "HC-S04", "HC-S14"]


def test_an_object_that_meets_the_end_of_its_map_is_warned_of_in_every_survey(
    tmp_path: Path,
) -> None:
    folder = write_field(tmp_path)
    labels = open_map(folder)
    rows = np.flatnonzero((labels == 4001).any("x").values)
    cut = labels.isel(y=slice(0, int(rows.mean())))
    with pytest.warns(HstCubeWarning, match="HC-S08 .* reaches the end of the segmentation map"):
        hstcube.homogenize(open_it(folder), labels=cut, ids=[4001])


# -- nothing but our own errors comes out of damaged input


def refusal(use: Callable[[], Any]) -> HstCubeError | None:
    """Return the error that comes of it, None if it works.

    Anything but an HstCubeError comes through.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # a flipped exponent overflows: the pixel is not finite then
            use()
    except HstCubeError as error:
        assert error.fix  # noqa: PT017  what else escapes must be seen as it is
        return error
    return None


def test_any_byte_of_a_header_may_be_wrong(tmp_path: Path) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    path = stamp(folder, "f435w")
    whole = path.read_bytes()
    end = whole.index(b"END" + b" " * 77)
    rng = np.random.default_rng(1)
    opened = 0
    for position in rng.integers(0, end, 250).tolist():
        damaged = bytearray(whole)
        damaged[position] = int(rng.choice(list(b" 0'=/\x00\xffE-9")))
        path.write_bytes(damaged)
        opened += refusal(lambda: open_it(folder)) is None
    assert 50 < opened < 250  # comments may change, keywords may not


def test_a_file_may_end_anywhere(tmp_path: Path) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    path = stamp(folder, "f435w")
    whole = path.read_bytes()
    needed = 2880 + 40 * 44 * 4
    for size in [*range(0, len(whole), 397), needed - 1, needed, len(whole)]:
        path.write_bytes(whole[:size])
        assert (refusal(lambda: open_it(folder)) is None) == (size >= needed)


@pytest.mark.slow
def test_any_byte_of_a_map_may_be_wrong(tmp_path: Path) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    path = label_map(folder)
    whole = path.read_bytes()
    cube = open_it(folder)
    rng = np.random.default_rng(2)
    for position in rng.integers(0, 2 * 2880, 150).tolist():
        damaged = bytearray(whole)
        damaged[position] = int(rng.choice(list(b" 0'=/\x00\xffE-9")))
        path.write_bytes(damaged)
        refusal(lambda: hstcube.homogenize(cube, labels=open_map(folder), sky=0.0))


@pytest.mark.slow
def test_a_wrong_byte_of_a_product_is_refused_or_of_no_consequence(tmp_path: Path) -> None:
    folder = product(write_field(tmp_path / "data", bands=("f435w",)))
    cube = hstcube.open_field(folder, "x")
    path = folder / "x_f435w_wht.fits"
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    for position in rng.integers(0, len(whole), 100).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        if (
            refusal(lambda: hstcube.open_field(folder, "x")) is None
        ):  # the blanks after END mean nothing
            xr.testing.assert_identical(hstcube.open_field(folder, "x"), cube)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text(st.characters(codec="utf-8"), max_size=40)
    | st.from_regex(r"[-+0-9.,einf#\n ]{0,12}", fullmatch=True)
)
def test_any_text_is_a_level_or_a_sky_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sky.txt"
    path.write_bytes(text.encode())
    files = surveys.FieldFiles("1", "60mas", {"f435w": surveys.BandFiles(sky=path)})
    error = refusal(lambda: levels.read_levels(files, ["f435w"], scale=0.06))
    if error is None:
        assert np.isfinite(levels.read_levels(files, ["f435w"])["f435w"][0])
    else:
        assert (type(error), error.file, error.band) == (SkyError, str(path), "f435w")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.text(max_size=70))
def test_a_name_is_safe_or_refused(name: str, tmp_path: Path) -> None:
    error = refusal(lambda: surveys.checked_name(name))
    if error is None:
        assert (tmp_path / f"{name}_f160w_sci.fits").resolve().parent == tmp_path.resolve()
    else:
        assert (type(error), error.code) == (RecipeError, "HC-B12")
