"""What the pipeline of 2022 does, written afresh, to be timed beside ``hstcube run``.

It shares no code with hstcube and none with the original, but it does the same work by the same
means. For each target and band it reads the segmentation map twice (for the id at its centre, then
for its pixels), dilates the object, and looks it up on the F160W image with a KD-tree over the
positions of the map's pixels; all that once for the image and once more for its variance. It
convolves by FFT with a kernel as large as the frame, and writes two FITS files with the weight
image's header. Like the original it imports matplotlib and astropy.convolution, though this part
draws nothing.

    python peer_2022.py STAMPS OUT 3 15 37 m3=3:24353,24350

The last line printed is JSON: CPU seconds of imports, masks, reading, convolution, writing, and in
all.
"""

from __future__ import annotations

import time

BEFORE_IMPORTS = time.process_time()

import json  # noqa: E402  what follows is what is timed
import re  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402

import astropy.convolution  # noqa: E402, F401
import matplotlib.pyplot as plt  # noqa: E402, F401
import numpy as np  # noqa: E402
from astropy.io import fits  # noqa: E402
from astropy.wcs import WCS  # noqa: E402
from scipy.interpolate import NearestNDInterpolator  # noqa: E402
from scipy.ndimage import binary_dilation  # noqa: E402

spent = dict.fromkeys(("imports", "masks", "reading", "convolution", "writing"), 0.0)
spent["imports"] = time.process_time() - BEFORE_IMPORTS

# Gaussian sigma in pixels of 60 mas: Basto Pineda & Epinat 2022; F160W is what the other bands are
# brought to
BANDS = ("105", "125", "140", "435", "606", "775", "814", "850")
SIGMA = dict(zip(BANDS, (1.47, 1.49, 1.55, 0.78, 0.95, 0.87, 0.91, 0.85), strict=True)) | {
    "160": 1.56
}


class timed:  # noqa: N801  used like a function
    """Add the CPU time of a block to one line of the breakdown."""

    def __init__(self, part: str) -> None:
        self.part = part

    def __enter__(self) -> None:
        self.start = time.process_time()

    def __exit__(self, *_: object) -> None:
        spent[self.part] += time.process_time() - self.start


def main() -> None:
    """Make every target, and say where the time went."""
    warnings.simplefilter("ignore")  # the maps carry BLANK on float data
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for text in sys.argv[3:]:
        name, field, ids = re.fullmatch(r"([^=]+)(?:=([^:]+):(.+))?", text).groups()
        more = (
            [int(label) for label in ids.split(",")[1:]] if ids else []
        )  # the first one is the one at the centre
        for band in BANDS:
            one_band(folder, out, name, field or name, more, band)
    print(json.dumps(spent | {"total": time.process_time()}))


def one_band(
    folder: Path, out: Path, name: str, field: str, more_ids: list[int], band: str
) -> None:
    """Write the smoothed, masked image of one band and its variance."""
    with timed("reading"):
        sci = fits.getdata(stamp(folder, field, band, "sci"))
        wht, header = fits.getdata(stamp(folder, field, band, "wht"), header=True)
        sky = np.loadtxt(folder / "NEW_SKY" / f"sky_{field}_{band}.txt")
    with timed("masks"):
        mask = object_mask(folder, field, more_ids)
    with timed("convolution"):
        kernel = gaussian(band, sci.shape)
        signal = mask * convolved(mask * (sci.astype(float) - sky), kernel)
    with timed("masks"):
        mask = object_mask(folder, field, more_ids)
    with timed("convolution"):
        kernel = gaussian(band, sci.shape)
        variance = mask * convolved(1 / wht.astype(float), kernel**2)
    with timed("writing"):
        fits.writeto(out / f"{name}_{band}_lowres.fits", signal, header, overwrite=True)
        fits.writeto(out / f"{name}_{band}_variance_lowres.fits", variance, header, overwrite=True)


def object_mask(folder: Path, field: str, more_ids: list[int]) -> np.ndarray:
    """Return the object on the F160W image, as 1.0 and 0.0.

    The nearest pixel of the map, also beyond its edges.
    """
    path = folder / "segment_maps" / f"udf_mosaic_{field}_HST_SEGMAP.fits"
    image, image_header = fits.getdata(stamp(folder, field, "160", "sci"), header=True)
    segmap, map_header = fits.getdata(path, "DATA", header=True)
    wanted = [central_id(path), *more_ids]
    inside = binary_dilation(np.isin(segmap, wanted), np.ones((3, 3)))
    y, x = np.indices(segmap.shape)
    sky_position = WCS(map_header).wcs_pix2world(np.column_stack([x.ravel(), y.ravel()]), 0)
    position = WCS(image_header).wcs_world2pix(sky_position, 0)
    nearest = NearestNDInterpolator(position, inside.ravel().astype(float))
    y, x = np.indices(image.shape)
    return nearest(x.ravel(), y.ravel()).reshape(image.shape)


def central_id(path: Path) -> int:
    """Return the label in the middle of a map."""
    segmap = fits.getdata(path, "DATA")
    return int(segmap[segmap.shape[0] // 2, segmap.shape[1] // 2])


def gaussian(band: str, shape: tuple[int, int]) -> np.ndarray:
    """Return the Gaussian between a band's width and F160W's over the whole odd frame."""
    y, x = (np.arange(-(n // 2), n // 2 + 1) for n in shape)
    kernel = np.exp(-0.5 * (y[:, None] ** 2 + x**2) / (SIGMA["160"] ** 2 - SIGMA[band] ** 2))
    return kernel / kernel.sum()


def convolved(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the linear convolution, zeros beyond the frame, of the image's size."""
    size = [n + k for n, k in zip(image.shape, kernel.shape, strict=True)]
    whole = np.fft.irfft2(np.fft.rfft2(image, size) * np.fft.rfft2(kernel, size), size)
    top, left = (k // 2 for k in kernel.shape)
    return whole[top : top + image.shape[0], left : left + image.shape[1]]


def stamp(folder: Path, field: str, band: str, kind: str) -> Path:
    """Return where an image is: {field}_60mas_f105w_sci.fits; only F850LP ends in lp."""
    return (
        folder / "new_stamps" / f"{field}_60mas_f{band}{'lp' if band == '850' else 'w'}_{kind}.fits"
    )


if __name__ == "__main__":
    main()
