"""Segmentation maps of every kind of number: the labels are the same, or refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from stamps import NEIGHBOUR, OBJECT, label_map, write_labels

from hstcube import Grid, object_mask, open_labels, regrid_labels
from hstcube.errors import LabelError

IDS = np.array([0, 1, 2, 117], np.int32)  # within every kind of integer
INTEGERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")


@pytest.fixture
def header(tmp_path):
    """Return the cards of a map of the stamps' field, without BLANK."""
    write_labels(label_map_in(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cards = fits.getheader(label_map_in(tmp_path), 1)
    cards.remove("BLANK")
    return cards


def label_map_in(folder):
    path = label_map(folder)
    path.parent.mkdir(exist_ok=True)
    return path


def labels_of(ids, header):
    """Return a map with each of `ids` somewhere, of their type; the first fills most of it."""
    values = np.full((header["NAXIS2"], header["NAXIS1"]), ids[0])
    values[40:45, 40 : 40 + len(ids)] = ids
    return values


def written(folder, values, header, *, cards=(), packed=False):
    """Write a map; `cards` come last, as they are."""
    kind = fits.CompImageHDU if packed else fits.ImageHDU
    path = folder / "map.fits"
    fits.HDUList([fits.PrimaryHDU(), kind(values, header, name="SEGMAP")]).writeto(
        path, overwrite=True
    )
    for key, value in cards:
        fits.setval(path, key, value=value, ext=1)
    return path


@pytest.mark.parametrize(
    ("kind", "packed"),
    [(kind, False) for kind in INTEGERS]
    + [(kind, True) for kind in ("u1", "u2", "u4", "i2", "i4")],  # fpack has no others
)
def test_a_map_of_any_integers_gives_its_labels(kind, packed, tmp_path, header):
    values = labels_of(IDS.astype(kind), header)
    labels = open_labels(written(tmp_path, values, header, packed=packed))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, values)
    assert labels.attrs["interpolated"] == 0
    assert "notes" not in labels.attrs


@pytest.mark.parametrize("kind", ["u4", "u8", "i4", "i8", "f8"])
def test_ids_up_to_the_largest_of_32_bits_are_told_apart(kind, tmp_path, header):
    ids = np.array([0, 2**31 - 2, 2**31 - 1]).astype(kind)
    labels = open_labels(written(tmp_path, labels_of(ids, header), header))
    np.testing.assert_array_equal(labels, labels_of(ids, header))


@pytest.mark.parametrize(
    ("kind", "most"),
    [("u4", 2**31), ("u4", 2**32 - 1), ("i8", 2**31), ("i8", 2**32 + 7), ("i8", 2**63 - 1),
     ("u8", 2**32 + 7), ("u8", 2**63 + 7), ("u8", 2**64 - 1), ("f8", 2.0**31), ("f4", 2.0**24 + 2)],
)  # fmt: skip
def test_larger_ids_are_refused(kind, most, tmp_path, header):
    path = written(tmp_path, labels_of(np.array([0, most], kind), header), header)
    with pytest.raises(LabelError, match="HC-S05") as caught:
        open_labels(path)
    assert np.dtype(kind).name in str(caught.value)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8"])
def test_the_least_integer_of_its_kind_is_nobody(kind, tmp_path, header):
    least = np.iinfo(kind).min
    labels = open_labels(written(tmp_path, labels_of(np.array([5, least], kind), header), header))
    np.testing.assert_array_equal(labels, np.where(labels_of(np.arange(2), header) == 0, 5, -2))
    assert "5 pixels of the map have negative labels" in labels.attrs["notes"]


@pytest.mark.parametrize("bitpix", ["u1", "i2", "i4", "i8"])
def test_labels_are_what_scale_and_zero_make_of_the_integers(bitpix, tmp_path, header):
    values = labels_of(np.array([0, 1, 100], bitpix), header)
    path = written(tmp_path, values, header, cards=[("BSCALE", 2.0), ("BZERO", 1000.0)])
    np.testing.assert_array_equal(open_labels(path), 1000 + 2 * values.astype(int))


@pytest.mark.parametrize("kind", INTEGERS)
def test_unsigned_labels_are_looked_up_on_another_grid(kind, tmp_path, header):
    path = written(tmp_path, labels_of(IDS.astype(kind), header), header)
    labels = open_labels(path)
    grid = Grid.of(labels)
    given = labels.copy(data=labels.values.astype(kind))  # as from another library
    far = Grid.from_header({**dict(header), "CRPIX1": header["CRPIX1"] + 30.3}, shape=grid.shape)
    found = regrid_labels(given, far)
    np.testing.assert_array_equal(found, regrid_labels(labels, far))
    assert set(np.unique(found)) == {-1, *IDS.tolist()}
    assert object_mask(given, 117).sum() == 5


@pytest.mark.parametrize(
    "values",
    [np.array([0, 2**32 + 5]), np.array([0, 2**31], "u4"), np.array([0, 2.5]),
     np.array([0, np.nan])],
    ids=["int64", "uint32", "no integer", "NaN"],
)  # fmt: skip
def test_labels_that_are_no_32_bit_integers_are_not_looked_up(values, tmp_path, header):
    labels = open_labels(written(tmp_path, labels_of(IDS, header), header))
    wrong = labels.astype(values.dtype).copy(data=labels_of(values, header))
    with pytest.raises(LabelError, match="HC-S05"):
        regrid_labels(wrong, Grid.of(labels))


def test_the_map_of_real_numbers_is_as_it_was(tmp_path):
    labels = open_labels(write_labels(label_map_in(tmp_path)))
    assert set(np.unique(labels)) == {-2, 0, OBJECT, NEIGHBOUR}
    assert labels.attrs["interpolated"] == (labels == -2).sum() > 0
