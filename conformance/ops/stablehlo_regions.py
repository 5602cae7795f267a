"""StableHLO: operators with regions or dimension numbers (reductions, windows, gathers, scatters, products, convolutions, sorting) and random bits."""

import numpy as np

from cases import EXACT, add, label, natural_tolerance
from onebuild import NUMPY, Graph
from ops import stablehlo_reference as spec
from ops.stablehlo import INTEGERS, NUMBERS, REALS, THOROUGH, VALUES

EXACT_REDUCERS = ("MAXIMUM", "MINIMUM", "AND", "OR")


def region(case, code, dtype):
    """Adds a subgraph of two elements and one operator; returns its index."""
    graph = Graph(code.lower())
    x, y = graph.input(dtype, ()), graph.input(dtype, ())
    graph.op(code, [x, y], [graph.output(dtype, shape=())])
    case.graphs.append(graph)
    return len(case.graphs) - 1


def difference_region(case, dtype):
    """A region that is no known reducer: the first less twice the second, in two operators."""
    graph = Graph("difference")
    x, y = graph.input(dtype, ()), graph.input(dtype, ())
    graph.op("STABLEHLO_SUBTRACT", [graph.op("STABLEHLO_SUBTRACT", [x, y], [graph.tensor(dtype, ())]), y], [graph.output(dtype, shape=())])
    case.graphs.append(graph)
    return len(case.graphs) - 1


def difference(a, b):
    return a - b - b


def tolerance(case, reducer, dtype):
    case.tolerance = EXACT if reducer in EXACT_REDUCERS else natural_tolerance([dtype])


def small(case, dtype, shape):
    """Values whose products stay small."""
    return case.values(dtype, shape, low=None if dtype == "BOOL" else 0 if dtype[0] == "U" else -2, high=2)


def reduce(dtype, reducer, shape, dims):
    def build(case):
        x, init = case.graph.input(dtype, shape), case.graph.input(dtype, ())
        out = tuple(d for i, d in enumerate(shape) if i not in dims)
        body = region(case, f"STABLEHLO_{reducer}", dtype) if reducer != "difference" else difference_region(case, dtype)
        case.graph.op("STABLEHLO_REDUCE", [x, init], [case.graph.output(dtype, shape=out)], dimensions=list(dims), bodySubgraphIndex=body)
        case.feed(small(case, dtype, shape), small(case, dtype, ()))
        function = spec.REDUCERS.get(reducer, difference)
        case.expected = lambda x, i: [spec.reduce(function, dims, x, i)]
        tolerance(case, reducer, dtype)

    add("STABLEHLO_REDUCE", label(dtype, reducer.lower(), shape, "over", dims), build)


def reducers_of(dtype):
    if dtype in INTEGERS:
        return ("ADD", "MAXIMUM", "OR", "MULTIPLY", "MINIMUM", "AND")
    if dtype == "BOOL":
        return ("AND", "OR", "MAXIMUM")
    return ("ADD", "MULTIPLY", "MAXIMUM", "MINIMUM")


REDUCED = [((3, 4), (1,)), ((3, 4), (0,)), ((2, 3, 2), (0, 2)), ((2, 3, 2), (2, 1)), ((2, 2, 3), (1,)), ((4,), (0,))]
for dtype in VALUES:
    for reducer, (shape, dims) in list(zip(reducers_of(dtype), REDUCED))[: 6 if dtype in ("INT32", "UINT8") else 3]:
        reduce(dtype, reducer, shape, dims)
for shape, dims in [((), ()), ((2, 3), ()), ((0, 3), (0,)), ((3, 0), (0,)), ((3, 200), (1,)), ((150, 3), (0,)), ((4, 1, 5, 3), (0, 3))]:
    reduce("FLOAT32", "ADD", shape, dims)
for shape, dims in [((3, 40), (1,)), ((40, 3), (0,)), ((4, 1, 5, 3), (0, 3))]:
    reduce("FLOAT64", "MAXIMUM", shape, dims)
for dtype in ("FLOAT32", "INT32", "INT8"):
    reduce(dtype, "difference", (2, 3), (1,))


