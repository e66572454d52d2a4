"""Fields made by a dask cluster: a scheduler and workers that share only the file system."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Timer

import pytest
from clusters import ONE_THREAD
from stamps import write_field
from typer.testing import CliRunner

import hstcube
from hstcube.cli.app import app
from hstcube.fleet import cluster

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

BANDS = ("f850lp", "f160w")
NAMES = [str(number) for number in range(1, 7)]


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        write_field(tmp_path / "images", name, bands=BANDS)
    return tmp_path / "images"


def fits(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.fits")}


def test_two_workers_make_what_one_process_does(folder, tmp_path, several, monkeypatch):
    monkeypatch.chdir(tmp_path)  # paths as they are given: the workers are elsewhere
    hstcube.run_fields("images", "here")
    several.worker()
    several.worker()
    made = hstcube.run_fields("images", "there", scheduler=several.address)
    assert made["status"].tolist() == ["ok"] * len(NAMES)
    assert fits(tmp_path / "there") == fits(tmp_path / "here")
    with distributed.Client(several.address) as client:
        again = hstcube.run_fields("images", "there", scheduler=client)
    assert again["status"].tolist() == ["before"] * len(NAMES)


def test_a_cube_in_blocks_is_written_by_the_workers(folder, tmp_path, several):
    cube = hstcube.open_field(folder, "1", chunks={"y": 16, "x": 16})
    cube = hstcube.homogenize(cube, sky=[0.0] * len(BANDS))
    hstcube.to_fits(cube, tmp_path / "here")
    several.worker()
    several.worker()
    with distributed.Client(several.address):  # dask's own default from here on
        hstcube.to_fits(cube, tmp_path / "there")
    assert fits(tmp_path / "there") == fits(tmp_path / "here")


def test_fields_in_blocks_are_made_by_workers_too(folder, tmp_path, several):
    hstcube.run_fields(folder, tmp_path / "here", chunks=64)
    several.worker()
    hstcube.run_fields(folder, tmp_path / "there", chunks=64, scheduler=several.address)
    assert fits(tmp_path / "there") == fits(tmp_path / "here")
    assert not [*(tmp_path / "there").glob("*.nc")]


def test_the_command_runs_on_a_cluster_too(folder, tmp_path, several):
    several.worker()
    command = ["run", folder, "-o", tmp_path / "out", "--scheduler", several.address]
    done = CliRunner().invoke(app, list(map(str, command)))
    assert done.exit_code == 0, done.output
    assert len(fits(tmp_path / "out")) == 3 * len(BANDS) * len(NAMES)


def test_a_worker_that_is_killed_costs_time_not_results(folder, tmp_path, several):
    hstcube.run_fields(folder, tmp_path / "here")
    victim, out = several.worker("--no-nanny", *ONE_THREAD), tmp_path / "there"
    several.worker("--no-nanny", *ONE_THREAD)

    def kill(outcome):
        victim.kill()

    made = hstcube.run_fields(folder, out, scheduler=several.address, tell=kill)
    assert set(made["status"]) <= {"ok", "before"}
    assert victim.wait(30) != 0
    assert fits(out) == fits(tmp_path / "here")


def test_what_a_dead_worker_had_begun_is_made_again(folder, tmp_path):
    """Without --resume: it is of the same run; of another run it is somebody's work."""
    from hstcube.fleet.ledger import Ledger

    ledger = Ledger(tmp_path)
    mine = tmp_path / "1_f160w_sci.fits"
    Ledger(tmp_path).begin("1", [mine], "this run")  # by another process
    assert ledger.began("1", "this run")
    assert not ledger.began("1", "another run")
    assert ledger.may_replace("1", mine)


def test_workers_that_cannot_do_it_are_told(folder, tmp_path, several, monkeypatch):
    several.worker()
    monkeypatch.setattr(cluster, "__version__", "0.0.1")
    with pytest.raises(hstcube.HstCubeError, match=r"HC-R05 .* has hstcube .*, not 0.0.1"):
        hstcube.run_fields(folder, tmp_path / "out", scheduler=several.address)
    monkeypatch.undo()
    monkeypatch.setattr(cluster.Path, "cwd", lambda: Path("/not/there"))
    with pytest.raises(hstcube.HstCubeError, match=r"HC-R06 .*/not/there"):
        hstcube.run_fields(folder, tmp_path / "out", scheduler=several.address)


def test_a_worker_without_the_package_is_told(folder, tmp_path, several):
    (tmp_path / "none" / "hstcube").mkdir(parents=True)
    (tmp_path / "none" / "hstcube" / "__init__.py").write_text("raise ModuleNotFoundError('none')")
    several.worker(PYTHONPATH=str(tmp_path / "none"))
    with pytest.raises(hstcube.HstCubeError, match="HC-R05 a worker of the cluster lacks"):
        hstcube.run_fields(folder, tmp_path / "out", scheduler=several.address)


def test_many_threads_and_no_workers_are_told(folder, tmp_path, several):
    with distributed.Client(several.address) as client:
        work = cluster.on_cluster(abs, [-1, 2], client)
        starter = Timer(1, several.worker, ("--nthreads", "2", "--no-dashboard"))
        starter.start()
        with pytest.warns(hstcube.HstCubeWarning, match="HC-R07"):
            assert sorted(work) == [1, 2]
        starter.join()
    with pytest.warns(hstcube.HstCubeWarning, match="HC-R08"):
        made = hstcube.run_fields(folder, tmp_path / "out", scheduler=several.address)
    assert set(made["status"]) == {"ok"}


def test_what_is_no_cluster_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    for scheduler in ("tcp://127.0.0.1:1", "nonsense", 5):
        with pytest.raises(hstcube.HstCubeError, match="HC-R04"):
            hstcube.run_fields(folder, tmp_path / "out", scheduler=scheduler)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(hstcube.HstCubeError, match="HC-R03"):
        hstcube.run_fields(folder, tmp_path / "out", scheduler="tcp://127.0.0.1:1")


def test_a_scheduler_that_ends_is_told(folder, tmp_path, several):
    several.worker()

    def end(outcome):
        several.processes[0].kill()

    with pytest.raises(hstcube.HstCubeError, match="HC-R04 the scheduler of the cluster is gone"):
        hstcube.run_fields(folder, tmp_path / "out", scheduler=several.address, tell=end)
