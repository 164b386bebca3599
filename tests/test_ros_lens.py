"""CameraInfo: which matrix, binning, region of interest, models of distortion."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from ros_bags import FORWARD, SIZE, START, K, bag_file, opened, write_camera, write_odometry

from vista_sim.errors import TraceError
from vista_sim.traces.importers.ros.lens import Info

RECTIFIED = np.array([[28.0, 0, 16.0, 0], [0, 28.0, 12.0, 0], [0, 0, 1, 0]])
POINTS = np.random.default_rng(1).uniform((-1, -0.7, 2), (1, 0.7, 4), (50, 3))


def info(size=SIZE, K=K, D=(), P=RECTIFIED, R=None, model="plumb_bob", binning=(0, 0), roi=None):
    y, x, height, width = roi or (0, 0, 0, 0)
    return Info.of(
        SimpleNamespace(
            header=SimpleNamespace(frame_id="optical"),
            height=size[0],
            width=size[1],
            distortion_model=model,
            D=np.array(D, float),
            K=np.array(K, float).ravel(),
            R=np.eye(3).ravel() if R is None else R,
            P=np.array(P, float).ravel(),
            binning_y=binning[0],
            binning_x=binning[1],
            roi=SimpleNamespace(y_offset=y, x_offset=x, height=height, width=width),
        ),
        "bag: /camera_info",
    )


def pixels(D, matrix=K):
    """Where OpenCV sees points."""
    zero = np.zeros(3)
    return cv2.projectPoints(POINTS, zero, zero, matrix, np.array(D, float))[0][:, 0]


def test_raw_images_have_K_and_the_distortion_and_rectified_ones_P_without():
    D = (-0.2, 0.05, 0.001, -0.002, 0.01)
    raw, _ = info(D=D).lens(SIZE, rectified=False)
    np.testing.assert_allclose(raw.project(POINTS), pixels(D), atol=1e-9)
    rectified, _ = info(D=D).lens(SIZE, rectified=True)
    assert not rectified.distorted
    np.testing.assert_allclose(rectified.matrix, RECTIFIED[:, :3])


@pytest.mark.parametrize("D", [(), (0.0,) * 5, (-0.2, 0.05, 0.001, -0.002)])
def test_distortion_may_be_short(D):
    lens, _ = info(D=D, model="").lens(SIZE, rectified=False)
    np.testing.assert_allclose(lens.project(POINTS), pixels(D or (0.0,) * 4), atol=1e-9)


@pytest.mark.parametrize("model", ["equidistant", "fisheye"])
def test_equidistant_is_that_of_kannala_and_brandt(model):
    D = np.array([0.05, -0.01, 0.002, -0.0003])
    lens, _ = info(D=D, model=model).lens(SIZE, rectified=False)
    zero = np.zeros(3)
    expected = cv2.fisheye.projectPoints(POINTS[:, None], zero, zero, K, D)[0][:, 0]
    np.testing.assert_allclose(lens.project(POINTS), expected, atol=1e-9)


def test_a_rational_lens_is_put_into_five_coefficients_where_that_is_near_enough():
    D = (0.4, 0.1, 0.001, -0.0005, 0.02, 0.65, 0.2, 0.03)
    size, big = (720, 1280), np.array([[900.0, 0, 640], [0, 900, 360], [0, 0, 1]])
    lens, said = info(size, big, D, model="rational_polynomial").lens(size, rectified=False)
    assert len(lens.distortion) == 5
    inside = np.abs(pixels(D, big) - (640, 360)).max(axis=1) < 350
    assert inside.sum() > 20
    np.testing.assert_allclose(lens.project(POINTS)[inside], pixels(D, big)[inside], atol=0.5)
    assert "has 8 coefficients, put into five within 0." in said


def test_a_lens_that_traces_cannot_hold_is_refused():
    D = (12.0, 7.0, 0.001, -0.0005, 0.3, 12.4, 12.0, 2.0)
    size, big = (720, 1280), np.array([[420.0, 0, 640], [0, 420, 360], [0, 0, 1]])
    with pytest.raises(TraceError, match=r"px from the nearest with k1 k2 p1 p2 k3; at most 0\.5"):
        info(size, big, D, model="rational_polynomial").lens(size, rectified=False)
    with pytest.raises(TraceError, match=r"model 'omni' with 5 numbers is not known"):
        info(D=(0.1,) * 5, model="omni").lens(SIZE, rectified=False)


def test_binning_and_region_of_interest_change_the_image():
    """A point at pixel (u, v) of the whole is at ((u - x + 0.5) / 2 - 0.5, ...) of the part."""
    size = (6, 10)
    lens, _ = info(binning=(2, 2), roi=(4, 8, 12, 20)).lens(size, rectified=False)
    expected = (pixels((0.0,) * 4) - (8, 4) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(lens.project(POINTS), expected, atol=1e-9)
    assert lens.size == size


def test_smaller_images_of_the_same_shape_are_scaled_and_said():
    lens, said = info().lens((12, 16), rectified=False)
    np.testing.assert_allclose(lens.project(POINTS), (pixels((0.0,) * 4) + 0.5) / 2 - 0.5)
    assert said == "is of images of (24, 32), scaled to (12, 16)"
    with pytest.raises(TraceError, match=r"is of images of \(24, 32\), but they are \(12, 12\)"):
        info().lens((12, 12), rectified=False)


def test_a_camera_that_is_not_calibrated_is_refused_with_the_remedy():
    with pytest.raises(TraceError, match=r"not calibrated \(K\[0\] is 0\); give --camera-matrix"):
        info(K=np.zeros((3, 3))).lens(SIZE, rectified=False)
    with pytest.raises(TraceError, match="K must hold finite numbers"):
        info(K=np.full((3, 3), np.nan))


def test_the_first_calibrated_message_counts_and_options_do_where_there_is_none(tmp_path):
    with bag_file(tmp_path / "drive", "mcap") as bag:
        write_odometry(bag)
        bag.info("/front/camera_info", START - 5, SIZE, np.zeros((3, 3)), frame="front_optical")
        write_camera(bag)
    lens = opened(tmp_path / "drive").cameras["front"]().calibration.lens
    np.testing.assert_allclose(lens.matrix, K)
    given = opened(tmp_path / "drive", camera_matrix="front=40,41,16,12,0.1,0,0,0")
    stream = given.cameras["front"]()
    lens = stream.calibration.lens
    assert (lens.fx, lens.fy, lens.cx, lens.cy) == (40, 41, 16, 12)
    assert lens.distortion == (0.1, 0, 0, 0, 0)
    assert stream.known["lens"] == "given"


def test_of_a_pair_in_one_frame_the_right_camera_is_its_baseline_away(tmp_path, caplog):
    caplog.set_level("INFO")
    right = np.hstack([K, np.zeros((3, 1))])
    right[0, 3] = -30.0 * 0.5
    with bag_file(tmp_path / "drive", "db3") as bag:
        write_odometry(bag)
        bag.transform("/tf_static", START, "base_link", "stereo_optical", FORWARD)
        for side, P in (("left", None), ("right", right)):
            bag.info(
                f"/stereo/{side}/camera_info", START, SIZE, 2 * K, (0.3, 0, 0, 0, 0),
                np.hstack([K, np.zeros((3, 1))]) if P is None else P, frame="stereo_optical",
            )  # fmt: skip
            for i in range(3):
                bag.image(
                    f"/stereo/{side}/image_rect", START + i, bytes(24 * 32), SIZE, "mono8",
                    frame="stereo_optical",
                )  # fmt: skip
    cameras = opened(tmp_path / "drive").cameras
    left, right = (cameras[side]().calibration for side in ("left", "right"))
    np.testing.assert_allclose(left.T_vehicle_camera, FORWARD, atol=1e-12)
    # Half a metre to the right of it, which is -y of the car.
    moved = right.T_vehicle_camera[:3, 3] - left.T_vehicle_camera[:3, 3]
    np.testing.assert_allclose(moved, [0, -0.5, 0], atol=1e-12)
    assert not left.lens.distorted
    assert "right: 0.5000 m to the right of stereo_optical, by P of" in caplog.text
