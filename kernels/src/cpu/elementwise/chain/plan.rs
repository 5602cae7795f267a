//! Where the operands of a chain are while a block of it is computed.

use super::{Arg, Function, Link, MOST_INPUTS, MOST_LINKS, MOST_OUTPUTS};
use crate::cpu::elementwise::broadcast::Broadcast;

/// The most elements of a block of single elements.
pub(super) const BLOCK: usize = 512;
/// Blocks of memory for operands that are no tensors of the chain's shape: together they fit a core's first cache.
pub(super) const REGISTERS: usize = 20;
/// Floats of memory for registers.
pub(super) const MEMORY: usize = REGISTERS * BLOCK;
/// Elements of a block of rows, about: enough that functions of one number of each row are worth a call.
const ROW_BLOCK: usize = 1024;
/// Registers begin at multiples of this.
const ALIGN: usize = 16;

/// A chain, ready to run any number of times.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Elements of a row; 1 where no function is of rows.
    pub(super) row: usize,
    /// Number of rows.
    pub(super) rows: usize,
    /// Rows of a block.
    pub(super) block: usize,
    /// Rows with multiples of which a thread may begin.
    pub(super) unit: usize,
    /// Floats of a register for elements.
    pub(super) register: usize,
    /// Floats before the registers for numbers of rows, and of each of these.
    pub(super) numbers: usize,
    pub(super) number_register: usize,
    /// Elements of every input.
    pub(super) input_lens: Vec<usize>,
    /// Elements of every output.
    pub(super) output_lens: Vec<usize>,
    /// Inputs that are spread over a register.
    pub(super) fills: Vec<Fill>,
    pub(super) code: Vec<Code>,
}

/// An input that is neither as large as the results nor read where it is.
#[derive(Clone, Debug)]
pub(super) struct Fill {
    pub input: usize,
    pub to: Place,
    pub spread: Spread,
}

/// How an input is spread.
#[derive(Clone, Debug)]
pub(super) enum Spread {
    /// As many elements as the input has, again and again; blocks are whole repetitions.
    Periodic,
    /// In another way, worked out for each block.
    Walk(Broadcast<2>, Step),
}

/// Where an operand of a block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Input(usize),
    Output(usize),
    /// A register for elements.
    Elements(usize),
    /// A register for numbers of rows.
    Numbers(usize),
}

/// What an operand has for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One number for all rows.
    One,
    /// The elements of one row for all rows.
    SameRow,
    /// A number.
    Number,
    /// Its elements.
    Element,
}

impl Step {
    /// How many values of the operand belong to `n` rows of `row` elements.
    #[inline(always)]
    pub(super) fn of_rows(self, row: usize, n: usize) -> usize {
        match self {
            Self::One | Self::SameRow => 0,
            Self::Number => n,
            Self::Element => n * row,
        }
    }
}

/// An operand of a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub place: Place,
    pub step: Step,
    /// Whether one number serves for all elements of a stretch.
    pub one: bool,
}

/// A function with its operands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    pub function: Function,
    pub args: [Operand; 2],
    pub to: Operand,
    /// Whether each row of a block is computed by itself.
    pub row_by_row: bool,
    /// Whether all elements of a stretch have the same result.
    pub spread: bool,
}

impl Chain {
    /// Plans a chain whose results have the shape `shape`, to which the shapes `inputs` broadcast. `outputs` names the links
    /// whose results are wanted, each once.
    ///
    /// `None` if there are more inputs, outputs or links than a chain may have, if more results are in use at a time than
    /// there is fast memory for, if a shape does not broadcast, if an argument or output names nothing before it, or if a
    /// link is of rows.
    #[must_use]
    pub fn new(shape: &[usize], inputs: &[&[usize]], links: &[Link], outputs: &[usize]) -> Option<Self> {
        Self::of_rows(shape, 1, inputs, links, outputs)
    }

