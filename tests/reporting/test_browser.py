"""The report in a real browser, where there is one: nothing goes wrong, and it fits a phone and two pages."""

import re
import shutil

import pytest

import kdefrost

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium of the system."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed; no browser is tried.")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"None of {', '.join(BROWSERS)} is installed: no report is opened in a browser.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(run_profile, small, easy, browser, tmp_path_factory):
    """Opens the report of a profile in a window of some size; what the browser complains of, or asks for, is listed."""
    folder = tmp_path_factory.mktemp("report")
    profile = run_profile(cuts="blocks")
    names = ["<script>throw 1</script>", "a class of a rather long name", "wasp"]
    file = kdefrost.report(profile, folder / "report.html", small, easy["test"], class_names=names)
    said = []

    def open_in(width: int, scheme: str = "light"):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda asked: said.append(asked.url) if asked.url.startswith("http") else None)
        page.goto(file.as_uri())
        return page

    return profile, open_in, said


def test_the_figure_is_drawn_and_shows_the_profiles_numbers(opened):
    profile, open_in, said = opened
    page = open_in(1280)
    drawn = page.locator(".drawing svg").first.bounding_box()
    assert drawn["width"] > 300 and drawn["height"] > 200
    points = page.locator(".points circle")
    assert points.count() == len(profile.cuts) * len(profile.per_class)
    points.last.hover()
    assert page.locator("#numbers").inner_text() == points.last.locator("title").text_content()
    rows = page.locator("#scores tbody tr").all()
    for place, row in enumerate(rows):
        cells = [cell.strip().replace("\xa0", " ") for cell in row.locator("td").all_inner_texts()]
        assert cells[-2:] == [profile.cells(size)[place].strip() for size in profile.per_class]
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert said == []


def test_it_fits_a_phone(opened):
    _, open_in, said = opened
    page = open_in(390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    # Names of layers stay legible where the scores beside them do not fit.
    page.evaluate("document.querySelectorAll('#scores td').forEach(cell => { cell.style.paddingLeft = '20rem'; })")
    assert all(cell.bounding_box()["width"] >= 100 for cell in page.locator("#scores tbody .name").all())
    page.locator(".points circle").first.click()
    assert page.locator("#numbers").inner_text().startswith("Cut 0")
    assert said == []


def test_it_is_dark_where_its_reader_has_it_so(opened):
    _, open_in, _ = opened
    inks = {}
    for scheme in ("light", "dark"):
        page = open_in(1280, scheme)
        inks[scheme] = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
    (paper, ink), dark = inks["light"], inks["dark"]
    assert paper == "rgb(255, 255, 255)" and dark[0] != paper and dark[1] != ink


def test_it_prints_on_two_pages_at_most(opened):
    _, open_in, _ = opened
    printed = open_in(1280).pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) in (1, 2)
