"""Scenario and suite files of tests."""


def scenario(folder, trace, name="sweep", **tables):
    """Write a scenario of a trace; further keyword arguments are lines of TOML by table.

    `top` holds lines above all tables.
    """
    lines = ['format = "vista-scenario/1"', f'name = "{name}"', f'traces = "{trace}"']
    lines += tables.pop("top", [])
    for table, own in tables.items():
        lines += [f"[{table.replace('__', '.')}]", *own]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def suite(folder, name, paths, *lines):
    """Write a suite of scenario files; `lines` follow at its end."""
    text = ['format = "vista-suite/1"', f'name = "{name}"']
    for path in paths:
        text += ["[[scenarios]]", f'path = "{path.name}"']
    path = folder / f"{name}.toml"
    path.write_text("\n".join([*text, *lines]) + "\n", encoding="utf-8")
    return path
