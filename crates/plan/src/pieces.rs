//! Tensors that are parts of others: what operators only join is written where the whole has it, and what they take out
//! of a whole stays there.

use ferrolite_ops::{Parts, is_sized};

use crate::memory::{Assigner, Home, Layout, Sharing, Unit};

/// An input of an operator that joins.
#[derive(Clone, Copy)]
struct Piece {
    /// Which input.
    input: usize,
    tensor: usize,
    /// The first byte of its part of a row.
    first: usize,
}

/// What pieces are joined to.
#[derive(Clone, Copy)]
struct Whole {
    tensor: usize,
    len: usize,
    /// Bytes of an element and of a row.
    element: usize,
    row: usize,
}

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
            layout.settle(t, Home::Block { block, start });
        }
        true
    }

    /// Puts the inputs of a unit where its output has them: each row of it, of `row` elements, is theirs, which begin at
    /// these elements, one behind the other.
    ///
    /// An input moves there with all that shares its block. So it must be all of a block of the arena, and no other input
    /// may lie in that block, as one that is given twice does. Where there are several rows, who writes it must be able to
    /// leave space between them, and nobody else may read it.
    pub(crate) fn join(
        &self,
        u: usize,
        unit: &Unit,
        row: usize,
        starts: &[usize],
        layout: &mut Layout,
    ) -> Sharing {
        let &[tensor] = unit.outputs.as_slice() else { return Sharing::Own };
        let Some(element) = self.element(tensor).filter(|_| !self.pinned[tensor]) else {
            return Sharing::Own;
        };
        let whole = Whole { tensor, len: self.byte_len(tensor), element, row: row * element };
        let pieces: Vec<Piece> = (unit.inputs.iter().zip(starts).enumerate())
            .filter_map(|(input, (&t, &first))| Some(Piece { input, tensor: t?, first: first * element }))
            .filter(|piece| self.byte_len(piece.tensor) > 0)
            .collect();
        if let Some(home) = self.joined_already(&pieces, whole, layout) {
            layout.settle(tensor, home);
            return Sharing::Alias;
        }
        let blocks: Vec<Option<usize>> = pieces.iter().map(|p| layout.homes[p.tensor].block()).collect();
        let alone = |block| blocks.iter().filter(|&&other| other == Some(block)).count() == 1;
        let moved: Vec<(Piece, usize)> = (pieces.iter())
            .filter_map(|&piece| Some((piece, layout.homes[piece.tensor].block()?)))
            .filter(|&(piece, block)| alone(block) && self.moves(piece, block, whole, layout))
            .collect();
        if moved.is_empty() {
            return Sharing::Own;
        }
        let home = self.new_block(layout, tensor, u);
        layout.settle(tensor, home);
        for &(piece, block) in &moved {
            self.move_block(block, piece.first, whole, layout);
        }
        if moved.len() == pieces.len() {
            return Sharing::Alias;
        }
        Sharing::Joined(moved.into_iter().map(|(piece, _)| piece.input).collect())
    }

    /// The home of an output whose pieces lie one behind the other as they are.
    fn joined_already(&self, pieces: &[Piece], whole: Whole, layout: &Layout) -> Option<Home> {
        let origin = |piece: &Piece| match layout.homes[piece.tensor] {
            Home::Block { block, start } => {
                Some(Home::Block { block, start: start.checked_sub(piece.first)? })
            }
            Home::None | Home::Slot(_) | Home::Rows { .. } => None,
        };
        let home = origin(pieces.first()?)?;
        let aligned = matches!(home, Home::Block { start, .. } if self.is_aligned(whole.tensor, start));
        let fits = aligned && whole.row == whole.len;
        (fits && pieces.iter().all(|piece| origin(piece) == Some(home))).then_some(home)
    }

    /// Whether a piece, with all that shares its block, can have its memory in the whole.
    fn moves(&self, piece: Piece, block: usize, whole: Whole, layout: &Layout) -> bool {
        if !self.fills(layout, piece.tensor, block) {
            return false;
        }
        let tenants = layout.tenants(block);
        if whole.row == whole.len {
            let start = |t: usize| layout.homes[t].start().map(|start| piece.first + start);
            return tenants.iter().all(|&t| start(t).is_some_and(|start| self.is_aligned(t, start)));
        }
        let row = self.byte_len(piece.tensor) / (whole.len / whole.row);
        self.last_dim(piece.tensor).is_some_and(|last| last * whole.element == row)
            && tenants.iter().all(|&t| self.can_be_spaced(t, layout))
    }

    /// Whether there may be space between the rows of a tensor: whoever writes it can leave some, and nobody reads it but
    /// the unit that joins it.
    fn can_be_spaced(&self, t: usize, layout: &Layout) -> bool {
        let writer = self.traffic.writer[t].filter(|_| self.traffic.readers[t] == 1);
        let Some(w) = writer else { return false };
        let unit = &self.units[w];
        match (&layout.sharing[w], &self.parts[w]) {
            (Sharing::Own, _) => {
                let Some(&n) = unit.nodes.first() else { return false };
                // An addend lies as the dense output does.
                (unit.nodes.len() == 1 || unit.gate.is_some() && unit.residual.is_none())
                    && unit.backend.is_none()
                    && unit.chain.is_none()
                    && unit.outputs == [t]
                    && self.graph.nodes[n].spec.traits.spaced_rows
            }
            // Joined from such, by rows of its own.
            (Sharing::Alias, Some(Parts::Joined { row, .. })) => self.last_dim(t) == Some(*row),
            _ => false,
        }
    }

    /// Moves all that lies in a block to where a piece of a whole begins.
    fn move_block(&self, block: usize, first: usize, whole: Whole, layout: &mut Layout) {
        let Some(to) = layout.homes[whole.tensor].block() else { return };
        layout.blocks[to].first = layout.blocks[to].first.min(layout.blocks[block].first);
        for (t, home) in layout.clear(block) {
            let Some(start) = home.start().map(|start| first + start) else { continue };
            let moved = match home {
                _ if whole.row < whole.len => {
                    if let Some(w) = self.traffic.writer[t] {
                        layout.row_steps[w] = Some(whole.row / whole.element);
                    }
                    Home::Rows { block: to, start, len: whole.len - start }
                }
                Home::Rows { len, .. } => Home::Rows { block: to, start, len },
                _ => Home::Block { block: to, start },
            };
            layout.settle(t, moved);
        }
    }

    fn last_dim(&self, t: usize) -> Option<usize> {
        self.info(t)?.shape.last().copied()
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

    /// Whether a tensor takes all of a block.
    pub(crate) fn fills(&self, layout: &Layout, t: usize, block: usize) -> bool {
        layout.homes[t] == Home::Block { block, start: 0 } && self.byte_len(t) == layout.blocks[block].size
    }

    /// Whether two tensors may have bytes of the arena in common.
    pub(crate) fn overlap(&self, layout: &Layout, a: usize, b: usize) -> bool {
        let block = layout.homes[a].block();
        if block.is_none() || block != layout.homes[b].block() {
            return false;
        }
        let range = |t: usize| match layout.homes[t] {
            Home::Block { start, .. } => (start, start + self.byte_len(t)),
            Home::Rows { start, len, .. } => (start, start + len),
            Home::None | Home::Slot(_) => (0, 0),
        };
        let ((start, end), (first, last)) = (range(a), range(b));
        start < last && first < end
    }
}

impl Home {
    /// The block of the arena.
    pub(crate) fn block(self) -> Option<usize> {
        match self {
            Self::Block { block, .. } | Self::Rows { block, .. } => Some(block),
            Self::None | Self::Slot(_) => None,
        }
    }

    /// The first byte in the block.
    fn start(self) -> Option<usize> {
        match self {
            Self::Block { start, .. } | Self::Rows { start, .. } => Some(start),
            Self::None | Self::Slot(_) => None,
        }
    }
}
