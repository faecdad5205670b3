"""The page, as a person uses it: Chromium clicks through every view.

Nothing may be said on the console, nothing may be asked of another host, and everything must be there without a
mouse. Debian's Chromium is used; without it these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import io
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import PIL.Image
import pytest

pytest.importorskip("playwright", reason="no playwright: pip install playwright")

from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from crossband.frames import Frames
from crossband.retrieval import Options, index
from crossband.server import Settings

from ..conftest import write_pairs
from ..uav.conftest import networks, world  # noqa: F401  (fixtures)
from .conftest import Serving, frames_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]
WAIT = 60_000  # milliseconds: several people may be using the machine
expect.set_options(timeout=WAIT)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Frames:
    """Twelve pairs of six places, with positions on the map of the tests' world."""
    return frames_of(
        write_pairs(tmp_path_factory.mktemp("page") / "pairs", n=12, size=(96, 72)),
        12,
        condition=lambda i: "night" if i % 2 else "day",
        time=lambda i: f"2026-01-{i + 1:02d}T10:00:00",
        lat=lambda i: 48.7002 + i * 8e-5,
        lon=lambda i: 9.1003 + (i % 3) * 2e-4,
    )


@pytest.fixture(scope="module")
def flight(tmp_path_factory) -> Path:
    """What the chain leaves of a flight, small."""
    folder = tmp_path_factory.mktemp("flights") / "night"
    folder.mkdir()
    one = {"box": [1, 2, 11, 10], "kind": "car", "score": 0.8, "x": 70.0, "y": 70.0, "confidence": 0.5}
    places = [(48.7005, 9.1008), (48.7007, 9.1011), (None, None)]
    matches = [
        {**one, "rank": n, "frame": f"0_{n}", "distance": 0.2 * n, "lat": lat, "lon": lon}
        for n, (lat, lon) in enumerate(places, 1)
    ]
    result = {"there": True, "threshold": 0.3, "beta": 0.5, "n_objects": 3, "n_frames": 2, "ambient": 290.0}
    (folder / "matches.json").write_text(json.dumps({**result, "matches": matches}))
    (folder / "matches.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (folder / "matches.kml").write_text("<kml/>")
    PIL.Image.new("RGB", (400, 200), "gray").save(folder / "matches.jpg")
    lines = [{"made": "of"}, *({"frame": f"0_{n}", "lat": 48.7004 + n * 1e-4, "lon": 9.1007} for n in range(4))]
    (folder / "positions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def served(pairs, flight, world, networks, tmp_path_factory) -> Iterator[Serving]:  # noqa: F811
    folder = tmp_path_factory.mktemp("page-galleries") / "pairs"
    index(pairs, folder, options=Options(size=(64, 64)), workers=1, local=True)
    reports = tmp_path_factory.mktemp("page-reports")
    (reports / "report.html").write_text("<!doctype html><title>r</title><h1>A report</h1>")
    run = {"model": "hog", "query_band": "rgb", "gallery_band": "tir", "n_queries": 12, "recall": {"1": 91.7}}
    worst = {**run, "worst": [{"query": "0004", "rank": 7}, {"query": "elsewhere", "rank": 2}]}
    (reports / "results.json").write_text(json.dumps({"protocol": {}, "runs": [worst]}))
    state = tmp_path_factory.mktemp("page-state")
    more = write_pairs(tmp_path_factory.mktemp("page-more") / "more", n=2, size=(96, 72), seed=3)
    serving = Serving(
        Settings(
            galleries={"pairs": folder},
            flights={"night": flight, "town": world / "world"},
            map=world / "world" / "map",
            models=networks,
            reports={"runs": reports},
            folders={"more": more},
            port=0,
            writable=True,
            state=state,
            log=False,
            decoders=1,
            requests=0,
            searches=0,
        )
    )
    yield serving
    serving.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        made = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


class Watched:
    """A page, what it said on the console, and what it asked other hosts for.

    Opened once for all tests, since that takes long.
    """

    def __init__(self, browser: Browser, own: str) -> None:
        self.page = browser.new_page(accept_downloads=True)
        self.page.set_default_timeout(WAIT)
        self.said: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", lambda m: self.said.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url, own))

    def _note(self, url: str, own: str) -> None:
        if not url.startswith((own, "blob:", "data:", "about:")):
            self.foreign.append(url)


@pytest.fixture(scope="module")
def watched(browser, served) -> Watched:
    return Watched(browser, served.url)


@pytest.fixture
def page(watched, served) -> Iterator[Page]:
    """The page as a newcomer finds it."""
    page = watched.page
    page.goto("about:blank")  # so that the next address is loaded anew, whatever stands behind its #
    watched.said.clear()
    watched.foreign.clear()
    page.set_viewport_size({"width": 1280, "height": 860})
    page.goto(served.url)
    yield page
    page.evaluate("localStorage.clear()")
    assert watched.said == []
    assert watched.foreign == []


def send(page: Page, path: Path) -> None:
    page.locator(".drop input").set_input_files(path)
    page.wait_for_selector(".result")


def test_search_by_a_picture_with_filters_a_crop_and_another_band(page, pairs):
    send(page, pairs.root / "rgb" / "0003.png")
    assert page.locator(".result").count() == 12  # thermal alone: the other band of a color picture
    expect(page.locator(".result").first.locator(".name")).to_have_text("0003")
    expect(page.locator(".verdict")).to_be_visible()
    first = page.locator(".result .shot").first
    first.hover()
    expect(first.locator(".band.other")).to_be_visible()  # the other band of the same frame
    page.locator("summary", has_text="condition").first.click()
    page.get_by_label("night").check()
    expect(page.locator(".result")).to_have_count(6)
    page.locator(".query img").scroll_into_view_if_needed()
    box = page.locator(".query img").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.8, steps=4)
    with page.expect_response("**/search") as answer:
        page.mouse.up()
    assert answer.value.json()["query"]["width"] < 80
    page.get_by_role("button", name="Whole picture").click()
    page.get_by_label("All", exact=True).check()
    expect(page.locator(".result")).to_have_count(12)
    page.locator(".segments", has=page.locator("input[name=band]")).get_by_label("TIR").check()
    page.get_by_role("button", name="Other picture").click()
    expect(page.locator(".drop")).to_be_visible()


def test_a_thermal_picture_of_16_bits_is_guessed_shown_and_searched(page, pairs):
    send(page, pairs.root / "tir" / "0005.png")
    assert page.locator("input[name=band][value=tir]").is_checked()
    expect(page.locator(".result").first.locator(".name")).to_have_text("0005")


def test_a_wrong_file_is_one_sentence(browser, served, tmp_path):
    page = browser.new_page()  # of its own: the browser itself tells the console of every answer 422
    page.set_default_timeout(WAIT)
    page.goto(served.url)
    bad = tmp_path / "<img src=x onerror=alert(1)>.png"
    bad.write_bytes(b"<script>document.title='x'</script>")
    page.locator(".drop input").set_input_files(bad)
    expect(page.locator(".toast.bad")).to_be_visible()
    assert page.locator("main img[src=x]").count() == 0
    page.goto(f"{served.url}/#/browse")
    page.locator("summary", has_text="Filters").click()
    page.locator("summary", has_text="condition").last.click()
    page.get_by_label("as in camera").fill("camera =")
    page.get_by_label("as in camera").press("Tab")
    expect(page.locator(".empty")).to_contain_text("'camera ='")  # and not what the page puts around it
    page.close()


def test_compare_in_every_way(page, pairs):
    send(page, pairs.root / "rgb" / "0003.png")
    page.locator(".result .shot").first.click()
    page.wait_for_selector("h1:has-text('Compare')")
    status = page.locator("main p[role=status]")
    expect(status).not_to_have_text("Aligning")
    for mode in ("Slider", "Fade", "Blink", "Checkerboard", "Side by side"):
        page.get_by_label(mode, exact=True).check()
        assert page.locator(".stage").count() == (2 if mode == "Side by side" else 1)
    stage = page.locator(".stage").nth(1)
    before = page.locator(".plane").first.evaluate("e => e.style.transform")
    stage.focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    planes = [page.locator(".plane").nth(n).evaluate("e => e.style.transform") for n in (0, 1)]
    assert planes[0] != before
    assert planes[0].split("scale")[0] == planes[1].split("scale")[0]
    page.get_by_role("button", name="Fit").click()
    box = stage.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(stage.locator(".readout")).to_contain_text("°C")
    with page.expect_response("**/image?*palette=glacier*"):
        page.get_by_label("Palette").select_option("glacier")
    with page.expect_response("**low=10*"):
        page.get_by_label("From").fill("10")
        page.get_by_label("From").press("Tab")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("dd").first).not_to_have_text("0003")


