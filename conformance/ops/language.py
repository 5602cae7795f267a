"""Custom operators of language models, and by their definitions those of models for GPUs (normalizations) and a gated recurrent unit."""

import numpy as np

from cases import EXACT, FLOAT, add, label


def attention(batch, queries, keys, heads, groups, size, value_size=None, mask=(1, 1, None, None), scale=0.0):
    """`groups` heads of keys and values; the mask has the full size where it says None."""

    def build(case):
        graph = case.graph
        value_size_ = value_size or size
        shapes = [(batch, queries, heads, size), (batch, keys, groups, size), (batch, keys, groups, value_size_)]
        full = (batch, heads, queries, keys)
        operands = [graph.input("FLOAT32", shape) for shape in shapes]
        arrays = [case.values("FLOAT32", shape, None, -2.0, 2.0) for shape in shapes]
        q, k, v = (array.astype(np.float64) for array in arrays)
        added = 0.0
        if mask is not None:
            mask_shape = tuple(n if m is None else m for m, n in zip(mask, full))
            operands.append(graph.input("FLOAT32", mask_shape))
            arrays.append(np.where(case.rng.random(mask_shape) < 0.3, np.float32(-100), np.float32(0)).astype(np.float32))
            added = arrays[3].astype(np.float64)
        graph.op("odml.scaled_dot_product_attention", operands, [graph.output("FLOAT32", shape=(batch, queries, heads, value_size_))],
                 **({"scale": scale} if scale else {}))
        case.feed(*arrays)
        k, v = (np.repeat(array, heads // groups, axis=2) for array in (k, v))
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) * (scale or 1 / np.sqrt(size)) + added
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        if mask is None:  # which LiteRT refuses, as it refuses values of another size
            case.expect("numpy", np.einsum("bhqk,bkhd->bqhd", weights, v).astype(np.float32))
        case.tolerance = FLOAT

    kind = "mha" if groups == heads else "mqa" if groups == 1 else "gqa"
    masked = "nomask" if mask is None else "mask" + "".join("n" if m is None else "1" for m in mask)
    add("odml.scaled_dot_product_attention", label(kind, f"b{batch}_q{queries}_k{keys}_h{heads}_d{size}", masked, f"scale{scale}" if scale else ""), build)


attention(1, 4, 6, 2, 2, 8)
attention(2, 3, 5, 4, 4, 7, mask=(None, None, None, None))
attention(1, 1, 17, 8, 2, 16, mask=(1, 1, 1, None))
attention(1, 5, 5, 4, 1, 9)
attention(2, 2, 9, 6, 3, 5, scale=0.25)
attention(1, 3, 4, 2, 2, 8, value_size=12, mask=None)
attention(1, 7, 33, 1, 1, 64, mask=(1, 1, None, 1))
attention(1, 16, 16, 4, 2, 32)


def kv_cache(positions, count, heads, size, layer, starts):
    """New keys and values at the given first positions, one run each."""

    def build(case):
        graph = case.graph
        shape = (1, count, heads, size)
        operands = [graph.input("INT64", (count,)), graph.input("FLOAT32", shape), graph.input("FLOAT32", shape)]
        full = (1, positions, heads, size)
        outputs = [graph.output("FLOAT32", shape=full) for _ in range(2)]
        graph.op("odml.update_kv_cache", operands, outputs, kv_cache_max=positions, num_layers=4, layer_index=layer)
        for start in starts:
            case.feed(np.arange(start, start + count), *(case.values("FLOAT32", shape) for _ in range(2)))
        case.tolerance = EXACT

    add("odml.update_kv_cache", label(f"p{positions}_n{count}_h{heads}_d{size}", f"layer{layer}", starts), build)


kv_cache(6, 2, 2, 3, 0, (0, 2, 4))
kv_cache(6, 2, 2, 3, 1, (0, 2, 4, 6, 8))
kv_cache(4, 1, 1, 5, 2, (0, 1, 2, 3, 4, 5))
kv_cache(8, 3, 2, 2, 0, (0, 3, 6, 9))
kv_cache(5, 5, 1, 4, 3, (0, 0))
kv_cache(5, 2, 3, 1, 0, (0, 1, 1, 3))
kv_cache(3, 1, 4, 4, 1, (2, 3, 4))
kv_cache(9, 4, 1, 2, 0, (0, 4, 8, 5))


def external_cache(positions, heads, size, places):
    def build(case):
        graph = case.graph
        full, shape = (1, positions, heads, size), (1, len(places), heads, size)
        operands = [graph.input("FLOAT32", full), graph.input("FLOAT32", full), graph.input("INT32", (len(places),)),
                    graph.input("FLOAT32", shape), graph.input("FLOAT32", shape)]
        graph.op("odml.update_external_kv_cache", operands, [graph.output("FLOAT32", shape=full) for _ in range(2)])
        caches = [case.values("FLOAT32", full) for _ in range(2)]
        case.feed(*caches, np.array(places, np.int32), *(case.values("FLOAT32", shape) for _ in range(2)))
        case.tolerance = EXACT

    add("odml.update_external_kv_cache", label(f"p{positions}_h{heads}_d{size}", places), build)


external_cache(6, 2, 3, (0, 1))
external_cache(6, 2, 3, (3, 4, 5))
external_cache(4, 1, 5, (2,))
external_cache(8, 2, 2, (1, 2, 0, 0))
external_cache(5, 3, 1, (0, 2, 4))
external_cache(3, 1, 4, (1, 1, 2))
external_cache(7, 2, 2, (6, 5))
external_cache(9, 1, 8, (0, 1, 2, 3, 4, 5, 6, 7, 8))


def norm(op, shape, scaled, biased, **options):
    def build(case):
        graph = case.graph
        channels = shape[-1]
        operands = [graph.input("FLOAT32", shape)]
        scale = case.values("FLOAT32", (channels,)) if scaled else np.float32(1)
        bias = case.values("FLOAT32", (channels,)) if biased else np.float32(0)
        operands += [graph.const("FLOAT32", scale)] if scaled else [None] if biased else []
        operands += [graph.const("FLOAT32", bias)] if biased else []
        graph.op(op, operands, [graph.output("FLOAT32", shape=shape)], **options)
        x = case.values("FLOAT32", shape)
        case.feed(x)
        wide, epsilon = x.astype(np.float64), options.get("epsilon", 1e-6 if op.endswith("GroupNorm") else 0)
        if op.endswith("GroupNorm"):
            groups = options.get("num_groups", 32)
            wide = wide.reshape(shape[0], -1, groups, channels // groups)
            axes = (1, 3)
        else:
            axes = (-1,)
        mean = 0 if op.endswith("RmsNorm") else wide.mean(axis=axes, keepdims=True)
        variance = ((wide - mean) ** 2).mean(axis=axes, keepdims=True)
        normal = ((wide - mean) / np.sqrt(variance + epsilon)).reshape(shape)
        case.expect("numpy", (normal * scale + bias).astype(np.float32))
        case.tolerance = FLOAT

    add(op, label(shape, "scale" if scaled else "", "bias" if biased else "", *(f"{k}{v}" for k, v in options.items())), build)


for scaled, biased in [(False, False), (True, False), (True, True), (False, True)]:
    for shape in [(2, 3, 8), (1, 4, 4, 5)]:
        norm("custom_call.LayerNorm", shape, scaled, biased, epsilon=1e-5)
for scaled in (False, True):
    for shape, epsilon in [((2, 3, 8), 1e-6), ((1, 4, 4, 5), 1e-5), ((17,), 1e-3), ((1, 1, 64), 1e-6)]:
        norm("custom_call.RmsNorm", shape, scaled, False, epsilon=epsilon)
for scaled, biased in [(False, False), (True, False), (True, True)]:
    norm("custom_call.GroupNorm", (2, 3, 4, 8), scaled, biased, num_groups=4, epsilon=1e-5)
    norm("custom_call.GroupNorm", (1, 5, 2, 6), scaled, biased, num_groups=1, epsilon=1e-3)
    norm("custom_call.GroupNorm", (1, 2, 2, 64), scaled, biased)


def shuffle(shape, block):
    def build(case):
        batch, height, width, channels = shape
        depth = channels // block**2
        result = (batch, height * block, width * block, depth)
        case.graph.op("custom_call.PixelShuffle", [case.graph.input("FLOAT32", shape)], [case.graph.output("FLOAT32", shape=result)], block_size=block)
        x = case.values("FLOAT32", shape)
        case.feed(x)
        case.expect("numpy", x.reshape(batch, height, width, block, block, depth).transpose(0, 1, 3, 2, 4, 5).reshape(result))
        case.tolerance = EXACT

    add("custom_call.PixelShuffle", label(shape, f"block{block}"), build)


for shape, block in [((1, 2, 3, 4), 2), ((2, 3, 2, 8), 2), ((1, 2, 2, 9), 3), ((1, 1, 1, 16), 4), ((1, 5, 4, 3), 1), ((3, 2, 2, 12), 2), ((1, 1, 6, 18), 3),
                     ((1, 4, 1, 32), 4)]:
    shuffle(shape, block)


def gru(steps, batch, features, units, constant=True):
    def build(case):
        graph = case.graph
        shapes = [(2 * units, features + units), (2 * units,), (units, features + units), (units,)]
        weights = [case.values("FLOAT32", shape, None, -1.0, 1.0) for shape in shapes]
        operands = [graph.input("FLOAT32", (steps, batch, features)), graph.input("FLOAT32", (batch, units))]
        operands += [graph.const("FLOAT32", w) if constant else graph.input("FLOAT32", w.shape) for w in weights]
        graph.op("UnidirectionalSequenceGru", operands,
                 [graph.output("FLOAT32", shape=(steps, batch, units)), graph.output("FLOAT32", shape=(batch, units))])
        x, state = case.values("FLOAT32", (steps, batch, features), None, -2.0, 2.0), case.values("FLOAT32", (batch, units), None, -1.0, 1.0)
        case.feed(x, state, *([] if constant else weights))
        w, b, v, d = (array.astype(np.float64) for array in weights)
        h, answer = state.astype(np.float64), []
        for step in x.astype(np.float64):
            gates = 1 / (1 + np.exp(-(np.concatenate([step, h], axis=1) @ w.T + b)))
            r, u = gates[:, :units], gates[:, units:]
            c = np.tanh(np.concatenate([step, r * h], axis=1) @ v.T + d)
            h = (1 - u) * c + u * h
            answer.append(h)
        case.expect("numpy", np.array(answer, np.float32).reshape(steps, batch, units), h.astype(np.float32))
        case.tolerance = FLOAT

    add("UnidirectionalSequenceGru", label(f"t{steps}_b{batch}_f{features}_u{units}", "" if constant else "dynamic"), build)


for steps, batch, features, units in [(4, 2, 3, 5), (1, 1, 1, 1), (7, 1, 8, 16), (3, 4, 2, 9), (2, 3, 17, 6), (5, 1, 4, 33)]:
    gru(steps, batch, features, units)
gru(3, 2, 4, 3, constant=False)
gru(2, 1, 5, 7, constant=False)
