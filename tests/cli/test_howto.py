"""Every how-to page, and every page of explanation that has code, runs on the demo field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import hstcube, python

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "howto").glob("*.md")) + sorted(
    (ROOT / "docs" / "explain").glob("*.md")
)
RELEASES = {"another_survey": ("candels", "candels"), "jwst": ("nircam", "jwst")}
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_runs_as_it_stands(page: Path, demo: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "hstcube_demo").symlink_to(demo[0], target_is_directory=True)
    if page.stem in RELEASES:
        from releases_made import DRESSES, write_release

        name, dress = RELEASES[page.stem]
        write_release(tmp_path / name, DRESSES[dress])
    blocks = _FENCED.findall(page.read_text(encoding="utf-8"))
    assert {language for language, _ in blocks} <= {"console", "python", "text"}
    for language, text in blocks:
        if language == "console":
            for line in text.splitlines():
                name, *words = line.removeprefix("$ ").split()
                assert name == "hstcube"
                assert hstcube(*words, folder=tmp_path).strip(), line
    code = "\n".join(text for language, text in blocks if language == "python")
    python(code, folder=tmp_path)


def test_how_to_pages_are_of_one_screen() -> None:
    pages = [page for page in PAGES if page.parent.name == "howto"]
    assert len(pages) >= 9
    for page in pages:
        assert len(page.read_text(encoding="utf-8").splitlines()) <= 45, page.name
        assert _FENCED.search(page.read_text(encoding="utf-8")), page.name
