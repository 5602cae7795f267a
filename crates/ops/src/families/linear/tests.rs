//! Operators of this family run by themselves; the golden vectors cover them in breadth.

use std::sync::Arc;

use ferrolite_kernels::isa::Cpu;
use ferrolite_model::options::{
    ActivationFunctionType, BatchMatMulOptionsT, Conv2DOptionsT, DepthwiseConv2DOptionsT,
    FullyConnectedOptionsT, Options, Padding, TransposeConvOptionsT,
};
use ferrolite_model::{BuiltinOperator, OpCode, Operator, Quantization, TensorType};

use super::SPECS;
use crate::error::OpError;
use crate::eval::{Argument, Detached, evaluate, plain_info};
use crate::lower::{Fused, LowerCx};
use crate::packs::PackCache;
use crate::shape::Shape;
use crate::spec::{OpKey, OpSpec};
use crate::tensor::{TensorInfo, TensorValue};

fn spec(op: BuiltinOperator) -> &'static OpSpec {
    SPECS.iter().find(|s| s.key == OpKey::Builtin(op)).unwrap()
}

fn info(dtype: TensorType, shape: &[usize], scale: f32, zero: i64) -> TensorInfo {
    let quantization = Some(Arc::new(Quantization::per_tensor(scale, zero)));
    TensorInfo { quantization, ..plain_info("t", dtype, shape) }
}

fn value(info: &TensorInfo, bytes: &[u8]) -> TensorValue {
    TensorValue::from_bytes(info.dtype, info.shape.clone(), bytes).unwrap()
}

/// Runs an operator whose operands all are constants.
fn run(
    op: BuiltinOperator,
    options: impl Into<Options>,
    operands: &[(TensorInfo, &[u8])],
    output: TensorInfo,
    cpu: Cpu,
    activation: Option<Fused>,
) -> Result<TensorValue, OpError> {
    let operator = Operator { options: options.into(), ..operator(op) };
    let values: Vec<TensorValue> = operands.iter().map(|(info, bytes)| value(info, bytes)).collect();
    let arguments: Vec<Argument<'_>> =
        operands.iter().zip(&values).map(|((info, _), value)| Some((info, Some(value.bytes())))).collect();
    let packs = PackCache::default();
    let cx = LowerCx { activation, ..LowerCx::alone(cpu, &packs) };
    let mut context = Detached::default();
    evaluate(spec(op), &operator, &arguments, &[output], &[], &mut [], &cx, &mut context)
        .map(|mut o| o.remove(0))
}

fn operator(op: BuiltinOperator) -> Operator {
    Operator { code: OpCode::Builtin(op), version: 1, ..Operator::default() }
}

fn bytes<T: bytemuck::NoUninit>(elements: &[T]) -> &[u8] {
    bytemuck::cast_slice(elements)
}

fn conv_options(activation: ActivationFunctionType) -> Conv2DOptionsT {
    Conv2DOptionsT {
        padding: Padding::VALID,
        stride_w: 1,
        stride_h: 1,
        fused_activation_function: activation,
        dilation_w_factor: 1,
        dilation_h_factor: 1,
        ..Conv2DOptionsT::default()
    }
}

/// A pointwise convolution of two pixels: by hand.
#[test]
fn quantized_convolution() {
    let x = info(TensorType::Int8, &[1, 1, 2, 2], 0.5, -1);
    let w = info(TensorType::Int8, &[2, 1, 1, 2], 0.25, 0);
    let b = plain_info("b", TensorType::Int32, &[2]);
    let y = info(TensorType::Int8, &[1, 1, 2, 2], 1.0, 3);
    // Less the zero point: pixels (3, 5), (-1, 1); sums with bias (3*4 + 5*2) + 4 = 26, (-3 + 10) - 8 = -1, and so on.
    for (activation, want) in [
        (ActivationFunctionType::NONE, [6i8, 3, 3, 2]),
        (ActivationFunctionType::RELU, [6, 3, 3, 3]),
        (ActivationFunctionType::RELU_N1_TO_1, [4, 3, 3, 2]),
    ] {
        for cpu in Cpu::all() {
            let operands: &[(TensorInfo, &[u8])] = &[
                (x.clone(), bytes(&[2i8, 4, -2, 0])),
                (w.clone(), bytes(&[4i8, 2, -1, 2])),
                (b.clone(), bytes(&[4i32, -8])),
            ];
            let got = run(BuiltinOperator::CONV_2D, conv_options(activation), operands, y.clone(), cpu, None);
            assert_eq!(got.unwrap().elements::<i8>().unwrap(), want, "{activation:?} on {}", cpu.name());
        }
    }
}

