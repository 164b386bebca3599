"""JUnit XML of a suite's result, as CI systems read it.

A `testsuite` for each scenario, with a `testcase` for each of its cases, and one for each pass
criterion. A case whose policy broke is an `error` with the reason; a criterion that is not met
is a `failure` that says the value and what cases it is from. A case that crashed is no failure
by itself where criteria say whether it may; its `system-out` says that it did. Where there are
none, it is a `failure`.
The format is that of Apache Ant's junitreport task, without a schema of its own; as CI systems
document it: github.com/testmoapp/junitxml.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from vista_sim.errors import RunError
from vista_sim.evaluation.suites.result import SuiteResult
from vista_sim.evaluation.suites.verdicts import BROKE, CLEAN, CaseOutcome, Ruling

EXAMPLES = 20  # cases named with a criterion that is not met
_UNPRINTABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(result: SuiteResult, path: Path) -> None:
    """Write the file. Raises RunError."""
    tree = ElementTree.ElementTree(_root(result))
    ElementTree.indent(tree)
    try:
        tree.write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None


def _root(result: SuiteResult) -> ElementTree.Element:
    root = ElementTree.Element("testsuites", name=_text(result.name))
    failed = set(result.failed)
    by_scenario: dict[str, list[CaseOutcome]] = {}
    for case in result.cases:
        by_scenario.setdefault(case.scenario, []).append(case)
    scenarios = {name: ElementTree.SubElement(root, "testsuite", name=name) for name in by_scenario}
    for name, cases in by_scenario.items():
        for case in cases:
            _add_case(scenarios[name], result.name, case, case in failed)
    for ruling in result.rulings:
        of = ruling.requirement.of
        if of not in scenarios:
            scenarios[of] = ElementTree.SubElement(root, "testsuite", name=of)
        own = [case for name in ruling.requirement.scenarios for case in by_scenario.get(name, ())]
        _add_ruling(scenarios[of], result.name, ruling, own)
    for element in (*scenarios.values(), root):
        for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            element.set(count, str(sum(1 for _ in element.iter(tag))))
        seconds = sum(float(case.get("time", 0)) for case in element.iter("testcase"))
        element.set("time", f"{seconds:.3f}")
    return root


def _add_case(parent: ElementTree.Element, suite: str, case: CaseOutcome, failed: bool) -> None:
    element = ElementTree.SubElement(
        parent,
        "testcase",
        classname=_text(f"{suite}.{case.scenario}"),
        name=_text(case.case),
        time=f"{case.seconds:.3f}",
    )
    if case.outcome == BROKE:
        kind = case.reason.partition(":")[0]
        error = ElementTree.SubElement(
            element, "error", type=_text(kind), message=_text(case.reason)
        )
        error.text = _text(case.reason)
    elif failed:
        message = _text(case.reason)
        ElementTree.SubElement(element, "failure", type="case", message=message).text = message
    elif case.reason:
        ElementTree.SubElement(element, "system-out").text = _text(case.reason)


def _add_ruling(
    parent: ElementTree.Element, suite: str, ruling: Ruling, cases: list[CaseOutcome]
) -> None:
    criterion = ruling.requirement.criterion
    element = ElementTree.SubElement(
        parent,
        "testcase",
        classname=_text(f"{suite}.{ruling.requirement.of}"),
        name=_text(f"criterion {criterion}"),
        time="0.000",
    )
    if ruling.passed:
        return
    message = f"{criterion.metric} is {shown_value(ruling)}; asked for: {criterion}"
    failure = ElementTree.SubElement(element, "failure", type="criterion", message=_text(message))
    lines = [message]
    bad = [case for case in cases if case.outcome != CLEAN]
    lines += [f"{case.case}: {case.reason}" for case in bad[:EXAMPLES]]
    if len(bad) > EXAMPLES:
        lines.append(f"and {len(bad) - EXAMPLES} more cases")
    failure.text = _text("\n".join(lines))


def shown_value(ruling: Ruling) -> str:
    """The value that a ruling is on, in the metric's own unit."""
    value = ruling.found.value
    return "not measured" if value != value else f"{value:.6g}"


def _text(text: str) -> str:
    """Without characters that XML 1.0 has no way to write (section 2.2)."""
    return _UNPRINTABLE.sub("?", text)
