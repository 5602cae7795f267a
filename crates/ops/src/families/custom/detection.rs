//! TFLite_Detection_PostProcess: the end of detection models.
//!
//! Box encodings become corners around their anchors: with an anchor `(y, x, h, w)` and an encoding in units of the scales,
//! the centre is `anchor + encoding / scale * anchor size` and the size `exp(encoding / scale) * anchor size`. Of boxes that
//! overlap the best remain, either for each class by itself (regular) or by the best class of each box (fast).

use ferrolite_kernels::cpu::detection::{Corners, greedy};
use ferrolite_kernels::cpu::reduce::top_k;
use ferrolite_model::TensorType;

use crate::error::OpError;
use crate::io::Inputs;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::types;

/// The module's operators.
pub const SPECS: &[OpSpec] =
    &[OpSpec::custom("TFLite_Detection_PostProcess", infer, lower).inputs(3, 3).outputs(4, 4).types(types![
        (Float32, Float32, Float32) -> (Float32),
        (Float32, UInt8, Float32) -> (Float32),
        (UInt8, UInt8, UInt8) -> (Float32),
        (UInt8, Float32, UInt8) -> (Float32),
    ])];

/// The attributes.
#[derive(Clone, Debug)]
struct Settings {
    most: usize,
    classes_per_box: usize,
    boxes_per_class: usize,
    regular: bool,
    least_score: f32,
    overlap: f32,
    classes: usize,
    /// Of y, x, height, width.
    scales: [f64; 4],
}

/// Detections that a model may ask for.
const MOST_DETECTIONS: usize = 1 << 20;

impl Settings {
    fn new(node: &Node<'_>) -> Result<Self, OpError> {
        const PER_CLASS: i64 = 100;
        let attributes = node.attributes()?;
        let per_class = attributes.int_or("detections_per_class", PER_CLASS)?;
        let scale = |name| {
            let scale = attributes.float(name)? as f32;
            if scale > 0.0 {
                return Ok(f64::from(scale));
            }
            Err(OpError::invalid(format!("the attribute '{name}' is {scale}, scales are positive")))
        };
        let settings = Self {
            most: attributes.positive("max_detections")?,
            classes_per_box: attributes.positive("max_classes_per_detection")?,
            boxes_per_class: usize::try_from(per_class).unwrap_or(0),
            regular: attributes.bool_or("use_regular_nms", false)?,
            least_score: attributes.float("nms_score_threshold")? as f32,
            overlap: attributes.float("nms_iou_threshold")? as f32,
            classes: attributes.positive("num_classes")?,
            scales: [scale("y_scale")?, scale("x_scale")?, scale("h_scale")?, scale("w_scale")?],
        };
        if !(settings.overlap > 0.0 && settings.overlap <= 1.0) {
            return Err(OpError::invalid(format!(
                "the attribute 'nms_iou_threshold' is {}, it must be above 0 and at most 1",
                settings.overlap
            )));
        }
        if settings.regular && settings.boxes_per_class == 0 {
            return Err(OpError::invalid("the attribute 'detections_per_class' must be at least 1"));
        }
        if settings.results() > MOST_DETECTIONS {
            return Err(OpError::unsupported(format!(
                "more than {MOST_DETECTIONS} detections are asked for"
            )));
        }
        Ok(settings)
    }

    /// Detections of the output.
    fn results(&self) -> usize {
        self.most.saturating_mul(self.classes_per_box)
    }
}

/// Number of boxes, values of an encoding, and scores of a box.
fn sizes(node: &Node<'_>, settings: &Settings) -> Result<[usize; 3], OpError> {
    let (boxes, scores, anchors) = (node.shape(0)?, node.shape(1)?, node.shape(2)?);
    match (&boxes[..], &scores[..], &anchors[..]) {
        (&[1, count, values], &[1, scored, classes], &[anchored, 4])
            if values >= 4 && scored == count && anchored == count && classes >= settings.classes =>
        {
            Ok([count, values, classes])
        }
        _ => Err(OpError::invalid(format!(
            "box encodings {boxes}, scores {scores} of {} classes and anchors {anchors} do not fit together",
            settings.classes
        ))),
    }
}

fn infer(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let settings = Settings::new(node)?;
    sizes(node, &settings)?;
    let count = settings.results();
    let shapes =
        [Shape::from([1, count, 4]), Shape::from([1, count]), Shape::from([1, count]), Shape::from([1])];
    Ok(shapes.into_iter().map(OutputShape::Known).collect())
}

/// How the numbers of an input are read.
#[derive(Clone, Copy)]
enum Reading {
    Float,
    Bytes { scale: f32, zero: i32 },
}

impl Reading {
    fn of(node: &Node<'_>, i: usize) -> Result<Self, OpError> {
        let info = node.input(i)?.info;
        if info.dtype != TensorType::UInt8 {
            return Ok(Self::Float);
        }
        let (scale, zero) = info.per_tensor()?;
        Ok(Self::Bytes { scale, zero })
    }

    fn read(self, inputs: &Inputs<'_>, i: usize) -> Result<Vec<f32>, OpError> {
        Ok(match self {
            Self::Float => inputs.get::<f32>(i)?.to_vec(),
            Self::Bytes { scale, zero } => {
                inputs.get::<u8>(i)?.iter().map(|&x| scale * (i32::from(x) - zero) as f32).collect()
            }
        })
    }
}

