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
    constant_variable(dtype, (3, 2))


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
