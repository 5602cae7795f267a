#!/usr/bin/env python3
"""Prints which operators models use: per operator its count, versions, and the type signatures it occurs with.

    ops.py PATH ...        where a PATH is a .tflite file or a directory of them
"""

import collections
import os
import sys

from ai_edge_litert import schema_py_generated as schema

OPERATOR = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
TYPE = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}


def models(paths):
    """The .tflite files among `paths` and in the directories among them."""
    for path in paths:
        if os.path.isdir(path):
            yield from (os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".tflite"))
        else:
            yield path


def describe(tensor):
    """A tensor's type, marked when it is constant or quantized per channel."""
    text = TYPE[tensor.type]
    quantization = tensor.quantization
    if quantization is not None and quantization.scale is not None and len(quantization.scale) > 1:
        text += "/channel"
    return text


def census(path, found):
    """Adds one model's operators to `found`: name -> version -> type signature -> models -> count."""
    with open(path, "rb") as file:
        model = schema.ModelT.InitFromPackedBuf(file.read(), 0)
    for graph in model.subgraphs:
        for operator in graph.operators or []:
            code = model.operatorCodes[operator.opcodeIndex]
            builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
            name = OPERATOR[builtin] if builtin != schema.BuiltinOperator.CUSTOM else code.customCode.decode()
            inputs = [describe(graph.tensors[i]) if i >= 0 else "-" for i in operator.inputs]
            outputs = [describe(graph.tensors[i]) for i in operator.outputs]
            signature = f"{' '.join(inputs)} -> {' '.join(outputs)}"
            found[name][code.version, signature][os.path.basename(path)] += 1


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = collections.defaultdict(lambda: collections.defaultdict(collections.Counter))
    for path in models(sys.argv[1:]):
        census(path, found)
    for name in sorted(found):
        print(f"{name}: {sum(sum(uses.values()) for uses in found[name].values())}")
        for (version, signature), uses in sorted(found[name].items()):
            named = ", ".join(f"{model} x{count}" for model, count in sorted(uses.items())[:4])
            more = f", and {len(uses) - 4} more models" if len(uses) > 4 else ""
            print(f"    v{version}  {signature}    ({named}{more})")


if __name__ == "__main__":
    main()
