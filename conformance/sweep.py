#!/usr/bin/env python3
"""Sweeps TensorFlow functions through the converter and both runtimes, and prints how the answers compare, per operator.

    sweep.py [OPERATOR ...] [--cases N] [--seed S] [--ferrolite PATH] [--keep DIR]

Each case is a small function of `functions.py` converted with one choice of its axes; the choices cover the pairs of axis values as
far as N cases allow. LiteRT answers in a child process, Ferrolite through its command with the signature that the converter wrote.
Integers, strings and booleans must be equal, floats within 1e-5 of the greatest magnitude. With --keep, models that do not come
out equal stay in DIR. Exit status 1 if there are any.
"""

import argparse
import collections
import os
import random
import sys
import tempfile
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from compare_models import FerroliteFailed, run_ferrolite
from functions import FUNCTIONS, Draw
from pairwise import choices
from reference import Reference, Refused

FLOAT_TOLERANCE, HALF_TOLERANCE = 1e-5, 2e-3
SIGNATURE = "serving_default"
NO_ELEMENTS = ("is null", "Invalid tensor size")
COLUMNS = ("cases", "equal", "different", "refused", "LiteRT failed", "not converted")


def open_shape(shape, which):
    """A TensorSpec's shape with the dimensions that the caller chooses left open."""
    if which == "all":
        return [None] * len(shape)
    return [None, *shape[1:]] if which == "first" and shape else list(shape)


def convert(function, arrays, mode, which):
    """The model of `function`, by the converter."""
    specs = [tf.TensorSpec(open_shape(a.shape, which), tf.as_dtype("string" if a.dtype == object else a.dtype), f"x{k}") for k, a in enumerate(arrays)]
    module = tf.Module()
    module.call = tf.function(lambda *x: function(*x), input_signature=specs)
    concrete = module.call.get_concrete_function()
    if not concrete.variables:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
        return converted(converter, arrays, mode)
    module.held = list(concrete.variables)  # those of Keras layers are known to the function only
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(module, directory, signatures={SIGNATURE: module.call})
        return converted(tf.lite.TFLiteConverter.from_saved_model(directory, signature_keys=[SIGNATURE]), arrays, mode)


def converted(converter, arrays, mode):
    """The model that a converter makes with the quantization of `mode`."""
    if mode != "plain":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([a] for a in ()) if not arrays else ([list(arrays)] * 3)
        sixteen = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8 if mode == "int8" else sixteen]
    return converter.convert()


def difference(expected, actual):
    """What is wrong with one output; "" if nothing is."""
    strings = expected.dtype.kind in "OSU"
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    if strings:
        same = [bytes(v) for v in expected.reshape(-1)] == [bytes(v) for v in actual.reshape(-1)]
        return "" if same else "other strings"
    if actual.dtype != expected.dtype:
        return f"type {actual.dtype}, expected {expected.dtype}"
    if np.array_equal(expected, actual, equal_nan=expected.dtype.kind in "fc"):
        return ""
    if expected.dtype.kind not in "fc":
        return f"{np.count_nonzero(expected != actual)} of {expected.size} values"
    wide, finite = np.result_type(expected.dtype, np.complex128 if expected.dtype.kind == "c" else np.float64), np.isfinite(expected)
    if not np.array_equal(expected[~finite], actual[~finite], equal_nan=True):
        return "NaN or infinity"
    error = np.abs(expected[finite].astype(wide) - actual[finite].astype(wide)).max() / max(np.abs(expected[finite].astype(wide)).max(), 1e-30)
    return "" if error <= (HALF_TOLERANCE if expected.dtype == np.float16 else FLOAT_TOLERANCE) else f"error {error:.1e}"


def own_answer(function, arrays):
    """TensorFlow's answer, keyed as the converter keys outputs."""
    made = function(*map(tf.constant, arrays))
    made = made if isinstance(made, (list, tuple)) else [made]
    return {f"output_{k}": y.numpy() for k, y in enumerate(made)}


