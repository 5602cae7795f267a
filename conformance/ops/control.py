"""Operators that reach beyond their graph: resource variables, and other subgraphs called once, conditionally or in a loop."""

import numpy as np

from cases import EXACT, FLOAT, add, label
from onebuild import Graph

VARIABLE_TYPES = ("FLOAT32", "INT32", "INT64", "INT8", "UINT8", "INT16", "BOOL")


def handle(graph, name):
    """A handle to the variable called `name`."""
    made = graph.tensor("RESOURCE", ())
    return graph.op("VAR_HANDLE", [], [made], container="", sharedName=name)


def initializer(case, name, dtype, values):
    """Adds a subgraph that assigns a constant to a variable, and to the main graph the operator that calls it once."""
    graph = Graph(f"init_{name}")
    graph.op("ASSIGN_VARIABLE", [handle(graph, name), graph.const(dtype, values)], [])
    case.graphs.append(graph)
    case.graph.op("CALL_ONCE", [], [], initSubgraphIndex=len(case.graphs) - 1)


def assign_then_read(op, dtype, shape):
    """A variable written with the input, then read."""

    def build(case):
        x = case.graph.input(dtype, shape)
        variable = handle(case.graph, "v")
        case.graph.op("ASSIGN_VARIABLE", [variable, x], [])
        case.graph.op("READ_VARIABLE", [variable], [case.graph.output(dtype, shape=shape)])

    add(op, label(dtype, shape, "assign_then_read"), build)


for dtype in VARIABLE_TYPES:
    for shape in [(2, 3), (), (1, 2, 1, 4)]:
        assign_then_read("ASSIGN_VARIABLE" if shape else "VAR_HANDLE", dtype, shape)


def constant_variable(dtype, shape):
    """A variable initialized once by a subgraph, read in the main graph, over three runs."""

    def build(case):
        initializer(case, "v", dtype, case.values(dtype, shape))
        x = case.graph.input(dtype, shape)
        read = case.graph.tensor(dtype, shape)
        case.graph.op("READ_VARIABLE", [handle(case.graph, "v")], [read])
        case.graph.op("MAXIMUM", [x, read], [case.graph.output(dtype, shape=shape)])
        for _ in range(3):
            case.feed(case.values(dtype, shape))

    add("CALL_ONCE", label(dtype, shape, "constant"), build)


for dtype in ("FLOAT32", "INT32", "INT64"):
    for shape in ((3, 2), (), (1, 4)):
        constant_variable(dtype, shape)


def accumulator(name, dtype, shape, handles):
    """State carried from run to run: v += x, with the new value as output; by one handle or two of the same name."""

    def build(case):
        initializer(case, "sum", dtype, case.values(dtype, shape))
        x = case.graph.input(dtype, shape)
        source = handle(case.graph, "sum")
        target = handle(case.graph, "sum") if handles == 2 else source
        old, new = case.graph.tensor(dtype, shape), case.graph.output(dtype, shape=shape)
        case.graph.op("READ_VARIABLE", [source], [old])
        case.graph.op("ADD", [old, x], [new])
        case.graph.op("ASSIGN_VARIABLE", [target, new], [])
        for _ in range(4):
            case.feed(case.values(dtype, shape))
        case.tolerance = FLOAT if dtype == "FLOAT32" else EXACT

    add("READ_VARIABLE", label(dtype, shape, name), build)


for dtype in ("FLOAT32", "INT32", "INT64"):
    accumulator("accumulates", dtype, (2, 3), 1)
    accumulator("accumulates_two_handles", dtype, (4,), 2)


def two_variables(case):
    """Two variables that swap their values in every run."""
    for name in "ab":
        initializer(case, name, "FLOAT32", case.values("FLOAT32", (3,)))
    a, b = handle(case.graph, "a"), handle(case.graph, "b")
    x, first, second = case.graph.input("FLOAT32", (3,)), case.graph.tensor("FLOAT32", (3,)), case.graph.tensor("FLOAT32", (3,))
    case.graph.op("READ_VARIABLE", [a], [first])
    case.graph.op("READ_VARIABLE", [b], [second])
    case.graph.op("ASSIGN_VARIABLE", [a, second], [])
    case.graph.op("ASSIGN_VARIABLE", [b, first], [])
    case.graph.op("SUB", [first, x], [case.graph.output("FLOAT32", shape=(3,))])
    for _ in range(3):
        case.feed(case.values("FLOAT32", (3,)))


