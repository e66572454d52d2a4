"""What tests of clusters share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clusters import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Cluster]:
    """Return a scheduler and two workers, which end with the test."""
    made = Cluster(tmp_path)
    yield made
    made.close()
