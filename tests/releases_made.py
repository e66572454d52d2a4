"""Small faithful examples of releases: one scene of known flux and noise, in every one's dress.

    write_release(folder, DRESSES["hff"])       48 x 48 pixels of each band, as the release has them

Names, units, weights and cards are those of `docs` (SURVEYS.md), the misleading ones above all:
EXPTIME 1, cameras that are wrong, filters that stand in the primary header alone, PHOTZPT in STMAG,
leftovers of distortions, two forms of one WCS, nominal areas of pixels, dead pixels.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from hstcube.core.bands import band
from hstcube.core.offsets import psf_array
from hstcube.files.psfs import save_psf
from hstcube.fits.weights import apparent_noise
from hstcube.surveys.filters import native_pixel

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE, CENTRE = 48, (53.122751, -27.805089)
TOTAL, WIDTH, NOISE = 0.5, 0.07, 0.002  # uJy and arcsec of the source; uJy in a pixel of 60 mas
EXPOSURE, DROP = 6840.0, 0.8  # s; drops in pixels of the detector
DEAD = (3, 5)  # a pixel without data, in JWST's
_C = 2.99792458e18  # Angstrom/s
_ACS, _UVIS, _IR = ("ACS", "WFC"), ("WFC3", "UVIS"), ("WFC3", "IR")
_SW, _LW, _NIS = ("NIRCAM", "NRCA1"), ("NIRCAM", "NRCALONG"), ("NIRISS", "NIS")
_MIRI = ("MIRI", "MIRIMAGE")


@dataclass(frozen=True)
class Dress:
    """How a release dresses its images."""

    field: str
    """As `list_fields` is to find it."""
    scale: float
    """Arcsec."""
    bands: dict[str, tuple[str, str]]
    """What stands for the band in the name, and the camera."""
    sci: str
    wht: str = ""
    """Of the weights' file, '' where all is in one; `also` are further ones: pattern to kind."""
    also: dict[str, str] = field(default_factory=dict)
    weight: str = "ivar"
    """Also "rms", "exptime", "ERR"."""
    unit: str = "ELECTRONS/S"
    zero: str = "PHOTFLAM"
    """The cards of the zero point."""
    wcs: str = "CD"
    cards: dict[str, Any] = field(default_factory=dict)
    told: frozenset[str] = frozenset()
    """Codes of the warnings that it deserves."""
    names: tuple[str, ...] = ()
    """Bands by their names; those in lower case when not given."""

    @property
    def of_bands(self) -> dict[str, str]:
        """What stands for the band in file names, by the band's own name."""
        names = self.names or tuple(text.lower() for text in self.bands)
        return dict(zip(names, self.bands, strict=True))

    @property
    def jwst(self) -> bool:
        """Whether the telescope is JWST."""
        return next(iter(self.bands.values()))[0] in ("NIRCAM", "NIRISS", "MIRI")


_HST = {"f606w": _ACS, "f160w": _IR}
_LEFT = {"D2IMDIS1": "LOOKUP", "CPDIS1": "LOOKUP", "WAT0_001": "system=physical", "A_ORDER": 4}
_MAST = "hlsp_{}_{{camera}}-{:.0f}mas_{}_{{band}}_{}_{{kind}}.fits"