add("READ_VARIABLE", "f32_two_variables_swap", two_variables)


def branch(name, code, dtype, shape):
    """A subgraph of two inputs and one output that applies one binary operator."""
    graph = Graph(name)
    x, y = graph.input(dtype, shape), graph.input(dtype, shape)
    graph.op(code, [x, y], [graph.output(dtype, shape=shape)])
    return graph


def conditional(dtype, shape, then, otherwise):
    """IF between two subgraphs, run with both conditions."""

    def build(case):
        case.graphs += [branch("then", then, dtype, shape), branch("else", otherwise, dtype, shape)]
        condition = case.graph.input("BOOL", ())
        x, y = case.graph.input(dtype, shape), case.graph.input(dtype, shape)
        case.graph.op("IF", [condition, x, y], [case.graph.output(dtype, shape=shape)], thenSubgraphIndex=1, elseSubgraphIndex=2)
        for flag in (True, False, True):
            case.feed(np.array(flag), case.values(dtype, shape), case.values(dtype, shape))

    add("IF", label(dtype, shape, then.lower(), otherwise.lower()), build)


conditional("FLOAT32", (2, 3), "ADD", "MUL")
conditional("INT32", (4,), "SUB", "MAXIMUM")
conditional("FLOAT32", (), "SUB", "DIV")
conditional("INT64", (2, 1, 2), "MUL", "MINIMUM")
conditional("FLOAT32", (0, 3), "ADD", "SUB")


def loop(dtype, shape, limit):
    """WHILE counter < limit: the value is multiplied by a loop-invariant factor and the counter goes up."""

    def build(case):
        cond, body = Graph("cond"), Graph("body")
        counters = []
        for graph in (cond, body):
            counters.append((graph.input("INT32", ()), graph.input(dtype, shape), graph.input(dtype, shape)))
        cond.op("LESS", [counters[0][0], cond.const("INT32", limit)], [cond.output("BOOL", shape=())])
        i, x, factor = counters[1]
        body.op("ADD", [i, body.const("INT32", 1)], [body.output("INT32", shape=())])
        body.op("MUL", [x, factor], [body.output(dtype, shape=shape)])
        body.outputs.append(factor)
        case.graphs += [cond, body]
        operands = [case.graph.input("INT32", ()), case.graph.input(dtype, shape), case.graph.input(dtype, shape)]
        made = [case.graph.output("INT32", shape=()), case.graph.output(dtype, shape=shape), case.graph.output(dtype, shape=shape)]
        case.graph.op("WHILE", operands, made, condSubgraphIndex=1, bodySubgraphIndex=2)
        for start in (0, limit - 1, limit + 1):
            case.feed(np.array(start, np.int32), case.values(dtype, shape), case.values(dtype, shape, low=1, high=2))
        case.tolerance = FLOAT if dtype == "FLOAT32" else EXACT

    add("WHILE", label(dtype, shape, f"limit{limit}"), build)


loop("FLOAT32", (2, 3), 5)
loop("INT32", (3,), 4)
loop("FLOAT32", (), 7)


def growing_loop(case):
    """A loop whose tensor grows by a row in every turn."""
    cond, body = Graph("cond"), Graph("body")
    i, _ = cond.input("INT32", ()), cond.input("FLOAT32", (1, 2), dynamic=True)
    cond.op("LESS", [i, cond.const("INT32", 3)], [cond.output("BOOL", shape=())])
    i, x = body.input("INT32", ()), body.input("FLOAT32", (1, 2), dynamic=True)
    body.op("ADD", [i, body.const("INT32", 1)], [body.output("INT32", shape=())])
    row = body.const("FLOAT32", [[0.5, -2.0]])
    body.op("CONCATENATION", [x, row], [body.output("FLOAT32", shape=(1, 2), dynamic=True)], axis=0)
    case.graphs += [cond, body]
    operands = [case.graph.input("INT32", ()), case.graph.input("FLOAT32", (1, 2))]
    made = [case.graph.output("INT32", shape=()), case.graph.output("FLOAT32", shape=(1, 2), dynamic=True)]
    case.graph.op("WHILE", operands, made, condSubgraphIndex=1, bodySubgraphIndex=2)
    case.feed(np.array(0, np.int32), case.values("FLOAT32", (1, 2)))
    case.tolerance = EXACT


