"""What a FITS file holds, by its headers, as the rest of the package understands them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hstcube.core.bands import cameras
from hstcube.core.grids import Grid
from hstcube.errors import FileError, HstCubeError
from hstcube.fits.opening import headers_of, located
from hstcube.phot.units import header_zeropoints
from hstcube.surveys.filters import filters_said

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["contents_of"]


def contents_of(path: str | Path) -> list[dict[str, Any]]:
    """Return what each header-data unit of a FITS file is; no pixel is read.

    Parameters
    ----------
    path : path
        Plain, or packed by gzip.

    Returns
    -------
    list of dict
        ``name``, ``shape`` (rows last), ``unit``, ``filter``, ``camera``, ``scale`` [arcsec],
        ``zeropoint`` [AB mag] and where that is from; None for what the header does not say, or
        the primary header before it.

    Raises
    ------
    FileError
        If it is no FITS file, or a header is damaged.
    """
    path = Path(path)
    with located(path):
        headers = [dict(header) for header in headers_of(path)]
        if not headers or "SIMPLE" not in headers[0]:
            reason = "does not begin with SIMPLE, as a FITS file does"
            raise FileError("HC-F04", reason, "get it again, or name another file")
    first = headers[0]
    return [_unit(header, {**first, **header}) for header in headers]


def _unit(own: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    number = int(own.get("ZNAXIS", own.get("NAXIS", 0)))
    axes = [own.get(f"ZNAXIS{i}", own.get(f"NAXIS{i}")) for i in range(number, 0, -1)]
    table = str(own.get("XTENSION", "")).strip() == "BINTABLE" and "ZNAXIS" not in own
    filters = filters_said(header) if axes and not table else []
    found: dict[str, Any] = {
        "name": str(own.get("EXTNAME", "PRIMARY" if "SIMPLE" in own else "")).strip(),
        "kind": "table" if table else "image" if axes else "header alone",
        "shape": axes or None,
        "unit": str(own.get("BUNIT", "")).strip() or None,
        "filter": filters[0] if filters else None,
        "camera": None,
        "scale": None,
        "zeropoint": None,
        "by": None,
    }
    if found["kind"] != "image":
        return found
    words = (str(header.get(key, "")).strip() for key in ("INSTRUME", "DETECTOR"))
    found["camera"] = "/".join(filter(None, words)) or None
    found["scale"] = _scale(own, axes)
    pivot = next((one.pivot for one in cameras(found["filter"])), 0.0) if filters else 0.0
    try:
        zero = header_zeropoints(header, found["unit"] or "", pivot)
    except HstCubeError:
        return found
    for source, value in list(zero.items())[:1]:
        found |= {"zeropoint": round(value, 4), "by": source}
    return found


def _scale(header: Mapping[str, Any], axes: list[Any]) -> float | None:
    try:
        ny, nx = map(int, axes[-2:])
        return round(Grid.from_header(header, shape=(ny, nx)).scale, 5)
    except (HstCubeError, TypeError, ValueError):
        return None
