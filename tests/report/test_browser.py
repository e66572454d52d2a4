"""The pages in a browser: headless Chromium, where it is installed (.ci/run installs it)."""

from __future__ import annotations

import os
import shutil
import warnings
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from reported import BAD, BANDS, good, parts

import hstcube
from hstcube.report.index import write_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
if os.environ.get("HSTCUBE_BROWSER") != "required":  # make test-browser: then it must be there
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed", allow_module_level=True)
pytestmark = pytest.mark.slow
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES, SCHEMES = ((1280, 900), (390, 844)), ("light", "dark")
HOSTILE = "</script><script>document.title='run'</script><img src=x onerror=alert(2)>{{70*70}}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="module")
def bins() -> Any:
    return hstcube.bin_pixels(good()[0], snr=60)


@pytest.fixture(scope="module")
def page_of_field(tmp_path_factory: pytest.TempPathFactory, bins: Any) -> Path:
    cube, labels = good()
    said = cube.assign_attrs(title=HOSTILE, warnings=HOSTILE, history=HOSTILE)
    inputs = {f"/data/stamps/1_60mas_f{i}w_sci.fits": f"{i:064x}" for i in range(30)}
    path = tmp_path_factory.mktemp("report") / "field.html"
    record = {"inputs": inputs, "command": "hstcube run stamps"}
    how = {"labels": labels, "before": parts(5)[0], "groups": bins, "record": record}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hstcube.write_report(said, path, **how)[0]


