"""How a run is done: its options, its object, and where each band's sky level comes from."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

from hstcube.assembly.opening import Align
from hstcube.core.bands import names_among
from hstcube.errors import LabelError, RecipeError
from hstcube.files.cubes import Noise, Products
from hstcube.files.levels import read_levels
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import whole_number
from hstcube.pipeline.recipe import Recipe, require_map, require_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import xarray as xr

    from hstcube.assembly.psfs import PSFChoice
    from hstcube.pipeline.plan import Target
    from hstcube.surveys.names import FieldFiles

__all__ = [
    "Chosen",
    "Options",
    "Sky",
    "SkyPlan",
    "chosen_object",
    "neighbours_of",
    "physical_memory",
    "plan_sky",
    "require_object_or_all",
]

Sky = Literal["measure", "none"]
Auto = Literal["auto"]
Chunks = Auto | int | None

_SMALLEST = 64  # pixels: smaller than the margins of most kernels
_SHARE = 0.25  # of the memory: a cube in memory takes four times its images while it is made


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is done.

    ``recipe`` holds keyword arguments of `homogenize`; ``bands`` are all when empty; ``masked`` is
    whether a segmentation map chooses pixels; ``sky`` "measure" or "none" goes before levels in
    files; ``psf``, ``psf_fwhm`` [arcsec], ``onto``, ``align`` and ``units`` are those of
    `open_field`, but ``onto`` may be "labels" too (the grid of the map); ``exclude`` is a file of
    DS9 regions that are neither object nor sky; ``noise``, ``layout`` and ``apply_mask`` those of
    `to_fits`, but ``layout`` may be "netcdf" too (one file a field, no FITS); with
    ``measure_noise`` noise of which nothing is known is measured on the field's own blank sky
    (`with_own_noise`), else taken as white; ``strict`` takes
    warnings for errors; ``chunks`` is the side of the blocks in which mosaics are made [pixels],
    "auto" for blocks where the images would fill a quarter of the memory, None for whole images.
    """

    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)
    bands: tuple[str, ...] = ()
    masked: bool = True
    sky: Sky | None = None
    noise: Noise | None = None
    measure_noise: bool = False
    layout: Products = "files"
    apply_mask: bool = False
    netcdf: bool = True
    overwrite: bool = False
    strict: bool = False
    psf: PSFChoice = "auto"
    psf_fwhm: dict[str, float] = dataclasses.field(default_factory=dict)
    onto: str | None = None
    align: Align | None = None
    exclude: str | None = None
    units: str | None = None
    chunks: Chunks = "auto"

    def __post_init__(self) -> None:
        require_recipe(self.kind, self.recipe.get("neighbours", "mask"))
        require_choice("layout", self.layout, Products)
        if self.layout == "netcdf" and not self.netcdf:
            fix = "[[leave out --no-netcdf or --layout netcdf|ask for one of them]]"
            raise RecipeError("HC-B22", "neither FITS nor netCDF is left to write", fix)
        if isinstance(self.chunks, str):
            require_choice("chunks", self.chunks, Auto)
        elif self.chunks is not None:
            whole_number(self.chunks, "chunks", least=_SMALLEST)
        if self.sky is not None:
            require_choice("sky", self.sky, Sky)
        if self.noise is not None:
            require_choice("noise", self.noise, Noise)
        if self.align is not None:
            require_choice("align", self.align, Align)

    def blocks_for(self, files: FieldFiles) -> dict[str, int] | None:
        """Return the blocks in which the images of a field are opened; None for whole images."""
        if self.chunks is None:
            return None
        if not isinstance(self.chunks, str):
            return {"y": self.chunks, "x": self.chunks}
        bands = [files.bands.get(band) for band in names_among(self.bands, files.bands)]
        paths = [path for band in bands if band for path in (*band.sci, *band.wht)]
        sizes = [path.stat().st_size for path in paths if path.is_file()]
        return {} if sum(sizes) > _SHARE * physical_memory() else None

    @property
    def kind(self) -> Recipe:
        """Which of the recipes it is."""
        kind: Recipe = self.recipe.get("recipe", "default")
        return kind