/// Weights of four bits lie low half first.
#[test]
fn packed_weights_unpack() {
    let x = info(TensorType::Int8, &[1, 3], 1.0, 0);
    let w = info(TensorType::Int4, &[2, 3], 1.0, 0);
    let b = plain_info("b", TensorType::Int32, &[2]);
    let y = info(TensorType::Int8, &[1, 2], 1.0, 0);
    // The rows 1, -2, 3 and -8, 7, 0.
    let operands: &[(TensorInfo, &[u8])] =
        &[(x, bytes(&[1i8, 10, 2])), (w, &[0xe1, 0x83, 0x07]), (b, bytes(&[0i32, 0]))];
    let got = run(
        BuiltinOperator::FULLY_CONNECTED,
        FullyConnectedOptionsT::default(),
        operands,
        y,
        Cpu::detect(),
        None,
    );
    assert_eq!(got.unwrap().elements::<i8>().unwrap(), [-13, 62]);
}

/// An activation behind the operator joins the operator's own.
#[test]
fn fused_activations() {
    let f32_info = |shape: &[usize]| plain_info("t", TensorType::Float32, shape);
    let rows = [
        (ActivationFunctionType::NONE, None, [-4.0f32, 8.0]),
        (ActivationFunctionType::RELU6, None, [0.0, 6.0]),
        (ActivationFunctionType::NONE, Some(BuiltinOperator::RELU_N1_TO_1), [-1.0, 1.0]),
        (ActivationFunctionType::RELU, Some(BuiltinOperator::RELU6), [0.0, 6.0]),
        (ActivationFunctionType::NONE, Some(BuiltinOperator::HARD_SWISH), [0.0, 8.0]),
    ];
    for (own, fused, want) in rows {
        let operands: &[(TensorInfo, &[u8])] = &[
            (f32_info(&[1, 2]), bytes(&[2.0f32, 1.0])),
            (f32_info(&[2, 2]), bytes(&[-2.0f32, 0.0, 3.0, 2.0])),
            (f32_info(&[2]), bytes(&[0.0f32, 0.0])),
        ];
        let options = FullyConnectedOptionsT { fused_activation_function: own, ..Default::default() };
        let got = run(
            BuiltinOperator::FULLY_CONNECTED,
            options,
            operands,
            f32_info(&[1, 2]),
            Cpu::detect(),
            fused.map(Fused::Operator),
        );
        let got = got.unwrap();
        for (got, want) in got.elements::<f32>().unwrap().iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{own:?} then {fused:?}: {got}, not {want}");
        }
    }
}

/// Weights of bytes beside floats: the result is that of floats but for the rounding of the activations.
#[test]
fn hybrid_products_are_near() {
    let x: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
    let w: Vec<i8> = (0..40).map(|i| (i * 37 % 255 - 127) as i8).collect();
    let operands: &[(TensorInfo, &[u8])] = &[
        (plain_info("x", TensorType::Float32, &[3, 8]), bytes(&x)),
        (info(TensorType::Int8, &[5, 8], 0.01, 0), bytes(&w)),
        (plain_info("b", TensorType::Float32, &[5]), bytes(&[1.0f32, 2.0, 3.0, 4.0, 5.0])),
    ];
    for cpu in Cpu::all() {
        let y = plain_info("y", TensorType::Float32, &[3, 5]);
        let op = BuiltinOperator::FULLY_CONNECTED;
        let got = run(op, FullyConnectedOptionsT::default(), operands, y, cpu, None).unwrap();
        for (i, &got) in got.elements::<f32>().unwrap().iter().enumerate() {
            let (row, unit) = (i / 5, i % 5);
            let want: f32 = (0..8).map(|k| x[row * 8 + k] * f32::from(w[unit * 8 + k]) * 0.01).sum::<f32>();
            assert!((got - want - (unit + 1) as f32).abs() < 0.1, "{} {row},{unit}: {got}", cpu.name());
        }
    }
}

