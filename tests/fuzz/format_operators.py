"""Damage to binary formats: the sizes, types and places that their headers declare."""

from __future__ import annotations

import ast
import hashlib
import json
import struct
import zlib

import numpy as np

from .operators import NotApplicableError, is_damageable, operator

PNG, NPY, MP4, SAFETENSORS, ONNX = ".png", ".npy", ".mp4", ".safetensors", ".onnx"
SIDES = (0, 1, 7, 4096, 30_000, 65_535, 2**20, 2**31 - 1, 2**31, 2**32 - 1)


# PNG (ISO 15948): 8 bytes, then chunks of length, name, data, CRC


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@operator("PNG header", PNG)
def png_header(rng, path):
    data = path.read_bytes()
    if len(data) < 33:
        raise NotApplicableError
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", data[16:29])
    change = rng.choice(("width", "height", "both", "depth", "colour", "interlace"))
    if change in ("width", "both"):
        width = rng.choice(SIDES)
    if change in ("height", "both"):
        height = rng.choice(SIDES)
    if change == "depth":
        depth = rng.choice((0, 1, 2, 4, 16, 255))
    if change == "colour":
        colour = rng.choice((2, 3, 4, 6, 7, 255))
    if change == "interlace":
        rest[2] = rng.choice((1, 2))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, *rest)
    path.write_bytes(data[:8] + _chunk(b"IHDR", header) + data[33:])


