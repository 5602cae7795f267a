"""Layers with state: UNIDIRECTIONAL_SEQUENCE_LSTM and SVDF, in float, hybrid and integer arithmetic."""

import numpy as np

from cases import ACTIVATIONS, EXACT, FLOAT, HYBRID, add, label
from onebuild import Quant

GATES = ("input", "forget", "cell", "output")


def symmetric(values, dtype="INT8"):
    """The scale by which `dtype` just covers the values, and the values in it."""
    limit = {"INT8": 127, "INT16": 32767}[dtype]
    scale = np.float32(np.abs(values).max() / limit)
    return Quant(scale, 0), np.clip(np.round(values / scale), -limit, limit)


class Layer:
    """Builds the operands of one LSTM; `kind` is float, hybrid (with "_u8": the bytes in tensors of uint8) or integer."""

    def __init__(self, case, kind, features, units, outputs):
        self.case, self.kind, self.graph = case, kind, case.graph
        self.features, self.units, self.outputs = features, units, outputs
        self.scales = {}

    def matrix(self, name, rows, columns):
        values = self.case.rng.normal(0, 0.8 / np.sqrt(columns), (rows, columns)).astype(np.float32)
        if self.kind == "float":
            return self.graph.const("FLOAT32", np.round(values * 128) / 128)
        quant, integers = symmetric(values)
        self.scales[name] = float(quant.scale)
        return self.bytes(integers, quant)

    def bytes(self, integers, quant):
        if self.kind == "hybrid_u8":
            return self.graph.const("UINT8", integers.astype(np.int8).view(np.uint8), quant)
        return self.graph.const("INT8", integers, quant)

    def vector(self, name, scale, low=-0.5, high=0.5, narrow=None, raw=None):
        """A bias (int32 in `scale`), or, with `narrow`, a "peephole" or "norm" vector with its own scale."""
        values = self.case.rng.uniform(low, high, self.units if raw is None else raw).astype(np.float32)
        hybrid = self.kind.startswith("hybrid")
        if self.kind == "float" or (hybrid and narrow != "peephole"):
            return self.graph.const("FLOAT32", np.round(values * 128) / 128)
        if narrow:
            quant, integers = symmetric(values, "INT8" if hybrid else "INT16")
            self.scales[name] = float(quant.scale)
            return self.bytes(integers, quant) if hybrid else self.graph.const("INT16", integers, quant)
        return self.graph.const("INT32", np.round(values / scale), Quant(np.float32(scale), 0))


def lstm(kind, features=5, units=4, steps=6, batch=2, cifg=False, peephole=False, projection=None, normalize=False,
         time_major=False, cell_clip=0.0, projection_clip=0.0, projection_bias=False, asymmetric=False, runs=1, note=""):
    """One LSTM layer over a whole sequence, from a zero state; later runs continue from the state left behind."""

    def build(case):
        outputs = projection or units
        layer = Layer(case, kind, features, units, outputs)
        graph = case.graph
        integer = kind == "integer"
        shape = (steps, batch, features) if time_major else (batch, steps, features)
        in_quant = Quant(np.float32(8 / 256), 3) if integer else None
        out_quant = Quant(np.float32(2 / 256), -5) if integer else None
        cell_quant = Quant(np.float32(2.0**-11), 0) if integer else None
        dtype = "INT8" if integer else "FLOAT32"
        x = graph.input(dtype, shape, in_quant)
        used = [gate for gate in GATES if not (cifg and gate == "input")]
        pick = lambda made: [made.get(gate) for gate in GATES]
        from_input = pick({gate: layer.matrix(f"x.{gate}", units, features) for gate in used})
        from_hidden = pick({gate: layer.matrix(f"h.{gate}", units, outputs) for gate in used})
        peeped = [g for g in used if g != "cell"] if peephole else []
        peep = {gate: layer.vector(f"c.{gate}", None, -0.4, 0.4, narrow="peephole") for gate in peeped}
        norm = {gate: layer.vector(f"n.{gate}", None, 0.5, 1.5, narrow="norm") for gate in used} if normalize else {}
        in_scale = float(in_quant.scale) if integer else 1.0
        biases = {}
        for gate in used:
            scale = in_scale * layer.scales.get(f"x.{gate}", 1.0)
            if normalize and integer:
                scale = layer.scales[f"n.{gate}"] * 2.0**-10
            biases[gate] = layer.vector(f"b.{gate}", scale, low=0.2 if gate == "forget" else -0.5, high=0.8 if gate == "forget" else 0.5)
        hidden_scale = 1.6 / 256
        proj = layer.matrix("p", outputs, units) if projection else None
        proj_bias = layer.vector("pb", hidden_scale * layer.scales.get("p", 1.0), raw=outputs) if projection_bias else None
        state = graph.tensor(dtype, (batch, outputs), out_quant, variable=True)
        cell = graph.tensor("INT16" if integer else "FLOAT32", (batch, units), cell_quant, variable=True)
        operands = [x, *from_input, *from_hidden, peep.get("input"), peep.get("forget"), peep.get("output"), *pick(biases)]
        operands += [proj, proj_bias, state, cell]
        operands += pick(norm) if normalize else [None] * 4
        intermediates = []
        if integer:
            # Four gate scales, used where a gate is normalized, then the hidden state's parameters before projection.
            gate_quant = Quant(np.float32(2.0**-12 if not normalize else 4 / 32768), 0)
            intermediates = [graph.tensor("INT16", (), gate_quant, name=f"gate{i}") for i in range(4)]
            hidden_quant = Quant(np.float32(hidden_scale), 2) if projection else out_quant
            intermediates.append(graph.tensor("INT8", (), hidden_quant, name="hidden"))
        y = graph.output(dtype, out_quant, shape=(*shape[:2], outputs))
        graph.op("UNIDIRECTIONAL_SEQUENCE_LSTM", operands, [y], intermediates, fusedActivationFunction=ACTIVATIONS["tanh"],
                 cellClip=cell_clip, projClip=projection_clip, timeMajor=time_major, asymmetricQuantizeInputs=asymmetric)
        case.tolerance = EXACT if integer else HYBRID if kind.startswith("hybrid") else FLOAT
        for _ in range(runs):
            case.feed(case.values(dtype, shape, in_quant, *((None, None) if integer else (-2.0, 2.0))))

    flags = [name for name, on in (("cifg", cifg), ("peephole", peephole), ("norm", normalize), ("time_major", time_major),
                                   ("clip", cell_clip), ("proj_clip", projection_clip), ("proj_bias", projection_bias),
                                   ("asym", asymmetric)) if on]
    add("UNIDIRECTIONAL_SEQUENCE_LSTM", label(kind, f"f{features}_u{units}_t{steps}_b{batch}", f"p{projection}" if projection else "",
                                              *flags, f"runs{runs}" if runs > 1 else "", note), build)


