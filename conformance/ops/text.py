"""Features of texts: n-grams and locality sensitive hashes; rows found by key."""

import numpy as np

from cases import EXACT, FLOAT, add, label

SENTENCES = {
    "plain": b"the quick brown fox jumps over",
    "spaces": b"a  b\tc d ",
    "leading": b" x yy zzz",
    "single": b"word",
    "empty": b"",
}


def skip_gram(sentence, size, skip, everything):
    def build(case):
        text = case.graph.input("STRING", (1,))
        case.graph.op("SKIP_GRAM", [text], [case.graph.output("STRING", shape=(1,), dynamic=True)], ngramSize=size, maxSkipSize=skip,
                      includeAllNgrams=everything)
        case.feed(np.array([SENTENCES[sentence]], object))

    add("SKIP_GRAM", label(sentence, f"n{size}", f"skip{skip}", "all" if everything else ""), build)


for size, skip, everything in [(1, 0, False), (2, 0, False), (2, 1, False), (3, 1, True), (3, 2, False), (2, 5, True)]:
    skip_gram("plain", size, skip, everything)
for sentence in ("spaces", "leading", "single", "empty"):
    skip_gram(sentence, 2, 1, True)
    skip_gram(sentence, 1, 0, False)

SPARSE, DENSE = 1, 2


def projection(kind, dtype, shape, hashes, weighted):
    """Lengths of an item's bytes choose among the branches of the hash function."""

    def build(case):
        graph = case.graph
        operands = [graph.const("FLOAT32", case.rng.uniform(-4, 4, hashes)), graph.input(dtype, shape)]
        if weighted:
            operands.append(graph.const("FLOAT32", case.values("FLOAT32", shape[:1])))
        graph.op("LSH_PROJECTION", operands, [graph.output("INT32")], type=kind)

    add("LSH_PROJECTION", label("sparse" if kind == SPARSE else "dense", dtype, shape, hashes, "weighted" if weighted else ""), build)


for kind in (SPARSE, DENSE):
    for dtype, shape in [("INT32", (5,)), ("INT32", (3, 2)), ("INT8", (4, 13)), ("FLOAT32", (2, 7)), ("INT64", (2, 7)), ("INT32", (3, 16)),
                         ("UINT8", (2, 124)), ("FLOAT32", (2, 48))]:
        projection(kind, dtype, shape, (4, 5), len(shape) == 2)
    projection(kind, "INT32", (6,), (3, 31), True)


def lookup(dtype, shape, asked):
    def build(case):
        graph = case.graph
        keys = np.sort(case.rng.choice(40, shape[0], replace=False)).astype(np.int32)
        operands = [graph.input("INT32", (asked,)), graph.const("INT32", keys), graph.input(dtype, shape)]
        outputs = [graph.output(dtype, shape=(asked, *shape[1:])), graph.output("UINT8", shape=(asked,))]
        graph.op("HASHTABLE_LOOKUP", operands, outputs)
        wanted = np.where(case.rng.random(asked) < 0.6, case.rng.choice(keys, asked), case.rng.integers(0, 40, asked))
        case.feed(wanted.astype(np.int32), case.values(dtype, shape))
        case.tolerance = EXACT

    add("HASHTABLE_LOOKUP", label(dtype, shape, f"asked{asked}"), build)


for dtype in ("FLOAT32", "INT32", "INT8", "INT64"):
    lookup(dtype, (7,), 5)
    lookup(dtype, (4, 2, 3), 6)
for shape in [(7,), (1,)]:
    lookup("STRING", shape, 6)

SUM, MEAN, SQRTN = 0, 1, 2


def embedding_sparse(combiner, dims, row, count, rows=6):
    """Ids at places of a sparse tensor, in order."""

    def build(case):
        graph = case.graph
        places = np.sort(case.rng.choice(int(np.prod(dims)), count, replace=False))
        indices = np.stack(np.unravel_index(places, dims), axis=1).astype(np.int32)
        operands = [graph.input("INT32", (count,)), graph.const("INT32", indices), graph.const("INT32", dims),
                    graph.input("FLOAT32", (count,)), graph.input("FLOAT32", (rows, *row))]
        out = graph.output("FLOAT32", shape=(*dims[:-1], *row))
        graph.op("EMBEDDING_LOOKUP_SPARSE", operands, [out], combiner=combiner)
        case.feed(case.rng.integers(0, rows, count).astype(np.int32), case.values("FLOAT32", (count,), None, 0.25, 3.0),
                  case.values("FLOAT32", (rows, *row)))
        case.tolerance = FLOAT

    add("EMBEDDING_LOOKUP_SPARSE", label(("sum", "mean", "sqrtn")[combiner], dims, row, f"n{count}"), build)


for combiner in (SUM, MEAN, SQRTN):
    embedding_sparse(combiner, (3, 4), (5,), 7)
    embedding_sparse(combiner, (2, 3, 2), (2, 3), 9)
    embedding_sparse(combiner, (5,), (4,), 3)


TABLES = {"V2": ("HashTableV2", "LookupTableImportV2", "LookupTableFindV2", "LookupTableSizeV2"),
          "plain": ("Hashtable", "HashtableImport", "HashtableFind", "HashtableSize")}
TYPE_CODE = {"INT64": 4, "STRING": 5}


def custom_table(names, op, key, value, asked_shape):
    """A table filled in the graph, asked for its size and for values, one of which it lacks."""

    def build(case):
        graph = case.graph
        make, fill, find, size = names
        handle = graph.tensor("RESOURCE", (1,))
        graph.op(make, [], [handle], table_id=3, key_dtype=TYPE_CODE[key], value_dtype=TYPE_CODE[value])
        numbers = np.array([5, -7, 1 << 40, 0])
        words = np.array([b"five", b"", b"large", b"zero"], object)
        keys, values = (numbers, words) if key == "INT64" else (words, numbers)
        graph.op(fill, [handle, graph.const(key, keys), graph.const(value, values)], [])
        count = graph.output("INT64", shape=(1,))
        graph.op(size, [handle], [count])
        missing = np.array([99 if key == "INT64" else b"none"], keys.dtype)
        default = np.array([-1 if value == "INT64" else b"?"], values.dtype)
        found = graph.output(value, shape=asked_shape)
        graph.op(find, [handle, graph.input(key, asked_shape), graph.const(value, default)], [found])
        asked = case.rng.choice(np.concatenate([keys, missing]), asked_shape)
        case.feed(asked)
        known = dict(zip(keys.tolist(), values.tolist()))
        answer = np.empty(np.prod(asked_shape, dtype=int), values.dtype)
        answer[:] = [known.get(k, default[0]) for k in np.reshape(asked, -1).tolist()]
        case.expect("numpy", np.array([4]), answer.reshape(asked_shape))
        case.tolerance = EXACT

    add(op, label(key, value, asked_shape), build)


for names in TABLES.values():
    for op in names:
        for shape in [(3,), (2, 2), (1,), (2, 1, 4)]:
            custom_table(names, op, "INT64", "STRING", shape)
            custom_table(names, op, "STRING", "INT64", shape)
