import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from vista_sim.envs.lane_following import lane_following_env, lane_following_vector_env
from vista_sim.errors import WorldError
from vista_sim.sensors.camera import Camera
from vista_sim.sensors.randomization import Drawn, Randomization
from vista_sim.transforms import camera_mount

EVERYTHING = Randomization(
    exposure=1.0, white_balance=0.2, blur=1.5, noise=6.0, mount_jitter=(0.1, 0.02)
)


def picture(size=(66, 200), low=20, high=120):
    """Soft blotches between two levels."""
    rng = np.random.default_rng(5)
    smooth = ndimage.gaussian_filter(rng.normal(size=(*size, 3)), (4, 4, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.round(low + (high - low) * smooth).astype(np.uint8)


def test_one_stop_doubles_the_light():
    image = picture()
    bright = Drawn(light=(2.0, 2.0, 2.0)).apply(image, np.random.default_rng(0))
    light = (bright / 255.0) ** 2.2
    assert light.mean() / ((image / 255.0) ** 2.2).mean() == pytest.approx(2.0, rel=0.01)


def test_white_balance_scales_each_channel_by_itself():
    image = picture()
    warm = Drawn(light=(1.3, 1.0, 0.8)).apply(image, np.random.default_rng(0))
    np.testing.assert_array_equal(warm[..., 1], image[..., 1])
    ratio = ((warm / 255.0) ** 2.2).mean((0, 1)) / ((image / 255.0) ** 2.2).mean((0, 1))
    np.testing.assert_allclose(ratio, [1.3, 1.0, 0.8], rtol=0.015)


def test_what_is_too_bright_saturates():
    image = np.full((4, 5, 3), 200, np.uint8)
    assert (Drawn(light=(4.0,) * 3).apply(image, np.random.default_rng(0)) == 255).all()


@pytest.mark.parametrize("deviation", [0.4, 1.0, 2.5])
def test_blur_is_gaussian(deviation):
    image = np.zeros((41, 41, 3), np.uint8)
    image[20:, :, 0], image[:, 20:, 1], image[10:30, 15:25, 2] = 255, 255, 255
    blurred = Drawn(blur=deviation).apply(image, np.random.default_rng(0))
    wanted = ndimage.gaussian_filter(image.astype(float), (deviation, deviation, 0), mode="mirror")
    np.testing.assert_allclose(blurred, wanted, atol=2.0)


@pytest.mark.parametrize("deviation", [0.7, 4.0, 20.0])
def test_noise_has_the_deviation_and_no_pattern(deviation):
    image = np.full((200, 320, 3), 128, np.uint8)
    rng = np.random.default_rng(3)
    first, second = (Drawn(noise=deviation).apply(image, rng) - 128.0 for _ in range(2))
    assert first.mean() == pytest.approx(0.0, abs=0.02 * deviation + 0.01)
    # Rounding to whole levels adds a variance of 1/12.
    assert first.std() == pytest.approx(math.hypot(deviation, 12**-0.5), rel=0.02)
    for other in (second, np.roll(first, 1, 0), np.roll(first, 1, 1), np.roll(first, 1, 2)):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.01


def test_the_mount_is_shifted_and_turned_as_drawn():
    mount = camera_mount(1.6, 0.1, 1.4, pitch=0.07)
    drawn = Drawn(shift=(0.1, -0.05, 0.02), turn=(0.01, -0.02, 0.03))
    jittered = drawn.jitter(mount)
    np.testing.assert_allclose(jittered[:3, 3], mount[:3, 3] + [0.1, -0.05, 0.02])
    turn = Rotation.from_matrix(jittered[:3, :3] @ mount[:3, :3].T)
    np.testing.assert_allclose(turn.as_euler("xyz"), [0.01, -0.02, 0.03], atol=1e-12)
    np.testing.assert_allclose(drawn.displacement(mount) @ mount, jittered, atol=1e-12)


def test_a_displaced_view_is_that_of_a_camera_mounted_there(road_trace):
    mount = Camera(road_trace, "front").T_vehicle_camera
    drawn = Drawn(shift=(0.0, 0.2, 0.1), turn=(0.0, 0.02, -0.03))
    given = Camera(road_trace, "front").render(5.0, drawn.displacement(mount))[0]
    mounted = Camera(road_trace, "front", mount=drawn.jitter(mount)).render(5.0)[0]
    plain = Camera(road_trace, "front").render(5.0)[0]
    assert (np.abs(given.astype(int) - mounted) <= 1).mean() > 0.999
    assert (np.abs(given.astype(int) - plain) > 1).mean() > 0.2


def test_the_same_seed_gives_the_same_bytes():
    image = picture()

    def episode(seed):
        rng = np.random.default_rng(seed)
        drawn = EVERYTHING.draw(rng)
        return drawn, [drawn.apply(image, rng) for _ in range(3)]

    (drawn, first), (again, second), (other, _) = episode(1), episode(1), episode(2)
    assert drawn == again != other
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], first[1])  # noise is drawn for every image
    np.testing.assert_array_equal(image, picture())  # which stays as it was


