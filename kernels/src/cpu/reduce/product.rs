//! The product of quantized elements.

use super::plan::ReducePlan;
use crate::fixed_point::Multiplier;

/// Reduces quantized elements (less `zero_point`) to their product in the integer arithmetic of the format: after
/// every factor the product is rescaled, so that it stays in 32 bits. The order of the
/// factors is that of the source.
///
/// Results are written as 32-bit values that still lack the output's zero point and range.
///
/// # Panics
/// If an operand's length is not the plan's.
pub fn quantized_product<T: Copy + Into<i32>>(
    plan: &ReducePlan,
    zero_point: i32,
    rescale: Multiplier,
    src: &[T],
    dst: &mut [i32],
) {
    assert_eq!(
        (src.len(), dst.len()),
        (plan.source_len(), plan.result_len()),
        "operands must have the planned shape"
    );
    for (index, to) in dst.iter_mut().enumerate() {
        let mut product: Option<i32> = None;
        plan.for_each_element(index, |at| {
            let factor = src[at].into() - zero_point;
            product = Some(match product {
                None => factor,
                Some(p) => rescale.apply_wide(i64::from(p) * i64::from(factor)),
            });
        });
        *to = rescale.apply_wide(i64::from(product.unwrap_or(0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rescales_after_every_factor() {
        // Each step halves and rounds.
        let half = Multiplier::new(0.5).unwrap();
        let plan = ReducePlan::new(&[2, 3], &[false, true]);
        let mut got = [0; 2];
        quantized_product(&plan, 1, half, &[3i8, 5, 7, -3, 6, 2], &mut got);
        // (2 * 4) / 2 = 4, (4 * 6) / 2 = 12, 12 / 2 = 6; (-4 * 5) / 2 = -10, (-10 * 1) / 2 = -5, -5 / 2 = -2.
        assert_eq!(got, [6, -2]);
    }
}