for kind in ("float", "hybrid", "integer"):
    lstm(kind)
    lstm(kind, features=3, units=9, steps=4, batch=1)
    lstm(kind, runs=3, steps=3)
    lstm(kind, time_major=True, batch=3)
    lstm(kind, cifg=True)
    lstm(kind, peephole=True)
    lstm(kind, cifg=True, peephole=True)
    lstm(kind, projection=3)
    lstm(kind, projection=3, projection_bias=True, projection_clip=0.4)
    lstm(kind, cell_clip=0.5)
    lstm(kind, normalize=True)
    lstm(kind, normalize=True, cifg=True, peephole=True, projection=5)
    lstm(kind, features=20, units=17, steps=8, batch=1)
    if kind == "hybrid":
        lstm(kind, asymmetric=True)
        lstm(kind, asymmetric=True, projection=3, time_major=True)


def svdf(kind, features=6, units=4, rank=2, memory=5, batch=2, activation="none", with_bias=True, asymmetric=False, runs=4):
    """One SVDF layer fed `runs` frames, so that its memory fills."""

    def build(case):
        graph = case.graph
        integer = kind == "integer"
        filters = units * rank
        across = case.rng.normal(0, 0.6 / np.sqrt(features), (filters, features)).astype(np.float32)
        along = case.rng.normal(0, 0.6 / np.sqrt(memory), (filters, memory)).astype(np.float32)
        bias = np.round(case.rng.uniform(-0.5, 0.5, units) * 128) / 128
        state_quant = None
        if kind == "float":
            x = graph.input("FLOAT32", (batch, features))
            weights = [graph.const("FLOAT32", np.round(across * 128) / 128), graph.const("FLOAT32", np.round(along * 128) / 128)]
        elif kind.startswith("hybrid"):
            x = graph.input("FLOAT32", (batch, features))
            layer = Layer(case, kind, features, units, units)
            (quant, integers), (time_quant, time_integers) = symmetric(across), symmetric(along)
            weights = [layer.bytes(integers, quant), layer.bytes(time_integers, time_quant)]
        else:
            x = graph.input("INT8", (batch, features), Quant(np.float32(8 / 256), 4))
            quant, integers = symmetric(across)
            time_quant, time_integers = symmetric(along, "INT16")
            weights = [graph.const("INT8", integers, quant), graph.const("INT16", time_integers, time_quant)]
            state_quant = Quant(np.float32(6 / 65536), 0)
        b = None
        if with_bias:
            if integer:
                scale = np.float32(state_quant.scale * time_quant.scale)
                b = graph.const("INT32", np.round(bias / scale), Quant(scale, 0))
            else:
                b = graph.const("FLOAT32", bias)
        state_type = "INT16" if integer else "FLOAT32"
        state = graph.tensor(state_type, (batch, memory * filters), state_quant, variable=True)
        out_type = "INT8" if integer else "FLOAT32"
        y = graph.output(out_type, Quant(np.float32(8 / 256), -6) if integer else None)
        graph.op("SVDF", [x, *weights, b, state], [y], rank=rank, fusedActivationFunction=ACTIVATIONS[activation],
                 asymmetricQuantizeInputs=asymmetric)
        case.tolerance = EXACT if integer else HYBRID if kind.startswith("hybrid") else FLOAT
        for _ in range(runs):
            case.feed(case.values(x.dtype, x.shape, x.quant, *((None, None) if integer else (-2.0, 2.0))))

    add("SVDF", label(kind, f"f{features}_u{units}_r{rank}_m{memory}_b{batch}", activation if activation != "none" else "",
                      "" if with_bias else "nobias", "asym" if asymmetric else "", f"runs{runs}"), build)


for kind in ("float", "hybrid", "integer"):
    plain = "relu" if kind == "integer" else "none"  # the integer kernel takes no other
    svdf(kind, activation="relu")
    svdf(kind, activation=plain, rank=1, memory=9, batch=1, units=7)
    svdf(kind, activation=plain, with_bias=False, runs=2)
    svdf(kind, activation=plain, features=17, units=19, memory=4, batch=1)
    if kind in ("float", "hybrid"):
        svdf(kind)
    if kind == "hybrid":
        svdf(kind, asymmetric=True)
