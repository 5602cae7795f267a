"""The other layers with state (LSTM, the bidirectional and the plain recurrent ones), lookup tables, random numbers, and
composites and cases that run other subgraphs."""

import numpy as np

from cases import ACTIVATIONS, EXACT, FLOAT, HYBRID, add, label
from onebuild import Graph, Quant
from ops.recurrent import GATES, Layer, symmetric

BASIC_FORM = 1


def gate_operands(layer, features, units, outputs, cifg=False, peephole=False):
    """Weights of the input, of the previous output, peepholes and biases, four of each (peepholes: three)."""
    used = [gate for gate in GATES if not (cifg and gate == "input")]
    pick = lambda made: [made.get(gate) for gate in GATES]
    operands = pick({gate: layer.matrix(f"x.{gate}", units, features) for gate in used})
    operands += pick({gate: layer.matrix(f"h.{gate}", units, outputs) for gate in used})
    peeped = [gate for gate in used if gate != "cell"] if peephole else []
    peep = {gate: layer.vector(f"c.{gate}", None, -0.4, 0.4, narrow="peephole") for gate in peeped}
    operands += [peep.get("input"), peep.get("forget"), peep.get("output")]
    in_scale = 8 / 256 if layer.kind == "integer" else 1.0
    bias = lambda gate: layer.vector(f"b.{gate}", in_scale * layer.scales.get(f"x.{gate}", 1.0))
    return operands + pick({gate: bias(gate) for gate in used})


def projection_operands(layer, units, outputs, used):
    return [layer.matrix("p", outputs, units) if used else None, None]


def lstm_step(kind, features=5, units=4, batch=2, cifg=False, peephole=False, projection=None, runs=3):
    """The full form of LSTM: one step a run."""

    def build(case):
        outputs = projection or units
        layer = Layer(case, kind, features, units, outputs)
        graph, integer = case.graph, kind == "integer"
        dtype = "INT8" if integer else "FLOAT32"
        in_quant, out_quant = (Quant(np.float32(8 / 256), 3), Quant(np.float32(2 / 256), -5)) if integer else (None, None)
        x = graph.input(dtype, (batch, features), in_quant)
        operands = [x, *gate_operands(layer, features, units, outputs, cifg, peephole)]
        operands += projection_operands(layer, units, outputs, projection)
        operands.append(graph.tensor(dtype, (batch, outputs), out_quant, variable=True))
        cell_quant = Quant(np.float32(2.0**-11), 0) if integer else None
        operands.append(graph.tensor("INT16" if integer else "FLOAT32", (batch, units), cell_quant, variable=True))
        intermediates = []
        if integer:
            intermediates = [graph.tensor("INT16", (), Quant(np.float32(2.0**-12), 0), name=f"gate{i}") for i in range(4)]
            hidden = Quant(np.float32(1.6 / 256), 2) if projection else out_quant
            intermediates.append(graph.tensor("INT8", (), hidden, name="hidden"))
        y = graph.output(dtype, out_quant, shape=(batch, outputs))
        graph.op("LSTM", operands, [y], intermediates, fusedActivationFunction=ACTIVATIONS["tanh"])
        case.tolerance = EXACT if integer else HYBRID if kind.startswith("hybrid") else FLOAT
        for _ in range(runs):
            case.feed(case.values(dtype, (batch, features), in_quant, *((None, None) if integer else (-2.0, 2.0))))

    flags = [name for name, on in (("cifg", cifg), ("peephole", peephole)) if on]
    add("LSTM", label("full", kind, f"b{batch}", f"p{projection}" if projection else "", *flags), build)


for kind in ("float", "hybrid", "integer"):
    lstm_step(kind)
    lstm_step(kind, batch=1, cifg=True, peephole=True)
    lstm_step(kind, projection=3)
    lstm_step(kind, projection=3, peephole=True)


