"""Lists of tensors. A list is no input or output of a model, so that every case makes one, changes it and looks into it."""

import numpy as np

from cases import EXACT, add, label
from onebuild import Graph

CODE = {"FLOAT32": 0, "INT32": 2, "INT64": 4, "BOOL": 6}


class Builder:
    """The operators of a case, and the list that each makes as Python has it."""

    def __init__(self, case, dtype, element):
        self.case, self.graph, self.dtype, self.element = case, case.graph, dtype, element

    def variant(self):
        return self.graph.tensor("VARIANT", (), name=f"list{len(self.graph.tensors)}")

    def number(self, value):
        return self.graph.const("INT32", value)

    def shape(self):
        return self.graph.const("INT32", self.element)

    def reserve(self, count, shape=None):
        made = self.variant()
        shape = self.shape() if shape is None else self.graph.const("INT32", shape)
        self.graph.op("TensorListReserve", [shape, self.number(count)], [made], raw=bytes([CODE[self.dtype]]))
        return made

    def from_tensor(self, tensor):
        made = self.variant()
        self.graph.op("TensorListFromTensor", [tensor, self.shape()], [made])
        return made

    def set(self, list_, at, item):
        made = self.variant()
        self.graph.op("TensorListSetItem", [list_, self.number(at), item], [made])
        return made

    def push(self, list_, item):
        made = self.variant()
        self.graph.op("TensorListPushBack", [list_, item], [made])
        return made

    def pop(self, list_, out):
        made = self.variant()
        self.graph.op("TensorListPopBack", [list_, self.shape()], [made, out])
        return made

    def open(self, shape=(1,)):
        return self.graph.output(self.dtype, shape=shape, dynamic=True)

    def stack(self, list_):
        out = self.open((1,) * (len(self.element) + 1))
        self.graph.op("TensorListStack", [list_, self.shape()], [out])

    def get(self, list_, at):
        out = self.open((1,) * len(self.element))
        self.graph.op("TensorListGetItem", [list_, self.number(at), self.shape()], [out])

    def length(self, list_):
        self.graph.op("TensorListLength", [list_], [self.graph.output("INT32", shape=())])

    def element_shape(self, list_):
        out = self.graph.output("INT32", shape=(1,), dynamic=True)
        self.graph.op("TensorListElementShape", [list_], [out])


def listed(op, name, dtype, element, build):
    """`build(builder, feed)` makes the case; `feed(shape)` makes an input with its values."""

    def whole(case):
        arrays = []

        def feed(shape):
            arrays.append(case.values(dtype, shape))
            return case.graph.input(dtype, shape), arrays[-1]

        answers = build(Builder(case, dtype, element), feed)
        case.feed(*arrays)
        case.expect("numpy", *answers)
        case.tolerance = EXACT

    add(op, label(dtype, name), whole)


def set_and_stack(builder, feed):
    a, first = feed(builder.element)
    b, second = feed(builder.element)
    list_ = builder.set(builder.set(builder.reserve(3), 2, a), 0, b)
    builder.stack(list_)
    return [np.stack([second, np.zeros_like(first), first])]


def grow_and_stack(builder, feed):
    a, first = feed(builder.element)
    builder.stack(builder.set(builder.reserve(0), 1, a))
    return [np.stack([np.zeros_like(first), first])]


def from_and_back(builder, feed):
    x, rows = feed((3, *builder.element))
    builder.stack(builder.from_tensor(x))
    return [rows]


def get_each(builder, feed):
    x, rows = feed((3, *builder.element))
    list_ = builder.from_tensor(x)
    for at in (2, 0):
        builder.get(list_, at)
    builder.get(builder.reserve(2), 1)
    return [rows[2], rows[0], np.zeros_like(rows[0])]


def push_and_pop(builder, feed):
    x, rows = feed((2, *builder.element))
    a, item = feed(builder.element)
    pushed = builder.push(builder.from_tensor(x), a)
    last, before = builder.open((1,) * len(builder.element)), builder.open((1,) * len(builder.element))
    rest = builder.pop(builder.pop(pushed, last), before)
    builder.stack(rest)
    builder.length(rest)
    return [item, rows[1], rows[:1], np.int32(1)]