class Chosen(TypedDict):
    """Which pixels of a map are the object: arguments of `homogenize`."""

    ids: tuple[int, ...]
    grow: int
    largest: bool


def chosen_object(target: Target, options: Options) -> Chosen:
    """Return what a run takes for the object of a target: its own words go before the recipe's."""
    said = options.recipe
    if not options.masked:
        return {"ids": (), "grow": said.get("grow", 1), "largest": False}
    return {
        "ids": target.ids or tuple(said.get("ids", ())),
        "grow": said.get("grow", 1),
        "largest": target.files.largest or said.get("largest", False),
    }


def require_object_or_all(target: Target, options: Options) -> None:
    """Refuse a choice of pixels where all are asked for; what a field file says is no question.

    Raises
    ------
    LabelError
        It names what was asked for.
    """
    if options.masked:
        return
    said, ids = options.recipe, "[[--ids|ids=]]"
    asked = {
        ids: target.ids != target.files.ids or said.get("ids"),
        "[[--largest|largest=]]": said.get("largest"),
        "[[--neighbours|neighbours=]]": said.get("neighbours", "mask") != "mask",
        "[[--recipe original|recipe='original']]": options.kind == "original",
    }
    for words in (words for words, wanted in asked.items() if wanted):
        reason = f"all pixels are asked for, and {words} chooses some by a map"
        raise LabelError("HC-S16", reason, f"leave one out: [[--no-mask|masked=]] or {words}")


def neighbours_of(files: FieldFiles) -> dict[str, Any]:
    """Return what a field file says of other sources, as an argument of `homogenize`."""
    return {} if files.neighbours is None else {"neighbours": files.neighbours}


class SkyPlan(NamedTuple):
    """Where the sky level of each band comes from.

    ``known`` are levels with their standard errors [units of the images], NaN where it is not
    known; ``missing`` are bands whose level is to be measured; ``origin`` says it in words.
    """

    known: Mapping[str, tuple[float, float]]
    missing: tuple[str, ...]
    origin: str


def plan_sky(
    files: FieldFiles,
    bands: Sequence[str],
    labels: xr.DataArray | None,
    *,
    scale: float | Mapping[str, float],
    to: float | None = None,
    sky: Sky | None = None,
    setting: Any = None,
    factor: Callable[[str, str, float], float] | None = None,
) -> SkyPlan | None:
    """Decide where the sky level of each band comes from; None when the sky stays in.

    Parameters
    ----------
    files : FieldFiles
    bands : sequence of str
    labels : DataArray or None
        The segmentation map that tells the blank pixels.
    scale, to : float, or mapping of band to float
        Pixel scales of levels that do not say theirs, and of the cube, as in `read_levels`.
    sky : {"measure", "none"}, optional
        Measure all levels, or subtract none. Files give them, where there are any, when not given.
    setting : "measure" or float, optional
        What a recipe says.
    factor : callable, optional
        What levels are multiplied by, as in `read_levels`.

    Raises
    ------
    SkyError
        If a level cannot be read, or is to be measured and there is no map.
    """
    if sky is not None:
        require_choice("sky", sky, Sky)
    if sky == "none":
        return None
    if isinstance(setting, int | float):
        return SkyPlan(dict.fromkeys(bands, (float(setting), math.nan)), (), "from the recipe")
    known: Mapping[str, tuple[float, float]] = {}
    if "measure" not in (sky, setting):
        known = read_levels(files, bands, scale=scale, to=to, factor=factor)
    missing = tuple(name for name in bands if name not in known)
    if not missing:
        return SkyPlan(known, missing, "from files")
    beside = " beside detected sources" if "detected" in require_map(labels).attrs else ""
    if not known:
        return SkyPlan(known, missing, f"measured{beside}")
    where = f"measured{beside} in {', '.join(missing)}"
    return SkyPlan(known, missing, f"{where}, else from files")


def physical_memory() -> int:
    """Return the memory of this machine, bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
