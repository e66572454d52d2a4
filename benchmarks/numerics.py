"""What kernels, noise, matching of correlated noise and bins cost.

CPU time on one thread, as ratios where there is a peer. See README.md beside this file.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import numpy as np  # noqa: E402
from run import Row, cpu_in_process, in_turns, machine, say, table  # noqa: E402  first: threads

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 900  # pixels of the images that are matched
LARGE = 2048  # ... whose noise is measured: 4 Mpix
BANDS = (0, 5, 8)  # three of those of `noise.py`
TRANSFORMS = 50  # about as many as a kernel takes


def main() -> None:
    """Measure everything, print the table."""
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    for part in (kernel, matching, measured_noise, bins):
        say(f"{part.__name__.replace('_', ' ')} ...")
        rows += part()
    print(table(rows))
    print("\n" + "; ".join(f"{key} {value}" for key, value in machine().items()))


def kernel() -> list[Row]:
    """Time a matching kernel, against the transforms that it cannot do without."""
    from telescope import telescope

    from hstcube.matching.solver import matching_kernel

    source, target = telescope("f105w"), telescope("f160w")
    image = np.random.default_rng(1).normal(size=(200, 200))

    def transforms() -> None:
        for _ in range(TRANSFORMS):
            np.fft.rfft2(image)

    ours, peer = in_turns(lambda: matching_kernel(source, target), transforms, repeats=21)
    what = f"kernel between two PSFs of 65x65, against {TRANSFORMS} transforms of 200x200"
    return [Row(what, ours * 1000, peer * 1000, 0.4, unit="ms")]


def matching() -> list[Row]:
    """Time the matching of nine bands against convolve_fft of images and weights."""
    from astropy.convolution import convolve_fft
    from noise import FWHM
    from noise import matching as call_of

    from hstcube.matching.kernels import gaussian_kernels
    from hstcube.matching.solver import is_identity, trimmed

    image = np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype(np.float32)
    cube = call_of("white", SIDE)()
    before = cube.assign_coords(matched_to=("band", np.full(9, "", object)))
    before = before.assign_coords(psf_fwhm=("band", list(FWHM)))
    planes = [trimmed(one) for one in gaussian_kernels(before, to="f160w").values]
    settings: dict[str, Any] = {"boundary": "fill", "nan_treatment": "fill"}
    settings |= {"normalize_kernel": False, "allow_huge": True}

    def theirs() -> None:
        for one in planes:
            if not is_identity(one):
                convolve_fft(image, one, **settings)
                convolve_fft(image, one**2, **settings)

    correlated, white, peer = in_turns(call_of("xdf", SIDE), call_of("white", SIDE), theirs)
    what = f"psf_match of 9 bands of {SIDE}x{SIDE}, {{}}, against convolve_fft of sci and var"
    return [
        Row(what.format("noise of the XDF"), correlated, peer, 2),
        Row(what.format("white noise"), white, peer),
    ]


def measured_noise() -> list[Row]:
    """Time the measuring of noise on three bands of 4 Mpix."""
    from noise import matching as call_of

    import hstcube

    cube = call_of("xdf", LARGE, BANDS)().assign_coords(matched_to=("band", np.full(3, "", object)))
    size = f"3 bands of {LARGE}x{LARGE}"
    return [
        Row(f"noise_check, {size}", seconds(lambda: hstcube.noise_check(cube)), bound=10),
        Row(f"calibrate_noise, {size}", seconds(lambda: hstcube.calibrate_noise(cube)), bound=5),
    ]


def seconds(function: Callable[[], Any]) -> float:
    """Return the CPU seconds of one call: these take long."""
    start = time.process_time()
    function()
    return time.process_time() - start


def bins() -> list[Row]:
    """Time the binning of 9,000 pixels in white noise."""
    from bins import galaxy

    import hstcube

    cube = galaxy(("f160w",), 0.3).drop_vars(["noise_acf", "dy", "dx"])
    what = "bins of 9,000 px in white noise"
    ours = cpu_in_process(lambda: hstcube.bin_pixels(cube))
    return [Row(what, ours, bound=0.72, remark="the limit is what powerbin took: 0.72 s")]


if __name__ == "__main__":
    main()
