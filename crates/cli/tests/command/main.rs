//! The built command, run as a user runs it.

mod arrays;
mod exits;
mod reports;
mod support;
#[cfg(feature = "flex")]
mod training;