def lstm_narrow(features=6, units=8, outputs=5, batch=2, projection_clip=0.0, cell_clip=0.0, runs=4):
    """The full form of LSTM in integers with twelve intermediate values: matrix products are rounded to 8 bits."""

    def build(case):
        layer = Layer(case, "integer", features, units, outputs)
        graph = case.graph
        in_quant, out_quant = Quant(np.float32(8 / 256), 3), Quant(np.float32(2 / 256), -5)
        x = graph.input("INT8", (batch, features), in_quant)
        operands = [x, *gate_operands(layer, features, units, outputs, cifg=True)]
        norms = {gate: layer.vector(f"n.{gate}", None, 0.5, 1.5, narrow="norm") for gate in GATES[1:]}
        for at, gate in enumerate(GATES[1:], start=13):
            operands[at] = layer.vector(f"b.{gate}", layer.scales[f"n.{gate}"] * 2.0**-10)
        projection = layer.matrix("p", outputs, units)
        bias = layer.vector("pb", layer.scales["p"] * 2.0**-15, -0.1, 0.1, raw=outputs)
        operands += [projection, bias, graph.tensor("INT8", (batch, outputs), out_quant, variable=True)]
        operands.append(graph.tensor("INT16", (batch, units), Quant(np.float32(2.0**-15), 0), variable=True))
        operands += [None, *(norms[gate] for gate in GATES[1:])]
        gates = [("INT16", Quant(np.float32(4 / 32768), 0)), ("INT8", Quant(np.float32(6 / 256), 4)), ("INT8", Quant(np.float32(5 / 256), -3))]
        intermediates = [graph.tensor(dtype, (), quant, name=f"i{i}") for i, (dtype, quant) in enumerate(gates * 4)]
        y = graph.output("INT8", out_quant, shape=(batch, outputs))
        graph.op("LSTM", operands, [y], intermediates, fusedActivationFunction=ACTIVATIONS["tanh"], cellClip=cell_clip,
                 projClip=projection_clip)
        case.tolerance = EXACT
        for _ in range(runs):
            case.feed(case.values("INT8", (batch, features), in_quant))

    flags = [name for name, on in (("clip", cell_clip), ("proj_clip", projection_clip)) if on]
    add("LSTM", label("narrow", f"f{features}_u{units}_p{outputs}_b{batch}", *flags), build)


lstm_narrow()
lstm_narrow(features=20, units=17, outputs=9, batch=1)
lstm_narrow(cell_clip=0.5, projection_clip=0.4)


def lstm_basic(kind, features=3, units=4, batch=2, runs=3):
    """The basic form of LSTM; the quantized one keeps its state in int16."""

    def build(case):
        graph, quantized = case.graph, kind == "u8"
        rows, columns = 4 * units, features + units
        values = case.rng.normal(0, 0.8 / np.sqrt(columns), (rows, columns)).astype(np.float32)
        bias = np.round(case.rng.uniform(-0.5, 0.5, rows) * 128) / 128
        if quantized:
            activation, state = Quant(np.float32(1 / 128), 128), Quant(np.float32(2.0**-11), 0)
            weight_scale = np.float32(np.abs(values).max() / 120)
            weights = graph.const("UINT8", np.clip(np.round(values / weight_scale) + 125, 0, 255), Quant(weight_scale, 125))
            bias_scale = weight_scale / np.float32(128)
            biases = graph.const("INT32", np.round(bias / bias_scale), Quant(bias_scale, 0))
            kinds = ("UINT8", "INT16")
        else:
            activation = state = None
            weights, biases = graph.const("FLOAT32", np.round(values * 128) / 128), graph.const("FLOAT32", bias)
            kinds = ("FLOAT32", "FLOAT32")
        x = graph.input(kinds[0], (batch, features), activation)
        previous = graph.tensor(kinds[0], (batch, units), activation, variable=True)
        cell = graph.tensor(kinds[1], (batch, units), state, variable=True)
        y = graph.output(kinds[0], activation, shape=(batch, units))
        new_state = graph.output(kinds[1], state, shape=(batch, units))
        temporaries = [graph.tensor(kinds[0], (batch, columns), activation), graph.tensor(kinds[1], (batch, rows), state)]
        graph.op("LSTM", [x, previous, weights, biases, cell], [y, new_state, *temporaries], kernelType=BASIC_FORM,
                 fusedActivationFunction=ACTIVATIONS["tanh"])
        for _ in range(runs):
            case.feed(case.values(kinds[0], (batch, features), activation, *((None, None) if quantized else (-2.0, 2.0))))

    add("LSTM", label("basic", kind, f"f{features}_u{units}_b{batch}"), build)


