//! Pooling, one element at a time.

use crate::cpu::pool::{PoolShape, Pooling};

/// Pools NHWC images; positions outside of the image do not count.
pub fn pool<T: Copy, P: Pooling<T>>(pooling: P, shape: &PoolShape, src: &[T], dst: &mut [T]) {
    let mut results = dst.iter_mut();
    for image in 0..shape.batch {
        for out_y in 0..shape.out_height {
            for out_x in 0..shape.out_width {
                for channel in 0..shape.channels {
                    let mut acc = pooling.start();
                    let mut count = 0;
                    for ky in 0..shape.filter_height {
                        for kx in 0..shape.filter_width {
                            let y = (out_y * shape.stride_height + ky).wrapping_sub(shape.pad_top);
                            let x = (out_x * shape.stride_width + kx).wrapping_sub(shape.pad_left);
                            if y < shape.in_height && x < shape.in_width {
                                let pixel = (image * shape.in_height + y) * shape.in_width + x;
                                acc = P::step(acc, src[pixel * shape.channels + channel]);
                                count += 1;
                            }
                        }
                    }
                    if let Some(result) = results.next() {
                        *result = pooling.finish(acc, count);
                    }
                }
            }
        }
    }
}