def test_the_map_filters_the_search(page, pairs, served):
    page.goto(f"{served.url}/#/map")
    page.wait_for_selector(".chart .dot")
    assert page.locator(".chart .dot").count() == 12
    assert page.locator(".chart .track").count() == 7  # of six places, and of the flight
    assert page.locator(".chart image").count() == 1
    page.locator(".chart .dot").nth(2).focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Only search within").click()
    page.wait_for_selector(".drop")
    send(page, pairs.root / "rgb" / "0003.png")
    assert 0 < page.locator(".result").count() < 12
    page.goto(f"{served.url}/#/map")
    page.wait_for_selector(".chart .hit")


def test_tiles_lie_below_the_map_where_a_server_of_them_is_named(browser, gallery):
    tiles = "https://tiles.example/{z}/{x}/{y}.png"
    serving = Serving(Settings(galleries={"city": gallery}, tiles=tiles, log=False, decoders=1))
    page = browser.new_page()
    asked: list[str] = []
    picture = io.BytesIO()
    PIL.Image.new("RGB", (256, 256), "tan").save(picture, "PNG")

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(body=picture.getvalue(), content_type="image/png")

    page.route("https://tiles.example/**", answer)
    page.goto(f"{serving.url}/#/map")
    expect(page.locator(".chart .attribution")).to_have_text("tiles.example")
    dot = page.locator(".chart .dot").first.bounding_box()
    assert dot
    under = page.evaluate(
        """([x, y]) => [...document.querySelectorAll('.map-tile')].filter((tile) => {
            const r = tile.getBoundingClientRect();
            return r.left <= x && x < r.right && r.top <= y && y < r.bottom;
        }).map((tile) => tile.getAttribute('href'))""",
        [dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2],
    )
    z, x, y = map(int, under[0].removesuffix(".png").split("/")[-3:])
    assert (x, y) == tile_of(46.5, 6.6, z)
    assert 0 < len(asked) < 60
    page.close()
    serving.stop()


