"""Mutated headers: `open_field` refuses the file with an HstCubeError, or gives the right cube.

    python tests/fuzz/fuzz_headers.py --runs 100000 --seed 1 --jobs 2
        random mutations, the same for the same seed
    python tests/fuzz/fuzz_headers.py --seconds 60
        until the time is up
    python tests/fuzz/fuzz_headers.py --atheris --seconds 60
        led by coverage (PyPI: atheris)
    python tests/fuzz/fuzz_headers.py --replay TEXT
        one input again, as a finding printed it

The corpus are the headers of real stamps where HSTCUBE_XDF names their folder, and of those that
tests/stamps.py makes. An input is the header of one science image. It is written, before the pixels
it had, beside the untouched files of a field of three bands, and `hstcube.open_field` opens the
field. (What `read_plane` gives for the five untouched files is kept from run to run; all else is
done anew.)

Right is: the cube passes `validate`; it has the bands, the units and the weights of the untouched
field; its pixels lie where those of the untouched field lie, to 1e-4 pixels, and wcslib, reading
the mutated cards itself, puts them there too; and the pixels are bit for bit the old ones. Three
things may differ, each "by the file's own words", and are judged by a decoding of our own: pixels
whose header says BSCALE, BZERO or BLANK; a zero point, PSF width or camera that the header says
otherwise; and those that are unknown (NaN) since the header does not name the survey any more.

A finding is anything else: another exception, also one that arose in a line of hstcube and came out
as a damaged file; another cube; more than 5 s; 500 MB more than before. It is printed, and ends the
program with 1: at once, or with
--keep-going at the end.
"""

from __future__ import annotations

import argparse
import base64
import faulthandler
import io
import itertools
import math
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from mutations import BLOCK, CARD, card_of, cards_of, header_of, mutated, pieces, whole_blocks  # noqa: E402  beside this file
from stamps import write_field  # noqa: E402  one folder up

PACKAGE = Path(
    find_spec("hstcube").origin
).parent  # ours is what lies in here, wherever the clone is and is called
SECONDS, MEGABYTES = 5.0, 500.0
# pixels: that of hstcube, 1e-4, and a margin for the rounding of two ways to compute a distance
TOLERANCE = 1.001e-4
BATCH = 250  # runs
REAL = (  # field, scale, bands: all nine bands, both scales
    ("3", "60mas", ("f435w", "f850lp", "f160w")),
    ("15", "60mas", ("f606w", "f814w", "f105w")),
    ("37", "60mas", ("f775w", "f125w", "f140w")),
    ("3", "30mas", ("f606w", "f775w", "f814w")),
)
MADE_UP = (
    ("1", "60mas", ("f435w", "f850lp", "f160w")),
    ("2", "30mas", ("f606w", "f814w", "f105w")),
)
NOT_OF_THE_WCS = re.compile(
    r"COMMENT|HISTORY||CONTINUE|DATE|FILETYPE|TELESCOP|INSTRUME|EXPTIME|OBSTYPE|DETECTOR|FILTER|BUNIT|ORIENTAT|XDFVER|"
    r"TEXPTIME|UZERO|SIMPLE|BITPIX|EXTEND|BSCALE|BZERO|BLANK|ABZP|PHOT\w+|PSFFWHM"
)
LEFT_BY_DRIZZLING = re.compile(r"[AB]P?_(ORDER|DMAX|\d_\d)|WAT\d_\d+|CPDIS\d|D[PQ]\d.*|D2IM.*")
OF_A_THIRD_AXIS = re.compile(
    r"(CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA|PV|PS)([3-9]|\d\d)(_\d+)?|(CD|PC)(?!0*[12]_0*[12]$)\d+_\d+"
)


class Hang(BaseException):
    """The time for one input is up."""


class Finding(NamedTuple):
    """An input that came out neither right nor refused."""

    kind: str
    what: str
    replay: str
    changed: str


