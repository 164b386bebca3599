"""The drive page in a browser."""

import json
import shutil
import time

import pytest
from headless import chromium, needs_chromium
from test_drive_command import started

from vista_sim.runs.run import read_run

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'
FACTORY = """
from vista_sim.policies import Action


class Policy:
    camera = None

    def reset(self):
        pass

    def act(self, observation, car=None):
        if car.t > 1.0:
            raise ValueError({hostile!r})
        return Action(car.path.curvature(car.s))
"""

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.problems = []
    page.foreign = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.problems.append(said.text))
    page.on("request", lambda request: page.foreign.append(request.url))
    yield page
    page.close()


def until(what, seconds=120):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def state(page):
    return page.evaluate("driveWatch.state")


def opened(page, url):
    page.goto(url)
    until(lambda: page.evaluate("window.driveWatch?.frames > 0"))


def test_frames_are_shown_keys_steer_and_the_end_is_a_run(road_trace, tmp_path, page):
    out = tmp_path / "run"
    with started(road_trace, "--out", out) as (process, url):
        opened(page, url)
        assert page.is_visible("#help")
        assert page.is_visible("text=Start driving")
        page.keyboard.press("Space")
        until(lambda: state(page)["phase"] == "driving")
        assert not page.is_visible("#help")
        page.keyboard.down("ArrowRight")
        until(
            lambda: (
                state(page)["lateral"] < -0.15
                and state(page)["wheel"] < 0
                and page.inner_text("#lateral").startswith("-")
            )
        )
        page.keyboard.up("ArrowRight")
        # The canvas shows the view: not of one colour, and different as the car moves.
        read = (
            "Array.from(document.getElementById('view').getContext('2d')"
            ".getImageData(0, 0, 128, 64).data.filter((v, i) => i % 4 == 1))"
        )
        first = page.evaluate(read)
        assert max(first) - min(first) > 30
        assert page.inner_text("#speed") == "8.0"
        page.keyboard.press("p")
        until(lambda: "paused" in page.inner_text("#note"))
        page.keyboard.press("q")
        until(lambda: page.is_visible("#end") and "is over" in page.inner_text("#end"))
        assert f"vista-sim replay {out} --web" in page.inner_text("#end-commands")
        assert process.wait(120) == 0
    run = read_run(out)
    assert run.info["status"] == "complete"
    assert min(run.steps["lateral"].to_pylist()) < -0.15
    assert page.problems == []
    assert {request.split("/")[2] for request in page.foreign} == {url.split("/")[2]}


def test_hostile_names_are_shown_as_text(road_trace, tmp_path, page, monkeypatch):
    trace = tmp_path / "trace"
    shutil.copytree(road_trace, trace)
    values = json.loads((trace / "trace.json").read_text())
    values["name"] = HOSTILE
    (trace / "trace.json").write_text(json.dumps(values))
    (tmp_path / "hostile_driver.py").write_text(FACTORY.format(hostile=HOSTILE))
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "<b>run</b>"
    options = ("--policy", "hostile_driver:Policy", "--out", out)
    with started(trace, *options) as (_, url):
        opened(page, url)
        assert page.inner_text("#trace") == HOSTILE
        page.keyboard.press("Enter")
        until(lambda: state(page)["phase"] == "driving")
        page.keyboard.press("h")
        until(lambda: state(page)["driver"] == "policy")
        until(lambda: "hostile_driver:Policy drives" in page.inner_text("#who"))
        until(lambda: "the policy failed" in page.inner_text("#note"))
        assert HOSTILE in page.inner_text("#note")
        page.click("text=End drive")
        until(lambda: "<b>run</b>" in page.inner_text("#end"))
        assert page.title() == f"{HOSTILE} - vista-sim drive"
        assert page.evaluate("window.hacked") is None
        assert page.locator("img, #end b, #note script").count() == 0
    assert page.problems == []


def test_a_second_driver_is_told_and_may_try_again(road_trace, tmp_path, page, browser):
    with started(road_trace, "--out", tmp_path / "run") as (_, url):
        opened(page, url)
        second = browser.new_page()
        second.goto(url)
        until(lambda: "Somebody else is driving" in second.inner_text("#end-title"))
        page.close()

        def tries_again():
            if second.is_visible("#again"):
                second.click("#again")
            return second.evaluate("driveWatch.frames > 0")

        until(tries_again)
        second.close()


def test_fingers_steer_on_a_phone(road_trace, tmp_path, browser):
    phone = {"width": 390, "height": 844}
    context = browser.new_context(viewport=phone, has_touch=True, is_mobile=True)
    page = context.new_page()
    with started(road_trace, "--out", tmp_path / "run", "--speed", "free") as (_, url):
        opened(page, url)
        page.tap("text=Start driving")
        until(lambda: state(page)["phase"] == "driving")
        box = page.locator("#touch").bounding_box()
        middle = box["x"] + box["width"] / 2
        page.mouse.move(middle, box["y"] + 30)
        page.mouse.down()
        page.mouse.move(middle - 60, box["y"] + 30, steps=4)
        until(lambda: state(page)["wheel"] > 0.2)
        page.mouse.up()
        until(lambda: state(page)["wheel"] < 0.05)
        assert page.is_visible("#throttle")
        # Nothing sticks out to the side.
        assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
        page.tap("text=End drive")
        until(lambda: page.is_visible("text=The drive is over"))
    context.close()


def test_a_gamepads_stick_steers(road_trace, tmp_path, page):
    page.add_init_script("""
        const idle = { value: 0, pressed: false };
        window.stick = 0;
        navigator.getGamepads = () => [{
            connected: true, mapping: "standard", axes: [window.stick, 0, 0, 0],
            buttons: Array(17).fill(idle),
        }];
    """)
    with started(road_trace, "--out", tmp_path / "run") as (_, url):
        opened(page, url)
        page.keyboard.press("Space")
        page.evaluate("window.stick = -0.64")  # to the left, where curvature is positive
        until(lambda: state(page)["wheel"] == pytest.approx((0.64 - 0.1) / 0.9, abs=0.01))
        until(lambda: state(page)["lateral"] > 0.1)
        page.evaluate("window.stick = 0.05")  # a stick that does not quite come back
        until(lambda: state(page)["wheel"] == 0)
