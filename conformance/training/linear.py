"""Makes `linear.tflite`, a linear regression that trains in place, and the loss curve LiteRT gives for it.

python conformance/training/linear.py

Writes `linear.tflite` and `linear.json` beside this file. Signatures: train(x, y) -> loss, infer(x) -> output,
get_weights() -> w, b and set_weights(w, b) -> done.
"""

import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
STEPS = 100


def make(path):
    import tensorflow as tf

    class Linear(tf.Module):
        def __init__(self):
            self.w = tf.Variable(tf.zeros([4, 1]), name="w")
            self.b = tf.Variable(tf.zeros([1]), name="b")

        @tf.function(input_signature=[tf.TensorSpec([8, 4], tf.float32), tf.TensorSpec([8, 1], tf.float32)])
        def train(self, x, y):
            error = tf.matmul(x, self.w) + self.b - y
            loss = tf.reduce_mean(tf.square(error))
            self.w.assign_sub(0.1 * 2.0 / 8.0 * tf.matmul(x, error, transpose_a=True))
            self.b.assign_sub(0.1 * 2.0 * tf.reduce_mean(error, axis=0))
            return {"loss": loss}

        @tf.function(input_signature=[tf.TensorSpec([8, 4], tf.float32)])
        def infer(self, x):
            return {"output": tf.matmul(x, self.w) + self.b}

        @tf.function(input_signature=[])
        def get_weights(self):
            return {"w": self.w.read_value(), "b": self.b.read_value()}

        @tf.function(input_signature=[tf.TensorSpec([4, 1], tf.float32), tf.TensorSpec([1], tf.float32)])
        def set_weights(self, w, b):
            self.w.assign(w)
            self.b.assign(b)
            return {"done": tf.reduce_sum(b)}

    module = Linear()
    names = ("train", "infer", "get_weights", "set_weights")
    signatures = {n: getattr(module, n).get_concrete_function() for n in names}
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.experimental_enable_resource_variables = True
        path.write_bytes(converter.convert())


def batches(shapes):
    """Seeded inputs in the order of `shapes` for every step: x uniform, y a noisy linear function where it fits."""
    random = np.random.default_rng(7)
    truth = random.normal(size=4).astype(np.float32)
    for _ in range(STEPS):
        x = random.uniform(-1, 1, size=shapes["x"]).astype(np.float32)
        noise = random.normal(scale=0.2, size=shapes["y"])
        y = ((x.reshape(-1, 4) @ truth + 0.5).reshape(shapes["y"]) + noise).astype(np.float32)
        yield x, y


def curve(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    train = interpreter.get_signature_runner("train")
    shapes = {"x": (8, 4), "y": (8, 1)}
    steps = [(x, y, float(np.ravel(train(x=x, y=y)["loss"])[0])) for x, y in batches(shapes)]
    weights = {k: np.ravel(v).tolist() for k, v in interpreter.get_signature_runner("get_weights")().items()}
    return steps, weights


def main():
    path = HERE / "linear.tflite"
    make(path)
    steps, weights = curve(path)
    content = {
        "steps": [{"x": np.ravel(x).tolist(), "y": np.ravel(y).tolist(), "loss": loss} for x, y, loss in steps],
        "weights": weights,
    }
    (HERE / "linear.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(f"loss {steps[0][2]:.6f} -> {steps[-1][2]:.6f}", file=sys.stderr)


if __name__ == "__main__":
    main()
