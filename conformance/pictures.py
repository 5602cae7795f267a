"""Reading pictures for image classifiers: uncompressed .bmp files, resized and scaled to what a model's input expects."""

import struct

import numpy as np


def read_bmp(path):
    """A 24 or 32 bit uncompressed bitmap as [height, width, 3] uint8, in the order red, green, blue."""
    with open(path, "rb") as file:
        content = file.read()
    if content[:2] != b"BM":
        raise ValueError(f"{path} is not a bitmap")
    start, _, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", content, 10)
    if bits not in (24, 32) or compression not in (0, 3):
        raise ValueError(f"{path}: {bits} bit bitmaps with compression {compression} are not supported; save it as 24 bit")
    channels = bits // 8
    stride = (width * channels + 3) // 4 * 4
    rows = np.frombuffer(content, np.uint8, stride * abs(height), start).reshape(abs(height), stride)
    image = rows[:, : width * channels].reshape(abs(height), width, channels)[..., 2::-1]
    return image[::-1] if height > 0 else image


def resize(image, height, width):
    """Bilinear resampling with pixel centers at half coordinates; returns float32 in [0, 255]."""

    def positions(size, target):
        at = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, size - 1), (at - low).astype(np.float32)

    image = image.astype(np.float32)
    top, bottom, down = positions(image.shape[0], height)
    left, right, across = positions(image.shape[1], width)
    down, across = down[:, None, None], across[None, :, None]
    upper = image[top][:, left] * (1 - across) + image[top][:, right] * across
    lower = image[bottom][:, left] * (1 - across) + image[bottom][:, right] * across
    return upper * (1 - down) + lower * down


def takes_pictures(inputs):
    """Whether a model's inputs are one batch-1 image with one or three channels."""
    return len(inputs) == 1 and len(inputs[0]["shape"]) == 4 and inputs[0]["shape"][0] == 1 and inputs[0]["shape"][3] in (1, 3)


def prepare(image, detail):
    """A picture as the model's input: uint8 as is, int8 shifted by 128, floats from -1 to 1."""
    _, height, width, channels = detail["shape"]
    pixels = resize(image, height, width)
    if channels == 1:
        pixels = pixels.mean(axis=-1, keepdims=True)
    if detail["dtype"] == "float32":
        return (pixels / 127.5 - 1)[None].astype(np.float32)
    pixels = np.round(pixels)
    return (pixels - 128 if detail["dtype"] == "int8" else pixels)[None].astype(detail["dtype"])


def top_label(output, detail, labels):
    """The best class and its score, dequantized: ("label", 0.93)."""
    scores = output.reshape(-1)
    best = int(np.argmax(scores))
    score = float(scores[best])
    scale, zero = detail["quantization"]
    if scale:
        score = (score - zero) * scale
    return (labels[best] if best < len(labels) else f"class {best}"), score