    /// Plans a chain whose innermost dimensions, of `row` elements together, are rows. Results of links that are by row have
    /// the shape `shape` with ones in these dimensions.
    ///
    /// `None` as [`Chain::new`] says, if no innermost dimensions have `row` elements, if a link that is by row reads more
    /// than a number of each row, or if a function of rows reads or makes something else than it must.
    #[must_use]
    pub fn of_rows(
        shape: &[usize],
        row: usize,
        inputs: &[&[usize]],
        links: &[Link],
        outputs: &[usize],
    ) -> Option<Self> {
        if inputs.len() > MOST_INPUTS || links.len() > MOST_LINKS || outputs.len() > MOST_OUTPUTS {
            return None;
        }
        let shape = Rows::new(shape, row)?;
        let sources: Vec<Source> = inputs.iter().map(|input| shape.source(input)).collect::<Option<_>>()?;
        let periods =
            sources.iter().filter_map(|s| if let Source::Periodic(p) = s { Some(*p) } else { None });
        let elements = block_len(&periods.collect::<Vec<_>>());
        let mut registers = Registers::default();
        let (mut fills, mut places) = (Vec::new(), Vec::with_capacity(inputs.len()));
        for (i, source) in sources.into_iter().enumerate() {
            let (step, spread) = match source {
                Source::There(step) => {
                    places.push((Place::Input(i), step));
                    continue;
                }
                Source::Periodic(period) if elements.is_multiple_of(period) => {
                    (Step::Element, Spread::Periodic)
                }
                Source::Periodic(_) => (Step::Element, Spread::Walk(shape.walk(inputs[i])?, Step::Element)),
                Source::Walk(walk, step) => (step, Spread::Walk(walk, step)),
            };
            let to = registers.take(step);
            fills.push(Fill { input: i, to, spread });
            places.push((to, step));
        }
        let code = code(&shape, links, outputs, &places, &mut registers)?;
        let block = if row == 1 { elements } else { (ROW_BLOCK / row).clamp(1, shape.rows.max(1)) };
        let fit = registers.fit(row, block)?;
        let output_len = |&o: &usize| if links[o].by_row { shape.rows } else { shape.rows * row };
        Some(Self {
            row,
            rows: shape.rows,
            block: fit.block,
            unit: if row == 1 { fit.block } else { 1 },
            register: fit.register,
            numbers: fit.numbers,
            number_register: fit.number_register,
            input_lens: inputs.iter().map(|s| s.iter().product()).collect(),
            output_lens: outputs.iter().map(output_len).collect(),
            fills,
            code,
        })
    }

    /// Elements of the chain's shape.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows * self.row
    }

    /// Number of functions.
    #[must_use]
    pub fn links(&self) -> usize {
        self.code.len()
    }

    /// Number of elements that all functions together are computed of.
    #[must_use]
    pub fn visits(&self) -> usize {
        let visits = |code: &Code| {
            if code.to.step == Step::Number && !code.row_by_row { self.rows } else { self.len() }
        };
        self.code.iter().map(visits).sum()
    }

    /// Whether results have no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether functions of rows may be among its functions.
    #[must_use]
    pub fn has_rows(&self) -> bool {
        self.row > 1
    }
}

/// The shape of a chain.
struct Rows<'a> {
    shape: &'a [usize],
    /// The shape with ones in the dimensions of a row.
    numbers: Vec<usize>,
    row: usize,
    rows: usize,
}

/// How an input is read.
enum Source {
    /// Where it is.
    There(Step),
    /// So many elements, again and again.
    Periodic(usize),
    /// In another way.
    Walk(Broadcast<2>, Step),
}

impl<'a> Rows<'a> {
    fn new(shape: &'a [usize], row: usize) -> Option<Self> {
        if row == 0 {
            return None;
        }
        let (mut outer, mut inner) = (shape.len(), 1usize);
        while inner != row {
            outer = outer.checked_sub(1)?;
            inner = inner.checked_mul(shape[outer])?;
        }
        let mut numbers = shape.to_vec();
        numbers[outer..].fill(1);
        let walk = Broadcast::new([shape, &numbers])?;
        let rows = if walk.is_empty() { 0 } else { walk.len() / row };
        Some(Self { shape, numbers, row, rows })
    }

    /// How an input of the shape `input` is spread over all elements; it may not stretch the shape.
    fn walk(&self, input: &[usize]) -> Option<Broadcast<2>> {
        let len = self.rows * self.row;
        Broadcast::new([self.shape, input]).filter(|walk| walk.len() == len && walk.operand_len(0) == len)
    }

    fn source(&self, input: &[usize]) -> Option<Source> {
        let walk = self.walk(input)?;
        let (len, own) = (walk.len(), walk.operand_len(1));
        if own == len || own == 1 {
            return Some(Source::There(if own == len { Step::Element } else { Step::One }));
        }
        let period = repeats(self.shape, input);
        if self.row == 1 {
            return Some(period.map_or(Source::Walk(walk, Step::Element), Source::Periodic));
        }
        if period == Some(self.row) {
            return Some(Source::There(Step::SameRow));
        }
        let numbers = Broadcast::new([&self.numbers, input]);
        Some(match numbers.filter(|walk| walk.len() == self.rows && walk.operand_len(0) == self.rows) {
            Some(_) if own == self.rows => Source::There(Step::Number),
            Some(walk) => Source::Walk(walk, Step::Number),
            None => Source::Walk(walk, Step::Element),
        })
    }
}

/// After how many elements an operand of shape `input` starts again: its inner dimensions are those of `shape`, the others 1.
fn repeats(shape: &[usize], input: &[usize]) -> Option<usize> {
    let first = input.iter().position(|&d| d != 1).unwrap_or(input.len());
    let inner = &input[first..];
    shape.ends_with(inner).then(|| inner.iter().product())
}

