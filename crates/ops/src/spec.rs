//! The one table of operators: what each accepts, how its shapes follow, how it is lowered.

use ferrolite_model::{BuiltinOperator, OpCode, Operator, TensorType};

use crate::chain::ChainFn;
use crate::error::OpError;
use crate::kernel::Kernel;
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes};
use crate::parts::PartsFn;

/// The shape function of an operator.
pub type InferFn = fn(&Node<'_>) -> Result<OutputShapes, InferError>;

/// The lowering of an operator: types and shapes in, a ready kernel out.
pub type LowerFn = fn(&Node<'_>, &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError>;

/// Which inputs are variable tensors that the operator updates.
pub type StatesFn = fn(&Operator) -> &'static [usize];

/// The name of an operator in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpKey {
    /// A builtin operator of the schema.
    Builtin(BuiltinOperator),
    /// A custom operator by name.
    Custom(&'static str),
}

impl OpKey {
    /// Whether the file's operator code names this operator.
    #[must_use]
    pub fn matches(&self, code: &OpCode) -> bool {
        match (self, code) {
            (Self::Builtin(a), OpCode::Builtin(b)) => a == b,
            (Self::Custom(a), OpCode::Custom(b)) => a == b,
            _ => false,
        }
    }
}

/// One accepted combination of element types. The last entry of a list stands for all further operands too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeRow {
    /// Types of the inputs; absent optional inputs match anything.
    pub inputs: &'static [TensorType],
    /// Types of the outputs.
    pub outputs: &'static [TensorType],
}

/// How an operator may share memory between operands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Output 0 is always the same bytes as this input: the step costs nothing when it can be an alias.
    pub alias: Option<usize>,
    /// Output 0 may overwrite any of these inputs if it has the same size.
    pub in_place: &'static [usize],
    /// Inputs that are variable tensors and are updated by the operator, in the order of [`crate::Io::states`].
    pub states: &'static [usize],
}

/// How the planner treats an operator beyond computing its outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Its outputs depend on the shapes and not on the contents of its inputs.
    pub shape_only: bool,
    /// It reads or changes something outside its operands (variables, other subgraphs, random state): it is neither
    /// folded nor moved nor dropped.
    pub stateful: bool,
    /// Its float form can apply a following activation while a tile is in registers.
    pub epilogue: bool,
    /// Each element of its output depends on nothing but the elements at its place in the inputs, which broadcast to it.
    pub by_element: bool,
    /// Its float form takes constant weights (input 1) as [`Operand::half`](crate::Operand::half) too, if all inputs
    /// behind them are constants.
    pub half_weights: bool,
    /// It can leave space between the rows of output 0, along its last dimension, as
    /// [`LowerCx::row_step`](crate::LowerCx::row_step) says: the output's memory then ends anywhere behind the last row.
    pub spaced_rows: bool,
}

/// One operator of the table.
#[derive(Clone, Copy)]
pub struct OpSpec {
    /// Which operator.
    pub key: OpKey,
    /// First and last supported version.
    pub versions: (i32, i32),
    /// Least and greatest number of inputs.
    pub inputs: (usize, usize),
    /// Least and greatest number of outputs.
    pub outputs: (usize, usize),
    /// Accepted element types; empty means that any are.
    pub types: &'static [TypeRow],
    /// Shape function.
    pub infer: InferFn,
    /// Lowering.
    pub lower: LowerFn,
    /// Memory sharing.
    pub memory: Memory,
    /// Planner's hints.
    pub traits: Traits,
    /// What the operator computes element by element or row by row, if that is all.
    pub chain: Option<ChainFn>,
    /// Which operands are parts of which, if the operator only joins or takes apart.
    pub parts: Option<PartsFn>,
    /// The variable tensors that the operator updates where its options choose them; else [`Memory::states`] says.
    pub choose_states: Option<StatesFn>,
}

impl OpSpec {
    /// A builtin operator with one input and one output of any type, version 1.
    #[must_use]
    pub const fn builtin(op: BuiltinOperator, infer: InferFn, lower: LowerFn) -> Self {
        Self::new(OpKey::Builtin(op), infer, lower)
    }

    /// A custom operator with one input and one output of any type, version 1.
    #[must_use]
    pub const fn custom(name: &'static str, infer: InferFn, lower: LowerFn) -> Self {
        Self::new(OpKey::Custom(name), infer, lower)
    }

    const fn new(key: OpKey, infer: InferFn, lower: LowerFn) -> Self {
        Self {
            key,
            versions: (1, 1),
            inputs: (1, 1),
            outputs: (1, 1),
            types: &[],
            infer,
            lower,
            memory: Memory { alias: None, in_place: &[], states: &[] },
            traits: Traits {
                shape_only: false,
                stateful: false,
                epilogue: false,
                by_element: false,
                half_weights: false,
                spaced_rows: false,
            },
            chain: None,
            parts: None,
            choose_states: None,
        }
    }

    /// Supports versions 1 to `last`.
    #[must_use]
    pub const fn versions(mut self, last: i32) -> Self {
        self.versions = (1, last);
        self
    }

    /// Supports versions `first` to `last`: no version 1 was ever registered.
    #[must_use]
    pub const fn versions_from(mut self, first: i32, last: i32) -> Self {
        self.versions = (first, last);
        self
    }

    /// Takes `least` to `most` inputs; trailing ones beyond `least` are optional.
    #[must_use]
    pub const fn inputs(mut self, least: usize, most: usize) -> Self {
        self.inputs = (least, most);
        self
    }

    /// Gives `least` to `most` outputs.
    #[must_use]
    pub const fn outputs(mut self, least: usize, most: usize) -> Self {
        self.outputs = (least, most);
        self
    }

