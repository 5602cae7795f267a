"""Choosing boxes among overlapping ones."""

import numpy as np

from cases import EXACT, FLOAT, add, label
from onebuild import Quant


def boxes_of(case, count, jitter=0.6):
    """Boxes that overlap in groups."""
    centres = np.floor(case.rng.uniform(0, 4, (count, 2)) * 2) / 2 + np.floor(case.rng.uniform(-jitter, jitter, (count, 2)) * 64) / 64
    sizes = np.floor(case.rng.uniform(0.25, 1.5, (count, 2)) * 64) / 64
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1).astype(np.float32)


def suppression(count, most, overlap=0.5, least=0.0, sigma=None, ties=False, swapped=False, constant=True):
    """NON_MAX_SUPPRESSION_V4, or with a sigma _V5."""
    op = "NON_MAX_SUPPRESSION_V4" if sigma is None else "NON_MAX_SUPPRESSION_V5"

    def build(case):
        graph = case.graph
        operands = [graph.input("FLOAT32", (count, 4)), graph.input("FLOAT32", (count,))]
        operands.append(graph.const("INT32", most) if constant else graph.input("INT32", ()))
        operands += [graph.const("FLOAT32", value) for value in (overlap, least, sigma) if value is not None]
        shape = {"shape": (most,)} if constant else {"shape": (1,), "dynamic": True}
        outputs = [graph.output("INT32", **shape)]
        if sigma is not None:
            outputs.append(graph.output("FLOAT32", **shape))
        graph.op(op, operands, outputs + [graph.output("INT32", shape=())])
        boxes, scores = boxes_of(case, count), case.rng.uniform(0, 1, count)
        scores = np.floor(scores * (4 if ties else 4096)) / (4 if ties else 4096)
        if swapped:
            boxes = boxes[:, [2, 1, 0, 3]]
        case.feed(boxes, scores.astype(np.float32), *([] if constant else [np.array(most, np.int32)]))
        if sigma is None:
            case.tolerance = EXACT

    flags = [name for name, on in (("ties", ties), ("swapped", swapped), ("dynamic", not constant)) if on]
    add(op, label(f"n{count}_most{most}_iou{overlap}_least{least}", "" if sigma is None else f"sigma{sigma}", *flags), build)


for sigma in (None, 0.0, 0.5):
    suppression(30, 10, sigma=sigma)
    suppression(30, 30, overlap=0.2, least=0.3, sigma=sigma)
    suppression(40, 40, overlap=0.9, sigma=sigma)
    suppression(40, 40, ties=True, sigma=sigma)
    suppression(60, 60, overlap=0.4, ties=True, sigma=sigma)
    suppression(12, 5, swapped=True, sigma=sigma)
    suppression(20, 6, constant=False, sigma=sigma)
    suppression(10, 4, least=1.0, sigma=sigma)
    suppression(5, 8, sigma=sigma)


def postprocess(regular, count, classes, most=10, per_box=1, background=True, dtype="FLOAT32", score=0.3, overlap=0.5, per_class=None, values=4, scores_as=None):
    """TFLite_Detection_PostProcess; every output of the fast form is filled only as far as boxes are found."""

    def build(case):
        graph = case.graph
        columns = classes + background
        quant = Quant(np.float32(0.04), 128) if dtype == "UINT8" else None
        anchors = np.concatenate([case.rng.uniform(0, 1, (count, 2)), case.rng.uniform(0.1, 0.4, (count, 2))], axis=1)
        if dtype == "UINT8":
            anchor_quant = Quant(np.float32(1 / 255), 0)
            anchor = graph.const("UINT8", np.round(anchors * 255), anchor_quant)
            boxes = graph.input("UINT8", (1, count, values), quant)
            scores = graph.input("UINT8", (1, count, columns), Quant(np.float32(1 / 255), 0))
        else:
            anchor = graph.const("FLOAT32", np.round(anchors * 64) / 64)
            boxes, scores = graph.input("FLOAT32", (1, count, values)), graph.input("FLOAT32", (1, count, columns))
        if scores_as and scores_as != dtype:
            graph.inputs.remove(scores)
            scores = graph.input(scores_as, (1, count, columns), Quant(np.float32(1 / 255), 0) if scores_as == "UINT8" else None)
        options = {"max_detections": most, "max_classes_per_detection": per_box, "num_classes": classes, "nms_score_threshold": score,
                   "nms_iou_threshold": overlap, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
                   "use_regular_nms": regular}
        if per_class:
            options["detections_per_class"] = per_class
        results = most * per_box
        outputs = [graph.output("FLOAT32", shape=shape) for shape in [(1, results, 4), (1, results), (1, results), (1,)]]
        graph.op("TFLite_Detection_PostProcess", [boxes, scores, anchor], outputs, **options)
        encodings = case.values(boxes.dtype, boxes.shape, quant)
        given = case.rng.permutation(count * columns).reshape(1, count, columns) / (count * columns)
        case.feed(encodings, np.round(given * 255).astype(np.uint8) if scores.dtype == "UINT8" else given.astype(np.float32))
        case.tolerance = FLOAT

    flags = [name for name, on in (("background", background), (f"v{values}", values > 4), (f"per{per_class}", per_class), (f"scores_{(scores_as or dtype).lower()}", scores_as)) if on]
    add("TFLite_Detection_PostProcess", label("regular" if regular else "fast", dtype, f"n{count}_c{classes}_most{most}x{per_box}", *flags), build)


for regular in (False, True):
    postprocess(regular, 30, 3, most=4)
    postprocess(regular, 60, 5, most=6, background=False, score=0.1, overlap=0.3)
    postprocess(regular, 40, 1, most=5, values=7, score=0.05)
    postprocess(regular, 30, 4, most=5, dtype="UINT8", score=0.2)
postprocess(False, 30, 4, most=5, per_box=2, score=0.2)
postprocess(False, 20, 3, most=3, per_box=3, score=0.2, background=False)
postprocess(True, 60, 4, most=8, per_class=2, score=0.1)
