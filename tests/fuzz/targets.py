"""The eleven kinds of input that come from outside, and what reads them."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from . import drive_page, inputs, policy_sockets
from .operators import Operator
from .plans import Target, command

DRIVEN = "--traces drive --out run --no-recovery --no-video --section 0:1"
JUDGED = "evaluate --suite suite.toml --policy expert --workers 0 --no-video"
FEW = "--draws 200"
RUN_OF = ("run.json", "episodes.parquet", "steps.parquet")
TRACE = ("trace.json", "ego.parquet", "front.parquet")
#: Damage to where a file stands, which a message that is sent has not.
PLACES = (
    *("remove", "folder in its place", "pipe in its place", "device in its place", "swap files"),
    *("socket in its place", "dangling link", "link to itself", "link to the machine's files"),
    *("sparse gigabytes", "copy of another file"),
)


def _of(run: str) -> list[str]:
    return [f"{run}/{name}" for name in RUN_OF]


def _loads(*names: str) -> Callable[[], None]:
    def load() -> None:
        for name in names:
            importlib.import_module(name)

    return load


def _of_messages(operator: Operator) -> bool:
    return operator.name not in PLACES


TRACES = Target(
    "traces",
    inputs.write_drive,
    (("drive/trace.json", 5), ("drive/*.parquet", 7), ("drive/front.mp4", 1)),
    (
        command("info drive", 2, TRACE),
        command("info drive --json", 2, TRACE),
        command("render drive -o x.png --t 1 --lateral 0.5", 2, TRACE, kept=("x.png",)),
        command(f"evaluate --policy expert {DRIVEN}", 3, TRACE, kept=("run*",)),
        command("bake drive --geometry ground", 1, TRACE, kept=("drive/geometry*",)),
        command("bake drive --geometry lidar", 1, TRACE, kept=("drive/geometry*",)),
        command("check drive -o x.png", 1, TRACE, kept=("x.png",)),
        command("replay drive --save x.rrd", 1, TRACE, warm=False),
        command("bake drive --geometry multiview", 1, TRACE, kept=("drive/geometry*",), warm=False),
        command("replay drive --save full/x.rrd", 0.2, warm=False),
    ),
    _loads("rerun", "vista_sim.replay.viewer.trace"),
)

GEOMETRY = Target(
    "geometry",
    inputs.write_baked,
    (("drive/geometry/front/*", 1),),
    (
        command("info drive", 2, remedy="vista-sim bake"),
        command("info drive --frame 3", 1, remedy="vista-sim bake", kept=("*.png",)),
        command(
            "render drive -o x.png --t 1 --lateral 0.5", 3, remedy="vista-sim bake", kept=("x.png",)
        ),
        command(f"evaluate --policy expert {DRIVEN}", 1, kept=("run*",), remedy="vista-sim bake"),
        command("replay drive --save x.rrd", 1, remedy="vista-sim bake", warm=False),
        command(
            "bake drive --geometry ground",
            2,
            changed=("drive/geometry*",),
            kept=("drive/geometry*",),
        ),
    ),
    _loads("rerun", "vista_sim.replay.viewer.trace"),
)

VIDEOS = Target(
    "videos",
    inputs.write_filmed,
    (("drive/front.mp4", 3), ("run/views/*.mp4", 2)),
    (
        command("info drive", 1, (), "drive/*"),
        command("render drive -o x.png --t 1 --lateral 0.5", 2, (), "drive/*", kept=("x.png",)),
        command(
            "bake drive --geometry multiview",
            1,
            (),
            "drive/*",
            kept=("drive/geometry*",),
            warm=False,
        ),
        command(f"report run -o x.html {FEW}", 3, (), "views/*"),
        command(f"report run -o x.html --videos link {FEW}", 1, (), "views/*"),
        command("replay run --save x.rrd --no-points", 2, (), "views/*", warm=False),
        command(
            "demonstrations run demos --driver policy",
            1,
            (),
            "views/*",
            kept=("demos*",),
            warm=False,
        ),
        command(f"report run -o full/x.html {FEW}", 0.2),
        command("replay run --save full/x.rrd --no-points", 0.2, warm=False),
        command("render drive -o full/x.mp4 --size 400x640", 0.2),
    ),
    _loads("rerun", "vista_sim.replay.viewer.runs"),
)

SCENARIOS = Target(
    "scenarios",
    inputs.write_scenarios,
    (("*.toml", 1),),
    (
        command("scenario check suite.toml", 4, ("*.toml",)),
        command("scenario check bend.toml restart.toml", 1),
        command("scenario list suite.toml --json", 1, ("*.toml",)),
        command("scenario list .", 1, ("*.toml",)),
        command("scenario show suite.toml -o x.png", 1, ("*.toml",), kept=("x.png",)),
        command(f"{JUDGED} --out run", 1, ("*.toml",), statuses=(1,), kept=("run*",)),
    ),
)

POLICIES = Target(
    "policies",
    inputs.write_policy,
    (
        ("cnn/policy.json", 3),
        ("cnn/weights.safetensors", 2),
        ("gru/policy.json", 2),
        ("gru/weights.safetensors", 1),
    ),
    (
        command(f"evaluate --policy cnn {DRIVEN}", 6, ("cnn/*",), "cnn/*", kept=("run*",)),
        command(f"evaluate --policy gru {DRIVEN}", 4, ("gru/*",), "gru/*", kept=("run*",)),
        command("export cnn --out x.onnx", 0.2, program="vista-train", warm=False),
        command(
            "bc --traces drive --out full/policy --architecture cnn --steps 2",
            0.2,
            program="vista-train",
            warm=False,
        ),
    ),
)

ONNX = Target(
    "onnx",
    inputs.write_onnx,
    (("policy.onnx", 4), ("policy.json", 3), ("depth.onnx", 2), ("depth.json", 2)),
    (
        command(
            f"evaluate --policy policy.onnx {DRIVEN}",
            2,
            ("policy.json",),
            "policy.*",
            kept=("run*",),
        ),
        command(
            "bake drive --geometry onnx:depth.onnx",
            1,
            ("depth.json",),
            "depth.*",
            kept=("drive/geometry*",),
        ),
    ),
)

RUNS = Target(
    "runs",
    inputs.write_runs,
    (("run/*", 4), ("other/*", 3), ("starts/*", 3), ("judged/*", 4), ("run/views/*", 1)),
    (
        command(f"metrics run {FEW}", 2, _of("run"), "run/*"),
        command(f"metrics starts {FEW}", 2, _of("starts"), "starts/*"),
        command(f"metrics judged {FEW} --json", 1, _of("judged"), "judged/*"),
        command(f"compare run other {FEW} --partial", 2, (), "run/* other/*"),
        command(f"compare run other {FEW} --markdown x.md", 1, (), "run/* other/*"),
        command(f"report run -o x.html {FEW}", 2, _of("run"), "run/*"),
        command(f"report judged starts -o x.html {FEW}", 1, (), "judged/* starts/*"),
        command("replay run --save x.rrd --no-points", 2, (), "run/*", warm=False),
        command("replay judged run --save x.rrd --no-points", 1, (), "run/* judged/*", warm=False),
        command(
            "demonstrations run demos --driver policy", 1, (), "run/*", kept=("demos*",), warm=False
        ),
        command(
            f"{JUDGED} --out judged --resume",
            4,
            _of("judged"),
            "judged/*",
            statuses=(1,),
            kept=("judged/*",),
        ),
        command(f"compare run other {FEW} --partial --markdown full/x.md", 0.2, warm=False),
    ),
    _loads("rerun", "vista_sim.replay.viewer.runs"),
)

SOCKETS = Target(
    "sockets",
    inputs.write_messages,
    (
        ("hello.msg", 2),
        ("reset.msg", 1),
        ("act.msg", 3),
        ("ready.msg", 2),
        ("done.msg", 1),
        ("action.msg", 2),
        ("error.msg", 1),
    ),
    (
        command("served hello", 1, (), "hello.msg"),
        command("served hello reset act act", 3, (), "hello.msg reset.msg act.msg"),
        command("served act hello", 1, (), "act.msg"),
        command("served reset", 1, (), "reset.msg"),
        command("served ready action", 1, (), "ready.msg action.msg"),
        command("served idle", 0.2, warm=False),
        command(f"evaluate --policy expert {DRIVEN}", 0),  # makes what drives ready
        command(
            f"evaluate --policy ADDRESS {DRIVEN}",
            5,
            (),
            "ready.msg done.msg action.msg",
            kept=("run*",),
            warm=False,
        ),
        command(
            f"evaluate --policy error {DRIVEN}", 1, (), "error.msg", kept=("run*",), warm=False
        ),
    ),
    run=policy_sockets.run,
    suits=_of_messages,
)

DRIVE_PAGE = Target(
    "drive",
    inputs.write_page_messages,
    (("*.json", 3), ("*.http", 3), ("frame.ws", 3)),
    (
        command("messages input.json command.json ack.json ping.json", 2, (), "*.json"),
        command("frames frame.ws", 1, (), "*.ws"),
        command("requests page.http socket.http", 2, (), "*.http"),
    ),
    run=drive_page.run,
    suits=_of_messages,
)

FILMED = "--height 1.5 --camera-matrix 80,80,31.5,23.5"

FILMS = Target(
    "films",
    inputs.write_film,
    (("films/*/*.csv", 4), ("films/*/*.gpx", 3), ("films/*/*.nmea", 3), ("films/csv/*.mp4", 2)),
    (
        command(
            f"import video films/csv/drive.mp4 made {FILMED}",
            4,
            (),
            "*.csv *.mp4",
            then="info made --json",
        ),
        command(
            f"import video films/gpx/drive.mp4 made {FILMED}",
            3,
            (),
            "*.gpx",
            then="info made --json",
        ),
        command(
            f"import video films/nmea/drive.mp4 made {FILMED} --time-offset 0",
            3,
            (),
            "*.nmea",
            then="info made --json",
        ),
        command(f"import video films/csv/drive.mp4 full/made {FILMED}", 0.2, (), "*.csv"),
    ),
)

IMPORTERS = Target(
    "importers",
    inputs.write_recordings,
    (
        ("kitti/poses/00.txt", 3),
        ("kitti/sequences/00/*.txt", 4),
        ("kitti/sequences/00/image_*/*.png", 3),
        ("pandaset/002/*/*.json", 2),
        ("pandaset/002/camera/front_camera/*", 2),
        ("pandaset/002/lidar/*.pkl", 4),
        ("pandaset/002/annotations/cuboids/*.pkl", 2),
        ("drive.bag", 2),
        ("mcap/*", 2),
        ("sqlite/*", 2),
    ),
    (
        command("import kitti-odometry kitti made", 5, (), "*.txt *.png", then="info made --json"),
        command("import ros drive.bag made", 1, (), "drive.bag", then="info made --json"),
        command("import ros mcap made", 1, (), "mcap/*", then="info made --json"),
        command("import ros sqlite made", 1, (), "sqlite/*", then="info made --json"),
        command("import ros mcap", 1, (), "mcap/*"),
        command(
            "import kitti-odometry kitti made --cameras left",
            1,
            (),
            "*.txt image_0/*",
            then="info made --json",
        ),
        command("import kitti-odometry kitti full/made", 0.2, (), "*.txt *.png"),
        command(
            "import pandaset pandaset made",
            5,
            (),
            "*.pkl *.json *.jpg",
            then="info made --json",
        ),
    ),
)

TARGETS = {
    target.name: target
    for target in (
        *(
            TRACES,
            GEOMETRY,
            VIDEOS,
            SCENARIOS,
            POLICIES,
            ONNX,
            RUNS,
            SOCKETS,
            DRIVE_PAGE,
            IMPORTERS,
            FILMS,
        ),
    )
}
