"""How far a long command is, where there is no terminal."""

from vista_agents.commands import progress_bar as training_bar
from vista_agents.demo import _stages
from rich.console import Console

from vista_sim.console import FIRST_LINE, ProgressLines, progress_bar


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_line_is_printed_now_and_then_and_one_at_the_end(capsys):
    clock = Clock()
    lines = ProgressLines("baking", "frames", clock=clock)
    for second in range(0, 101):
        clock.now = float(second)
        lines.report(second, 100.0, "well")
    lines.end()
    assert capsys.readouterr().err.splitlines() == [
        "baking: 10 of 100 frames, 10 % after 10 s, well",
        "baking: 40 of 100 frames, 40 % after 40 s, well",
        "baking: 70 of 100 frames, 70 % after 1:10 min, well",
        "baking: 100 of 100 frames, 100 % after 1:40 min, well",
        "baking: done in 1:40 min",
    ]


def test_what_is_soon_over_says_nothing(capsys):
    with progress_bar("baking") as report:
        report(1, 2)
        report(2, 2)
    with training_bar("guided", 10) as report:
        report(1, 0.5)
    assert capsys.readouterr().err == ""


def test_a_training_tells_no_loss_before_there_is_one(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("vista_sim.console.time.monotonic", clock)
    with training_bar("guided", 10) as report:
        clock.now = 2 * FIRST_LINE
        report(1, float("nan"))
        clock.now = 6 * FIRST_LINE
        report(2, 0.25)
    said = capsys.readouterr().err
    assert "nan" not in said


def test_every_stage_of_a_demo_ends_with_a_line(capsys):
    with _stages(Console(stderr=True, force_terminal=False)) as stage:
        stage("bake the geometry")(1, 1)
        stage("train bc")(1, 1)
    assert capsys.readouterr().err.splitlines() == [
        "bake the geometry: done in 0 s",
        "train bc: done in 0 s",
    ]