add("WHILE", "f32_grows", growing_loop)


def body_graph(case, name, dtypes, shape, code, options=None):
    """Adds a subgraph that applies `code` to its first two inputs and hands the others on; returns its index."""
    graph = Graph(name)
    values = [graph.input(d, shape) for d in dtypes]
    graph.op(code, values[:2], [graph.output(dtypes[0], shape=shape)], **(options or {}))
    graph.outputs += values[2:]
    case.graphs.append(graph)
    return len(case.graphs) - 1


def nested_conditional(case):
    """An IF in a branch of an IF, by two conditions."""
    shape = (2, 2)
    adds, multiplies, subtracts = (body_graph(case, n, ["FLOAT32"] * 2, shape, n.upper()) for n in ("add", "mul", "sub"))
    outer = Graph("outer")
    second, x, y = outer.input("BOOL", ()), outer.input("FLOAT32", shape), outer.input("FLOAT32", shape)
    outer.op("IF", [second, x, y], [outer.output("FLOAT32", shape=shape)], thenSubgraphIndex=adds, elseSubgraphIndex=multiplies)
    case.graphs.append(outer)
    plain = Graph("plain")
    _, x, y = plain.input("BOOL", ()), plain.input("FLOAT32", shape), plain.input("FLOAT32", shape)
    plain.op("SUB", [x, y], [plain.output("FLOAT32", shape=shape)])
    case.graphs.append(plain)
    graph = case.graph
    operands = [graph.input("BOOL", ()), graph.input("BOOL", ()), graph.input("FLOAT32", shape), graph.input("FLOAT32", shape)]
    graph.op("IF", operands, [graph.output("FLOAT32", shape=shape)], thenSubgraphIndex=len(case.graphs) - 2, elseSubgraphIndex=len(case.graphs) - 1)
    for first, second in ((True, True), (True, False), (False, True), (True, True)):
        case.feed(np.array(first), np.array(second), case.values("FLOAT32", shape), case.values("FLOAT32", shape))
    case.tolerance = EXACT


add("IF", "f32_nested", nested_conditional)


def different_shapes(case):
    """Branches whose results differ in shape, and an operator behind them."""
    branches = []
    for rows in (2, 3):
        graph = Graph(f"rows{rows}")
        x = graph.input("FLOAT32", (1, 2))
        graph.op("TILE", [x, graph.const("INT32", [rows, 1])], [graph.output("FLOAT32", shape=(rows, 2))])
        branches.append(graph)
    case.graphs += branches
    condition, x = case.graph.input("BOOL", ()), case.graph.input("FLOAT32", (1, 2))
    tiled = case.graph.op("IF", [condition, x], [case.graph.tensor("FLOAT32", (1, 2), dynamic=True)], thenSubgraphIndex=1, elseSubgraphIndex=2)
    case.graph.op("ADD", [tiled, tiled], [case.graph.output("FLOAT32", shape=(1, 2), dynamic=True)])
    case.feed(np.array(False), case.values("FLOAT32", (1, 2)))
    case.tolerance = EXACT


add("IF", "f32_branches_of_different_shapes", different_shapes)


def strings_through(op, flag=None):
    """Strings handed through a branch or a loop."""

    def build(case):
        graph = case.graph
        if op == "IF":
            for name in ("first", "second"):
                branch_graph = Graph(name)
                tensors = [branch_graph.input("STRING", (2,)) for _ in range(2)]
                branch_graph.outputs.append(tensors[name == "second"])
                case.graphs.append(branch_graph)
            operands = [graph.input("BOOL", ()), graph.input("STRING", (2,)), graph.input("STRING", (2,))]
            graph.op("IF", operands, [graph.output("STRING", shape=(2,), dynamic=True)], thenSubgraphIndex=1, elseSubgraphIndex=2)
            case.feed(np.array(flag), case.values("STRING", (2,)), case.values("STRING", (2,)))
            return
        cond, body = Graph("cond"), Graph("body")
        i, _ = cond.input("INT32", ()), cond.input("STRING", (2,), dynamic=True)
        cond.op("LESS", [i, cond.const("INT32", 3)], [cond.output("BOOL", shape=())])
        i, words = body.input("INT32", ()), body.input("STRING", (2,), dynamic=True)
        body.op("ADD", [i, body.const("INT32", 1)], [body.output("INT32", shape=())])
        body.outputs.append(words)
        case.graphs += [cond, body]
        operands = [graph.input("INT32", ()), graph.input("STRING", (2,))]
        outputs = [graph.output("INT32", shape=()), graph.output("STRING", shape=(2,), dynamic=True)]
        graph.op("WHILE", operands, outputs, condSubgraphIndex=1, bodySubgraphIndex=2)
        case.feed(np.array(0, np.int32), case.values("STRING", (2,)))
        case.expected = lambda i, words: [np.array(3, np.int32), words]  # LiteRT calls the tensor's size invalid

    add(op, label("STRING", "handed_through", None if flag is None else str(flag).lower()), build)


