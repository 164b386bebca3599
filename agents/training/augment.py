"""Light and colour changes of training sequences, so that a policy looks at the road's shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vista_sim.policies import CameraSpec
from vista_sim.sensors.spec import StateSpec, cameras_of
from vista_sim.sensors.state_vector import STATE_NAMES

from ..imitation.frames import Batch
from ..networks.heads import HeadConfig
from ..policy import PolicySpec
from .batches import moved
from .errors import TrainingError

#: Sign that each entry of the state vector takes in a mirror: all but the speed change sides.
STATE_SIGNS = tuple(1.0 if name == "speed" else -1.0 for name in STATE_NAMES)
COMMAND_IN_MIRROR = (0, 2, 1, 3)  # of follow, left, right, straight


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to training images: the same to all frames of a sequence, but for pixel noise.
    Zero switches a change off.
    """

    augment: bool = True
    """Change training images at all."""
    contrast: float = 0.4
    """Gain of the image: 1 ± this, drawn per sequence."""
    brightness: float = 40.0
    """Added to the image: ± this, of 255, drawn per sequence."""
    colour: float = 0.15
    """Gain of each channel: 1 ± this."""
    gray: float = 0.5
    """Share of sequences that lose part of their colour, up to all of it."""
    noise: float = 6.0
    """Largest deviation of pixel noise, of 255, drawn per sequence."""
    blur: float = 0.3
    """Share of sequences that are blurred by 3 x 3 pixels."""
    shadow: float = 0.5
    """Share of sequences with a random half-plane darkened or lightened."""
    texture: float = 0.0
    """Share of sequences whose surfaces look otherwise: filtered by weights drawn by chance (Xu et
    al., "Robust and Generalizable Visual Representation Learning via Random Convolutions", 2021)
    and mixed with the image. Shapes stay; for roads of another look than those learned from."""
    shift: int = 2
    """Largest shift of the image up or down, px (the car pitches on slopes)."""
    mirror: bool = False
    """Mirror half of the sequences with their labels and commands. Off, because a mirrored road
    has left-hand traffic: which lane is the own one becomes a guess, and errors on unseen road
    double."""

    def __post_init__(self) -> None:
        for name in ("contrast", "brightness", "colour", "noise", "shift"):
            if not 0 <= getattr(self, name) <= 255:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 255")
        for name in ("gray", "blur", "shadow", "texture"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a share from 0 to 1")


class Augmentation:
    """Changes of batches for one policy.

    Raises:
        TrainingError: mirroring is asked for, and is not possible for this policy.
    """

    def __init__(self, config: AugmentConfig, spec: PolicySpec) -> None:
        self.config = config
        self.head = spec.network.head
        self.cameras = cameras_of(spec.sensors)
        if config.augment and config.mirror:
            check_mirror(spec)

    def __call__(
        self, batch: Batch, rows: slice, device: torch.device, generator: torch.Generator
    ) -> Batch:
        """Some rows of a batch, changed, on a device.

        Chance is drawn for the whole batch, so that a row is changed in the same way whichever
        rows are asked for. The batch stays as it is.
        """
        changes = Changes.draw(self.config, len(batch), generator).take(rows)
        batch = moved(batch.take(rows), device)
        if not self.config.augment:
            return batch
        if self.config.mirror:
            batch = mirrored(batch, changes.mirror.to(device), self.head, tuple(self.cameras))
        images = {
            name: changed_images(batch.inputs[name], changes, self.config) for name in self.cameras
        }
        return Batch({**batch.inputs, **images}, batch.target, batch.mask)


@dataclass(frozen=True)
class Changes:
    """What is drawn for each of n sequences."""

    mirror: Tensor  # (n,) bool
    shift: Tensor  # (n,) int64, px
    blur: Tensor  # (n,) bool
    gray: Tensor  # (n,) share of colour that is lost
    gain: Tensor  # (n, 3)
    bias: Tensor  # (n,) of 255
    shadow: Tensor  # (n, 4) gain of the half-plane, angle of its edge (rad), a point of it
    noise: Tensor  # (n,) deviation, of 255
    noise_seed: Tensor  # (n,) int64
    texture: Tensor  # (n,) share of the image that is filtered by chance; 0: none
    texture_seed: Tensor  # (n,) int64

    @classmethod
    def draw(cls, config: AugmentConfig, size: int, generator: torch.Generator) -> Changes:
        """For `size` sequences. The same number of draws whatever the configuration, so that
        switching one change off leaves the others as they were.
        """

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(size, *shape, generator=generator)

        mirror = uniform(0.0, 1.0) < 0.5
        shift = torch.randint(-config.shift, config.shift + 1, (size,), generator=generator)
        blur = uniform(0.0, 1.0) < config.blur
        gray = (uniform(0.0, 1.0) < config.gray).float() * uniform(0.0, 1.0)
        gain = uniform(1 - config.contrast, 1 + config.contrast, 1)
        gain = gain * uniform(1 - config.colour, 1 + config.colour, 3)
        bias = uniform(-config.brightness, config.brightness)
        shaded = (uniform(0.0, 1.0) < config.shadow).float()
        edge = [uniform(0.0, 2 * torch.pi), uniform(0.1, 0.9), uniform(0.2, 0.9)]
        shadow = torch.stack([shaded * uniform(-0.6, 0.3), *edge], dim=1)
        noise = uniform(0.0, config.noise)
        noise_seed = torch.randint(0, 2**62, (size,), generator=generator)
        texture = (uniform(0.0, 1.0) < config.texture).float() * uniform(0.0, 1.0)
        texture_seed = torch.randint(0, 2**62, (size,), generator=generator)
        return cls(
            mirror, shift, blur, gray, gain, bias, shadow, noise, noise_seed, texture, texture_seed
        )

    def take(self, rows: slice) -> Changes:
        """Of some of the sequences."""
        return Changes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def changed_images(
    camera: Tensor,  # (n, T, H, W, 3), 0..255
    changes: Changes,  # for n sequences
    config: AugmentConfig,
) -> Tensor:  # (n, T, H, W, 3) float, 0..255
    """Images of other light, colour and sharpness, shifted up or down."""
    image = camera.to(torch.float32, copy=True)
    if config.shift:
        image = _shifted(image, changes.shift.tolist())
    for i in changes.blur.nonzero()[:, 0].tolist():
        image[i] = _blurred(image[i])
    for i in changes.texture.nonzero()[:, 0].tolist():
        image[i] = _textured(image[i], float(changes.texture[i]), int(changes.texture_seed[i]))

    def each(values: Tensor) -> Tensor:  # (n,) or (n, 3) to the image's dimensions
        return values.reshape(len(values), 1, 1, 1, -1).to(image.device)

    if config.gray:
        gray = image.mean(dim=-1, keepdim=True).expand_as(image)
        image = torch.lerp(image, gray, each(changes.gray))
    mean = image.mean(dim=(2, 3, 4), keepdim=True)  # contrast turns around it
    if config.shadow:
        image *= _shadow(changes.shadow.to(image.device), *image.shape[2:4])
    gain = each(changes.gain)
    image *= gain
    image += mean * (1 - gain) + each(changes.bias)
    if config.noise:
        for part, level, seed in zip(
            image, changes.noise.tolist(), changes.noise_seed.tolist(), strict=True
        ):
            generator = torch.Generator(image.device).manual_seed(seed)
            # One pattern per pixel, not per channel: gray noise is the harder one, and cheaper.
            shape = (*part.shape[:3], 1)
            part += level * torch.randn(shape, generator=generator, device=image.device)
    return image.clamp_(0.0, 255.0)


def _shifted(image: Tensor, shifts: list[int]) -> Tensor:
    """Each sequence (T, H, W, 3) moved up by its shift, px; border rows are repeated."""
    height = image.shape[2]
    rows = torch.arange(height, device=image.device)
    parts = [
        part.index_select(1, (rows + shift).clamp(0, height - 1))
        for part, shift in zip(image, shifts, strict=True)
    ]
    return torch.stack(parts)


def _blurred(frames: Tensor) -> Tensor:
    """(T, H, W, 3), each pixel the mean of itself and its neighbours."""
    soft = functional.avg_pool2d(frames.permute(0, 3, 1, 2), 3, 1, 1, count_include_pad=False)
    return soft.permute(0, 2, 3, 1)


def _textured(frames: Tensor, share: float, seed: int) -> Tensor:
    """(T, H, W, 3), in part as filtered by weights that are drawn by chance, 1 to 5 pixels wide.

    What is filtered gets the mean and the deviation of what was there.
    """
    generator = torch.Generator().manual_seed(seed)
    reach = int(torch.randint(0, 3, (1,), generator=generator))
    weights = torch.randn(3, 3, 2 * reach + 1, 2 * reach + 1, generator=generator)
    padded = functional.pad(frames.permute(0, 3, 1, 2), [reach] * 4, mode="replicate")
    filtered = functional.conv2d(padded, weights.to(frames.device)).permute(0, 2, 3, 1)
    spread, middle = torch.std_mean(filtered)
    wanted, mean = torch.std_mean(frames)
    filtered = (filtered - middle) * (wanted / spread.clamp_min(1e-3)) + mean
    return torch.lerp(frames, filtered, share).clamp_(0.0, 255.0)


def _shadow(shadow: Tensor, height: int, width: int) -> Tensor:
    """Gain (n, 1, H, W, 1) of half-planes with a soft edge."""
    depth, angle, u0, v0 = shadow[:, :, None, None].unbind(dim=1)
    u = torch.arange(width, device=shadow.device) / width - u0
    v = (torch.arange(height, device=shadow.device)[:, None] - height * v0) / width
    inside = torch.sigmoid(100.0 * (u * angle.cos() + v * angle.sin()))
    return (1 + depth * inside)[:, None, :, :, None]


def mirrored(
    batch: Batch, which: Tensor, head: HeadConfig, cameras: Sequence[str] = (CameraSpec.kind,)
) -> Batch:
    """The batch with sequences `which` (n,) bool as a mirror at the car's middle shows them;
    inputs of these names are images.
    """
    inputs = dict(batch.inputs)
    target = torch.where(
        which[:, None, None],
        batch.target * batch.target.new_tensor(target_signs(head)),
        batch.target,
    )
    for name in cameras:
        if name in inputs:
            inputs[name] = inputs[name].clone()
            inputs[name][which] = inputs[name][which].flip(3)
    if "command" in inputs:
        swapped = torch.tensor(COMMAND_IN_MIRROR, device=which.device)[inputs["command"]]
        inputs["command"] = torch.where(which[:, None], swapped, inputs["command"])
    if "state" in inputs:
        state = inputs["state"]
        inputs["state"] = torch.where(
            which[:, None, None], state * state.new_tensor(STATE_SIGNS), state
        )
    return Batch(inputs, target, batch.mask)


def target_signs(head: HeadConfig) -> list[float]:
    """Sign that each number of an answer takes in a mirror."""
    if head.outputs == "waypoints":
        return [1.0, -1.0] * len(head.waypoints)
    return [-1.0, 1.0][: head.size]


def check_mirror(spec: PolicySpec) -> None:
    """Raise TrainingError where a mirror image is nothing that the policy could ever meet."""
    cameras = cameras_of(spec.sensors)
    for name, camera in cameras.items():
        if not looks_the_same_mirrored(camera):
            raise TrainingError(
                f"mirror: the camera {name!r} does not sit in the car's middle looking straight "
                "ahead; its mirror image is of another camera"
            )
    for name, other in spec.sensors.items():
        if name not in cameras and not isinstance(other, StateSpec):
            raise TrainingError(
                f"mirror: what {name!r} ({other.kind}) would read of a mirrored road is not known"
            )


def looks_the_same_mirrored(camera: CameraSpec) -> bool:
    """Whether a mirror at the car's middle maps the camera to itself.

    A mount and a lens that are those of the recording are taken to.
    """
    if camera.lens is not None:
        middle = (camera.lens.size[1] - 1) / 2
        if abs(camera.lens.cx - middle) > 0.02 * camera.lens.size[1]:
            return False
    if camera.mount is None:
        return True
    vehicle, image = np.diag([1.0, -1.0, 1.0, 1.0]), np.diag([-1.0, 1.0, 1.0, 1.0])
    return bool(np.allclose(vehicle @ camera.mount @ image, camera.mount, atol=0.02))