@dataclass
class Summary:
    """What came out of how many runs."""

    runs: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    megabytes: float = 0.0
    slowest: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)  # the first of each kind

    def add(self, other: Summary) -> None:
        self.runs += other.runs
        self.cpu += other.cpu
        self.megabytes = max(self.megabytes, other.megabytes)
        self.slowest = max(self.slowest, other.slowest)
        self.outcomes += other.outcomes
        self.findings = {**other.findings, **self.findings}

    def count(self, start: str) -> int:
        return sum(n for outcome, n in self.outcomes.items() if outcome.startswith(start))

    def __str__(self) -> str:
        lines = [
            f"{n:8}  {outcome}"
            for outcome, n in sorted(self.outcomes.items(), key=lambda item: -item[1])
        ]
        lines.append(
            f"{self.runs} runs: {self.count('right')} right, {self.count('refused')} refused, "
            f"{self.count('WRONG')} silently wrong, {self.count('FINDING')} other findings "
            f"({len(self.findings)} kinds)"
        )
        speed = self.runs / max(self.cpu, 1e-9)
        lines.append(
            f"{self.seconds:.0f} s, {self.cpu:.0f} s of CPU ({speed:.0f} runs per CPU second), "
            f"slowest run {self.slowest:.2f} s, at most {self.megabytes:.0f} MB"
        )
        return "\n".join(lines)


class Field:
    """Three bands in a folder of their own.

    The science image of one may have its header exchanged.
    """

    def __init__(
        self, source: Path, folder: Path, name: str, scale: str, bands: tuple[str, ...]
    ) -> None:
        import hstcube

        self.folder, self.name, self.scale, self.bands = folder, name, scale, bands
        folder.mkdir(parents=True)
        for band, kind in itertools.product(bands, ("sci", "wht")):
            shutil.copyfile(source / f"{name}_{scale}_{band}_{kind}.fits", self.path(band, kind))
        self.headers, self.bodies, self.raw = {}, {}, {}
        for band in bands:
            data = self.path(band).read_bytes()
            end = data.index(b"END".ljust(CARD))
            start = end + CARD + -(end + CARD) % BLOCK
            self.headers[band], self.bodies[band] = data[:start], data[start:]
        self.cube = hstcube.open_field(folder, name, scale=scale)
        self.shape = self.cube.sci.shape[1:]
        for band in bands:
            self.raw[band] = np.frombuffer(self.bodies[band], ">i4", math.prod(self.shape)).reshape(
                self.shape
            )

    def path(self, band: str, kind: str = "sci") -> Path:
        return self.folder / f"{self.name}_{self.scale}_{band}_{kind}.fits"


class Kept:
    """`read_plane` with a memory for files that do not change."""

    def __init__(self) -> None:
        from hstcube.files import fields as reading

        self.read, self.planes, self.mutated = reading.read_plane, {}, Path()
        reading.read_plane = self

    def __call__(self, path: Path, kind: str, **how: Any) -> Any:
        if path == self.mutated:
            return self.read(path, kind, **how)
        if path not in self.planes:
            self.planes[path] = self.read(path, kind, **how)
        return self.planes[path]


