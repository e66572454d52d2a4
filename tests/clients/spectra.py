"""Fluxes of templates through our curves, and the data that LePHARE wants beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hstcube.sed.curves import curve_of

if TYPE_CHECKING:
    from pathlib import Path

NUMBER = 12  # FSPS templates
DUST = ("SMC_prevot", "SB_calzetti", "SB_calzetti_bump1", "SB_calzetti_bump2", "MW_seaton")
SMOOTH = np.geomspace(900.0, 3e5, 400)  # Angstrom


def template(templates: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return wavelength [Angstrom] and light [erg/s/cm2/Angstrom, of no scale] of a template."""
    return np.loadtxt(templates.parent / f"fsps_QSF_12_v3_{number:03d}.dat").T


def band_fluxes(
    wavelength: np.ndarray, light: np.ndarray, redshift: float, bands: tuple[str, ...]
) -> np.ndarray:
    """Return fluxes (band,) of a spectrum at a redshift: mean f_nu, photons counted.

    The integral stands on the wavelengths of both, spectrum and curve.
    """
    out = []
    for band in bands:
        curve = curve_of(band)
        at = np.union1d(wavelength * (1 + redshift), curve.wavelength)
        through = np.interp(at, curve.wavelength, curve.throughput, left=0, right=0)
        flux = np.interp(at, wavelength * (1 + redshift), light)
        out.append(np.trapezoid(flux * through * at, at) / np.trapezoid(through / at, at))
    return np.array(out)


def lephare_data(folder: Path, templates: Path) -> Path:
    """Make a folder such as LEPHAREDIR names: what LePHARE reads, with the FSPS templates.

    Nothing between a galaxy and us takes light: all opacities are 1. The spectra of Vega, the sun
    and BD+17, the laws of dust and the light of dust (which is read, and not used) are made up.
    """
    smooth = columns(SMOOTH, SMOOTH**-2.0)
    files = {
        "alloutputkeys.txt": "",
        "opa/clear.dat": columns(np.arange(90.0, 1301.0, 10.0), 1.0),
        "opa/OPACITY.dat": "".join(f"{step / 10:.1f} clear.dat\n" for step in range(81)),
        "sed/GAL/BETHERMIN12/smooth.sed": smooth,
        "sed/GAL/BETHERMIN12/BETHERMIN12_MOD.list": "".join(
            f"BETHERMIN12/smooth.sed x {z:.1f}\n" for z in (0, 6)
        ),
        "sed/GAL/COSMOS_SED/COSMOS_MOD.list": "".join(
            f"COSMOS_SED/{number}.sed\n" for number in range(1, NUMBER + 1)
        ),
    }
    for number in range(1, NUMBER + 1):
        files[f"sed/GAL/COSMOS_SED/{number}.sed"] = columns(*template(templates, number))
    for name in ("VegaLCB", "SunLCB", "BD+17o4708"):
        files[f"vega/{name}.sed"] = smooth
    for name in DUST:
        files[f"ext/{name}.dat"] = columns(SMOOTH, 4.0 * 5500.0 / SMOOTH)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def columns(first: np.ndarray, second: np.ndarray | float) -> str:
    """Return two columns as text."""
    pairs = zip(first, np.broadcast_to(second, first.shape), strict=True)
    return "".join(f"{a:.4f} {b:.8e}\n" for a, b in pairs)
