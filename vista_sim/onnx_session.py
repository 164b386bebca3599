"""Opens ONNX files with ONNX Runtime, for policies and for depth models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vista_sim.errors import MissingDependencyError, VistaError


def open_session(path: Path, wanted_by: str, error: type[VistaError]) -> Any:
    """An inference session on one thread of the CPU, so that the same input gives the same output.

    Args:
        path: the file; it is there.
        wanted_by: who needs ONNX Runtime, in words.
        error: raised where the file cannot be run.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingDependencyError(
            f"onnxruntime is not installed; {wanted_by} need the extra: "
            "pip install 'vista-sim[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # ONNX Runtime's own classes, without a common base
        text = " ".join(str(reason).split())[:200]
        raise error(f"{path}: is not an ONNX model that can be run ({text})") from None
