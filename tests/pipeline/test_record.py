"""run.json: no record is lost, and what it says of inputs is of what was read."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from stamps import stamp, write_field

from hstcube import HstCubeError
from hstcube.pipeline import runs
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")

FOREIGN = [
    "", "{", "null", "3", "[]", '{"targets": null}', '{"targets": "x"}', '{"targets": [1]}',
    '{"targets": {"1": []}}', '{"targets": {"1": null}}', '{"targets": {"1": "x"}}', '{"a": 1}',
    "[" * 100_000,
]  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_field(tmp_path / "data")


def run(data: Path, out: Path, **how: Any) -> list[runs.Outcome]:
    return runs.run(plan(data, [], [], scale="60mas"), out, Options(overwrite=True, **how))


@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_what_is_no_record_stays_and_nothing_is_computed(
    text: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(text)
    with pytest.raises(HstCubeError) as caught:
        run(data, out)
    assert (caught.value.code, caught.value.exit_code) == ("HC-O09", 4)
    assert [path.name for path in out.iterdir()] == ["run.json"]
    assert (out / "run.json").read_text() == text


def test_a_link_or_a_folder_in_its_place_is_refused_before_anything_is_computed(
    data: Path, tmp_path: Path
) -> None:
    for number, make in enumerate((lambda p: p.mkdir(), lambda p: p.symlink_to(tmp_path / "x"))):
        out = tmp_path / str(number)
        out.mkdir()
        make(out / "run.json")
        with pytest.raises(HstCubeError):
            run(data, out)
        assert len(list(out.iterdir())) == 1


def test_what_is_put_there_meanwhile_is_kept_aside(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    targets = plan(data, [], [], scale="60mas")
    runs.run(targets, out, Options(), tell=lambda _: (out / "run.json").write_text("mine"))
    assert "1" in json.loads((out / "run.json").read_text())["targets"]
    assert [path.read_text() for path in out.glob("run.json.*.kept")] == ["mine"]


def inputs_in(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())["targets"]["1"]


def test_inputs_have_the_hash_of_what_was_read(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out")
    told = inputs_in(tmp_path / "out")["inputs"]
    for band in ("f435w", "f850lp", "f160w"):
        for kind in ("sci", "wht"):
            path = stamp(data, band, kind)
            assert told[str(path)] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("how", ["replaced", "edited", "removed"])
def test_an_input_that_was_changed_meanwhile_has_no_hash_and_is_told(
    how: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, works = stamp(data, "f160w"), runs.homogenize

    def change(*arguments: Any, **named: Any) -> Any:
        content = path.read_bytes()
        if how != "edited":
            path.unlink()
        if how != "removed":
            path.write_bytes(content[:-1] + b"x")
        return works(*arguments, **named)

    monkeypatch.setattr(runs, "homogenize", change)
    outcome = run(data, tmp_path / "out")[0]
    assert outcome.error is None
    told = inputs_in(tmp_path / "out")
    assert told["inputs"][str(path)] is None
    assert any("HC-O23" in line and path.name in line for line in told["warnings"])
    assert told["inputs"][str(stamp(data, "f435w"))]
