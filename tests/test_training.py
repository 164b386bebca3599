"""Training on a made-up road: a bright bar whose place in the image says how to steer."""

import contextlib
import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import cv2
import made_up_road
import numpy as np
import pytest
import torch
from made_up_road import CNN, CONFIG, LSTM, PLAIN_LSTM, SCALE, SHARED, Bars, run, spec_of
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from vista_agents.checkpoint import Progress
from vista_agents.imitation.frames import Batch
from vista_agents.networks.heads import HeadConfig
from vista_agents.networks.network import DrivingNetwork
from vista_agents.policy import load, save_policy
from vista_agents.training import TrainingConfig, TrainingError, curves
from vista_agents.training.augment import AugmentConfig
from vista_agents.training.descent import Descent, build_optimizer
from vista_agents.training.evaluation import evaluate
from vista_agents.training.loop import take_note
from vista_agents.training.processes import Processes
from vista_agents.weights import WEIGHTS

from vista_sim.errors import PolicyError

CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)
PLAIN = AugmentConfig(augment=False)


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Pictures take most of a short training's time; tests of curves draw them."""
    if "curves" not in request.node.name:
        monkeypatch.setattr(curves, "picture", lambda rows: b"")


def weights(out):
    return load_file(out / "weights.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def rows(out):
    with (out / "curves.csv").open() as file:
        return list(csv.DictReader(file))


def gradients(network):
    return {name: p.grad.clone() for name, p in network.named_parameters()}


def test_training_leaves_a_policy_that_steers_by_the_bar(tmp_path):
    losses = []
    config = dataclasses.replace(CONFIG, steps=200, learning_rate=5e-3)
    source = Bars()
    result = run(tmp_path, source, config, report=lambda step, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])
    assert result.validation_error < 0.02
    assert source.prepared == list(range(200))
    assert source.closed == 1
    policy = load(tmp_path)
    batch = Bars().validation()
    answers = [
        policy.act({"camera": image, "speed": np.array([8.0])}).curvature
        for image in batch.inputs["camera"][:, 0].numpy()
    ]
    assert np.corrcoef(answers, batch.target[:, 0, 0])[0, 1] > 0.9
    off = np.abs(np.array(answers) - SCALE * batch.target[:, 0, 0].numpy())
    assert off.mean() == pytest.approx(result.validation_error, rel=1e-3)


def test_the_loss_is_the_mean_over_the_frames_that_are_there():
    batch = Bars(length=6).batch(0, 8)
    batch.target[~batch.mask] = 1e6  # must not be looked at
    descent = Descent(spec_of(PLAIN_LSTM), CONFIG, PLAIN, ALONE, seed=0)
    loss, _ = descent.gradients(batch, 0)
    lengths = batch.mask.sum(dim=1).tolist()
    each = []
    for i, length in enumerate(lengths):
        inputs = {name: x[i : i + 1, :length] for name, x in batch.inputs.items()}
        answer = descent.network(inputs)[0][0, :, 0]
        target = batch.target[i, :length, 0]
        each.append(torch.nn.functional.huber_loss(answer, target, delta=CONFIG.huber) * length)
    assert loss == pytest.approx(float(sum(each).detach()) / sum(lengths), rel=1e-5)


@pytest.mark.parametrize("head", [HeadConfig("waypoints"), HeadConfig(distribution="gaussian")])
def test_held_out_error_is_that_of_what_the_policy_would_do(head):
    spec = spec_of(dataclasses.replace(CNN, head=head))
    bars = Bars(length=3).validation()
    target = torch.randn(*bars.mask.shape, head.size)
    network = Descent(spec, CONFIG, PLAIN, ALONE, seed=0).network
    judged = evaluate(network, Batch(bars.inputs, target, bars.mask), spec, 0.3, CPU)
    # A new head answers zero.
    scaled = target[bars.mask].double().numpy() * spec.scales.of(head)
    if head.outputs == "waypoints":
        expected = np.hypot(scaled[:, 0::2], scaled[:, 1::2]).mean()
    else:
        expected = np.abs(scaled).mean()
        assert judged.loss == pytest.approx(
            0.5 * float((target[bars.mask] ** 2).mean()) + 0.5 * np.log(2 * np.pi), rel=1e-4
        )
    assert judged.error == pytest.approx(expected, rel=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, seed=seed)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