for kind in ("float", "u8"):
    lstm_basic(kind)
    lstm_basic(kind, features=20, units=17, batch=1)


def both_directions(kind, steps=4, batch=2, features=3, units=(4, 4), merge=True, time_major=True, aux=None, peephole=False,
                    projection=False, asymmetric=False):
    """BIDIRECTIONAL_SEQUENCE_LSTM; `aux` is None, "stacked" (a second input of both) or "crossed" (the backward one's)."""

    def build(case):
        graph = case.graph
        outputs = tuple(n - 1 for n in units) if projection else units
        shape = (steps, batch, features) if time_major else (batch, steps, features)
        x = graph.input("FLOAT32", shape)
        operands, states = [x], []
        for n, m in zip(units, outputs):
            layer = Layer(case, kind, features, n, m)
            operands += gate_operands(layer, features, n, m, peephole=peephole) + projection_operands(layer, n, m, projection)
            states += [graph.tensor("FLOAT32", (batch, m), variable=True), graph.tensor("FLOAT32", (batch, n), variable=True)]
        operands += states
        if aux:
            operands.append(graph.input("FLOAT32", shape))
            layers = [Layer(case, kind, features, n, n) for n in units]
            weights = [layer.matrix(f"a.{gate}", layer.units, features) for layer in layers for gate in GATES]
            operands += weights if aux == "stacked" else [None] * 8
        else:
            operands += [None] * 9
        widths = [sum(outputs)] if merge else outputs
        ys = [graph.output("FLOAT32", shape=(*shape[:2], width)) for width in widths]
        graph.op("BIDIRECTIONAL_SEQUENCE_LSTM", operands, ys, fusedActivationFunction=ACTIVATIONS["tanh"], timeMajor=time_major,
                 mergeOutputs=merge, asymmetricQuantizeInputs=asymmetric)
        case.tolerance = HYBRID if kind.startswith("hybrid") else FLOAT
        for _ in range(2):
            case.feed(*(case.values("FLOAT32", shape, None, -2.0, 2.0) for _ in graph.inputs))

    flags = [name for name, on in (("apart", not merge), ("batch_major", not time_major), (aux, aux), ("peephole", peephole),
                                   ("projection", projection), ("asym", asymmetric)) if on]
    add("BIDIRECTIONAL_SEQUENCE_LSTM", label(kind, f"b{batch}", *flags), build)


for kind in ("float", "hybrid"):
    both_directions(kind)
    both_directions(kind, merge=False)
    both_directions(kind, merge=False, time_major=False, peephole=True)
    both_directions(kind, batch=1, time_major=False)
    both_directions(kind, aux="stacked", merge=False)
    both_directions(kind, aux="crossed", merge=False)
    both_directions(kind, projection=True)
both_directions("hybrid", asymmetric=True)


def rnn_operands(case, kind, features, units, batch):
    """Weights of the input and of the previous output, bias, state."""
    layer = Layer(case, kind, features, units, units)
    operands = [layer.matrix("x", units, features), layer.matrix("h", units, units), layer.vector("b", 1.0)]
    return operands + [case.graph.tensor("FLOAT32", (batch, units), variable=True)]


def rnn(op, kind, features=5, units=6, steps=4, batch=2, time_major=False, activation="tanh", asymmetric=False):
    """RNN (one step a run) and UNIDIRECTIONAL_SEQUENCE_RNN."""

    def build(case):
        options = {} if op == "RNN" else {"timeMajor": time_major}
        middle = (steps, batch) if time_major else (batch, steps)
        shape = (batch, features) if op == "RNN" else (*middle, features)
        x = case.graph.input("FLOAT32", shape)
        y = case.graph.output("FLOAT32", shape=(*shape[:-1], units))
        case.graph.op(op, [x, *rnn_operands(case, kind, features, units, batch)], [y], asymmetricQuantizeInputs=asymmetric,
                      fusedActivationFunction=ACTIVATIONS[activation], **options)
        case.tolerance = HYBRID if kind.startswith("hybrid") else FLOAT
        for _ in range(3):
            case.feed(case.values("FLOAT32", shape, None, -2.0, 2.0))

    flags = [name for name, on in (("time_major", time_major), ("asym", asymmetric)) if on]
    add(op, label(kind, f"b{batch}", activation, *flags), build)


