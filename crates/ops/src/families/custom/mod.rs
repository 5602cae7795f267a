//! Custom operators that models of TensorFlow Lite's world use, by name.

pub(super) mod argmax_pool;
pub(super) mod arrays;
pub(super) mod attention;
pub(super) mod audio;
pub(super) mod detection;
pub(super) mod gru;
pub(super) mod landmarks;
pub(super) mod lists;
pub(super) mod normalization;
pub(super) mod pool3d;
pub(super) mod roll;
pub(super) mod rotation;
pub(super) mod transpose_bias;
pub(super) mod verify;
pub(super) mod warp;

mod structs;