def index_of_greatest(dtype):
    """Two operands: the greatest element and its position, by a region of several operators."""

    def build(case):
        body = Graph("greatest")
        best, at, value, place = body.input(dtype, ()), body.input("INT32", ()), body.input(dtype, ()), body.input("INT32", ())
        keeps = body.op("STABLEHLO_COMPARE", [best, value], [body.tensor("BOOL", ())], comparisonDirection=2)
        body.op("STABLEHLO_SELECT", [keeps, best, value], [body.output(dtype, shape=())])
        body.op("STABLEHLO_SELECT", [keeps, at, place], [body.output("INT32", shape=())])
        case.graphs.append(body)
        x, places = case.graph.input(dtype, (2, 4)), case.graph.input("INT32", (2, 4))
        least, none = case.graph.input(dtype, ()), case.graph.input("INT32", ())
        outputs = [case.graph.output(dtype, shape=(2,)), case.graph.output("INT32", shape=(2,))]
        case.graph.op("STABLEHLO_REDUCE", [x, places, least, none], outputs, dimensions=[1], bodySubgraphIndex=1)
        case.feed(case.values(dtype, (2, 4), low=0), np.tile(np.arange(4, dtype=np.int32), (2, 1)), np.array(-100, NUMPY[dtype]), np.array(-1, np.int32))
        case.expected = lambda x, p, *_: [x.max(1), x.argmax(1).astype(np.int32)]
        case.tolerance = EXACT

    add("STABLEHLO_REDUCE", label(dtype, "two_operands"), build)


for dtype in ("FLOAT32", "INT16", "FLOAT16"):
    index_of_greatest(dtype)

WINDOW_TYPES = ("FLOAT32", "FLOAT64", "INT8", "INT16", "INT32", "INT64", "UINT8", "BOOL")  # LiteRT's own


