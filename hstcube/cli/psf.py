"""Commands of PSFs: measure, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hstcube.cli.options import AsJson, Bands, Overwrite, Scale, To
from hstcube.terminal.show import show_json, show_table

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["measure", "show"]


def measure(
    stars: Annotated[
        Path,
        typer.Argument(help="Folder of stamps of stars: {star}_{scale}_{filter}_{sci,wht}.fits."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The FITS file; a picture and a table go beside it.")
    ],
    scale: Scale = None,
    bands: Bands = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure the PSF of every band from stars.

    Says of every star what it was used for, and why not.
    """
    from hstcube.jobs.psfs import measure_psfs
    from hstcube.psf.mean import FEWEST

    psf, examined, (_, picture, listing) = measure_psfs(
        stars, out, scale=scale, bands=bands, overwrite=overwrite
    )
    if as_json:
        psfs = _numbers(psf, "fwhm", "psf_error", "psf_stars", "stars")
        show_json({"psfs": psfs, "stars": _stars(examined)})
        return
    _show_stars(examined)
    rows = [
        (
            str(one.band.item()),
            f"{one.fwhm.item():.3f}",
            f"{one.psf_error.item():.2%}",
            "" if one.psf_stars.item() >= FEWEST else "unverified",
            str(one.stars.item()),
        )
        for one in psf.transpose("band", ...)
    ]
    show_table(
        ("band", "FWHM [arcsec]", "encircled energy may be off by", "", "stars"),
        rows,
        title=f"PSFs in {out}, stamps in {picture}, table in {listing}",
    )


def show(
    file: Annotated[Path, typer.Argument(help="FITS file of PSFs, or a survey for its table.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Picture: PSFs, kernels, and curves of growth.")
    ] = Path("kernels.png"),
    to: To = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Show what matching with these PSFs achieves.

    A table of the kernels, and a picture.
    """
    from hstcube.jobs.psfs import show_psfs

    kernels, target, (picture, curves) = show_psfs(file, out, to=to, overwrite=overwrite)
    if as_json:
        names = ("ee_error", "predicted_error", "residual", "negative", "half_light_ratio")
        show_json([{**one, "matched_to": target} for one in _numbers(kernels, *names)])
        return
    rows = [
        (
            str(one.band.item()),
            f"{one.ee_error.item():.2%}",
            f"{one.predicted_error.item():.2%}",
            f"{one.residual.item():.1%}",
            f"{one.negative.item():.2f}",
            f"{one.half_light_ratio.item():.3f}",
        )
        for one in kernels.transpose("band", ...)
    ]
    said = f"matched to {target} (encircled energy at 0.18 arcsec and beyond)"
    show_table(
        (
            "band",
            "encircled energy off by",
            "with its stars",
            "residual",
            "negative part",
            "half-light ratio",
        ),
        rows,
        title=f"{said}; pictures in {picture} and {curves}",
    )


def _numbers(psfs: xr.DataArray, *names: str) -> list[dict[str, Any]]:
    """Return what is known of each band: coordinates of these names."""
    each = psfs.transpose("band", ...)
    return [{"band": one.band.item(), **{name: one[name].item() for name in names}} for one in each]


def _stars(examined: xr.Dataset) -> list[dict[str, Any]]:
    """Return the verdict on each star in each band."""
    return [
        {"star": star, "band": band, "verdict": one.verdict.item(), "reason": one.reason.item()}
        for star in examined.star.values.tolist()
        for band in examined.band.values.tolist()
        for one in [examined.sel(star=star, band=band)]
    ]


def _show_stars(examined: xr.Dataset) -> None:
    """Print a line for each star and verdict, with the bands that it is of."""
    bands = examined.band.values.tolist()
    rows = []
    for star in examined.star.values.tolist():
        one = examined.sel(star=star)
        verdicts: dict[tuple[str, str], list[str]] = {}
        for band, verdict, reason in zip(bands, one.verdict.values, one.reason.values, strict=True):
            verdicts.setdefault((verdict, reason), []).append(band)
        for (verdict, reason), members in verdicts.items():
            rows.append((star, verdict, " ".join(members), reason))
    show_table(("star", "verdict", "bands", "why"), rows, title=f"{examined.sizes['star']} stars")
