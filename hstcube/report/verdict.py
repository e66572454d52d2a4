"""Is a cube good? Six questions, each answered in words, with what to do where it is bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from hstcube.report.facts import Band, Facts

__all__ = ["LIMITS", "Answer", "answers", "headline", "noise_is_off"]


class Limits(NamedTuple):
    """Beyond which a cube is bad."""

    match: float = 0.01
    """Predicted error of the encircled energy."""
    noise: tuple[float, float] = (0.85, 1.15)
    """Scatter of empty apertures over what the errors say: beyond by more than its error."""
    sky: float = 2.0
    """What is left of the sky, in its errors."""


LIMITS = Limits()

State = Literal["good", "bad", "unknown"]


class Answer(NamedTuple):
    """What is to be said of one question; `fault` and `advice` are for what is bad."""

    question: str
    state: State
    reason: str
    advice: str = ""
    fault: str = ""


def answers(facts: Facts) -> list[Answer]:
    """Return the answers to the six questions, in the order in which they matter."""
    return [
        _matched(facts), _proven(facts), _sky(facts), _noise(facts), _whole(facts), _aligned(facts)
    ]  # fmt: skip


def headline(told: list[Answer]) -> tuple[State, str]:
    """Return the verdict and the sentence that says it."""
    bad = [one for one in told if one.state == "bad"]
    unknown = [one for one in told if one.state == "unknown"]
    if bad:
        return "bad", f"Bad in {len(bad)} of {len(told)} respects: look at them before you use it."
    if unknown:
        number = len(told) - len(unknown)
        if number < len(unknown):
            return "unknown", f"Not known: {number} of {len(told)} respects could be checked."
        return "good", f"Good in the {number} respects of {len(told)} that could be checked."
    return "good", f"Good in all {len(told)} respects."


def _matched(facts: Facts) -> Answer:
    question = "Do all bands have one resolution?"
    if not facts.target:
        advice = "Match them: hstcube run, or psf_match in Python."
        return Answer(question, "bad", "The bands were not matched.", advice, "not matched")
    worst = _worst(facts, lambda band: band.match_error)
    if worst is None:
        return Answer(question, "unknown", _why(facts, "psf", "There are no PSF images to tell."))
    said = (
        f"The predicted error of the encircled energy is at most {worst.match_error:.2%} "
        f"({worst.name}), matched to {facts.target}."
    )
    if worst.match_error <= LIMITS.match:
        return Answer(question, "good", said)
    advice = "Give better PSFs, or match to a broader target; leave the band out of colours."
    return Answer(question, "bad", said, advice, "match error")


def _proven(facts: Facts) -> Answer:
    question = "Are the PSFs verified?"
    doubtful = [band for band in facts.bands if band.psf not in ("", "good")]
    advice = "Measure PSFs on several stars: hstcube psf measure."
    if not any(band.psf for band in facts.bands):
        return Answer(
            question, "bad", "Unverified: the cube has no PSF images.", advice, "PSF unverified"
        )
    if not doubtful:
        return Answer(question, "good", "Yes, those of all bands.")
    named = "; ".join(f"{band.name}: {band.psf}" for band in doubtful)
    return Answer(question, "bad", f"Not all: {named}.", advice, "PSF unverified")


def _sky(facts: Facts) -> Answer:
    question = "Is the sky off?"
    worst = _worst(facts, lambda band: abs(band.sky_pull))
    if worst is None:
        return Answer(question, "unknown", _why(facts, "sky", "Its level could not be measured."))
    share = worst.sky_left * facts.pixels / worst.flux if worst.flux else np.nan
    said = (
        f"What is left is at most {abs(worst.sky_pull):.1f} of its errors ({worst.name}: "
        f"{worst.sky_left:.2g} {facts.unit} a pixel"
    )
    said += f", {abs(share):.1%} of the flux in the mask)." if np.isfinite(share) else ")."
    if abs(worst.sky_pull) <= LIMITS.sky:
        return Answer(question, "good", said)
    number = sum(abs(band.sky_pull) > LIMITS.sky for band in facts.bands)
    said += f" More than 2 in {number} of {len(facts.bands)} bands; by chance in one of 22."
    advice = "Measure it anew: hstcube run --sky measure."
    if facts.edge.labels is None:  # the same cube: 2.9 of its errors without, 1.0 with it
        advice = "Give the segmentation map (labels= in Python): else faint light counts as sky."
    return Answer(question, "bad", said, advice, "sky left over")


def _noise(facts: Facts) -> Answer:
    question = "Are the errors right?"
    worst = _worst(facts, lambda band: abs(np.log(band.noise)))
    if worst is None:
        return Answer(question, "unknown", _why(facts, "noise", "There is too little blank sky."))
    values = [band.noise for band in facts.bands if np.isfinite(band.noise)]
    span = f"{min(values):.2f} to {max(values):.2f}" if values[1:] else f"{values[0]:.2f}"
    said = (
        f"Empty apertures scatter by {span} of what the errors say "
        f"(farthest off: {worst.name}, {worst.noise:.2f} ± {worst.noise_error:.2f})."
    )
    if not any(map(noise_is_off, facts.bands)):
        return Answer(question, "good", said)
    advice = "Where no table knows the noise, measure it: hstcube run --measure-noise."
    if facts.edge.labels is None:  # one field: 1.8 without, 1.2 with it
        advice = "Give the segmentation map (labels= in Python): else faint light counts as noise."
    return Answer(question, "bad", said, advice, "noise off")


def noise_is_off(band: Band) -> bool:
    """Return whether empty apertures scatter as little, or as much, as chance does not explain."""
    (low, high), doubt = LIMITS.noise, band.noise_error
    return bool(band.noise < low - doubt or band.noise > high + doubt)


def _whole(facts: Facts) -> Answer:
    question = "Is the object whole?"
    edge = facts.edge
    if edge.everything:
        return Answer(question, "unknown", "No mask was made: every pixel with data is used.")
    if not facts.pixels:
        advice = "Look at the map; choose another id."
        return Answer(question, "bad", "The mask is empty.", advice, "mask empty")
    places = {
        "the frame's edge": edge.frame,
        "pixels without data": edge.data,
        "the end of the segmentation map": edge.labels,
    }
    ends = [f"{number} at {name}" for name, number in places.items() if number]
    if not ends:
        said = f"The mask ({facts.pixels} pixels) lies inside the frame"
        where = "; the map it is from was not at hand." if edge.labels is None else " and the map."
        return Answer(question, "good", said + where)
    advice = "Cut a larger stamp, or get a larger map, if the whole object is wanted."
    said = f"Of the mask's {facts.pixels} pixels {', '.join(ends)}: part of it may be missing."
    return Answer(question, "bad", said, advice, "mask at the edge")


def _aligned(facts: Facts) -> Answer:
    question = "Do the bands lie on one another?"
    shifted = [band for band in facts.bands if band.shifted]
    if shifted:
        named = ", ".join(f"{band.name} by {band.shift:.2f} pixels" for band in shifted)
        named += ", against the next bluer band"
        advice = "Drizzle them to one frame, or move them: apply_shifts in Python."
        return Answer(question, "bad", f"Shifted: {named}.", advice, "bands shifted")
    worst = _worst(facts, lambda band: band.shift, skip=1)
    if worst is None:
        return Answer(question, "unknown", _why(facts, "shifts", "No shift could be measured."))
    said = f"No shift is seen: none beyond {worst.shift:.2f} pixels ({worst.name})."
    return Answer(question, "good", said)


def _worst(facts: Facts, measure: Callable[[Band], float], *, skip: int = 0) -> Band | None:
    """Return the band in which a measure is largest, None where it is known of none."""
    known = [band for band in facts.bands[skip:] if np.isfinite(measure(band))]
    return max(known, key=measure, default=None)


def _why(facts: Facts, name: str, otherwise: str) -> str:
    """Return why something could not be measured, as a sentence."""
    why = facts.why_not.get(name)
    return f"Not checked: {why}." if why else otherwise
