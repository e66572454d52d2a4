"""What a run will do: its targets, its options, and where each band's sky level comes from."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube.assembly.psfs import psf_files
from hstcube.core.bands import names_among, numbers_by_band
from hstcube.errors import BandError, HstCubeError, RecipeError, WriteError
from hstcube.files.fields import grid_of
from hstcube.fits.local import as_path, missing
from hstcube.fits.reads import same_file
from hstcube.fits.writing import require_free_names
from hstcube.inputs.names import checked_name
from hstcube.pipeline.photons import photon_maps, photon_setting_of
from hstcube.surveys.beside import SKY_SCALE, Places, labels_file, other_scale, sky_file
from hstcube.surveys.field_file import read_field_file
from hstcube.surveys.names import (
    FieldFiles,
    chosen_fields,
    find_field,
    list_fields,
)
from hstcube.surveys.releases import no_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from hstcube.pipeline.options import Options

__all__ = [
    "Target",
    "plan",
    "products_of",
    "require_free",
    "require_outside",
    "target_of",
    "with_pivots",
]

_TARGET = re.compile(
    r"(?P<name>[^=]+)=(?:(?P<field>[^:]+):)?(?P<ids>\d{1,18}(?:,\d{1,18})*)", re.ASCII
)


@dataclass(frozen=True)
class Target:
    """An object to make a cube of: a name, the files of its field, and its labels' ids.

    The central object of the map where there are no ids.
    """

    name: str
    files: FieldFiles
    ids: tuple[int, ...] = ()


def plan(
    source: str | Path,
    fields: Sequence[str],
    ids: Sequence[str],
    *,
    scale: str | None = None,
    refuse: Callable[[HstCubeError], None] | None = None,
    **places: str | None,
) -> list[Target]:
    """Return the targets of a run.

    Parameters
    ----------
    source : path
        A folder of images, one file of them, or a field file.
    fields : sequence of str
        Names of fields; all of the folder when empty.
    ids : sequence of str
        ``"943=22950,22951"`` gives the ids of field 943; ``"m3=3:24353,24350"`` makes a further
        target, m3, of field 3.
    scale : str, optional
        Label of the pixel scale in file names, or "mixed"; see `find_field`.
    refuse : callable, optional
        Is told of every target that cannot be; the first is raised when not given.
    **places : str, optional
        ``images``, ``labels``, ``sky``; see `list_fields`.

    Raises
    ------
    FileError
        If a field is not there.
    RecipeError
        If `ids` cannot be understood, or two targets have one name.
    """
    images = places.get("images")
    if images and "{" in images and "{scale}" not in images:
        scale = ""  # these names say no scale, so there is none to choose
    found = _found(source, scale, fields, places)

    def files_of(name: str) -> FieldFiles:
        if name in found:
            return found[name]
        if Path(source).suffix == ".toml":
            what, fix = f"field {name!r}", f"it is called {', '.join(found)}"
            raise missing(what, fix, file=source)
        return find_field(source, name, scale=scale, **places)  # raises, saying what there is

    refused: list[HstCubeError] = []
    kept = partial(_kept, refused, refuse)
    targets: dict[str, Target] = {}
    for name in fields or found:
        with kept():
            files = files_of(name)
            targets[name] = Target(name, files, files.ids)
    _add_wishes(targets, ids, files_of, kept, chosen=bool(fields))
    if not targets and not refused:
        if not list_fields(source, images=images):
            raise no_images(Path(source), images)
        fix = f"see what is there: [[hstcube ls {source}|hstcube.list_fields({str(source)!r})]]"
        what = f"images at {SKY_SCALE if scale is None else scale}"
        raise missing(what, fix, file=source, verb="are")
    return list(targets.values())


def target_of(given: Any) -> Target:
    """Return a target as it is given, or the object of a field's files.

    Raises
    ------
    RecipeError
        If it is neither.
    """
    if isinstance(given, FieldFiles):
        return Target(given.field, given, given.ids)
    if isinstance(given, Target):
        return given
    fix = "give one of what [[hstcube ls FOLDER|hstcube.list_fields(folder)]] lists"
    raise RecipeError("HC-B17", f"a {type(given).__name__} is no field of a folder", fix)


def with_pivots(targets: Sequence[Target], given: Mapping[str, Any]) -> list[Target]:
    """Return targets whose bands have the pivot wavelengths that are given [Angstrom].

    Raises
    ------
    BandError
        If a band is named that no target has.
    HstCubeError
        If a wavelength is no positive number.
    """
    there = {name for target in targets for name in target.files.bands}
    pivots = numbers_by_band("AA", given, "[[--pivot|pivot]]", there=there, above=0)
    if targets and (unknown := sorted(pivots.keys() - there)):
        listed = f"there are {', '.join(sorted(there))}"
        raise BandError("HC-B01", f"no field has a band {unknown[0]}", listed, band=unknown[0])
    return [
        dataclasses.replace(target, files=target.files.with_pivots(pivots)) for target in targets
    ]


def _found(
    source: str | Path,
    scale: str | None,
    fields: Sequence[str],
    places: Mapping[str, str | None],
) -> dict[str, FieldFiles]:
    """Return the fields of a folder, or the one of a field file, by name."""
    if Path(source).suffix == ".toml":
        listed = [_of_field_file(source, scale, **places)]
    else:
        listed = chosen_fields(source, scale=scale, fields=fields, **places)
    return {files.field: files for files in listed}


def _of_field_file(
    source: str | Path,
    scale: str | None,
    images: str | None = None,
    labels: str | None = None,
    sky: str | None = None,
) -> FieldFiles:
    """Return the field of a field file; what was asked for goes before what the file says."""
    files = read_field_file(source)
    if images:
        reason = "is a field file, which names its images; others are asked for beside it"
        fix = "leave [[--images|images=]] out, or give the folder"
        raise RecipeError("HC-B44", reason, fix, str(source))
    if scale:
        _require_scale(files, scale, source)
    places = Places(Path(source).parent, labels, sky, [])
    if labels:
        files = replace(files, labels=labels_file(places, files.field, files.scale), hdu=None)
    if sky:
        bands = {
            name: replace(band, sky=sky_file(places, files.field, files.scale, name))
            for name, band in files.bands.items()
        }
        files = replace(files, bands=bands)
    return files


def _require_scale(files: FieldFiles, scale: str, source: str | Path) -> None:
    """Refuse the label of another pixel scale than that of a field file's first image."""
    try:
        step = grid_of(files).scale
    except HstCubeError:
        return  # what is wrong with the image is said by itself
    if other_scale(scale, step):
        reason = f"is a field file with images of {1000 * step:.3g} mas, not of {scale}"
        fix = "leave [[--scale|scale=]] out, or give the folder"
        raise RecipeError("HC-B44", reason, fix, str(source))


