//! Where the operands of a chain are while a block of it is computed.

use super::{Arg, Link, MOST_INPUTS, MOST_LINKS, MOST_OUTPUTS};
use crate::cpu::elementwise::broadcast::Broadcast;

/// The most elements of a block.
pub(super) const BLOCK: usize = 512;
/// Blocks of memory for operands that are no tensors of the chain's shape: together they fit a core's first cache.
pub(super) const REGISTERS: usize = 20;

/// A chain, ready to run any number of times.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Elements of a result.
    pub(super) len: usize,
    /// Elements of a block.
    pub(super) block: usize,
    /// Elements of every input.
    pub(super) input_lens: Vec<usize>,
    pub(super) outputs: usize,
    /// Inputs that are spread over a register.
    pub(super) fills: Vec<Fill>,
    pub(super) code: Vec<Code>,
}

/// An input that is not as large as the results.
#[derive(Clone, Debug)]
pub(super) struct Fill {
    pub input: usize,
    pub register: usize,
    pub spread: Spread,
}

/// How an input is spread over the elements of a result.
#[derive(Clone, Debug)]
pub(super) enum Spread {
    /// One number for all.
    Scalar,
    /// As many numbers as the input has, again and again; blocks are whole repetitions.
    Periodic,
    /// In another way, worked out for each block.
    Walk(Broadcast<2>),
}

/// Where an operand of a block begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Input(usize),
    Output(usize),
    Register(usize),
}

/// A function with its operands' places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    pub function: super::Function,
    pub args: [Place; 2],
    pub to: Place,
}

impl Chain {
    /// Plans a chain whose results have the shape `shape`, to which the shapes `inputs` broadcast. `outputs` names the links
    /// whose results are wanted, each once.
    ///
    /// `None` if there are more inputs, outputs or links than a chain may have, if more results are in use at a time than
    /// there is fast memory for, if a shape does not broadcast, or if an argument or output names nothing before it.
    #[must_use]
    pub fn new(shape: &[usize], inputs: &[&[usize]], links: &[Link], outputs: &[usize]) -> Option<Self> {
        if inputs.len() > MOST_INPUTS || links.len() > MOST_LINKS || outputs.len() > MOST_OUTPUTS {
            return None;
        }
        let walks: Vec<Broadcast<2>> =
            inputs.iter().map(|input| Broadcast::new([shape, input])).collect::<Option<_>>()?;
        let len = match walks.first() {
            Some(walk) => walk.len(),
            None => shape.iter().product(),
        };
        // An input may not stretch the results.
        if walks.iter().any(|walk| walk.len() != len || walk.operand_len(0) != len) {
            return None;
        }
        let period = |i: usize| repeats(shape, inputs[i]).filter(|&p| p > 1 && p < len);
        let periods: Vec<usize> = (0..inputs.len()).filter_map(period).collect();
        let block = block_len(&periods);
        let mut registers = Registers { used: [false; REGISTERS] };
        let mut fills = Vec::new();
        let mut places = Vec::with_capacity(inputs.len());
        for (i, walk) in walks.into_iter().enumerate() {
            let spread = match period(i) {
                _ if walk.operand_len(1) == len => {
                    places.push(Place::Input(i));
                    continue;
                }
                _ if walk.operand_len(1) == 1 => Spread::Scalar,
                Some(period) if block.is_multiple_of(period) => Spread::Periodic,
                _ => Spread::Walk(walk),
            };
            let register = registers.take()?;
            fills.push(Fill { input: i, register, spread });
            places.push(Place::Register(register));
        }
        let code = code(links, outputs, &places, &mut registers)?;
        let input_lens = inputs.iter().map(|s| s.iter().product()).collect();
        Some(Self { len, block, input_lens, outputs: outputs.len(), fills, code })
    }

    /// Elements of a result.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Number of functions.
    #[must_use]
    pub fn links(&self) -> usize {
        self.code.len()
    }

    /// Whether results have no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
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

/// Registers that are in use.
struct Registers {
    used: [bool; REGISTERS],
}

impl Registers {
    fn take(&mut self) -> Option<usize> {
        let free = self.used.iter().position(|used| !used)?;
        self.used[free] = true;
        Some(free)
    }
}

/// Gives every result its place: an output where it is wanted, else a register until it is read for the last time.
fn code(links: &[Link], outputs: &[usize], inputs: &[Place], registers: &mut Registers) -> Option<Vec<Code>> {
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
    let mut places: Vec<Place> = Vec::with_capacity(links.len());
    let mut code = Vec::with_capacity(links.len());
    if outputs.iter().any(|&o| o >= links.len()) {
        return None;
    }
    for (l, link) in links.iter().enumerate() {
        let args = link.args.map(|arg| match arg {
            Arg::Input(i) => inputs[i],
            Arg::Link(of) => places[of],
        });
        let to = match outputs.iter().position(|&o| o == l) {
            Some(output) => Place::Output(output),
            None => Place::Register(registers.take()?),
        };
        code.push(Code { function: link.function, args, to });
        places.push(to);
        // A result that is not read any more makes room for the next.
        for (of, place) in places.iter().enumerate() {
            if let Place::Register(register) = *place
                && last[of].max(of) == l
            {
                registers.used[register] = false;
            }
        }
    }
    Some(code)
}