RESUMED = {
    "adamw, cosine": (CNN, 1, {}),
    "momentum, plateau, patience": (
        *(CNN, 1),
        {
            **{"optimizer": "momentum", "learning_rate": 0.3, "schedule": "plateau"},
            **{"plateau_patience": 0, "evaluate_every": 5, "patience": 9},
        },
    ),
    "sgd, constant, recurrent in pieces": (
        *(LSTM, 4),
        {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant", "tbptt": 2},
    ),
    "adam": (CNN, 1, {"optimizer": "adam"}),
}


@pytest.mark.parametrize("case", RESUMED)
def test_a_killed_training_resumes_to_the_weights_of_one_that_was_not(tmp_path, case):
    network, length, changed = RESUMED[case]
    config = dataclasses.replace(CONFIG, **changed)
    given = {"config": config, "network": network}
    run(tmp_path / "whole", Bars(length), **given)
    killed = Bars(length, killed_at=47)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", killed, **given)
    assert killed.closed == 1
    checkpoint = json.loads((tmp_path / "killed/checkpoint/checkpoint.json").read_text())
    assert checkpoint["step"] == 40
    if config.schedule == "plateau":
        assert checkpoint["rate_factor"] < 1
    steps = []
    again = Bars(length)
    run(tmp_path / "killed", again, resume=True, report=lambda s, loss: steps.append(s), **given)
    assert steps[0] == 41
    assert again.prepared[0] == 40
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    files = [
        tmp_path / name / "checkpoint/step-0000060.safetensors" for name in ("whole", "killed")
    ]
    assert same(*map(load_file, files))
    tables = [(tmp_path / name / "curves.csv").read_text() for name in ("whole", "killed")]
    assert tables[0] == tables[1]


def test_resuming_a_finished_training_changes_nothing(tmp_path):
    first = run(tmp_path)
    before = weights(tmp_path)
    steps = []
    again = run(tmp_path, resume=True, report=lambda step, loss: steps.append(step))
    assert steps == []
    assert again == first
    assert same(before, weights(tmp_path))


def test_curves_show_every_step_and_every_look_at_held_out_road(tmp_path):
    result = run(tmp_path)
    kept = rows(tmp_path)
    assert [int(row["step"]) for row in kept] == list(range(1, 61))
    looks = {int(r["step"]): float(r["validation_loss"]) for r in kept if r["validation_loss"]}
    assert list(looks) == [10, 20, 30, 40, 50, 60]
    assert min(looks.values()) == looks[result.best_step] == pytest.approx(result.validation_loss)
    log = EventAccumulator(str(tmp_path / "tensorboard"), {"scalars": 0}).Reload()
    for tag, column in (
        ("loss/train", "loss"),
        ("gradient_norm", "gradient_norm"),
        ("learning_rate", "learning_rate"),
    ):
        logged = [(event.step, event.value) for event in log.Scalars(tag)]
        expected = [(int(row["step"]), pytest.approx(float(row[column]))) for row in kept]
        assert logged == expected
    assert {e.step: pytest.approx(e.value) for e in log.Scalars("loss/validation")} == looks
    image = cv2.imread(str(tmp_path / "curves.png"))
    assert image.std() > 10


def test_curves_outlive_a_training_that_breaks_off(tmp_path):
    with pytest.raises(TrainingError):
        run(tmp_path, Bars(broken_at=35))
    kept = rows(tmp_path)
    assert len(kept) == 36
    assert kept[-1]["loss"] == "nan"
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_unreadable_curves_are_refused_in_one_line(tmp_path):
    run(tmp_path, config=dataclasses.replace(CONFIG, steps=20))
    (tmp_path / "curves.csv").write_text("step,loss\n1,x\n")
    with pytest.raises(PolicyError, match=r"curves.csv: is not readable"):
        run(tmp_path, config=dataclasses.replace(CONFIG, steps=20), resume=True)


def test_the_gradient_norm_is_logged_as_it_was_before_clipping(tmp_path):
    batch = Bars().batch(0, 8)
    free, clipped = (
        Descent(spec_of(CNN), dataclasses.replace(CONFIG, clip=clip), PLAIN, ALONE, seed=0)
        for clip in (0.0, 1e-3)
    )
    for descent in (free, clipped):
        _, norm = descent.gradients(batch, 0)
        raw = torch.cat([g.flatten() for g in gradients(free.network).values()])
        assert norm == pytest.approx(float(raw.norm()), rel=1e-5)
        assert norm > 1e-2
    short = torch.cat([g.flatten() for g in gradients(clipped.network).values()])
    assert float(short.norm()) == pytest.approx(1e-3, rel=1e-3)
    torch.testing.assert_close(short / short.norm(), raw / raw.norm(), atol=1e-6, rtol=1e-4)


def test_back_propagation_through_time_stops_between_pieces():
    batch = Bars(length=6).batch(0, 8)
    batch.mask[0] = True
    found = {}
    for tbptt in (0, 6, 2):
        config = dataclasses.replace(CONFIG, tbptt=tbptt, clip=0.0)
        descent = Descent(spec_of(PLAIN_LSTM), config, PLAIN, ALONE, seed=0)
        torch.nn.init.normal_(descent.network.head.output.weight)
        torch.manual_seed(3)
        for p in descent.network.parameters():
            torch.nn.init.normal_(p, std=0.3)
        loss, _ = descent.gradients(batch, 0)
        found[tbptt] = loss, gradients(descent.network)
    # The same answers, whether in pieces or not: the state goes on.
    assert found[2][0] == pytest.approx(found[0][0], rel=1e-5)
    assert same(found[0][1], found[6][1])
    # By hand: pieces of two frames with the state cut off in between.
    network, state, total = descent.network, None, 0.0
    network.zero_grad()
    for start in range(0, 6, 2):
        span = slice(start, start + 2)
        inputs = {name: x[:, span] for name, x in batch.inputs.items()}
        answer, state = network(inputs, batch.mask[:, span], state)
        state = {name: x.detach() for name, x in state.items()}
        error = torch.nn.functional.huber_loss(
            answer[..., 0], batch.target[:, span, 0], delta=config.huber, reduction="none"
        )
        total = total + error[batch.mask[:, span]].sum() / batch.mask.sum()
    total.backward()
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(found[2][1][name], gradient, atol=1e-6, rtol=1e-4)
    hidden = "memory.cell.weight_hh"
    assert not torch.allclose(found[2][1][hidden], found[0][1][hidden], rtol=1e-2)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("sgd", lambda w, g, lr: w - lr * (g + 0.1 * w)),
        ("momentum", lambda w, g, lr: w - lr * (g + 0.1 * w)),
        ("adam", lambda w, g, lr: w - lr * torch.sign(g + 0.1 * w)),
        ("adamw", lambda w, g, lr: w - lr * 0.1 * w - lr * torch.sign(g)),
    ],
)
def test_the_first_step_of_each_optimizer_is_that_of_its_formula(name, rule):
    layer = torch.nn.Linear(3, 1, bias=False)
    layer.weight.grad = torch.tensor([[1.0, -2.0, 0.5]])
    before, gradient = layer.weight.detach().clone(), layer.weight.grad.clone()
    config = TrainingConfig(optimizer=name, learning_rate=0.01, weight_decay=0.1)
    build_optimizer(layer, config).step()
    expected = rule(before, gradient, 0.01)
    torch.testing.assert_close(layer.weight.detach(), expected, atol=1e-6, rtol=1e-5)