def _add_wishes(
    targets: dict[str, Target],
    ids: Sequence[str],
    files_of: Callable[[str], FieldFiles],
    kept: Callable[[], AbstractContextManager[None]],
    *,
    chosen: bool,
) -> None:
    """Add what --ids asks for."""
    for text in ids:
        with kept():
            wish = _parsed(text)
            _require_possible(wish, targets, chosen=chosen)
            targets[wish.name] = Target(wish.name, files_of(wish.field or wish.name), wish.ids)
    with kept():
        _require_unlike(list(targets))


@contextlib.contextmanager
def _kept(
    refused: list[HstCubeError], refuse: Callable[[HstCubeError], None] | None
) -> Iterator[None]:
    """Tell of an error and go on, where somebody listens."""
    try:
        yield
    except HstCubeError as error:
        if refuse is None:
            raise
        refused.append(error)
        refuse(error)


def require_outside(
    out: str | Path, source: str | Path, *, images: str | Path | None = None
) -> None:
    """Refuse to write into the folder that the images come from.

    Parameters
    ----------
    out : path
        Folder for what is written.
    source : path
        The folder, or a field file.
    images : path, optional
        Where images are, a folder or a pattern, when they are not in `source`.

    Raises
    ------
    WriteError
        If `out` is, or lies in, that folder; a field file may lie beside its products.
    """
    out, source = as_path(out), as_path(source)
    if images:  # relative to the working folder, or to `source`
        there = Path(images) if Path(images).is_dir() else Path(images).parent
        source = there if there != Path() else source
    folder, place = source.resolve(), out.resolve()
    if source.suffix != ".toml" and (place == folder or folder in place.parents):
        raise WriteError(
            "HC-O06",
            f"the output folder {out} lies inside {source}",
            "choose another one[[ with -o|]]",
            file=str(out),
        )


