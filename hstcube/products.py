"""Our own FITS products, read back to the cube that was written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube._fits import history_lines
from hstcube.bands import band_name
from hstcube.cube import build
from hstcube.errors import FileError
from hstcube.images import inverse_variance, read_plane

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import xarray as xr
    from astropy.io import fits

__all__ = ["find_products", "open_products"]


def find_products(folder: Path, field: str) -> dict[str, dict[str, Path]]:
    """Return the files that `to_fits` wrote for a field: band to kind to path."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob(f"{field}_f*.fits")):
        name, _, kind = path.name[len(field) + 1 : -5].partition("_")
        if kind in ("sci", "wht", "var", "mask", ""):
            found.setdefault(name, {})[kind] = path
    return found


def open_products(products: dict[str, dict[str, Path]], bands: Sequence[str] | None) -> xr.Dataset:
    """Open what `find_products` found; see `hstcube.open_field`."""
    names = [band_name(name) for name in bands] if bands else list(products)
    planes, state, runs = [], [], set()
    for name in names:
        kinds = products.get(name, {})
        paths = {kind: kinds.get("", kinds.get(kind)) for kind in ("sci", "wht", "mask")}
        paths["wht"] = paths["wht"] or kinds.get("var")
        if missing := [kind for kind, path in paths.items() if path is None]:
            raise FileError(
                "HC-F01", f"the product has no {missing[0]} image", "write the cube again with to_fits", band=name
            )
        read = {kind: read_plane(path, kind) for kind, path in paths.items() if path is not None}
        header = read["sci"].header
        if "HSTCUBE" not in header:
            raise FileError(
                "HC-F26",
                "has the name of a product of hstcube but no card HSTCUBE",
                "give the folder of the stamps",
                file=str(paths["sci"]),
                band=name,
            )
        for kind, plane in read.items():
            runs.add(plane.header["CUBEID"])
            read["sci"].grid.require(plane.grid, what=f"sci and {kind} of {name}")
        wht = read["wht"].data
        if read["wht"].header["FILETYPE"] == "VAR":
            wht = inverse_variance(wht, "variance", name)
        planes.append((read["sci"], wht, read["mask"].data > 0))
        state.append(header)
    if len(runs) > 1 or int(state[0]["NBANDS"]) != len(products):
        raise FileError(
            "HC-O20",
            f"the files of field {state[0]['OBJECT']} do not belong to one cube ({len(products)} bands of "
            f"{state[0]['NBANDS']}, {len(runs)} versions): a writer was stopped",
            "write the cube again with overwrite=True",
            file=str(next(iter(products[names[0]].values())).parent),
        )
    return _cube_of(names, planes, state)


def _cube_of(names: list[str], planes: list[Any], headers: list[fits.Header]) -> xr.Dataset:
    def column(key: str) -> list[float]:
        return [float(header.get(key, math.nan)) for header in headers]

    cube = build(
        *(np.stack(arrays) for arrays in zip(*((sci.data, wht) for sci, wht, _ in planes), strict=True)),
        mask=np.stack([mask for _, _, mask in planes]),
        bands=names,
        grid=planes[0][0].grid,
        units=headers[0]["BUNIT"],
        field=headers[0]["OBJECT"],
        title=headers[0].get("TITLE", ""),
        psf_fwhm=column("PSFFWHM"),
        sky=column("SKY"),
        sky_error=column("SKYERR"),
        zeropoint=column("ABZP"),
        pivot=column("PHOTPLAM"),
        matched_to=[header.get("MATCHED", "") for header in headers],
    )
    history, notes = history_lines(headers[0].get("HISTORY", ()))
    extra = {"recipe": headers[0]["RECIPE"]} if "RECIPE" in headers[0] else {}
    return cube.assign_attrs(history=history, warnings=notes, hstcube_schema=int(headers[0]["HSTCUBE"]), **extra)
