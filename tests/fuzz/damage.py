"""Ways to damage texts, bytes and paths: what people, editors, disks and attackers do."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any

from plainfits import hdu

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

__all__ = [
    "CHANGES",
    "NOT_FILES",
    "NUMBERS",
    "WORDS",
    "damaged",
    "mutated",
    "odd_path",
    "prepare_odd_paths",
]

NUMBERS = (
    "nan", "inf", "-inf", "1e400", "-1,6e-6", "0x10", "1_000", "1d-5", "+.5", "5.", "-0.0", "1e308",
    "-1e308", "10" * 200, "0", "-1", "1e-320", "9" * 18, "9" * 19, "1" + "0" * 22, "1e22", "true",
    "2147483648", "0.1", "3", "٣", "1e-5 2e-5", "1979-05-27", "07:32:00", "12:30",
)  # fmt: skip
WORDS = (
    *NUMBERS, "", " ", "#", "\0", "\ufeff", "é", "None", "[", "{", "]", "}" * 3, "[[" * 200,
    "\n" * 3, "=", '"', "'\''", "a.b.c", "\\", "/dev/zero", "../x", "../../../evil", "~", "CON",
    "http://127.0.0.1:9/b", "nul.fits", "x" * 300, "\x1b[31m", "%s", "{field}", "$(id)", "<b>",
    "pipe", "folder", ".", "<" * 7 + " HEAD", "\t", ";", ",", "1,2", "-", "--", "\u202e", "\r",
)  # fmt: skip
ENCODINGS = ("utf-8",) * 9 + ("utf-16", "latin-1", "utf-8-sig")


def mutated(text: str, random: Random, words: tuple[str, ...] = WORDS) -> bytes:
    """Return a text with no, one or a few changes of the kinds that people and editors make."""
    data = text
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        data = random.choice(CHANGES)(data, random, words)
    if data == text:
        return text.encode()
    return data.encode(random.choice(ENCODINGS), "replace")


def insert(data: str, random: Random, words: tuple[str, ...]) -> str:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(words) + data[at:]


def delete(data: str, random: Random, _: object) -> str:
    at = random.randrange(len(data) + 1)
    return data[:at] + data[at + random.randrange(1, 12) :]


def retype(data: str, random: Random, _: object) -> str:
    at = random.randrange(len(data) + 1)
    return data[:at] + chr(random.randrange(1, 0x250)) + data[at + 1 :]


def double_a_line(data: str, random: Random, _: object) -> str:
    lines = data.split("\n")
    lines.insert(random.randrange(len(lines) + 1), random.choice(lines))
    return "\n".join(lines)


def lose_a_line(data: str, random: Random, _: object) -> str:
    lines = data.split("\n")
    del lines[random.randrange(len(lines))]
    return "\n".join(lines)


def shuffle_lines(data: str, random: Random, _: object) -> str:
    lines = data.split("\n")
    random.shuffle(lines)
    return "\n".join(lines)


def replace_a_word(data: str, random: Random, words: tuple[str, ...]) -> str:
    parts = data.split(" ")
    parts[random.randrange(len(parts))] = random.choice(words)
    return " ".join(parts)


def break_off(data: str, random: Random, _: object) -> str:
    return data[: random.randrange(len(data) + 1)]


def windows(data: str, _: Random, __: object) -> str:
    return data.replace("\n", "\r\n")


CHANGES = (
    insert, insert, delete, retype, double_a_line, lose_a_line, shuffle_lines, replace_a_word,
    replace_a_word, replace_a_word, break_off, windows,
)  # fmt: skip


def damaged(data: bytes, random: Random) -> bytes:
    """Return bytes with one of the changes that disks and transfers make."""
    raw = bytearray(data or b"\n")
    at = random.randrange(len(raw))
    way = random.randrange(7)
    if way < 2:  # the most likely, and the hardest to see
        raw[at] ^= 1 << random.randrange(8)
    elif way == 2:
        del raw[at:]
    elif way == 3:
        raw[at : at + random.choice((1, 8, 512))] = bytes(random.choice((1, 8, 512)))
    elif way == 4:
        raw[at:at] = random.randbytes(random.choice((1, 4, 80)))
    elif way == 5:
        del raw[at : at + random.choice((1, 4, 80, 2880))]
    else:
        raw += random.choice((b"\0", b"\r\n", random.randbytes(3000), b"<!DOCTYPE html>"))
    return bytes(raw)


def prepare_odd_paths(folder: Path) -> None:
    """Make once what `odd_path` may point to and what takes long to make."""
    member = gzip.compress(b"1000.0 0.5\n" * 100_000)
    (folder / "bomb.gz").write_bytes(member * 300)  # 330 MB of text
    (folder / "bomb.fits").write_bytes(
        gzip.compress(hdu(shape=(40000, 40000), bitpix=-32) + bytes(10**6))
    )


def odd_path(random: Random, folder: Path, good: Path) -> Any:
    """Return in place of a good path one that names no file, or none that may be opened."""
    place = folder / f"odd{good.suffix}"
    name = str(good)
    way = random.randrange(18)
    if way < len(NOT_FILES):
        NOT_FILES[way](random, place, good)
        return random.choice((place, str(place)))
    return random.choice((
        f"http://127.0.0.1:9/x{good.suffix}", f"ftp://127.0.0.1:9/x{good.suffix}", f"{name}\0",
        f"x{name}" * 300, None, 3,
    ))  # fmt: skip


def a_loop(_: Random, place: Path, __: Path) -> None:
    place.symlink_to(place)


def a_device(random: Random, place: Path, _: Path) -> None:
    place.symlink_to(random.choice(("/dev/zero", "/dev/null", "/dev/urandom", "/")))


def half_a_packed(random: Random, place: Path, good: Path) -> None:
    place.write_bytes(gzip.compress(good.read_bytes())[: random.randrange(40)])


def a_bomb(random: Random, place: Path, _: Path) -> None:
    bomb = random.choice(("bomb.gz", "bomb.fits"))
    place.symlink_to(place.parents[3] / "prepared" / bomb)


def noise(random: Random, place: Path, _: Path) -> None:
    place.write_bytes(random.randbytes(5000))


def a_page(_: Random, place: Path, __: Path) -> None:
    place.write_text("<!DOCTYPE html><html><title>404</title></html>\n" * 9)


NOT_FILES = (
    lambda _, place, __: place.mkdir(),
    lambda _, place, __: os.mkfifo(place),
    lambda _, place, __: place.write_bytes(b""),
    lambda *_: None,  # not there
    a_loop, a_device, a_device, half_a_packed, a_bomb, a_bomb, noise, a_page,
)  # fmt: skip
