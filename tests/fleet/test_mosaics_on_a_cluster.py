"""Fields in blocks, made by a dask cluster: the blocks of one go to all workers."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Thread

import pytest
from clusters import ONE_THREAD
from mosaic_images import write_images
from stamps import write_field

import hstcube
from hstcube.fleet import cluster, spread

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

BLOCKS = 3 * 3 * 3
HOW = {"chunks": 128, "masked": False, "sky": "none"}


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images")


def made(images, out, **how):
    """Make the field; return what became of it, and its files."""
    outcomes = []
    hstcube.run_fields(images, out, tell=outcomes.append, **HOW | how)
    return outcomes[0], {path.name: path.read_bytes() for path in Path(out).glob("*.fits")}


def watch(several, seen, late=0.0):
    """Let each worker touch a file of its number for every block that it writes."""
    seen.mkdir()

    def watched(folder=str(seen)):
        import os
        import time
        from pathlib import Path

        from hstcube.mosaics import streams

        note = streams.note_block

        def noted(*told):
            note(*told)
            with Path(folder, str(os.getpid())).open("a") as file:
                file.write("x")
            time.sleep(late)

        streams.note_block = noted

    with distributed.Client(several.address, set_as_default=False) as client:
        client.run(watched)


def blocks_of(seen):
    return {int(path.name): path.stat().st_size for path in seen.iterdir()}


def test_all_workers_make_blocks_of_one_field(images, tmp_path, several, monkeypatch):
    monkeypatch.chdir(tmp_path)  # paths as they are given: the workers are elsewhere
    _, here = made("images", "here")
    several.worker()
    several.worker()
    watch(several, tmp_path / "seen")
    outcome, there = made("images", "there", scheduler=several.address)
    assert outcome.error is None
    assert there == here
    counts = blocks_of(tmp_path / "seen")
    assert len(counts) == 2
    assert sum(counts.values()) == BLOCKS
    with distributed.Client(several.address) as client:  # also where it is dask's default
        assert made("images", "again", scheduler=client)[1] == here


def test_an_object_of_a_map_is_made_by_workers_too(tmp_path, several):
    images = write_field(tmp_path / "stamps", "1", bands=("f850lp", "f160w"), shape=(150, 150))
    how = {"masked": True, "sky": None, "chunks": 64}
    _, here = made(images, tmp_path / "here", **how)
    several.worker()
    watch(several, tmp_path / "seen")
    assert made(images, tmp_path / "there", scheduler=several.address, **how)[1] == here
    assert sum(blocks_of(tmp_path / "seen").values()) == 2 * 3 * 3


def test_as_many_fields_in_blocks_as_workers_are_made_one_by_each(tmp_path, several, monkeypatch):
    several.worker()

    def none(*_):
        raise AssertionError

    monkeypatch.setattr(spread, "_by_blocks", none)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with distributed.Client(several.address) as client:
        things = spread.spread(Path, ["a", "b"], jobs=1, scheduler=client, in_blocks=lambda _: True)
        with things as found:
            assert sorted(found) == [Path("a"), Path("b")]


def test_a_worker_that_dies_costs_time_not_blocks(images, tmp_path, several):
    _, here = made(images, tmp_path / "here")
    victim = several.worker("--no-nanny", *ONE_THREAD)
    several.worker("--no-nanny", *ONE_THREAD)
    seen = tmp_path / "seen"
    watch(several, seen, late=0.1)

    def kill():
        while blocks_of(seen).get(victim.pid, 0) < 3:
            time.sleep(0.02)
        victim.kill()

    killer = Thread(target=kill, daemon=True)
    killer.start()
    outcome, there = made(images, tmp_path / "there", scheduler=several.address)
    killer.join(60)
    assert victim.wait(30) != 0
    assert outcome.error is None
    assert there == here


def test_a_scheduler_that_ends_is_told_and_another_run_goes_on(images, tmp_path, several):
    _, here = made(images, tmp_path / "here")
    several.worker()
    several.worker()
    seen, out = tmp_path / "seen", tmp_path / "there"
    watch(several, seen, late=0.2)

    def end():
        while sum(blocks_of(seen).values()) < 4:
            time.sleep(0.02)
        several.processes[0].kill()

    Thread(target=end, daemon=True).start()
    with pytest.raises(hstcube.HstCubeError, match="HC-R04 the scheduler of the cluster is gone"):
        made(images, out, scheduler=several.address)
    several.close()  # else a worker may be at a block yet
    outcome, there = made(images, out, resume=True)
    assert there == here
    assert int(outcome.blocks.split()[0]) >= 4
    assert outcome.blocks.endswith(f" of {BLOCKS} blocks")


def test_a_worker_of_another_version_makes_no_block(images, tmp_path, several, monkeypatch):
    several.worker()
    monkeypatch.setattr(cluster, "__version__", "0.0.1")
    with pytest.raises(hstcube.HstCubeError, match=r"HC-R05 .* has hstcube .*, not 0.0.1"):
        made(images, tmp_path / "out", scheduler=several.address)
    assert not [*(tmp_path / "out").rglob("*.part*")]


def test_what_dask_hands_to_another_version_is_not_written(images, tmp_path, several, monkeypatch):
    several.worker()
    cube = hstcube.open_field(images, "mos", chunks={"y": 128, "x": 128})
    monkeypatch.setattr("hstcube.lazy.arrays.__version__", "0.0.1")
    with (
        distributed.Client(several.address),
        pytest.raises(hstcube.HstCubeError, match=r"HC-R05 .* has hstcube .*, not 0.0.1"),
    ):
        hstcube.to_fits(cube, tmp_path / "out")
    assert not [*(tmp_path / "out").iterdir()]