/// The largest block that is made of whole repetitions of all operands, as far as they fit.
fn block_len(periods: &[usize]) -> usize {
    let common = periods.iter().filter(|&&p| p <= BLOCK).fold(1, |common: usize, &period| {
        let larger = common / gcd(common, period) * period;
        if larger <= BLOCK { larger } else { common }
    });
    BLOCK / common * common
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Registers for elements and for numbers of rows, and which are in use.
#[derive(Default)]
struct Registers {
    elements: Vec<bool>,
    numbers: Vec<bool>,
}

/// The sizes of registers that fit the memory; fields as of [`Chain`].
struct Fit {
    block: usize,
    register: usize,
    numbers: usize,
    number_register: usize,
}

impl Registers {
    fn take(&mut self, step: Step) -> Place {
        let first_free = |used: &mut Vec<bool>| {
            let free = used.iter().position(|used| !used).unwrap_or(used.len());
            used.resize(used.len().max(free + 1), true);
            used[free] = true;
            free
        };
        match step {
            Step::Number => Place::Numbers(first_free(&mut self.numbers)),
            _ => Place::Elements(first_free(&mut self.elements)),
        }
    }

    fn free(&mut self, place: Place) {
        match place {
            Place::Elements(register) => self.elements[register] = false,
            Place::Numbers(register) => self.numbers[register] = false,
            Place::Input(_) | Place::Output(_) => {}
        }
    }

    /// Blocks of `block` rows, or of as many as there is memory for; `None` if not even one row fits.
    fn fit(&self, row: usize, block: usize) -> Option<Fit> {
        if row == 1 {
            let fits = self.elements.len() <= REGISTERS;
            return fits.then_some(Fit { block, register: BLOCK, numbers: MEMORY, number_register: 0 });
        }
        let mut block = block;
        while block > 0 {
            let register = block.checked_mul(row)?.checked_next_multiple_of(ALIGN)?;
            let number_register = block.next_multiple_of(ALIGN);
            let numbers = self.elements.len().checked_mul(register)?;
            let all = numbers.checked_add(self.numbers.len() * number_register)?;
            if all <= MEMORY {
                return Some(Fit { block, register, numbers, number_register });
            }
            block /= 2;
        }
        None
    }
}

/// Gives every result its place: an output where it is wanted, else a register until it is read for the last time.
fn code(
    shape: &Rows<'_>,
    links: &[Link],
    outputs: &[usize],
    inputs: &[(Place, Step)],
    registers: &mut Registers,
) -> Option<Vec<Code>> {
    let mut last = vec![0; links.len()];
    for (l, link) in links.iter().enumerate() {
        for arg in &link.args {
            match *arg {
                Arg::Link(of) if of < l => last[of] = l,
                Arg::Input(i) if i < inputs.len() => {}
                _ => return None,
            }
        }
    }
    if outputs.iter().any(|&o| o >= links.len()) {
        return None;
    }
    let mut results: Vec<(Place, Step)> = Vec::with_capacity(links.len());
    let mut code = Vec::with_capacity(links.len());
    for (l, link) in links.iter().enumerate() {
        let args = link.args.map(|arg| match arg {
            Arg::Input(i) => inputs[i],
            Arg::Link(of) => results[of],
        });
        let step = if link.by_row { Step::Number } else { Step::Element };
        let place = match outputs.iter().position(|&o| o == l) {
            Some(output) => Place::Output(output),
            None => registers.take(step),
        };
        code.push(link_code(shape, link, args, (place, step))?);
        results.push((place, step));
        // A result that is not read any more makes room for the next.
        for (of, &(place, _)) in results.iter().enumerate() {
            if last[of].max(of) == l {
                registers.free(place);
            }
        }
    }
    Some(code)
}

/// How a link is computed; `None` if it cannot be of these arguments.
fn link_code(shape: &Rows<'_>, link: &Link, args: [(Place, Step); 2], to: (Place, Step)) -> Option<Code> {
    let read = if link.function.is_binary() { &args[..] } else { &args[..1] };
    let any = |step: Step| read.iter().any(|arg| arg.1 == step);
    let one = |step: Step| step == Step::One || (step == Step::Number && !link.by_row);
    let operand = |(place, step): (Place, Step)| Operand { place, step, one: one(step) };
    let mut code = Code {
        function: link.function,
        args: args.map(operand),
        to: Operand { place: to.0, step: to.1, one: false },
        row_by_row: any(Step::Number) || any(Step::SameRow),
        spread: read.iter().all(|arg| one(arg.1)),
    };
    if let Function::OfRow(function) = link.function {
        let fits = shape.row >= function.least_row()
            && args[0].1 == Step::Element
            && link.by_row == function.reduces();
        code.row_by_row = true;
        return fits.then_some(code);
    }
    if link.by_row {
        code.row_by_row = false;
        return (shape.row > 1 && !any(Step::Element) && !any(Step::SameRow)).then_some(code);
    }
    Some(code)
}