def test_momentum_goes_on_where_the_gradient_is_gone():
    layer = torch.nn.Linear(1, 1, bias=False)
    config = TrainingConfig(optimizer="momentum", learning_rate=0.1, momentum=0.5, weight_decay=0)
    optimizer = build_optimizer(layer, config)
    places = [layer.weight.item()]
    for gradient in (1.0, 0.0, 0.0):
        layer.weight.grad = torch.tensor([[gradient]])
        optimizer.step()
        places.append(layer.weight.item())
    assert np.diff(places) == pytest.approx([-0.1, -0.05, -0.025], abs=1e-6)


def test_schedules_follow_those_of_pytorch():
    config = TrainingConfig(steps=80, warmup=0, learning_rate=0.5)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 80)
    for step in range(80):
        assert config.rate(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        cosine.step()
    warm = TrainingConfig(schedule="constant", warmup=4, learning_rate=0.5)
    assert [warm.rate(s) for s in range(6)] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


def test_the_plateau_schedule_lowers_the_rate_as_that_of_pytorch_does():
    config = TrainingConfig(
        schedule="plateau", warmup=0, plateau_factor=0.5, plateau_patience=2, learning_rate=1.0
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, threshold=0.0
    )
    progress, network = Progress(), torch.nn.Linear(1, 1)
    rates = []
    for loss in [5, 4, 4, 6, 7, 8, 3, 3, 3, 3, 3, 3, 3, 2, 9, 9, 9, 9]:
        take_note(progress, config, loss, network)
        theirs.step(loss)
        rates.append(config.rate(0, progress.rate_factor))
        assert rates[-1] == optimizer.param_groups[0]["lr"]
    assert rates[-1] == 0.0625


def test_a_loss_that_is_not_a_number_stops_and_keeps_the_best_policy(tmp_path):
    source = Bars(broken_at=35)
    with pytest.raises(
        TrainingError, match=r"the loss is nan at step 36; the best policy so far, of step [23]0"
    ) as caught:
        run(tmp_path, source)
    assert "\n" not in str(caught.value)
    assert source.closed == 1
    assert all(torch.isfinite(t).all() for t in weights(tmp_path).values())
    load(tmp_path)
    checkpoint = json.loads((tmp_path / "checkpoint/checkpoint.json").read_text())
    assert checkpoint["step"] == 20
    run(tmp_path, Bars(), resume=True)  # the last good checkpoint can be gone on from


def test_a_loss_that_breaks_before_the_first_look_keeps_the_last_checkpoint(tmp_path):
    config = dataclasses.replace(CONFIG, evaluate_every=60)
    with pytest.raises(TrainingError, match="step 36; the policy of the last checkpoint is kept"):
        run(tmp_path, Bars(broken_at=35), config)
    (checkpoint,) = (tmp_path / "checkpoint").glob("*.safetensors")
    assert checkpoint.name == "step-0000020.safetensors"
    kept = {f"network.{name}": tensor for name, tensor in weights(tmp_path).items()}
    tensors = load_file(checkpoint)
    assert same(kept, {name: tensors[name] for name in kept})
    load(tmp_path)


def test_weights_that_explode_do_not_replace_a_good_checkpoint(tmp_path, monkeypatch):
    update = Descent.update

    def explode(self, rate):
        update(self, rate)
        self.updates = getattr(self, "updates", 0) + 1
        if self.updates == 40:
            self.network.head.output.bias.data.fill_(torch.inf)

    monkeypatch.setattr(Descent, "update", explode)
    with pytest.raises(TrainingError, match=r"not finite after step 40; the best .* step [123]0"):
        run(tmp_path)
    checkpoint = json.loads((tmp_path / "checkpoint/checkpoint.json").read_text())
    assert checkpoint["step"] == 20
    load(tmp_path)


def test_a_loss_that_breaks_before_the_first_checkpoint_leaves_no_policy(tmp_path):
    with pytest.raises(TrainingError, match=r"step 4; there was no checkpoint yet"):
        run(tmp_path, Bars(broken_at=3))
    assert not (tmp_path / "policy.json").exists()


class Unlearnable(Bars):
    """On the held-out road, everything is the other way round."""

    def validation(self):
        batch = super().validation()
        return Batch(batch.inputs, -batch.target, batch.mask)


def test_training_stops_early_when_the_held_out_road_gets_no_better(tmp_path):
    config = dataclasses.replace(CONFIG, steps=400, patience=3, learning_rate=3e-3)
    result = run(tmp_path / "whole", Unlearnable(), config)
    assert result.steps == result.best_step + 3 * config.evaluate_every
    assert result.steps < 400
    # Patience is not renewed by a resume.
    killed_at = result.steps - 5
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", Unlearnable(killed_at=killed_at), config)
    assert run(tmp_path / "killed", Unlearnable(), config, resume=True) == result


def test_training_in_bfloat16_learns_and_keeps_its_weights_in_float32(tmp_path):
    losses = []
    config = dataclasses.replace(CONFIG, bf16=True, learning_rate=3e-3, tbptt=2)
    report = lambda step, loss: losses.append(loss)  # noqa: E731
    run(tmp_path, Bars(length=4), config, network=LSTM, report=report)
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    exact = []
    report = lambda step, loss: exact.append(loss)  # noqa: E731
    run(tmp_path / "exact", Bars(length=4), dataclasses.replace(config, bf16=False),
        network=LSTM, report=report)  # fmt: skip
    assert losses[1:9] != exact[1:9]
    assert losses[1:9] == pytest.approx(exact[1:9], rel=0.1)
    assert {str(t.dtype) for n, t in weights(tmp_path).items() if "tracked" not in n} == {
        "torch.float32"
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What two processes that torchrun started left behind."""
    out = tmp_path_factory.mktemp("shared")
    # By the loopback alone, whatever the machine's name resolves to; and on a busy machine the
    # launcher may be late by minutes with its heartbeats, 15 s of which it else takes for a death.
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    torchrun += ["--local-addr", "127.0.0.1", "--rdzv-conf", "keep_alive_max_attempt=100"]
    done = script(*torchrun, made_up_road.__file__, "shared", out, GLOO_SOCKET_IFNAME="lo")
    assert done.returncode == 0, done.stderr
    return out


def script(*arguments, **variables):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **variables}
    command = [sys.executable, *map(str, arguments)]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **piped, env=environment, start_new_session=True)
    try:
        output, errors = process.communicate(timeout=900)
    finally:  # none of what it started may outlive it
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def test_two_processes_follow_the_loss_curve_of_one(tmp_path, shared):
    """With windows of unequal length, in pieces; to a relative tolerance of 1e-5."""
    run(tmp_path, Bars(length=8), SHARED, network=PLAIN_LSTM)
    one, two = rows(tmp_path), rows(shared / "plain")
    assert len(one) == len(two) == SHARED.steps
    for name in ("loss", "gradient_norm", "validation_loss"):
        expected = [float(row[name]) for row in one if row[name]]
        assert [float(row[name]) for row in two if row[name]] == pytest.approx(expected, rel=1e-5)
    a, b = weights(tmp_path), weights(shared / "plain")
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-5, rtol=1e-4)


def test_all_processes_have_the_same_network_also_with_batch_normalization(shared):
    first, second = ((shared / f"network-of-{rank}.txt").read_text().split() for rank in (0, 1))
    assert first == second
    assert len(set(first)) == SHARED.steps


def test_no_thread_of_the_group_is_left_that_could_abort_a_process_at_its_end(shared):
    """One that lets go of a tensor while the interpreter ends does so."""
    for rank in (0, 1):
        threads = (shared / f"threads-of-{rank}.txt").read_text().splitlines()
        assert threads
        assert not [name for name in threads if "gloo" in name]


def test_a_training_shared_by_two_processes_is_gone_on_with_by_one(tmp_path, shared):
    shutil.copytree(shared / "plain", tmp_path / "plain")
    steps = []
    result = run(
        tmp_path / "plain",
        Bars(length=8),
        SHARED,
        network=PLAIN_LSTM,
        resume=True,
        report=lambda step, loss: steps.append(step),
    )
    assert steps == []
    assert result.steps == SHARED.steps


def test_a_process_that_was_killed_outright_leaves_what_can_be_resumed(tmp_path):
    done = script(made_up_road.__file__, "killed", tmp_path / "killed")
    assert done.returncode == -signal.SIGKILL
    load(tmp_path / "killed")
    run(tmp_path / "killed", resume=True)
    run(tmp_path / "whole")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    tables = [(tmp_path / name / "curves.csv").read_text() for name in ("whole", "killed")]
    assert tables[0] == tables[1]


def test_a_kill_between_the_last_checkpoint_and_the_policy_is_made_good_by_resuming(tmp_path):
    run(tmp_path)
    wanted = {name: (tmp_path / name).read_bytes() for name in ("policy.json", WEIGHTS)}
    old = load(tmp_path)
    other = {name: tensor + 1 for name, tensor in old.network.state_dict().items()}
    save_policy(tmp_path, old.spec, other)
    left = tmp_path / f".{WEIGHTS}.old-0123abcd"  # by the one that was killed
    left.write_bytes(wanted[WEIGHTS])
    run(tmp_path, resume=True)
    assert {name: (tmp_path / name).read_bytes() for name in wanted} == wanted
    assert not left.exists()


def test_a_compiled_network_learns_as_one_that_is_not(tmp_path, monkeypatch):
    """Traced by torch.compile, but run as it is: generating code takes more than a minute."""
    monkeypatch.setattr(
        DrivingNetwork, "compile", lambda self: torch.nn.Module.compile(self, backend="eager")
    )
    for name in ("plain", "compiled"):
        config = dataclasses.replace(SHARED, compile=name == "compiled", tbptt=0)
        run(tmp_path / name, Bars(length=2), config, network=PLAIN_LSTM)
    losses = [[float(r["loss"]) for r in rows(tmp_path / n)] for n in ("plain", "compiled")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert weights(tmp_path / "plain").keys() == weights(tmp_path / "compiled").keys()
    load(tmp_path / "compiled")


def test_a_batch_smaller_than_the_number_of_processes_is_refused():
    with pytest.raises(TrainingError, match=r"batch of 3 sequences.* by 4 processes.*batch-size"):
        Processes(0, 4, CPU).rows(3)
    parts = [range(10)[Processes(rank, 4, CPU).rows(10)] for rank in range(4)]
    assert [i for part in parts for i in part] == list(range(10))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_said_in_one_line(tmp_path):
    source = Bars()
    with pytest.raises(TrainingError, match=r"device is 'cuda'.*--device cpu"):
        run(tmp_path, source, dataclasses.replace(CONFIG, device="cuda"))
    assert source.closed == 1


@pytest.mark.parametrize("damage", ["truncate", "tamper", "remove", "json", "list", "number"])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, damage):
    config = dataclasses.replace(CONFIG, steps=10)
    run(tmp_path, config=config)
    (path,) = (tmp_path / "checkpoint").glob("step-*.safetensors")
    described = tmp_path / "checkpoint/checkpoint.json"
    data = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "tamper":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "remove":
        path.unlink()
    elif damage == "number":
        values = json.loads(described.read_text())
        described.write_text(json.dumps({**values, "waited": "many"}))
    else:
        described.write_text({"json": '{"format": "vista-ch', "list": "[1]"}[damage])
    with pytest.raises(PolicyError, match="checkpoint") as caught:
        run(tmp_path, config=config, resume=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"step": -5},
        {"step": 10**400},
        {"best_step": 61},
        {"waited": float("inf")},
        {"rate_factor": float("nan")},
        {"best_loss": [1]},
        {"tensors": {"file": "\0", "sha256": ""}},
    ],
)
def test_a_checkpoint_with_numbers_that_cannot_be_is_refused_in_one_line(tmp_path, changed):
    config = dataclasses.replace(CONFIG, steps=10)
    run(tmp_path, config=config)
    described = tmp_path / "checkpoint/checkpoint.json"
    values = json.loads(described.read_text())
    described.write_text(json.dumps(values | changed))
    with pytest.raises(PolicyError, match="checkpoint") as caught:
        run(tmp_path, config=config, resume=True)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_recipe_is_refused_naming_the_field(tmp_path):
    run(tmp_path)
    with pytest.raises(PolicyError, match=r"another batch_size \(8, not 4\)"):
        run(tmp_path, config=dataclasses.replace(CONFIG, batch_size=4), resume=True)


def test_a_checkpoint_of_another_architecture_is_refused_in_one_line(tmp_path):
    """Also where the recipe does not say which it was."""
    run(tmp_path, config=dataclasses.replace(CONFIG, steps=10))
    with pytest.raises(PolicyError, match=r"weights 'memory.*' .*missing") as caught:
        run(tmp_path, config=dataclasses.replace(CONFIG, steps=10), network=LSTM, resume=True)
    assert "\n" not in str(caught.value)


def test_one_checkpoint_is_kept_and_no_temporary_file(tmp_path):
    run(tmp_path)
    names = sorted(p.name for p in (tmp_path / "checkpoint").iterdir())
    assert names == ["checkpoint.json", "step-0000060.safetensors"]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("learning_rate", -1.0),
        ("patience", -1),
        ("threads", 0),
        ("tbptt", -1),
        ("plateau_factor", 1.0),
        ("momentum", 1.0),
        ("clip", -1.0),
    ],
)
def test_a_training_that_cannot_be_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        TrainingConfig(**{field: value})
