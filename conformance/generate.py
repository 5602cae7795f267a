#!/usr/bin/env python3
"""Writes the golden vectors: one-operator models, seeded inputs, and what LiteRT answers.

    generate.py [OP ...]           names as in the schema; without any, all operators that have cases

See README.md for the format of vectors/OP.npz. Cases that LiteRT refuses or crashes on are listed in refused.md.
"""

import argparse
import functools
import importlib
import io
import json
import os
import pkgutil
import sys
import zipfile
from dataclasses import dataclass, replace

import numpy as np

import ops
from catalog import stem
from cases import CASES, Case
from onebuild import NUMPY, serialize, to_bytes
from reference import Reference, Refused
from versions import other_versions, registered_versions

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "vectors")
REFUSED = os.path.join(HERE, "refused.md")
DEFAULT = "AUTO"
UNDELEGATED = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
FLOATING = "fcV"  # V is bfloat16
EPOCH = (1980, 1, 1, 0, 0, 0)


def settle_shapes(case, reference):
    """Fills in the shapes the case left open, as LiteRT's own kernels derive them."""
    graph = case.graphs[0]
    if all(tensor.shape is not None for tensor in graph.tensors):
        return
    answer = reference.run(serialize(case.graphs, case.signatures), case.runs, UNDELEGATED)
    for tensor in graph.tensors:
        if tensor.shape is None:
            tensor.shape = answer["shapes"][tensor.index]


