#!/usr/bin/env python3
"""Runs whole models with LiteRT and with Ferrolite on the same inputs and reports how the outputs differ.

    compare_models.py MODEL ... [--inputs PICTURE_OR_NPZ_OR_DIRECTORY ...] [--labels FILE] [--ferrolite PATH] [--out DIR]

Without --inputs the inputs are random, seeded by the model's file name. With it, a picture (.bmp) is shown to every model
that takes one image, and MODEL_NAME.npz (arrays keyed by position) feeds the model of that name. Models with several signatures
are compared signature by signature. Writes DIR/report.md and DIR/report.html. Exit status 1 if an output differs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass, field

import numpy as np

import pictures
from layers import parting_layers
from reference import Reference, Refused
from report import write_html, write_markdown

FLOAT_TOLERANCE = 1e-4
STEP_TOLERANCE = 1
EQUAL, WITHIN, DIFFERENT = "equal", "within tolerance", "different"


@dataclass
class Output:
    """How one output compares; `error` is in steps for integers, relative to the output's range for floats."""

    name: str
    dtype: str
    shape: tuple
    verdict: str
    error: str


@dataclass
class Comparison:
    """One model fed once, with what came of it."""

    model: str
    fed: str
    outputs: list = field(default_factory=list)
    failure: str = ""
    refusal: str = ""
    labels: list = field(default_factory=list)
    layers: list = field(default_factory=list)

    @property
    def differs(self):
        return bool(self.failure) or any(output.verdict == DIFFERENT for output in self.outputs)


class FerroliteFailed(Exception):
    """The ferrolite command ended with an error; the text is its first sentence."""


def compare_arrays(name, expected, actual):
    """The verdict on one output."""
    made = lambda verdict, error: Output(name, str(expected.dtype), expected.shape, verdict, error)
    if actual is None:
        return made(DIFFERENT, "missing")
    if actual.shape != expected.shape:
        return made(DIFFERENT, f"shape {list(actual.shape)}")
    if expected.dtype.kind in "OS":
        same = [bytes(v) for v in actual.reshape(-1)] == [bytes(v) for v in expected.reshape(-1)]
        return made(EQUAL if same else DIFFERENT, "")
    if actual.dtype != expected.dtype:
        return made(DIFFERENT, f"type {actual.dtype}")
    if np.array_equal(actual, expected, equal_nan=expected.dtype.kind in "fc"):
        return made(EQUAL, "")
    if expected.dtype.kind in "fc":
        if not np.array_equal(np.isfinite(actual), np.isfinite(expected)):
            return made(DIFFERENT, "NaN or infinity")
        finite = np.isfinite(expected)
        span = max(float(np.ptp(np.abs(expected[finite]))), float(np.abs(expected[finite]).max()), 1e-30)
        error = float(np.abs(actual[finite].astype(np.complex128) - expected[finite]).max()) / span
        return made(WITHIN if error <= FLOAT_TOLERANCE else DIFFERENT, f"{error:.1e}")
    distance = np.abs(actual.astype(np.int64) - expected.astype(np.int64))
    share = float((distance > 0).mean())
    close = expected.dtype.kind in "iu" and distance.max() <= STEP_TOLERANCE
    return made(WITHIN if close else DIFFERENT, f"{distance.max()} steps, {share:.1%} of the values")


def random_inputs(seed, details):
    """Seeded inputs: floats in [-1, 1), bytes over their whole range, other integers small enough to be an index."""
    rng = np.random.default_rng(zlib.crc32(seed.encode()))
    made = []
    for detail in details:
        shape, dtype = [max(d, 1) for d in detail["shape"]], np.dtype(detail["dtype"])
        if dtype.kind in "fc":
            made.append(rng.uniform(-1, 1, shape).astype(dtype))
        elif dtype.kind == "b":
            made.append(rng.random(shape) < 0.5)
        elif dtype.kind in "OSU":
            made.append(np.array([b"text"] * int(np.prod(shape)), object).reshape(shape))
        elif detail["quantization"][0] or dtype.itemsize == 1:
            limits = np.iinfo(dtype)
            made.append(rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True))
        else:
            made.append(rng.integers(0, 8, shape).astype(dtype))
    return made