for kind in ("float", "hybrid"):
    for activation in ("tanh", "relu", "relu6", "relu_n1", "none"):
        rnn("RNN", kind, activation=activation)
    rnn("UNIDIRECTIONAL_SEQUENCE_RNN", kind)
    rnn("UNIDIRECTIONAL_SEQUENCE_RNN", kind, time_major=True, activation="relu")
    rnn("UNIDIRECTIONAL_SEQUENCE_RNN", kind, batch=1, units=9)
rnn("RNN", "hybrid", asymmetric=True)
rnn("UNIDIRECTIONAL_SEQUENCE_RNN", "hybrid", asymmetric=True, time_major=True)


def rnn_both_directions(kind, steps=3, batch=2, features=4, units=(5, 6), merge=False, time_major=False, aux=None,
                        asymmetric=False):
    """BIDIRECTIONAL_SEQUENCE_RNN, as `both_directions`."""

    def build(case):
        graph = case.graph
        shape = (steps, batch, features) if time_major else (batch, steps, features)
        operands = [graph.input("FLOAT32", shape)]
        for n in units:
            operands += rnn_operands(case, kind, features, n, batch)
        operands.append(graph.input("FLOAT32", shape) if aux else None)
        operands += [Layer(case, kind, features, n, n).matrix("a", n, features) if aux == "stacked" else None for n in units]
        widths = [sum(units)] if merge else units
        ys = [graph.output("FLOAT32", shape=(*shape[:2], width)) for width in widths]
        graph.op("BIDIRECTIONAL_SEQUENCE_RNN", operands, ys, fusedActivationFunction=ACTIVATIONS["tanh"], timeMajor=time_major,
                 mergeOutputs=merge, asymmetricQuantizeInputs=asymmetric)
        case.tolerance = HYBRID if kind.startswith("hybrid") else FLOAT
        for _ in range(2):
            case.feed(*(case.values("FLOAT32", shape, None, -2.0, 2.0) for _ in graph.inputs))

    flags = [name for name, on in (("merged", merge), ("time_major", time_major), (aux, aux), ("asym", asymmetric)) if on]
    add("BIDIRECTIONAL_SEQUENCE_RNN", label(kind, f"b{batch}", *flags), build)


for kind in ("float", "hybrid"):
    rnn_both_directions(kind)
    rnn_both_directions(kind, merge=True)
    rnn_both_directions(kind, time_major=True)
    rnn_both_directions(kind, time_major=True, merge=True)
    rnn_both_directions(kind, aux="stacked")
    rnn_both_directions(kind, aux="crossed")
    rnn_both_directions(kind, aux="stacked", time_major=True)
rnn_both_directions("hybrid", asymmetric=True)

TENSOR_TYPES = {"INT64": 4, "STRING": 5}
WORDS = np.array([b"one", b"", b"three", b"one"], object)
NUMBERS = np.array([1, -2, 3, 1 << 40])


def table(op, key, value, turns=None):
    """A table filled in the main graph, then asked `turns` times: for values, or for its size."""

    def build(case):
        graph = case.graph
        keys, values = (NUMBERS, WORDS) if key == "INT64" else (WORDS, NUMBERS)
        handle = graph.tensor("RESOURCE", (1,))
        graph.op("HASHTABLE", [], [handle], tableId=7, keyDtype=TENSOR_TYPES[key], valueDtype=TENSOR_TYPES[value])
        graph.op("HASHTABLE_IMPORT", [handle, graph.const(key, keys), graph.const(value, values)], [])
        size = graph.output("INT64", shape=(1,))
        graph.op("HASHTABLE_SIZE", [handle], [size])
        asked = np.array([[keys[2], keys[0]], [keys[1], 99 if key == "INT64" else b"none"]], keys.dtype)
        default = np.array([-1]) if value == "INT64" else np.array([b"default"], object)
        found = graph.output(value, shape=(2, 2))
        graph.op("HASHTABLE_FIND", [handle, graph.input(key, (2, 2)), graph.const(value, default)], [found])
        for turn in range(turns or 2):
            case.feed(np.roll(asked, turn) if turns else asked)

    add(op, label(key, "to", value, f"turns{turns}" if turns else ""), build)


