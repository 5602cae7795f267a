//! Small weights in every layout, by whose packed bytes one version of the layouts is told from another.

use half::f16;

use super::{Lines, Packing, Shelf};
use crate::cpu::float::conv::{ConvShape, ConvWeightsF32, DepthwiseWeightsF32};
use crate::cpu::float::conv::{TransposeConvShape, TransposeConvWeightsF32, WinogradWeightsF32};
use crate::cpu::float::gemm::PackedF32;
use crate::cpu::float::stored::StoredFloats;
use crate::cpu::int8::blockwise::BlockWeights;
use crate::cpu::int8::depthwise::PackedDepthwise;
use crate::cpu::int8::pack::{Bytes, Matrix, PackLayout, PackedWeights, Width};
use crate::cpu::int8::rows::Window;
use crate::error::ShapeError;
use crate::isa::Cpu;

/// More channels than two vectors of any instruction set have, and no multiple of any.
const CHANNELS: usize = 71;
const KERNEL: [usize; 2] = [3, 3];
/// Channels of the inputs of convolutions.
const INPUTS: usize = 5;

/// The packed bytes of fixed weights for `cpu`, layout by layout. Whoever keeps packed weights keeps a hash of these beside
/// them: when a layout changes, so do they, without anybody having to remember.
///
/// # Errors
/// None in fact: the sizes fit.
pub fn samples(cpu: Cpu) -> Result<Vec<Lines<u8>>, ShapeError> {
    let shelf = Shelf::default();
    let packing = Packing::new(cpu, &shelf);
    floats(packing)?;
    bytes(packing);
    Ok(shelf.into_parts().0)
}

/// Numbers of which no two neighbours, nor rows, are alike.
fn noise(len: usize) -> Vec<i8> {
    (0..len).map(|i| (i * i * 31 + i * 7 + i / 5) as i8).collect()
}

fn floats(packing: Packing<'_>) -> Result<(), ShapeError> {
    let values: Vec<f32> = noise(CHANNELS * 9 * INPUTS).into_iter().map(f32::from).collect();
    let bias = Some(&values[..CHANNELS]);
    let matrix = &values[..CHANNELS * INPUTS];
    PackedF32::new(packing, CHANNELS, INPUTS, matrix, bias)?;
    let halves: Vec<f16> = matrix.iter().map(|&value| f16::from_f32(value)).collect();
    PackedF32::new(packing, CHANNELS, INPUTS, StoredFloats::Kept(&halves), bias)?;
    PackedF32::from_transposed(packing, CHANNELS, INPUTS, matrix, bias)?;
    let shape = ConvShape {
        batch: 1,
        input: [1, 8, 8],
        in_channels: INPUTS,
        out_channels: CHANNELS,
        kernel: [1, KERNEL[0], KERNEL[1]],
        stride: [1; 3],
        dilation: [1; 3],
        pad_before: [0; 3],
        pad_after: [0; 3],
        groups: 1,
    };
    ConvWeightsF32::new(packing, &shape, &values[..], bias)?;
    WinogradWeightsF32::new(packing, &shape, &values[..], bias)?;
    DepthwiseWeightsF32::new(packing, KERNEL, CHANNELS, &values[..9 * CHANNELS], bias)?;
    let shape = TransposeConvShape {
        batch: 1,
        input: [1, 4, 4],
        in_channels: INPUTS,
        output: [1, 8, 8],
        out_channels: CHANNELS,
        kernel: [1, KERNEL[0], KERNEL[1]],
        stride: [1, 2, 2],
        pad_before: [0; 3],
    };
    TransposeConvWeightsF32::new(packing, &shape, &values, bias)?;
    Ok(())
}

fn bytes(packing: Packing<'_>) {
    let cpu = packing.cpu();
    let values = noise(CHANNELS * 9 * INPUTS);
    let window = Window {
        batch: 1,
        input: [8, 8],
        channels: INPUTS,
        output: [6, 6],
        kernel: KERNEL,
        stride: [1, 1],
        dilation: [1, 1],
        padding: [0, 0],
    };
    for width in [Width::Bytes, Width::Words] {
        let depth = 9 * INPUTS;
        let layouts = [
            PackLayout::new(cpu, width, CHANNELS, depth),
            PackLayout::for_windows(cpu, width, CHANNELS, &window, INPUTS),
        ];
        let matrix = || Matrix {
            bytes: Bytes::Signed(&values),
            zero: 0,
            cols: CHANNELS,
            depth,
            col_stride: depth,
            depth_stride: 1,
        };
        for layout in layouts {
            PackedWeights::lazily(packing, layout, 0, matrix);
        }
    }
    for (channels, multiplier) in [(CHANNELS, 1), (CHANNELS / 2, 2)] {
        let filter = Bytes::Signed(&values[..9 * channels * multiplier]);
        for width in [Width::Bytes, Width::Words] {
            PackedDepthwise::new(packing, width, filter, &[3], KERNEL, channels, multiplier);
        }
    }
    let _ = BlockWeights::new(packing, || &values[..32 * 4], vec![0.5; 4 * 2], Vec::new(), 32, 16);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_has_a_sample() {
        for cpu in Cpu::all() {
            let all = samples(cpu).unwrap();
            assert!(all.len() >= 17, "{}: {}", cpu.name(), all.len());
            assert!(all.iter().all(|part| part.iter().any(|&byte| byte != 0)), "{}", cpu.name());
            assert_eq!(all.len(), samples(cpu).unwrap().len(), "{}", cpu.name());
            for (a, b) in all.iter().zip(&samples(cpu).unwrap()) {
                assert_eq!(a.bytes(), b.bytes(), "{}: the same each time", cpu.name());
            }
        }
    }
}
