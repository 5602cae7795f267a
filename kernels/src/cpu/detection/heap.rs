//! A binary heap whose order among equal elements is that of the C++ standard library's heap functions.
//!
//! Which of two candidates of equal score comes first decides which box survives, so the order is part of the result.

/// A heap over `less`, greatest first.
pub(super) struct Heap<T, F> {
    items: Vec<T>,
    less: F,
}

impl<T: Copy, F: Fn(&T, &T) -> bool> Heap<T, F> {
    pub fn new(less: F) -> Self {
        Self { items: Vec::new(), less }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn push(&mut self, item: T) {
        self.items.push(item);
        self.rise(self.items.len() - 1, item);
    }

    pub fn pop(&mut self) -> Option<T> {
        let last = self.items.pop()?;
        let Some(&top) = self.items.first() else { return Some(last) };
        let hole = self.sink();
        self.rise(hole, last);
        Some(top)
    }

    /// Moves the hole at the root down to a leaf, the greater child filling it each time, of equal ones the right.
    fn sink(&mut self) -> usize {
        let (mut hole, len) = (0, self.items.len());
        while hole * 2 + 1 < len {
            let (left, right) = (hole * 2 + 1, hole * 2 + 2);
            let child =
                if right >= len || (self.less)(&self.items[right], &self.items[left]) { left } else { right };
            self.items[hole] = self.items[child];
            hole = child;
        }
        hole
    }

    /// Moves the hole at `hole` up to where `item` belongs, and puts it there.
    fn rise(&mut self, mut hole: usize, item: T) {
        while hole > 0 {
            let parent = (hole - 1) / 2;
            if !(self.less)(&self.items[parent], &item) {
                break;
            }
            self.items[hole] = self.items[parent];
            hole = parent;
        }
        self.items[hole] = item;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greatest_comes_first() {
        let mut heap = Heap::new(|a: &i32, b: &i32| a < b);
        let mut sorted: Vec<i32> = (0..50).map(|i| i * 7919 % 31).collect();
        for &item in &sorted {
            heap.push(item);
        }
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(heap.len(), 50);
        assert_eq!(core::iter::from_fn(|| heap.pop()).collect::<Vec<_>>(), sorted);
    }
}
