"""Checkpoints and random numbers, exchanged with TensorFlow.

python conformance/training/checkpoint.py           writes the files in checkpoint/, which the tests read
python conformance/training/checkpoint.py PREFIX    checks that TensorFlow reads PREFIX, which `cargo run --example checkpoint`
                                                    wrote with the same tensors
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).parent / "checkpoint"
TENSORS = {
    "layer/kernel": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
    "step": np.array(1234567890123, np.int64),
    "count": np.array([-1, 0, 70000], np.int32),
    "empty": np.zeros([0, 4], np.float32),
    "flags": np.array([True, False]),
    "text": np.array([b"ab", b"", b"x" * 300], object),
}


def write():
    HERE.mkdir(exist_ok=True)
    names, values = list(TENSORS), [tf.constant(v) for v in TENSORS.values()]
    tf.raw_ops.SaveV2(prefix=str(HERE / "second"), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    first = [n for n in names if n != "empty"]
    tf.raw_ops.Save(filename=str(HERE / "first"), tensor_names=first, data=[tf.constant(TENSORS[n]) for n in first])
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=[7, -9])
    draw = dict(shape=[11], key=key, counter=counter, alg=1)
    random = {
        "key": key.numpy().tolist(),
        "counter": counter.numpy().tolist(),
        "uniform": tf.raw_ops.StatelessRandomUniformV2(**draw).numpy().tolist(),
        "normal": tf.raw_ops.StatelessRandomNormalV2(**draw).numpy().tolist(),
        "truncated": tf.raw_ops.StatelessTruncatedNormalV2(**draw).numpy().tolist(),
        "integers": tf.raw_ops.StatelessRandomUniformIntV2(**draw, minval=-5, maxval=1000).numpy().tolist(),
        "stateful": [tf.raw_ops.RandomUniform(shape=[5], dtype=tf.float32, seed=3, seed2=4).numpy().tolist()],
    }
    (HERE / "random.json").write_text(json.dumps(random) + "\n")


def check(prefix):
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    assert set(shapes) == set(TENSORS), shapes
    for name, value in TENSORS.items():
        read = reader.get_tensor(name)
        assert np.array_equal(read, value), (name, read)
    v1 = prefix + ".v1"
    for name, value in TENSORS.items():
        if name == "empty":
            continue
        read = tf.raw_ops.Restore(file_pattern=v1, tensor_name=name, dt=tf.constant(value).dtype).numpy()
        assert np.array_equal(read, value), (name, read)
    print("TensorFlow reads both checkpoints")


if __name__ == "__main__":
    check(sys.argv[1]) if sys.argv[1:] else write()
