"""Pictures of what is measured of groups of pixels: growth, profiles, spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.core.bands import cameras
from hstcube.core.rules import taken
from hstcube.errors import RecipeError
from hstcube.inputs.choices import require_choice
from hstcube.noise.groups import group_map
from hstcube.plots._drawing import (
    GREY,
    colours,
    field_name,
    labelled,
    new_figure,
    on_axes,
    one_panel,
    plain_ticks,
    require_made,
    stretched,
)
from hstcube.plots._sky_axes import Place, compass, finish, outline, psf_circle, scale_bar
from hstcube.plots.cube import plane, sky_noise
from hstcube.views.overview import at_middles, averages_of, overviews, square_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["growth", "growth_curve", "radial_profile", "sed"]

Scale = Literal["linear", "log"]

_AT_ONCE = 8  # spectra
_BARS = 0.035, 0.015  # heights of the widths of bands, of the panel


def growth_curve(curve: xr.Dataset, *, axes: Any = None) -> Figure:
    """Draw curves of growth, in units of the flux in the largest aperture.

    Parameters
    ----------
    curve : Dataset
        As `curve_of_growth` returns it.
    axes : matplotlib axes, optional
        A new figure when not given.

    Returns
    -------
    Figure
    """
    require_made(curve, {"flux", "error", "radius", "band"}, "[[|: hstcube.curve_of_growth]]")
    figure, (axis,) = on_axes(axes, 1, _one)
    for i, colour in enumerate(colours(curve.sizes["band"])):
        total = float(curve.flux.values[i, -1])
        axis.errorbar(
            curve.radius.values, curve.flux.values[i] / total, curve.error.values[i] / abs(total),
            color=colour, lw=1, elinewidth=0.7, label=str(curve.band.values[i]),
        )  # fmt: skip
    axis.axhline(1, color=GREY, lw=0.8, zorder=0)
    axis.set_xlim(0, None)
    labelled(axis, "radius [arcsec]", "flux within / in the largest")
    axis.legend(fontsize=7, frameon=False, loc="lower right")
    return figure


def growth(curve: xr.Dataset) -> Figure:
    """Draw curves of growth; see `growth_curve`."""
    return growth_curve(curve)


def radial_profile(profile: xr.Dataset, *, axes: Any = None) -> Figure:
    """Draw the surface brightness against the radius, logarithmic.

    Parameters
    ----------
    profile : Dataset
        As `hstcube.radial_profile` returns it.
    axes : matplotlib axes, optional
        A new figure when not given.

    Returns
    -------
    Figure
        Errors are 1 sigma. A ring that is fainter than its error is a triangle at this error plus
        what is positive of its brightness: an upper limit.
    """
    require_made(
        profile, {"brightness", "error", "radius", "band"}, "[[|: hstcube.radial_profile]]"
    )
    figure, (axis,) = on_axes(axes, 1, _one)
    radius = profile.radius.values
    for i, colour in enumerate(colours(profile.sizes["band"])):
        bright, error = profile.brightness.values[i], profile.error.values[i]
        seen = bright > error
        name = str(profile.band.values[i])
        axis.errorbar(
            radius[seen], bright[seen], error[seen], fmt="o-", ms=3, color=colour, lw=1,
            elinewidth=0.7, label=name,
        )  # fmt: skip
        faint = ~seen & np.isfinite(bright)
        limit = np.clip(bright[faint], 0, None) + error[faint]
        axis.plot(radius[faint], limit, "v", ms=3, color=colour, mfc="none", mew=0.7)
    axis.set_yscale("log")
    axis.set_xlim(0, None)
    labelled(axis, "radius [arcsec]", f"brightness [{profile.brightness.attrs.get('units', '')}]")
    plain_ticks(axis.yaxis)
    axis.legend(fontsize=7, frameon=False)
    return figure


def sed(
    table: Any,
    *ids: int,
    scale: Scale = "linear",
    cube: xr.Dataset | None = None,
    groups: Any = None,
    axes: Any = None,
) -> Figure:
    """Draw the spectral energy distributions of groups, and where they are.

    Parameters
    ----------
    table : QTable or Dataset
        As `photometry` returns it; or a pixel, as `sed_at` does.
    *ids : int
        Which groups; the first eight rows when none is given.
    scale : {"linear", "log"}
        Of both axes. Logarithmic, a flux below its error is a triangle: an upper limit of 1 sigma
        above what is positive of it.
    cube, groups : optional
        What the table was made of: the groups are then outlined on the reddest band beside it.
    axes : array of matplotlib axes, optional
        One, or two where `cube` and `groups` are given; a new figure when not given.

    Returns
    -------
    Figure
        Flux [uJy] at the pivot wavelengths with 1 sigma errors; negative fluxes are where they are.
    """
    require_choice("scale", scale, Scale)
    of_pixel = {"flux", "error", "pivot", "x", "y"} <= {*getattr(table, "variables", ())}
    table = _row_of(table) if of_pixel else table
    require_made(table, {"id"}, "[[|: hstcube.photometry or hstcube.sed_at]]")
    placed = cube is not None and groups is not None
    figure, both = on_axes(axes, 2 if placed else 1, lambda: _spectrum_panels(placed=placed))
    chosen = ids or tuple(table["id"][:_AT_ONCE].tolist())
    for number in chosen:
        if number not in table["id"]:
            reason = f"there is no group {number} in the table"
            raise RecipeError("HC-B42", reason, f"choose from {_few(table['id'].tolist())}")
    colour_of = dict(zip(chosen, colours(len(chosen)), strict=True))
    pivot = _pivots(table)
    for number, colour in colour_of.items():
        row = table[table["id"] == number][0]
        _draw_spectrum(both[0], row, pivot, colour, log=scale == "log")
    _name_bands(both[0], pivot, log=scale == "log")
    both[0].legend(
        fontsize=7, frameon=False, title="pixel" if of_pixel else "group", title_fontsize=7
    )
    if cube is not None and groups is not None:
        _draw_places(both[1], taken(cube), groups, colour_of)
    return figure


def _row_of(pixel: xr.Dataset) -> Any:
    """Return the fluxes of one pixel as a table of one group."""
    from astropy import units
    from astropy.table import QTable

    columns: dict[str, Any] = {"id": [f"x {pixel.x.item():g}, y {pixel.y.item():g}"]}
    names = pixel.band.values.tolist()
    for i, name in enumerate(names):
        columns[f"flux_{name}"] = [pixel.flux.values[i]] * units.uJy
        columns[f"error_{name}"] = [pixel.error.values[i]] * units.uJy
    return QTable(columns, meta={"pivot": dict(zip(names, pixel.pivot.values, strict=True))})


def _draw_spectrum(axis: Any, row: Any, pivot: dict[str, float], colour: Any, *, log: bool) -> None:
    """Draw one spectrum; where it is logarithmic what is no detection is a triangle."""
    microns = np.array([*pivot.values()]) / 1e4
    flux = np.array([float(row[f"flux_{name}"].value) for name in pivot])
    error = np.array([float(row[f"error_{name}"].value) for name in pivot])
    seen = flux > error if log else np.full(flux.shape, fill_value=True)
    axis.errorbar(
        microns[seen], flux[seen], error[seen], fmt="o-", ms=3, lw=0.8, color=colour,
        label=str(row["id"]),
    )  # fmt: skip
    limit = np.clip(flux[~seen], 0, None) + error[~seen]
    axis.plot(microns[~seen], limit, "v", ms=4, color=colour, mfc="none", mew=0.8)


def _name_bands(axis: Any, pivot: dict[str, float], *, log: bool) -> None:
    """Name both axes, the bands along the upper edge, and how wide they are along the lower."""
    microns = np.array([*pivot.values()]) / 1e4
    half = np.array([next((one.width for one in cameras(name)), np.nan) for name in pivot]) / 2e4
    heights = np.where(np.arange(len(microns)) % 2, *_BARS)  # of neighbours, that overlap
    axis.errorbar(
        microns, heights, xerr=half, fmt="none", ecolor=GREY, elinewidth=2.5, gid="widths",
        transform=axis.get_xaxis_transform(),
    )  # fmt: skip
    if log:
        axis.set(xscale="log", yscale="log")
        plain_ticks(axis.xaxis, axis.yaxis)
    else:
        axis.axhline(0, color=GREY, lw=0.8, zorder=0)
    labelled(axis, "wavelength [micron]", "flux [uJy]")
    upper = axis.secondary_xaxis("top")
    upper.set_xticks(microns, labels=[*pivot], rotation=90)
    upper.set_xticks([], minor=True)
    upper.tick_params(labelsize=6.5, length=2)


def _draw_places(axis: Any, cube: xr.Dataset, groups: Any, colour_of: dict[int, Any]) -> None:
    """Outline groups on the reddest band, in the colours of their spectra."""
    found = at_middles(group_map(cube, groups), square_of(cube))
    (cube,) = overviews(cube.isel(band=[-1]), of=[cube])
    place, one = Place.of(cube), plane(cube, 0)
    image = one.sci.values / sky_noise(one)
    axis.imshow(
        image, origin="lower", cmap="gray_r", norm=stretched(image, one.mask.values),
        extent=place.extent, interpolation="nearest",
    )  # fmt: skip
    for number, colour in colour_of.items():
        outline(axis, place, found == number, colour=colour, width=1.5)
    said = averages_of(cube)
    title = f"{field_name(cube)}   {one.band.item()}"
    finish(axis, place, title="\n".join(filter(None, (title, said))))
    scale_bar(axis, place)
    compass(axis, place)
    psf_circle(axis, place, float(one.psf_fwhm))


def _spectrum_panels(*, placed: bool) -> Any:
    if not placed:
        figure, axis = one_panel((4.8, 3.8))
        return figure, [axis]
    figure = new_figure(8.4, 3.9)
    return figure, figure.subplots(1, 2, width_ratios=(1.15, 1)).tolist()


def _few(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:_AT_ONCE])) + (", ..." if len(ids) > _AT_ONCE else "")


def _one() -> Any:
    figure, axis = one_panel()
    return figure, [axis]


def _pivots(table: Any) -> dict[str, float]:
    """Return the pivot wavelengths of a table's bands, increasing."""
    said = dict(table.meta.get("pivot") or {})
    if not said:  # those of a FITS table stand one in a card
        for key, value in table.meta.items():
            if key.lower().startswith("pivot "):
                said[key.split()[1]] = value
    return {str(name): float(said[name]) for name in sorted(said, key=said.__getitem__)}
