"""How good matching kernels are, and what they cost, beside photutils and pypher.

See README.md beside this file.

pip install pypher
[HSTCUBE_XDF=FOLDER] python benchmarks/kernels.py
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

import numpy as np  # noqa: E402
from run import in_turns, machine, say  # noqa: E402  first: it sets the number of threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TARGET = "f160w"
NOISE = 1e-5  # per pixel of PSFs of unit sum, in what the methods see of those whose truth is known
REACH = 20  # pixels: 1.2 arcsec
REPEATS = 5
LIMIT = 50.0  # ms, for a pair at 65x65


def main() -> None:
    """Measure every method on every pair, print the table."""
    warnings.simplefilter("ignore")
    lines = [
        "| pair | method | error at 1 px | from 3 px | residual | negative | sum of squares | ms |",
        "|" + " --- |" * 8,
    ]
    ours: list[float] = []
    for name, seen, true in pairs():
        say(f"{name} ...")
        known = methods()
        spent = in_turns(
            *(lambda make=make, seen=seen: make(*seen) for make in known.values()), repeats=REPEATS
        )
        for (method, make), seconds in zip(known.items(), spent, strict=True):
            cells = [
                f"{figure:.{digits}f}"
                for figure, digits in zip(figures(make(*seen), *true), DIGITS, strict=True)
            ]
            lines.append(f"| {name} | {method} | {' | '.join(cells)} | {1000 * seconds:.1f} |")
        ours.append(1000 * spent[0])
    print("\n".join(lines))
    print(f"\nslowest pair of ours: {max(ours):.0f} ms (bound: {LIMIT:.0f})")
    print("; ".join(f"{key} {value}" for key, value in machine().items()))


DIGITS = (2, 2, 1, 2, 2)


def figures(kernel: Any, source: Any, target: Any) -> tuple[float, ...]:
    """Return errors of encircled energy and misplaced light (%), negative part, squares."""
    from hstcube.matching.solver import convolved
    from hstcube.psf.profiles import encircled_energy, radius_map

    made = convolved(source, kernel)
    radii = np.arange(1.0, 33)
    error = 100 * np.abs(encircled_energy(made, radii) / encircled_energy(target, radii) - 1)
    residual = 100 * np.abs(made - target)[radius_map(target.shape) <= REACH].sum()
    return error[0], error[2:].max(), residual, abs(kernel[kernel < 0].sum()), (kernel**2).sum()


def methods() -> dict[str, Callable[[Any, Any], Any]]:
    """Return what makes a kernel of a source and a target, ours first.

    The others as their pages advise.
    """
    from photutils.psf_matching import make_wiener_kernel
    from pypher.pypher import homogenization_kernel

    from hstcube.matching.solver import matching_kernel

    return {
        "hstcube": matching_kernel,
        "hstcube, wiener": lambda s, t: matching_kernel(s, t, method="wiener"),
        "hstcube, gaussian": lambda s, t: matching_kernel(s, t, method="gaussian"),
        "photutils": make_wiener_kernel,
        "photutils, laplacian": lambda s, t: make_wiener_kernel(s, t, penalty="laplacian"),
        "pypher": lambda s, t: homogenization_kernel(t, s)[0],
    }


def pairs() -> Iterator[tuple[str, tuple[Any, Any], tuple[Any, Any]]]:
    """Yield a name, the PSFs that the methods see, and those that the result is held against."""
    from telescope import noisy, telescope

    rng = np.random.default_rng(1)
    for band in ("f435w", "f814w", "f850lp", "f105w", "f125w", "f140w"):
        true = telescope(band), telescope(TARGET)
        yield (
            f"{band}, truth",
            tuple(normal(noisy(image, rng, noise=NOISE)) for image in true),
            true,
        )
    if folder := os.environ.get("HSTCUBE_XDF"):
        import hstcube

        psf = hstcube.measure_psf(hstcube.open_stars(Path(folder) / "psf_stars"))
        for band in ("f435w", "f814w", "f105w", "f125w"):
            pair = tuple(normal(psf.sel(band=name).values.astype(float)) for name in (band, TARGET))
            yield f"{band}, XDF", pair, pair


def normal(image: Any) -> Any:
    """Return a PSF of unit sum."""
    return image / image.sum()


if __name__ == "__main__":
    main()