for op in ("HASHTABLE", "HASHTABLE_IMPORT", "HASHTABLE_FIND", "HASHTABLE_SIZE"):
    table(op, *(("INT64", "STRING") if op in ("HASHTABLE", "HASHTABLE_FIND") else ("STRING", "INT64")))
table("HASHTABLE_FIND", "STRING", "INT64")


def numbers(op, shape, seed, seed2, known=True):
    """Seeded random numbers over three runs, which go on where the last one ended."""

    def build(case):
        graph = case.graph
        dims = np.array(shape, np.int32)
        wanted = graph.const("INT32", dims) if known else graph.input("INT32", (len(shape),))
        graph.op(op, [wanted], [graph.output("FLOAT32", shape=shape)], seed=seed, seed2=seed2)
        for _ in range(3):
            case.feed(*([] if known else [dims]))

    add(op, label(shape, seed, seed2, "" if known else "asked"), build)


for op in ("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL"):
    numbers(op, (2, 6), 1234, 5678)
    numbers(op, (8,), 0, 1)
    numbers(op, (3, 4), -5, 1 << 40)
    numbers(op, (4,), 7, 0, known=False)


def classes(dtype, rows, options, samples, special=False):
    """Seeded classes drawn by their logits, over two runs."""

    def build(case):
        graph = case.graph
        logits = case.values("FLOAT32", (rows, options), None, -3.0, 3.0)
        if special:
            logits[:, 1], logits[:, -1] = -np.inf, np.nan
        y = graph.output(dtype, shape=(rows, samples))
        graph.op("MULTINOMIAL", [graph.input("FLOAT32", (rows, options)), graph.const("INT32", np.int32(samples))], [y], seed=42,
                 seed2=24)
        case.tolerance = EXACT
        for _ in range(2):
            case.feed(logits)

    add("MULTINOMIAL", label(dtype, (rows, options), samples, "special" if special else ""), build)


for dtype in ("INT32", "INT64"):
    classes(dtype, 2, 5, 11)
    classes(dtype, 1, 3, 1)
    classes(dtype, 3, 4, 6, special=True)


def branch(name, op, shape, *operands):
    """A subgraph of one float operator with two inputs."""
    graph = Graph(name)
    x, y = graph.input("FLOAT32", shape), graph.input("FLOAT32", shape)
    graph.op(op, [x, y], [graph.output("FLOAT32", shape=shape)])
    return graph


def composite(shape):
    """A composite without a kernel of its own: its decomposition runs."""

    def build(case):
        case.graphs.append(branch("decomposition", "ADD", shape))
        graph = case.graph
        x, y = graph.input("FLOAT32", shape), graph.input("FLOAT32", shape)
        graph.op("STABLEHLO_COMPOSITE", [x, y], [graph.output("FLOAT32", shape=shape)], name="test.sum",
                 decompositionSubgraphIndex=1, compositeAttributes=np.zeros(0, np.uint8))
        case.tolerance = EXACT

    add("STABLEHLO_COMPOSITE", label(shape), build)


composite((2, 3))


def choose(shape):
    """Three branches by an index that may be out of range."""

    def build(case):
        case.graphs += [branch(op.lower(), op, shape) for op in ("ADD", "SUB", "MUL")]
        graph = case.graph
        index = graph.input("INT32", ())
        x, y = graph.input("FLOAT32", shape), graph.input("FLOAT32", shape)
        graph.op("STABLEHLO_CASE", [index, x, y], [graph.output("FLOAT32", shape=shape)], branchSubgraphIndices=[1, 2, 3])
        case.tolerance = EXACT
        for at in (0, 1, 2, 3, -1):
            case.feed(np.int32(at), case.values("FLOAT32", shape), case.values("FLOAT32", shape))

    add("STABLEHLO_CASE", label(shape), build)


choose((2, 3))
