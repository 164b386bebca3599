"""The notebooks of `examples/` run from top to bottom, on a short drive and a short setting."""

import json
import math
import re
from pathlib import Path

import av
import numpy as np
import pytest

import vista_sim
from vista_sim.geometry.bake import bake
from vista_sim.traces.writer import TraceWriter

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("torch")
pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
LARGEST = 1.5e6  # bytes of a committed notebook
SECONDS = 12.0  # of the short drive
PICTURES = ("image/png", "image/gif")

#: A heading of the concepts notebook for each idea; the section below it must draw.
IDEAS = (
    "Perceptron",
    "Activation",
    "Loss",
    "Gradient descent",
    "Learning rate",
    "Over-fitting and early stopping",
    "Convolutional network (CNN)",
    "Recurrent network (RNN) and vanishing gradients",
    "LSTM",
    "Attention",
)


@pytest.fixture(scope="module")
def short_drive(tmp_path_factory) -> Path:
    """The first seconds of the sample drive as a trace of its own, baked."""
    sample = vista_sim.Trace.open(vista_sim.sample_trace("proving-ground"))
    folder = tmp_path_factory.mktemp("traces") / "short"
    ego, front = sample.ego, sample.cameras["front"]
    rows = ego.t <= SECONDS
    with TraceWriter(
        folder, name="short", licence="MIT", source=sample.source, vehicle=sample.vehicle
    ) as writer:
        video = writer.add_camera("front", front.calibration, 5.0, preset="ultrafast")
        for i in np.flatnonzero(front.t <= SECONDS)[::2].tolist():  # half of them: all are baked
            video.write(front.frame(i), round(front.t[i] * 1e9))
        writer.write_ego(
            np.round(ego.t[rows] * 1e9).astype(np.int64),
            ego.position[rows],
            ego.quaternion[rows],
            ego.speed[rows],
            ego.yaw_rate[rows],
        )
    bake(folder)
    return folder


@pytest.fixture(scope="module")
def run(short_drive, tmp_path_factory):
    """Runs a notebook of this name once; (the notebook with outputs, its working folder)."""
    done = {}

    def run_once(name):
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("VISTA_SIM_QUICK", "1")
                patch.setenv("VISTA_SIM_DRIVE", str(short_drive))
                patch.setenv("OMP_NUM_THREADS", "1")
                patch.setenv("IPYTHONDIR", str(folder / "ipython"))  # not the user's own settings
                client = nbclient.NotebookClient(
                    notebook,
                    timeout=300,
                    kernel_name="python3",
                    resources={"metadata": {"path": str(folder)}},
                )
                client.execute()  # raises where a cell fails
            done[name] = notebook, folder
        return done[name]

    return run_once


def sections(notebook):
    """Cells below each numbered heading "## 3. Loss", by the heading's text."""
    found, name = {}, ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^## \d+\. (.+)$", cell.source, flags=re.MULTILINE)
            found |= {heading: [] for heading in headings}
            name = headings[-1] if headings else name
        elif name:
            found[name].append(cell)
    return found


def pictures(cells):
    """Kinds of the pictures that code cells put out."""
    outputs = [o for cell in cells if cell.cell_type == "code" for o in cell.outputs]
    return [kind for o in outputs for kind in PICTURES if kind in o.get("data", {})]


def printed(notebook):
    """What a notebook printed."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "".join(o.text for cell in cells for o in cell.outputs if o.output_type == "stream")


@pytest.mark.slow
def test_every_idea_has_a_heading_and_a_picture_below_it(run):
    notebook, _ = run("from_perceptron_to_attention")
    found = sections(notebook)
    assert [idea for idea in IDEAS if idea not in found] == []
    assert [idea for idea in IDEAS if not pictures(found[idea])] == []


@pytest.mark.slow
def test_the_lab_trains_and_its_rewards_are_steps_of_episodes(run):
    notebook, _ = run("driving_lab")
    found = re.findall(
        r"reward of an episode +([\d.naif]+), +([\d.naif]+) crashes", printed(notebook)
    )
    assert found
    for reward, crashes in found:
        assert math.isfinite(float(reward))
        assert 0 < float(reward) <= 150
        assert 0 <= float(crashes) <= 600


@pytest.mark.slow
def test_the_lab_films_its_evaluation_step_by_step(run):
    notebook, folder = run("driving_lab")
    [(file, steps, metres)] = re.findall(r"(\S+\.mp4): (\d+) steps, (\d+) m", printed(notebook))
    with av.open(str(folder / file)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == int(steps) + 1 > 10  # and the start
    assert int(metres) > 10
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 1  # it moves
    assert "image/gif" in pictures(notebook.cells)


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_a_notebook_runs_without_warnings(run, name):
    notebook, _ = run(name)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    told = [o.text for cell in cells for o in cell.outputs if o.get("name") == "stderr"]
    assert told == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_has_its_outputs_and_names_no_machine(path):
    assert path.stat().st_size < LARGEST
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert sum("image/png" in o.get("data", {}) for cell in cells for o in cell["outputs"]) >= 8
    assert not any(o["output_type"] == "error" for cell in cells for o in cell["outputs"])
    assert not any(o.get("name") == "stderr" for cell in cells for o in cell["outputs"])
    texts = [text for cell in cells for o in cell["outputs"] for text in o.get("text", ())]
    assert not re.search(r"/(home|root|Users|work|tmp)/", " ".join(texts))
