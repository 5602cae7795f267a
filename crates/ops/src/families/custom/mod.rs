//! Custom operators that models of TensorFlow Lite's world use, by name.

pub(super) mod argmax_pool;
pub(super) mod arrays;
pub(super) mod attention;
pub(super) mod audio;
pub(super) mod detection;
pub(super) mod examples;
pub(super) mod gru;
pub(super) mod landmarks;
pub(super) mod lists;
pub(super) mod microfrontend;
pub(super) mod normalization;
pub(super) mod pool3d;
pub(super) mod roll;
pub(super) mod rotation;
pub(super) mod transpose_bias;
pub(super) mod verify;
pub(super) mod warp;

mod proto;
mod structs;

#[cfg(test)]
mod tests {
    use ferrolite_model::flexbuffers::{self, Value};
    use ferrolite_model::{OpCode, Operator, TensorType};

    use crate::families::testing::{Input, output, raw, run_operator};
    use crate::node::{Node, OutputShape};
    use crate::regions::NoRegions;
    use crate::registry::Registry;
    use crate::spec::{OpKey, OpSpec};
    use crate::strings;
    use crate::tensor::TensorInfo;

    /// Names of attributes whose values decide about sizes.
    const NUMBERS: [&str; 36] = [
        "block_size",
        "dct_coefficient_count",
        "detections_per_class",
        "filterbank_channel_count",
        "frame_stride",
        "gain_bits",
        "hadamard_size",
        "key_dtype",
        "kv_cache_max",
        "layer_index",
        "left_context",
        "left_rotation_idx",
        "lower_frequency_limit",
        "max_classes_per_detection",
        "max_detections",
        "Ndense",
        "nms_iou_threshold",
        "nms_score_threshold",
        "Nsparse",
        "num_channels",
        "num_classes",
        "num_groups",
        "num_layers",
        "output_height",
        "output_width",
        "right_context",
        "right_rotation_idx",
        "sample_rate",
        "scale_x",
        "scale_y",
        "smoothing_bits",
        "stride",
        "upper_frequency_limit",
        "window_size",
        "window_step",
        "y_scale",
    ];
    const LISTS: [&str; 4] = ["ksize", "output_size", "strides", "subset_idxs"];

    fn attributes(number: i64) -> Vec<u8> {
        let numbers = NUMBERS.iter().map(|&name| (name, Value::Int(number)));
        let list = vec![Value::Int(1), Value::Int(number), Value::Int(2), Value::Int(number), Value::Int(1)];
        let lists = LISTS.iter().map(|&name| (name, Value::Vector(list.clone())));
        let others =
            [("x_scale", Value::Float(1.0)), ("h_scale", Value::Float(1.0)), ("w_scale", Value::Float(1.0))];
        let texts = [("padding", Value::String("SAME"))];
        flexbuffers::encode(&Value::Map(numbers.chain(lists).chain(others).chain(texts).collect()))
    }

    fn input(dtype: TensorType, shape: &[usize], byte: u8) -> Input {
        let count: usize = shape.iter().product();
        if dtype == TensorType::String {
            return raw(dtype, shape, &strings::encode(&vec![[byte; 3]; count]).unwrap());
        }
        let bytes = dtype.byte_len(count).unwrap_or(4 * count);
        raw(dtype, shape, &vec![byte; bytes])
    }

    /// Whether the outputs, as far as they are known, would pass the limits of an interpreter.
    fn outputs_are_small(
        spec: &OpSpec,
        operator: &Operator,
        inputs: &[Input],
        outputs: &[TensorInfo],
    ) -> bool {
        let operands: Vec<_> = inputs.iter().map(|input| Some(input.operand())).collect();
        let node = Node { operator, inputs: &operands, outputs, intermediates: &[], regions: &NoRegions };
        let small = |shape: &OutputShape| match shape {
            OutputShape::Known(shape) => shape.num_elements().is_ok_and(|n| n <= 1 << 16),
            OutputShape::Dynamic | OutputShape::Declared => true,
        };
        spec.check(&node).is_ok() && (spec.infer)(&node).is_ok_and(|shapes| shapes.iter().all(small))
    }

    /// Runs an operator on operands that hardly ever fit it; whatever comes of it, it may not panic.
    fn try_out(spec: &OpSpec, options: &[u8], shape: &[usize], byte: u8) {
        let OpKey::Custom(name) = spec.key else { return };
        let operator = Operator {
            code: OpCode::Custom(name.to_owned()),
            version: spec.versions.1,
            custom_options: options.to_vec().into(),
            ..Operator::default()
        };
        let pick = |types: &[TensorType], i: usize| {
            types.get(i).or(types.last()).copied().unwrap_or(TensorType::Float32)
        };
        for row in spec.types.iter().take(2) {
            for count in spec.inputs.0..=spec.inputs.1.min(spec.inputs.0 + 1) {
                let inputs: Vec<Input> =
                    (0..count).map(|i| input(pick(row.inputs, i), shape, byte)).collect();
                let outputs: Vec<_> = (0..spec.outputs.0).map(|i| output(pick(row.outputs, i))).collect();
                if outputs_are_small(spec, &operator, &inputs, &outputs) {
                    let _ = run_operator(&operator, &inputs, &outputs);
                }
            }
        }
    }

    #[test]
    fn no_operands_or_attributes_make_an_operator_panic() {
        let numbers = [-1, 0, 1, 2, 7, i64::from(i32::MAX), i64::MAX, i64::MIN];
        let mut options: Vec<Vec<u8>> = numbers.into_iter().map(attributes).collect();
        options.extend([Vec::new(), vec![0xff; 40], vec![1; 40], [2, 0, 0, 0].repeat(10)]);
        let shapes: [&[usize]; 9] =
            [&[], &[0], &[1], &[3], &[2, 2], &[1, 2, 4], &[1, 2, 2, 4], &[1, 0, 2, 3], &[1, 2, 2, 2, 1]];
        let registry = Registry::builtin();
        for spec in registry.specs() {
            for options in &options {
                for shape in shapes {
                    for byte in [0, 1, 0xff] {
                        try_out(spec, options, shape, byte);
                    }
                }
            }
        }
    }
}