DRESSES: dict[str, Dress] = {
    "xdf": Dress(
        "hudf", 0.06, _HST, "hlsp_xdf_hst_{camera}-60mas_hudf_{band}_v1_sci.fits",
        "hlsp_xdf_hst_{camera}-60mas_hudf_{band}_v1_wht.fits",
        also={"hlsp_xdf_hst_{camera}-60mas_hudf_{band}_v1_rms.fits": "rms"}, zero="table",
        cards={"EXPTIME": 1.0, "TEXPTIME": EXPOSURE, "XDFVER": "in the manner of the XDF",
               "INSTRUME": "WFC3", "DETECTOR": "IR"}, wcs="CD and PC",
    ),
    "hlf": Dress(
        "goodss", 0.06, {"f775w": _ACS, "f160w": _IR},
        "hlsp_hlf_hst_{camera}-60mas_goodss_{band}_v2.0_sci.fits.gz",
        "hlsp_hlf_hst_{camera}-60mas_goodss_{band}_v2.0_wht.fits.gz", zero="ZEROPNT",
        cards={"EXPTIME": 1.0, "PHOTZPT": -21.1},
    ),
    "candels": Dress(
        "egs-tot", 0.06, _HST, "hlsp_candels_hst_{camera}_egs-tot-60mas_{band}_v1.0_drz.fits",
        "hlsp_candels_hst_{camera}_egs-tot-60mas_{band}_v1.0_rms.fits", weight="rms", cards=_LEFT,
    ),
    "3dhst": Dress(
        "goodss", 0.06, {"F606W": _ACS, "F160W": _IR},
        "goodss_3dhst.v4.0.{band}_orig_sci.fits.gz", "goodss_3dhst.v4.0.{band}_orig_wht.fits.gz",
    ),
    "clash": Dress(
        "macs0647", 0.065, _HST, "hlsp_clash_hst_{camera}_macs0647_{band}_v1_drz.fits",
        "hlsp_clash_hst_{camera}_macs0647_{band}_v1_wht.fits", zero="PHOTFLAM PHOTFNU",
        cards={"PHOTZPT": -21.1},
    ),
    "relics": Dress(
        "abell1758", 0.06, _HST, "hlsp_relics_hst_{camera}-60mas_abell1758_v1_{band}_v1_drz.fits",
        "hlsp_relics_hst_{camera}-60mas_abell1758_v1_{band}_v1_wht.fits",
        cards={"PHOTZPT": -21.1},
    ),
    "hff": Dress(
        "abell2744-hffpar", 0.03, _HST,
        "hlsp_frontier_hst_{camera}-30mas-selfcal_abell2744-hffpar_{band}_v1.0-epoch1_drz.fits",
        "hlsp_frontier_hst_{camera}-30mas-selfcal_abell2744-hffpar_{band}_v1.0-epoch1_wht.fits",
        also={"hlsp_frontier_hst_{camera}-30mas-selfcal_abell2744-hffpar_{band}_v1.0-epoch1_rms.fits":
              "rms",
              "hlsp_frontier_hst_{camera}-30mas-selfcal_abell2744-hffpar_{band}_v1.0-epoch1_exp.fits":
              "exptime"},
        zero="PHOTFLAM PHOTFNU", wcs="PC", cards={"PHOTZPT": -21.1, "VAFACTOR": 1.0},
    ),
    "buffalo": Dress(
        "abell370", 0.06, _HST, "hlsp_buffalo_hst_{camera}-60mas_abell370_{band}_v1.0_drz.fits",
        "hlsp_buffalo_hst_{camera}-60mas_abell370_{band}_v1.0_wht.fits", wcs="PC",
    ),
    "phangs": Dress(
        "ngc628mosaic", 0.03962, {"f275w": _UVIS, "f336w": _UVIS},
        "hlsp_phangs-hst_hst_wfc3-uvis_ngc628mosaic_{band}_v1_exp-drc-sci.fits",
        "hlsp_phangs-hst_hst_wfc3-uvis_ngc628mosaic_{band}_v1_err-drc-wht.fits",
    ),
    "hlsp": Dress(
        "ngc1566", 0.03962, {"f275w": _UVIS, "f555w": _UVIS},
        "hlsp_legus_hst_uvis_ngc1566_{band}_v1_sci.fits",
        "hlsp_legus_hst_uvis_ngc1566_{band}_v1_wht.fits",
    ),
    "hap": Dress(
        "10265_01", 0.05, {"f606w": _ACS, "f814w": _ACS},
        "hst_10265_01_acs_wfc_{band}_j92c01_drc.fits", weight="exptime", cards=_LEFT,
    ),
    "hap mvm": Dress(
        "p0797x14y06", 0.04, {"f606w": _ACS, "f814w": _ACS},
        "hst_skycell-p0797x14y06_acs_wfc_{band}_all_drc.fits", weight="exptime",
    ),
    "drizzlepac": Dress(
        "ngc1", 0.0396, {"f475w": _UVIS, "f814w": _UVIS}, "ngc1_{band}_drc.fits", weight="exptime",
        cards=_LEFT | {"D001OUUN": "cps"}, zero="PHOTFLAM PHOTFNU", wcs="CD and PC",
    ),
    "drizzlepac pairs": Dress(
        "ngc1", 0.05, {"f475w": _ACS, "f814w": _ACS}, "ngc1_{band}_drc_sci.fits",
        "ngc1_{band}_drc_wht.fits", cards=_LEFT,
    ),
    "wfpc2": Dress(
        "hdfs", 0.0399, {"f606w": ("WFPC2", "3"), "f814w": ("WFPC2", "3")},
        "hdfs_{band}_drz.fits.gz", weight="ivar", unit="", cards={"D001OUUN": "cps"},
        told=frozenset({"HC-D20"}),
    ),
    "grizli": Dress(
        "gds", 0.04, {"f606wu": _UVIS, "f115wn-clear": _NIS, "f444w-clear": _LW},
        "gds-grizli-v7.2-{band}_drc_sci.fits.gz", "gds-grizli-v7.2-{band}_drc_wht.fits.gz",
        unit="10.0*nanoJansky", zero="PHOTFNU", names=("f606w", "f115w", "f444w"),
    ),
    "dja": Dress(
        "dja_thumb_53.1_-27.8", 0.05, {"F115W-CLEAR": _SW, "F444W-CLEAR": _LW},
        "dja_thumb_53.1_-27.8.fits", unit="10.0*nanoJansky", zero="PHOTFNU", cards={"ZP": 27.998},
        told=frozenset({"HC-D31"}), names=("f115w", "f444w"),
    ),
    "jwst": Dress(
        "02731-o001_t017", 0.063, {"clear-f277w": _LW, "f444w-f470n": _LW},
        "jw02731-o001_t017_nircam_{band}_i2d.fits", weight="ERR", unit="MJy/sr", zero="",
        names=("f277w", "f470n"), wcs="PC",
    ),
    "jwst miri": Dress(
        "02107-o039_t018", 0.10988, {"f770w": _MIRI, "f1130w": _MIRI},
        "jw02107-o039_t018_miri_{band}_i2d.fits", weight="ERR", unit="MJy/sr", zero="", wcs="PC",
    ),
    "ceers": Dress(
        "nircam1", 0.03, {"f115w": _SW, "f444w": _LW},
        "hlsp_ceers_jwst_nircam_nircam1_{band}_dr0.5_i2d.fits.gz", weight="ERR", unit="MJy/sr",
        zero="",
    ),
    "jades": Dress(
        "goods-s-deep", 0.03, {"f115w": _SW, "f444w": _LW},
        "hlsp_jades_jwst_nircam_goods-s-deep_{band}_v2.0_drz.fits", weight="ERR", unit="MJy/sr",
        zero="",
    ),
    "cosmos-web": Dress(
        "A1", 0.03, {"f115w": _SW, "f444w": _LW},
        "mosaic_nircam_{band}_COSMOS-Web_30mas_A1_v1.0_sci.fits.gz",
        "mosaic_nircam_{band}_COSMOS-Web_30mas_A1_v1.0_err.fits.gz", weight="rms", unit="MJy/sr",
        zero="",
    ),
    "uncover": Dress(
        "abell2744clu", 0.04, {"f115w": _SW, "f444w": _LW},
        "uncover_v7.2_abell2744clu_{band}_bcgs_sci_f444w-matched.fits",
        "uncover_v7.2_abell2744clu_{band}_bcgs_wht_f444w-matched.fits",
        unit="10.0*nanoJansky", told=frozenset({"HC-P33"}),
    ),
}  # fmt: skip