def run_ferrolite(command, model, inputs, directory, *more):
    """Runs the command line on keyed inputs; returns key -> output array. Raises FerroliteFailed."""
    source, target = os.path.join(directory, "in.npz"), os.path.join(directory, "out.npz")
    np.savez(source, **{key: array.astype("S") if array.dtype == object else array for key, array in inputs.items()})
    arguments = [command, "run", model, "--inputs", source, "--outputs", target, *more]
    done = subprocess.run(arguments, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise FerroliteFailed(f"exit {done.returncode}: {(done.stderr.strip() or 'no message').splitlines()[0]}")
    with np.load(target) as archive:
        return {key: archive[key] for key in archive.files}


def compare_primary(model, fed, arrays, command, reference, labels=None):
    """Compares the primary subgraph on one set of inputs, with the layers where the runtimes part if they do."""
    result = Comparison(os.path.basename(model), fed)
    with open(model, "rb") as file:
        content = file.read()
    try:
        answer = reference.run(content, [arrays])
    except Refused as why:
        result.refusal = str(why)
        return result
    keyed = {str(k): array for k, array in enumerate(arrays)}
    with tempfile.TemporaryDirectory() as directory:
        try:
            actual = run_ferrolite(command, model, keyed, directory)
            for k, (expected, detail) in enumerate(zip(answer["outputs"][0], answer["details"])):
                result.outputs.append(compare_arrays(detail["name"], expected, actual.get(str(k))))
            if labels is not None:
                pairs = (("LiteRT", answer["outputs"][0][0]), ("Ferrolite", actual["0"]))
                result.labels = [(runtime, *pictures.top_label(array, answer["details"][0], labels)) for runtime, array in pairs]
            if result.differs:
                kept = os.path.join(directory, "all.npz")
                run_ferrolite(command, model, keyed, directory, "--preserve-all", kept)
                with np.load(kept) as archive:
                    ours = {key: archive[key] for key in archive.files}
                result.layers = parting_layers(content, reference, arrays, ours, compare_arrays)
        except FerroliteFailed as why:
            result.failure = str(why)
        except Refused as why:
            result.layers = [f"LiteRT refuses the model with every tensor as an output: {why}"]
    return result


def compare_signature(model, key, details, command, reference):
    """Compares one signature of a model on seeded inputs, from a fresh state."""
    result = Comparison(os.path.basename(model), f"signature {key}")
    inputs = dict(zip(details, random_inputs(result.model + key, details.values())))
    with open(model, "rb") as file:
        content = file.read()
    try:
        expected = reference.run_signature(content, key, inputs)
        with tempfile.TemporaryDirectory() as directory:
            actual = run_ferrolite(command, model, inputs, directory, "--signature", key)
        result.outputs = [compare_arrays(name, array, actual.get(name)) for name, array in expected.items()]
    except Refused as why:
        result.refusal = str(why)
    except FerroliteFailed as why:
        result.failure = str(why)
    return result


def compare_model(model, given, labels, command, reference):
    """All comparisons of one model: each fitting picture, its .npz, or seeded inputs per signature."""
    name = os.path.splitext(os.path.basename(model))[0]
    with open(model, "rb") as file:
        content = file.read()
    try:
        signatures, details = reference.signatures(content), reference.inputs(content)
    except Refused as why:
        yield Comparison(os.path.basename(model), "", refusal=str(why))
        return
    fed = False
    for path in given:
        base = os.path.basename(path)
        if path.endswith(".bmp") and pictures.takes_pictures(details):
            array = pictures.prepare(pictures.read_bmp(path), details[0])
            yield compare_primary(model, base, [array], command, reference, labels)
            fed = True
        elif base == name + ".npz":
            with np.load(path) as archive:
                arrays = [archive[str(k)] for k in range(len(details))]
            yield compare_primary(model, base, arrays, command, reference)
            fed = True
    if fed:
        return
    if len(signatures) > 1:
        for key, inputs in signatures.items():
            yield compare_signature(model, key, inputs, command, reference)
    else:
        yield compare_primary(model, "seeded", random_inputs(name, details), command, reference)


def expand(paths):
    """The files named, and those in the directories named."""
    for path in paths:
        if os.path.isdir(path):
            yield from (os.path.join(path, name) for name in sorted(os.listdir(path)))
        else:
            yield path


def read_labels(path, given):
    """The class names in `path`, or in a *labels.txt beside the first input; none if there is no such file."""
    if path is None and given:
        folder = os.path.dirname(given[0]) or "."
        path = next((os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith("labels.txt")), None)
    if path is None:
        return []
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help=".tflite files, or directories of them")
    parser.add_argument("--inputs", nargs="+", default=[], metavar="PATH", help="pictures (.bmp), MODEL_NAME.npz, or directories")
    parser.add_argument("--labels", help="class names, one per line (default: *labels.txt next to the pictures)")
    parser.add_argument("--ferrolite", default="ferrolite", metavar="PATH", help="the command to test (default: %(default)s)")
    parser.add_argument("--out", default="report", metavar="DIR", help="where to write (default: %(default)s)")
    args = parser.parse_args()
    given = list(expand(args.inputs))
    labels = read_labels(args.labels, given)
    reference = Reference()
    results = []
    for model in (path for path in expand(args.models) if path.endswith(".tflite")):
        for result in compare_model(model, given, labels, args.ferrolite, reference):
            results.append(result)
            verdict = result.refusal and "refused by LiteRT" or result.failure or ", ".join(o.verdict for o in result.outputs)
            print(f"{result.model} ({result.fed}): {verdict}", flush=True)
            for runtime, label, score in result.labels:
                print(f"    {runtime}: {label} {score:.4f}", flush=True)
    reference.close()
    os.makedirs(args.out, exist_ok=True)
    write_markdown(os.path.join(args.out, "report.md"), results)
    write_html(os.path.join(args.out, "report.html"), results)
    return 1 if any(result.differs for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