class _Wish(NamedTuple):
    """What --ids asks for: ids of a target, which is of another field where one is named."""

    text: str
    name: str
    field: str | None
    ids: tuple[int, ...]


def _parsed(text: str) -> _Wish:
    match = _TARGET.fullmatch(text.replace(" ", ""))
    if not match:
        raise RecipeError(
            "HC-B20",
            f"[[--ids|ids]] {text!r} is not understood",
            "write [[--ids 943=22950,22951 or --ids m3=3:24353,24350|"
            "ids=['943=22950,22951'] or ids=['m3=3:24353,24350']]]",
        )
    ids = tuple(map(int, match["ids"].split(",")))
    return _Wish(text, checked_name(match["name"]), match["field"], ids)


def _require_possible(wish: _Wish, targets: Iterable[str], *, chosen: bool) -> None:
    """Refuse ids of a field that is not in the run, and a new target called like another."""
    name = wish.name
    if wish.field is None and chosen and name not in targets:
        raise RecipeError(
            "HC-B21",
            f"[[--ids|ids]] {wish.text} names the field {name}, which is not in this run",
            f"add [[-f {name}|{name!r} to fields]]",
        )
    if wish.field is not None and name.lower() in map(str.lower, targets):
        raise RecipeError(
            "HC-O07", f"two targets are called {name}", "give the new target another name"
        )


def _require_unlike(names: list[str]) -> None:
    lower = Counter(name.lower() for name in names)
    alike = [name for name in names if lower[name.lower()] > 1]
    if alike:
        reason = f"targets {' and '.join(alike)} differ in upper and lower case only"
        raise RecipeError(
            "HC-O07",
            f"{reason}: some disks take them for one",
            "choose one[[ with -f|]], or rename the files of the other",
        )


def require_free(target: Target, out: Path, options: Options) -> None:
    """Look before computing whether the products may be written, and replace no input.

    Raises
    ------
    WriteError
        If one is there already, or is an input of the run.
    """
    bands = names_among(options.bands, target.files.bands)
    whole = out / f"{target.name}.nc"
    _refuse_inputs([whole, *_images_named(target.name, bands, out)], target.files, options)
    require_free_names(products_of(target, out, options), overwrite=options.overwrite)


def products_of(target: Target, out: Path, options: Options) -> list[Path]:
    """Return the files by whose names products of a target are known: one a band, and netCDF."""
    end = "_sci" if options.layout == "files" else ""
    bands = names_among(options.bands, target.files.bands)
    paths = [out / f"{target.name}_{band}{end}.fits" for band in bands]
    return [*paths, out / f"{target.name}.nc"] if options.netcdf else paths


def _refuse_inputs(paths: list[Path], files: FieldFiles, options: Options) -> None:
    """Keep `overwrite` from replacing an input, whatever links lead to it."""
    if (path := same_file(paths, _inputs(files, options))) is not None:
        raise WriteError(
            "HC-O06",
            "is an input of this run",
            "choose another folder with [[-o|out=]]",
            file=str(path),
        )


def _inputs(files: FieldFiles, options: Options) -> list[Path]:
    paths = [path for band in files.bands.values() for path in (*band.sci, *band.wht, band.sky)]
    moved = options.onto is not None
    maps = photon_maps(photon_setting_of(files, options.recipe, list(files.bands), moved=moved))
    maps += psf_files(files, list(files.bands), options.psf)
    return [path for path in (*paths, files.labels, files.psf, *maps) if isinstance(path, Path)]


def _images_named(name: str, bands: Iterable[str], out: Path) -> list[Path]:
    """Return every name that `to_fits` could give to an image of these bands."""
    ends = ("", "_sci", "_wht", "_var", "_mask")
    return [out / f"{name}_{band}{end}.fits" for band in bands for end in ends]
