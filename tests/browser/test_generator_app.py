"""The app as people see it: Debian's Chromium without a screen, the pages served as `make app`
serves them, and the small model drawing behind the API of tests/fakes.

After each test the browser's console has no error, and axe-core (WCAG's rules by machine) no
serious finding. With SD_SCREENSHOTS=docs/app the docs' pictures are taken anew.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    FilePayload,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

from generator_app.__main__ import ROOT, command
from generator_app.picture_file import parameters_of
from generator_app.session import KEY as KEY_NAME
from generator_app.session import URL
from local_cloud.node import cdk_cli
from tests.fakes.public_api import KEY, PublicApi, served, small_model

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 30_000
DOCUMENTED = {
    "test_a_prompt_becomes_a_picture": "create",
    "test_a_picture_is_edited_where_it_is_painted": "edit",
    "test_three_variants_are_compared": "compare",
    "test_a_similar_picture_is_found": "similar",
    "test_a_png_dropped_on_the_page_brings_its_settings_back": "dropped",
}
"""The docs' picture of what a test has at its end."""
KEPT = [
    f"a {colour} {shape} on a {ground} background"
    for colour, ground in (("red", "white"), ("blue", "yellow"), ("red", "black"))
    for shape in ("heart", "star", "circle")
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium on the PATH: apt-get install chromium"),
]


@dataclass
class Site:
    """`trouble` is what the browser has said since it was last looked at."""

    url: str
    api: PublicApi
    browser: Browser
    trouble: list[str] = field(default_factory=list)

    def open(self, **context: Any) -> Page:
        page = self.browser.new_context(**context).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda said: self.heard(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.heard(str(error)))
        page.on("requestfailed", self.failed)
        page.goto(self.url)
        return page

    def failed(self, request: Request) -> None:
        # A page gives up a picture that isn't there yet when another takes its place.
        if request.failure != "net::ERR_ABORTED":
            self.heard(f"{request.url}: {request.failure}")

    def heard(self, what: str) -> None:
        self.trouble.append(what)

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        return [body for asked, body in self.api.asked if asked == f"POST /images/{kind}"]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    expect.set_options(timeout=PATIENCE_MS)
    api = PublicApi(draw=small_model())
    if not AXE.exists():
        cdk_cli()  # installs what package-lock.json names
    with served(api) as url:
        for seed, prompt in enumerate(KEPT):
            fields = {"prompt": prompt, "size": "64x64", "num_inference_steps": 10, "store": True}
            api.picture({**fields, "model": "g5", "guidance_scale": 4.0}, seed)
        env = os.environ | {URL: url, KEY_NAME: KEY}
        with subprocess.Popen(
            command(0), cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        ) as streamlit:
            assert streamlit.stdout
            said = next(line for line in streamlit.stdout if "URL:" in line)
            try:
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(
                        executable_path=CHROMIUM, args=["--no-sandbox"]
                    )
                    yield Site(said.split()[-1], api, browser)
                    browser.close()
            finally:
                streamlit.kill()


@pytest.fixture
def page(site: Site, request: pytest.FixtureRequest) -> Iterator[Page]:
    """On a screen of its own, or of what a test is marked with."""
    site.api.asked.clear()
    site.api.kept[: -len(KEPT)] = []
    site.trouble.clear()
    screen = {"viewport": {"width": 1200, "height": 900}} | getattr(request, "param", {})
    opened = site.open(**screen)
    yield opened
    still(opened)
    name, folder = DOCUMENTED.get(request.node.originalname), os.environ.get("SD_SCREENSHOTS")
    if name and folder:
        save(opened, Path(folder) / f"{name}.png")
    # Streamlit dims what waits for a script to run, which is below the contrast that one can read.
    patience = time.monotonic() + PATIENCE_MS / 1000
    while (found := serious(opened)) and time.monotonic() < patience:
        opened.wait_for_timeout(500)
    opened.context.close()
    assert not found
    assert not site.trouble


def save(page: Page, path: Path) -> None:
    """From the top, and in few colours: it is small, and looks the same."""
    page.set_viewport_size({"width": 1200, "height": 1200})
    page.mouse.move(600, 600)
    page.mouse.wheel(0, -10_000)
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop === 0")
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        shot.convert("RGB").quantize(128).save(path, optimize=True)


