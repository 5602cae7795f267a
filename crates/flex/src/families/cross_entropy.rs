//! Cross-entropy of logits and labels, together with its gradient.

use ferrolite_ops::{
    FnKernel, InferError, Kernel, LowerCx, Node, OpError, OpSpec, OutputShape, OutputShapes, Shape, types,
};

use super::support::{dims, integers};

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("FlexSoftmaxCrossEntropyWithLogits", infer_dense, lower_dense)
        .inputs(2, 2)
        .outputs(2, 2)
        .types(types![(Float32) -> (Float32)]),
    OpSpec::custom("FlexSparseSoftmaxCrossEntropyWithLogits", infer_sparse, lower_sparse)
        .inputs(2, 2)
        .outputs(2, 2)
        .types(types![(Float32, Int32) -> (Float32), (Float32, Int64) -> (Float32)]),
];

fn shapes(rows: usize, classes: usize) -> OutputShapes {
    [Shape::from([rows]), Shape::from([rows, classes])].into_iter().map(OutputShape::Known).collect()
}

/// Logits and labels broadcast against each other.
fn infer_dense(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let [rows, classes] = dims(&node.shape(0)?.broadcast(node.shape(1)?)?)?;
    Ok(shapes(rows, classes))
}

fn infer_sparse(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let [rows, classes] = dims(node.shape(0)?)?;
    let [labels] = dims(node.shape(1)?)?;
    if labels != rows {
        return Err(OpError::invalid(format!("{labels} labels do not fit {rows} rows of logits")).into());
    }
    Ok(shapes(rows, classes))
}

/// Writes logits minus their logarithmic sum of exponentials to `out`.
fn log_softmax(logits: impl Iterator<Item = f32> + Clone, out: &mut [f32]) {
    let max = logits.clone().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.clone().map(|x| libm::expf(x - max)).sum();
    let log = libm::logf(sum);
    for (out, x) in out.iter_mut().zip(logits) {
        *out = x - max - log;
    }
}

fn lower_dense(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let [rows, classes] = dims(&node.shape(0)?.broadcast(node.shape(1)?)?)?;
    let sizes = [dims::<2>(node.shape(0)?)?, dims::<2>(node.shape(1)?)?];
    Ok(FnKernel::new("f32_softmax_cross_entropy", move |io, _| {
        let (logits, labels) = (io.inputs.get::<f32>(0)?, io.inputs.get::<f32>(1)?);
        let at = |of: usize, values: &[f32], row: usize, class: usize| {
            let [own_rows, own_classes] = sizes[of];
            let (row, class) =
                (if own_rows == 1 { 0 } else { row }, if own_classes == 1 { 0 } else { class });
            values[row * own_classes + class]
        };
        let (losses, gradients) = io.outputs.pair::<f32, f32>(0, 1)?;
        for row in 0..rows {
            let gradient = &mut gradients[row * classes..][..classes];
            log_softmax((0..classes).map(|class| at(0, logits, row, class)), gradient);
            let mut loss = 0.0;
            for (class, g) in gradient.iter_mut().enumerate() {
                let label = at(1, labels, row, class);
                // A label of zero takes no part, even where the logarithm is infinite.
                loss -= if label == 0.0 { 0.0 } else { label * *g };
                *g = libm::expf(*g) - label;
            }
            losses[row] = loss;
        }
        Ok(())
    })
    .boxed())
}

/// TensorFlow's CPU kernel refuses labels out of range.
fn lower_sparse(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let [_, classes] = dims(node.shape(0)?)?;
    Ok(FnKernel::new("f32_sparse_softmax_cross_entropy", move |io, _| {
        let logits = io.inputs.get::<f32>(0)?;
        let labels = integers(&io.inputs, 1)?;
        let (losses, gradients) = io.outputs.pair::<f32, f32>(0, 1)?;
        for (row, &label) in labels.iter().enumerate() {
            let label = usize::try_from(label).ok().filter(|&l| l < classes).ok_or_else(|| {
                OpError::runtime(format!("the label {label} of row {row} is none of the {classes} classes"))
            })?;
            let gradient = &mut gradients[row * classes..][..classes];
            log_softmax(logits[row * classes..][..classes].iter().copied(), gradient);
            losses[row] = -gradient[label];
            gradient.iter_mut().for_each(|g| *g = libm::expf(*g));
            gradient[label] -= 1.0;
        }
        Ok(())
    })
    .boxed())
}
