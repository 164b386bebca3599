"""The report's page in headless Chromium: it sorts, filters, plays, asks for nothing."""

import time

import pytest
from headless import chromium, needs_chromium
from made_up_runs import Drive, Start
from report_runs import RATE, add_videos, gray_of, run

from vista_sim.evaluation.judging import JudgingSettings
from vista_sim.report.page import write_report

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'../../etc"
THINGS = [
    Drive(("off_road", "end_of_trace"), lateral=1.0, scenario="hard", case="hard/1", failure=None),
    Drive(lateral=0.3, scenario="easy", case="easy/1"),
    Drive(lateral=0.1, scenario="easy", case="easy/2", validity=0.5),
    Drive(lateral=0.2, scenario=HOSTILE, case=HOSTILE),
    Start(5.0, scenario="back", case="back/1"),
    Start(9.0, -0.5, False, scenario="back", case="back/2"),
]

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = [
        run(folder / "first", THINGS, policy={"name": HOSTILE, "sha256": None}),
        run(folder / "second", THINGS[1:], filmed=False),
    ]
    out = folder / "report.html"
    write_report(runs, out, settings=JudgingSettings(draws=50))
    return out


class Watched:
    """A page, and what it complained of or asked for."""

    def __init__(self, browser, path, place="", **context):
        size = {"width": 1280, "height": 900}
        self.context = browser.new_context(**({"viewport": size} | context))
        self.page = self.context.new_page()
        self.complaints, self.requests, self.dialogs = [], [], []
        self.page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog), dialog.dismiss()))
        self.page.goto(path.as_uri() + place)
        self.page.wait_for_selector(".chart .plot svg")

    def column(self, name):
        heads = self.page.locator("#table thead th").evaluate_all(
            "cells => cells.map(cell => cell.dataset.column)"
        )
        at = heads.index(name) + 1
        return self.page.locator(f"#table tbody td:nth-child({at})").all_inner_texts()

    def clock(self):
        return self.page.evaluate("Number(document.getElementById('scrub').value)")

    def playhead(self):
        """Where the playheads are, px from the left of their plots."""
        return self.page.locator(".playhead").evaluate_all(
            """heads => {
              const left = (of) => of.getBoundingClientRect().x;
              return heads.map((head) => left(head) - left(head.parentElement));
            }"""
        )

    def brightness(self):
        """Of the background, 0 to 255."""
        return self.page.evaluate(
            "Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number))"
        )

    def until(self, expression, seconds=120.0):
        """Wait for an expression to be true; the page itself may not evaluate any."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(20)

    def asked_elsewhere(self):
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture
def watched(browser, report):
    """The page; at the end nothing was complained of, or asked for."""
    found = Watched(browser, report)
    yield found
    assert found.complaints == []
    assert found.asked_elsewhere() == []
    assert found.dialogs == []
    found.context.close()


def test_the_table_sorts_by_its_heads(watched):
    page = watched.page
    page.click("#table th[data-column=max_error] button")
    shown = [float(text) for text in watched.column("max_error")]
    assert len(shown) == 12
    assert shown == sorted(shown, reverse=True)
    assert page.get_attribute("#table th[data-column=max_error]", "aria-sort") == "descending"
    page.focus("#table th[data-column=max_error] button")
    page.keyboard.press("Enter")
    shown = [float(text) for text in watched.column("max_error")]
    assert shown == sorted(shown)
    assert page.get_attribute("#table th[data-column=max_error]", "aria-sort") == "ascending"
    assert page.get_attribute("#table th[data-column=id]", "aria-sort") == "none"
    # What is not known comes last, whichever way it is sorted.
    for _ in range(2):
        page.click("#table th[data-column=recovery_time] button")
        assert [text != "" for text in watched.column("recovery_time")] == [True] * 2 + [False] * 10


def test_the_table_filters(watched):
    page = watched.page
    assert page.inner_text("#shown") == "12 of 16"  # those of the expert are not shown at first
    page.keyboard.press("/")
    page.keyboard.type("EASY 2")
    assert watched.column("case") == ["2", "2"]
    page.keyboard.press("Escape")
    page.click("#clear")
    assert page.inner_text("#shown") == "16 of 16"
    page.select_option("#by-outcome", "crashed")
    assert watched.column("case") == ["1"]
    page.select_option("#by-outcome", "")
    page.select_option("#by-scenario", HOSTILE)
    assert watched.column("case") == [HOSTILE, HOSTILE]
    page.click("#clear")
    page.click("#recovery button[data-cell='-0.5|0'] >> nth=0")
    assert watched.column("case") == ["2", "2"]
    assert set(watched.column("letter")) == {"A"}
    page.click("#cell-chip")
    assert page.inner_text("#shown") == "16 of 16"


def test_a_video_plays_and_the_playhead_moves_with_it(watched):
    page = watched.page
    assert page.inner_text("#episode-title").startswith("A #0 ")  # a crash, and it was filmed
    page.focus("#play")
    page.keyboard.press("Home")
    watched.until("document.querySelector('.view-scene video').readyState >= 2")
    before = watched.playhead()
    page.click("#play")
    watched.until("document.querySelector('.view-scene video').currentTime > 0.4")
    shown = page.evaluate("document.querySelector('.view-scene video').currentTime")
    assert watched.clock() == pytest.approx(shown, abs=0.35)
    watched.until("document.getElementById('play').textContent === 'Play'")  # the end
    after = watched.playhead()
    assert watched.clock() == pytest.approx(1.1)
    assert len(after) == 3  # steering, speed, offset
    assert all(late > early + 100 for early, late in zip(before, after, strict=True))


def test_what_a_video_shows_is_the_step_of_the_clock(browser, report):
    for step in (0, 4, 9):
        watched = Watched(browser, report, f"#run=0&episode=0&t={step / RATE}")
        page = watched.page
        watched.until("document.querySelector('.view-scene video').readyState >= 2")
        late = f"document.querySelector('.view-scene video').currentTime - {step / RATE}"
        watched.until(f"Math.abs({late}) < 0.1")
        watched.until("!document.querySelector('.view-scene video').seeking")
        gray = page.evaluate(
            """() => {
              const video = document.querySelector('.view-scene video');
              const canvas = document.createElement('canvas');
              [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
              const pen = canvas.getContext('2d');
              pen.drawImage(video, 0, 0);
              return pen.getImageData(10, 10, 1, 1).data[0];
            }"""
        )
        assert gray == pytest.approx(gray_of(step), abs=5)
        watched.context.close()


def test_an_address_opens_an_episode_at_a_moment(browser, report):
    watched = Watched(browser, report, "#run=1&episode=1&t=0.5")
    assert watched.page.inner_text("#episode-title").startswith("B #1 easy/2")
    assert watched.clock() == pytest.approx(0.5)
    assert watched.page.inner_text("#panes").startswith("This run was not filmed")
    assert watched.page.locator("#table tbody tr[aria-current=true] a").inner_text() == "1"
    assert watched.complaints == []
    watched.context.close()


def test_the_worst_moments_lead_there(watched):
    page = watched.page
    first = page.locator(".moments a").first
    assert "crashed" in first.inner_text()
    page.locator(".moments a", has_text="farthest off the path").first.click()
    watched.until("location.hash.includes('episode=')")
    place = page.evaluate("location.hash")
    assert place.startswith("#run=0&episode=")
    # The largest offset of the made-up drive: the plot's value at the playhead says so.
    lateral = (
        page.locator(".chart", has_text="cross-track error").locator(".item .number").inner_text()
    )
    said = page.locator(".moments a", has_text="farthest off the path").first.inner_text()
    assert f"{abs(float(lateral.replace('−', '-'))):.2f} m" in said


def test_keys_move_through_time_and_episodes(watched):
    page = watched.page
    page.evaluate("location.hash = '#run=0&episode=1&t=0.5'")
    watched.until("document.documentElement.dataset.episode === '0/1'")
    page.keyboard.press("ArrowRight")
    assert watched.clock() == pytest.approx(0.6)
    page.keyboard.press("Shift+ArrowLeft")
    assert watched.clock() == pytest.approx(0.0)
    page.keyboard.press("End")
    assert watched.clock() == pytest.approx(1.1)
    page.keyboard.press("j")
    watched.until("document.documentElement.dataset.episode === '1/1'")  # by number, then run
    page.keyboard.press("k")
    watched.until("document.documentElement.dataset.episode === '0/1'")
    assert page.evaluate("location.hash").startswith("#run=0&episode=1&t=")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_a_click_in_a_plot_and_on_the_map_go_there(watched):
    page = watched.page
    page.evaluate("location.hash = '#run=0&episode=1'")
    watched.until("document.documentElement.dataset.episode === '0/1'")
    area = page.locator(".chart .area").nth(1)
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    left, right = 48, 12  # px beside the plotted times
    page.mouse.click(box["x"] + left + 0.5 * (box["width"] - left - right), box["y"] + 50)
    assert watched.clock() == pytest.approx(0.55, abs=0.01)
    assert watched.playhead()[1] == pytest.approx(left + 0.5 * (box["width"] - left - right), abs=2)
    page.click("#map-mode")  # the whole road
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 16, box["y"] + box["height"] / 2)
    assert watched.clock() == pytest.approx(1.1)  # the far end
    page.mouse.click(box["x"] + 16, box["y"] + box["height"] / 2)
    assert watched.clock() == pytest.approx(0.0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_dark_and_a_telephone(browser, report, scheme):
    size = {"width": 390, "height": 844}
    watched = Watched(browser, report, viewport=size, color_scheme=scheme)
    page = watched.page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert (watched.brightness() < 60) == (scheme == "dark")
    page.click("#theme")
    page.click("#theme")
    watched.until("document.documentElement.dataset.theme === 'dark'")
    assert watched.brightness() < 60
    assert watched.complaints == []
    watched.context.close()


def test_linked_videos_play_from_beside_the_page(browser, tmp_path):
    out = tmp_path / "linked #1.html"
    write_report([run(tmp_path / "run", THINGS)], out, "link", settings=JudgingSettings(draws=50))
    watched = Watched(browser, out, "#run=0&episode=0&t=0.3")
    watched.until("document.querySelector('.view-scene video').readyState >= 2")
    assert watched.page.evaluate("document.querySelector('.view-scene video').duration") == (
        pytest.approx(1.2)
    )
    assert watched.complaints == []
    assert watched.asked_elsewhere() == []
    watched.context.close()


def test_lost_videos_and_overlays(browser, tmp_path):
    folder = run(tmp_path / "run", THINGS, filmed=False)
    shots = [
        (0, view, f"{view}.mp4", range(12))
        for view in ("scene", "recorded", "camera", "validity", "saliency")
    ]
    add_videos(folder, shots)
    (folder / "views" / "scene.mp4").unlink()
    (folder / "views" / "recorded.mp4").write_bytes(b"x")
    out = tmp_path / "report.html"
    write_report([folder], out, settings=JudgingSettings(draws=50))
    watched = Watched(browser, out, "#run=0&episode=0")
    page = watched.page
    assert "video missing (scene.mp4)" in page.inner_text("#panes")
    assert "video cannot be played (recorded.mp4)" in page.inner_text("#panes")
    assert [text.strip() for text in page.locator("#toggles label").all_inner_texts()] == [
        "what the policy sees",
        "not really seen",
        "where it looks",
    ]
    assert not page.locator("video.over-saliency").is_visible()
    page.get_by_role("checkbox", name="where it looks").check()
    assert page.locator("video.over-saliency").is_visible()
    assert watched.complaints == []
    watched.context.close()


def test_what_further_cameras_saw_plays_beside_it(browser, tmp_path):
    folder = run(tmp_path / "run", THINGS[:1], filmed=False)
    views = ("camera", "camera.rear", "camera.left", "validity")
    add_videos(folder, [(0, view, f"{view}.mp4", range(12)) for view in views])
    out = tmp_path / "report.html"
    write_report([folder], out, settings=JudgingSettings(draws=50))
    watched = Watched(browser, out)
    page = watched.page
    captions = page.locator("#panes figcaption")
    assert captions.all_inner_texts() == [
        "what the policy sees",
        "what left sees",
        "what rear sees",
    ]
    watched.until("[...document.querySelectorAll('#panes video')].every(v => v.readyState >= 2)")
    assert page.locator("#panes figure:first-child video.over-validity").count() == 1
    page.get_by_role("checkbox", name="what rear sees").uncheck()
    assert page.locator("#panes figure:visible").count() == 2
    assert watched.complaints == []
    watched.context.close()


@pytest.mark.parametrize("finish", [True, False])
def test_a_run_without_anything_in_it(browser, tmp_path, finish):
    folder = run(tmp_path / "run", [], finish=finish, filmed=False)
    out = tmp_path / "report.html"
    write_report([folder], out, settings=JudgingSettings(draws=50))
    context = browser.new_context()
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(out.as_uri())
    assert "Nothing was driven yet" in page.inner_text("#summary")
    assert page.locator("#player, #episodes").count() == 0
    assert complaints == []
    context.close()


def test_the_button_on_the_first_screen_plays_what_is_filmed(watched):
    page = watched.page
    page.click(".watch")
    watched.until("Number(document.getElementById('scrub').value) > 0.3")
    assert page.inner_text("#play") == "Pause"
    assert page.locator("#panes video").count() == 2


def test_the_browser_goes_back_to_the_episode_that_was_open_before(watched):
    page = watched.page
    opened = "document.documentElement.dataset.episode"
    for episode in ("0/1", "0/2", "0/3"):
        run_, number = episode.split("/")
        page.click(f"#table a[href='#run={run_}&episode={number}']")
        watched.until(f"{opened} === '{episode}'")
    page.go_back()
    watched.until(f"{opened} === '0/2'")
    page.go_back()
    watched.until(f"{opened} === '0/1'")
    page.go_forward()
    watched.until(f"{opened} === '0/2'")


def test_nothing_moves_when_videos_are_there(watched):
    box = "document.querySelector('#panes video').getBoundingClientRect()"
    watched.page.click(".watch")
    shape = watched.page.evaluate(f"{box}.width / {box}.height")
    assert shape == pytest.approx(64 / 48, rel=0.01)
    found = watched.page.evaluate(
        "[...document.querySelectorAll('#panes video')].map(v => v.width)"
    )
    assert found == [64, 64]