def answers_agree(ours, theirs, tolerance):
    """Whether two answers to the same runs agree within a tolerance."""
    for a, b in ((a, b) for run, other in zip(ours["outputs"], theirs["outputs"]) for a, b in zip(run, other)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
            continue
        if tolerance[0] == "exact" or a.dtype.kind not in FLOATING:
            return False
        a, b = a.astype(np.complex128), b.astype(np.complex128)
        finite = np.isfinite(a)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return False
        if not np.abs(a[finite] - b[finite]).max() <= tolerance[1] * np.abs(a[finite]).max():
            return False
    return True


def undelegated_agrees(content, runs, answer, tolerance, reference):
    """Whether LiteRT's own kernels, without XNNPACK, give the same answer within the tolerance."""
    try:
        return answers_agree(answer, reference.run(content, runs, UNDELEGATED), tolerance)
    except Refused:
        return False


def bytes_of_runs(dtype, runs, k):
    """The bytes of array `k` of all runs, one after the other."""
    return b"".join(to_bytes(dtype, run[k]) for run in runs)


def work_out(case):
    """What a case's own definition answers in every run; it must have the declared types."""
    outputs = [case.expected(*run) for run in case.runs]
    for tensor, array in ((t, a) for run in outputs for t, a in zip(case.graph.outputs, run, strict=True)):
        settled = tensor.shape is None or tensor.dynamic or array.shape == tensor.shape
        if tensor.dtype != "STRING" and (array.dtype != NUMPY[tensor.dtype] or not settled):
            raise AssertionError(f"{case.name}: {array.dtype} of shape {array.shape} is worked out, {tensor} declared")
    return outputs


@dataclass
class Recipe:
    """What to record: a model, what it is fed, and how its answer is judged."""

    name: str
    op: str
    content: bytes
    runs: list
    types: tuple  # of the operator's inputs, the model's inputs and its outputs
    tolerance: tuple
    allow_special: bool = False
    given: tuple = None  # (source, outputs of each run) where the answer is not LiteRT's
    resolver: str = DEFAULT


def check_answer(recipe, results):
    """Insists on the declared types and, where the case does not ask for more, on finite numbers."""
    for k, dtype in enumerate(recipe.types[2]):
        if dtype not in ("STRING", "INT4", "UINT4", "VARIANT") and results[0][k].dtype != NUMPY[dtype]:
            raise AssertionError(f"{recipe.name}: output {k} is {results[0][k].dtype}, declared {dtype}")
        if dtype.startswith("FLOAT") and not recipe.allow_special and not all(np.isfinite(run[k]).all() for run in results):
            raise AssertionError(f"{recipe.name}: output {k} is not finite")


def entry_of(recipe, results):
    """The (index entry, [bytes of the model, the inputs, the outputs]) of a recipe with its outputs in each run."""
    operator_types, input_types, output_types = recipe.types
    check_answer(recipe, results)
    parts = [recipe.content]
    parts += [bytes_of_runs(dtype, recipe.runs, k) for k, dtype in enumerate(input_types)]
    parts += [bytes_of_runs(dtype, results, k) for k, dtype in enumerate(output_types)]
    entry = {
        "name": recipe.name,
        "op": recipe.op,
        "types": operator_types,
        "inputs": [{"dtype": dtype, "shape": list(np.shape(recipe.runs[0][k]))} for k, dtype in enumerate(input_types)],
        "outputs": [{"dtype": dtype, "shape": list(results[0][k].shape)} for k, dtype in enumerate(output_types)],
        "tolerance": {"kind": recipe.tolerance[0], "value": recipe.tolerance[1]},
    }
    return entry, parts


def asked(recipe, reference):
    """LiteRT's answer and its index entry with bytes. Raises Refused."""
    answer = reference.run(recipe.content, recipe.runs, recipe.resolver)
    if not answers_agree(answer, reference.run(recipe.content, recipe.runs, recipe.resolver), ("exact", 0)):
        raise Refused("two runs of the same model on the same input gave different results")
    entry, parts = entry_of(recipe, answer["outputs"])
    if recipe.resolver != DEFAULT:
        entry["undelegated"] = True
    elif not undelegated_agrees(recipe.content, recipe.runs, answer, recipe.tolerance, reference):
        entry["delegate_only"] = True
    return answer, entry, parts


def record(recipe, reference):
    """Runs one model; returns a list of (index entry, bytes). Raises Refused.

    The first is that of the newest version of the operator and all others that give the same answer; versions that give another
    follow, those that LiteRT refuses do not.
    """
    if recipe.given is not None:
        source, results = recipe.given
        entry, parts = entry_of(recipe, results)
        return [(entry | {"source": source} | repeated(recipe, list(registered_versions(recipe.op))), parts)]
    answer, entry, parts = asked(recipe, reference)
    same, others = [], []
    for version, content in other_versions(recipe.content, recipe.op):
        try:
            older = reference.run(content, recipe.runs, recipe.resolver)
        except Refused:
            continue
        if answers_agree(older, answer, ("exact", 0)):
            same.append(version)
            continue
        _, other, bytes_of_other = asked(replace(recipe, name=f"{recipe.name}_v{version}", content=content), reference)
        others.append((other | repeated(recipe), bytes_of_other))
    return [(entry | repeated(recipe, [*same, registered_versions(recipe.op)[-1]]), parts), *others]


def repeated(recipe, versions=()):
    """The index entry's fields that tell how often the model is run, and in which versions where they are more than its own."""
    fields = {"runs": len(recipe.runs)} if len(recipe.runs) > 1 else {}
    return fields | ({"versions": versions} if len(versions) > 1 else {})


def record_case(case, reference):
    """One operator case's index entries and bytes, as `record`. Raises Refused."""
    try:
        return record_once(case, reference)
    except Refused:
        if case.otherwise is None:
            raise
    case.expected = case.otherwise
    return record_once(case, reference)


def record_once(case, reference):
    """As `record_case`, with the answers of LiteRT or those that the case brings."""
    if case.expected is not None:
        case.source, case.answers = "numpy", work_out(case)
    if case.source:
        for tensor, array in zip(case.graph.outputs, case.answers[0]):
            tensor.shape = array.shape if tensor.shape is None else tensor.shape
    else:
        settle_shapes(case, reference)
    graph = case.graph
    operator = next(o for g in case.graphs for o in g.operators if o.code == case.op)
    types = (
        ["NONE" if t is None else t.dtype for t in operator.inputs],
        [t.dtype for t in graph.inputs],
        [t.dtype for t in graph.outputs],
    )
    content = serialize(case.graphs, case.signatures)
    given = (case.source, case.answers) if case.source else None
    resolver = UNDELEGATED if case.undelegated else DEFAULT
    recipe = Recipe(case.name, case.op, content, case.runs, types, case.tolerance, case.allow_special, given, resolver)
    return record(recipe, reference)


def write_npz(path, arrays):
    """Like np.savez_compressed for byte strings, with a fixed timestamp so that equal content gives equal files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.frombuffer(content, np.uint8), version=(1, 0))
            archive.writestr(zipfile.ZipInfo(name + ".npy", EPOCH), buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)


def write_vectors(name, recordings):
    """Writes vectors/NAME.npz from (case name, function that records it); returns (cases, [(case name, why refused)])."""
    index, parts, refused, names = [], [], [], set()
    for case_name, recording in recordings:
        if case_name in names:
            raise AssertionError(f"two cases are called {case_name}")
        names.add(case_name)
        try:
            recorded = recording()
        except Refused as why:
            refused.append((case_name, str(why)))
            continue
        index += [entry | {"sizes": [len(part) for part in content]} for entry, content in recorded]
        parts += [part for _, content in recorded for part in content]
    path = os.path.join(VECTORS, f"{name}.npz")
    if index:
        write_npz(path, {"data": b"".join(parts), "index": json.dumps(index, separators=(",", ":")).encode()})
    size = os.path.getsize(path) if index else 0
    print(f"{name}: {len(index)} cases, {size} bytes" + (f", {len(refused)} refused" if refused else ""), flush=True)
    return refused


def operator_recordings(op, reference):
    """The (name, recording function) of every case of an operator."""
    cases = (Case.make(op, maker) for maker in CASES[op])
    return ((case.name, functools.partial(record_case, case, reference)) for case in cases)


def update_refused(fresh):
    """Rewrites the refused operators' lines of the operators just generated, keeping the others."""
    lines = {}
    if os.path.exists(REFUSED):
        with open(REFUSED, encoding="utf-8") as file:
            for line in file:
                if line.startswith("| ") and not line.startswith(("| case", "| ---")):
                    case, why = [cell.strip() for cell in line.strip().strip("|").split("|", 1)]
                    lines[case] = why
    done = {stem(op).lower() for op in fresh}
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
    fresh = {op: write_vectors(stem(op), operator_recordings(op, reference)) for op in args.ops or sorted(CASES)}
    reference.close()
    update_refused(fresh)


if __name__ == "__main__":
    sys.exit(main())