def scene(dress: Dress, name: str) -> NDArray[np.float64]:
    """Return the image of a band without noise, uJy in a pixel."""
    y, x = (np.indices((SIZE, SIZE)) - (SIZE - 1) / 2) * dress.scale
    peak = TOTAL / (2 * np.pi * WIDTH**2) * dress.scale**2
    colour = 1 + 0.2 * list(dress.of_bands).index(name)
    return colour * peak * np.exp(-0.5 * (x**2 + y**2) / WIDTH**2)


def sigma(dress: Dress) -> NDArray[np.float64]:
    """Return the standard errors of the pixels, uJy."""
    deep = np.where(np.arange(SIZE)[:, None] < 2 * SIZE // 3, 1.0, 2**0.5)
    return NOISE * dress.scale / 0.06 * deep * np.ones((SIZE, SIZE))


def observed(dress: Dress, name: str) -> NDArray[np.float64]:
    """Return the image of a band, uJy in a pixel; its noise is as small as drizzling makes it."""
    camera = dress.bands[dress.of_bands[name]]
    native = native_pixel(band(name, instrument=camera[0], detector=camera[1]))
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    shrink = apparent_noise(dress.scale / native, DROP)
    return scene(dress, name) + sigma(dress) * shrink * rng.normal(size=(SIZE, SIZE))


def write_release(folder: Path, dress: Dress) -> Path:
    """Write the images of a release, and PSFs; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if "{band}" not in dress.sci:
        _write_thumb(folder / dress.sci, dress)
    else:
        for name, text in dress.of_bands.items():
            _write_band(folder, dress, name, text)
    offset = np.arange(-12, 13) * dress.scale
    sigmas = [_width(name, dress.bands[text]) / 2.355 for name, text in dress.of_bands.items()]
    ones = [np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / sigma**2) for sigma in sigmas]
    images = np.array([one / one.sum() for one in ones], np.float32)
    psf = psf_array(images, dress.scale, bands=np.array(list(dress.of_bands), object), name="psf")
    save_psf(psf, folder / f"psf_{float(f'{dress.scale * 1000:.3g}'):g}mas.fits", overwrite=True)
    return folder


def _width(name: str, camera: tuple[str, str]) -> float:
    """Return the FWHM [arcsec] of a PSF: 0.11 and 0.185 of HST, else diffraction and a pixel."""
    if camera[0] in ("ACS", "WFC3", "WFPC2"):
        return 0.185 if camera == _IR else 0.11
    return float(np.hypot(band(name).pivot * 1e-10 / 6.5 * 206265, 0.11))


def _write_band(folder: Path, dress: Dress, name: str, text: str) -> None:
    instrument, detector = dress.bands[text]
    camera = {_ACS: "acs", _IR: "wfc3"}.get((instrument, detector), instrument.lower())

    def place(pattern: str) -> Path:
        return folder / pattern.format(band=text, camera=camera)

    unit = _unit(dress, name)
    sci, error = observed(dress, name) / unit, sigma(dress) / unit
    planes = {
        "ivar": error**-2,
        "rms": error,
        "exptime": EXPOSURE * (error / error[0, 0]) ** -2,
    }
    photometry = _photometry(dress, name)
    if not dress.wht:
        _write_mef(place(dress.sci), dress, name, sci, error)
        return
    said = _exposure_cards(dress, name)
    header = _header(dress, said | photometry | dress.cards | _units(dress))
    _write(place(dress.sci), sci, header)
    weight = {key: said[key] for key in ("FILTER", "PUPIL") if key in said}
    if dress.zero == "ZEROPNT":
        header.remove("ZEROPNT")
        _write(place(dress.sci), sci, header)
        weight["ZEROPNT"] = _zeropoint(name)
    _write(place(dress.wht), planes[dress.weight], _header(dress, weight))
    for pattern, kind in dress.also.items():
        # rms and exp of a release may have no WCS at all
        _write(place(pattern), planes[kind], fits.Header())


def _write_mef(path: Path, dress: Dress, name: str, sci: NDArray[Any], error: NDArray[Any]) -> None:
    """Write all that there is of a band into one file, its exposure in the primary header."""
    primary = fits.PrimaryHDU(header=fits.Header(_exposure_cards(dress, name)))
    cards = _photometry(dress, name) | dress.cards | _units(dress)
    units = {"SCI": sci}
    if dress.weight == "ERR":
        dead = np.zeros(sci.shape, bool)
        dead[DEAD] = True
        reading = np.where(dead, 0, (0.3 * error) ** -2.0)  # of reading alone: far too good
        units = {
            "SCI": np.where(dead, 0, sci), "ERR": error, "CON": np.ones((2, SIZE, SIZE)),
            "WHT": reading, "VAR_RNOISE": np.where(dead, np.nan, (0.3 * error) ** 2),
        }  # fmt: skip
    else:
        times = EXPOSURE * (error / error[0, 0]) ** -2
        units["WHT"] = times if dress.weight == "exptime" else error**-2
        units["CTX"] = np.ones((SIZE, SIZE))
    images = [primary]
    for extname, data in units.items():
        header = _header(dress, cards if extname == "SCI" else {})
        if extname in ("CON", "CTX") or (dress.jwst and extname != "SCI"):
            header = fits.Header()  # the WCS is in SCI alone
        kind = np.int32 if extname in ("CON", "CTX") else np.float32
        images.append(fits.ImageHDU(data.astype(kind), header, name=extname))
    fits.HDUList(images).writeto(path, overwrite=True, output_verify="ignore")


def _write_thumb(path: Path, dress: Dress) -> None:
    """Write all bands into one file; EXTVER is a text, and the primary is the first band's."""
    images: list[Any] = []
    for name, text in dress.of_bands.items():
        unit = _unit(dress, name)
        for kind in ("SCI", "WHT"):
            data = observed(dress, name) / unit if kind == "SCI" else (sigma(dress) / unit) ** -2
            said = _exposure_cards(dress, name) if not images else {}
            header = _header(dress, said | _units(dress) | {"PHOTFNU": 1e-8} | dress.cards)
            header["EXTNAME"], header["EXTVER"] = text, kind
            new = fits.ImageHDU if images else fits.PrimaryHDU
            images.append(new(data.astype(np.float32), header))
    fits.HDUList(images).writeto(path, overwrite=True, output_verify="ignore")


def _write(path: Path, data: NDArray[Any], header: fits.Header) -> None:
    fits.PrimaryHDU(data.astype(np.float32), header).writeto(
        path, overwrite=True, output_verify="ignore"
    )


def _zeropoint(name: str) -> float:
    return {"f606w": 26.51, "f775w": 25.69, "f160w": 25.94}.get(name, 25.5)


def _unit(dress: Dress, name: str) -> float:
    """Return what one unit of the images is, uJy in a pixel."""
    if dress.unit == "10.0*nanoJansky":
        return 0.01
    if dress.unit == "MJy/sr":
        return float(1e12 * np.deg2rad(dress.scale / 3600) ** 2)
    return float(10 ** (-0.4 * (_zeropoint(name) - 23.9)))


def _photometry(dress: Dress, name: str) -> dict[str, Any]:
    """Return the cards of the zero point."""
    cards: dict[str, Any] = {}
    density = 1e-6 * _unit(dress, name)  # Jy
    if dress.unit in ("ELECTRONS/S", "") and "PHOTFLAM" in dress.zero:
        camera = dress.bands[dress.of_bands[name]]
        pivot = band(name, instrument=camera[0], detector=camera[1]).pivot
        cards = {"PHOTFLAM": density * 1e-23 * _C / pivot**2, "PHOTPLAM": pivot}
    if "PHOTFNU" in dress.zero:
        cards["PHOTFNU"] = density if dress.unit else 1e-8
    if dress.zero == "ZEROPNT":
        cards["ZEROPNT"] = _zeropoint(name)
    return cards


def _units(dress: Dress) -> dict[str, Any]:
    area = {"PIXAR_SR": 1.002 * np.deg2rad(dress.scale / 3600) ** 2}  # that of the detector
    return {"BUNIT": dress.unit} | (area if dress.unit == "MJy/sr" else {})


def _exposure_cards(dress: Dress, name: str) -> dict[str, Any]:
    """Return what tells of telescope, camera, filter and time."""
    instrument, detector = dress.bands[dress.of_bands[name]]
    telescope = "JWST" if instrument in ("NIRCAM", "NIRISS", "MIRI") else "HST"
    cards = {"TELESCOP": telescope, "INSTRUME": instrument, "DETECTOR": detector}
    cards |= {"EXPTIME": EXPOSURE, "D001PIXF": DROP}
    if instrument == "ACS":
        return cards | {"FILTER1": "CLEAR1L", "FILTER2": name.upper()}
    if instrument == "WFPC2":
        mode = f"WFPC2,1,A2D7,{name.upper()},,CAL"
        return cards | {"FILTER1": 28, "FILTER2": 0, "PHOTMODE": mode}
    if instrument == "NIRISS":
        return cards | {"FILTER": "CLEAR", "PUPIL": name.upper()}
    if instrument == "NIRCAM":
        narrow = name.endswith("n")
        return cards | {
            "FILTER": "F444W" if narrow else name.upper(),
            "PUPIL": name.upper() if narrow else "CLEAR",
        }
    return cards | {"FILTER": name.upper()}


def _header(dress: Dress, said: dict[str, Any]) -> fits.Header:
    """Return a header with a WCS in the form that the release has."""
    step = dress.scale / 3600
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": (SIZE + 1) / 2,
        "CRPIX2": (SIZE + 1) / 2, "CRVAL1": CENTRE[0], "CRVAL2": CENTRE[1],
    }  # fmt: skip
    if "CD" in dress.wcs:
        cards |= {"CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step}
    if dress.wcs == "PC" and dress.jwst:
        cards |= {"PC1_1": -1.0, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": 1.0}
        cards |= {"CDELT1": step, "CDELT2": step}
    elif "PC" in dress.wcs:
        cards |= {"PC1_1": -step, "PC1_2": 0.0, "PC2_1": 0.0, "PC2_2": step}
        cards |= {"CDELT1": 1.0, "CDELT2": 1.0}
    return fits.Header(cards | said)
