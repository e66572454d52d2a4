"""A short run of every door, with the same inputs in every run of the tests; see doors.py."""

from __future__ import annotations

import doors
import pytest

# so many inputs as take about a second; together 20 s
RUNS = {
    "catalogues": 150, "cubes": 150, "curves": 250, "fieldfiles": 100, "groups": 300, "levels": 800,
    "maps": 300, "netcdf": 60, "products": 60, "psfs": 150, "recipes": 200, "records": 100,
    "results": 250, "weights": 200,
}  # fmt: skip


def test_every_door_has_a_short_run():
    assert sorted(RUNS) == sorted(doors.doors())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RUNS))
def test_what_comes_in_is_refused_or_right(name):
    summary = doors.fuzzed(name, runs=RUNS[name], seed=2, jobs=0)
    found = [
        f"{kind}: {summary.outcomes[kind]}\n{what[0]}" for kind, what in summary.findings.items()
    ]
    assert not found, "\n\n".join(found)[:8000]
    assert summary.count("right") > 0
    assert summary.count("refused") > 0
