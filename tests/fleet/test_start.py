"""What processes of ours leave out at their start, and what they find when it is needed."""

import subprocess
import sys

import pytest

START = "import sys; from hstcube.fleet.start import dask_when_needed; dask_when_needed()\n"
MAKE = "import numpy as np, xarray as xr; one = xr.Variable('x', np.arange(4.0))\n"
SHOW = "print('dask.array' in sys.modules)\n"


def said(code: str) -> list[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.slow
def test_xarray_loads_dask_arrays_when_there_are_some():
    chunk = "print(one.chunk(2).chunks, one.chunk(2).mean().values)\n"
    assert said(START + MAKE + SHOW + chunk + SHOW) == ["False", "((2,", "2),)", "1.5", "True"]
    assert said("import sys\n" + MAKE + SHOW) == ["True"]  # else there is nothing to leave out


@pytest.mark.slow
def test_masked_dask_arrays_are_taken_as_xarray_takes_them():
    mask = "import dask.array as da\nmade = da.ma.masked_less(da.arange(4, chunks=2), 2)\n"
    show = "print(*xr.Variable('x', made).values.tolist())\n"
    assert (
        said(START + MAKE + mask + show) == said(MAKE + mask + show) == ["nan", "nan", "2.0", "3.0"]
    )


@pytest.mark.slow
def test_versions_are_those_of_dask():
    ask = "from xarray.namedarray.pycompat import mod_version; print(mod_version('dask'))\n"
    assert said(START + ask) == said("import dask; print(dask.__version__)")