    /// Accepts these combinations of element types.
    #[must_use]
    pub const fn types(mut self, rows: &'static [TypeRow]) -> Self {
        self.types = rows;
        self
    }

    /// Output 0 is the bytes of input `input`.
    #[must_use]
    pub const fn alias(mut self, input: usize) -> Self {
        self.memory.alias = Some(input);
        self
    }

    /// Output 0 may overwrite any of `inputs`.
    #[must_use]
    pub const fn in_place(mut self, inputs: &'static [usize]) -> Self {
        self.memory.in_place = inputs;
        self
    }

    /// Updates the variable tensors at `inputs`.
    #[must_use]
    pub const fn states(mut self, inputs: &'static [usize]) -> Self {
        self.memory.states = inputs;
        self
    }

    /// Updates the variable tensors that `choose` names.
    #[must_use]
    pub const fn states_by(mut self, choose: StatesFn) -> Self {
        self.choose_states = Some(choose);
        self
    }

    /// The inputs of `operator` that are variable tensors and are updated by it, in the order of [`crate::Io::states`].
    #[must_use]
    pub fn states_of(&self, operator: &Operator) -> &'static [usize] {
        self.choose_states.map_or(self.memory.states, |choose| choose(operator))
    }

    /// Whether the operator may update variable tensors.
    #[must_use]
    pub fn has_states(&self) -> bool {
        self.choose_states.is_some() || !self.memory.states.is_empty()
    }

    /// Depends on shapes alone.
    #[must_use]
    pub const fn shape_only(mut self) -> Self {
        self.traits.shape_only = true;
        self
    }

    /// Computes single elements, or rows, as `chain` says.
    #[must_use]
    pub const fn chain(mut self, chain: ChainFn) -> Self {
        self.chain = Some(chain);
        self
    }

    /// Joins or takes apart as `parts` says.
    #[must_use]
    pub const fn joins_or_takes(mut self, parts: PartsFn) -> Self {
        self.parts = Some(parts);
        self
    }

    /// Reaches outside its operands.
    #[must_use]
    pub const fn stateful(mut self) -> Self {
        self.traits.stateful = true;
        self
    }

    /// Its float form takes a following activation.
    #[must_use]
    pub const fn epilogue(mut self) -> Self {
        self.traits.epilogue = true;
        self
    }

    /// It works element by element.
    #[must_use]
    pub const fn by_element(mut self) -> Self {
        self.traits.by_element = true;
        self
    }

    /// Its float form takes weights in 16-bit floats.
    #[must_use]
    pub const fn half_weights(mut self) -> Self {
        self.traits.half_weights = true;
        self
    }

    /// It can leave space between the rows of its output.
    #[must_use]
    pub const fn spaced_rows(mut self) -> Self {
        self.traits.spaced_rows = true;
        self
    }

    /// Checks version, arity and element types of a node.
    ///
    /// # Errors
    /// Names what does not fit and what would.
    pub fn check(&self, node: &Node<'_>) -> Result<(), OpError> {
        let version = node.operator.version;
        let (first, last) = self.versions;
        if version < first || version > last {
            let other = if version < first { "a newer" } else { "an older" };
            return Err(OpError::unsupported(format!(
                "version {version} of the operator is not supported, versions {first} to {last} are: convert the model for {other} runtime"
            )));
        }
        check_count("inputs", node.inputs.len(), self.inputs)?;
        check_count("outputs", node.outputs.len(), self.outputs)?;
        if self.types.is_empty() || self.types.iter().any(|row| row.accepts(node)) {
            return Ok(());
        }
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|o| o.as_ref().map_or("-".to_owned(), |o| o.info.dtype.to_string()))
            .collect();
        let outputs: Vec<String> = node.outputs.iter().map(|o| o.dtype.to_string()).collect();
        Err(OpError::unsupported(format!(
            "the element types ({}) -> ({}) are not among those the operator is defined for",
            inputs.join(", "),
            outputs.join(", ")
        )))
    }
}

impl TypeRow {
    fn accepts(&self, node: &Node<'_>) -> bool {
        fn fits(row: &[TensorType], i: usize, dtype: TensorType) -> bool {
            row.get(i).or(row.last()).is_none_or(|&want| want == dtype)
        }
        node.inputs
            .iter()
            .enumerate()
            .all(|(i, o)| o.as_ref().is_none_or(|o| fits(self.inputs, i, o.info.dtype)))
            && node.outputs.iter().enumerate().all(|(i, o)| fits(self.outputs, i, o.dtype))
    }
}

fn check_count(what: &str, count: usize, (least, most): (usize, usize)) -> Result<(), OpError> {
    if (least..=most).contains(&count) {
        return Ok(());
    }
    Err(OpError::invalid(format!("the operator has {count} {what}, it takes {least} to {most}")))
}

/// Element-type rows, written `types![(Float32, Float32) -> (Float32), (Int8) -> (Int8)]`.
///
/// The last type on each side stands for all further operands.
#[macro_export]
macro_rules! types {
    ($(($($input:ident),*) -> ($($output:ident),*)),* $(,)?) => {
        &[$($crate::TypeRow {
            inputs: &[$($crate::TensorType::$input),*],
            outputs: &[$($crate::TensorType::$output),*],
        }),*]
    };
}

/// Rows where every operand has the same type, written `same_types![Float32, Int8]`.
#[macro_export]
macro_rules! same_types {
    ($($ty:ident),* $(,)?) => {
        &[$($crate::TypeRow {
            inputs: &[$crate::TensorType::$ty],
            outputs: &[$crate::TensorType::$ty],
        }),*]
    };
}