def test_what_is_drawn_fills_the_ranges():
    drawn = [EVERYTHING.draw(np.random.default_rng(s)) for s in range(2000)]
    stops = np.log2([d.light[1] for d in drawn])
    balance = np.log([[d.light[0] / d.light[1], d.light[2] / d.light[1]] for d in drawn])
    spans = {
        1.0: stops,
        math.log(1.2): balance,
        0.1: np.array([d.shift for d in drawn]),
        0.02: np.array([d.turn for d in drawn]),
    }
    for most, values in spans.items():
        assert 0.98 * most < values.max() <= most * (1 + 1e-9)
        assert -most * (1 + 1e-9) <= values.min() < -0.98 * most
        # A uniform distribution has a deviation of its half width over the root of three.
        assert values.std() == pytest.approx(most / 3**0.5, rel=0.04)
    for most, values in ((1.5, [d.blur for d in drawn]), (6.0, [d.noise for d in drawn])):
        assert 0 <= min(values) < 0.02 * most
        assert 0.98 * most < max(values) <= most


def test_nothing_asked_for_changes_nothing():
    drawn = Randomization().draw(np.random.default_rng(0))
    assert drawn == Drawn()
    image = picture()
    np.testing.assert_array_equal(drawn.apply(image, np.random.default_rng(0)), image)
    np.testing.assert_array_equal(drawn.displacement(camera_mount(1, 0, 1)), np.eye(4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exposure", -0.1),
        ("exposure", math.nan),
        ("white_balance", 2.0),
        ("blur", math.inf),
        ("noise", "much"),
        ("mount_jitter", (0.1, 1.0)),
        ("mount_jitter", 0.1),
    ],
)
def test_a_range_that_cannot_be_is_refused_by_name(name, value):
    with pytest.raises(WorldError, match=f"randomization {name}") as caught:
        Randomization(**{name: value})
    assert "\n" not in str(caught.value)


def drive(env, seed):
    """Images and rewards of a short episode, and the first image of the next."""
    seen = [env.reset(seed=seed)[0]["camera"]]
    for action in ([0.1], [-0.1], [0.0]):
        seen.append(env.step(np.float32(action))[0]["camera"])
    return [*seen, env.reset()[0]["camera"]]


def test_an_environment_is_randomized_by_its_seed(road_trace):
    options = {"traces": [road_trace], "size": (24, 48)}
    plain = drive(lane_following_env(**options), seed=1)
    env = lane_following_env(randomization=EVERYTHING, **options)
    first, again, other = drive(env, seed=1), drive(env, seed=1), drive(env, seed=2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], other[0])
    assert np.abs(first[0].astype(int) - plain[0]).mean() > 3
    nothing = lane_following_env(randomization=Randomization(), **options)
    np.testing.assert_array_equal(drive(nothing, seed=1)[:4], plain[:4])


def test_a_vector_environment_is_randomized_as_single_ones_are(road_trace):
    options = {"traces": [road_trace], "size": (24, 48), "randomization": EVERYTHING}
    envs = lane_following_vector_env(3, workers=2, **options)
    seen = [envs.reset(seed=5)[0]["camera"].copy()]
    for action in (0.1, -0.1, 0.0):
        seen.append(envs.step(np.full((3, 1), action, np.float32))[0]["camera"].copy())
    for i in range(3):
        single = drive(lane_following_env(**options), seed=5 + i)
        np.testing.assert_array_equal([images[i] for images in seen], single[:4])
    envs.close()
