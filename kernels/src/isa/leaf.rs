//! Macros that write the methods of an [`Isa`](super::Isa), one line per instruction.

/// Writes the safe leaf methods of an [`Isa`]: each body is an unsafe expression over intrinsics whose only
/// condition is that the CPU has the instructions, which the token proves. They are inlined unless an attribute says
/// otherwise.
macro_rules! leaf {
    (#[$inline:meta] $($name:ident($($arg:ident: $T:ident),*) -> $R:ident = $body:expr;)*) => {
        $(
            #[$inline]
            #[allow(unused_unsafe, reason = "some intrinsics are safe where the target always has them")]
            fn $name(self, $($arg: leaf!(@ $T)),*) -> leaf!(@ $R) {
                // SAFETY: the token proves that the CPU has the instructions.
                unsafe { $body }
            }
        )*
    };
    ($($name:ident($($arg:ident: $T:ident),*) -> $R:ident = $body:expr;)*) => {
        leaf! { #[inline(always)] $($name($($arg: $T),*) -> $R = $body;)* }
    };
    (@ F) => { Self::F };
    (@ I) => { Self::I };
    (@ M) => { Self::M };
    (@ $T:ident) => { $T };
}

/// Writes the raw loads and stores of an [`Isa`]; what the pointers must satisfy is the trait's contract.
macro_rules! leaf_ptr {
    (#[$inline:meta] $($name:ident($($arg:ident: $T:ty),*) $(-> $R:ident)? = $body:expr;)*) => {
        $(
            #[$inline]
            #[allow(unused_unsafe, reason = "some intrinsics are safe where the target always has them")]
            unsafe fn $name(self, $($arg: $T),*) $(-> Self::$R)? {
                // SAFETY: the caller vouches for the pointer, the token for the instructions.
                unsafe { $body }
            }
        )*
    };
    ($($name:ident($($arg:ident: $T:ty),*) $(-> $R:ident)? = $body:expr;)*) => {
        leaf_ptr! { #[inline(always)] $($name($($arg: $T),*) $(-> $R)? = $body;)* }
    };
}

pub(super) use {leaf, leaf_ptr};
