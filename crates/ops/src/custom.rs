//! Custom operators as users write them.

use std::borrow::Cow;

use crate::error::OpError;
use crate::io::Io;
use crate::kernel::{Context, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShapes};
use crate::spec::OpSpec;

/// A custom operator.
///
/// A model names custom operators by [`CustomOp::NAME`]. When a model is planned for given input shapes, [`CustomOp::shapes`]
/// says what the operator's outputs look like, and [`CustomOp::prepare`] reads the attributes and makes a value of the
/// type, which [`CustomOp::eval`] then uses every time the operator runs. It is planned anew when shapes change.
///
/// ```
/// use ferrolite_ops::{CustomOp, InferError, Io, Node, OpError, OutputShapes, one};
///
/// /// Adds the attribute `bias` to every element.
/// struct AddBias {
///     bias: f32,
/// }
///
/// impl CustomOp for AddBias {
///     const NAME: &'static str = "AddBias";
///
///     fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError> {
///         Ok(one(node.shape(0)?.clone()))
///     }
///
///     fn prepare(node: &Node<'_>) -> Result<Self, OpError> {
///         Ok(Self { bias: node.attributes()?.float("bias")? as f32 })
///     }
///
///     fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
///         for (y, x) in io.outputs.get::<f32>(0)?.iter_mut().zip(io.inputs.get::<f32>(0)?) {
///             *y = x + self.bias;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait CustomOp: Sized + Send + Sync + 'static {
    /// The operator's name in models.
    const NAME: &'static str;

    /// The last version that models may ask for.
    const VERSION: i32 = 1;

    /// Least and greatest number of inputs; a model with another number is refused.
    const INPUTS: (usize, usize) = (1, 1);

    /// Least and greatest number of outputs.
    const OUTPUTS: (usize, usize) = (1, 1);

    /// Whether a run depends on anything but the inputs. Such an operator is never computed ahead of time.
    const STATEFUL: bool = false;

    /// The shapes of the outputs. What depends on the content of an input asks for it with [`Node::value`] or
    /// [`Node::ints`] and passes their error on; what only running tells is [`crate::OutputShape::Dynamic`].
    ///
    /// # Errors
    /// When the operands do not fit the operator.
    fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError>;

    /// Reads the operator's attributes ([`Node::attributes`]) and checks its operands.
    ///
    /// # Errors
    /// When attributes are missing or do not fit.
    fn prepare(node: &Node<'_>) -> Result<Self, OpError>;

    /// Computes the outputs.
    ///
    /// # Errors
    /// When a value met while running does not fit.
    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError>;
}

/// A prepared custom operator as a kernel.
struct Prepared<T>(T);

impl<T: CustomOp> Kernel for Prepared<T> {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(T::NAME)
    }

    fn run(&self, io: &mut Io<'_>, _: &mut dyn Context) -> Result<(), OpError> {
        self.0.eval(io)
    }
}

fn lower<T: CustomOp>(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Prepared(T::prepare(node)?)))
}

impl OpSpec {
    /// The table's entry of a custom operator.
    #[must_use]
    pub const fn of<T: CustomOp>() -> Self {
        let spec = Self::custom(T::NAME, T::shapes, lower::<T>)
            .versions(T::VERSION)
            .inputs(T::INPUTS.0, T::INPUTS.1)
            .outputs(T::OUTPUTS.0, T::OUTPUTS.1);
        if T::STATEFUL { spec.stateful() } else { spec }
    }
}