def reduce_window(dtype, reducer, shape, size, stride=None, base=None, dilation=None, padding=None, code="STABLEHLO_"):
    ones = [1] * len(shape)
    stride, base, dilation = (list(v or ones) for v in (stride, base, dilation))
    padding = padding or [(0, 0)] * len(shape)

    def build(case):
        x, init = case.graph.input(dtype, shape), case.graph.input(dtype, ())
        reach = [(s - 1) * d + 1 for s, d in zip(size, dilation)]
        whole = [(d - 1) * b + 1 + sum(p) for d, b, p in zip(shape, base, padding)]
        out = tuple((w - r) // s + 1 if w >= r else 0 for w, r, s in zip(whole, reach, stride))
        body = region(case, code + reducer, dtype) if reducer != "difference" else difference_region(case, dtype)
        case.graph.op("STABLEHLO_REDUCE_WINDOW", [x, init], [case.graph.output(dtype, shape=out)], windowDimensions=list(size), windowStrides=stride,
                      baseDilations=base, windowDilations=dilation, padding=[p for pair in padding for p in pair], bodySubgraphIndex=body)  # fmt: skip
        case.feed(small(case, dtype, shape), np.array(reducer == "MULTIPLY", NUMPY[dtype]))
        if dtype not in WINDOW_TYPES or reducer in ("difference", "OR"):  # LiteRT lacks STABLEHLO_OR
            function = spec.REDUCERS.get(reducer, difference)
            case.expected = lambda x, i: [spec.reduce_window(function, x, i, size, stride, base, dilation, padding)]
        tolerance(case, reducer, dtype)

    parts = [("by", stride), ("base", base), ("dilated", dilation)]
    flags = [p for name, v in parts if v != ones for p in (name, tuple(v))] + (["padded"] if any(map(any, padding)) else [])
    add("STABLEHLO_REDUCE_WINDOW", label(dtype, reducer.lower(), shape, "window", size, *flags, "" if code else "builtin_body"), build)


for dtype in VALUES:
    first, second, third = reducers_of(dtype)[:3]
    if dtype in INTEGERS:
        third = "MINIMUM"  # LiteRT combines truths where the region combines bits
    reduce_window(dtype, first, (5,), (2,))
    reduce_window(dtype, second, (3, 4), (2, 2), stride=(1, 2), padding=[(0, 1), (1, 0)])
    reduce_window(dtype, third, (1, 3, 3, 2), (1, 2, 2, 1), dilation=(1, 2, 1, 1))
reduce_window("FLOAT32", "ADD", (4,), (2,), base=(3,), padding=[(1, 2)])
reduce_window("FLOAT32", "ADD", (1, 6, 6, 3), (1, 3, 3, 1), stride=(1, 2, 2, 1), padding=[(0, 0), (1, 1), (1, 1), (0, 0)])
reduce_window("FLOAT32", "MAXIMUM", (5, 4), (2, 3), padding=[(-1, 0), (2, -1)])
reduce_window("FLOAT32", "MINIMUM", (3, 3), (1, 1), base=(2, 3))
reduce_window("FLOAT32", "MULTIPLY", (2, 3, 2, 2), (2, 2, 1, 2))
reduce_window("INT32", "AND", (6,), (3,))
reduce_window("INT32", "OR", (6,), (3,), stride=(2,))
reduce_window("FLOAT32", "ADD", (3,), (5,))
for body in ("ADD", "MUL", "MAXIMUM", "MINIMUM"):
    reduce_window("FLOAT32", body, (4, 3), (2, 2), code="")
reduce_window("FLOAT32", "difference", (4,), (2,), padding=[(1, 0)])
reduce_window("INT32", "difference", (3, 2), (2, 1))

FUNCTIONS = {"add": 1, "mul": 2, "min": 3, "max": 4, "all": 5, "any": 6}


def old_reduce_window(dtype, function, shape, size, stride, dilation):
    def build(case):
        x, init = case.graph.input(dtype, shape), case.graph.input(dtype, ())
        lists = [case.graph.const("INT64", list(v)) for v in (size, stride, dilation)]
        reach = [(s - 1) * d + 1 for s, d in zip(size, dilation)]
        out = tuple((w - r) // s + 1 for w, r, s in zip(shape, reach, stride))
        case.graph.op("REDUCE_WINDOW", [x, init, *lists], [case.graph.output(dtype, shape=out)], reduceFunction=FUNCTIONS[function])
        case.feed(small(case, dtype, shape), np.array(function in ("mul", "all"), NUMPY[dtype]))
        case.tolerance = EXACT if function in ("min", "max", "all", "any") else natural_tolerance([dtype])

    add("REDUCE_WINDOW", label(dtype, function, shape, "window", size, "by", stride, "dilated", dilation), build)


for dtype in WINDOW_TYPES:
    for function, row in zip(("all", "any", "max") if dtype == "BOOL" else ("add", "max", "mul", "min"),
                             [((5,), (2,), (1,), (2,)), ((3, 4), (2, 2), (1, 2), (1, 1)), ((2, 3, 2), (1, 2, 1), (1, 1, 1), (1, 2, 1)), ((4, 2), (4, 1), (1, 1), (1, 1))]):  # fmt: skip
        old_reduce_window(dtype, function, *row)
for function in ("all", "any"):
    old_reduce_window("INT32", function, (6,), (2,), (2,), (1,))

GATHERED = {"FLOAT16", "FLOAT32", "FLOAT64", *INTEGERS}  # LiteRT's own


def gather(dtype, index, name, shape, indices, offset, collapsed, mapping, dim, sizes, low=-1, high=4):
    def build(case):
        x, at = case.graph.input(dtype, shape), case.graph.input(index, indices)
        values, places = case.values(dtype, shape), case.values(index, indices, low=0 if index[0] == "U" else low, high=high)
        out = spec.gather(values, places, offset, collapsed, mapping, dim, sizes).shape
        case.graph.op("STABLEHLO_GATHER", [x, at], [case.graph.output(dtype, shape=out)], offsetDims=list(offset), collapsedSliceDims=list(collapsed),
                      startIndexMap=list(mapping), indexVectorDim=dim, sliceSizes=list(sizes))  # fmt: skip
        case.feed(values, places)
        if name == "boxes" and dtype not in THOROUGH:
            case.feed(case.values(dtype, shape), case.values(index, indices, low=low, high=high))
        if dtype not in GATHERED or index not in ("INT32", "INT64") or 0 in out or dim == len(indices):  # LiteRT dies of implied vectors
            case.expected = lambda x, i: [spec.gather(x, i, offset, collapsed, mapping, dim, sizes)]
        case.tolerance = EXACT

    add("STABLEHLO_GATHER", label(dtype, index, name, shape, "at", indices), build)


for i, dtype in enumerate(VALUES):
    index = ("INT32", "INT64", "UINT32", "INT16")[i % 4]
    gather(dtype, "INT32", "rows", (4, 3), (2, 1), (1,), (0,), (0,), 1, (1, 3))
    gather(dtype, "INT64", "boxes", (3, 4), (3, 2), (1, 2), (), (0, 1), 1, (2, 2))
    if dtype in THOROUGH:
        gather(dtype, index, "elements", (3, 2), (2, 2), (), (0, 1), (1, 0), 0, (1, 1))
gather("FLOAT32", "INT32", "spec", (3, 4, 2), (2, 3, 2), (2, 3), (0,), (1, 0), 2, (1, 2, 2))
gather("FLOAT32", "INT64", "implied_vector", (5, 2), (3,), (1,), (0,), (0,), 1, (1, 2))
gather("FLOAT32", "INT32", "offset_first", (4, 3), (2, 1), (0,), (0,), (0,), 1, (1, 3))
gather("FLOAT32", "INT32", "column", (3, 5), (4, 1), (0,), (1,), (1,), 1, (3, 1))
gather("FLOAT32", "INT32", "empty", (3, 5), (0, 1), (1,), (0,), (0,), 1, (1, 5))
gather("FLOAT32", "INT32", "far", (3, 3), (4, 2), (1,), (0,), (0, 1), 1, (1, 2), low=-100, high=100)


def scatter(dtype, index, reducer, name, shape, indices, updates, window, inserted, mapping, dim, low=0, high=2):
    def build(case):
        x, at, new = case.graph.input(dtype, shape), case.graph.input(index, indices), case.graph.input(dtype, updates)
        if reducer == "update":
            body = Graph("update")
            body.input(dtype, ())
            body.outputs.append(body.input(dtype, ()))
            case.graphs.append(body)
            number = 1
        elif reducer == "difference":
            number = difference_region(case, dtype)
        else:
            number = region(case, f"STABLEHLO_{reducer}", dtype)
        case.graph.op("STABLEHLO_SCATTER", [x, at, new], [case.graph.output(dtype, shape=shape)], updateWindowDims=list(window), insertedWindowDims=list(inserted),
                      scatterDimsToOperandDims=list(mapping), indexVectorDim=dim, updateComputationSubgraphIndex=number)  # fmt: skip
        places = case.values(index, indices, low=low, high=high)
        case.feed(small(case, dtype, shape), places, small(case, dtype, updates))
        if name == "elements" and dtype not in THOROUGH:
            case.feed(small(case, dtype, shape), case.values(index, indices, low=low, high=high), small(case, dtype, updates))
        served = dtype in GATHERED and index in ("INT32", "INT64") and reducer in ("update", "ADD", "MULTIPLY", "MAXIMUM", "MINIMUM")
        if not served or low < 0 or 0 in updates:  # LiteRT looks at the upper bound only
            function = {"update": lambda a, b: b, "difference": difference, **spec.REDUCERS}[reducer]
            case.expected = lambda x, i, u: [spec.scatter(function, x, i, u, window, inserted, mapping, dim)]
        case.tolerance = EXACT if reducer == "update" else natural_tolerance([dtype])

    add("STABLEHLO_SCATTER", label(dtype, index, reducer.lower(), name, shape, "at", indices), build)


for i, dtype in enumerate(VALUES):
    reducer = ("ADD", "MULTIPLY", "MAXIMUM", "MINIMUM")[i % 4] if dtype != "BOOL" else "OR"
    scatter(dtype, "INT32", "update", "rows", (4, 2), (2, 1), (2, 2), (1,), (0,), (0,), 1, high=4)
    scatter(dtype, "INT64", reducer, "elements", (2, 3), (4, 2), (4,), (), (0, 1), (1, 0), 1)
    if dtype in THOROUGH:
        scatter(dtype, ("UINT32", "INT16")[i % 2], "ADD" if dtype != "BOOL" else "AND", "boxes", (3, 4), (2, 2), (2, 2, 2), (1, 2), (), (0, 1), 1)
scatter("FLOAT32", "INT32", "MULTIPLY", "implied_vector", (5, 2), (3,), (3, 2), (1,), (0,), (0,), 1)
scatter("FLOAT32", "INT32", "ADD", "outside", (3, 3), (5, 1), (5, 3), (1,), (0,), (0,), 1, low=-3, high=5)
scatter("FLOAT32", "INT32", "MAXIMUM", "beyond", (3, 3), (5, 1), (5, 3), (1,), (0,), (0,), 1, low=0, high=6)
scatter("FLOAT32", "INT64", "ADD", "spec", (3, 4, 2), (2, 3, 2), (2, 3, 2, 2), (2, 3), (0,), (1, 0), 2)
scatter("FLOAT32", "INT32", "ADD", "nothing", (3, 2), (0, 1), (0, 2), (1,), (0,), (0,), 1)
scatter("FLOAT32", "INT32", "difference", "called", (3, 2), (2, 1), (2, 2), (1,), (0,), (0,), 1)
scatter("INT32", "INT32", "AND", "bits", (4,), (3, 1), (3,), (), (0,), (0,), 1)


def dot(dtype, name, left, right, left_batch, right_batch, left_sum, right_sum, out=None):
    out = out or dtype

    def build(case):
        operands = [case.graph.input(dtype, s) for s in (left, right)]
        free = [[d for i, d in enumerate(s) if i not in b and i not in c] for s, b, c in ((left, left_batch, left_sum), (right, right_batch, right_sum))]
        shape = tuple([left[d] for d in left_batch] + free[0] + free[1])
        case.graph.op("STABLEHLO_DOT_GENERAL", operands, [case.graph.output(out, shape=shape)], lhsBatchingDimensions=list(left_batch),
                      rhsBatchingDimensions=list(right_batch), lhsContractingDimensions=list(left_sum), rhsContractingDimensions=list(right_sum))  # fmt: skip
        for _ in range(2 if name == "matrices" and dtype not in THOROUGH else 1):
            case.feed(*(case.values(dtype, s) for s in (left, right)))
        case.expected = lambda a, b: [spec.dot_general(a, b, left_batch, right_batch, left_sum, right_sum, NUMPY[out])]

    add("STABLEHLO_DOT_GENERAL", label(dtype, name, left, right, "to" if out != dtype else "", out if out != dtype else ""), build)


for dtype in NUMBERS:
    dot(dtype, "matrices", (2, 3), (3, 4), (), (), (1,), (0,))
    dot(dtype, "batches", (2, 2, 3), (2, 2, 3), (0,), (0,), (2,), (2,))
    if dtype in THOROUGH:
        dot(dtype, "turned", (3, 2), (4, 3), (), (), (0,), (1,))
for row in [
    ("vectors", (5,), (5,), (), (), (0,), (0,)),
    ("outer", (3,), (2,), (), (), (), ()),
    ("scalars", (), (), (), (), (), ()),
    ("two_sums", (2, 3, 4), (4, 5, 3), (), (), (1, 2), (2, 0)),
    ("two_batches", (2, 3, 4, 2), (3, 2, 2, 5), (0, 1), (1, 0), (3,), (2,)),
    ("batch_inside", (3, 2, 4), (4, 2, 2), (1,), (1,), (2,), (0,)),
    ("nothing_summed", (2, 0), (0, 3), (), (), (1,), (0,)),
    ("nothing", (0, 3), (3, 2), (), (), (1,), (0,)),
    ("large", (9, 21), (21, 19), (), (), (1,), (0,)),
]:
    dot("FLOAT32", *row)
dot("INT8", "wide", (4, 6), (6, 3), (), (), (1,), (0,), out="INT32")
dot("FLOAT16", "wide", (3, 5), (5, 2), (), (), (1,), (0,), out="FLOAT32")
dot("BFLOAT16", "wide", (3, 5), (5, 2), (), (), (1,), (0,), out="FLOAT32")
dot("UINT8", "wide", (4, 6), (6, 3), (), (), (1,), (0,), out="UINT32")

NHWC = {"inputBatchDimension": 0, "inputFeatureDimension": 3, "inputSpatialDimensions": [1, 2]}
HWIO = {"kernelInputFeatureDimension": 2, "kernelOutputFeatureDimension": 3, "kernelSpatialDimensions": [0, 1]}
OUT_NHWC = {"outputBatchDimension": 0, "outputFeatureDimension": 3, "outputSpatialDimensions": [1, 2]}
NCHW = {"inputBatchDimension": 0, "inputFeatureDimension": 1, "inputSpatialDimensions": [2, 3]}
OIHW = {"kernelInputFeatureDimension": 1, "kernelOutputFeatureDimension": 0, "kernelSpatialDimensions": [2, 3]}
OUT_NCHW = {"outputBatchDimension": 0, "outputFeatureDimension": 1, "outputSpatialDimensions": [2, 3]}
NWC = {"inputBatchDimension": 0, "inputFeatureDimension": 2, "inputSpatialDimensions": [1], "kernelInputFeatureDimension": 1,
       "kernelOutputFeatureDimension": 2, "kernelSpatialDimensions": [0], "outputBatchDimension": 0, "outputFeatureDimension": 2, "outputSpatialDimensions": [1]}  # fmt: skip
LAST = NHWC | HWIO | OUT_NHWC
FIRST = NCHW | OIHW | OUT_NCHW


def convolution(dtype, name, image, kernel, layout, stride=None, padding=None, image_dilation=None, kernel_dilation=None, turned=None, groups=1, batches=1, out=None):
    n = len(layout["inputSpatialDimensions"])
    options = layout | {
        "windowStrides": list(stride or [1] * n), "padding": list(padding or [0] * 2 * n), "lhsDilation": list(image_dilation or [1] * n),
        "rhsDilation": list(kernel_dilation or [1] * n), "windowReversal": list(turned or [False] * n), "featureGroupCount": groups, "batchGroupCount": batches,
    }  # fmt: skip
    out = out or dtype

    def build(case):
        operands = [case.graph.input(dtype, image), case.graph.input(dtype, kernel)]
        low, high = (0 if dtype[0] == "U" else -3, 3) if dtype in INTEGERS else (None, None)
        for _ in range(2 if name == "first" and dtype not in THOROUGH else 1):
            values = [case.values(dtype, s, low=low, high=high) for s in (image, kernel)]
            case.feed(*values)
        case.expected = lambda x, k: [spec.convolution(x, k, options, NUMPY[out])]
        case.graph.op("STABLEHLO_CONVOLUTION", operands, [case.graph.output(out, shape=case.expected(*values)[0].shape)], **options)

    add("STABLEHLO_CONVOLUTION", label(dtype, name, image, kernel), build)


for dtype in NUMBERS:
    convolution(dtype, "last", (1, 4, 4, 2), (2, 2, 2, 3), LAST, padding=(1, 0, 0, 1))
    convolution(dtype, "first", (2, 2, 3, 3), (2, 2, 2, 2), FIRST, stride=(2, 1))
    if dtype in THOROUGH:
        convolution(dtype, "line", (1, 5, 2), (3, 2, 2), NWC, kernel_dilation=(2,))
convolution("FLOAT32", "transposed", (1, 3, 3, 2), (3, 3, 2, 2), LAST, image_dilation=(2, 2), padding=(2, 1, 1, 2))
convolution("FLOAT32", "reversed", (1, 4, 5, 1), (2, 3, 1, 2), LAST, turned=(True, False))
convolution("FLOAT32", "both_reversed", (1, 4, 4, 2), (2, 3, 2, 1), LAST, turned=(True, True), stride=(1, 2))
convolution("FLOAT32", "cropped", (1, 6, 6, 1), (2, 2, 1, 2), LAST, padding=(-1, -2, 1, -1))
convolution("FLOAT32", "depthwise", (2, 4, 4, 3), (2, 2, 1, 6), LAST, groups=3, padding=(0, 1, 0, 1))
convolution("FLOAT32", "grouped_first", (1, 4, 3, 3), (4, 2, 2, 2), FIRST, groups=2)
convolution("FLOAT32", "batch_groups", (4, 3, 3, 2), (2, 2, 2, 4), LAST, batches=2)
convolution("FLOAT32", "batch_groups_first", (6, 2, 3, 3), (3, 2, 2, 2), FIRST, batches=3)
convolution("FLOAT32", "no_space", (3, 4), (4, 2), {"inputBatchDimension": 0, "inputFeatureDimension": 1, "inputSpatialDimensions": [],
            "kernelInputFeatureDimension": 0, "kernelOutputFeatureDimension": 1, "kernelSpatialDimensions": [], "outputBatchDimension": 0,
            "outputFeatureDimension": 1, "outputSpatialDimensions": []})  # fmt: skip
convolution("FLOAT32", "odd_order", (3, 2, 4, 1), (3, 2, 2, 2), {"inputBatchDimension": 1, "inputFeatureDimension": 0, "inputSpatialDimensions": [2, 3],
            "kernelInputFeatureDimension": 0, "kernelOutputFeatureDimension": 3, "kernelSpatialDimensions": [1, 2], "outputBatchDimension": 2,
            "outputFeatureDimension": 0, "outputSpatialDimensions": [3, 1]}, padding=(0, 1, 1, 0))  # fmt: skip
convolution("FLOAT32", "volume", (1, 3, 3, 3, 1), (2, 2, 2, 1, 2), {"inputBatchDimension": 0, "inputFeatureDimension": 4, "inputSpatialDimensions": [1, 2, 3],
            "kernelInputFeatureDimension": 3, "kernelOutputFeatureDimension": 4, "kernelSpatialDimensions": [0, 1, 2], "outputBatchDimension": 0,
            "outputFeatureDimension": 4, "outputSpatialDimensions": [1, 2, 3]})  # fmt: skip
convolution("FLOAT32", "nothing", (1, 2, 2, 1), (3, 3, 1, 1), LAST)
convolution("FLOAT32", "many_positions", (1, 18, 17, 1), (3, 3, 1, 2), LAST, padding=(1, 1, 1, 1))
convolution("INT8", "wide", (1, 4, 4, 2), (2, 2, 2, 3), LAST, out="INT32")
convolution("BFLOAT16", "wide", (1, 4, 4, 2), (2, 2, 2, 3), LAST, out="FLOAT32")


def comparator(case, dtypes, direction, total=False, code="STABLEHLO_COMPARE", operand=0):
    graph = Graph("comparator")
    pairs = [(graph.input(d, ()), graph.input(d, ())) for d in dtypes]
    options = {"comparisonDirection": {"lt": 5, "gt": 3, "le": 4}[direction], "compareType": 2 if total else 0} if code.startswith("STABLE") else {}
    graph.op(code, list(pairs[operand]), [graph.output("BOOL", shape=())], **options)
    case.graphs.append(graph)
    return len(case.graphs) - 1


BEFORE = {"lt": lambda a, b: a < b, "gt": lambda a, b: a > b, "le": lambda a, b: a <= b}


def sort(dtypes, shape, dim, direction="lt", total=False, code="STABLEHLO_COMPARE", operand=0, special=False, name=""):
    def build(case):
        operands = [case.graph.input(d, shape) for d in dtypes]
        outputs = [case.graph.output(d, shape=shape) for d in dtypes]
        body = comparator(case, dtypes, direction, total, code, operand)
        case.graph.op("STABLEHLO_SORT", operands, outputs, dimension=dim, isStable=True, comparatorSubgraphIndex=body)
        values = [case.values(d, shape, low=None if d == "BOOL" else 0, high=None if d == "BOOL" else 3) for d in dtypes]
        if special:
            values[0] = np.resize(np.array([1, np.nan, -0.0, np.inf, 0.0, -np.nan, -np.inf, -1], NUMPY[dtypes[0]]), shape)
        if len(dtypes) > 1:
            values[1] = np.arange(np.prod(shape)).reshape(shape).astype(NUMPY[dtypes[1]])
        case.feed(*values)
        key = (lambda x: spec.total_order(np.array(x))[()]) if total else (lambda x: x)
        case.expected = lambda *xs: spec.sort(xs, dim % len(shape), lambda a, b: bool(BEFORE[direction](key(a[operand]), key(b[operand]))))
        case.tolerance, case.allow_special = EXACT, True

    add("STABLEHLO_SORT", label(*dtypes, shape, "along", dim, direction, "total" if total else "", "" if code.startswith("STABLE") else code.lower(), name), build)


for dtype in REALS + INTEGERS + ("BOOL",):
    sort([dtype], (7,), 0)
    sort([dtype], (4, 3), 0, "gt")
    sort([dtype, "INT32"], (2, 6), 1, "lt")
for dtype in REALS:
    sort([dtype], (8,), 0, "lt", total=True, special=True, name="special")
sort(["FLOAT32"], (3, 4, 2), -2, "lt")
sort(["FLOAT32"], (0, 3), 0)
sort(["FLOAT32"], (50,), 0)
sort(["FLOAT32", "FLOAT16", "INT8"], (5,), 0, operand=1)
sort(["FLOAT32"], (6,), 0, "lt", code="LESS")
sort(["INT32", "INT64"], (6,), 0, "gt", code="GREATER")


def sort_by_two(case):
    """A comparator of several operators: by the first operand falling, then by the second rising."""
    graph = Graph("comparator")
    a, b, c, d = (graph.input("INT32", ()) for _ in range(4))
    one, equal, two, both = (graph.tensor("BOOL", ()) for _ in range(4))
    graph.op("STABLEHLO_COMPARE", [a, b], [one], comparisonDirection=3)
    graph.op("STABLEHLO_COMPARE", [a, b], [equal], comparisonDirection=0)
    graph.op("STABLEHLO_COMPARE", [c, d], [two], comparisonDirection=5)
    graph.op("STABLEHLO_AND", [equal, two], [both])
    graph.op("STABLEHLO_OR", [one, both], [graph.output("BOOL", shape=())])
    case.graphs.append(graph)
    operands = [case.graph.input("INT32", (9,)) for _ in range(2)]
    case.graph.op("STABLEHLO_SORT", operands, [case.graph.output("INT32", shape=(9,)) for _ in range(2)], dimension=0, comparatorSubgraphIndex=1)
    case.feed(case.values("INT32", (9,), low=0, high=2), case.values("INT32", (9,), low=0, high=9))
    case.expected = lambda x, y: spec.sort([x, y], 0, lambda p, q: p[0] > q[0] or (p[0] == q[0] and p[1] < q[1]))
    case.tolerance = EXACT


add("STABLEHLO_SORT", "i32_by_two_operands", sort_by_two)

ALGORITHMS = {"default": 0, "philox": 1, "threefry": 2}


def random_bits(dtype, algorithm, shape, words, states):
    def build(case):
        state = case.graph.input("UINT64", (words,))
        outputs = [case.graph.output("UINT64", shape=(words,)), case.graph.output(dtype, shape=shape)]
        case.graph.op("STABLEHLO_RNG_BIT_GENERATOR", [state], outputs, algorithm=ALGORITHMS[algorithm])
        for values in states:
            case.feed(np.array(values[:words], np.uint64))
        case.tolerance = EXACT

    add("STABLEHLO_RNG_BIT_GENERATOR", label(dtype, algorithm, shape, f"state{words}"), build)


STATES = [(1, 2, 3), (2**64 - 1, 2**64 - 2, 2**63), (0x0123456789ABCDEF, 2**32 - 1, 77)]
for dtype in ("UINT32", "UINT64", "INT32", "INT64"):
    for algorithm, shape, words in [("philox", (2, 3), 2), ("philox", (5,), 3), ("threefry", (7,), 2), ("default", (), 3), ("threefry", (2, 2, 2), 2)]:
        random_bits(dtype, algorithm, shape, words, STATES)
random_bits("UINT32", "philox", (0,), 2, STATES[:1])
