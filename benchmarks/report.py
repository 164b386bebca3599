"""The fidelity benchmark's result as text."""

from __future__ import annotations

import math
from typing import Any

COLUMNS = (
    ("PSNR dB", "psnr", 1.0, 2),
    ("SSIM", "ssim", 1.0, 3),
    ("GMSD", "gmsd", 1.0, 3),
    ("depth error %", "depth_error", 100.0, 1),
    ("depth off %", "depth_off", 100.0, 1),
    ("other frames %", "other", 100.0, 1),
    ("holes %", "holes", 100.0, 1),
)
LEGEND = (
    "In brackets: flat ground. GMSD: 0 is a perfect picture. Depth error: mean of inverse depth's\n"
    "within 50 m; depth off: share of pixels there that are wrong by more than a tenth.\n"
    "Pixels are from the main frame, from other frames, or inpainted (holes)."
)


def as_text(result: dict[str, Any]) -> str:
    """Tables for people."""
    lines = [f"geometry: {result['geometry']}"]
    if "kitti" in result:
        lines += kitti_lines(result["kitti"])
    ground = result.get("proving_ground", {})
    if "skipped" in ground:
        return "\n".join([*lines, f"proving ground skipped: {ground['skipped']}"])
    for key, title in (("proving_ground", "proving ground"), ("moving_cars", "moving cars")):
        if key in result:
            table = result[key]
            lines += ["", f"{title}: {', '.join(table['traces'])}; whole pictures"]
            lines += table_lines(table, "whole")
            if "gain_at_1_m_db" in table:
                lines.append(f"gain over flat ground at 1 m: {table['gain_at_1_m_db']:+.2f} dB")
    if "moving_cars" in result:
        lines += ["", "moving cars: their own pixels and those within 4 of them (depth: their own)"]
        lines += table_lines(result["moving_cars"], "cars")
    if "smoothness" in result:
        lines += ["", *smoothness_lines(result["smoothness"])]
    if "bake_frames_per_second" in result:
        lines += ["", LEGEND, f"baked {result['bake_frames_per_second']:.1f} frames/s"]
    return "\n".join(lines)


def kitti_lines(kitti: dict[str, Any]) -> list[str]:
    if "skipped" in kitti:
        return [f"KITTI skipped: {kitti['skipped']}"]
    lines = [
        "",
        f"right camera of KITTI 00 from the left one, half size, central 90 %, {kitti['frames']} "
        "frames",
        f"{'':14}{'PSNR dB':>9}{'SSIM':>8}{'GMSD':>8}{'main %':>9}{'other %':>9}{'holes %':>9}",
    ]
    for key, name in (("no_warp", "no warp"), ("flat", "flat ground"), ("view", "this view")):
        s = kitti[key]
        line = f"{name:14}{s['psnr']:9.2f}{s['ssim']:8.3f}{s['gmsd']:8.3f}"
        for share in ("main", "other", "holes"):
            line += f"{100 * s[share]:9.2f}" if share in s else ""
        lines.append(line)
    return [*lines, f"baked {kitti['bake_frames_per_second']:.1f} frames/s"]


def table_lines(table: dict[str, Any], part: str) -> list[str]:
    """One line an offset: the view's scores and, in brackets, those of flat ground."""
    lines = [f"{'offset':16}" + "".join(f"{head:>17}" for head, *_ in COLUMNS)]
    for row in table["offsets"]:
        view, flat = row[part]["view"], row[part]["flat"]
        cells = []
        for _, key, scale, digits in COLUMNS:
            if math.isnan(view[key]):
                cells.append("-")
            else:
                cells.append(f"{scale * view[key]:.{digits}f} ({scale * flat[key]:.{digits}f})")
        lines.append(f"{row['offset']:16}" + "".join(f"{cell:>17}" for cell in cells))
    return lines


def smoothness_lines(smooth: dict[str, Any]) -> list[str]:
    lines = [
        "30 Hz views 1 m left of a 10 Hz recording; a switch is the step to a new source frame",
        f"{'':14}{'PSNR at frames':>16}{'between':>10}{'change at switches / elsewhere':>33}"
        f"{'untrue change at switches':>28}{'elsewhere':>12}",
    ]
    for key, name in (("view", "this view"), ("flat", "flat ground")):
        s = smooth[key]
        lines.append(
            f"{name:14}{s['psnr_at_frames']:16.2f}{s['psnr_between']:10.2f}"
            f"{s['change_ratio']:20.2f} (true {s['true_change_ratio']:.2f})"
            f"{s['jerk']:28.2f}{s['jerk_elsewhere']:12.2f}"
        )
    return [
        *lines,
        "Untrue change: RMS of what views change but the truth does not, / true change.",
    ]