class Target:
    """What a mutated header is tried on."""

    def __init__(self, folder: Path) -> None:
        warnings.simplefilter("ignore")
        real = os.environ.get("HSTCUBE_XDF")
        self.fields = [
            Field(Path(real) / "new_stamps", folder / f"{n}_{s}", n, s, b)
            for n, s, b in REAL
            if real
        ]
        for name, scale, bands in MADE_UP:
            made = write_field(
                folder / "made" / name, name, scale=scale, bands=bands, labels=False, sky=False
            )
            self.fields.append(
                Field(made / "new_stamps", folder / f"made_{name}", name, scale, bands)
            )
        self.places = [(one, band) for one in self.fields for band in one.bands]
        self.corpus = [bytes([i]) + one.headers[band] for i, (one, band) in enumerate(self.places)]
        self.kept = Kept()
        self.last = folder / "input"  # still there when the process dies
        self.summary = Summary()
        self.peak_before = peak_megabytes()  # of whatever this process did before: other tests, say
        self.room_at_start: float | None = (
            None  # megabytes; set where what is held from input to input is not ours
        )
        for data in self.corpus:
            outcome = self.outcome(data)
            assert outcome == "right: the same cube", outcome

    def run(self, data: bytes) -> Finding | None:
        """Try one input: the number of its place, then the header."""
        cpu = time.process_time()
        held = 0.0 if self.room_at_start is None else megabytes_now() - self.room_at_start
        self.summary.runs += 1
        self.last.write_bytes(data)
        what = ""
        try:
            outcome = self.outcome(data)
        except Hang:
            outcome, what = f"FINDING: longer than {SECONDS:.0f} s", traceback.format_exc()
        except Exception as error:
            frames = reversed(traceback.extract_tb(error.__traceback__))
            ours = (frame.name for frame in frames if is_ours(frame) and frame.name[0] != "<")
            place = next(ours, "the judge")
            outcome = f"FINDING: {type(error).__name__} in {place}"
            what = traceback.format_exc()
        self.summary.cpu += time.process_time() - cpu
        most = peak_megabytes() - held
        self.summary.megabytes = max(self.summary.megabytes, most)
        if most - self.peak_before > MEGABYTES and outcome.startswith(("right", "refused")):
            outcome = f"FINDING: more than {MEGABYTES:.0f} MB"
        self.summary.outcomes[outcome.partition(" | ")[0]] += 1
        if outcome.startswith(("right", "refused")):
            return None
        kind, _, more = outcome.partition(" | ")
        finding = Finding(kind, what or more, as_text(data), self.changed(data))
        self.summary.findings.setdefault(kind, finding)
        return finding

    def outcome(self, data: bytes) -> str:
        """Return what came out.

        "right ...", "refused ...", "WRONG ..." or "FINDING ...", details behind a bar.
        """
        import hstcube
        from hstcube.errors import codes

        one, band = self.places[data[0] % len(self.places)]
        header = whole_blocks(data[1:])
        path = self.kept.mutated = one.path(band)
        path.write_bytes(header + one.bodies[band])
        start = time.perf_counter()
        try:
            with deadline():
                cube = hstcube.open_field(one.folder, one.name, scale=one.scale)
        except hstcube.HstCubeError as error:
            if error.code not in codes() or not error.fix:
                return f"FINDING: an error without a known code or a fix | {error}"
            if error.code == "HC-F04" and (slip := slip_of_ours(error.__cause__)):
                return f"FINDING: {slip} passed off as a damaged file | {error}"
            return f"refused: {error.code}"
        finally:
            self.summary.slowest = max(self.summary.slowest, time.perf_counter() - start)
            path.write_bytes(one.headers[band] + one.bodies[band])
        try:
            return judged(cube, one, band, header)
        except hstcube.HstCubeError as error:
            return f"WRONG: a cube that breaks the rules | {error}"

    def changed(self, data: bytes) -> str:
        one, band = self.places[data[0] % len(self.places)]
        before = {one.headers[band][i : i + CARD] for i in range(0, len(one.headers[band]), CARD)}
        cards = [data[i : i + CARD] for i in range(1, len(data), CARD)]
        new = list(dict.fromkeys(card for card in cards if card not in before))
        lost = [card for card in cards_of(one.headers[band]) if card not in cards]
        return "\n".join(
            [
                one.path(band).name,
                *(f"  + {card.rstrip()!r}" for card in new[:20]),
                *(f"  - {card!r}" for card in lost),
            ]
        )


def slip_of_ours(cause: BaseException | None) -> str:
    """Say which exception arose in a line of hstcube itself.

    What it does not expect, and no judgement on the file.
    """
    if cause is None:
        return ""
    frame = traceback.extract_tb(cause.__traceback__)[-1]
    return f"{type(cause).__name__} in {frame.name}" if is_ours(frame) else ""


