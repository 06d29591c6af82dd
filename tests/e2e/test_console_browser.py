"""A real browser looks at the console, served by the real server on loopback."""

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import msgspec
import pytest
from granian.constants import Interfaces
from granian.server.embed import Server
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.unit.console import scenes
from tests.unit.console.world import Still, World

from firedoor.console.app import make_app
from firedoor.console.live import Live

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"wide": (1400, 900), "narrow": (380, 800)}
EDGE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Served:
    """A console on a port of its own, in a thread of its own.

    Attributes:
        url: Where it is.
        world: What it shows; change it with ``tell``.
        loop: The server's event loop.
    """

    url: str
    world: World
    loop: asyncio.AbstractEventLoop

    def tell(self, change: Callable[[], None]) -> None:
        """Change the world where the server reads it."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(change)
        self.loop.call_soon_threadsafe(done.set)
        assert done.wait(10)


@contextlib.contextmanager
def serving(world: World, port: int = 0) -> Iterator[Served]:
    """Serve a scene with granian until the block ends."""
    port = port or _free_port()
    started: list[asyncio.AbstractEventLoop] = []
    ready = threading.Event()
    stop: list[Callable[[], None]] = []

    async def main() -> None:
        live = Live(world, poll_s=0.05, heartbeat_s=1)
        app = make_app(world, world, token="t", hosts=(), clock=Still(), live=live)  # noqa: S106
        server = Server(
            app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False
        )
        loop = asyncio.get_running_loop()

        def end() -> None:
            app.close()
            server.stop()

        stop.append(end)
        started.append(loop)
        serve = asyncio.create_task(server.serve())
        for _ in range(200):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        ready.set()
        await serve

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield Served(f"http://127.0.0.1:{port}", world, started[0])
    finally:
        started[0].call_soon_threadsafe(stop[0])
        thread.join(10)
        # An open event stream must not keep the server from stopping.
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab that fails the test if the page broke its own policy or a script failed."""
    context = browser.new_context(locale="en-GB")
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    yield tab
    context.close()
    lost = re.compile(r"ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY|Failed to load")
    assert [text for text in complaints if not lost.search(text)] == []


def test_the_page_follows_the_doors_without_being_reloaded(page):
    """An operator watches a release come in, and sees it shut within a second or so."""
    world = scenes.opening()
    with serving(world) as served:
        page.goto(served.url)
        expect(page.locator("#status")).to_have_text("live")
        expect(page.locator(".headline")).to_contain_text("tried on 26 of 200")
        page.evaluate("window.before = document.querySelector('#live')")
        page.locator("details.commands summary").click()

        served.tell(partial(_become, world, scenes.shut()))

        expect(page.locator(".headline")).to_contain_text("is harmful")
        expect(page.locator(".door-shut")).to_be_visible()
        expect(page.locator(".decisions li").first).to_contain_text("E 412")
        expect(page.locator("details.commands")).to_have_attribute("open", "")
        assert page.evaluate("window.before === document.querySelector('#live')")


def test_what_the_page_became_is_what_a_reload_would_show(page):
    """Carrying differences over must not drift from the truth, however often it is done."""
    world = scenes.nothing()
    steps = [scenes.adopted, scenes.opening, scenes.large, scenes.held, scenes.cleared]
    with serving(world) as served:
        page.goto(served.url)
        expect(page.locator("#status")).to_have_text("live")
        for version, step in enumerate(steps, start=100):
            served.tell(partial(_become, world, step(), version))
            expect(page.locator("#live")).to_have_attribute("data-version", str(version))
            became = _shape(page)
            page.reload()
            expect(page.locator("#status")).to_have_text("live")

            assert became == _shape(page)


def test_the_page_says_when_it_lost_the_console_and_finds_it_again(page):
    """A frozen picture that looks live would be worse than none."""
    world = scenes.opening()
    port = _free_port()
    with serving(world, port) as served:
        page.goto(served.url)
        expect(page.locator("#status")).to_have_text("live")
    expect(page.locator("#status")).to_contain_text("connection lost", timeout=10_000)
    _become(world, scenes.shut())
    with serving(world, port):
        expect(page.locator("#status")).to_have_text("live", timeout=20_000)
        expect(page.locator(".headline")).to_contain_text("is harmful")


def test_the_page_is_complete_without_javascript(browser):
    """Hardened desktops, old machines, text browsers: the picture is the same, only still."""
    context = browser.new_context(java_script_enabled=False)
    with serving(scenes.opening()) as served:
        page = context.new_page()
        page.goto(served.url)

        expect(page.locator(".headline")).to_contain_text("tried on 26 of 200")
        expect(page.locator("svg.chart")).to_have_count(2)
        expect(page.get_by_text("This is a still picture")).to_be_visible()
        expect(page.locator("#status")).to_be_hidden()
        context.close()