@operator("PNG that unpacks to gigabytes", PNG)
def png_that_unpacks_to_gigabytes(rng, path):
    """Under a megabyte that holds what its header says: a gray square of zeros."""
    side, depth, channels = rng.choice(((30_000, 8, 1), (20_000, 8, 3), (20_000, 16, 1)))
    row = bytes(1 + side * channels * depth // 8)
    packer = zlib.compressobj(1)
    parts = [packer.compress(row * 100) for _ in range(side // 100)]
    packed = b"".join([*parts, packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, depth, {1: 0, 3: 2}[channels], 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@operator("PNG chunk that unpacks to gigabytes", PNG)
def png_chunk_that_unpacks_to_gigabytes(rng, path):
    """A compressed text beside the picture."""
    data = path.read_bytes()
    packer = zlib.compressobj(9)
    packed = b"".join([packer.compress(bytes(2**20)) for _ in range(64)] + [packer.flush()])
    name, body = rng.choice(((b"zTXt", b"k\0\0" + packed), (b"iCCP", b"k\0\0" + packed)))
    path.write_bytes(data[:33] + _chunk(name, body) * rng.choice((1, 30)) + data[33:])


# NumPy's .npy: magic, version, length of the header, the header as a Python dict, the data


@operator("npy header", NPY)
def npy_header(rng, path):
    data = path.read_bytes()
    if len(data) < 10:
        raise NotApplicableError
    (length,) = struct.unpack("<H", data[8:10])
    try:
        header = ast.literal_eval(data[10 : 10 + length].decode("latin1"))
    except (ValueError, SyntaxError):
        raise NotApplicableError from None
    shape = list(header["shape"])
    change = rng.choice(("shape", "shape", "dims", "descr", "order", "text", "key"))
    if change == "shape" and shape:
        shape[rng.randrange(len(shape))] = rng.choice(
            (*SIDES, 2**62, 2**64, -1, 10**400, 1.5, True)
        )
        header["shape"] = tuple(shape)
    elif change == "dims":
        header["shape"] = rng.choice(
            ((), (1,), (2**40,), (0,) * 40, (1,) * 70, None, "x", (0, 2**62))
        )
    elif change == "descr":
        header["descr"] = rng.choice(
            ("|O", "<f8", ">u2", "|V8", "<U9999999", "|S0", "x", 3, [("a", "<f4")])
        )
    elif change == "order":
        header["fortran_order"] = rng.choice((True, 1, "no", None))
    elif change == "key":
        header["further"] = 1
    text = "[" * 5000 if change == "text" else repr(header)
    if change == "text" and rng.random() < 0.5:
        text = repr(header) + " " * 60_000 + "#"
    _write_npy(path, text.encode("latin1") + b"\n", data[10 + length :])


@operator("npy values", NPY)
def npy_values(rng, path):
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError):
        raise NotApplicableError from None
    if not array.size:
        raise NotApplicableError
    flat = array.reshape(-1)
    at = rng.randrange(len(flat))
    if array.dtype.kind == "f":
        value = rng.choice((np.nan, np.inf, 1e300, -1e300, 1e-310, 0.0, -1.0, 1e9))
        with np.errstate(over="ignore"):
            flat[at : at + rng.choice((1, len(flat)))] = value
    else:
        flat[at : at + rng.choice((1, len(flat)))] = rng.choice((0, np.iinfo(array.dtype).max))
    np.save(path, array)


@operator("npy of other shape or type", NPY)
def npy_of_other_shape_or_type(rng, path):
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError):
        raise NotApplicableError from None
    made = rng.choice(
        (
            lambda: array[:0],
            lambda: array[:-1],
            lambda: array[None],
            lambda: array.reshape(-1),
            lambda: array.astype(np.float32),
            lambda: array.astype(np.complex64),
            lambda: array.astype(array.dtype.newbyteorder()),
            lambda: np.asfortranarray(array),
            lambda: np.array(3),
            lambda: np.array(["text"]),
            lambda: np.zeros(3, [("a", np.int8)]),
            lambda: np.concatenate([array, array]),
        )
    )()
    np.save(path, made)


@operator("npy with a pickle", NPY)
def npy_with_a_pickle(rng, path):
    np.save(path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    return "refused"


def _write_npy(path, header: bytes, rest: bytes) -> None:
    version, length = (1, struct.pack("<H", len(header))) if len(header) < 65536 else (
        2, struct.pack("<I", len(header)))  # fmt: skip
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + header + rest)


# MP4 (ISO 14496-12): boxes of size, name, content


def _boxes(data: bytes, start: int = 0, end: int | None = None) -> list[tuple[int, int, bytes]]:
    """(place, size, name) of all boxes, those within others too."""
    found, at, end = [], start, len(data) if end is None else end
    while at + 8 <= end:
        size, name = struct.unpack(">I4s", data[at : at + 8])
        if size < 8 or at + size > end:
            break
        found.append((at, size, name))
        if name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex"):
            found += _boxes(data, at + 8, at + size)
        at += size
    return found


@operator("MP4 box size", MP4)
def mp4_box_size(rng, path):
    data = bytearray(path.read_bytes())
    boxes = _boxes(data)
    if not boxes:
        raise NotApplicableError
    at, size, _ = rng.choice(boxes)
    size = rng.choice((0, 1, 7, 8, size - 1, size + 1, 2 * size, 2**31 - 1, 2**32 - 1))
    data[at : at + 4] = struct.pack(">I", size % 2**32)
    path.write_bytes(data)


@operator("MP4 box name", MP4)
def mp4_box_name(rng, path):
    data = bytearray(path.read_bytes())
    boxes = _boxes(data)
    if not boxes:
        raise NotApplicableError
    at, *_ = rng.choice(boxes)
    data[at + 4 : at + 8] = rng.choice((b"free", b"moov", b"mdat", b"stsz", b"\0\0\0\0", b"uuid"))
    path.write_bytes(data)


@operator("MP4 box without", MP4)
def mp4_box_without(rng, path):
    data = path.read_bytes()
    boxes = _boxes(data)
    if not boxes:
        raise NotApplicableError
    at, size, _ = rng.choice(boxes)
    path.write_bytes(
        data[:at] + struct.pack(">I4s", size, b"free") + bytes(size - 8) + data[at + size :]
    )


@operator("MP4 number", MP4)
def mp4_number(rng, path):
    """A number of a table: counts, sizes of samples, places, times, width, height."""
    data = bytearray(path.read_bytes())
    names = (
        b"stsz",
        b"stsc",
        b"stco",
        b"stts",
        b"stss",
        b"tkhd",
        b"mdhd",
        b"mvhd",
        b"stsd",
        b"trun",
        b"elst",
    )
    boxes = [box for box in _boxes(data) if box[2] in names and box[1] >= 16]
    if not boxes:
        raise NotApplicableError
    at, size, _ = rng.choice(boxes)
    for _ in range(rng.choice((1, 1, 3))):
        place = at + 8 + rng.randrange(min(size - 12, 120))
        value = rng.choice((0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 10_000_000))
        data[place : place + 4] = struct.pack(">I", value)
    path.write_bytes(data)


@operator("video of another size", MP4)
def video_of_another_size(rng, path):
    """A sound video that is not the one that belongs here."""
    from vista_sim.traces.video import VideoWriter

    size = rng.choice(((2, 2), (16, 16), (46, 70), (48, 72), (480, 640)))
    frames = rng.choice((0, 1, 5, 31))
    path.unlink()
    with VideoWriter(path, size, 10.0) as video:
        for index in range(frames):
            video.write(np.full((*size, 3), 8 * (index % 32), np.uint8))


@operator("video of another kind", MP4)
def video_of_another_kind(rng, path):
    """Other codecs, no video at all, and a playlist that names other files."""
    import av

    kind = rng.choice(("mpeg4", "sound", "playlist", "raw", "gif"))
    path.unlink()
    if kind == "playlist":
        other = rng.choice(
            ("/etc/passwd", "http://127.0.0.1:9/x.mp4", "concat:/dev/zero", path.name)
        )
        path.write_text(
            rng.choice(
                (
                    f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
                    f"ffconcat version 1.0\nfile '{other}'\n",
                    f"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n{other}",
                )
            )
        )
        return "refused"
    if kind == "raw":
        path.write_bytes(b"\0\0\0\1" + rng.randbytes(5000))
        return None
    form = {"gif": "gif"}.get(kind, "mp4")
    with av.open(str(path), "w", format=form) as out:
        if kind == "sound":
            stream = out.add_stream("aac", rate=44100)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate = 44100
            out.mux(stream.encode(frame))
        else:
            stream = out.add_stream({"gif": "gif"}.get(kind, "mpeg4"), rate=10)
            stream.width, stream.height = 72, 48
            stream.pix_fmt = "rgb8" if kind == "gif" else "yuv420p"
            for index in range(5):
                frame = av.VideoFrame.from_ndarray(np.full((48, 72, 3), 9 * index, np.uint8))
                out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return None


# safetensors: length of the header (u64), the header as JSON, the data


@operator("safetensors header's length", SAFETENSORS)
def safetensors_headers_length(rng, path):
    data = path.read_bytes()
    length = rng.choice((0, 1, 2**20, 2**31, 2**63 - 1, 2**64 - 1, len(data), rng.randrange(5000)))
    _write_weights(path, struct.pack("<Q", length) + data[8:])


@operator("safetensors header", SAFETENSORS)
def safetensors_header(rng, path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        raise NotApplicableError from None
    names = [name for name in header if name != "__metadata__"]
    tensor = header[rng.choice(names)]
    change = rng.choice(("shape", "offsets", "dtype", "drop", "rename", "metadata", "many"))
    if change == "shape":
        tensor["shape"] = rng.choice(
            ([], [0], [2**40], [2**62, 4], [1] * 100, [-1], [10**30], "x", None)
        )
    elif change == "offsets":
        tensor["data_offsets"] = rng.choice(
            ([0, 0], [5, 1], [0, 2**60], [-1, 3], [0], [1e3, 2e3], None)
        )
    elif change == "dtype":
        tensor["dtype"] = rng.choice(("F64", "I8", "BF16", "F8_E4M3", "BOOL", "x", "", 3, None))
    elif change == "drop":
        del header[rng.choice(names)]
    elif change == "rename":
        header["x" * rng.choice((1, 300, 100_000))] = header.pop(rng.choice(names))
    elif change == "metadata":
        header["__metadata__"] = rng.choice(({"a": 1}, [], "x", {"a": "b" * 10**6}))
    else:
        header |= {
            f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(50_000)
        }
    text = json.dumps(header).encode()
    _write_weights(path, struct.pack("<Q", len(text)) + text + data[8 + length :])


@operator("weights that are no numbers", SAFETENSORS)
def weights_that_are_no_numbers(rng, path):
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    values = np.frombuffer(data, np.float32, offset=8 + length).copy()
    values[rng.randrange(len(values)) :: rng.choice((1, 1000))] = rng.choice(
        (np.nan, np.inf, 3e38, 1e-40)
    )
    _write_weights(path, bytes(data[: 8 + length]) + values.tobytes())


def _write_weights(path, data: bytes) -> None:
    """Write weights, with a checksum in policy.json that fits, as a careless tool would."""
    path.write_bytes(data)
    description = path.with_name("policy.json")
    if not is_damageable(description):  # a pipe, after another operator
        return
    try:
        values = json.loads(description.read_text())
        values["weights"]["sha256"] = hashlib.sha256(data).hexdigest()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    description.write_text(json.dumps(values))


# ONNX


@operator("ONNX that computes gigabytes when opened", ONNX)
def onnx_that_computes_gigabytes_when_opened(rng, path):
    """Constants that are folded: a few bytes that become an array of any size."""
    from onnx import TensorProto, helper, numpy_helper

    model = _model(path)
    graph = model.graph
    elements = rng.choice((2**28, 2**29, 2**31))
    shape = numpy_helper.from_array(np.array([elements], np.int64), "huge_shape")
    graph.initializer.append(shape)
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [rng.choice((0.0, 1.0))])
    nodes = [
        helper.make_node("ConstantOfShape", ["huge_shape"], ["huge"], value=value),
        helper.make_node("Exp", ["huge"], ["huge_too"]),
        helper.make_node("Add", ["huge", "huge_too"], ["huge_sum"]),
        helper.make_node("ReduceSum", ["huge_sum"], ["number"], keepdims=0),
    ]
    output = graph.output[0]
    for node in graph.node:
        node.output[:] = ["before_huge" if name == output.name else name for name in node.output]
    last = helper.make_node("Add", ["before_huge", "number"], [output.name])
    before = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *before, last])
    path.write_bytes(model.SerializeToString())


@operator("ONNX tensor", ONNX)
def onnx_tensor(rng, path):
    model = _model(path)
    if not model.graph.initializer:
        raise NotApplicableError
    tensor = rng.choice(model.graph.initializer)
    change = rng.choice(("dims", "raw", "type", "outside", "name", "drop"))
    if change == "dims":
        del tensor.dims[:]
        tensor.dims.extend(
            rng.choice(([], [0], [-1], [2**40], [2**62, 4], [1] * 60, [3, 0, 2**62]))
        )
    elif change == "raw":
        tensor.raw_data = tensor.raw_data[:-1] + rng.choice((b"", b"\xff" * 2))
    elif change == "type":
        tensor.data_type = rng.choice((0, 1, 7, 8, 10, 16, 99, 2**31 - 1))
    elif change == "outside":
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in (
            (
                "location",
                rng.choice(
                    ("/etc/passwd", "../../../etc/passwd", "/dev/zero", "", "x" * 5000, "w")
                ),
            ),
            ("offset", rng.choice(("0", "-1", "9" * 400, "x"))),
            ("length", rng.choice(("4", "0", str(2**62), "x"))),
        ):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    elif change == "name":
        tensor.name = rng.choice(("", "x" * 100_000, "é\n"))
    else:
        model.graph.initializer.remove(tensor)
    path.write_bytes(model.SerializeToString())


@operator("ONNX input or output", ONNX)
def onnx_input_or_output(rng, path):
    model = _model(path)
    value = rng.choice([*model.graph.input, *model.graph.output])
    change = rng.choice(("dim", "dims", "type", "name", "drop", "twice"))
    shape = value.type.tensor_type.shape
    if change == "dim" and shape.dim:
        dim = rng.choice(shape.dim)
        if rng.random() < 0.2:
            dim.dim_param = rng.choice(("n", "", "x" * 5000))
        else:
            dim.dim_value = rng.choice((0, -1, 2, 10_000, 2**31, 2**62))
    elif change == "dims":
        for _ in range(rng.choice((1, 60))):
            shape.dim.add().dim_value = rng.choice((1, 2**20, 2**40))
    elif change == "type":
        value.type.tensor_type.elem_type = rng.choice((0, 7, 8, 10, 11, 16, 99))
    elif change == "name":
        value.name = rng.choice(("", "x" * 100_000, "é\n\x1b[2J"))
    elif change == "twice":
        model.graph.input.append(value)
    elif value in model.graph.input:
        model.graph.input.remove(value)
    else:
        model.graph.output.remove(value)
    path.write_bytes(model.SerializeToString())


@operator("ONNX graph", ONNX)
def onnx_graph(rng, path):
    from onnx import helper

    model = _model(path)
    change = rng.choice(("operator", "opset", "ir", "domain", "chain", "loop", "metadata", "drop"))
    node = rng.choice(model.graph.node)
    if change == "operator":
        node.op_type = rng.choice(("Nothing", "", "Conv", "Loop", "Identity", "Einsum", "NonZero"))
    elif change == "opset":
        model.opset_import[0].version = rng.choice((0, -1, 1, 6, 99, 2**62))
    elif change == "ir":
        model.ir_version = rng.choice((0, 1, 99, 2**62))
    elif change == "domain":
        node.domain = rng.choice(("com.evil", "ai.onnx.ml", "x" * 5000))
    elif change == "chain":
        at = model.graph.node[0].output[0]
        for index in range(rng.choice((500, 20_000))):
            model.graph.node.append(helper.make_node("Exp", [at], [f"chain{index}"]))
            at = f"chain{index}"
    elif change == "loop":
        node.input[0] = node.output[0]
    elif change == "metadata":
        for index in range(3):
            entry = model.metadata_props.add()
            entry.key, entry.value = f"k{index}", "x" * rng.choice((1, 10**6))
    else:
        model.graph.node.remove(node)
    path.write_bytes(model.SerializeToString())


def _model(path):
    import onnx

    try:
        return onnx.load_model_from_string(path.read_bytes())
    except Exception:
        raise NotApplicableError from None
