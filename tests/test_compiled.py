"""What is compiled is compiled anew when what went into it changes."""

import os
import subprocess
import sys


def test_a_constant_of_another_module_that_changes_is_compiled_in_anew(tmp_path):
    (tmp_path / "constants.py").write_text("VALUE = 1.5\n")
    (tmp_path / "kernel.py").write_text(
        "import constants\n"
        "from vista_sim.compiled import compiler\n"
        "@compiler(constants)\n"
        "def value():\n    return constants.VALUE\n"
        "print(value(), len(value.stats.cache_hits))\n"
    )

    def run():
        # No bytecode: a file that changes within a second keeps its time stamp.
        command = [sys.executable, "-B", "-c", "import kernel"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        said = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return said.stdout.split()

    assert run() == ["1.5", "0"]
    assert run() == ["1.5", "1"]
    (tmp_path / "constants.py").write_text("VALUE = 2.5\n")
    assert run() == ["2.5", "0"]
