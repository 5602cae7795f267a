//! Points found in images: Landmarks2TransformMatrix, TransformLandmarks, as MediaPipe defines them.

use crate::error::OpError;
use crate::kernel::{FnKernel, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The module's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::custom("Landmarks2TransformMatrix", infer_matrix, lower_matrix)
        .versions_from(2, 2)
        .types(same_types![Float32]),
    OpSpec::custom("TransformLandmarks", infer_transform, lower_transform)
        .versions_from(2, 2)
        .inputs(2, 2)
        .types(same_types![Float32]),
];

/// The attributes of Landmarks2TransformMatrix.
struct Crop {
    subset: Vec<usize>,
    left: usize,
    right: usize,
    rotation: f32,
    /// Width, height.
    size: [f32; 2],
    /// Along x, along y.
    scale: [f32; 2],
}

fn crop(node: &Node<'_>) -> Result<Crop, OpError> {
    let count = match **node.shape(0)? {
        [1, count, 3] => count,
        _ => {
            return Err(OpError::invalid(format!("landmarks are [1, count, 3], not {}", node.shape(0)?)));
        }
    };
    let attributes = node.attributes()?;
    let landmark = |name: &str, index: i64| {
        usize::try_from(index).ok().filter(|&i| i < count).ok_or_else(|| {
            OpError::invalid(format!("the attribute '{name}' names landmark {index} of {count}"))
        })
    };
    let subset = attributes.ints("subset_idxs")?;
    let scale = |name: &str| {
        let scale = attributes.float(name)? as f32;
        if scale > 0.0 {
            return Ok(scale);
        }
        Err(OpError::invalid(format!("the attribute '{name}' is {scale}, it must be positive")))
    };
    if subset.is_empty() {
        return Err(OpError::invalid("the attribute 'subset_idxs' names no landmarks"));
    }
    Ok(Crop {
        subset: subset.iter().map(|&i| landmark("subset_idxs", i)).collect::<Result<_, _>>()?,
        left: landmark("left_rotation_idx", attributes.int("left_rotation_idx")?)?,
        right: landmark("right_rotation_idx", attributes.int("right_rotation_idx")?)?,
        rotation: attributes.float_or("target_rotation_radians", 0.0)? as f32,
        size: [attributes.positive("output_width")? as f32, attributes.positive("output_height")? as f32],
        scale: [scale("scale_x")?, scale("scale_y")?],
    })
}

fn infer_matrix(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    crop(node)?;
    Ok(one(Shape::from([1, 4, 4])))
}

/// A point turned by an angle about the origin.
fn turn([x, y]: [f32; 2], angle: f32) -> [f32; 2] {
    let (sin, cos) = angle.sin_cos();
    [cos * x - sin * y, sin * x + cos * y]
}

/// The matrix from the pixels of a crop to the image: the crop is the box around the subset once the line from the left to the
/// right landmark lies at the angle asked for, scaled.
fn lower_matrix(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let crop = crop(node)?;
    Ok(FnKernel::new("landmarks_to_matrix", move |io, _| {
        let landmarks = io.inputs.get::<f32>(0)?;
        let point = |i: usize| [landmarks[3 * i], landmarks[3 * i + 1]];
        let (left, right) = (point(crop.left), point(crop.right));
        let angle = crop.rotation - (right[1] - left[1]).atan2(right[0] - left[0]);
        let (mut least, mut most) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for &i in &crop.subset {
            let turned = turn(point(i), angle);
            for axis in 0..2 {
                least[axis] = least[axis].min(turned[axis]);
                most[axis] = most[axis].max(turned[axis]);
            }
        }
        let middle = turn([(least[0] + most[0]) / 2.0, (least[1] + most[1]) / 2.0], -angle);
        let scale: [f32; 2] =
            core::array::from_fn(|axis| crop.scale[axis] * (most[axis] - least[axis]) / crop.size[axis]);
        let (sin, cos) = (-angle).sin_cos();
        // Shift to the middle, turn, scale, shift by half of the crop.
        let row = |a: f32, b: f32, shift: f32| {
            let (a, b) = (a * scale[0], b * scale[1]);
            [a, b, 0.0, shift - a * crop.size[0] / 2.0 - b * crop.size[1] / 2.0]
        };
        let matrix =
            [row(cos, -sin, middle[0]), row(sin, cos, middle[1]), [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
        io.outputs.get::<f32>(0)?.copy_from_slice(matrix.as_flattened());
        Ok(())
    })
    .boxed())
}

fn infer_transform(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (landmarks, matrix) = (node.shape(0)?, node.shape(1)?);
    if landmarks.rank() != 3 || !matches!(landmarks.last(), Some(2 | 3)) || matrix.num_elements()? < 8 {
        let message = format!(
            "landmarks are [1, count, 2 or 3] and a matrix has two rows of four at least, not {landmarks} and {matrix}"
        );
        return Err(OpError::invalid(message).into());
    }
    Ok(one(landmarks.clone()))
}

/// The first two coordinates are transformed in the plane, a third one is kept.
fn lower_transform(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let dims = node.shape(0)?[2];
    Ok(FnKernel::new("transform_landmarks", move |io, _| {
        let (landmarks, matrix) = (io.inputs.get::<f32>(0)?, io.inputs.get::<f32>(1)?);
        let out = io.outputs.get::<f32>(0)?;
        out.copy_from_slice(landmarks);
        for (out, point) in out.chunks_exact_mut(dims).zip(landmarks.chunks_exact(dims)) {
            for (axis, out) in out[..2].iter_mut().enumerate() {
                let row = &matrix[4 * axis..][..4];
                *out = row[0] * point[0] + row[1] * point[1] + row[3];
            }
        }
        Ok(())
    })
    .boxed())
}
