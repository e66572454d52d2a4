"""What `run` and `check` were asked for, of what was typed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hstcube.errors import HstCubeError
    from hstcube.pipeline.options import Chunks, Options, Sky
    from hstcube.pipeline.plan import Target

__all__ = ["by_band", "options_of", "targets_of"]

_OF_A_BAND = re.compile(r"[\w-]+=")  # a path before = would have a point or a slash


def targets_of(
    source: Path,
    field: list[str] | None,
    ids: list[str] | None,
    *,
    sky: str | None,
    fields: Path | None = None,
    pivot: list[str] | None = None,
    refuse: Callable[[HstCubeError], None] | None = None,
    **places: Any,
) -> list[Target]:
    """Return the targets of `run` and `check`; `sky` may be a place where levels are."""
    from hstcube.pipeline.plan import plan, with_pivots

    if fields is not None:
        from hstcube.jobs.fields import field_names

        field = [*(field or ()), *field_names(fields)]
    place = None if sky in ("measure", "none") else sky
    targets = plan(source, field or [], ids or [], sky=place, refuse=refuse, **places)
    pivots = {band: _number(text) for band, text in by_band(pivot, "--pivot").items()}
    return with_pivots(targets, pivots) if pivots else targets


def options_of(
    *,
    recipe: str,
    to: str | None,
    allow: list[str] | None,
    largest: bool,
    bands: list[str] | None,
    sky: str | None,
    psf: list[str] | None,
    psf_fwhm: list[str] | None,
    poisson: str | None,
    neighbours: str | None = None,
    chunks: str = "auto",
    **how: Any,
) -> Options:
    """Return what `run` and `check` were asked for; options go before what a recipe file says."""
    from hstcube.pipeline.options import Options
    from hstcube.pipeline.photons import photon_option

    settings = _recipe(recipe)
    settings |= {"to": to} if to else {}
    settings |= {"allow": list(allow)} if allow else {}
    settings |= {"largest": True} if largest else {}
    settings |= {} if poisson is None else {"poisson": photon_option(poisson)}
    settings |= {} if neighbours is None else {"neighbours": neighbours}
    level = cast("Sky", sky) if sky in ("measure", "none") else None
    widths = {band: _arcsec(text) for band, text in by_band(psf_fwhm, "--psf-fwhm").items()}
    return Options(
        recipe=settings,
        bands=tuple(bands or ()),
        sky=level,
        psf=_psfs(psf),
        psf_fwhm=widths,
        chunks=_chunks(chunks),
        **how,
    )


def _chunks(text: str) -> Chunks:
    if text in ("auto", "none"):
        return "auto" if text == "auto" else None
    try:
        return int(text)
    except ValueError:
        msg = f"{text!r} is not auto, none, or a number of pixels"
        raise typer.BadParameter(msg, param_hint="--chunks") from None


def _psfs(given: list[str] | None) -> str | dict[str, str]:
    """Return what --psf says: a word or a file for all bands, and files of single ones."""
    alone = [text for text in given or () if not _OF_A_BAND.match(text)]
    if len(alone) > 1:
        msg = f"{' and '.join(alone)} are each for all bands; name the bands, as in f160w=FILE"
        raise typer.BadParameter(msg, param_hint="--psf")
    named = by_band([text for text in given or () if text not in alone], "--psf")
    others = alone[0] if alone else "auto"
    return named | {"others": others} if named else others


def by_band(given: list[str] | None, option: str) -> dict[str, str]:
    """Return what an option says of each band, of texts such as f160w=0.18."""
    pairs = [text.partition("=")[::2] for text in given or ()]
    for text, (band, said) in zip(given or (), pairs, strict=True):
        if not band or not said:
            msg = f"{text!r} is not a band and what is said of it, as in f160w=..."
            raise typer.BadParameter(msg, param_hint=option)
    return dict(pairs)


def _number(text: str) -> float | str:
    """Return a number, or a text that has a unit: 15000, 1.5um."""
    try:
        return float(text)
    except ValueError:
        return text


def _arcsec(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = f"{text!r} is not a number [arcsec]"
        raise typer.BadParameter(msg, param_hint="--psf-fwhm") from None


def _recipe(name: str) -> dict[str, Any]:
    from hstcube.pipeline.recipe import read_recipe

    if name.endswith(".toml"):
        return read_recipe(name)
    if name not in ("default", "original"):
        msg = f"{name!r} is not one of default, original, or the name of a .toml file"
        raise typer.BadParameter(msg, param_hint="--recipe")
    return {"recipe": name}