def is_ours(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(PACKAGE)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def megabytes_now() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


class deadline:  # noqa: N801  a context manager, used like a function
    """Raise Hang when the time is up; end the process when even that is not heard (in C)."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self.ring)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        faulthandler.dump_traceback_later(4 * SECONDS, exit=True)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()

    @staticmethod
    def ring(*_: object) -> None:
        raise Hang


# -- what is right


def judged(cube: Any, one: Field, band: str, header: bytes) -> str:
    """Compare a cube with the untouched one; raise what `validate` raises."""
    import hstcube

    hstcube.validate(cube)
    if cube.band.values.tolist() != one.cube.band.values.tolist():
        return f"WRONG: other bands | {cube.band.values.tolist()}"
    if (
        cube.sci.shape != one.cube.sci.shape
        or cube.sci.attrs["units"] != one.cube.sci.attrs["units"]
    ):
        return f"WRONG: another shape or unit | {cube.sci.shape}, {cube.sci.attrs['units']}"
    cards = first_cards(header)
    if wrong := wrong_place(cube, one) or moved(cards, one, band):
        return wrong
    said = [wrong_pixels(cube, one, band, cards), wrong_state(cube, one, band, header)]
    if wrong := next((text for text in said if text.startswith("WRONG")), ""):
        return wrong
    words = said[1].replace(": ", ", ", 1) if said[0] else said[1]
    return f"right{said[0]}{words}" if any(said) else "right: the same cube"


def wrong_place(cube: Any, one: Field) -> str:
    """Compare where the cube's pixels are with those of the untouched one, by wcslib."""
    if cube.wcs.attrs == one.cube.wcs.attrs and all(
        (cube[d].values == one.cube[d].values).all() for d in ("y", "x")
    ):
        return ""
    from hstcube.core.grids import Grid

    if (axes := cube.wcs.attrs.get("WCSAXES", 2)) not in (
        1,
        2,
    ):  # astropy allocates what a thousand axes need, or dies
        return f"WRONG: the cube has a WCS that cannot be used | WCSAXES = {axes}"
    try:
        distance = distance_between(Grid.of(cube).wcs.wcs, Grid.of(one.cube).wcs.wcs, one.shape)
    except Exception as error:
        return f"WRONG: the cube has a WCS that cannot be used | {type(error).__name__}: {error}"
    return (
        "" if distance < TOLERANCE else f"WRONG: the cube lies elsewhere | by {distance:.3g} pixels"
    )


def moved(cards: dict[str, bytes], one: Field, band: str) -> str:
    """Let wcslib read the mutated cards.

    A header that moves the image must not have been accepted.
    """
    before = first_cards(one.headers[band])
    changed = {key for key in cards.keys() | before.keys() if cards.get(key) != before.get(key)}
    if all(NOT_OF_THE_WCS.fullmatch(key) for key in changed):
        return ""
    try:
        there = wcs_of(cards)
        distance = distance_between(there, wcs_of(before), one.shape)
    except Exception as error:
        return f"WRONG: accepted a WCS that wcslib refuses | {error}"
    return (
        ""
        if distance < TOLERANCE
        else f"WRONG: accepted a WCS that is moved | by {distance:.3g} pixels"
    )


def wcs_of(cards: dict[str, bytes]) -> Any:
    from astropy.wcs import Wcsprm

    left_out = {"WCSAXES", "NAXIS", *filter(OF_A_THIRD_AXIS.fullmatch, cards)}
    left_out |= {
        key for key, card in cards.items() if pieces(card)[1] in (b"T", b"F")
    }  # A_2_0 = F: wcslib crashes
    # a card without a value says nothing (FITS standard 4.0, 4.1.2.3); wcslib reads a DATE-OBS of
    # that kind together with the card behind it, and loses both
    left_out |= {key for key, card in cards.items() if card[8:10] == b"= " and not pieces(card)[1]}
    if not any(b"-SIP" in cards.get(f"CTYPE{axis}", b"") for axis in (1, 2)):
        left_out |= {*filter(LEFT_BY_DRIZZLING.fullmatch, cards)}  # wcslib wants all of a kind
    celestial = [card for key, card in cards.items() if key not in left_out]
    plain = [
        re.sub(rb"[^ -~]", b"?", card) for card in celestial
    ]  # astropy hands wcslib text, not bytes
    wcs = Wcsprm(header_of([with_a_close_number(card) for card in plain]), relax=False)
    wcs.set()
    return wcs


def with_a_close_number(card: bytes) -> bytes:
    """Write a number so that wcslib reads it.

    Without the spaces that astropy allows, and with E for the legal D.
    """
    key, value, comment = pieces(card)
    if card[8:10] != b"= " or not re.fullmatch(rb"[+-]? *[\d.]+ *([ED] *[+-]? *\d+)?", value):
        return card
    return card_of(key, value.replace(b" ", b"").replace(b"D", b"E"), comment)


def distance_between(there: Any, here: Any, shape: tuple[int, int]) -> float:
    """Return how far corners and middle of an image are apart, pixels.

    The frames of the two WCS are told apart.
    """
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS
    from astropy.wcs.utils import wcs_to_celestial_frame

    if not (there.naxis == 2 and there.lng >= 0 and there.lat >= 0):
        return math.inf
    ny, nx = shape
    pixels = np.array(
        [[x, y] for x in (0, (nx - 1) / 2, nx - 1) for y in (0, (ny - 1) / 2, ny - 1)]
    )
    sky = there.p2s(pixels, 0)["world"][:, [there.lng, there.lat]]
    frames = []
    for prm in (there, here):
        frame = WCS(naxis=2)
        frame.wcs.ctype, frame.wcs.equinox, frame.wcs.radesys = prm.ctype, prm.equinox, prm.radesys
        frame.wcs.set()
        frames.append(wcs_to_celestial_frame(frame))
    if not frames[0].is_equivalent_frame(frames[1]):
        moved_sky = SkyCoord(*sky.T, unit="deg", frame=frames[0]).transform_to(frames[1]).spherical
        sky = np.array([moved_sky.lon.deg, moved_sky.lat.deg]).T
    world = np.empty_like(sky)
    world[:, [here.lng, here.lat]] = sky
    distance = np.hypot(*(here.s2p(world, 0)["pixcrd"] - pixels).T).max()
    return float(distance) if math.isfinite(distance) else math.inf


def wrong_pixels(cube: Any, one: Field, band: str, cards: dict[str, bytes]) -> str:
    """Compare sci, wht, mask with the untouched ones and with what the header says of them."""
    i = one.cube.band.values.tolist().index(band)
    sci, wht, expected = cube.sci.values, cube.wht.values, one.cube.sci.values.copy()
    scaled = {key: number(cards[key]) for key in ("BSCALE", "BZERO", "BLANK") if key in cards}
    said = ""
    if number(cards.get("BITPIX", b"")) == 32:
        said = " by the file's own words: 32-bit integers"
        expected[i] = one.raw[band]
        if (blank := scaled.get("BLANK")) is not None:
            expected[i][one.raw[band] == blank] = np.nan
    if None not in scaled.values() and (
        scaled.get("BSCALE", 1) != 1 or scaled.get("BZERO", 0) != 0
    ):
        said = said or " by the file's own words: BSCALE, BZERO"
        with np.errstate(all="ignore"):
            stored = (
                expected[i]
                if "integers" not in said
                else np.where(np.isnan(expected[i]), np.nan, one.raw[band])
            )
            expected[i] = stored * np.float64(scaled.get("BSCALE", 1)) + scaled.get("BZERO", 0)
    expected = np.where(np.isfinite(expected) & (one.cube.wht.values > 0), expected, np.nan)
    has_data = np.isfinite(expected)
    if said:
        size = np.nanmax(np.abs(expected), initial=abs(scaled.get("BZERO") or 0))
        same = np.allclose(sci, expected, rtol=1e-5, atol=1e-6 * size, equal_nan=True)
    else:
        same = np.array_equal(sci, expected, equal_nan=True)
    if not same:
        return f"WRONG: other pixels | {int((~(sci == expected) & has_data).sum())} of {sci.size}"
    if not np.array_equal(wht, np.where(has_data, one.cube.wht.values, 0)):
        return "WRONG: other weights | "
    if not np.array_equal(cube.mask.values, has_data):
        return "WRONG: another mask | "
    return said


def wrong_state(cube: Any, one: Field, band: str, header: bytes) -> str:
    """Compare what the bands remember.

    Only the mutated one's may differ, and only where its header says so.
    """
    lists = [
        key for key in ("sky", "sky_error", "matched_to") if not same(cube[key], one.cube[key])
    ]
    if lists:
        return f"WRONG: another {lists[0]} | {cube[lists[0]].values}"
    words = {
        "zeropoint": ("ABZP", "PHOTFNU", "PHOTFLAM", "PHOTPLAM"),
        "psf_fwhm": ("PSFFWHM",),
        "pivot": ("INSTRUME", "DETECTOR"),
    }
    i = one.cube.band.values.tolist().index(band)
    before, cards = first_cards(one.headers[band]), first_cards(header)
    said = []
    for key, ours in words.items():
        now, then = cube[key].values, one.cube[key].values
        if not np.array_equal(np.delete(now, i), np.delete(then, i), equal_nan=True):
            return f"WRONG: another {key} of another band | {now}"
        if now[i] == then[i] or (math.isnan(now[i]) and math.isnan(then[i])):
            continue
        if math.isnan(now[i]) and not names_the_survey(header):
            said.append(f"{key} unknown")
        elif math.isfinite(now[i]) and any(cards.get(name) != before.get(name) for name in ours):
            said.append(f"{key} by the file's own words")
        else:
            return f"WRONG: another {key} | {now[i]} for {then[i]}"
    return f": {', '.join(said)}" if said else ""


def names_the_survey(header: bytes) -> bool:
    """Say whether astropy, for which a damaged END card ends a header, finds the survey."""
    from astropy.io import fits

    return "XDFVER" in fits.Header.fromfile(io.BytesIO(header))


def same(one: Any, other: Any) -> bool:
    return np.array_equal(one.values, other.values, equal_nan=one.dtype.kind == "f")


def first_cards(header: bytes) -> dict[str, bytes]:
    """Return the first card of each keyword, up to END, keywords in capitals.

    The standard forbids two cards of a keyword, and small letters; that the first counts, and small
    letters do not, is what astropy makes of it.
    """
    found: dict[str, bytes] = {}
    for i in range(0, len(header), CARD):
        card = header[i : i + CARD]
        if card.rstrip() == b"END":
            break
        found.setdefault(card[:8].upper().decode("latin-1").rstrip(), card[:8].upper() + card[8:])
    return found


def number(card: bytes) -> float | None:
    """Return the value of a card if it is a number as the standard writes one."""
    text = card[10:].partition(b"/")[0].strip()
    if card[8:10] != b"= " or not re.fullmatch(rb"[+-]?(\d+\.?\d*|\.\d+)([ED][+-]?\d+)?", text):
        return None
    return float(text.replace(b"D", b"E"))


# -- running


def as_text(data: bytes) -> str:
    return base64.b85encode(zlib.compress(data, 9)).decode()


def from_text(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


def shown(finding: Finding) -> str:
    again = f"again with: --replay '{finding.replay}'"
    return f"{finding.kind}\n{finding.what}\n{finding.changed}\n{again}\n"


def input_of(target: Target, seed: int, run: int) -> bytes:
    """Return the input of one run: it follows from the seed and the number of the run alone."""
    rng = Random(f"{seed}/{run}")
    start = rng.choice(target.corpus)
    return start[:1] + mutated(rng, start[1:])


@cache
def target_of_this_process(root: Path) -> Target:
    return Target(root / str(os.getpid()))


def batch(root: Path, seed: int, runs: range, keep_going: bool) -> Summary:
    target = target_of_this_process(root)
    target.summary = Summary()
    for run in runs:
        if target.run(input_of(target, seed, run)) and not keep_going:
            break
    return target.summary


def fuzz(
    *,
    runs: int | None = None,
    seed: int = 1,
    seconds: float = math.inf,
    jobs: int = 1,
    keep_going: bool = False,
) -> Summary:
    """Try so many random inputs, or as many as fit into the time."""
    start, whole = time.perf_counter(), Summary()
    numbers = itertools.count(0, BATCH) if runs is None else iter(range(0, runs, BATCH))
    batches = (
        range(first, first + BATCH if runs is None else min(first + BATCH, runs))
        for first in numbers
    )
    with room() as root, ProcessPoolExecutor(jobs) as pool:
        open_ones = {
            pool.submit(batch, root, seed, one, keep_going)
            for one in itertools.islice(batches, 2 * jobs)
        }
        while open_ones:
            done, open_ones = wait(open_ones, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    whole.add(future.result())
                except BrokenProcessPool:
                    last = [as_text(path.read_bytes()) for path in root.glob("*/input")]
                    kind = "FINDING: a process died"
                    whole.add(Summary(1, outcomes=Counter([kind])))
                    whole.findings[kind] = Finding(
                        kind, "of one of these inputs", "' or '".join(last), ""
                    )
                    open_ones = set()
                    break
            going_on = "FINDING: a process died" not in whole.findings
            if (
                going_on
                and time.perf_counter() - start < seconds
                and (keep_going or not whole.findings)
            ):
                open_ones |= {
                    pool.submit(batch, root, seed, one, keep_going)
                    for one in itertools.islice(batches, len(done))
                }
    whole.seconds = time.perf_counter() - start
    return whole


class room(tempfile.TemporaryDirectory):  # noqa: N801  a context manager, used like a function
    """A folder in memory where there is one."""

    def __init__(self) -> None:
        super().__init__(
            prefix="hstcube-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        )

    def __enter__(self) -> Path:
        return Path(super().__enter__())


def fuzz_with_atheris(*, runs: int | None, seed: int, seconds: float, keep_going: bool) -> None:
    """Let atheris choose the inputs by the coverage that they reach; never returns."""
    import atheris

    with atheris.instrument_imports(include=["hstcube"]):
        import hstcube.core.bands
        import hstcube.core.cube
        import hstcube.core.grids
        import hstcube.files.fields
        import hstcube.files.headers
        import hstcube.files.products
        import hstcube.fits.images
        import hstcube.fits.opening
        import hstcube.surveys.names  # noqa: F401
    start = time.perf_counter()
    root = room()
    target = Target(Path(root.name))
    target.room_at_start = (
        megabytes_now()
    )  # atheris keeps 9 kB an input; that hstcube keeps nothing, random runs show
    corpus = Path(root.name) / "corpus"
    corpus.mkdir()
    for i, data in enumerate(target.corpus):
        (corpus / str(i)).write_bytes(data)

    def one_input(data: bytes) -> None:
        finding = target.run(data) if data else None
        if finding and not keep_going:
            sys.stdout.write(shown(finding))
        late = time.perf_counter() - start > seconds or (
            runs is not None and target.summary.runs >= runs
        )
        if late or (finding and not keep_going):
            target.summary.seconds = time.perf_counter() - start
            sys.stdout.write(f"{report(target.summary)}\n")
            sys.stdout.flush()
            root.cleanup()
            os._exit(1 if target.summary.findings else 0)

    def mutator(data: bytes, max_size: int, number: int) -> bytes:
        rng = Random(number)
        if not data or rng.random() < 0.3:
            return atheris.Mutate(data, max_size)
        header = whole_blocks(data[1:])
        return (data[:1] + mutated(rng, header))[:max_size]

    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-seed={seed}",
            "-max_len=8641",
            "-timeout=0",
            "-rss_limit_mb=0",
            "-print_final_stats=0",
        ],
        one_input,
        custom_mutator=mutator,
    )
    atheris.Fuzz()


def report(summary: Summary) -> str:
    return "\n".join([*(shown(one) for one in summary.findings.values()), str(summary)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--runs",
        type=int,
        help="how many inputs (default: 10000, or as many as fit into --seconds)",
    )
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--keep-going", action="store_true", help="look for findings of other kinds too"
    )
    parser.add_argument("--atheris", action="store_true", help="let atheris choose the inputs")
    parser.add_argument("--replay", help="try one input again")
    asked = parser.parse_args()
    runs = asked.runs or (10_000 if math.isinf(asked.seconds) else None)
    if asked.replay:
        with room() as root:
            target = Target(root)
            target.run(from_text(asked.replay))
            summary = target.summary
    elif asked.atheris:
        fuzz_with_atheris(
            runs=runs, seed=asked.seed, seconds=asked.seconds, keep_going=asked.keep_going
        )
    else:
        summary = fuzz(
            runs=runs,
            seed=asked.seed,
            seconds=asked.seconds,
            jobs=asked.jobs,
            keep_going=asked.keep_going,
        )
    sys.stdout.write(f"{report(summary)}\n")
    return 1 if summary.findings else 0


if __name__ == "__main__":
    sys.exit(main())