strings_through("IF", True)
strings_through("IF", False)
strings_through("WHILE")


def fibonacci(dtype, turns):
    """A loop that swaps places: (i, a, b) becomes (i + 1, b, a + b)."""

    def build(case):
        cond, body = Graph("cond"), Graph("body")
        i, _, _ = cond.input("INT32", ()), cond.input(dtype, (2,)), cond.input(dtype, (2,))
        cond.op("LESS", [i, cond.const("INT32", turns)], [cond.output("BOOL", shape=())])
        i, a, b = body.input("INT32", ()), body.input(dtype, (2,)), body.input(dtype, (2,))
        body.op("ADD", [i, body.const("INT32", 1)], [body.output("INT32", shape=())])
        body.outputs.append(b)
        body.op("ADD", [a, b], [body.output(dtype, shape=(2,))])
        case.graphs += [cond, body]
        graph = case.graph
        operands = [graph.input("INT32", ()), graph.input(dtype, (2,)), graph.input(dtype, (2,))]
        outputs = [graph.output("INT32", shape=()), graph.output(dtype, shape=(2,)), graph.output(dtype, shape=(2,))]
        graph.op("WHILE", operands, outputs, condSubgraphIndex=1, bodySubgraphIndex=2)
        for start in (0, turns, 1):
            case.feed(np.array(start, np.int32), case.values(dtype, (2,)), case.values(dtype, (2,)))
        case.tolerance = EXACT

    add("WHILE", label(dtype, "swaps", turns), build)


for dtype in ("FLOAT32", "INT32", "INT64"):
    fibonacci(dtype, 6)


def loop_in_loop(case):
    """A loop whose body runs a loop: x grows by 1 three times in each of two turns."""

    def counting(name, limit):
        cond = Graph(f"{name}_cond")
        i, _ = cond.input("INT32", ()), cond.input("INT32", (2,))
        cond.op("LESS", [i, cond.const("INT32", limit)], [cond.output("BOOL", shape=())])
        body = Graph(f"{name}_body")
        i, x = body.input("INT32", ()), body.input("INT32", (2,))
        body.op("ADD", [i, body.const("INT32", 1)], [body.output("INT32", shape=())])
        case.graphs += [cond, body]
        return body, x

    outer, x = counting("outer", 2)
    inner, y = counting("inner", 3)
    inner.op("ADD", [y, inner.const("INT32", [1, 10])], [inner.output("INT32", shape=(2,))])
    count, grown = outer.tensor("INT32", ()), outer.output("INT32", shape=(2,))
    outer.op("WHILE", [outer.const("INT32", 0), x], [count, grown], condSubgraphIndex=3, bodySubgraphIndex=4)
    graph = case.graph
    outputs = [graph.output("INT32", shape=()), graph.output("INT32", shape=(2,))]
    graph.op("WHILE", [graph.input("INT32", ()), graph.input("INT32", (2,))], outputs, condSubgraphIndex=1, bodySubgraphIndex=2)
    for start in (0, 1):
        case.feed(np.array(start, np.int32), case.values("INT32", (2,)))
    case.tolerance = EXACT


add("WHILE", "i32_loop_in_loop", loop_in_loop)


