"""Opens ONNX files with ONNX Runtime, for policies and for depth models.

A file of some kB can ask for any amount of memory and time: constants are folded when it is
opened. So a file that was not opened before is opened in a process of its own first, whose memory
and time are bounded by the file's size.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vista_sim.errors import MissingDependencyError, VistaError
from vista_sim.files import one_line, parse_json, require_file
from vista_sim.identity.files import digest_of_digests
from vista_sim.identity.onnx_files import weight_files

MEMORY, MEMORY_PER_BYTE = 2**30, 4  # bytes that opening and running once may take
SECONDS, BYTES_PER_SECOND = 20, 2**25  # of the CPU, and what adds another one
WALL_CLOCK = 10  # times as long it may take on a busy machine
#: Hashes of files that could be opened; processes that are started inherit them.
PASSED = "VISTA_SIM_ONNX_PASSED"
_MOST_PASSED = 64
_PROBE = Path(__file__).with_name("onnx_probe.py")


def open_session(path: Path, wanted_by: str, error: type[VistaError]) -> Any:
    """An inference session on one thread of the CPU, so that the same input gives the same output.

    Args:
        path: the file.
        wanted_by: who needs ONNX Runtime, in words.
        error: raised where the file cannot be run, takes weights from elsewhere than its folder,
            or needs unreasonable memory or time.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
    """
    if find_spec("onnxruntime") is None:
        raise MissingDependencyError(
            f"onnxruntime is not installed; {wanted_by} need the extra: "
            "pip install 'vista-sim[onnx]'"
        )
    _probe_once(path, error)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # ONNX Runtime's own classes, without a common base
        raise _cannot_run(path, str(reason), error) from None


def _probe_once(path: Path, error: type[VistaError]) -> None:
    """Open a file in another process, unless that was done before. Raises `error`."""
    files = [path, *weight_files(path, error)]
    size = sum(require_file(file, error) for file in files)
    key = digest_of_digests(files, error)
    passed = os.environ.get(PASSED, "").split()
    if key in passed or not sys.executable:
        return
    _probe(path, size, error)
    os.environ[PASSED] = " ".join([*passed, key][-_MOST_PASSED:])


def _probe(path: Path, size: int, error: type[VistaError]) -> None:
    memory = MEMORY + MEMORY_PER_BYTE * size
    seconds = SECONDS + size // BYTES_PER_SECOND
    # -P: what lies beside the probe is not to be imported in the place of packages.
    command = [sys.executable, "-P", str(_PROBE), str(path.absolute()), str(memory), str(seconds)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=WALL_CLOCK * seconds,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        said = done.stdout
    except subprocess.TimeoutExpired:
        said = b""
    try:
        answer = parse_json(said)
    except ValueError:
        raise error(
            f"{path}: cannot be opened with {memory / 2**20:.0f} MiB of memory and {seconds} s of "
            f"the CPU, which a model of {size} bytes should not need; it is no model to be trusted"
        ) from None
    if "error" in answer:
        raise _cannot_run(path, str(answer["error"]), error)


def _cannot_run(path: Path, reason: str, error: type[VistaError]) -> VistaError:
    return error(f"{path}: is not an ONNX model that can be run ({one_line(reason)})")
