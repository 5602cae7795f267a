//! Tensors that are parts of others: what operators only join is written where the whole has it, and what they take out
//! of a whole stays there.

use ferrolite_ops::is_sized;

use crate::memory::{Assigner, Home, Layout, Sharing, Unit};

impl Assigner<'_> {
    /// Makes the outputs of a unit names for parts of its input `of`, which begin at these elements, if they can be.
    pub(crate) fn take(&self, unit: &Unit, of: usize, starts: &[usize], layout: &mut Layout) -> bool {
        let Some(whole) = unit.inputs.get(of).copied().flatten() else { return false };
        let (Home::Block { block, start }, Some(element)) = (layout.homes[whole], self.element(whole)) else {
            return false;
        };
        let homes: Vec<(usize, usize)> =
            unit.outputs.iter().zip(starts).map(|(&t, &first)| (t, start + first * element)).collect();
        if homes.iter().any(|&(t, start)| self.pinned[t] || !self.is_aligned(t, start)) {
            return false;
        }
        for (t, start) in homes {
            layout.homes[t] = Home::Block { block, start };
        }
        true
    }

    /// Puts the inputs of a unit where its output, which is these one behind the other, has them. They begin at these
    /// elements of it.
    ///
    /// An input moves there with all that shares its block. So it must be all of a block of the arena, and no other input
    /// may lie in that block, as one that is given twice does.
    pub(crate) fn join(&self, u: usize, unit: &Unit, starts: &[usize], layout: &mut Layout) -> Sharing {
        let &[output] = unit.outputs.as_slice() else { return Sharing::Own };
        let Some(element) = self.element(output).filter(|_| !self.pinned[output]) else {
            return Sharing::Own;
        };
        // Input, tensor, first byte.
        let pieces: Vec<(usize, usize, usize)> = (unit.inputs.iter().zip(starts).enumerate())
            .filter_map(|(i, (&t, &first))| Some((i, t?, first * element)))
            .filter(|&(_, t, _)| self.byte_len(t) > 0)
            .collect();
        if let Some(home) = self.joined_already(&pieces, output, layout) {
            layout.homes[output] = home;
            return Sharing::Alias;
        }
        let blocks: Vec<Option<usize>> = pieces.iter().map(|&(_, t, _)| block_of(layout, t)).collect();
        let movable = |&&(_, t, first): &&(usize, usize, usize)| {
            let Some(block) = block_of(layout, t) else { return false };
            let alone = blocks.iter().filter(|&&other| other == Some(block)).count() == 1;
            alone
                && self.fills(layout, t, block)
                && self.tenants(layout, block).iter().all(|&tenant| match layout.homes[tenant] {
                    Home::Block { start, .. } => self.is_aligned(tenant, first + start),
                    _ => false,
                })
        };
        let moved: Vec<(usize, usize, usize)> = pieces.iter().filter(movable).copied().collect();
        if moved.is_empty() {
            return Sharing::Own;
        }
        layout.homes[output] = self.new_block(layout, output, u);
        let Home::Block { block: whole, .. } = layout.homes[output] else { return Sharing::Own };
        for &(_, t, first) in &moved {
            let Some(block) = block_of(layout, t) else { continue };
            for tenant in self.tenants(layout, block) {
                if let Home::Block { start, .. } = layout.homes[tenant] {
                    layout.homes[tenant] = Home::Block { block: whole, start: first + start };
                }
            }
            layout.blocks[whole].first = layout.blocks[whole].first.min(layout.blocks[block].first);
            layout.blocks[block].size = 0;
        }
        if moved.len() == pieces.len() {
            return Sharing::Alias;
        }
        Sharing::Joined(moved.into_iter().map(|(i, ..)| i).collect())
    }

    /// The home of an output whose pieces lie one behind the other as they are.
    fn joined_already(
        &self,
        pieces: &[(usize, usize, usize)],
        output: usize,
        layout: &Layout,
    ) -> Option<Home> {
        let origin = |&(_, t, first): &(usize, usize, usize)| match layout.homes[t] {
            Home::Block { block, start } => Some(Home::Block { block, start: start.checked_sub(first)? }),
            Home::None | Home::Slot(_) => None,
        };
        let home = origin(pieces.first()?)?;
        let aligned = matches!(home, Home::Block { start, .. } if self.is_aligned(output, start));
        (aligned && pieces.iter().all(|piece| origin(piece) == Some(home))).then_some(home)
    }

    /// Bytes of an element of a tensor, if elements begin at bytes.
    fn element(&self, t: usize) -> Option<usize> {
        let dtype = self.info(t)?.dtype;
        let bits = dtype.bits().filter(|_| is_sized(dtype))?;
        (bits >= 8 && bits.is_multiple_of(8)).then_some(bits / 8)
    }

    /// Whether a tensor may begin at this byte of a block: kernels take no more for granted than that elements, as those
    /// of constants, are aligned to their size, up to eight bytes.
    pub(crate) fn is_aligned(&self, t: usize, start: usize) -> bool {
        start == 0 || self.element(t).is_some_and(|element| start.is_multiple_of(element.min(8)))
    }

    /// The tensors that lie in a block.
    pub(crate) fn tenants(&self, layout: &Layout, block: usize) -> Vec<usize> {
        (0..layout.homes.len()).filter(|&t| block_of(layout, t) == Some(block)).collect()
    }

    /// Whether a tensor takes all of a block.
    pub(crate) fn fills(&self, layout: &Layout, t: usize, block: usize) -> bool {
        layout.homes[t] == Home::Block { block, start: 0 } && self.byte_len(t) == layout.blocks[block].size
    }

    /// Whether two tensors have bytes of the arena in common.
    pub(crate) fn overlap(&self, layout: &Layout, a: usize, b: usize) -> bool {
        let (Home::Block { block, start: a_start }, Home::Block { block: other, start: b_start }) =
            (layout.homes[a], layout.homes[b])
        else {
            return false;
        };
        block == other && a_start < b_start + self.byte_len(b) && b_start < a_start + self.byte_len(a)
    }
}

fn block_of(layout: &Layout, t: usize) -> Option<usize> {
    match layout.homes[t] {
        Home::Block { block, .. } => Some(block),
        Home::None | Home::Slot(_) => None,
    }
}
