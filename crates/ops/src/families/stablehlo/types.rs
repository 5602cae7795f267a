//! Dispatch from a tensor's element type to the Rust type that stands for it.

/// Expands `$body` once for every listed type, with `$T` standing for it, and takes the one for `$dtype`.
macro_rules! dispatch {
    ($dtype:expr, $T:ident => $body:expr, $otherwise:expr, [$($Variant:ident = $Type:ty),* $(,)?]) => {
        match $dtype {
            $($crate::TensorType::$Variant => {
                type $T = $Type;
                $body
            })*
            _ => $otherwise,
        }
    };
}
pub(super) use dispatch;

/// The floats.
macro_rules! with_float {
    ($dtype:expr, $T:ident => $body:expr, $otherwise:expr) => {
        $crate::families::stablehlo::types::dispatch!($dtype, $T => $body, $otherwise, [
            Float32 = f32, Float64 = f64, Float16 = half::f16, BFloat16 = half::bf16,
        ])
    };
}
pub(super) use with_float;

/// The integers.
macro_rules! with_integer {
    ($dtype:expr, $T:ident => $body:expr, $otherwise:expr) => {
        $crate::families::stablehlo::types::dispatch!($dtype, $T => $body, $otherwise, [
            Int8 = i8, Int16 = i16, Int32 = i32, Int64 = i64, UInt8 = u8, UInt16 = u16, UInt32 = u32, UInt64 = u64,
        ])
    };
}
pub(super) use with_integer;

/// The complex numbers.
macro_rules! with_complex {
    ($dtype:expr, $T:ident => $body:expr, $otherwise:expr) => {
        $crate::families::stablehlo::types::dispatch!($dtype, $T => $body, $otherwise, [
            Complex64 = $crate::element::Complex64, Complex128 = $crate::element::Complex128,
        ])
    };
}
pub(super) use with_complex;

/// Integers and floats.
macro_rules! with_real {
    ($dtype:expr, $T:ident => $body:expr, $otherwise:expr) => {
        $crate::families::stablehlo::types::with_integer!($dtype, $T => $body,
            $crate::families::stablehlo::types::with_float!($dtype, $T => $body, $otherwise))
    };
}
pub(super) use with_real;

/// Integers, floats and complex numbers.
macro_rules! with_number {
    ($dtype:expr, $T:ident => $body:expr, $otherwise:expr) => {
        $crate::families::stablehlo::types::with_real!($dtype, $T => $body,
            $crate::families::stablehlo::types::with_complex!($dtype, $T => $body, $otherwise))
    };
}
pub(super) use with_number;

/// Numbers and truth values.
macro_rules! with_value {
    ($dtype:expr, $T:ident => $body:expr, $otherwise:expr) => {
        $crate::families::stablehlo::types::with_number!($dtype, $T => $body,
            $crate::families::stablehlo::types::dispatch!($dtype, $T => $body, $otherwise, [
                Bool = $crate::element::Bool,
            ]))
    };
}
pub(super) use with_value;

/// Rows of one element type for all operands.
macro_rules! rows {
    (integers) => {
        $crate::same_types![Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64]
    };
    (bits) => {
        $crate::same_types![Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64, Bool]
    };
    (floats) => {
        $crate::same_types![Float32, Float64, Float16, BFloat16]
    };
    (analytic) => {
        $crate::same_types![Float32, Float64, Float16, BFloat16, Complex64, Complex128, Int8, UInt8, Int16]
    };
    (real) => {
        $crate::same_types![
            Float32, Float64, Float16, BFloat16, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64
        ]
    };
    (numbers) => {
        $crate::same_types![
            Float32, Float64, Float16, BFloat16, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64,
            Complex64, Complex128
        ]
    };
    (values) => {
        $crate::same_types![
            Float32, Float64, Float16, BFloat16, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64,
            Complex64, Complex128, Bool
        ]
    };
}
pub(super) use rows;
