"""What a task asks of the process that it is done in."""

from __future__ import annotations

from hstcube import __version__
from hstcube.errors import HstCubeError

__all__ = ["require_version"]


def require_version(asked: str) -> None:
    """Refuse a task of another version of this package.

    Raises
    ------
    HstCubeError
        If `asked` is not the version of this process.
    """
    if asked != __version__:
        reason = f"a worker of the cluster has hstcube {__version__}, not {asked}"
        fix = f"install hstcube {asked} for the workers, as it is here"
        raise HstCubeError("HC-R05", reason, fix)
