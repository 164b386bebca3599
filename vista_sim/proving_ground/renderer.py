"""PyBullet's CPU renderer (TinyRenderer) as a drawing engine for textured static meshes.

TinyRenderer samples the scene at the integer corners of its viewport, with the rows counted
from below; the projection matrix here shifts them so that pixel (u, v) is the ray of
`Lens.project`. Textures are sampled without filtering: callers choose sizes that fit.
"""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vista_sim.atomic import WholeFolder
from vista_sim.errors import MissingDependencyError, VistaError
from vista_sim.files import one_line
from vista_sim.proving_ground.meshes import Mesh
from vista_sim.traces.calibration import Lens
from vista_sim.transforms import inverse

NEAR, FAR = 0.2, 1200.0  # m
TEXTURE_BUDGET = 160 * 2**20  # bytes; PyBullet frees textures only when a world is reset


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """PyBullet writes its build time to the process's stderr when it is imported."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def import_pybullet() -> ModuleType:
    """The pybullet module. Raises MissingDependencyError where it is not installed."""
    try:
        with _quiet_stderr():
            import pybullet
    except ImportError:
        raise MissingDependencyError(
            "the proving ground needs PyBullet, which has wheels for Python 3.11 only: "
            "in a Python 3.11 environment, pip install 'vista-sim[proving-ground]'"
        ) from None
    return pybullet


class Renderer:
    """One PyBullet world without physics. Not safe to use from several threads at once.

    Meshes and textures are loaded under keys, then placed and replaced at will. PyBullet
    never frees a mesh on its own and a texture only with the whole world, so meshes are
    shared, and the owner resets the world when it is `crowded`.
    """

    def __init__(self) -> None:
        self._bullet: Any = import_pybullet()
        self._client = self._bullet.connect(self._bullet.DIRECT)
        try:
            # Of one that is killed, the next one removes the folder.
            place = Path(tempfile.gettempdir()) / f"vista-proving-ground-{os.getuid()}"
            self._folder = WholeFolder(place)
        except OSError as error:
            raise VistaError(
                f"the proving ground needs a temporary folder ({one_line(error)}); set TMPDIR to "
                "one that can be written to"
            ) from None
        weakref.finalize(self, self._folder.discard)
        self._bodies: dict[Hashable, int] = {}
        self._skins: dict[Hashable, Hashable] = {}
        self._meshes: dict[Hashable, int] = {}
        self._textures: dict[Hashable, int] = {}
        self._texture_bytes = 0
        self._limit = 0
        self._loaded = 0
        self.reset()

    def close(self) -> None:
        """Free the world; the renderer cannot be used afterwards."""
        if self._client >= 0:
            self.reset()
            self._bullet.disconnect(physicsClientId=self._client)
            self._client = -1
            self._folder.discard()

    @property
    def crowded(self) -> bool:
        """Whether so many textures were loaded that the world should be reset."""
        return 0 < self._limit < self._texture_bytes

    def reset(self) -> None:
        """Remove all bodies, meshes and textures."""
        client = self._client
        self._bullet.resetSimulation(physicsClientId=client)
        # Files that PyBullet keeps in its cache would never be freed.
        self._bullet.setPhysicsEngineParameter(enableFileCaching=0, physicsClientId=client)
        for table in (self._bodies, self._skins, self._meshes, self._textures):
            table.clear()
        self._texture_bytes = 0
        self._limit = 0

    @property
    def keys(self) -> set[Hashable]:
        """Keys of the bodies that are placed."""
        return set(self._bodies)

    def has_texture(self, key: Hashable) -> bool:
        return key in self._textures

    def has_mesh(self, key: Hashable) -> bool:
        return key in self._meshes

    def load_texture(self, key: Hashable, image: NDArray[np.uint8]) -> None:
        """Keep an RGB image (first row on top) under a key."""
        self._loaded += 1  # PyBullet remembers textures by file name
        path = self._folder.path / f"{self._loaded}.bmp"
        cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))
        handle = self._bullet.loadTexture(str(path), physicsClientId=self._client)
        path.unlink()
        if handle < 0:
            raise RuntimeError(f"PyBullet could not load a texture of shape {image.shape}")
        self._textures[key] = handle
        self._texture_bytes += image.size

    def load_mesh(self, key: Hashable, mesh: Mesh) -> None:
        """Keep a mesh under a key."""
        handle = self._bullet.createVisualShape(
            self._bullet.GEOM_MESH,
            vertices=mesh.vertices.tolist(),
            indices=mesh.indices.ravel().tolist(),
            uvs=mesh.uvs.tolist(),
            normals=mesh.normals.tolist(),
            physicsClientId=self._client,
        )
        if handle < 0:
            raise RuntimeError(f"PyBullet could not load a mesh of {mesh.triangles} triangles")
        self._meshes[key] = handle

    def place(
        self,
        key: Hashable,
        mesh: Hashable,
        texture: Hashable,
        pose: tuple[list[float], list[float]] = ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]),
    ) -> None:
        """Place a loaded mesh at pose (position m, quaternion x y z w) as body `key`.

        A body that is there already only gets the loaded texture.
        """
        if key not in self._bodies:
            body = self._bullet.createMultiBody(
                0.0, -1, self._meshes[mesh], pose[0], pose[1], physicsClientId=self._client
            )
            if body < 0:
                raise RuntimeError(f"PyBullet could not place {key}")
            self._bodies[key] = body
        if self._skins.get(key) != texture:
            self._bullet.changeVisualShape(
                self._bodies[key],
                -1,
                textureUniqueId=self._textures[texture],
                physicsClientId=self._client,
            )
            self._skins[key] = texture

    def move(self, key: Hashable, pose: tuple[list[float], list[float]]) -> None:
        """Move a placed body to pose (position m, quaternion x y z w)."""
        self._bullet.resetBasePositionAndOrientation(
            self._bodies[key], pose[0], pose[1], physicsClientId=self._client
        )

    def body(self, key: Hashable) -> int:
        """The number of a placed body in the pictures' third part."""
        return self._bodies[key]

    def remove(self, key: Hashable) -> None:
        """Take a body away; its mesh and texture stay loaded."""
        self._bullet.removeBody(self._bodies.pop(key), physicsClientId=self._client)
        self._skins.pop(key, None)

    def draw(
        self,
        T_world_camera: NDArray[np.float64],
        lens: Lens,
        sun: NDArray[np.float64],
        ambient: float,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]:
        """Draw through an ideal pinhole.

        Returns:
            Colours (h, w, 3); depth (h, w), m along the optical axis, inf where nothing is;
            and the number (h, w) of the body that is seen (see `body`), negative for none.
        """
        if self._limit == 0:  # what the first picture needs is not held against it
            self._limit = self._texture_bytes + TEXTURE_BUDGET
        height, width = lens.size
        flip = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's camera looks along -z, y up
        view = flip @ inverse(T_world_camera)
        _, _, rgba, code, segments = self._bullet.getCameraImage(
            width,
            height,
            view.T.ravel().tolist(),
            projection_matrix(lens).T.ravel().tolist(),
            lightDirection=sun.tolist(),
            lightColor=[1.0, 1.0, 1.0],
            lightAmbientCoeff=ambient,
            lightDiffuseCoeff=1.0 - ambient,
            lightSpecularCoeff=0.0,
            shadow=0,
            renderer=self._bullet.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )
        code = np.asarray(code, dtype=np.float64).reshape(height, width)
        depth = (NEAR * FAR / (FAR - code * (FAR - NEAR))).astype(np.float32)
        bodies = np.asarray(segments, dtype=np.int32).reshape(height, width)
        depth[bodies < 0] = np.inf
        image = np.asarray(rgba, dtype=np.uint8).reshape(height, width, 4)[..., :3]
        return image, depth, bodies


def projection_matrix(lens: Lens) -> NDArray[np.float64]:
    """OpenGL projection matrix (4, 4) under which TinyRenderer's samples are the lens's pixels."""
    height, width = lens.size
    matrix = np.zeros((4, 4))
    matrix[0, 0] = 2 * lens.fx / width
    matrix[0, 2] = 1 - 2 * lens.cx / width
    matrix[1, 1] = 2 * lens.fy / height
    matrix[1, 2] = 2 * (lens.cy + 1) / height - 1
    matrix[2, 2] = -(FAR + NEAR) / (FAR - NEAR)
    matrix[2, 3] = -2 * FAR * NEAR / (FAR - NEAR)
    matrix[3, 2] = -1.0
    return matrix
