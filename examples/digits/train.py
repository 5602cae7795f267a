"""Train the digit classifier that the `ferrolite` command carries, and export it.

Writes three files into crates/cli/assets (or the folder given with --out):

  digits_f32.tflite    float32 weights and activations
  digits_int8.tflite   fully quantized: int8 input, output, weights and activations
  held_back.bin        the digits that training never saw, with their labels

held_back.bin is a little-endian u32 count followed by `count` records of 65 bytes:
64 pixels (rows of 8, values 0..=16, 16 is full ink) and one label (0..=9).

Run with the packages of requirements.txt. The result is the same on every run on one
machine; another CPU may round differently and give other weights of the same quality.
"""

import argparse
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

SEED = 20
HELD_BACK = 0.2
EPOCHS = 120
BATCH = 64
REQUIRED_ACCURACY = 0.985
SIZE_LIMIT = 200 * 1024
FULL_INK = 16.0

FORMATS = ("digits_f32.tflite", "digits_int8.tflite")
HELD_BACK_FILE = "held_back.bin"


def load_digits():
    """Pixels as uint8 [n, 8, 8] and labels as uint8 [n], split into train and held back."""
    from sklearn.datasets import load_digits as bundled
    from sklearn.model_selection import train_test_split

    digits = bundled()
    pixels = digits.images.astype("uint8")
    labels = digits.target.astype("uint8")
    return train_test_split(
        pixels, labels, test_size=HELD_BACK, stratify=labels, random_state=SEED, shuffle=True
    )


def to_input(pixels):
    """Pixel counts to the network's input: float32 [n, 8, 8, 1] in 0..=1."""
    return pixels.astype("float32")[..., None] / FULL_INK


def build_network():
    """A convolution, two depthwise-separable blocks, both kinds of pooling, and two dense layers."""
    import keras
    from keras import layers

    def block(x, filters):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU(max_value=6.0)(x)
        x = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        return layers.ReLU(max_value=6.0)(x)

    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(image)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(max_value=6.0)(x)
    x = block(x, 32)
    x = layers.MaxPooling2D(2)(x)
    x = block(x, 48)
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(32, activation="relu")(x)
    x = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return keras.Model(image, x)


def shifted(pixels, labels, rng):
    """One epoch's copy of the digits, each moved by at most one pixel up, down, left or right."""
    import numpy as np

    moved = np.zeros_like(pixels)
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    moves = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]
    choice = rng.choice(len(moves), size=len(pixels), p=[0.6, 0.1, 0.1, 0.1, 0.1])
    for which, (row, column) in enumerate(moves):
        picked = choice == which
        moved[picked] = padded[picked, row : row + 8, column : column + 8]
    order = rng.permutation(len(moved))
    return to_input(moved[order]), labels[order]


def train(pixels, labels):
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)

    network = build_network()
    steps = EPOCHS * -(-len(pixels) // BATCH)
    network.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    rng = np.random.default_rng(SEED)
    for epoch in range(EPOCHS):
        inputs, targets = shifted(pixels, labels, rng)
        history = network.fit(inputs, targets, batch_size=BATCH, shuffle=False, verbose=0)
        if (epoch + 1) % 20 == 0:
            print(f"epoch {epoch + 1}: loss {history.history['loss'][0]:.4f}", flush=True)
    return network


def convert(network, pixels):
    """The bytes of both models, keyed by file name."""
    import keras
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        "serving_default",
        lambda image: {"probabilities": network(image, training=False)},
        [tf.TensorSpec([1, 8, 8, 1], tf.float32, name="image")],
    )
    saved = tempfile.TemporaryDirectory()
    archive.write_out(saved.name, verbose=False)

    def converter():
        return tf.lite.TFLiteConverter.from_saved_model(saved.name)

    float32 = converter().convert()

    int8 = converter()
    int8.optimizations = [tf.lite.Optimize.DEFAULT]
    int8.representative_dataset = lambda: ([digit[None]] for digit in to_input(pixels[:500]))
    int8.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    int8.inference_input_type = tf.int8
    int8.inference_output_type = tf.int8
    return dict(zip(FORMATS, (float32, int8.convert())))


def write_held_back(path, pixels, labels):
    records = b"".join(p.tobytes() + bytes([label]) for p, label in zip(pixels, labels))
    path.write_bytes(struct.pack("<I", len(labels)) + records)


def read_held_back(path):
    import numpy as np

    data = path.read_bytes()
    (count,) = struct.unpack_from("<I", data)
    records = np.frombuffer(data, "uint8", offset=4).reshape(count, 65)
    return records[:, :64].reshape(count, 8, 8), records[:, 64]


def accuracy(model, pixels, labels):
    """The share of digits that LiteRT, running `model`, names correctly."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    (result,) = interpreter.get_output_details()
    right = 0
    for digit, label in zip(to_input(pixels), labels):
        if source["dtype"] == np.int8:
            scale, zero_point = source["quantization"]
            digit = np.clip(np.round(digit / scale) + zero_point, -128, 127).astype("int8")
        interpreter.set_tensor(source["index"], digit[None])
        interpreter.invoke()
        right += int(interpreter.get_tensor(result["index"])[0].argmax() == label)
    return right / len(labels)


def check(folder):
    """Fail unless both files are small and accurate. Runs in a process of its own."""
    pixels, labels = read_held_back(folder / HELD_BACK_FILE)
    for name in FORMATS:
        size = (folder / name).stat().st_size
        score = accuracy(folder / name, pixels, labels)
        print(f"{name}: {size} bytes, {score:.2%} of {len(labels)} held-back digits")
        if score < REQUIRED_ACCURACY or size > SIZE_LIMIT:
            sys.exit(f"{name} misses {REQUIRED_ACCURACY:.1%} accuracy in {SIZE_LIMIT} bytes")


def main():
    assets = pathlib.Path(__file__).resolve().parents[2] / "crates" / "cli" / "assets"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=assets, help="folder to write into")
    parser.add_argument("--check", action="store_true", help="only check the files in --out")
    options = parser.parse_args()
    if options.check:
        return check(options.out)

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    options.out.mkdir(parents=True, exist_ok=True)
    train_pixels, held_pixels, train_labels, held_labels = load_digits()
    network = train(train_pixels, train_labels)
    for name, model in convert(network, train_pixels).items():
        (options.out / name).write_bytes(model)
    write_held_back(options.out / HELD_BACK_FILE, held_pixels, held_labels)
    again = [sys.executable, __file__, "--check", "--out", str(options.out)]
    return subprocess.run(again, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
