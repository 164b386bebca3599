"""How far a long command is, where there is no terminal."""

from rich.console import Console
from vista_agents.commands import progress_bar as training_bar
from vista_agents.demo import _stages

from vista_sim.console import ProgressLines, progress_bar


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
    monkeypatch.setattr("vista_sim.console.FIRST_LINE", 0.0)
    monkeypatch.setattr("vista_sim.console.NEXT_LINE", 0.0)
    with training_bar("guided", 10) as report:
        report(1, float("nan"))
        report(2, 0.25)
    assert capsys.readouterr().err.splitlines() == [
        "guided: 1 of 10 steps, 10 % after 0 s",
        "guided: 2 of 10 steps, 20 % after 0 s, loss 0.2500",
        "guided: done in 0 s",
    ]


def test_every_stage_of_a_demo_ends_with_a_line(capsys):
    with _stages(Console(stderr=True, force_terminal=False)) as stage:
        stage("bake the geometry")(1, 1)
        stage("train bc")(1, 1)
    assert capsys.readouterr().err.splitlines() == [
        "bake the geometry: done in 0 s",
        "train bc: done in 0 s",
    ]
