"""The page of one field: facts, pixels and pictures put into the template."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from hstcube import __version__
from hstcube.core.state import attribute
from hstcube.report.charts import growth_chart, noise_chart, psf_charts, ramp, sky_charts
from hstcube.report.facts import FLUX, MANY
from hstcube.report.pixels import address, png, three_bands
from hstcube.report.verdict import LIMITS, answers, headline, noise_is_off

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hstcube.report.facts import Facts, Given
    from hstcube.report.viewer import Viewer

__all__ = ["numbers_of", "page_of", "rendered"]

_MILLI = 1000  # nJy in a uJy


def page_of(given: Given, facts: Facts, viewer: Viewer, *, notes: Sequence[str], qa: str) -> str:
    """Return the page of a field; `notes` say what is not as usual, `qa` names its numbers."""
    told = answers(facts)
    state, sentence = headline(told)
    record = given.record
    in_micro = facts.unit == FLUX
    return rendered(
        "page.html",
        "viewer.js",
        css=_colours(len(facts.bands)),
        data=viewer.data,
        facts=facts,
        title=attribute(given.cube, "title") or f"Field {facts.field}",
        subtitle=_subtitle(given, facts),
        state=state,
        headline=sentence,
        answers=told,
        limits=LIMITS,
        noise_is_off=noise_is_off,
        has_before=given.before is not None,
        has_model="model" in viewer.data.get("groups", {}),
        colour=address(png(viewer.colour)),
        colour_bands=_colour_bands(facts),
        notes=notes,
        psf_charts=psf_charts(facts),
        noise_chart=noise_chart(facts),
        growth_chart=growth_chart(facts),
        sky_charts=sky_charts(facts),
        fewest=MANY,
        flux_unit="µJy" if in_micro else facts.unit,
        flux_step=_MILLI if in_micro else 1,
        warnings=attribute(given.cube, "warnings").splitlines(),
        history=attribute(given.cube, "history").splitlines(),
        inputs=record.get("inputs", {}),
        versions=record.get("versions", {}),
        recipe=_recipe(record),
        command=record.get("command", ""),
        qa=qa,
    )


def _colour_bands(facts: Facts) -> str:
    """Say which bands the colour image shows as what."""
    chosen = dict.fromkeys(three_bands([band.pivot for band in facts.bands]))
    names = [facts.bands[i].name for i in chosen]
    channels = {1: "", 2: " as red, blue", 3: " as red, green, blue"}[len(names)]
    return ", ".join(names) + channels


def _subtitle(given: Given, facts: Facts) -> str:
    survey = attribute(given.cube, "survey")
    number = len(facts.bands)
    parts = [f"{number} band{'' if number == 1 else 's'}"]
    if facts.target:
        width = f", {facts.bands[-1].fwhm:.2f}″ wide" if facts.bands[-1].fwhm > 0 else ""
        parts.append(f"at the resolution of {facts.target}{width}")
    parts.append(f"{facts.pixels} pixels in the mask")
    return ", ".join(parts) + (f"; survey {survey}" if survey else "")


def _recipe(record: dict[str, Any]) -> str:
    """Return what was asked for, as far as it is not what nobody asked for."""
    said = record.get("options", {})
    told = {key: value for key, value in said.items() if value not in (None, [], {})}
    return ", ".join(f"{key} = {value}" for key, value in told.items())


def _colours(number: int) -> str:
    """Return the style of the curves of bands, on white and on black."""
    pairs = list(enumerate(ramp(number)))
    light = "".join(f".c{i}{{stroke:{one}}}" for i, (one, _) in pairs)
    dark = "".join(f".c{i}{{stroke:{one}}}" for i, (_, one) in pairs)
    return f"{light}\n@media screen and (prefers-color-scheme: dark){{{dark}}}\n"


def rendered(template: str, script: str, *, css: str = "", data: Any = None, **values: Any) -> str:
    """Return a page that loads nothing and runs one script, which is ours: its policy says so.

    Everything that is put into the template is escaped, so that what headers and file names hold
    stays text; inside `data` no tag can begin.
    """
    from markupsafe import Markup

    style, code = _shipped("page.css") + css, _shipped(script)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(code)}'; base-uri 'none'; form-action 'none'"
    )
    text = json.dumps(plain(data), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    values |= {"policy": policy, "css": Markup(style), "script": Markup(code)}
    values |= {"data": Markup(text), "version": __version__}
    return str(_templates().get_template(template).render(values))


def numbers_of(given: Given, facts: Facts) -> bytes:
    """Return the numbers of a page as JSON."""
    told = answers(facts)
    state, sentence = headline(told)
    numbers = {
        "hstcube": __version__,
        "verdict": state,
        "headline": sentence,
        "answers": [one._asdict() for one in told],
        **dataclasses.asdict(facts),
        "edge": facts.edge._asdict(),
        "warnings": attribute(given.cube, "warnings").splitlines(),
        "inputs": given.record.get("inputs", {}),
        "options": given.record.get("options", {}),
        "versions": given.record.get("versions", {}),
        "command": given.record.get("command", ""),
    }
    return json.dumps(plain(numbers), indent=1, allow_nan=False).encode()


def plain(value: Any) -> Any:
    """Return something that JSON holds: None where a number is none."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _shipped(name: str) -> str:
    return resources.files("hstcube.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _templates() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_shipped),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
