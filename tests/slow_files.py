"""Which files of tests take long: `slow_files.txt`, the longest first, made from times measured.

`make test-fast` leaves them out, and `make test` begins with them.

make test ARGS="--junitxml=times.xml -o junit_family=xunit1"
python tests/slow_files.py times.xml
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
TOLD = Path(__file__).with_suffix(".txt")
LONGEST = 2.5  # s that all tests of a file may take


@cache
def slow_files() -> dict[Path, int]:
    """The files that take long, with their place in the list."""
    lines = TOLD.read_text(encoding="utf-8").splitlines()
    return {ROOT / line: place for place, line in enumerate(lines)}


def main() -> None:
    seconds: Counter[str] = Counter()
    for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
        seconds[case.attrib["file"]] += float(case.attrib["time"])
    slow = [file for file, time in seconds.most_common() if time > LONGEST]
    TOLD.write_text("\n".join(slow) + "\n", encoding="utf-8")
    fast = sum(time for file, time in seconds.items() if file not in slow)
    print(f"{len(slow)} of {len(seconds)} files are slow; the others take {fast:.0f} s")


if __name__ == "__main__":
    main()
