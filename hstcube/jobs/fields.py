"""Many fields from Python: what `hstcube run` does, and which fields a file names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hstcube.errors import RecipeError
from hstcube.files.tables import column, read_table
from hstcube.fits.local import as_path, read_text
from hstcube.fits.opening import located
from hstcube.inputs.arrays import several, shown
from hstcube.inputs.choices import flag, require_choice
from hstcube.inputs.names import checked_name
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan, require_outside
from hstcube.pipeline.recipe import homogenize
from hstcube.pipeline.runs import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from astropy.table import Table
    from distributed import Client

    from hstcube.pipeline.record import Outcome

__all__ = ["field_names", "run_fields"]

_LISTS = ("", ".txt", ".list", ".lst")
_PLACES = ("scale", "images", "labels", "sky")
_RECIPE = [*{*inspect.signature(homogenize).parameters} - {"cube", "labels", "ids"}]  # a run's own
_NAMES = ("id", "name", "field", "target", "number", "source_id", "objid")


def run_fields(
    source: str | Path,
    out: str | Path,
    *,
    fields: Sequence[str] | str | Path = (),
    ids: Sequence[str] = (),
    jobs: int = 1,
    scheduler: str | Client | None = None,
    resume: bool = False,
    tell: Callable[[Outcome], None] = lambda _: None,
    recipe: Mapping[str, Any] | None = None,
    places: Mapping[str, str] | None = None,
    **options: Any,
) -> Table:
    """Make and write the cubes of many fields, as `hstcube run` does; a bad one stops no other.

    A field of which the record in `out` proves that the same was asked, of the same files, and that
    its products are whole, is not made again.

    Parameters
    ----------
    source : path
        Folder of images, or a field file.
    out : path
        Gets the products, ``run.json`` (made of ``run.jsonl``, a line a target) and
        ``summary.ecsv``.
    fields : sequence of str, or path
        Names of fields, or a file of them: a name a line, or a table with a column ``id``; all of
        the folder when not given.
    ids : sequence of str
        ``"943=22950,22951"`` gives the labels of a target, ``"m3=3:24353,24350"`` a further one.
    jobs : int
        Processes; 0 for one a core.
    scheduler : str or dask.distributed.Client, optional
        Of a dask cluster whose workers make the fields instead: the address, as
        ``tcp://host:8786``, or a client. They share the file system, and have this version.
    resume : bool
        Go on where a run ended: products of earlier runs that are not proven are made anew.
    tell : callable
        Called with what became of each target, as it comes.
    recipe : mapping, optional
        Arguments of `homogenize`, such as ``{"to": "f160w"}``.
    places : mapping, optional
        ``scale``, ``images``, ``labels``, ``sky``: where the files are, as for `list_fields`.
    **options
        Of the run: ``bands``, ``psf``, ``units``, ``netcdf``, ``overwrite``, ``strict``, and what
        else `hstcube run` has.

    Returns
    -------
    Table
        A row a target: ``target``, ``status`` ("ok", "before" where it was done before, "failed"),
        ``code`` and ``message`` of its error, ``bands``, ``pixels``, ``warnings`` (codes).

    Raises
    ------
    HstCubeError
        If there is no such field, an option is none, or `out` cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> from hstcube.demo.field import simulate
    >>> folder, out = tempfile.mkdtemp(), tempfile.mkdtemp()
    >>> _ = simulate(folder)
    >>> made = hstcube.run_fields(folder, out, bands=("f160w",), netcdf=False)
    >>> made["status"].tolist()
    ['ok']
    """
    from astropy.table import Table

    named = field_names(fields) if isinstance(fields, str | Path) else _texts("fields", fields)
    how = _known("places", places, _PLACES)
    require_outside(as_path(out), as_path(source), images=how.get("images"))
    settings = Options(recipe=_known("recipe", recipe, _RECIPE), **options)
    targets = plan(source, named, _texts("ids", ids), **how)
    where: dict[str, Any] = {"jobs": jobs, "scheduler": scheduler, "resume": flag("resume", resume)}
    rows = [_row(one) for one in run(targets, out, settings, tell=tell, **where)]
    names = ("target", "status", "code", "bands", "pixels", "warnings", "message")
    dtype = ("U64", "U8", "U8", int, int, "U256", "U512")
    return Table(rows=rows or None, names=names, dtype=dtype)


def _texts(name: str, given: Any) -> list[str]:
    """Return the names that an argument holds, one or several, which may be numbers."""
    listed = [] if given is None else several(given)
    if wrong := [one for one in listed if not isinstance(one, str | int)]:
        raise RecipeError("HC-B23", f"{name} holds {shown(wrong[0])}, no name", "give names")
    return [str(one) for one in listed]


def _known(name: str, given: Any, choices: Sequence[str]) -> dict[str, Any]:
    """Return a mapping whose keys are some that there are."""
    if given is not None and not isinstance(given, Mapping):
        reason = f"{name} is {shown(given)}, not a mapping"
        raise RecipeError("HC-B22", reason, f"give some of {', '.join(choices)}")
    for key in given or {}:
        require_choice(name, key, choices)
    return dict(given or {})


def _row(outcome: Outcome) -> tuple[Any, ...]:
    status = "failed" if outcome.error else "before" if outcome.before else "ok"
    code, message = (outcome.error.code, str(outcome.error)) if outcome.error else ("", "")
    codes = " ".join(sorted({note.code for note in outcome.notes}))
    return outcome.target.name, status, code, len(outcome.bands), outcome.pixels, codes, message


def field_names(path: str | Path) -> list[str]:
    """Return the fields that a file names: one a line (# begins a comment), or the ids of a table.

    Raises
    ------
    FileError
        If it cannot be read.
    RecipeError
        If it names none, or one that can be no field.
    """
    path = Path(path)
    with located(path):
        if path.suffix.lower() in _LISTS:
            lines = (line.partition("#")[0].strip() for line in read_text(path).splitlines())
            names = [line for line in lines if line]
        else:
            found = column(read_table(path), _NAMES, "text", code="HC-B23", error=RecipeError)
            names = [str(name) for name in found.tolist()]
        if not names:
            raise RecipeError("HC-B23", "names no field", "give it a name a line")
        return [checked_name(name) for name in dict.fromkeys(names)]