/// Operands that contradict each other are refused with a message that names them.
#[test]
fn refusals() {
    let f32_info = |shape: &[usize]| plain_info("t", TensorType::Float32, shape);
    let depthwise = DepthwiseConv2DOptionsT {
        padding: Padding::SAME,
        stride_w: 1,
        stride_h: 1,
        depth_multiplier: 1,
        dilation_w_factor: 1,
        dilation_h_factor: 1,
        ..Default::default()
    };
    type Row = (&'static str, BuiltinOperator, Options, Vec<Vec<usize>>, &'static str);
    let rows: Vec<Row> = vec![
        (
            "channels",
            BuiltinOperator::CONV_2D,
            conv_options(ActivationFunctionType::NONE).into(),
            vec![vec![1, 4, 4, 3], vec![2, 1, 1, 2], vec![2]],
            "groups",
        ),
        (
            "stride",
            BuiltinOperator::CONV_2D,
            Conv2DOptionsT { stride_w: 0, ..conv_options(ActivationFunctionType::NONE) }.into(),
            vec![vec![1, 4, 4, 2], vec![2, 1, 1, 2], vec![2]],
            "stride",
        ),
        (
            "multiplier",
            BuiltinOperator::DEPTHWISE_CONV_2D,
            depthwise.into(),
            vec![vec![1, 4, 4, 3], vec![1, 2, 2, 4], vec![4]],
            "multiplier",
        ),
        (
            "depth",
            BuiltinOperator::FULLY_CONNECTED,
            FullyConnectedOptionsT::default().into(),
            vec![vec![2, 3], vec![4, 5], vec![4]],
            "rows of 5",
        ),
        (
            "bias",
            BuiltinOperator::FULLY_CONNECTED,
            FullyConnectedOptionsT::default().into(),
            vec![vec![2, 5], vec![4, 5], vec![3]],
            "bias",
        ),
        (
            "inner dimensions",
            BuiltinOperator::BATCH_MATMUL,
            BatchMatMulOptionsT::default().into(),
            vec![vec![2, 3], vec![4, 5]],
            "cannot be multiplied",
        ),
    ];
    for (name, op, options, shapes, want) in rows {
        let zeros: Vec<Vec<u8>> = shapes.iter().map(|s| vec![0; s.iter().product::<usize>() * 4]).collect();
        let operands: Vec<(TensorInfo, &[u8])> =
            shapes.iter().zip(&zeros).map(|(s, z)| (f32_info(s), z.as_slice())).collect();
        let error = run(op, options, &operands, f32_info(&[1]), Cpu::detect(), None).unwrap_err();
        assert!(error.message().contains(want), "{name}: {error}");
    }
    let operands: &[(TensorInfo, &[u8])] = &[
        (plain_info("s", TensorType::Int32, &[4]), bytes(&[1i32, 4, 4, 3])),
        (f32_info(&[2, 2, 2, 1]), &[0; 32]),
        (f32_info(&[1, 2, 2, 1]), &[0; 16]),
    ];
    let options = TransposeConvOptionsT { stride_h: 2, stride_w: 2, ..Default::default() };
    let error = run(BuiltinOperator::TRANSPOSE_CONV, options, operands, f32_info(&[1]), Cpu::detect(), None)
        .unwrap_err();
    assert!(error.message().contains("output shape"), "{error}");
}

#[test]
fn broadcast_batches() {
    let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let w: Vec<f32> = (0..6).map(|i| i as f32 - 2.0).collect();
    let f32_info = |shape: &[usize]| plain_info("t", TensorType::Float32, shape);
    // [2, 1, 2, 3] times [1, 1, 3, 2].
    let operands: &[(TensorInfo, &[u8])] =
        &[(f32_info(&[2, 1, 2, 3]), bytes(&x)), (f32_info(&[1, 1, 3, 2]), bytes(&w))];
    let op = BuiltinOperator::BATCH_MATMUL;
    let got = run(op, BatchMatMulOptionsT::default(), operands, f32_info(&[]), Cpu::detect(), None).unwrap();
    assert_eq!(got.shape(), &Shape::from([2, 1, 2, 2]));
    let want: Vec<f32> = (0..8).map(|i| (0..3).map(|k| x[i / 2 * 3 + k] * w[k * 2 + i % 2]).sum()).collect();
    assert_eq!(got.elements::<f32>().unwrap(), want);
}
