"""Opens an ONNX file, and runs it once, in a process of its own with bounded memory and time.

Run as a script by `vista_sim.onnx_session`, with the file's path, bytes of memory, and seconds of
the CPU. It prints a line of JSON: {} where all is well, {"error": "why"} where the file cannot
be opened. Where memory or time are not enough it prints nothing: it may be killed by then.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

import numpy as np

MOST_ENTRIES = 1 << 26  # of an input that is fed; models with larger ones are opened alone
#: Of what can be fed, NumPy's name by ONNX Runtime's.
DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


def main() -> None:
    """Open the file that the command line names; see the module."""
    path, memory, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    import onnxruntime

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if _lacks_memory(error):
            sys.exit(1)
        print(json.dumps({"error": " ".join(str(error).split())[:200]}))
        return
    fed = _zeros(session.get_inputs())
    if fed is not None:
        try:
            session.run(None, fed)
        except Exception as error:  # such as for an input that cannot be zero: found when it is run
            if _lacks_memory(error):
                sys.exit(1)
    print("{}")


def _lacks_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "bad_alloc" in text or "allocat" in text


def _zeros(inputs: Any) -> dict[str, Any] | None:
    """Zeros for every input, 1 long where its shape leaves that open; None: too many."""
    fed = {}
    for value in inputs:
        shape = [side if isinstance(side, int) else 1 for side in value.shape]
        entries = 1
        for side in shape:
            entries *= max(side, 1)
        if value.type not in DTYPES or entries > MOST_ENTRIES:
            return None
        fed[value.name] = np.zeros(shape, DTYPES[value.type])
    return fed


if __name__ == "__main__":
    main()
