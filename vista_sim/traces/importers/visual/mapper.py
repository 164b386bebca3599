"""A program that reconstructs keyframes with pycolmap (COLMAP: Schönberger, Frahm, CVPR 2016).

    python -m vista_sim.traces.importers.visual.mapper IN.npz OUT.npz

It is a process of its own, since pycolmap brings libraries that do not bear others beside them;
so it imports NumPy and pycolmap alone. Pixels have their centres at half numbers here, as COLMAP
has them.

IN.npz: size (height, width); model, a camera model of COLMAP, and params of it; refine, whether
focal length and distortion are to be found; counts (n,) of the points of the n keyframes, and
their ids (m,) and xy (m, 2), one keyframe after the other.

OUT.npz: for each model i that was found, its registered keyframes (`number_i`, (r,)), their
camera_from_world (`pose_i`, (r, 3, 4)), points (`id_i` (p,), `xyz_i` (p, 3)), and `params_i`.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

VERIFIED = (1, 3)  # a keyframe and the one so many before it must see points from two places...
PAIRED = (1, 2, 3, 4, 6, 8)  # ... and those that passed are matched so many back
MIN_COMMON = 20  # points that a pair of keyframes must both see
ERROR = 2.0  # px by which a point may miss its place, at 1000 px of width
LEAST_ANGLE = 0.7  # degrees between the rays to a point; a car that goes ahead sees few wider
FIRST_ANGLE = 4.0  # ... of the first pair


def main(source: Path, made: Path) -> None:
    """Reconstruct the keyframes of a file; see above."""
    import pycolmap

    pycolmap.logging.minloglevel = int(pycolmap.logging.FATAL)
    with np.load(source, allow_pickle=False) as data:
        given = {name: data[name] for name in data.files}
    with tempfile.TemporaryDirectory(dir=made.parent) as folder:
        models = _reconstruct(pycolmap, given, Path(folder))
    found: dict[str, Any] = {"count": np.array(len(models))}
    for i, model in enumerate(models):
        found |= {f"{name}_{i}": value for name, value in model.items()}
    with made.open("wb") as file:
        np.savez(file, **found)


def _reconstruct(pycolmap: Any, given: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    height, width = (int(side) for side in given["size"])
    ends = np.cumsum(given["counts"])[:-1]
    ids, xy = np.split(given["ids"], ends), np.split(given["xy"] + 0.5, ends)
    camera = pycolmap.Camera(
        model=str(given["model"]), width=width, height=height, params=given["params"], camera_id=1
    )
    refine = bool(given["refine"])
    camera.has_prior_focal_length = not refine
    error = ERROR * max(width / 1000.0, 0.5)
    database = folder / "database.db"
    _write_database(pycolmap, database, camera, ids, xy, error)
    options = _options(pycolmap, refine, error)
    models = pycolmap.incremental_mapping(database, folder, folder / "models", options)
    return [_model(model, ids) for model in models.values()]


def _write_database(
    pycolmap: Any, path: Path, camera: Any, ids: list[Any], xy: list[Any], error: float
) -> None:
    database = pycolmap.Database.open(path)
    database.write_camera(camera, use_camera_id=True)
    rig = pycolmap.Rig(rig_id=1)
    rig.add_ref_sensor(camera.sensor_id)
    database.write_rig(rig, use_rig_id=True)
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.max_error = error
    estimate = (
        pycolmap.estimate_calibrated_two_view_geometry
        if camera.has_prior_focal_length
        else pycolmap.estimate_two_view_geometry
    )
    with pycolmap.DatabaseTransaction(database):
        for number, points in enumerate(xy, 1):
            image = pycolmap.Image(name=str(number - 1), camera_id=1, image_id=number)
            database.write_image(image, use_image_id=True)
            frame = pycolmap.Frame(frame_id=number, rig_id=1)
            frame.add_data_id(image.data_id)
            database.write_frame(frame, use_frame_id=True)
            database.write_keypoints(number, points.astype(np.float32))
        passed: list[Any] = []  # of each keyframe: whether a point was there before, and fitted
        for second in range(len(xy)):
            passed.append(np.zeros(len(ids[second]), np.int64))
            for first in (second - before for before in PAIRED if before <= second):
                _, i, j = np.intersect1d(
                    ids[first], ids[second], assume_unique=True, return_indices=True
                )
                if second - first == 1:
                    passed[second][j] = passed[first][i] + 1  # keyframes that it was followed over
                else:
                    kept = passed[second][j] >= second - first
                    i, j = i[kept], j[kept]
                if len(i) < MIN_COMMON:
                    continue
                matches = np.stack([i, j], axis=1).astype(np.uint32)
                if second - first in VERIFIED:
                    pair = estimate(camera, xy[first], camera, xy[second], matches, options)
                    right = np.zeros(len(ids[second]), dtype=bool)
                    right[np.asarray(pair.inlier_matches, np.int64).reshape(-1, 2)[:, 1]] = True
                    passed[second][j[~right[j]]] = 0
                else:
                    pair = pycolmap.TwoViewGeometry()
                    pair.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
                    pair.inlier_matches = matches
                database.write_matches(first + 1, second + 1, matches)
                database.write_two_view_geometry(first + 1, second + 1, pair)
    database.close()


def _options(pycolmap: Any, refine: bool, error: float) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    options.extract_colors = False
    options.num_threads = 1
    options.random_seed = 1
    options.min_model_size = 3
    options.ba_refine_focal_length = options.ba_refine_extra_params = refine
    options.ba_global_frames_ratio = options.ba_global_points_ratio = 1.3
    options.ba_local_max_num_iterations = 8
    options.ba_local_max_refinements = 1
    options.ba_global_max_num_iterations = 20
    options.ba_global_max_refinements = 2
    options.triangulation.min_angle = LEAST_ANGLE
    mapper = options.mapper
    mapper.abs_pose_refine_focal_length = mapper.abs_pose_refine_extra_params = False
    mapper.abs_pose_max_error = 3 * error
    mapper.init_max_forward_motion = 1.0
    mapper.init_min_tri_angle = FIRST_ANGLE
    mapper.init_min_num_inliers = 60
    mapper.filter_max_reproj_error = error
    mapper.filter_min_tri_angle = LEAST_ANGLE
    return options


def _model(model: Any, ids: list[Any]) -> dict[str, Any]:
    images = sorted(
        (image for image in model.images.values() if image.has_pose), key=lambda i: i.image_id
    )
    points, places = [], []
    for point in model.points3D.values():
        seen = Counter(
            int(ids[element.image_id - 1][element.point2D_idx]) for element in point.track.elements
        )
        points.append(seen.most_common(1)[0][0])
        places.append(point.xyz)
    unique = np.unique(np.array(points, np.int64), return_index=True)[1]
    return {
        "number": np.array([int(image.name) for image in images], np.int64),
        "pose": np.array([image.cam_from_world().matrix() for image in images]).reshape(-1, 3, 4),
        "id": np.array(points, np.int64)[unique],
        "xyz": np.array(places, np.float64).reshape(-1, 3)[unique],
        "params": next(iter(model.cameras.values())).params,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
