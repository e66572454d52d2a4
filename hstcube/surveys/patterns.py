"""Patterns of file names: what stands in braces is found, and tells what a file is."""

from __future__ import annotations

import re
from functools import lru_cache

from hstcube.errors import RecipeError

__all__ = ["IMAGES", "STAMPS", "expression", "of_both_kinds", "release_expression"]

IMAGES = "{field}_{scale}_{band}_{kind}.fits"
STAMPS = "new_stamps"  # the folder beside maps and levels that images may lie in

# behind a filter that several cameras have
_CAMERA = "(?i:acs|wfc3|wfc|hrc|uvis|ir|wfpc2|nircam|niriss|miri)"
_PARTS = {
    "field": r"(?P<field>.+?)",
    "scale": r"(?P<scale>[0-9.]+mas)",
    "band": rf"(?P<band>[fF]?\d{{3,4}}[a-zA-Z]{{0,2}}2?[uUnN]?(?:-{_CAMERA})?)",
    "digits": r"(?P<band>\d{3,4})",
    "kind": r"(?P<kind>sci|wht)",
}
# of releases: a band is one of HST or JWST, with a letter of its camera or what is in the pupil
_FILTER = r"f\d{3,4}(?:lp|[wmnx]2?)[un]?"
_OF_RELEASES = {
    "field": r"(?P<field>[a-z0-9].*?)",
    "scale": r"(?P<scale>\d[0-9.]*mas)",
    "band": rf"(?P<band>(?:clearp?-)?{_FILTER}(?:-(?:clearp?|{_CAMERA}|{_FILTER}))?)",
    "camera": r"[^_]+?",
    "version": r"v?\d.*?",
    "visit": r"[a-z0-9]{6}",
    "drz": r"dr[cz]",
    "any": r".*?",
}
_PACKED = r"(?:\.gz|\.fz)?"


def expression(pattern: str) -> re.Pattern[str]:
    """Return the expression for names like a pattern's, packed ones too.

    Parameters
    ----------
    pattern : str
        Holds ``{field}``, ``{scale}``, ``{band}`` or ``{digits}``, and ``{kind}``.

    Raises
    ------
    RecipeError
        If it holds anything else in braces.
    """
    stem = re.sub(r"(\.gz|\.fz)$", "", pattern)
    if unknown := [name for name in re.findall(r"\{(\w+)\}", stem) if name not in _PARTS]:
        raise RecipeError(
            "HC-B18", f"the pattern {pattern!r} holds {{{unknown[0]}}}", f"use {', '.join(_PARTS)}"
        )
    return re.compile(_filled(stem, _PARTS) + _PACKED)


@lru_cache(maxsize=256)
def release_expression(pattern: str, kinds: tuple[str, ...]) -> re.Pattern[str]:
    """Return the expression for the names of a release; capitals are as good as small letters.

    Parameters
    ----------
    pattern : str
        Of a row of ``releases.csv``.
    kinds : tuple of str
        What ``{kind}`` may be.
    """
    words = "|".join(map(re.escape, sorted(kinds, key=len, reverse=True)))
    parts = {**_OF_RELEASES, "kind": f"(?P<kind>{words})"}
    return re.compile(_filled(pattern, parts) + _PACKED, re.IGNORECASE)


def _filled(pattern: str, parts: dict[str, str]) -> str:
    pieces = re.split(r"\{(\w+)\}", pattern)
    text = re.escape(pieces[0])
    seen: set[str] = set()
    for name, literal in zip(pieces[1::2], pieces[2::2], strict=True):
        again = name in seen and "(?P<" in parts[name]
        text += f"(?P={name})" if again else parts[name]
        text += re.escape(literal)
        seen.add(name)
    return text


def of_both_kinds(pattern: str) -> str:
    """Return a pattern of science images as one of both kinds: 'wht' stands where 'sci' does.

    Raises
    ------
    RecipeError
        If it does not tell field, band, and sci from wht.
    """
    told = "{kind}" in pattern or "sci" in pattern
    if not (told and "{field}" in pattern and ("{band}" in pattern or "{digits}" in pattern)):
        raise RecipeError(
            "HC-B18",
            f"the pattern {pattern!r} does not tell field, band, and sci from wht",
            "write e.g. '{field}_{band}_{kind}.fits'",
        )
    if "{kind}" in pattern:
        return pattern
    return "{kind}".join(pattern.rsplit("sci", 1))
