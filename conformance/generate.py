#!/usr/bin/env python3
"""Writes the golden vectors: one-operator models, seeded inputs, and what LiteRT answers.

    generate.py [OP ...]           names as in the schema; without any, all operators that have cases

See README.md for the format of vectors/OP.npz. Cases that LiteRT refuses or crashes on are listed in refused.md.
"""

import argparse
import importlib
import io
import json
import os
import pkgutil
import sys
import zipfile
import zlib

import numpy as np

import ops
from cases import CASES, Case
from onebuild import NUMPY, serialize, to_bytes
from reference import Reference, Refused

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "vectors")
REFUSED = os.path.join(HERE, "refused.md")
EPOCH = (1980, 1, 1, 0, 0, 0)


def settle_shapes(case, reference):
    """Fills in the shapes the case left open, as LiteRT's own kernels derive them."""
    graph = case.graphs[0]
    if all(tensor.shape is not None for tensor in graph.tensors):
        return
    answer = reference.run(serialize(case.graphs, case.signatures), case.runs, "BUILTIN_WITHOUT_DEFAULT_DELEGATES")
    for tensor in graph.tensors:
        if tensor.shape is None:
            tensor.shape = answer["shapes"][tensor.index]


def packed_outputs(graph, answer):
    """Per output, the bytes of all runs one after the other."""
    return [
        b"".join(to_bytes(tensor.dtype, run[k]) for run in answer["outputs"]) for k, tensor in enumerate(graph.outputs)
    ]


def undelegated_agrees(case, content, answer, reference):
    """Whether LiteRT's own kernels, without XNNPACK, give the same answer within the case's tolerance."""
    try:
        plain = reference.run(content, case.runs, "BUILTIN_WITHOUT_DEFAULT_DELEGATES")
    except Refused:
        return False
    for ours, theirs in zip(answer["outputs"], plain["outputs"]):
        for a, b in zip(ours, theirs):
            if a.shape != b.shape:
                return False
            if np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
                continue
            if case.tolerance[0] == "float" and a.dtype != object and a.size:
                a, b = a.astype(np.complex128), b.astype(np.complex128)
                if not np.abs(a - b).max() <= case.tolerance[1] * max(np.ptp(a.real), np.abs(a).max(), 1e-30):
                    return False
            elif a.tobytes() != b.tobytes() if a.dtype != object else a.tolist() != b.tolist():
                return False
    return True


def record(case, reference):
    """One case's (index entry, arrays). Raises Refused."""
    settle_shapes(case, reference)
    content = serialize(case.graphs, case.signatures)
    answer = reference.run(content, case.runs)
    graph = case.graphs[0]
    if packed_outputs(graph, reference.run(content, case.runs)) != packed_outputs(graph, answer):
        raise Refused("two runs of the same model on the same input gave different results")
    arrays = {"model": content}
    for k, tensor in enumerate(graph.inputs):
        arrays[f"in.{k}"] = b"".join(to_bytes(tensor.dtype, run[k]) for run in case.runs)
    outputs = []
    for k, (tensor, content_out) in enumerate(zip(graph.outputs, packed_outputs(graph, answer))):
        results = [run[k] for run in answer["outputs"]]
        arrays[f"out.{k}"] = content_out
        outputs.append({"dtype": tensor.dtype, "shape": list(results[0].shape)})
        if tensor.dtype not in ("STRING", "INT4", "UINT4") and results[0].dtype != NUMPY[tensor.dtype]:
            raise AssertionError(f"{case.name}: output {k} is {results[0].dtype}, declared {tensor.dtype}")
    if not all(np.isfinite(run[k]).all() or case.allow_special
               for run in answer["outputs"] for k, t in enumerate(graph.outputs) if t.dtype.startswith("FLOAT")):
        raise AssertionError(f"{case.name}: an output is not finite")
    operator = next(o for o in graph.operators if o.code == case.op)
    entry = {
        "name": case.name,
        "op": case.op,
        "types": ["NONE" if t is None else t.dtype for t in operator.inputs],
        "inputs": [{"dtype": t.dtype, "shape": list(np.shape(case.runs[0][k]))} for k, t in enumerate(graph.inputs)],
        "outputs": outputs,
        "tolerance": {"kind": case.tolerance[0], "value": case.tolerance[1]},
    }
    if not undelegated_agrees(case, content, answer, reference):
        entry["delegate_only"] = True
    if len(case.runs) > 1:
        entry["runs"] = len(case.runs)
    return entry, arrays


def write_npz(path, arrays):
    """Like np.savez_compressed for byte strings, with a fixed timestamp so that equal content gives equal files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.frombuffer(content, np.uint8), version=(1, 0))
            archive.writestr(zipfile.ZipInfo(name + ".npy", EPOCH), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)


def generate(op, makers, reference):
    """Writes vectors/OP.npz; returns (cases recorded, [(case name, why refused)])."""
    index, arrays, refused, names = [], {}, [], set()
    for maker in makers:
        case = Case.make(op, maker)
        if case.name in names:
            raise AssertionError(f"two cases are called {case.name}")
        names.add(case.name)
        try:
            entry, parts = record(case, reference)
        except Refused as why:
            refused.append((case.name, str(why)))
            continue
        for key, content in parts.items():
            arrays[f"{len(index):04}.{key}"] = content
        index.append(entry)
    if index:
        arrays["index"] = json.dumps(index, separators=(",", ":")).encode()
        write_npz(os.path.join(VECTORS, f"{op}.npz"), arrays)
    return len(index), refused


def update_refused(fresh):
    """Rewrites the refused operators' lines of the operators just generated, keeping the others."""
    lines = {}
    if os.path.exists(REFUSED):
        with open(REFUSED, encoding="utf-8") as file:
            for line in file:
                if line.startswith("| ") and not line.startswith(("| case", "| ---")):
                    case, why = [cell.strip() for cell in line.strip().strip("|").split("|", 1)]
                    lines[case] = why
    done = {op.lower() for op in fresh}
    lines = {case: why for case, why in lines.items() if case.split("/")[0] not in done}
    for refused in fresh.values():
        lines.update(refused)
    with open(REFUSED, "w", encoding="utf-8") as file:
        file.write("# Cases that LiteRT 2.3.0 refuses\n\nWritten by `generate.py`; none of them is in the vectors.\n\n")
        file.write("| case | what LiteRT says |\n| --- | --- |\n")
        for case, why in sorted(lines.items()):
            file.write(f"| {case} | {why.replace('|', '/')} |\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("ops", nargs="*", metavar="OP", help="operators to generate (default: all)")
    args = parser.parse_args()
    for module in pkgutil.iter_modules(ops.__path__):
        importlib.import_module(f"ops.{module.name}")
    unknown = [op for op in args.ops if op not in CASES]
    if unknown:
        parser.error("no cases for " + ", ".join(unknown))
    os.makedirs(VECTORS, exist_ok=True)
    reference = Reference()
    fresh = {}
    for op in args.ops or sorted(CASES):
        count, fresh[op] = generate(op, CASES[op], reference)
        path = os.path.join(VECTORS, f"{op}.npz")
        size = os.path.getsize(path) if count else 0
        print(f"{op}: {count} cases, {size} bytes" + (f", {len(fresh[op])} refused" if fresh[op] else ""), flush=True)
    reference.close()
    update_refused(fresh)


if __name__ == "__main__":
    sys.exit(main())