def tile_of(lat: float, lon: float, z: int) -> tuple[int, int]:
    """Column and row of a Web Mercator tile, from the definition."""
    north = math.log(math.tan(math.pi / 4 + math.radians(lat) / 2)) / math.pi
    return int((lon + 180) / 360 * 2**z), int((1 - north) / 2 * 2**z)


def test_browse_marks_and_exports_a_manifest(page, served, tmp_path):
    page.goto(f"{served.url}/#/browse")
    page.wait_for_selector(".tile")
    assert page.locator(".group").count() == 6
    page.get_by_label("Group by").select_option("condition")
    expect(page.locator(".group")).to_have_count(2)
    page.get_by_role("tab", name="Worst queries").click()
    page.wait_for_selector("text=R@1")
    page.get_by_label("Measured by").select_option(label="last benchmark: hog, RGB to TIR")
    expect(page.get_by_role("article").first).to_contain_text("found at 7")
    expect(page.get_by_role("article").nth(1)).to_contain_text("not in this gallery")
    page.get_by_role("tab", name="Worst queries").press("ArrowRight")
    page.wait_for_selector("text=lie nearest")
    page.get_by_role("tab", name="Images").click()
    page.locator(".tile").first.click()
    page.wait_for_selector(".result")
    page.get_by_role("button", name="as right").nth(0).click()
    page.get_by_role("button", name="as wrong").nth(1).click()
    page.goto(f"{served.url}/#/browse/marks")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export manifest").click()
    target = tmp_path / "marks.csv"
    download.value.save_as(target)
    assert "place" in Frames.read(target).table


