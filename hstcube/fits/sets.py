"""Files that were written together say so, and are looked at together when one of them is read.

Files get their names one after the other. Whatever kills the writer in between leaves new files
beside old ones, each of them whole. So all files of a set bear one id, a SHA-256 of what the set
holds: FITS as a card, text as a comment, pictures (PNG) as a text, netCDF as an attribute.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

from hstcube.errors import FileError, HstCubeWarning
from hstcube.fits.local import entries
from hstcube.fits.units import with_cards

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = [
    "SET",
    "apart",
    "fields_of_products",
    "id_in",
    "marked",
    "require_counts",
    "require_one_set",
    "set_id",
]

SET = "SETID"

_TABLES = ("README", "catalogue.cat", "photometry.txt", "observations.txt")
_SAID = re.compile(rb"(?:SETID|hstcube_set)[^0-9a-zA-Z]{1,12}([0-9a-f]{16})(?![0-9a-zA-Z])")
_IN_HDF5 = re.compile(rb"hstcube_set\0.{0,80}?([0-9a-f]{16})", re.DOTALL)
_IN_PNG = re.compile(rb"tEXtSETID\0([0-9a-f]{16})")  # a checksum of any bytes follows
_IN_PRODUCTS = re.compile(rb"CUBEID  = '([0-9a-f]{16})'")
_OF_A_BAND = re.compile(r"(?P<field>.+)_f[^_]+(?:_sci)?\.fits")  # as `to_fits` names products
_START, _END = 2**17, 2**12  # bytes of a file in which an id stands
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = len(_PNG) + 25
_MOST_NAMED = 12  # files of a set that its FITS files name


def set_id(files: Mapping[Path, bytes]) -> str:
    """Return the id of a set: the same for the same names and contents."""
    digest = hashlib.sha256()
    for path, data in files.items():
        digest.update(f"{path.name} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def marked(files: Mapping[Path, bytes]) -> dict[Path, bytes]:
    """Return the files of a set with its id in each that can hold it.

    FITS files name the others, too, so that who reads one can look at them.
    """
    of_set = set_id(files)
    names = [path.name for path in files if _mark_of(path, b"", of_set, "") is not None]
    found = {}
    for path, data in files.items():
        others = [name for name in names if name != path.name]
        listed = ", ".join(others) if len(others) <= _MOST_NAMED else ""
        with_mark = _mark_of(path, data, of_set, listed)
        found[path] = data if with_mark is None else with_mark
    return found


def _mark_of(path: Path, data: bytes, of_set: str, others: str) -> bytes | None:
    """Return a file with its id in it, None where its format has no place for it."""
    ending = path.suffix.lower()
    line = f"# {SET} {of_set}\n".encode()
    if ending == ".fits":
        cards = [(SET, of_set, "the same in all files of one set"), ("SETWITH", others or None, "")]
        return with_cards(data, cards) if data else data
    if ending == ".png":
        return data[:_PNG_HEADER] + _png_text(of_set) + data[_PNG_HEADER:]
    if ending == ".ecsv":  # a comment in the header, which is YAML
        start, _, rest = data.partition(b"# ---\n")
        return start + b"# ---\n# " + line + rest
    if path.name.startswith("sky_"):  # many read the last line as the level
        return data.replace(b"\n", f", {SET} {of_set}\n".encode(), 1)
    if path.name in _TABLES:
        return data + line
    return None


def _png_text(of_set: str) -> bytes:
    body = b"tEXt" + f"{SET}\0{of_set}".encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def id_in(path: Path) -> str:
    """Return the id of the set that a file belongs to; "" where it says none, or is not there."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            text = file.read(_START)
            if (rest := os.fstat(file.fileno()).st_size - len(text)) > 0:
                file.seek(-min(rest, _END), os.SEEK_END)
                text += b"\n" + file.read()
    except (OSError, ValueError):
        return ""
    patterns = (_IN_HDF5,) if text.startswith(b"\x89HDF") else (_IN_PNG, _SAID, _IN_PRODUCTS)
    for pattern in patterns:
        if found := pattern.search(text):
            return found[1].decode()
    return ""


def fields_of_products(folder: Path) -> list[str]:
    """Return the fields of which a folder holds FITS files that hstcube wrote."""
    named = {said["field"]: path for path in entries(folder)
             if (said := _OF_A_BAND.fullmatch(path.name))}  # fmt: skip
    return [field for field, path in named.items() if id_in(path)]


def require_one_set(path: Path, header: Mapping[str, Any]) -> list[HstCubeWarning]:
    """Refuse a FITS file beside others that were written with one of its name, but not with it.

    A picture is no input: that it is of another set is returned as a warning.

    Parameters
    ----------
    path : path
    header : mapping
        Its first.

    Raises
    ------
    FileError
        If another file of the set bears another id.
    """
    own = str(header.get(SET, ""))
    names = str(header.get("SETWITH", "")).split(", ") if own else []
    told = []
    for other in (path.with_name(name) for name in names if name and "/" not in name):
        if id_in(other) in ("", own):
            continue
        reason = f"{other.name} beside it was written with another version of it"
        if other.suffix != ".png":
            raise apart(path, reason)
        told.append(HstCubeWarning("HC-O22", f"{path.name}: {reason}"))
    return told


def require_counts(
    headers: Iterable[Mapping[str, Any]], everything: Iterable[Path], folder: Path
) -> None:
    """Refuse files of several sets unless each set is all there: one was replaced in part else.

    Parameters
    ----------
    headers : iterable of mapping
        Of the files that are read: the id of the set, and the number of its files (SETN).
    everything : iterable of Path
        All files beside them that may be of these sets.
    folder : path
        Named in the error.

    Raises
    ------
    FileError
        If they do not belong together.
    """
    wanted = {str(header.get(SET, "")): header.get("SETN") for header in headers}
    if len(wanted) < 2:  # noqa: PLR2004  one set
        return
    there = [id_in(path) for path in everything]
    counted = {key: number for key, number in wanted.items() if key and type(number) is int}
    others = wanted.keys() - counted.keys() - {""}
    whole = all(there.count(key) == number for key, number in counted.items())
    if not whole or len(others) + bool(counted) > 1:
        raise apart(folder, "its files were not written together: a writer was stopped halfway")


def apart(path: Path, reason: str) -> FileError:
    """Return the error of files that do not belong together."""
    fix = "write all of them again: [[--overwrite|overwrite=True]]; or remove the older ones"
    return FileError("HC-O20", reason, fix, file=str(path))
