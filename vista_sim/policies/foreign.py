"""What to do with policy files of other tools, none of which is read: most may hold code."""

from __future__ import annotations

from pathlib import Path

_README = "see 'Policies of other tools' in vista_sim/policies/README.md"
_AS_ONNX = "export the network as ONNX with a JSON description beside it, or give module:factory"
_WAYS = {
    ".zip": (
        "a Stable-Baselines3 file",
        "give module:factory, a function of yours that loads it and returns a policy",
    ),
    ".safetensors": ("weights alone", "give the policy folder that they are in"),
    ".h5": ("a Keras file", _AS_ONNX),
    ".hdf5": ("a Keras file", _AS_ONNX),
    ".keras": ("a Keras file", _AS_ONNX),
    ".pb": ("a TensorFlow file", _AS_ONNX),
    ".tflite": ("a TensorFlow Lite file", _AS_ONNX),
    ".engine": ("a TensorRT file", _AS_ONNX),
    ".json": ("a description", "give the folder or the .onnx file that it is of"),
    ".py": ("Python code", "name what makes the policy: module:factory"),
}
_PICKLED = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".bin", ".npz", ".npy")


def advice(path: Path) -> str:
    """What a file is that is no policy, and the way to go; a line without the file's name."""
    suffix = path.suffix.lower()
    kind, way = _WAYS.get(suffix, ("", ""))
    if suffix in _PICKLED:
        kind, way = "a file of weights, which may hold code and is not read", _AS_ONNX
    if not kind:
        return (
            "is a file, and no .onnx file; give a folder with policy.json, an .onnx file, "
            "module:factory, socket:HOST:PORT, socket:PATH, or expert"
        )
    return f"is {kind}: {way}; {_README}"
