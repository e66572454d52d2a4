"""The proof that a target is done: it was asked the same, of the same files, and all are whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hstcube import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hstcube.fits.writing import Content

__all__ = ["asked", "hashes", "why_not_done"]


def asked(*things: Any) -> str:
    """Return a digest of what was asked of a target: options, files, names, whatever they hold."""
    text = json.dumps([_plain(one) for one in things], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """Return something that JSON holds, and that differs where the value does."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    if hasattr(value, "to_dict"):  # of xarray: PSFs that are in memory
        return _plain(value.to_dict())
    if isinstance(value, Path):
        value = str(value.absolute())
    plain = value is None or isinstance(value, (str, int, float, bool))
    return value if plain else f"{type(value).__name__} {value}"


def hashes(paths: Iterable[Path], known: Mapping[Path, Content] | None = None) -> dict[str, str]:
    """Return the SHA-256 of each file that is there, by its name; of what is `known`, of that."""
    held = {path: data for path, data in (known or {}).items() if isinstance(data, bytes)}
    return {
        path.name: hashlib.sha256(held[path]).hexdigest() if path in held else _sha256(path)
        for path in paths
        if path in held or path.is_file()
    }


def why_not_done(known: dict[str, Any], question: str, folder: Path) -> str:
    """Return why a target has to be made, as its record tells it; "" where it is done.

    Parameters
    ----------
    known : dict
        Its record; empty where there is none.
    question : str
        What `asked` says of it now.
    folder : Path
        Of the products.
    """
    if known.get("status") != "ok":
        return "failed before" if known else "new"
    if known.get("asked") != question:
        return "its options or files are others"
    if known.get("versions", {}).get("hstcube") != __version__:
        return "it is of another version of hstcube"
    outputs = {folder / name: told for name, told in known.get("sha256", {}).items()}
    files = {Path(name): told for name, told in known.get("inputs", {}).items()} | outputs
    if not outputs or not all(files.values()):
        return "the record does not tell what its files were"
    changed = _changed(files)
    return "" if changed is None else f"{changed.name} is another or gone"


def _changed(told: dict[Path, str]) -> Path | None:
    for path, digest in told.items():
        try:
            if _sha256(path) != digest:
                return path
        except OSError:
            return path
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
