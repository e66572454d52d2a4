"""Fields from a store on the network, copied into a folder; nothing else looks beyond the machine.

What is copied is told by names, as `list_fields` reads them: it is shown a folder of empty files.
"""

from __future__ import annotations

import os
import tempfile
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hstcube.core.bands import names_among, names_in
from hstcube.errors import BandError, FileError, HstCubeError, WriteError
from hstcube.fits.local import as_path, split_extension
from hstcube.jobs.fields import field_names
from hstcube.remote.copies import RECORD, Copies
from hstcube.remote.stores import Store, local_name
from hstcube.surveys.beside import LABELS, SKY
from hstcube.surveys.field_file import FITS_NAMES, PHOTON_WORDS, read_field_file
from hstcube.surveys.names import list_fields
from hstcube.surveys.patterns import STAMPS
from hstcube.surveys.releases import bandless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from astropy.table import Table

    from hstcube.remote.stores import Remote
    from hstcube.surveys.names import FieldFiles

    Tell = Callable[[int, int, str], None]

__all__ = ["fetch", "fetch_told"]

# in a folder of images
_FOLDERS = tuple(dict.fromkeys((STAMPS, *(str(Path(name).parent) for name in (LABELS, *SKY)))))
_ENDINGS = (*FITS_NAMES, ".txt", ".toml")
_LARGEST_FIELD_FILE = 2**20  # bytes
_LONGEST = 64  # characters of the name of a field
_SHOWN = 20  # fields that a message lists


def fetch(
    address: str | Sequence[str],
    folder: str | Path,
    *,
    fields: Sequence[str] | str | Path = (),
    bands: Sequence[str] | None = None,
    anon: bool = False,
    overwrite: bool = False,
    **storage: Any,
) -> Table:
    """Copy fields from a store on the network into a folder, by the names of their files.

    Images, their maps, sky levels, PSFs and field files. Each copy is whole or absent, its size is
    that of the store. A copy that is there already, of the same size and version
    (``fetched.jsonl`` in the folder tells), is kept: call it again after it broke off.

    Parameters
    ----------
    address : str, or sequence of str
        A folder of a store (``"s3://bucket/folder"``), laid out as for `list_fields`; or files:
        ``"https://server/a_sci.fits"``; a field file brings what it names.
    folder : path
        Gets the copies.
    fields : sequence of str, or path
        Names of fields, or a file of them as in `run_fields`; all when not given.
    bands : sequence of str, optional
        Only these; all when not given. A file whose name tells no band comes with any.
    anon : bool
        Give no keys: of a store that is open to all.
    overwrite : bool
        Replace files that exist and are no copies, or are of another version.
    **storage
        For the driver of fsspec: ``profile="me"``, ``endpoint_url=...``.

    Returns
    -------
    Table
        A row a file: ``file`` (its name in the folder), ``size`` [bytes], ``status`` ("fetched" or
        "kept"), ``address``.

    Raises
    ------
    FileError
        If the extra ``remote`` is not installed, there is nothing, it may not be read, or breaks
        off.
    BandError
        If no field has a band that is named.
    WriteError
        If a file exists, or the disk has no room.

    Examples
    --------
    >>> import hstcube
    >>> hstcube.fetch("/some/folder", "here")
    Traceback (most recent call last):
        ...
    hstcube.errors.FileError: HC-F41 /some/folder: is no address of a store
      fix: write s3://BUCKET/FOLDER or https://SERVER/FILE; what is here needs no fetching
    """
    wanted = field_names(fields) if isinstance(fields, str | Path) else list(fields)
    how: dict[str, Any] = {"fields": wanted, "bands": bands, "overwrite": overwrite}
    return fetch_told(address, folder, storage=({"anon": True} if anon else {}) | storage, **how)


def fetch_told(
    address: str | Sequence[str],
    folder: str | Path,
    *,
    fields: Sequence[str],
    bands: Sequence[str],
    overwrite: bool,
    storage: Mapping[str, Any],
    tell: Tell = lambda *_: None,
) -> Table:
    """Do as `fetch`; `tell` gets the number of a copy, how many are to come, and its name."""
    from astropy.table import Table

    folder = as_path(folder)
    bands = names_in(bands)
    wanted = _wanted(address, folder, fields, bands, storage)
    copies = Copies(folder)
    missing = {name: one for name, one in wanted.items() if not copies.has(name, one)}
    numbers = iter(range(1, len(missing) + 1))
    copies.make(
        missing,
        overwrite=overwrite,
        tell=lambda name: tell(next(numbers), len(missing), name),
    )
    rows = [
        (
            name,
            (folder / name).stat().st_size,
            "fetched" if name in missing else "kept",
            one.address,
        )
        for name, one in wanted.items()
    ]
    return Table(rows=rows, names=("file", "size", "status", "address"))


