"""Features out of serialized examples; TensorFlow answers."""

import numpy as np

from cases import EXACT, add, label

KINDS = {"INT64": "int64_list", "FLOAT32": "float_list", "STRING": "bytes_list"}


def tensorflow():
    import tensorflow

    return tensorflow


def example(features):
    """A serialized example of (name, type, values); values None make a feature without any kind."""
    made = tensorflow().train.Example()
    for name, dtype, values in features:
        if values is None:
            made.features.feature[name].SetInParent()
        else:
            getattr(made.features.feature[name], KINDS[dtype]).value.extend(values)
    return made.SerializeToString()


def values_of(case, dtype, count):
    if dtype == "INT64":
        return [int(v) for v in case.rng.integers(-(2**40), 2**40, count)]
    if dtype == "FLOAT32":
        return [float(v) / 64 for v in case.rng.integers(-256, 256, count)]
    return [bytes(case.rng.integers(97, 123, case.rng.integers(0, 6), dtype=np.uint8)) for _ in range(count)]


def strings(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def node(version, sparse, dense):
    """The attributes as TensorFlow's node in a FlexBuffers vector, which the converter writes."""
    from flatbuffers import flexbuffers

    tf = tensorflow()
    made = tf.compat.v1.NodeDef(name="parse", op="ParseExample" if version == 1 else "ParseExampleV2")
    types = {"INT64": tf.int64, "FLOAT32": tf.float32, "STRING": tf.string}
    made.attr["Nsparse" if version == 1 else "num_sparse"].i = len(sparse)
    if version == 1:
        made.attr["Ndense"].i = len(dense)
    made.attr["Tdense"].list.type.extend(types[d[1]].as_datatype_enum for d in dense)
    made.attr["dense_shapes"].list.shape.extend(tf.TensorShape(d[2]).as_proto() for d in dense)
    builder = flexbuffers.Builder()
    with builder.Vector():
        builder.String(made.op)
        # A string, as the converter writes it, although the message is no text.
        builder._WriteBlob(made.SerializeToString(), append_zero=True, type_=flexbuffers.Type.STRING)
    return bytes(builder.Finish())


def parse(version, name, sparse=(), dense=(), ragged=(), batch=3, missing=0.3, extra=False):
    """`sparse` and `ragged`: (name, type); `dense`: (name, type, shape of one example)."""

    def build(case):
        tf, graph = tensorflow(), case.graph
        made = []
        for row in range(batch):
            features = [("unknown", "INT64", [1, 2])] if extra else []
            for key, dtype in (*sparse, *ragged):
                if case.rng.random() >= missing:
                    features.append((key, dtype, values_of(case, dtype, case.rng.integers(0, 5))))
            for key, dtype, shape in dense:
                if case.rng.random() >= missing:
                    features.append((key, dtype, values_of(case, dtype, int(np.prod(shape)))))
                elif extra:
                    features.append((key, dtype, None))
            made.append(example(features))
        serialized = strings(made)
        defaults = []
        for _, dtype, shape in dense:
            flat = values_of(case, dtype, int(np.prod(shape)))
            array = strings(flat) if dtype == "STRING" else np.array(flat, {"INT64": np.int64, "FLOAT32": np.float32}[dtype])
            defaults.append((dtype, array.reshape(shape)))
        keys = [[f[0].encode() for f in kind] for kind in (sparse, dense, ragged)]
        operands = [graph.input("STRING", (batch,)), graph.const("STRING", strings([]))]
        if version == 1:
            operands += [graph.const("STRING", np.array(key, object)) for kind in keys[:2] for key in kind]
        else:
            operands += [graph.const("STRING", strings(kind)) for kind in keys]
        operands += [graph.const(dtype, array) for dtype, array in defaults]
        open_ = {"shape": (1,), "dynamic": True}
        outputs = [graph.output("INT64", shape=(1, 2), dynamic=True) for _ in sparse] + [graph.output(f[1], **open_) for f in sparse]
        outputs += [graph.output("INT64", shape=(2,)) for _ in sparse] + [graph.output(f[1], shape=(batch, *f[2])) for f in dense]
        outputs += [graph.output(f[1], **open_) for f in ragged] + [graph.output("INT64", **open_) for _ in ragged]
        graph.op("ParseExample" if version == 1 else "ParseExampleV2", operands, outputs, raw=node(version, sparse, dense))
        case.feed(serialized)
        types = {"INT64": tf.int64, "FLOAT32": tf.float32, "STRING": tf.string}
        answer = tf.raw_ops.ParseExampleV2(
            serialized=serialized, names=np.array([], object), sparse_keys=strings(keys[0]), dense_keys=strings(keys[1]), ragged_keys=strings(keys[2]),
            dense_defaults=[tf.constant(a, types[d]) for d, a in defaults], num_sparse=len(sparse), sparse_types=[types[f[1]] for f in sparse],
            ragged_value_types=[types[f[1]] for f in ragged], ragged_split_types=[tf.int64 for _ in ragged], dense_shapes=[f[2] for f in dense])
        flat = [t.numpy() for part in (answer.sparse_indices, answer.sparse_values, answer.sparse_shapes, answer.dense_values, answer.ragged_values,
                                       answer.ragged_row_splits) for t in part]
        case.expect("tensorflow", *flat)
        case.tolerance = EXACT

    add("ParseExample" if version == 1 else "ParseExampleV2", label(name, f"b{batch}"), build)


SPARSE = (("s.int", "INT64"), ("s.float", "FLOAT32"), ("s.text", "STRING"))
DENSE = (("d.int", "INT64", ()), ("d.float", "FLOAT32", (2,)), ("d.text", "STRING", (1, 3)))
for version in (1, 2):
    parse(version, "sparse", sparse=SPARSE)
    parse(version, "dense", dense=DENSE)
    parse(version, "both", sparse=SPARSE, dense=DENSE, batch=5)
    parse(version, "whole", sparse=SPARSE[:1], dense=DENSE, missing=0.0, batch=2)
    parse(version, "unknown_features", sparse=SPARSE[1:], dense=DENSE[:2], extra=True, batch=4)
    parse(version, "one", dense=DENSE[:1], batch=1, missing=0.0)
    parse(version, "nothing_found", sparse=SPARSE, dense=DENSE[1:2], missing=1.0)
    parse(version, "matrix", dense=(("m", "FLOAT32", (2, 3)), ("n", "INT64", (4, 1))), batch=2)
parse(2, "ragged", ragged=(("r.int", "INT64"), ("r.text", "STRING")), batch=4)
parse(2, "all", sparse=SPARSE[:2], dense=DENSE[:1], ragged=(("r.float", "FLOAT32"),), batch=4, missing=0.1)
