"""Doors of small texts: sky levels, recipes, field files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

WORDS = (
    "nan", "inf", "-inf", "1e400", "-1,6e-6", "0x10", "1_000", "", " ", "#", "\0", "\ufeff", "é", "٣",
    "1e-5 2e-5", "1d-5", "+.5", "5.", "-0.0", "None", "true", "[", "{", "}" * 3, "[[" * 200, "\n" * 3, "=",
    '"', "'''", "a.b.c", "1e308", "-1e308", "10" * 200, "\\", "/dev/zero", "../x", "http://a/b",
)  # fmt: skip


def mutated(text: str, random: Random) -> bytes:
    """Return a text with a few changes of the kinds that people, editors and disks make."""
    data = text
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        at = random.randrange(len(data) + 1)
        way = random.randrange(5)
        if way == 0:
            data = data[:at] + random.choice(WORDS) + data[at:]
        elif way == 1:
            end = min(len(data), at + random.randrange(1, 12))
            data = data[:at] + data[end:]
        elif way == 2:
            data = data[:at] + chr(random.randrange(1, 0x250)) + data[at + 1 :]
        elif way == 3:
            lines = data.split("\n")
            lines.insert(random.randrange(len(lines) + 1), random.choice(lines))
            data = "\n".join(lines)
        else:
            words = data.split(" ")
            words[random.randrange(len(words))] = random.choice(WORDS)
            data = " ".join(words)
    return data.encode(random.choice(("utf-8",) * 8 + ("utf-16", "latin-1")), "replace")


class Levels:
    """A sky file, read by `read_levels`: one finite number, or refused."""

    name = "levels"

    def prepare(self, folder: Path) -> None:
        from hstcube.files.levels import level_text

        self.text = level_text(
            -1.25e-5, 3e-7, field="1", band="f435w", units="electron s-1", scale=0.06,
            method="clipped",
        )  # fmt: skip

    def draw(self, random: Random, folder: Path) -> Any:
        (folder / "sky.txt").write_bytes(mutated(self.text, random))
        return folder / "sky.txt"

    def use(self, given: Path) -> Any:
        from hstcube.files.levels import read_levels
        from hstcube.surveys.names import BandFiles, FieldFiles

        files = FieldFiles("1", "60mas", {"f435w": BandFiles(sky=given)})
        return read_levels(files, ["f435w"], scale=0.06)["f435w"]

    def wrong(self, given: Path, result: Any) -> str:
        level, error = result
        text = given.read_bytes().decode("utf-8-sig", "replace")
        words = [word for line in text.splitlines() for word in line.split("#")[0].split()]
        if len(words) != 1 or not math.isfinite(level) or level != float(words[0]):
            return f"another level | {level} from {words}"
        if not (math.isnan(error) or 0 <= error < math.inf):
            return f"an error that cannot be | {error}"
        return ""


DOORS = [Levels()]