def serious(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    assert isinstance(found, list)
    return [
        f"{each['impact']} {each['id']}: {node['html']}"
        for each in found
        for node in each["nodes"]
        if each["impact"] in ("serious", "critical")
    ]


def still(page: Page) -> None:
    """Once the script that it shows something of has run to its end: Streamlit's own sign that one
    runs comes half a second later."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def go_to(page: Page, name: str) -> None:
    """And wait: until the new page has run, widgets of the old one stand, with the same labels."""
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("heading", level=1, name=re.compile(f"^{name}"))).to_be_visible()
    still(page)


def typed(page: Page, prompt: str) -> None:
    """And counted, so that the page knows it."""
    page.get_by_label("Prompt", exact=True).fill(prompt)
    expect(page.get_by_text(f"{len(prompt.split()) + 2} of 77 tokens")).to_be_visible()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()


def picture(page: Page, prompt: str) -> Locator:
    return page.get_by_alt_text(f"Drawn: {prompt}")


def drawn(page: Page, prompt: str) -> Locator:
    typed(page, prompt)
    press(page, "Draw")
    shown = picture(page, prompt)
    expect(shown).to_be_visible()
    return shown


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened).astype(int)


def test_a_prompt_becomes_a_picture(page: Page, site: Site) -> None:
    shown = drawn(page, "a red heart on a white background")
    expect(page.get_by_text("seed 1 · g5 · 0.5 s · $0.000196")).to_be_visible()
    # What is like it stands below, while one types.
    near = page.get_by_alt_text("In the gallery: a red")
    expect(near.first).to_be_visible()
    assert shown.evaluate("each => each.naturalWidth") == 64
    assert len(site.bodies("generations")) == 1


def test_the_fast_mode_is_chosen_and_the_file_says_it(page: Page, site: Site) -> None:
    page.get_by_text("fast: 10 steps").click()
    expect(page.get_by_text("About 0.3 s and $0.000117 of ml.g5.xlarge.")).to_be_visible()
    drawn(page, "a red heart on a white background")
    expect(page.get_by_text("seed 1 · g5 · fast · 0.5 s")).to_be_visible()
    found = parameters_of(list(site.api.files.values())[-1])
    assert (found["quality"], found["num_inference_steps"]) == ("fast", 10)


def painter(page: Page) -> Locator:
    """By the name it has once it takes strokes: the canvas is there before, in another shape."""
    return page.get_by_label("The picture, and on it the mask")


def test_a_picture_is_edited_where_it_is_painted(page: Page, site: Site) -> None:
    drawn(page, "a red heart on a white background")
    press(page, "Edit")
    canvas = painter(page)
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box
    page.get_by_label("Brush, per cent").fill("30")
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.5, steps=8)
    page.mouse.up()
    expect(page.get_by_text("The mask is painted.")).to_be_visible()
    typed(page, "a blue heart on a white background")
    press(page, "Edit the picture")
    expect(picture(page, "a blue heart on a white background")).to_be_visible()

    (sent,) = site.bodies("edits")
    before, mask = (
        pixels(base64.b64decode(sent[name].partition(",")[2])) for name in ("image", "mask")
    )
    anew = mask[..., 3] == 0
    assert set(np.unique(mask[..., 3])) == {0, 255}
    assert anew[32, 20:44].all()
    assert not anew[:16].any()
    assert not anew[48:].any()
    after = pixels(list(site.api.files.values())[-1])
    assert (after[~anew] == before[~anew]).all()
    assert (after[anew] != before[anew]).any()


def test_a_mask_is_painted_by_keyboard(page: Page) -> None:
    drawn(page, "a red heart on a white background")
    press(page, "Edit")
    canvas = painter(page)
    canvas.focus()
    for key in ("ArrowLeft", "ArrowUp", "Space"):
        canvas.press(key)
    expect(page.get_by_text("The mask is painted.")).to_be_visible()
    canvas.press("Escape")
    expect(page.get_by_text("No mask: all of it is drawn anew.")).to_be_visible()


def test_a_mask_goes_with_its_picture(page: Page, site: Site) -> None:
    go_to(page, "Edit")
    canvas, (one, other) = painter(page), list(site.api.files.values())[:2]

    def bring(name: str, content: bytes) -> None:
        file = FilePayload(name=name, mimeType="image/png", buffer=content)
        page.get_by_test_id("stFileUploader").locator("input").set_input_files(file)
        expect(page.get_by_text(name)).to_be_visible()

    bring("one.png", one)
    canvas.press("Space")
    expect(page.get_by_text("The mask is painted.")).to_be_visible()
    typed(page, "a blue heart on a white background")
    press(page, "Edit the picture")
    expect(picture(page, "a blue heart on a white background")).to_be_visible()
    # Streamlit loses a file that is brought while a script runs.
    still(page)
    bring("other.png", other)
    expect(page.get_by_text("The mask is painted.")).to_have_count(0)
    typed(page, "a green heart on a white background")
    press(page, "Edit the picture")
    expect(picture(page, "a green heart on a white background")).to_be_visible()
    assert ["mask" in sent for sent in site.bodies("edits")] == [True, False]


def test_three_variants_are_compared(page: Page, site: Site) -> None:
    go_to(page, "Compare")
    typed(page, "a green star on a black background")
    page.get_by_label("Seed").fill("7")
    press(page, "Draw on 3 variants")
    expect(picture(page, "a green star on a black background")).to_have_count(3)
    for name, cost in (("g5", "$0.000196"), ("djl", "$0.000196"), ("inf2", "$0.000138")):
        expect(page.get_by_text(f"seed 7 · {name} · 0.5 s · {cost}")).to_be_visible()
    assert [each["model"] for each in site.bodies("generations")] == ["g5", "djl", "inf2"]


def test_a_similar_picture_is_found(page: Page) -> None:
    go_to(page, "Gallery")
    page.get_by_label("Search by a prompt").fill("a red heart on white")
    kept = page.get_by_test_id("stImage").locator("img")
    expect(page.get_by_text("g5 · distance 0.").first).to_be_visible()
    expect(kept.first).to_have_attribute("alt", "In the gallery: a red heart on a white background")
    press(page, "Similar")
    expect(page.get_by_role("heading", name="Like “a red heart on a white")).to_be_visible()
    expect(kept.first).not_to_have_attribute(
        "alt", "In the gallery: a red heart on a white background"
    )
    still(page)
    for at in range(kept.count()):  # a presigned link is the browser's to follow
        expect(kept.nth(at)).to_have_js_property("complete", True)
        assert kept.nth(at).evaluate("each => each.naturalWidth") == 64


def test_a_png_dropped_on_the_page_brings_its_settings_back(page: Page, site: Site) -> None:
    fields = {"prompt": "a blue circle", "negative_prompt": "red", "size": "64x64"}
    fields["quality"] = "fast"
    content = site.api.draw({**fields, "num_inference_steps": 12, "guidance_scale": 3.0}, 41)
    dropped = page.evaluate_handle(
        """encoded => {
            const bytes = Uint8Array.from(atob(encoded), each => each.charCodeAt(0));
            const held = new DataTransfer();
            held.items.add(new File([bytes], "a.png", {type: "image/png"}));
            return held;
        }""",
        base64.b64encode(content).decode(),
    )
    expect(page.locator("body[data-takes-files]")).to_be_attached()
    page.dispatch_event("h1", "drop", {"dataTransfer": dropped})
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a blue circle")
    expect(page.get_by_label("Negative prompt", exact=True)).to_have_value("red")
    expect(page.get_by_label("Seed")).to_have_value("41")
    expect(page.get_by_role("radio", name="fast: 10 steps")).to_be_checked()
    expect(page.get_by_role("slider", name="Steps")).to_have_value("12")
    expect(page.get_by_alt_text("In the gallery: a blue circle")).to_be_visible()


def test_a_batch_shows_its_progress(page: Page) -> None:
    page.get_by_text("As a batch").click()
    expect(page.get_by_text("Keep in the gallery")).to_have_count(0)
    page.get_by_label("Pictures").fill("6")
    page.get_by_label("Pictures").press("Enter")
    expect(page.get_by_text("About 6.0 s")).to_be_visible()
    typed(page, "a yellow square on a blue background")
    press(page, "Draw")
    expect(page.get_by_text("of 6 pictures: in_progress")).to_be_visible()
    expect(page.get_by_text("The batch is completed: 6 pictures")).to_be_visible()
    expect(picture(page, "a yellow square on a blue background")).to_have_count(6)


def by_keyboard(page: Page, wanted: Locator) -> None:
    """Tab until it has the focus."""
    for _ in range(60):
        if wanted.evaluate("each => each === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the Tab key doesn't come there")


def test_a_picture_is_drawn_by_keyboard_alone(page: Page) -> None:
    prompt = page.get_by_label("Prompt", exact=True)
    expect(prompt).to_be_visible()
    by_keyboard(page, prompt)
    page.keyboard.type("a green triangle")
    expect(page.get_by_text("5 of 77 tokens")).to_be_visible()
    by_keyboard(page, page.get_by_role("button", name="Draw", exact=True))
    page.keyboard.press("Enter")
    expect(picture(page, "a green triangle")).to_be_visible()


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}


@pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["phone"])
def test_a_phone_in_the_dark(page: Page) -> None:
    drawn(page, "a red heart on a white background")
    wide: Callable[[str], Any] = page.evaluate
    assert wide("document.documentElement.scrollWidth") == 390
    background = wide("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert max(map(int, background[4:-1].split(","))) < 64


@pytest.mark.parametrize("name", ["Create", "Edit", "Compare", "Gallery", "History"])
def test_a_page_is_accessible_as_it_opens(page: Page, name: str) -> None:
    go_to(page, name)