def variable_in_loop(case):
    """A resource handle carried through a loop whose body adds to the variable."""
    initializer(case, "sum", "FLOAT32", case.values("FLOAT32", (2,)))
    cond, body = Graph("cond"), Graph("body")
    i, _ = cond.input("INT32", ()), cond.input("RESOURCE", ())
    cond.op("LESS", [i, cond.const("INT32", 4)], [cond.output("BOOL", shape=())])
    i, variable = body.input("INT32", ()), body.input("RESOURCE", ())
    old, new = body.tensor("FLOAT32", (2,)), body.tensor("FLOAT32", (2,))
    body.op("READ_VARIABLE", [variable], [old])
    body.op("ADD", [old, body.const("FLOAT32", [0.5, -1.0])], [new])
    body.op("ASSIGN_VARIABLE", [variable, new], [])
    body.op("ADD", [i, body.const("INT32", 1)], [body.output("INT32", shape=())])
    body.outputs.append(variable)
    case.graphs += [cond, body]
    graph = case.graph
    start, variable = graph.input("INT32", ()), handle(graph, "sum")
    outputs = [graph.output("INT32", shape=()), graph.tensor("RESOURCE", ())]
    graph.op("WHILE", [start, variable], outputs, condSubgraphIndex=len(case.graphs) - 2, bodySubgraphIndex=len(case.graphs) - 1)
    graph.op("READ_VARIABLE", [outputs[1]], [graph.output("FLOAT32", shape=(2,))])
    for start in (0, 3, 9):
        case.feed(np.array(start, np.int32))
    case.tolerance = EXACT


add("WHILE", "f32_variable", variable_in_loop)


def case_of_cases(case):
    """STABLEHLO_CASE whose last branch chooses once more."""
    shape = (3,)
    adds, multiplies = (body_graph(case, n, ["FLOAT32"] * 2, shape, n.upper()) for n in ("add", "mul"))
    inner = Graph("inner")
    x, y = inner.input("FLOAT32", shape), inner.input("FLOAT32", shape)
    inner.op("STABLEHLO_CASE", [inner.const("INT32", 1), x, y], [inner.output("FLOAT32", shape=shape)], branchSubgraphIndices=[adds, multiplies])
    case.graphs.append(inner)
    graph = case.graph
    operands = [graph.input("INT32", ()), graph.input("FLOAT32", shape), graph.input("FLOAT32", shape)]
    graph.op("STABLEHLO_CASE", operands, [graph.output("FLOAT32", shape=shape)], branchSubgraphIndices=[adds, len(case.graphs) - 1])
    for index in (0, 1, 5, -1):
        case.feed(np.array(index, np.int32), case.values("FLOAT32", shape), case.values("FLOAT32", shape))
    case.tolerance = EXACT
    case.expected = lambda index, x, y: [x + y if index == 0 else x * y]  # LiteRT dies of it


add("STABLEHLO_CASE", "f32_nested", case_of_cases)


def choose_one(dtype, count):
    """STABLEHLO_CASE among `count` branches, also by indices out of range."""

    def build(case):
        codes = ("ADD", "SUB", "MAXIMUM", "MINIMUM")[:count]
        branches = [body_graph(case, code.lower(), [dtype] * 2, (2,), code) for code in codes]
        graph = case.graph
        operands = [graph.input("INT32", ()), graph.input(dtype, (2,)), graph.input(dtype, (2,))]
        graph.op("STABLEHLO_CASE", operands, [graph.output(dtype, shape=(2,))], branchSubgraphIndices=branches)
        for index in (0, count - 1, count, -7):
            case.feed(np.array(index, np.int32), case.values(dtype, (2,)), case.values(dtype, (2,)))
        case.tolerance = EXACT

    add("STABLEHLO_CASE", label(dtype, "of", count), build)


for dtype in ("FLOAT32", "INT32", "INT64"):
    for count in (1, 2, 4):
        choose_one(dtype, count)


