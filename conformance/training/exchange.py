"""Checkpoints of all training models, exchanged with TensorFlow in both directions and compared bit for bit.

cargo build --release --features flex --example exchange
python conformance/training/exchange.py [NAME ...]

The models are those of generate.py (NAME: only these) with two more signatures, `save` and `restore`. Their checkpoints are of
the form that tf.train.Checkpoint writes, object graph included, so that it restores them without the model. For each model:

  saved      Ferrolite trains and calls `save`; tf.train.load_checkpoint, tf.raw_ops.RestoreV2, tf.train.Checkpoint.restore and
             TensorFlow's own run of `restore` read it
  store      Ferrolite writes its variables by their names; TensorFlow reads the same values as from `saved`
  signature  TensorFlow trains and tf.train.Checkpoint writes; Ferrolite calls `restore`
  names      TensorFlow writes the same by the names of Ferrolite's variables, with tf.raw_ops.SaveV2; Ferrolite restores by name

Before, every variable that training leaves alone is given other values, so that none is equal by chance.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import generate

ROOT = pathlib.Path(__file__).parents[2]
EXCHANGE = os.environ.get("EXCHANGE", ROOT / "target/release/examples/exchange")
STEPS = 5
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def tracked(module):
    """A module's variables by the names that tf.train.Checkpoint gives them if it tracks a list of them as `vs`."""
    variables = getattr(module, "vs", None) or [module.w, *module.slots, module.step]
    return tf.train.Checkpoint(vs=list(variables)), {f"vs/{i}{SUFFIX}": v for i, v in enumerate(variables)}


def add_signatures(module, checkpoint, variables, folder):
    """Adds `save` and `restore`. The object graph of the checkpoint is a constant of the model."""
    checkpoint.write(str(folder / "graph"))
    graph = tf.train.load_checkpoint(str(folder / "graph")).get_tensor(GRAPH)
    names, handles = list(variables), list(variables.values())

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="checkpoint_path")])
    def save(checkpoint_path):
        tensors = [tf.identity(v) for v in handles] + [tf.constant(graph)]
        # The converter of TensorFlow 2.21 leaves SaveV2 out of the file, Save it keeps: one file, which RestoreV2 reads too.
        tf.raw_ops.Save(filename=checkpoint_path, tensor_names=names + [GRAPH], data=tensors)
        return {"status": checkpoint_path}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="checkpoint_path")])
    def restore(checkpoint_path):
        values = tf.raw_ops.RestoreV2(
            prefix=checkpoint_path,
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            dtypes=[v.dtype for v in handles],
        )
        for variable, value in zip(handles, values):
            variable.assign(tf.reshape(value, variable.shape))
        return {"status": checkpoint_path}

    module.save, module.restore = save, restore


def same(what, got, want):
    got, want = np.asarray(got), np.asarray(want)
    if (got.dtype, got.shape, got.tobytes()) != (want.dtype, want.shape, want.tobytes()):
        raise AssertionError(f"{what}: {got!r} instead of {want!r}")


def values(variables):
    return {name: v.numpy() for name, v in variables.items()}


def all_same(what, got, want):
    if set(got) != set(want):
        raise AssertionError(f"{what}: {sorted(set(got) ^ set(want))} on one side only")
    for name in want:
        same(f"{what}, {name}", got[name], want[name])


def read(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map() if n != GRAPH}


def pair_names(store, saved):
    """Which of Ferrolite's variables is which of TensorFlow's: those of the same bits. Training has made them differ but for
    what has the same shape and the same history, and of such any order is right."""
    left, pairs = dict(saved), {}
    for name, value in sorted(store.items()):
        bits = lambda v: (np.asarray(v).dtype, np.shape(v), np.asarray(v).tobytes())
        found = next((n for n, v in left.items() if bits(v) == bits(value)), None)
        if found is None:
            raise AssertionError(f"store, {name}: its value is not in the checkpoint of the signature")
        pairs[name] = found
        del left[found]
    if left:
        raise AssertionError(f"store: {sorted(left)} missing")
    return pairs


def ferrolite(folder, *arguments):
    done = subprocess.run([EXCHANGE, folder, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"exchange {arguments[0]}: {done.stderr.strip()[-300:]}")


def disturb(variables, random):
    """Other values than the initial ones for all floats."""
    for variable in variables.values():
        if variable.dtype == tf.float32:
            factor = random.uniform(0.5, 1.5, size=variable.shape).astype(np.float32)
            shift = random.uniform(0.0, 0.1, size=variable.shape).astype(np.float32)
            variable.assign(variable * factor + shift)
        elif variable.dtype.is_integer and variable.dtype != tf.uint32:
            variable.assign(variable + tf.cast(7, variable.dtype))


def exchange(name, folder):
    make, x, y, labels = generate.CASES[name]
    keras.utils.set_random_seed(1)
    module = make()
    checkpoint, variables = tracked(module)
    add_signatures(module, checkpoint, variables, folder)
    random = np.random.default_rng(len(name))
    disturb(variables, random)
    model = generate.convert(module, ("train", "infer", "get_weights", "save", "restore"))
    (folder / "model.tflite").write_bytes(model)
    xs, ys = generate.data(name, x, y, labels)
    (folder / "x").write_bytes(xs[0].tobytes())
    (folder / "y").write_bytes(ys[0].tobytes())
    initial = values(variables)

    # From Ferrolite to TensorFlow.
    ferrolite(folder, "save", str(STEPS))
    saved, store = read(folder / "saved"), read(folder / "store")
    if all(np.array_equal(saved[n], initial[n]) for n in initial):
        raise AssertionError("saved: nothing was trained")
    for key, variable in variables.items():
        whole = dict(tensor_names=[key], shape_and_slices=[""], dtypes=[variable.dtype])
        same(f"RestoreV2, {key}", tf.raw_ops.RestoreV2(prefix=str(folder / "saved"), **whole)[0], saved[key])
    disturb(variables, random)
    # All but its own count of savings, which `save` has none of.
    checkpoint.restore(str(folder / "saved")).expect_partial()
    all_same("tf.train.Checkpoint.restore", values(variables), saved)
    disturb(variables, random)
    module.restore(tf.constant(str(folder / "saved")))
    all_same("TensorFlow's run of restore", values(variables), saved)
    pairs = pair_names(store, saved)

    # From TensorFlow to Ferrolite.
    disturb(variables, random)
    for i in range(STEPS):
        module.train(tf.constant(xs[i % len(xs)]), tf.constant(ys[i % len(ys)]))
    theirs = values(variables)
    checkpoint.write(str(folder / "theirs_signature"))
    tf.raw_ops.SaveV2(
        prefix=str(folder / "theirs_store"),
        tensor_names=list(pairs),
        shape_and_slices=[""] * len(pairs),
        tensors=[variables[key].read_value() for key in pairs.values()],
    )
    ferrolite(folder, "restore")
    back = read(folder / "back_store")
    all_same("names", {pairs.get(n, n): v for n, v in back.items()}, theirs)
    back = read(folder / "back_signature")
    # Variables of equal values may have been taken for each other: what they are now tells them apart.
    pair_names(back, theirs)
    return len(variables), sum(v.nbytes for v in theirs.values())


def main():
    names = sys.argv[1:] or list(generate.CASES)
    failed = 0
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                count, size = exchange(name, pathlib.Path(folder))
                print(f"{name}: {count} variables, {size} bytes", flush=True)
            except Exception as error:
                failed += 1
                print(f"{name}: FAILED: {str(error)[:400]}", flush=True)
    print(f"{len(names) - failed} of {len(names)} models exchange checkpoints with TensorFlow, bit for bit")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