def _wanted(
    address: str | Sequence[str],
    folder: Path,
    fields: Sequence[str],
    bands: Sequence[str],
    storage: Mapping[str, Any],
) -> dict[str, Remote]:
    """Return the files to copy, by the names that they get."""
    addresses = [address] if isinstance(address, str) else [str(one) for one in address]
    if not addresses:
        raise FileError("HC-F41", "there is no address", "give at least one")
    store = Store(addresses[0], **storage)
    listed = len(addresses) == 1 and store.is_folder()
    there = store.listed(_FOLDERS) if listed else _named_files(addresses, storage)
    name = PurePosixPath(store.root).name if listed else folder.absolute().name
    with tempfile.TemporaryDirectory(prefix="hstcube-") as place:
        root = Path(place) / (name.strip(".")[:_LONGEST] or "field")
        own = _shown(root, there, strict=not listed)
        if listed or fields or bands:
            paths = _chosen(root, own, store.address, fields, bands)
        else:
            paths = [root / name for name in there]
            paths += chain.from_iterable(_paths_of(files, [*files.bands]) for files in own.values())
        names = dict.fromkeys(_name_of(root, path, store.address) for path in paths)
        owners = {
            os.path.relpath(path, root): there[file.name].store
            for file, files in own.items()
            for path in _paths_of(files, [*files.bands])
        }
    return {
        name: there[name] if name in there else owners[name].beside(name, inside=listed)
        for name in names
    }


def _named_files(addresses: Sequence[str], storage: Mapping[str, Any]) -> dict[str, Remote]:
    """Return files that are named one by one; in folders like those that they lie in there."""
    files: dict[str, Remote] = {}
    for address in addresses:
        name, above = local_name(address), address.split("?")[0].split("/")[-2]
        name = f"{above}/{name}" if above in _FOLDERS else name
        if name in files:
            fix = "fetch them into folders of their own"
            raise WriteError("HC-O08", "is the name of two files", fix, name)
        files[name] = Store(address, **storage).itself()
    return files


def _shown(root: Path, there: Mapping[str, Remote], *, strict: bool) -> dict[Path, FieldFiles]:
    """Make a folder of empty files of the same names; return the field files, which are read.

    A TOML file that was named is a field file or an error; one that was listed may be another one.
    """
    root.mkdir()
    own = {}
    for name, remote in there.items():
        path = root / name
        if not name.lower().endswith(_ENDINGS):
            continue
        path.parent.mkdir(exist_ok=True)
        path.touch()
        if path.suffix == ".toml" and path.parent == root:
            try:
                path.write_bytes(remote.store.read(remote, _LARGEST_FIELD_FILE))
                own[path] = read_field_file(path)
            except HstCubeError as error:
                if strict or error.code.startswith("HC-F4"):
                    error.file = ""
                    error.at(file=remote.address)
                    raise
    return own


def _chosen(
    root: Path,
    own: Mapping[Path, FieldFiles],
    address: str,
    fields: Sequence[str],
    bands: Sequence[str],
) -> list[Path]:
    """Return the files of the fields and bands that are chosen."""
    found = list_fields(root)
    silent = [] if any(not files.release for files in found) else bandless(root)
    there = {files.field for files in (*found, *own.values())} | {field for field, _ in silent}
    _require_fields(address, fields, there)
    mine = {*(fields or there)}
    paths = [path for path, files in own.items() if files.field in mine]
    found = [files for files in (*found, *own.values()) if files.field in mine]
    for files, here in zip(found, _bands_of(found, bands, address), strict=True):
        paths += _paths_of(files, here) if here else ()
    return paths + [path for field, path in silent if field in mine]


def _bands_of(found: Sequence[FieldFiles], bands: Sequence[str], address: str) -> list[list[str]]:
    """Return the bands that are chosen of each field."""
    there = [*dict.fromkeys(chain.from_iterable(files.bands for files in found))]
    meant = names_among(bands, there)
    if there and (unknown := sorted({*meant} - {*there})):
        fix = f"there are {', '.join(sorted(there))}"
        raise BandError("HC-B01", f"no field has a band {unknown[0]}", fix, address, unknown[0])
    return [[band for band in meant if band in files.bands] for files in found]


def _require_fields(address: str, fields: Sequence[str], there: set[str]) -> None:
    listed = ", ".join(sorted(there)[:_SHOWN])
    if not there:
        reason, fix = "holds no images with the names of fields", "check the address"
        raise FileError("HC-F42", reason, fix, address)
    for field in fields:
        if field not in there:
            reason = f"holds no field {field!r}; there are {listed}"
            raise FileError("HC-F42", reason, "choose one of them", address)


def _paths_of(files: FieldFiles, bands: Sequence[str]) -> Iterator[Path]:
    """Yield the files of a field that some of its bands need."""
    for band in map(files.bands.__getitem__, bands):
        yield from (*band.sci, *band.wht)
        yield from (one for one in (band.sky, band.exposure, band.times) if isinstance(one, Path))
        if band.psf:
            yield split_extension(band.psf)[0]
    yield from (one for one in (files.labels, files.psf) if one)
    if isinstance(files.poisson, str) and files.poisson not in PHOTON_WORDS:
        yield Path(files.poisson)


def _name_of(root: Path, path: Path, address: str) -> str:
    """Return the name of a file from its folder: a field file may not lead out of it."""
    name = PurePosixPath(os.path.relpath(path, root))
    if name.parts[0] in ("..", RECORD):
        reason = f"a field file names {path.name}, which lies outside its folder"
        fix = "lay it into the folder, or choose other fields with [[-f FIELD|fields=]]"
        raise FileError("HC-F45", reason, fix, address)
    return str(name)
