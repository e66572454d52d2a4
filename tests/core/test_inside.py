"""Steps within a step take cubes as they are; everywhere else they are looked at."""

import pytest
import xarray as xr

from hstcube.core.rules import inside, taken
from hstcube.errors import CubeError


def test_the_door_is_watched_again_whatever_happened_inside():
    nothing = xr.Dataset()
    with inside():
        assert taken(nothing) is nothing
        with inside():
            pass
        assert taken(nothing) is nothing
    with pytest.raises(ZeroDivisionError), inside():
        raise ZeroDivisionError
    with pytest.raises(CubeError):
        taken(nothing)
