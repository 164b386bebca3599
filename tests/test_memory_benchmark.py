import json
import shutil
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "memory.py"


def test_the_memory_benchmark_prints_what_it_says(tiny_trace, tmp_path):
    trace = tmp_path / "trace"
    shutil.copytree(tiny_trace, trace)  # it is baked there
    command = [sys.executable, BENCHMARK, "--quick", "--json", "--trace", trace]
    done = subprocess.run([*command, "--size", "24x36"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    sharing, growth, collection = found["sharing"], found["growth"], found["collection"]
    # What a Python process with NumPy, Numba and OpenCV takes, in MiB, with room to both sides.
    assert 30 < sharing["one_environment_mib"] < 1000
    assert sharing["all_environments_mib"] < 1.5 * sharing["one_environment_mib"]
    assert sharing["environments"] == 4
    assert sharing["processes"] == 2
    assert [steps for steps, _ in growth["curve_mib"]] == list(range(0, 801, 20))
    assert growth["curve_mib"][-1][1] < growth["curve_mib"][0][1] + 50
    assert collection["copies"] == 4
    assert collection["steps_per_s"] > 0
    assert "4 traces" in done.stderr  # progress
