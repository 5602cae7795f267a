"""Which versions of an operator a model may carry: LiteRT registers a range of them, and finds no kernel for any other."""

import struct

from ai_edge_litert import schema_py_generated as schema

from catalog import CUSTOM, OLDEST, OPERATORS

NETWORK = "NETWORK"  # stands for an operator in the vectors of whole networks, whose versions are the converter's
VERSION_SLOT = 8  # of the field in an OperatorCode's table of fields


def registered_versions(op):
    """The versions of an operator that run, in order."""
    newest = 1 if op == NETWORK else CUSTOM[op] if op in CUSTOM else OPERATORS[op][1]
    return range(OLDEST.get(op, 1), newest + 1)


def _is_code_of(code, op):
    if op in CUSTOM:
        return code.CustomCode() == op.encode()
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) == getattr(schema.BuiltinOperator, op)


def with_version(content, op, version):
    """The model with another version of `op`, whose operator code must carry one already; other operators keep theirs."""
    patched = bytearray(content)
    model = schema.Model.GetRootAs(patched)
    for code in map(model.OperatorCodes, range(model.OperatorCodesLength())):
        if _is_code_of(code, op):
            offset = code._tab.Offset(VERSION_SLOT)
            if not offset:
                raise AssertionError(f"{op}: the model leaves the version open")
            struct.pack_into("<i", patched, code._tab.Pos + offset, version)
    return bytes(patched)


def other_versions(content, op):
    """(version, model) for each registered version of `op` but the newest, which `content` carries."""
    *older, _ = registered_versions(op)
    return [(version, with_version(content, op, version)) for version in older]
