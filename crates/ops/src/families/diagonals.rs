//! Diagonals of matrices: MATRIX_DIAG, MATRIX_SET_DIAG.

use ferrolite_kernels::cpu::movement::{CopyDim, CopyEnds};
use ferrolite_model::BuiltinOperator;

use super::moving::{Background, Moves, zero_element};
use crate::error::OpError;
use crate::kernel::Kernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes, one};
use crate::same_types;
use crate::shape::Shape;
use crate::spec::OpSpec;

/// The family's operators.
pub const SPECS: &[OpSpec] = &[
    OpSpec::builtin(BuiltinOperator::MATRIX_DIAG, infer_diag, lower_diag)
        .types(same_types![Float32, Int8, UInt8, Int16, Int32, Int64]),
    OpSpec::builtin(BuiltinOperator::MATRIX_SET_DIAG, infer_set_diag, lower_set_diag)
        .inputs(2, 2)
        .types(same_types![Float32, Int8, UInt8, Int16, Int32, Int64]),
];

/// The copy of diagonals of `n` elements into matrices of `rows` by `columns`.
fn onto_diagonals(matrices: usize, n: usize, [rows, columns]: [usize; 2]) -> (CopyEnds, [CopyDim; 2]) {
    let ends =
        CopyEnds { src_start: 0, src_len: matrices * n, dst_start: 0, dst_len: matrices * rows * columns };
    (
        ends,
        [
            CopyDim { len: matrices, src: n as isize, dst: (rows * columns) as isize },
            CopyDim { len: n, src: 1, dst: columns as isize + 1 },
        ],
    )
}

fn infer_diag(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let shape = node.shape(0)?;
    let n = shape.last().ok_or_else(|| OpError::invalid("MATRIX_DIAG takes diagonals, not a scalar"))?;
    let mut output = shape.clone();
    output.push(*n);
    Ok(one(output))
}

fn lower_diag(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let output = &node.output(0)?.shape;
    let [outer @ .., rows, columns] = &output[..] else {
        return Err(OpError::invalid("MATRIX_DIAG gives matrices"));
    };
    let (ends, dims) = onto_diagonals(Shape::new(outer).num_elements()?, *rows, [*rows, *columns]);
    // Off the diagonal the stored elements are zero, whatever a quantized tensor's zero point is.
    let zeros = vec![0; zero_element(node, 0)?.len()];
    Moves::new(node.dtype(0)?)?
        .over(Background::Element(zeros))
        .step((0, 0), ends, &dims)?
        .kernel("matrix_diag", &[output])
}

fn infer_set_diag(node: &Node<'_>) -> Result<OutputShapes, InferError> {
    let (shape, diagonal) = (node.shape(0)?, node.shape(1)?);
    let fits = match &shape[..] {
        [outer @ .., rows, columns] => **diagonal == *[outer, &[*rows.min(columns)]].concat(),
        _ => false,
    };
    if !fits {
        return Err(OpError::invalid(format!("{diagonal} is no diagonal of the matrices {shape}")).into());
    }
    Ok(one(shape.clone()))
}

fn lower_set_diag(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    let output = &node.output(0)?.shape;
    let [outer @ .., rows, columns] = &output[..] else {
        return Err(OpError::invalid("MATRIX_SET_DIAG takes matrices"));
    };
    let len = output.num_elements()?;
    let whole = CopyEnds { src_start: 0, src_len: len, dst_start: 0, dst_len: len };
    let (ends, dims) =
        onto_diagonals(Shape::new(outer).num_elements()?, *rows.min(columns), [*rows, *columns]);
    Moves::new(node.dtype(0)?)?
        .step((0, 0), whole, &[CopyDim { len, src: 1, dst: 1 }])?
        .step((1, 0), ends, &dims)?
        .kernel("matrix_set_diag", &[output])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{run_one, tensor};
    use super::*;
    use ferrolite_model::Options;

    #[test]
    fn diagonals_are_set() {
        let got =
            run_one::<i8>(BuiltinOperator::MATRIX_DIAG, Options::None, &[tensor(&[2, 2], &[1i8, 2, 3, 4])]);
        assert_eq!(got.unwrap(), (Shape::from([2, 2, 2]), vec![1, 0, 0, 2, 3, 0, 0, 4]));
        let matrix = || tensor(&[2, 3], &[1i32, 2, 3, 4, 5, 6]);
        let inputs = [matrix(), tensor(&[2], &[8i32, 9])];
        let got = run_one::<i32>(BuiltinOperator::MATRIX_SET_DIAG, Options::None, &inputs).unwrap();
        assert_eq!(got.1, [8, 2, 3, 4, 9, 6]);
        let inputs = [matrix(), tensor(&[3], &[8i32, 9, 10])];
        assert!(run_one::<i32>(BuiltinOperator::MATRIX_SET_DIAG, Options::None, &inputs).is_err());
    }
}