def measure(builder, feed):
    x, _ = feed((4, *builder.element))
    list_ = builder.from_tensor(x)
    builder.length(list_)
    builder.element_shape(list_)
    builder.element_shape(builder.reserve(2, -1))
    return [np.int32(4), np.array(builder.element, np.int32), np.int32(-1)]


def sums(builder, feed):
    x, rows = feed((2, *builder.element))
    y, others = feed((2, *builder.element))
    a, item = feed(builder.element)
    sparse = builder.set(builder.reserve(2), 1, a)
    made = builder.variant()
    builder.graph.op("VariantAddN", [builder.from_tensor(x), builder.from_tensor(y), sparse], [made])
    builder.stack(made)
    return [rows + others + np.stack([np.zeros_like(item), item])]


def blank(builder, feed):
    x, rows = feed((3, *builder.element))
    made = builder.variant()
    builder.graph.op("VariantZerosLike", [builder.from_tensor(x)], [made])
    builder.stack(made)
    builder.length(made)
    return [np.zeros_like(rows), np.int32(3)]


PLANS = {
    "TensorListReserve": (set_and_stack, get_each), "TensorListSetItem": (set_and_stack, grow_and_stack), "TensorListStack": (from_and_back, grow_and_stack),
    "TensorListFromTensor": (from_and_back, measure), "TensorListGetItem": (get_each, set_and_stack), "TensorListLength": (measure, push_and_pop),
    "TensorListElementShape": (measure, get_each), "TensorListPopBack": (push_and_pop, from_and_back), "TensorListPushBack": (push_and_pop, measure),
    "VariantAddN": (sums, set_and_stack), "VariantZerosLike": (blank, from_and_back),
}  # fmt: skip
for op, plans in PLANS.items():
    for element in [(3,), (2, 4)]:
        for dtype in ("FLOAT32", "INT32") if op == "VariantAddN" else ("FLOAT32", "INT32", "INT64", "BOOL"):
            listed(op, label(plans[0].__name__, element), dtype, element, plans[0])
for dtype in ("FLOAT32", "INT32"):
    for element in [(5,), (1, 2, 3)]:
        listed("VariantAddN", label("wide", element), dtype, element, sums)


def loop(steps, width):
    """A list filled by a loop: each step sets an element to a multiple of the input."""

    def build(case):
        graph = case.graph
        x = graph.input("FLOAT32", (width,))
        builder = Builder(case, "FLOAT32", (width,))
        start = builder.reserve(steps)
        condition, body = Graph("condition"), Graph("body")
        for inner in (condition, body):
            inner.input("INT32", ())
            inner.input("VARIANT", ())
            inner.input("FLOAT32", (width,))
        index = condition.inputs[0]
        condition.op("LESS", [index, condition.const("INT32", steps)], [condition.output("BOOL", shape=())])
        index, list_, item = body.inputs
        following = body.output("INT32", shape=())
        body.op("ADD", [index, body.const("INT32", 1)], [following])
        filled = body.output("VARIANT", shape=())
        body.op("TensorListSetItem", [list_, index, item], [filled])
        doubled = body.output("FLOAT32", shape=(width,))
        body.op("ADD", [item, item], [doubled])
        case.graphs += [condition, body]
        outputs = [graph.tensor("INT32", ()), builder.variant(), graph.tensor("FLOAT32", (width,))]
        graph.op("WHILE", [graph.const("INT32", 0), start, x], outputs, condSubgraphIndex=1, bodySubgraphIndex=2)
        builder.stack(outputs[1])
        values = case.values("FLOAT32", (width,))
        case.feed(values)
        case.expect("numpy", np.stack([values * 2**step for step in range(steps)]))
        case.tolerance = EXACT

    add("TensorListSetItem", label("loop", f"steps{steps}", f"width{width}"), build)


loop(4, 3)
loop(20, 5)
