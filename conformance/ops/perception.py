"""Custom operators on images and volumes, of MediaPipe and of TensorFlow Lite's perception operators, by their definitions."""

import zlib

import numpy as np

from cases import EXACT, FLOAT, add, label

SAME, VALID = 1, 2
CODE = {"same": SAME, "valid": VALID}


def words(*values):
    """A C structure of 32-bit words."""
    return np.array(values, np.int32).tobytes()


def windows(size, extent, stride, padding):
    """How many windows an axis has and how much padding precedes it."""
    if padding == "valid":
        return (size - extent) // stride + 1, 0
    count = -(-size // stride)
    return count, max(0, (count - 1) * stride + extent - size) // 2


def transpose_conv_bias(shape, filter_shape, strides, padding, constant=True):
    """Filter: outputs, height, width, inputs."""

    def build(case):
        graph = case.graph
        weights, bias = case.values("FLOAT32", filter_shape), case.values("FLOAT32", filter_shape[:1])
        x = graph.input("FLOAT32", shape)
        operands = [x] + ([graph.const("FLOAT32", weights), graph.const("FLOAT32", bias)] if constant else
                          [graph.input("FLOAT32", filter_shape), graph.input("FLOAT32", filter_shape[:1])])
        graph.op("Convolution2DTransposeBias", operands, [graph.output("FLOAT32")], raw=words(CODE[padding], strides[1], strides[0]))
        image = case.values("FLOAT32", shape)
        case.feed(image, *([] if constant else [weights, bias]))
        batch, height, width, _ = shape
        tall, wide = filter_shape[1:3]
        full = np.zeros((batch, (height - 1) * strides[0] + tall, (width - 1) * strides[1] + wide, filter_shape[0]))
        for y in range(height):
            for x_ in range(width):
                product = np.einsum("bc,ohwc->bhwo", image[:, y, x_].astype(np.float64), weights.astype(np.float64))
                full[:, y * strides[0] : y * strides[0] + tall, x_ * strides[1] : x_ * strides[1] + wide] += product
        cut = [max(0, extent - (size - 1) % stride - 1) if padding == "same" else 0
               for extent, size, stride in zip((tall, wide), (height, width), strides)]
        rows, columns = (slice(c // 2, n - (c - c // 2)) for c, n in zip(cut, full.shape[1:3]))
        case.expect("numpy", (full[:, rows, columns] + bias).astype(np.float32))
        case.tolerance = FLOAT

    add("Convolution2DTransposeBias", label(shape, "k", filter_shape, "s", strides, padding, "" if constant else "dynamic"), build)


for padding in ("same", "valid"):
    transpose_conv_bias((1, 3, 4, 2), (3, 2, 2, 2), (2, 2), padding)
    transpose_conv_bias((2, 3, 3, 3), (2, 3, 3, 3), (1, 1), padding)
    transpose_conv_bias((1, 4, 3, 1), (5, 3, 4, 1), (2, 3), padding)
    transpose_conv_bias((1, 2, 2, 4), (1, 1, 1, 4), (2, 2), padding)
    transpose_conv_bias((1, 3, 3, 2), (2, 4, 4, 2), (2, 2), padding, constant=False)


def argmax_pool(image, extent, strides, padding):
    """Greatest elements, their position in the window and in the image."""
    (rows, top), (columns, left) = (windows(n, k, s, padding) for n, k, s in zip(image.shape[1:3], extent, strides))
    batch, height, width, channels = image.shape
    most = np.full((batch, rows, columns, channels), np.finfo(np.float32).min, np.float32)
    tap, place = np.zeros(most.shape, int), np.zeros(most.shape, int)
    for b, y, x, c in np.ndindex(*most.shape):
        for ty in range(extent[0]):
            for tx in range(extent[1]):
                at_y, at_x = y * strides[0] - top + ty, x * strides[1] - left + tx
                if 0 <= at_y < height and 0 <= at_x < width and image[b, at_y, at_x, c] > most[b, y, x, c]:
                    most[b, y, x, c] = image[b, at_y, at_x, c]
                    tap[b, y, x, c], place[b, y, x, c] = ty * extent[1] + tx, (at_y * width + at_x) * channels + c
    return most, tap, place


def pool_argmax(op, shape, extent, strides, padding):
    def build(case):
        graph = case.graph
        x = graph.input("FLOAT32", shape)
        image = case.values("FLOAT32", shape)
        most, tap, place = argmax_pool(image, extent, strides, padding)
        if op == "MaxPoolingWithArgmax2D":
            outputs, options = ["FLOAT32", "FLOAT32"], {"raw": words(CODE[padding], strides[1], strides[0], extent[1], extent[0], 0)}
            positions = tap.astype(np.float32) + np.float32(0.1)
        else:
            outputs = ["FLOAT32", "INT32"]
            options = {"padding": padding.upper(), "ksize": [1, *extent, 1], "strides": [1, *strides, 1], "include_batch_in_index": False}
            positions = place.astype(np.int32)
        graph.op(op, [x], [graph.output(dtype, shape=most.shape) for dtype in outputs], **options)
        case.feed(image)
        case.expect("numpy", most, positions)
        case.tolerance = ("float", 1e-6)

    add(op, label(shape, "k", extent, "s", strides, padding), build)


for op in ("MaxPoolingWithArgmax2D", "MaxPoolWithArgmax"):
    for padding in ("same", "valid"):
        pool_argmax(op, (1, 4, 6, 2), (2, 2), (2, 2), padding)
        pool_argmax(op, (2, 5, 5, 3), (3, 2), (1, 2), padding)
        pool_argmax(op, (1, 7, 4, 1), (2, 3), (3, 2), padding)
        pool_argmax(op, (1, 2, 2, 4), (1, 1), (1, 1), padding)


def unpool(kind, shape, extent, padding="same"):
    """Windows that touch each other; positions within windows (floats) or within the image (integers)."""

    def build(case):
        graph = case.graph
        small = (shape[0], shape[1] // extent[0], shape[2] // extent[1], shape[3])
        image = case.values("FLOAT32", shape)
        most, tap, place = argmax_pool(image, extent, extent, "valid")
        assert most.shape == small
        answer = np.zeros(shape, np.float32)
        for b in range(shape[0]):
            answer[b].reshape(-1)[place[b].reshape(-1)] = most[b].reshape(-1)
        operands = [graph.input("FLOAT32", small), graph.input(kind, small)]
        raw = words(CODE[padding], extent[1], extent[0], extent[1], extent[0], 0)
        graph.op("MaxUnpooling2D", operands, [graph.output("FLOAT32", shape=shape)], raw=raw)
        positions = tap.astype(np.float32) + np.float32(0.1) if kind == "FLOAT32" else place.astype(np.int32)
        case.feed(most, positions)
        case.expect("numpy", answer)
        case.tolerance = EXACT

    add("MaxUnpooling2D", label(kind, shape, "k", extent, padding), build)


for kind in ("FLOAT32", "INT32"):
    unpool(kind, (1, 4, 6, 2), (2, 2))
    unpool(kind, (2, 6, 4, 1), (3, 2))
    unpool(kind, (1, 2, 9, 3), (1, 3))
    unpool(kind, (1, 4, 4, 2), (2, 2), "valid")


def bilinear(image, y, x):
    """An image read between pixels, zero outside."""
    height, width = image.shape[:2]
    top, left = int(np.floor(y)), int(np.floor(x))
    total = np.zeros(image.shape[2])
    for dy, dx in np.ndindex(2, 2):
        weight = abs(1 - dy - (y - top)) * abs(1 - dx - (x - left))
        if 0 <= top + dy < height and 0 <= left + dx < width:
            total += weight * image[top + dy, left + dx]
    return total


def dense_warp(shape, reach):
    def build(case):
        graph = case.graph
        field = (*shape[:3], 2)
        graph.op("DenseImageWarp", [graph.input("FLOAT32", shape), graph.input("FLOAT32", field)], [graph.output("FLOAT32")])
        image, flow = case.values("FLOAT32", shape), case.values("FLOAT32", field, None, -reach, reach)
        case.feed(image, flow)
        answer = np.zeros(shape, np.float32)
        for b, y, x in np.ndindex(*shape[:3]):
            # A place before or behind the image is moved to its edge.
            at = np.array([y, x]) - flow[b, y, x]
            answer[b, y, x] = bilinear(image[b].astype(np.float64), *np.clip(at, 0, np.array(shape[1:3]) - 1))
        case.expect("numpy", answer)
        case.tolerance = FLOAT

    add("DenseImageWarp", label(shape, f"reach{reach}"), build)


def resampler(shape, beyond):
    def build(case):
        graph = case.graph
        field = (*shape[:3], 2)
        graph.op("Resampler", [graph.input("FLOAT32", shape), graph.input("FLOAT32", field)], [graph.output("FLOAT32")])
        image = case.values("FLOAT32", shape)
        places = np.stack([case.values("FLOAT32", shape[:3], None, -beyond, n + beyond) for n in (shape[2], shape[1])], axis=-1)
        case.feed(image, places)
        answer = np.zeros(shape, np.float32)
        for b, y, x in np.ndindex(*shape[:3]):
            at_x, at_y = places[b, y, x]
            if -1 < at_x < shape[2] and -1 < at_y < shape[1]:
                answer[b, y, x] = bilinear(image[b].astype(np.float64), at_y, at_x)
        case.expect("numpy", answer)
        case.tolerance = FLOAT

    add("Resampler", label(shape, f"beyond{beyond}"), build)


for shape in [(1, 4, 5, 2), (2, 3, 3, 1), (1, 6, 2, 4), (1, 2, 7, 3)]:
    for reach in (0.5, 3.0):
        dense_warp(shape, reach)
        resampler(shape, reach)


def transform_tensor(op, shape, size, matrix):
    def build(case):
        graph = case.graph
        centres = op == "TransformTensorBilinear"
        options = {"output_height": size[0], "output_width": size[1]} if centres else {"output_size": list(size), "mode": "bilinear"}
        operands = [graph.input("FLOAT32", shape), graph.input("FLOAT32", (1, 4, 4))]
        graph.op(op, operands, [graph.output("FLOAT32", shape=(1, *size, shape[3]))], **options)
        image = case.values("FLOAT32", shape)
        whole = np.eye(4, dtype=np.float32)
        whole[:2] = matrix
        case.feed(image, whole[None])
        shift = whole[:2, 3] + (whole[:2, 0] * 0.5 + whole[:2, 1] * 0.5 - 0.5 if centres else 0)
        answer = np.zeros((1, *size, shape[3]), np.float32)
        for y, x in np.ndindex(*size):
            at_x, at_y = whole[:2, 0] * x + whole[:2, 1] * y + shift
            if 0 <= at_x <= shape[2] - 1 and 0 <= at_y <= shape[1] - 1:
                answer[0, y, x] = bilinear(image[0].astype(np.float64), at_y, at_x)
        case.expect("numpy", answer)
        case.tolerance = FLOAT

    add(op, label(shape, "to", size, f"m{zlib.crc32(np.asarray(matrix).tobytes()) % 1000}"), build)


MATRICES = [((1, 0, 0, 0), (0, 1, 0, 0)), ((0.5, 0, 0, 1), (0, 0.75, 0, 0.25)), ((0.75, -0.5, 0, 2), (0.5, 0.75, 0, 0.125)), ((2, 0, 0, -1.5), (0, 2, 0, -1.25))]
for op in ("TransformTensorBilinear", "TransformTensor"):
    for matrix in MATRICES:
        transform_tensor(op, (1, 5, 6, 2), (4, 5), matrix)
        transform_tensor(op, (1, 4, 4, 1), (6, 3), matrix)


def transform_landmarks(count, dims, matrix):
    def build(case):
        graph = case.graph
        shape = (1, count, dims)
        graph.op("TransformLandmarks", [graph.input("FLOAT32", shape), graph.input("FLOAT32", (1, 4, 4))], [graph.output("FLOAT32")], dimensions=dims)
        points = case.values("FLOAT32", shape)
        whole = np.eye(4, dtype=np.float32)
        whole[:2] = matrix
        case.feed(points, whole[None])
        answer = points.copy()
        answer[..., :2] = points[..., :2] @ whole[:2, :2].T + whole[:2, 3]
        case.expect("numpy", answer)
        case.tolerance = FLOAT

    add("TransformLandmarks", label(f"n{count}_d{dims}", f"m{zlib.crc32(np.asarray(matrix).tobytes()) % 1000}"), build)


for matrix in MATRICES:
    transform_landmarks(7, 2, matrix)
    transform_landmarks(5, 3, matrix)


def turned(points, angle):
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def landmarks_matrix(count, subset, left, right, rotation, size, scale):
    """`size` is height and width."""

    def build(case):
        graph = case.graph
        graph.op("Landmarks2TransformMatrix", [graph.input("FLOAT32", (1, count, 3))], [graph.output("FLOAT32", shape=(1, 4, 4))],
                 subset_idxs=subset, left_rotation_idx=left, right_rotation_idx=right, target_rotation_radians=rotation,
                 output_height=size[0], output_width=size[1], scale_x=scale[0], scale_y=scale[1])
        points = case.values("FLOAT32", (1, count, 3), None, 0.0, 100.0)
        case.feed(points)
        flat = points[0, :, :2].astype(np.float64)
        angle = rotation - np.arctan2(*(flat[right] - flat[left])[::-1])
        chosen = turned(flat[subset], angle)
        low, high = chosen.min(axis=0), chosen.max(axis=0)
        middle = turned((low + high) / 2, -angle)
        factor = np.array(scale) * (high - low) / np.array(size[::-1])
        linear = np.array([[np.cos(-angle), -np.sin(-angle)], [np.sin(-angle), np.cos(-angle)]]) * factor
        answer = np.eye(4)
        answer[:2, :2] = linear
        answer[:2, 3] = middle - linear @ (np.array(size[::-1]) / 2)
        case.expect("numpy", answer[None].astype(np.float32))
        case.tolerance = FLOAT

    add("Landmarks2TransformMatrix", label(f"n{count}", subset, f"{left}to{right}", f"r{rotation}", size, scale), build)


for rotation in (0.0, 1.5):
    landmarks_matrix(6, [0, 1, 2, 3], 1, 4, rotation, (32, 48), (1.0, 1.0))
    landmarks_matrix(10, [2, 5, 7], 0, 9, rotation, (16, 16), (1.5, 1.25))
    landmarks_matrix(3, [0, 1, 2, 1], 2, 0, rotation, (192, 192), (0.5, 2.0))
    landmarks_matrix(8, [7, 3, 1, 5, 6], 3, 2, rotation, (7, 9), (1.0, 3.0))


def pool3d(op, dtype, shape, extent, strides, padding):
    def build(case):
        graph = case.graph
        quant = case.quant(dtype)
        x = graph.input(dtype, shape, quant)
        graph.op(op, [x], [graph.output(dtype, quant)], data_format="NDHWC", padding=padding.upper(), ksize=[1, *extent, 1], strides=[1, *strides, 1])
        volume = case.values(dtype, shape, quant)
        case.feed(volume)
        axes = [windows(n, k, s, padding) for n, k, s in zip(shape[1:4], extent, strides)]
        answer = np.zeros((shape[0], *(count for count, _ in axes), shape[4]), volume.dtype)
        for at in np.ndindex(*answer.shape[1:4]):
            box = [slice(max(0, i * s - before), min(n, i * s - before + k))
                   for i, (_, before), n, k, s in zip(at, axes, shape[1:4], extent, strides)]
            part = volume[:, box[0], box[1], box[2]].reshape(shape[0], -1, shape[4])
            if op == "MaxPool3D":
                pooled = part.max(axis=1)
            elif dtype == "FLOAT32":
                pooled = part.astype(np.float64).mean(axis=1)
            else:
                total, count = part.astype(np.int64).sum(axis=1), part.shape[1]
                pooled = np.sign(total) * ((np.abs(total) + count // 2) // count)
            answer[(slice(None), *at)] = pooled
        case.expect("numpy", answer)
        case.tolerance = FLOAT if dtype == "FLOAT32" else EXACT

    add(op, label(dtype, shape, "k", extent, "s", strides, padding), build)


for op in ("AvgPool3D", "MaxPool3D"):
    for dtype in ("FLOAT32", "INT8", "INT16"):
        for padding in ("same", "valid"):
            pool3d(op, dtype, (1, 3, 4, 5, 2), (2, 2, 3), (1, 2, 2), padding)
            pool3d(op, dtype, (2, 4, 3, 3, 3), (3, 3, 1), (2, 1, 1), padding)