def test_one_click_changes_the_language_and_it_stays(page):
    """The switch is a link: it works without JavaScript and after the next visit."""
    with serving(scenes.opening()) as served:
        page.goto(served.url)
        page.get_by_role("link", name="中文").click()
        expect(page.locator(".headline")).to_contain_text("台上试行")
        expect(page.locator(".situation")).to_have_text("版本 2 正在试行。")
        expect(page.locator(".decisions li").first).to_contain_text("每次只到少数机器。")
        expect(page.locator("#status")).to_have_text("实时")

        page.goto(served.url)

        expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scene", scenes.SCENES)
def test_no_moment_is_wider_than_the_window(browser, scene, size, scheme, tmp_path):
    """From a phone in the server room to the screen on the wall, by day and by night."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
    )
    with serving(scenes.SCENES[scene]()) as served:
        page = context.new_page()
        page.goto(served.url)
        page.screenshot(path=tmp_path / f"{scene}-{size}-{scheme}.png", full_page=True)

        assert page.evaluate(EDGE) == 0
        context.close()


@pytest.mark.parametrize("language", ["en", "zh_Hans"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scene", ["adopted", "opening", "held", "shut", "large"])
def test_an_explanation_fits_every_window_and_can_be_read(browser, scene, width, language):
    """Read at 4 a.m. on a telephone: nothing beyond the edge, enough contrast, no script."""
    world = scenes.SCENES[scene]()
    release = world.boarded[0 if scene == "adopted" else -1].id
    if scene == "large":
        release = scenes.THIRD
    context = browser.new_context(
        viewport={"width": width, "height": 900}, java_script_enabled=False
    )
    with serving(world) as served:
        page = context.new_page()
        page.goto(f"{served.url}/releases/{release}/explain?lang={language}")

        assert page.evaluate(EDGE) == 0
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate(OUTSIDE) == []
        assert page.locator(".part").count() == (3 if scene == "adopted" else 9)
        context.close()


def test_an_explanation_is_live_and_leads_back_to_the_channels(page):
    """Left open through the night, it shows in the morning what became of the release."""
    world = scenes.opening()
    with serving(world) as served:
        page.goto(served.url)
        page.get_by_role("link", name="What this means, and what you can do now").click()
        expect(page.locator("#status")).to_have_text("live")
        expect(page.locator("#do")).to_contain_text("firedoor release hold 2cb81f3d60b8")

        served.tell(partial(_become, world, scenes.cleared()))

        expect(page.locator("#verdict")).to_contain_text("every machine gets it")
        page.get_by_role("link", name="All channels").click()
        expect(page.locator(".headline")).to_contain_text("proved safe enough")


@pytest.mark.parametrize("size", SIZES)
def test_the_numbers_at_the_axes_stand_inside_the_charts(browser, size):
    """Evidence can be a million to one, and the number needs room on a phone too."""
    world = scenes.shut()
    world.tracks[scenes.THIRD] = [
        msgspec.structs.replace(point, log_e_harm=2.5 * point.log_e_harm)
        for point in world.tracks[scenes.THIRD]
    ]
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    with serving(world) as served:
        page = context.new_page()
        page.goto(served.url)

        assert "1,000,000" in page.locator("svg.evidence .tick").all_text_contents()
        assert page.evaluate(OUTSIDE) == []
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(browser, scheme):
    """WCAG AA: 4.5 to 1 for every word on the page, in both colour schemes."""
    context = browser.new_context(color_scheme=scheme)
    with serving(scenes.large()) as served:
        page = context.new_page()
        page.goto(served.url)

        assert page.evaluate(CONTRAST) == []
        context.close()


OUTSIDE = r"""() => [...document.querySelectorAll("svg.chart text")].filter((text) => {
  const [inner, outer] = [text, text.ownerSVGElement].map((each) => each.getBoundingClientRect());
  return inner.left < outer.left || inner.right > outer.right + 1;
}).map((text) => text.textContent)"""

# Contrast of each text with the nearest opaque ground behind it, by the WCAG formula.
CONTRAST = r"""() => {
  const parse = (c) => c.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !element.getClientRects().length) continue;
    if (element.closest("svg, .skip")) continue;
    let ground = element;
    while (ground && (parse(getComputedStyle(ground).backgroundColor)[3] ?? 1) < 1)
      ground = ground.parentElement;
    const back = ground ? parse(getComputedStyle(ground).backgroundColor) : [255, 255, 255];
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(back)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([walk.currentNode.data.trim(), Number(ratio.toFixed(2))]);
  }
  return poor;
}"""


def _become(world: World, other: World, version: int | None = None) -> None:
    world.views, world.boarded, world.ledger = other.views, other.boarded, other.ledger
    world.tracks, world.enrolled = other.tracks, other.enrolled
    world.changes = world.changes + 1 if version is None else version


def _shape(page: Page) -> str:
    return page.locator("#live").inner_html()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