@contextmanager
def opened(
    browser: Any, path: Path, size: tuple[int, int] = (1280, 900), scheme: str = "light"
) -> Any:
    """Open a page; nothing may be said on its console, and nothing be asked of a network."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith(("data:", "file:")) else said.append(asked.url),
    )
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    yield page
    assert said == []
    context.close()


def _leaves(url: str) -> bool:
    return not url.startswith(("data:", "file:"))


def click(page: Any, x: int, y: int, side: int = 120) -> None:
    box = page.locator("#view").bounding_box()
    place = {"x": (x + 0.5) / side * box["width"], "y": (side - y - 0.5) / side * box["height"]}
    page.locator("#view").click(position=place)


def shown_sed(page: Any) -> np.ndarray:
    rows = page.locator("#numbers tr")
    both = rows.evaluate_all("all => all.map((one) => [one.dataset.flux, one.dataset.error])")
    return np.array(both, float).T


def pixels_of(page: Any, what: str = "view") -> str:
    return str(page.evaluate(f"document.getElementById('{what}').toDataURL()"))


def sed_of_pixel(x: int, y: int) -> np.ndarray:
    flux = hstcube.to_flux(good()[0], "nJy")
    errors = np.sqrt(hstcube.variance(flux).values).astype(np.float32)
    return np.array([flux.sci.values[:, y, x], errors[:, y, x]], float)


@pytest.mark.parametrize(("size", "scheme"), [*product(SIZES, SCHEMES)])
def test_it_opens_quietly_fits_its_window_and_is_large_enough(
    browser: Any, page_of_field: Path, size: tuple[int, int], scheme: str
) -> None:
    with opened(browser, page_of_field, size, scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        width = page.locator("#view").bounding_box()["width"]
        assert width >= (420 if size[0] == 1280 else 300)
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        bright = sum(map(int, back.removeprefix("rgb(").rstrip(")").split(",")))
        assert (bright > 600) == (scheme == "light")


def test_a_click_and_keys_show_the_sed_of_the_cube_bit_for_bit(
    browser: Any, page_of_field: Path
) -> None:
    with opened(browser, page_of_field) as page:
        click(page, 50, 71)
        assert np.array_equal(shown_sed(page), sed_of_pixel(50, 71))
        assert "pixel x 50, y 71" in page.locator("#chosen").inner_text()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowDown")
        assert np.array_equal(shown_sed(page), sed_of_pixel(51, 61))
        for _ in range(30):
            page.keyboard.press("Shift+ArrowLeft")
        assert np.array_equal(shown_sed(page), sed_of_pixel(0, 61))


def test_a_bin_shows_the_sed_that_photometry_measures(
    browser: Any, page_of_field: Path, bins: Any
) -> None:
    table = hstcube.photometry(hstcube.to_flux(good()[0], "nJy"), bins)
    with opened(browser, page_of_field) as page:
        page.select_option("#whose", "bin")
        click(page, 62, 60)
        number = int(bins.values[60, 62])
        row = table[list(table["id"]).index(number)]
        told = [
            [row[f"{kind}_{band}"].to_value("nJy") for band in BANDS] for kind in ("flux", "error")
        ]
        assert np.array_equal(shown_sed(page), np.float32(told))
        assert f"bin {number}, {row['npix']} pixels" in page.locator("#chosen").inner_text()


def test_the_pointer_reads_place_and_flux_off(browser: Any, page_of_field: Path) -> None:
    cube = good()[0]
    sky = hstcube.Grid.of(cube).wcs.pixel_to_world(20, 96)
    with opened(browser, page_of_field) as page:
        box = page.locator("#view").bounding_box()
        place = {"x": 20.5 / 120 * box["width"], "y": 23.5 / 120 * box["height"]}
        page.locator("#view").hover(position=place)
        said = page.locator("#pointer").inner_text()
        assert f"RA {sky.ra.deg:.6f}°  Dec {sky.dec.deg:.6f}°" in said
        flux = float(hstcube.to_flux(cube, "nJy").sci[3, 96, 20])
        assert float(said.split("f160w ")[1].split()[0]) == pytest.approx(flux, rel=1e-3)


def test_bands_stretch_and_before_and_after_change_the_image(
    browser: Any, page_of_field: Path
) -> None:
    with opened(browser, page_of_field) as page:
        seen = [pixels_of(page)]
        page.locator("#stretch").fill("80")
        seen.append(pixels_of(page))
        page.select_option("#state", "before")
        seen.append(pixels_of(page))
        page.select_option("#state", "snr")  # the noise is even: it looks as the flux does
        page.locator("#view").hover()
        assert page.locator("#pointer").inner_text().endswith("S/N")
        page.locator("#stamps button").nth(1).click()
        seen.append(pixels_of(page))
        assert page.locator("#band").input_value() == "1"
        page.locator("#view").focus()
        page.keyboard.press(",")
        assert page.locator("#band").input_value() == "0"
        page.keyboard.press("b")
        assert page.locator("#state").input_value() == "before"
        seen.append(pixels_of(page))
        assert len(set(seen)) == len(seen)
        drawn = page.locator("#sed").inner_html()
        page.locator("#log").check()
        assert page.locator("#sed").inner_html() != drawn


def test_north_is_up_and_the_mask_is_where_it_is(browser: Any, page_of_field: Path) -> None:
    """The middle of the brightest star, south-east, is dark; a click on it finds its flux."""
    with opened(browser, page_of_field) as page:
        grey = page.evaluate(
            "([x, y]) => { const c = document.getElementById('view'), s = c.width / 120; return "
            "[...c.getContext('2d').getImageData((x + .5) * s, (119 - y + .5) * s, 1, 1).data] }",
            [22, 20],
        )
        assert grey[0] < 60
        click(page, 22, 20)
        assert "outside the mask" in page.locator("#chosen").inner_text()
        click(page, 62, 60)
        assert "outside" not in page.locator("#chosen").inner_text()


def test_what_files_say_stays_text_in_the_browser(browser: Any, page_of_field: Path) -> None:
    with opened(browser, page_of_field) as page:
        assert page.title() == "hstcube: made"
        assert page.locator("h1").inner_text() == HOSTILE
        assert page.locator(".lines li").first.inner_text() == HOSTILE


def test_all_of_it_is_reached_by_the_keyboard(browser: Any, page_of_field: Path) -> None:
    with opened(browser, page_of_field) as page:
        reached = set()
        for _ in range(20):
            page.keyboard.press("Tab")
            reached.add(
                page.evaluate("document.activeElement.id || document.activeElement.tagName")
            )
        wanted = {"band", "state", "stretch", "whose", "log", "view", "SUMMARY", "BUTTON"}
        assert wanted <= reached
        tree = page.locator("main").aria_snapshot()
        for name in ("Is this cube good?", "Colour image of made", "Encircled energy over"):
            assert name in tree


def test_it_prints_on_three_pages_at_most(browser: Any, page_of_field: Path) -> None:
    with opened(browser, page_of_field) as page:
        printed = page.pdf(prefer_css_page_size=True, print_background=True)
    assert 1 <= printed.count(b"/Type /Page\n") <= 3


def test_the_index_sorts_by_any_number_the_bad_ones_first(browser: Any, tmp_path: Path) -> None:
    cube, labels = good()
    fields = {"m9": cube, "m10": cube, "a<b>": BAD["noise off"](cube)}
    for name, one in fields.items():
        path = tmp_path / f"{name.strip('<>b')}.html"
        hstcube.write_report(one.assign_attrs(field=name), path, labels=labels)
    index = write_index(tmp_path / "reports.html")
    rows = "all => all.map((row) => row.cells[1].innerText)"
    with opened(browser, index) as page:
        table = page.locator("tbody tr")
        assert table.evaluate_all(rows) == ["a<b>", "m9", "m10"]
        page.get_by_role("button", name="noise ratio").click()
        assert table.evaluate_all(rows)[0] == "a<b>"
        page.get_by_role("button", name="noise ratio").click()
        assert table.evaluate_all(rows)[2] == "a<b>"
        page.get_by_role("button", name="field").click()
        assert table.evaluate_all(rows) == ["m10", "m9", "a<b>"]
        with page.expect_navigation():
            page.get_by_role("link", name="m9").click()
        page.wait_for_selector("html[data-ready]", state="attached")
    for size, scheme in product(SIZES, SCHEMES):
        with opened(browser, index, size, scheme) as page:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
