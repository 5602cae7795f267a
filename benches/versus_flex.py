#!/usr/bin/env python3
"""Training steps per second of Ferrolite and of LiteRT with the Flex library, in turns on the same machine.

    versus_flex.py --flex-python PYTHON [--ferrolite PATH] [--rounds N] [--seconds S] [--models DIR]

PYTHON is an interpreter with tensorflow==2.18.1, the last whose package has Flex linked into its interpreter. It makes the models
(a dense network with Adam, a convolutional one with momentum, one with batch normalization and depthwise convolutions, and
an LSTM in a loop; each for batches of 16 and 64) and runs them through signature runners, which is how a Python program
trains. Ferrolite runs `ferrolite train` on the same batches. Both with one thread; the best of the rounds counts.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

BATCHES = 8
NETWORKS = ("dense", "convolution", "depthwise", "recurrent")


def network(name):
    import keras
    from keras import layers as L

    stack = {
        "dense": [(64,), L.Dense(32, activation="relu"), L.Dense(10)],
        "convolution": [(16, 16, 3), L.Conv2D(16, 3, activation="relu"), L.MaxPool2D(), L.Conv2D(32, 3, activation="relu"),
                        L.GlobalAveragePooling2D(), L.Dense(10)],
        "depthwise": [(16, 16, 3), L.Conv2D(16, 3, strides=2, use_bias=False), L.BatchNormalization(), L.ReLU(),
                      L.DepthwiseConv2D(3, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU(), L.Conv2D(32, 1),
                      L.GlobalAveragePooling2D(), L.Dense(10)],
        "recurrent": [(20, 8), L.LSTM(32), L.Dense(10)],
    }[name]  # fmt: skip
    model = keras.Sequential([keras.Input(stack[0]), *stack[1:]])
    optimizer = keras.optimizers.Adam(0.001) if name in ("dense", "recurrent") else keras.optimizers.SGD(0.01, momentum=0.9)
    return model, optimizer, stack[0]


def make(folder):
    """Writes NAME_BATCH.tflite and NAME_BATCH.npz for every network. Runs in the Python with TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np
    import tensorflow as tf

    for name in NETWORKS:
        for batch in (16, 64):
            keras.utils.set_random_seed(1)
            model, optimizer, shape = network(name)
            optimizer.build(model.trainable_variables)
            module = tf.Module()
            module.variables_of_keras = [v.value for v in model.variables + optimizer.variables]
            loss = keras.losses.CategoricalCrossentropy(from_logits=True)

            def train(x, y):
                with tf.GradientTape() as tape:
                    value = loss(y, model(x, training=True))
                optimizer.apply_gradients(zip(tape.gradient(value, model.trainable_variables), model.trainable_variables))
                return {"loss": value}

            spec = [tf.TensorSpec((batch, *shape), name="x"), tf.TensorSpec((batch, 10), name="y")]
            module.train = tf.function(train, input_signature=spec)
            with tempfile.TemporaryDirectory() as saved:
                tf.saved_model.save(module, saved, signatures={"train": module.train.get_concrete_function()})
                converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=["train"])
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
                converter.experimental_enable_resource_variables = True
                (folder / f"{name}_{batch}.tflite").write_bytes(converter.convert())
            random = np.random.default_rng(0)
            x = random.normal(size=(BATCHES * batch, *shape)).astype(np.float32)
            y = np.eye(10, dtype=np.float32)[random.integers(0, 10, BATCHES * batch)]
            np.savez(folder / f"{name}_{batch}.npz", x=x, y=y)
            print(f"{name}_{batch}", file=sys.stderr)


def time_flex(model, seconds):
    """The body of the LiteRT child: prints steps per second."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tensorflow as tf

    step = tf.lite.Interpreter(str(model), num_threads=1).get_signature_runner("train")
    data = np.load(model.with_suffix(".npz"))
    xs, ys = np.split(data["x"], BATCHES), np.split(data["y"], BATCHES)
    steps, start = 0, None
    while start is None or time.perf_counter() - start < seconds:
        for x, y in zip(xs, ys):
            loss = step(x=x, y=y)["loss"]
        # The first time through is not timed.
        steps, start = (steps + BATCHES, start) if start else (0, time.perf_counter())
    print(json.dumps({"steps_per_s": steps / (time.perf_counter() - start), "loss": float(loss)}))


def time_ferrolite(command, model, seconds, guess):
    epochs = max(3, int(seconds * guess / BATCHES))
    lines = run([command, "train", str(model), "--data", str(model.with_suffix(".npz")), "--epochs", str(epochs),
                 "--threads", "1", "--json"])  # fmt: skip
    epochs = [json.loads(line) for line in lines]
    rates = sorted(epoch["steps_per_s"] for epoch in epochs[1:])
    return {"steps_per_s": rates[len(rates) // 2], "loss": epochs[-1]["loss"]}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout.strip().splitlines()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--flex-python", required=True, metavar="PYTHON", help="interpreter with tensorflow==2.18.1")
    parser.add_argument("--ferrolite", default="ferrolite", metavar="PATH", help="the command to time (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="measuring time per run (default: %(default)s)")
    parser.add_argument("--models", type=pathlib.Path, help="folder for the models, kept (default: a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.models or pathlib.Path(temporary)
        folder.mkdir(exist_ok=True)
        if not list(folder.glob("*.tflite")):
            run([args.flex_python, __file__, "--make", str(folder)])
        print("| network, batch | Flex steps/s | Ferrolite steps/s | ratio |\n| --- | ---: | ---: | ---: |")
        ratios = []
        for name in NETWORKS:
            for batch in (16, 64):
                model = folder / f"{name}_{batch}.tflite"
                flex, ours = 0.0, 0.0
                for _ in range(args.rounds):
                    line = run([args.flex_python, __file__, "--time", str(model), str(args.seconds)])[-1]
                    flex = max(flex, json.loads(line)["steps_per_s"])
                    ours = max(ours, time_ferrolite(args.ferrolite, model, args.seconds, ours or flex)["steps_per_s"])
                ratios.append(ours / flex)
                print(f"| {name}, {batch} | {flex:.0f} | {ours:.0f} | {ours / flex:.2f} |", flush=True)
        print(f"| geometric mean | | | {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(pathlib.Path(sys.argv[2]))
    elif sys.argv[1:2] == ["--time"]:
        time_flex(pathlib.Path(sys.argv[2]), float(sys.argv[3]))
    else:
        main()
