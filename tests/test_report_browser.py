"""The report in a real browser: nothing complains, nothing overlaps, everything can be read and used."""

import chromium
import looking
import numpy as np
import pytest
from test_report import decoded
from test_report_pictures import gallery

from scratchattn.models import DNC, NTM
from scratchattn.report import colours, export_figures, heat_map, html, ntm, run_page
from scratchattn.tasks import BabiStories, Copy
from scratchattn.training import Settings

pytestmark = pytest.mark.skipif(chromium.FOUND is None, reason="no chromium")

TASK = Copy(bits=6, shortest=1, longest=6)
SETTINGS = Settings(steps=60_000, batch=2)
WIDTHS = (360, 800, 1400)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """name -> path: reports on machines with a memory, and a page with every part that there is."""
    model = NTM(TASK.inputs, TASK.outputs, rows=16, width=8, units=12, read_heads=2)
    params = wild(model)
    events = [{"event": "train", "step": s, "wrong_bits": 9 * 0.99**s, "nats": 5.0} for s in range(9)]
    events.append({"event": "evaluation", "step": 8, "wrong_bits": 4.5, "seconds": 3.0})
    events.append({"event": "failed", "step": 9, "why": "the loss is nan"})
    folder = tmp_path_factory.mktemp("pages")
    texts = {
        "ntm": ntm.ntm_page(model, params, TASK, SETTINGS, events, lengths={9: 4.25}),
        "dnc": told(TASK, read_heads=3, write_heads=2, layers=2, convention="csordas"),
        "story": told(BabiStories("3"), read_heads=4),
        "parts": html.page("Every part", gallery(), lead="A page of examples.", notes=["Not to be missed."]),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def wild(model):
    """Parameters with which gates and weightings differ from step to step."""
    params = model.init(np.random.default_rng(1))
    with params.overwriting() as flat:
        flat *= 3
    return params


def told(task, **more):
    """A DNC's report."""
    model = DNC(task.inputs, task.outputs, rows=16, width=8, units=12, **more)
    return run_page(model=model, params=wild(model), task=task, settings=SETTINGS, events=[])


def amiss(browser):
    """Everything that can be found wrong with the page that is shown."""
    return (
        browser.complaints() + looking.overflow(browser) + looking.overlaps(browser) + looking.faint(browser)
    )


@pytest.mark.parametrize("name", ["ntm", "dnc", "story", "parts"])
def test_nothing_is_amiss_at_any_width_in_light_and_dark(browser, pages, name):
    browser.open(pages[name])
    for dark in (False, True):
        browser.turn(dark)
        for width in WIDTHS:
            browser.resize(width)
            assert amiss(browser) == [], (width, dark)


@pytest.mark.parametrize("dark", [False, True])
def test_the_memory_access_is_seen_and_the_themes_differ(browser, pages, dark):
    browser.open(pages["ntm"], width=800, dark=dark)
    theme = "dark" if dark else "light"
    places = """[...document.querySelectorAll('svg')].filter(s => /^(write|read) weightings/.test(
        s.getAttribute('aria-label'))).map(s => { const b = s.getBoundingClientRect();
        return [b.x + scrollX, b.y + scrollY, b.width, b.height]; })"""
    found = browser.run(places)
    assert len(found) == 3  # one head writes, two read
    for clip in found[:2]:
        assert clip[2] > 300 and clip[3] > 80
        pixels = decoded(browser.screenshot(clip))[..., :3]
        seen = {tuple(pixel) for pixel in pixels.reshape(-1, 3)}
        assert len(seen & {tuple(colour) for colour in colours.SCALE}) > 20  # also without the bar of 32
        assert {colours.of_hex(colours.PAPER[theme]), colours.of_hex(colours.TEXT[theme])} <= seen


def test_the_slider_moves_the_picture_by_keyboard_and_by_pointer(browser, pages):
    browser.open(pages["ntm"], width=800)
    shown = "[...document.querySelectorAll('.frame')].map(f => f.getClientRects().length)"
    place = """(() => { const b = document.querySelector('.frames-in-time').getBoundingClientRect();
        return [b.x + scrollX, b.y + scrollY, b.width, b.height]; })()"""
    start = browser.run(shown)
    assert len(start) == 13 and start.index(1) == 6 and sum(start) == 1
    first = browser.screenshot(browser.run(place))
    for _ in range(60):
        browser.press("Tab")
        if browser.run("document.activeElement.type == 'radio'"):
            break
    browser.press("ArrowRight")
    assert browser.run(shown).index(1) == 7
    assert browser.run("document.activeElement.getAttribute('aria-label')") == "step 7"
    second = browser.screenshot(browser.run(place))
    assert first != second
    browser.press("ArrowLeft")
    assert browser.screenshot(browser.run(place)) != second and browser.run(shown) == start
    browser.run("document.querySelectorAll('.stops label')[2].click()")
    assert browser.run(shown).index(1) == 2 and browser.complaints() == []


def test_the_words_of_a_story_can_be_scrolled_to_on_a_telephone(browser, pages):
    browser.open(pages["story"], width=360)
    wide = """[...document.querySelectorAll('.wide')].filter(w => w.querySelector('svg') &&
        w.getClientRects().length).map(w => [w.scrollWidth, w.clientWidth, w.tabIndex])"""
    found = browser.run(wide)
    assert len(found) >= 3 and all(tab == 0 for *_, tab in found)
    assert any(whole > 1000 >= 360 >= shown for whole, shown, _ in found)
    labels = browser.run("[...document.querySelectorAll('.wide')].map(w => w.getAttribute('aria-label'))")
    assert any("reads at the answers" in label for label in labels)


def test_on_paper_every_frame_is_there_and_no_button(browser, pages):
    browser.open(pages["ntm"], width=800, media="print")
    visible = "[...document.querySelectorAll('{}')].filter(e => e.getClientRects().length).length"
    assert browser.run(visible.format(".frame")) == 13 == browser.run(visible.format(".frame h3"))
    assert browser.run(visible.format(".stops")) == 0
    assert looking.overlaps(browser) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_exported_svg_can_be_read_on_its_own(browser, tmp_path, theme):
    drawn = html.Figure(heat_map(np.eye(3), title="stands alone", x_label="step"))
    (path,) = export_figures([html.Section("One", [drawn])], tmp_path, "svg")
    browser.open(path, width=376, height=300, dark=theme == "dark")
    pixels = decoded(browser.screenshot())[..., :3]
    assert tuple(pixels[2, 2]) == colours.of_hex(colours.PAPER[theme])
    assert (pixels == colours.of_hex(colours.TEXT[theme])).all(axis=-1).sum() > 20
    assert (pixels == colours.SCALE[-1]).all(axis=-1).sum() > 3 * 20 * 20


PLANTED = {  # what is done to a page, and words of what must be found
    "a label moved onto another": (
        "const t = document.querySelectorAll('svg text'); t[2].setAttribute('x', t[1].getAttribute('x'));"
        "t[2].setAttribute('y', t[1].getAttribute('y'))",
        "overlap:",
    ),
    "a label beyond its picture": (
        "document.querySelector('svg text').setAttribute('x', '355')",
        "outside of its picture",
    ),
    "a block over the next": ("document.querySelector('h2').style.marginBottom = '-30px'", "overlap:"),
    "grey on white": ("document.querySelector('figcaption').style.color = '#888'", "3.54: "),
    "grey on black, in the dark": ("document.querySelector('figcaption').style.color = '#666'", "3.10: "),
    "half transparent words": ("document.querySelector('main p').style.opacity = '.4'", ": "),
    "a picture in the colour of its paper, in the dark": (
        "document.querySelector('svg').setAttribute('fill', getComputedStyle(document.body).backgroundColor)",
        "1.00: ",
    ),
    "something too wide": (
        "Object.assign(document.querySelector('p').style, {width: '2000px', maxWidth: 'none'})",
        "beyond the window",
    ),
    "an error in the console": ("console.error('planted')", "planted"),
    "an exception": ("setTimeout(() => { throw new Error('planted') })", "Uncaught"),
    "a script": (
        "const s = document.createElement('script'); s.text = '1'; document.body.append(s)",
        "Security Policy",
    ),
    "an image from elsewhere": ("new Image().src = 'https://example.invalid/a.png'", "Security Policy"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(browser, pages, fault):
    browser.open(pages["ntm"], width=800, dark="dark" in fault)
    script, told = PLANTED[fault]
    browser.run(script)
    found = amiss(browser)
    assert any(told in what for what in found), found
