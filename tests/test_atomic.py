"""Files and folders appear whole or not at all, at every moment, and what a kill leaves is taken
back."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vista_sim import atomic
from vista_sim.atomic import (
    WholeFolder,
    exchange,
    kept_beside,
    left_beside,
    remove,
    replace_folder,
    sweep,
    whole_file,
    write_together,
    write_whole,
)
from vista_sim.errors import RunError, TraceError
from vista_sim.runs.run import read_run
from vista_sim.traces.trace import Trace


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def folder_with(path, text):
    path.mkdir()
    (path / "content").write_text(text)
    return path


def test_a_file_is_old_until_it_is_new(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")
    with whole_file(path) as part:
        part.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_an_error_keeps_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def broken_off():
        with whole_file(path) as part:
            part.write_bytes(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_files_that_belong_together_are_both_old_if_one_cannot_be_written(tmp_path, monkeypatch):
    weights, description = tmp_path / "weights", tmp_path / "description"
    write_together([(weights, b"old"), (description, b"old")])
    synced = []

    def full(handle):
        synced.append(handle)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_together([(weights, b"new"), (description, b"new")])
    assert (weights.read_bytes(), description.read_bytes()) == (b"old", b"old")
    assert names(tmp_path) == ["description", "weights"]


#: Writes two files together, and ends by SIGKILL where the second should get its name.
KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from vista_sim.atomic import write_together
first, second = map(Path, sys.argv[1:])
rename = os.replace
def die_at_second(part, path):
    rename(part, path) if path == first else os.kill(os.getpid(), signal.SIGKILL)
os.replace = die_at_second
write_together([(first, b"new weights"), (second, b"new description")])
"""


def test_a_process_killed_between_two_names_has_left_what_was_there_before(tmp_path):
    weights, description = tmp_path / "weights", tmp_path / "description"
    write_together([(weights, b"old weights"), (description, b"old description")])
    killed = subprocess.run([sys.executable, "-c", KILLED_BETWEEN, weights, description])
    assert killed.returncode == -signal.SIGKILL
    assert (weights.read_bytes(), description.read_bytes()) == (b"new weights", b"old description")
    assert [path.read_bytes() for path in kept_beside(weights)] == [b"old weights"]
    write_together([(weights, b"newer"), (description, b"newer")])
    assert names(tmp_path) == ["description", "weights"]


def test_a_signal_between_two_names_is_handled_when_both_files_have_theirs(tmp_path, monkeypatch):
    weights, description = tmp_path / "weights", tmp_path / "description"
    write_together([(weights, b"old"), (description, b"old")])
    rename = os.replace

    def interrupted(part, path):
        rename(part, path)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_together([(weights, b"new"), (description, b"new")])
    assert (weights.read_bytes(), description.read_bytes()) == (b"new", b"new")
    assert names(tmp_path) == ["description", "weights"]


def test_files_get_the_permissions_that_new_files_have(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", b"")
        with WholeFolder(tmp_path / "folder") as new:
            new.finish()
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs renameat2")
def test_a_reader_finds_a_folder_under_the_name_at_every_moment(tmp_path):
    """Hundreds of exchanges while another thread looks as fast as it can."""
    place = folder_with(tmp_path / "place", "0")
    missing, ended = [], threading.Event()

    def look():
        while not ended.is_set():
            try:
                (place / "content").stat()
            except FileNotFoundError as error:
                # the folder that was found may be removed before its file is: then look again
                if not place.exists():
                    missing.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for _ in range(300):
            with WholeFolder(place) as new:
                (new.path / "content").write_text("1")
                new.finish()
    finally:
        ended.set()
        reader.join()
    assert not missing
    assert names(tmp_path) == ["place"]


def test_two_folders_get_each_others_names(tmp_path):
    one, other = folder_with(tmp_path / "a", "A"), folder_with(tmp_path / "b", "B")
    if not exchange(one, other):
        pytest.skip("this system cannot exchange names")
    assert ((one / "content").read_text(), (other / "content").read_text()) == ("B", "A")
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "nowhere")


def test_without_an_exchange_a_kill_between_two_renames_is_made_good(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "exchange", lambda one, other: False)
    place = folder_with(tmp_path / "place", "old")
    rename, done = os.replace, []

    def killed(source, target):
        if done:
            raise KeyboardInterrupt  # is no OSError: nothing is put back
        done.append(rename(source, target))

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            replace_folder(folder_with(tmp_path / "new", "new"), place)
    assert not place.exists()
    (old,) = (path for path in tmp_path.iterdir() if ".old-" in path.name)
    assert str(old) in left_beside(place)
    sweep(place)  # as the next writer does
    assert (place / "content").read_text() == "old"
    assert left_beside(place) == ""
    replace_folder(tmp_path / "new", place)
    assert (place / "content").read_text() == "new"
    assert names(tmp_path) == ["place"]


def test_readers_say_where_an_interrupted_overwriting_left_what_they_look_for(tmp_path):
    for name in ("drive", "run"):
        folder_with(tmp_path / f".{name}.old-0123abcd", "")
    with pytest.raises(TraceError, match=r"kept in .*\.drive\.old-0123abcd: rename it to .*drive"):
        Trace.open(tmp_path / "drive")
    with pytest.raises(RunError, match=r"kept in .*\.run\.old-0123abcd: rename it to .*run"):
        read_run(tmp_path / "run")


#: A process that begins a file and a folder, says so, and waits to be killed.
WRITER = """
import sys, time
from pathlib import Path
from vista_sim.atomic import WholeFolder, whole_file
folder = WholeFolder(Path(sys.argv[1], "folder"))
(folder.path / "half").write_text("half")
with whole_file(Path(sys.argv[1], "file")) as part:
    part.write_text("half")
    print("begun", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_writer_left_goes_with_the_next_and_what_a_living_one_has_stays(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "begun\n"
        parts = names(tmp_path)
        assert [name.partition(".part-")[0] for name in parts] == [".file", ".folder"]
        for place in (tmp_path / "file", tmp_path / "folder"):
            sweep(place)
        assert names(tmp_path) == parts
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    write_whole(tmp_path / "file", b"new")
    with WholeFolder(tmp_path / "folder") as new:
        new.finish()
    assert names(tmp_path) == ["file", "folder"]


def test_leftovers_of_other_destinations_stay(tmp_path):
    for name in (".drive.part-1", ".drive2.part-1", ".drive.partial", "drive.part-1"):
        folder_with(tmp_path / name, "")
    sweep(tmp_path / "drive")
    assert names(tmp_path) == [".drive.partial", ".drive2.part-1", "drive.part-1"]


def test_removing_a_link_keeps_what_it_leads_to(tmp_path):
    outside = folder_with(tmp_path / "outside", "kept")
    link = tmp_path / "link"
    link.symlink_to(outside)
    remove(link)
    assert (outside / "content").read_text() == "kept"
    assert names(tmp_path) == ["outside"]


def test_a_link_to_a_folder_still_leads_to_its_new_content(tmp_path):
    folder_with(tmp_path / "real", "old")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    with WholeFolder(link) as new:
        (new.path / "content").write_text("new")
        new.finish()
    assert Path(os.readlink(link)) == tmp_path / "real"
    assert (tmp_path / "real" / "content").read_text() == "new"