def test_a_flight_has_its_objects_its_map_and_its_export(page, served):
    page.goto(f"{served.url}/#/flight")
    page.wait_for_selector("tbody tr")
    assert page.locator("tbody tr").count() == 3
    assert page.locator(".chart .hit").count() == 2
    for name, file in (("GeoJSON", "matches.geojson"), ("KML", "matches.kml")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename == file


def test_the_chain_is_run_and_its_stages_are_followed(page, served, world):  # noqa: F811
    page.goto(f"{served.url}/#/flight")
    page.get_by_label("Photograph of the object").set_input_files(world / "world" / "rgb" / "0_0.png")
    page.get_by_role("button", name="Start").click()
    stages = page.locator(".job .stages-list li")
    expect(stages.last).to_contain_text("of 9", timeout=300_000)
    expect(page).to_have_url(re.compile("#/flight/town-"), timeout=300_000)  # it opens its result
    expect(page.locator("tbody tr")).to_have_count(20)
    assert page.locator(".chart image").count() == 1
    assert page.locator(".chart .hit").count() > 0
    expect(page.get_by_role("link", name="KML")).to_be_visible()


def test_reports_are_shown(page, served):
    page.goto(f"{served.url}/#/reports")
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("A report")


def test_a_job_runs_to_its_end_before_ones_eyes(page, served):
    page.goto(f"{served.url}/#/jobs")
    page.get_by_role("form", name="Index a folder").get_by_role("button", name="Start").click()
    job = page.get_by_role("article", name="index: more into pairs")
    expect(job.locator(".status.done")).to_be_visible(timeout=300_000)
    expect(job).to_contain_text("added 4")


def test_the_color_scheme_is_changed_and_kept(page):
    assert page.locator("html").get_attribute("data-theme") == "light"
    page.get_by_label("Use dark colors").click()
    page.reload()
    page.wait_for_selector(".drop")
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_no_view_is_wider_than_its_window(page, served):
    for view in ("search", "compare", "map", "browse", "flight", "reports", "jobs"):
        page.goto(f"{served.url}/#/{view}")
        page.wait_for_selector("main h1, main h2")
        for width in (2560, 1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(100)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (view, width)


def axe() -> str:
    """The script of axe-core, which a package of the extra ``dev`` brings."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("no axe-core: pip install axe-playwright-python")
    return Path(found.origin).with_name("axe.min.js").read_text()


def test_axe_finds_nothing_serious(browser, served, pairs):
    """All rules in light colors, and the contrasts in dark ones too."""
    script = axe()
    context = browser.new_context(
        viewport={"width": 1280, "height": 860}, bypass_csp=True, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.goto(served.url)
    send(page, pairs.root / "rgb" / "0003.png")
    page.evaluate(script)
    found = []

    def check(view: str) -> None:
        for scheme, only in (("light", ""), ("dark", ", runOnly: ['color-contrast']")):
            page.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
            page.wait_for_timeout(100)  # colors change in the next frame
            result = page.evaluate(f"axe.run(document, {{resultTypes: ['violations']{only}}})")
            found.extend(
                (
                    view,
                    scheme,
                    v["id"],
                    v["nodes"][0]["html"][:120],
                    v["nodes"][0].get("failureSummary", "")[:200],
                )
                for v in result["violations"]
                if v["impact"] in ("serious", "critical")
            )

    check("search")
    page.locator(".result .shot").first.click()
    page.wait_for_selector(".stage")
    check("compare")
    views = {
        "map": ".chart .dot",
        "browse": ".tile",
        "browse/worst": ".worst, .empty",
        "browse/duplicates": ".worst",
    }
    views |= {"flight": "tbody tr", "reports": "iframe", "jobs": "main h1"}
    for view, there in views.items():
        page.evaluate(f"location.hash = '#/{view}'")
        page.wait_for_selector(there)
        check(view)
    page.goto(f"{served.url}/docs")
    page.wait_for_selector(".operation")
    page.evaluate(script)
    check("docs")
    assert not found, "\n".join(map(str, found))
    context.close()