def composites(name, code, dtype, count, numpy):
    """The same decomposition `count` times in a row, within another one; CALL works alike, but LiteRT does not know it."""

    def build(case):
        field = "decompositionSubgraphIndex" if code == "STABLEHLO_COMPOSITE" else "subgraph"
        more = {"name": "test.part", "compositeAttributes": np.zeros(0, np.uint8)} if code == "STABLEHLO_COMPOSITE" else {}
        part = body_graph(case, "part", [dtype] * 2, (2, 3), "ADD")
        outer = Graph("outer")
        x, y = outer.input(dtype, (2, 3)), outer.input(dtype, (2, 3))
        for i in range(count):
            made = outer.output(dtype, shape=(2, 3)) if i == count - 1 else outer.tensor(dtype, (2, 3))
            x = outer.op(code, [x, y], [made], **{field: part}, **more)
        case.graphs.append(outer)
        operands = [case.graph.input(dtype, (2, 3)) for _ in range(2)]
        middle = case.graph.op(code, operands, [case.graph.tensor(dtype, (2, 3))], **{field: len(case.graphs) - 1}, **more)
        case.graph.op("SUB", [middle, operands[1]], [case.graph.output(dtype, shape=(2, 3))])
        for _ in range(2):
            case.feed(case.values(dtype, (2, 3)), case.values(dtype, (2, 3)))
        case.tolerance = EXACT
        if numpy:
            case.expected = lambda x, y: [x + y * (count - 1)]

    add(code, label(dtype, name, count), build)


for dtype in ("FLOAT32", "INT32", "INT64"):
    for count in (1, 2, 4):
        composites("nested", "STABLEHLO_COMPOSITE", dtype, count, False)
        composites("nested", "CALL", dtype, count, True)


def handed_on(code):
    """A subgraph that hands its input on, so that the call stays a call."""

    def build(case):
        graph = Graph("part")
        x, y = graph.input("FLOAT32", (2,)), graph.input("FLOAT32", (2,))
        graph.outputs.append(y)
        graph.op("ADD", [x, y], [graph.output("FLOAT32", shape=(2,))])
        case.graphs.append(graph)
        operands = [case.graph.input("FLOAT32", (2,)) for _ in range(2)]
        outputs = [case.graph.output("FLOAT32", shape=(2,)) for _ in range(2)]
        more = {"subgraph": 1}
        if code == "STABLEHLO_COMPOSITE":
            more = {"decompositionSubgraphIndex": 1, "name": "test.part", "compositeAttributes": np.zeros(0, np.uint8)}
        case.graph.op(code, operands, outputs, **more)
        case.tolerance = EXACT
        if code == "CALL":
            case.expected = lambda x, y: [y, x + y]

    add(code, "f32_hands_on", build)


handed_on("STABLEHLO_COMPOSITE")
handed_on("CALL")


def stablehlo_loop(dtype, shape, limit):
    """STABLEHLO_WHILE: value times a factor, until the counter reaches the limit."""

    def build(case):
        cond, body = Graph("cond"), Graph("body")
        counters = [(g.input("INT32", ()), g.input(dtype, shape), g.input(dtype, shape)) for g in (cond, body)]
        cond.op("STABLEHLO_COMPARE", [counters[0][0], cond.const("INT32", limit)], [cond.output("BOOL", shape=())], comparisonDirection=5)
        i, x, factor = counters[1]
        body.op("STABLEHLO_ADD", [i, body.const("INT32", 1)], [body.output("INT32", shape=())])
        body.op("STABLEHLO_MULTIPLY", [x, factor], [body.output(dtype, shape=shape)])
        body.outputs.append(factor)
        case.graphs += [cond, body]
        graph = case.graph
        operands = [graph.input("INT32", ()), graph.input(dtype, shape), graph.input(dtype, shape)]
        outputs = [graph.output("INT32", shape=()), graph.output(dtype, shape=shape), graph.output(dtype, shape=shape)]
        graph.op("STABLEHLO_WHILE", operands, outputs, condSubgraphIndex=1, bodySubgraphIndex=2)
        for start in (0, limit - 1, limit + 1):
            case.feed(np.array(start, np.int32), case.values(dtype, shape, low=-2, high=2), case.values(dtype, shape, low=1, high=2))

        def expected(start, x, factor):
            for _ in range(int(start), limit):
                x = (x * factor).astype(x.dtype)
            return [np.array(max(int(start), limit), np.int32), x, factor]

        case.expected = expected

    add("STABLEHLO_WHILE", label(dtype, shape, f"limit{limit}"), build)


for dtype in ("FLOAT32", "INT32", "FLOAT64"):
    for shape, limit in [((2, 3), 3), ((), 5), ((4,), 1)]:
        stablehlo_loop(dtype, shape, limit)
