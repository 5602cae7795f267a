#!/usr/bin/env python3
"""Builds the benchmark zoo: well-known networks with seeded weights, in every weight format the converter offers.

    make_zoo.py [--out DIR] [--formats f32,f16,dyn,int8,int16x8] [NAME ...]

Weights are random but seeded, and every batch normalization is given the statistics of one calibration batch, so that
activations keep a healthy spread from the first layer to the last and comparing outputs means something.
Batch 1 and static shapes throughout. Files are called NAME_FORMAT.tflite; a file that exists already is kept.
"""

import argparse
import os
import sys
import time
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from networks import NETWORKS

FORMATS = ("f32", "f16", "dyn", "int8", "int16x8")
CALIBRATION_SAMPLES = 12


def converter_for(network, function, fmt):
    """A converter for the network's concrete function, set up for one of FORMATS."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if fmt == "f32":
        return converter
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if fmt == "f16":
        converter.target_spec.supported_types = [tf.float16]
        return converter
    if fmt == "dyn":
        return converter
    rng = np.random.default_rng(7)
    converter.representative_dataset = lambda: ([network.sample(rng, 1)] for _ in range(CALIBRATION_SAMPLES))
    if fmt == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        io_type = tf.int8
    else:
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
        io_type = tf.int16
    if network.quantized_io:
        converter.inference_input_type = io_type
        converter.inference_output_type = io_type
    return converter


def converted(network):
    """Makes the network once; returns the function that converts it to a format."""
    tf.keras.utils.set_random_seed(1)
    _module, function = network.make()  # the module keeps the variables alive until they are constants
    function = convert_variables_to_constants_v2(function, lower_control_flow=False)
    return lambda fmt: converter_for(network, function, fmt).convert()


def build(network, formats, out):
    """Writes the missing formats of one network into `out`; returns the names of those that failed."""
    paths = {fmt: os.path.join(out, f"{network.name}_{fmt}.tflite") for fmt in formats}
    missing = [fmt for fmt, path in paths.items() if not os.path.exists(path)]
    if not missing:
        return []
    failed = []
    convert = network.direct or converted(network)
    for fmt in missing:
        start = time.time()
        try:
            content = convert(fmt)
        except Exception:  # one format that the converter refuses must not cost the others
            traceback.print_exc()
            failed.append(f"{network.name}_{fmt}")
            continue
        partial = paths[fmt] + ".partial"
        with open(partial, "wb") as file:
            file.write(content)
        os.replace(partial, paths[fmt])
        print(f"{paths[fmt]}: {len(content)} bytes, {time.time() - start:.0f} s", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", default="zoo", help="directory to write to (default: %(default)s)")
    parser.add_argument("--formats", help="comma separated subset of " + ",".join(FORMATS))
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks (default: all): " + " ".join(NETWORKS))
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in NETWORKS]
    if unknown:
        parser.error(f"no network called {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    wanted = args.formats.split(",") if args.formats else FORMATS
    os.makedirs(args.out, exist_ok=True)
    failed = []
    for name in args.names or NETWORKS:
        network = NETWORKS[name]
        failed += build(network, [fmt for fmt in network.formats if fmt in wanted], args.out)
        tf.keras.backend.clear_session()
    if failed:
        sys.exit("not converted: " + ", ".join(failed))


if __name__ == "__main__":
    main()