class Sweep:
    """Runs cases and counts what comes of them."""

    def __init__(self, command, reference, keep):
        self.command, self.reference, self.keep = command, reference, keep
        self.counts = collections.defaultdict(collections.Counter)
        self.directory = tempfile.TemporaryDirectory()

    def expected(self, content, function, arrays):
        """LiteRT's answer; where it cannot hand over outputs without elements, TensorFlow's."""
        inputs = {f"x{k}": array for k, array in enumerate(arrays)}
        try:
            return self.reference.run_signature(content, SIGNATURE, inputs)
        except Refused as why:
            if not any(sign in str(why) for sign in NO_ELEMENTS):
                raise
            litert = why
        try:
            return own_answer(function, arrays)
        except tf.errors.OpError as why:
            raise Refused(f"{litert}; TensorFlow: {why.message}") from why

    def case(self, function, name, choice):
        """Runs one choice of a function's axes; returns (column, what happened)."""
        choice = dict(choice)
        mode, which = choice.pop("mode"), choice.pop("open")
        call, arrays = function.build(Draw(zlib.crc32(name.encode())), **choice)
        try:
            content = convert(call, arrays, mode, which)
        except Exception as why:  # whatever the converter raises means that there is no such model
            return "not converted", str(why).split("\n")[0]
        try:
            expected = self.expected(content, call, arrays)
        except Refused as why:
            return "LiteRT failed", str(why)
        path = os.path.join(self.keep or self.directory.name, name.replace("/", "_") + ".tflite")
        with open(path, "wb") as file:
            file.write(content)
        inputs = {f"x{k}": array for k, array in enumerate(arrays)}
        try:
            actual = run_ferrolite(self.command, path, inputs, self.directory.name, "--signature", SIGNATURE)
        except FerroliteFailed as why:
            return "refused", str(why)
        if actual.keys() != expected.keys():
            return "different", f"outputs {sorted(actual)}, expected {sorted(expected)}"
        wrong = [f"{key}: {what}" for key in expected if (what := difference(np.asarray(expected[key]), actual[key]))]
        if not wrong:
            os.remove(path)
        return ("different", "; ".join(wrong)) if wrong else ("equal", "")

    def run(self, function, cases, seed):
        """Runs the cases of one operator and prints those that do not come out equal."""
        rng = random.Random(zlib.crc32(f"{seed}/{function.operator}".encode()))
        for number, choice in enumerate(choices(function.axes, cases, rng)):
            column, note = self.case(function, f"{function.operator}/{number}", choice)
            self.counts[function.operator].update(["cases", column])
            if column in ("different", "refused"):
                print(f"{function.operator} {number} {choice}: {column}: {note}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", help="default: all")
    parser.add_argument("--cases", type=int, default=24, help="most cases per operator")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ferrolite", default=os.path.join(os.path.dirname(__file__), "..", "target", "release", "ferrolite"))
    parser.add_argument("--keep", metavar="DIR", help="keep the models that do not come out equal")
    args = parser.parse_args()
    unknown = [name for name in args.operators if name not in FUNCTIONS]
    if unknown:
        parser.error("no function for " + ", ".join(unknown))
    if args.keep:
        os.makedirs(args.keep, exist_ok=True)
    reference = Reference()
    sweep = Sweep(args.ferrolite, reference, args.keep)
    for name in args.operators or sorted(FUNCTIONS):
        sweep.run(FUNCTIONS[name], args.cases, args.seed)
    reference.close()
    print("| operator | " + " | ".join(COLUMNS) + " |\n|" + " --- |" * (len(COLUMNS) + 1))
    for name, counts in sweep.counts.items():
        print(f"| {name} | " + " | ".join(str(counts[column]) for column in COLUMNS) + " |")
    return int(any(counts["different"] + counts["refused"] for counts in sweep.counts.values()))


if __name__ == "__main__":
    sys.exit(main())
