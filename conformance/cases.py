"""What a case is, and the helpers by which the operator families write theirs as tables."""

import collections
import zlib
from dataclasses import dataclass, field

import numpy as np

from catalog import stem
from onebuild import NUMPY, Graph, Quant

EXACT = ("exact", 0)
FLOAT = ("float", 1e-5)
DOUBLE = ("float", 1e-12)
HALF = ("float", 2e-3)  # one unit in the last place of a half float, where its rounding differs
BFLOAT = ("float", 1e-2)  # likewise for bfloat16
HYBRID = ("float", 1e-4)  # activations are quantized on the way: rounding at a tie moves an output by a little

FLOATS = ("FLOAT32", "FLOAT16", "BFLOAT16")
QUANTIZED = ("INT8", "UINT8", "INT16")
ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1": 2, "relu6": 3, "tanh": 4}
SAME, VALID = 0, 1
PADDING = {"same": SAME, "valid": VALID}

# Operators that only copy, choose or round, so that even floats come out exactly.
COPYING = set(
    "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 ABS NEG FLOOR CEIL ROUND SIGN MAXIMUM MINIMUM MAX_POOL_2D RESIZE_NEAREST_NEIGHBOR "
    "REDUCE_MAX REDUCE_MIN RESHAPE SQUEEZE EXPAND_DIMS PACK UNPACK CONCATENATION SPLIT SPLIT_V SLICE STRIDED_SLICE PAD PADV2 "
    "MIRROR_PAD TRANSPOSE TILE BROADCAST_TO SPACE_TO_DEPTH DEPTH_TO_SPACE SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND GATHER "
    "GATHER_ND FILL SELECT SELECT_V2 REVERSE_V2 DYNAMIC_UPDATE_SLICE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE CALL_ONCE "
    "ONE_HOT SCATTER_ND TOPK_V2 ZEROS_LIKE".split()
)

CASES = collections.defaultdict(list)  # operator -> makers; filled when the modules of `ops` are imported


@dataclass
class Case:
    """One model and the inputs it is run with; `runs` are fed one after the other to the same interpreter."""

    op: str
    name: str
    rng: np.random.Generator
    graphs: list = field(default_factory=lambda: [Graph()])
    signatures: list = field(default_factory=list)
    runs: list = field(default_factory=list)
    tolerance: tuple = None
    allow_special: bool = False
    source: str = ""
    answers: list = field(default_factory=list)
    expected: object = None  # function of one run's inputs that gives its outputs, in place of `answers`
    otherwise: object = None  # likewise, but asked only where LiteRT has no kernel for the case
    undelegated: bool = False  # XNNPACK's answer is of no use; the vectors hold that of LiteRT's own kernels

    @property
    def graph(self):
        return self.graphs[0]

    @staticmethod
    def make(op, maker):
        """Runs a maker with a generator seeded by the case's name; inputs not given are random."""
        name, function = maker
        case = Case(op, f"{stem(op).lower()}/{name}", np.random.default_rng(zlib.crc32(f"{op}/{name}".encode())))
        function(case)
        if not case.runs:
            case.runs = [[case.values(t.dtype, t.shape, t.quant) for t in case.graph.inputs]]
        if case.tolerance is None:
            case.tolerance = EXACT if op in COPYING else natural_tolerance([t.dtype for t in case.graph.outputs])
        return case

    def values(self, dtype, shape, quant=None, low=None, high=None):
        """Seeded values: floats are multiples of 1/64 in [-4, 4) (or the range given), which keeps the files small."""
        if dtype == "BOOL":
            return self.rng.random(shape) < 0.5
        if dtype == "STRING":
            lengths = self.rng.integers(0, 9, shape)
            words = [bytes(self.rng.integers(97, 123, n, dtype=np.uint8)) for n in np.reshape(lengths, -1)]
            array = np.empty(len(words), object)
            array[:] = words
            return array.reshape(shape)
        if dtype in FLOATS or dtype in ("FLOAT64", "COMPLEX64", "COMPLEX128"):
            low, high = (-4.0 if low is None else low), (4.0 if high is None else high)
            steps = np.floor(self.rng.uniform(low * 64, high * 64, shape)) / 64
            if dtype.startswith("COMPLEX"):
                steps = steps + 1j * np.floor(self.rng.uniform(low * 64, high * 64, shape)) / 64
            return np.asarray(steps).astype(NUMPY[dtype])
        if dtype in ("INT4", "UINT4"):
            low, high = (-7 if low is None else low, 7) if dtype == "INT4" else (0, 15)
        if dtype == "INT2":
            low, high = -2, 1
        if quant is None and dtype in ("INT16", "INT32", "INT64", "UINT16", "UINT32", "UINT64") and low is None:
            low, high = (0 if dtype.startswith("U") else -50), 50
        limits = np.iinfo(NUMPY[dtype])
        low, high = (limits.min if low is None else low), (limits.max if high is None else high)
        return self.rng.integers(low, high, shape, dtype=NUMPY[dtype], endpoint=True)

    def quant(self, dtype, span=8.0):
        """Random quantization parameters by which `dtype` covers about `span`; None for unquantized types."""
        if dtype not in QUANTIZED:
            return None
        scale = np.float32(span * self.rng.uniform(0.8, 1.2) / {"INT8": 256, "UINT8": 256, "INT16": 65536}[dtype])
        zero = {"INT8": self.rng.integers(-20, 20), "UINT8": self.rng.integers(108, 148), "INT16": 0}[dtype]
        return Quant(scale, int(zero))

    def expect(self, source, *arrays):
        """Gives the outputs of one more run, where something else than LiteRT answers: "numpy" or "tensorflow"."""
        self.source = source
        self.answers.append([np.asarray(array) for array in arrays])

    def feed(self, *arrays):
        """Gives the inputs of one more run."""
        self.runs.append(list(arrays))


def natural_tolerance(dtypes):
    """The tolerance outputs of these types get when a case does not set one."""
    for dtype, tolerance in (("BFLOAT16", BFLOAT), ("FLOAT16", HALF), ("FLOAT32", FLOAT), ("COMPLEX64", FLOAT), ("FLOAT64", DOUBLE), ("COMPLEX128", DOUBLE)):
        if dtype in dtypes:
            return tolerance
    return EXACT


def add(op, name, function):
    """Registers one case of an operator; `function(case)` builds its graph."""
    CASES[op].append((name, function))


SHORT = {
    "FLOAT32": "f32", "FLOAT16": "f16", "BFLOAT16": "bf16", "FLOAT64": "f64", "COMPLEX64": "c64", "COMPLEX128": "c128", "BOOL": "bool",
    "STRING": "str", "INT4": "i4", "UINT4": "u4", "INT8": "i8", "UINT8": "u8", "INT16": "i16", "UINT16": "u16",
    "INT32": "i32", "UINT32": "u32", "INT64": "i64", "UINT64": "u64", "INT2": "i2",
    "FLOAT8_E4M3FN": "f8e4m3fn", "FLOAT8_E5M2": "f8e5m2",
}  # fmt: skip


def label(*parts):
    """A case name from types, shapes and flags."""
    words = []
    for part in parts:
        if isinstance(part, (tuple, list)):
            words.append("x".join(str(d) for d in part) or "scalar")
        elif part not in (None, ""):
            words.append(SHORT.get(part, str(part)))
    return "_".join(words)