/// A detection: which box, which class, its score.
#[derive(Clone, Copy)]
struct Detection {
    index: usize,
    class: usize,
    score: f32,
}

fn lower(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let settings = Settings::new(node)?;
    let [_, values, classes] = sizes(node, &settings)?;
    let readings = [Reading::of(node, 0)?, Reading::of(node, 1)?, Reading::of(node, 2)?];
    let name = if settings.regular { "detection_postprocess_regular" } else { "detection_postprocess_fast" };
    Ok(FnKernel::new(name, move |io, _| {
        let [encodings, scores, anchors] = [0, 1, 2].map(|i| readings[i].read(&io.inputs, i));
        let (scores, anchors) = (scores?, anchors?);
        let boxes = decode(&encodings?, values, &anchors, &settings.scales)?;
        let (found, groups) = if settings.regular {
            regular(&boxes, &scores, classes, &settings)
        } else {
            fast(&boxes, &scores, classes, &settings)
        };
        io.outputs.get::<f32>(0)?.fill(0.0);
        io.outputs.get::<f32>(1)?.fill(0.0);
        io.outputs.get::<f32>(2)?.fill(0.0);
        for (at, detection) in found {
            io.outputs.get::<f32>(0)?[at * 4..][..4].copy_from_slice(&boxes[detection.index]);
            io.outputs.get::<f32>(1)?[at] = detection.class as f32;
            io.outputs.get::<f32>(2)?[at] = detection.score;
        }
        io.outputs.get::<f32>(3)?.fill(groups as f32);
        Ok(())
    })
    .boxed())
}

/// The corners of every box.
fn decode(
    encodings: &[f32],
    values: usize,
    anchors: &[f32],
    scales: &[f64; 4],
) -> Result<Vec<Corners>, OpError> {
    let boxes = encodings.chunks_exact(values).zip(anchors.chunks_exact(4)).map(|(encoding, anchor)| {
        let [y, x, h, w] = core::array::from_fn(|i| f64::from(encoding[i]) / scales[i]);
        let [anchor_y, anchor_x, anchor_h, anchor_w] = core::array::from_fn(|i| f64::from(anchor[i]));
        let (centre_y, centre_x) = ((y * anchor_h + anchor_y) as f32, (x * anchor_w + anchor_x) as f32);
        let half = |size: f64, anchor: f64| (0.5 * size.exp() * anchor) as f32;
        let (half_h, half_w) = (half(h, anchor_h), half(w, anchor_w));
        [centre_y - half_h, centre_x - half_w, centre_y + half_h, centre_x + half_w]
    });
    let boxes: Vec<Corners> = boxes.collect();
    match boxes.iter().position(|b| b[0] > b[2] || b[1] > b[3]) {
        Some(at) => Err(OpError::runtime(format!(
            "box {at} ends before it begins, {:?}: its anchor has a negative size",
            boxes[at]
        ))),
        None => Ok(boxes),
    }
}

/// Every class by itself; the best detections of all. Gives detections with their places and how many there are.
fn regular(
    boxes: &[Corners],
    scores: &[f32],
    columns: usize,
    settings: &Settings,
) -> (Vec<(usize, Detection)>, usize) {
    // The background class comes first where there is one.
    let background = columns - settings.classes;
    let mut found: Vec<Detection> = Vec::new();
    for class in 0..settings.classes {
        let of_class: Vec<f32> =
            scores.chunks_exact(columns).map(|scores| scores[background + class]).collect();
        let most = settings.boxes_per_class.min(settings.most);
        let chosen = greedy(boxes, &of_class, settings.least_score, settings.overlap, most);
        found.extend(chosen.into_iter().map(|index| Detection { index, class, score: of_class[index] }));
        // Of equal scores the earlier class comes first, as the sort is stable.
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found.truncate(settings.most);
    }
    let count = found.len();
    (found.into_iter().enumerate().collect(), count)
}

/// Boxes by their best class; each box is given once for each of its best classes.
fn fast(
    boxes: &[Corners],
    scores: &[f32],
    columns: usize,
    settings: &Settings,
) -> (Vec<(usize, Detection)>, usize) {
    let background = columns - settings.classes;
    let of_box = |index: usize| &scores[index * columns..][background..columns];
    let best: Vec<f32> = (0..boxes.len())
        .map(|index| of_box(index).iter().copied().fold(f32::NEG_INFINITY, f32::max))
        .collect();
    let chosen = greedy(boxes, &best, settings.least_score, settings.overlap, settings.most);
    let shown = settings.classes_per_box.min(settings.classes);
    let mut order = vec![0; settings.classes];
    let mut found = Vec::with_capacity(chosen.len() * shown);
    for (group, &index) in chosen.iter().enumerate() {
        let scores = of_box(index);
        top_k(scores, shown, &mut order);
        for (column, &class) in order[..shown].iter().enumerate() {
            let class = class as usize;
            let at = group * settings.classes_per_box + column;
            found.push((at, Detection { index, class, score: scores[class] }));
        }
    }
    (found, chosen.len())
}
