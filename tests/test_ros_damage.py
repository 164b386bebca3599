"""Bags that are cut off, mislabelled, damaged or hostile are one line, and nothing is left."""

import re
import shutil

import numpy as np
import pytest
from ros_bags import CONTAINERS, NAMES, SIZE, START, bag_file, opened, write_drive, write_odometry
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from test_import import run

from vista_sim.errors import TraceError
from vista_sim.traces.importers.ros import unpacking
from vista_sim.traces.importers.write import import_recording


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """A drive in each container."""
    return {kind: write_drive(tmp_path_factory.mktemp(kind), kind) for kind in CONTAINERS}


def cut(path, share=0.6):
    file = path if path.is_file() else next(p for p in path.iterdir() if p.suffix != ".yaml")
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def lose(path):
    next(p for p in path.iterdir() if p.suffix != ".yaml").unlink()


def spoil_metadata(text):
    def spoil(path):
        (path / "metadata.yaml").write_text(text)

    return spoil


def link_outside(path):
    file = next(path.glob("*.db3"))
    file.rename(path.parent / "elsewhere.db3")
    file.symlink_to(path.parent / "elsewhere.db3")


def name_outside(path):
    """The metadata names a file outside of the folder."""
    file = path / "metadata.yaml"
    (path.parent / "elsewhere.db3").write_bytes(next(path.glob("*.db3")).read_bytes())
    file.write_text(re.sub(r"- \S+\.db3", "- ../elsewhere.db3", file.read_text()))


def name_no_bag(path):
    """The metadata names a file in the folder that is none."""
    (path / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    file = path / "metadata.yaml"
    file.write_text(re.sub(r"- \S+\.db3", "- passwd", file.read_text()))


def overwrite_part(content):
    def overwrite(path):
        next(p for p in path.iterdir() if p.suffix != ".yaml").write_bytes(content)

    return overwrite


MARK = "rosbag2_bagfile_information:"
DAMAGE = {
    "cut off .bag": ("bag", cut, r"cannot be read \(Bag index.*rosbag reindex may mend it"),
    "cut off .db3": ("db3", cut, r"malformed.*\.recover may mend it"),
    "cut off .mcap": ("mcap", cut, r"File end magic is invalid.*mcap recover may mend it"),
    "empty": ("bag", lambda path: path.write_bytes(b""), r"drive\.bag: is empty"),
    "mislabelled": (
        "bag",
        lambda path: path.write_bytes(b"\x89MCAP0\r\n" * 9),
        r"is no bag: its content is not that of a \.bag file",
    ),
    "lost file": ("db3", lose, r"database files are missing"),
    "no metadata": ("db3", spoil_metadata(MARK), r"the bag cannot be read"),
    "wrong metadata": ("mcap", spoil_metadata(f"{MARK} [1, 2]"), r"the bag cannot be read"),
    "python in metadata": (
        "mcap",
        spoil_metadata(f"{MARK} !!python/object/apply:os.system ['touch /tmp/hostile']"),
        r"the bag cannot be read",
    ),
    "link to outside": ("db3", link_outside, r"is a link to outside of .*; put the file itself"),
    "no bag in metadata": (
        "db3",
        name_no_bag,
        r"drive/passwd: metadata\.yaml names it, but it is no bag: its name must end in \.bag or",
    ),
    "empty part": ("mcap", overwrite_part(b""), r"metadata\.yaml names it, but it is empty"),
    "mislabelled part": (
        "db3",
        overwrite_part(b"\x89MCAP0\r\n" * 99),
        r"but it is no bag: its content is not that of a \.db3 file",
    ),
    "path to outside": ("db3", name_outside, r"database files are missing"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_bag_is_one_line_and_leaves_nothing(drives, tmp_path, case):
    kind, damage, said = DAMAGE[case]
    (tmp_path / "in").mkdir()
    src = tmp_path / "in" / drives[kind].name
    (shutil.copytree if drives[kind].is_dir() else shutil.copy)(drives[kind], src)
    damage(src)
    with pytest.raises(TraceError, match=said) as caught:
        import_recording(src, tmp_path / "t", "ros")
    assert "\n" not in str(caught.value)
    assert str(src) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("suffix", [".bag", ".mcap", ".db3"])
def test_an_empty_file_that_is_named_as_a_bag_is_said_to_be_empty(tmp_path, suffix):
    (tmp_path / f"drive{suffix}").write_bytes(b"")
    with pytest.raises(TraceError, match=rf"drive\{suffix}: may be ros \(by its name, but it is e"):
        import_recording(tmp_path / f"drive{suffix}", tmp_path / "t")


@pytest.mark.parametrize("packed", ["bz2", "lz4", "zstd"])
def test_a_chunk_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(unpacking, "MAX_CHUNK", 2**18)
    kind = "mcap" if packed == "zstd" else "bag"
    place = tmp_path / NAMES[kind]
    with bag_file(place, kind, packed=packed) as bag:
        write_odometry(bag)
        bag.image("/front/image", START, bytes(2**20), (1024, 1024), "mono8")
    with pytest.raises(TraceError, match="a chunk holds more than the 262144 bytes that it may"):
        opened(place)
    monkeypatch.setattr(unpacking, "MAX_CHUNK", 2**22)
    options = {"mounts": "front=1,0,1.5", "camera_matrix": "900,900,512,512"}
    assert opened(place, **options).cameras["front"]().calibration.lens.size == (1024, 1024)


@pytest.mark.parametrize("place", [(), ("t",)])
def test_a_command_on_a_damaged_bag_ends_with_status_2_and_one_line(
    drives, tmp_path, capsys, place
):
    shutil.copy(drives["bag"], tmp_path / "drive.bag")
    cut(tmp_path / "drive.bag")
    assert run("import", "ros", tmp_path / "drive.bag", *(tmp_path / name for name in place)) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert [p.name for p in tmp_path.iterdir()] == ["drive.bag"]


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_are_read_or_told_in_one_line(drives, tmp_path, kind, seed):
    src = tmp_path / drives[kind].name
    (shutil.copytree if drives[kind].is_dir() else shutil.copy)(drives[kind], src)
    file = src if src.is_file() else next(p for p in src.iterdir() if p.suffix == f".{kind}")
    content = bytearray(file.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(16, len(content), 40):
        content[place] = rng.integers(256)
    file.write_bytes(bytes(content))
    try:
        recording = opened(src)
        for name in recording.usual:
            read = list(recording.cameras[name]().frames(range(3)))
            assert all(image.shape == (*SIZE, 3) for image in read)
    except TraceError as error:
        told = str(error)
    else:
        told = ""
    assert "\n" not in told


def test_a_bag_that_defines_messages_otherwise_is_one_line(tmp_path):
    """Whoever made a bag also made the definitions that it is read by."""
    store = get_typestore(Stores.EMPTY)
    with Writer(tmp_path / "drive.bag") as writer:
        for topic, kind in (
            ("/odom", "nav_msgs/msg/Odometry"),
            ("/image", "sensor_msgs/msg/Image"),
        ):
            store.register(get_types_from_msg("int32 a\nint32 b\nint32 c\n", kind))
            connection = writer.add_connection(topic, kind, typestore=store)
            message = store.types[kind](a=1, b=START // 10**9, c=5)
            writer.write(connection, START, store.serialize_ros1(message, kind))
    with pytest.raises(TraceError, match=r"(odom|image): a message cannot be read") as caught:
        opened(tmp_path / "drive.bag")
    assert "\n" not in str(caught.value)
