//! Custom operators as users write them.

use std::borrow::Cow;

use ferrolite_model::TensorType;

use crate::error::OpError;
use crate::io::{Io, OutputData, Outputs};
use crate::kernel::{Context, Kernel};
use crate::lower::LowerCx;
use crate::node::{InferError, Node, OutputShape, OutputShapes};
use crate::shape::Shape;
use crate::spec::OpSpec;
use crate::tensor::TensorValue;

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
    /// [`Node::ints`] and passes their error on; what only running tells is [`OutputShape::Dynamic`], and
    /// [`CustomOp::eval`] then gives the output its shape with [`Outputs::allocate`] or [`Outputs::set_bytes`].
    ///
    /// # Errors
    /// When the operands do not fit the operator.
    fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError>;

    /// Reads the operator's attributes ([`Node::attributes`]) and checks its operands.
    ///
    /// # Errors
    /// When attributes are missing or do not fit.
    fn prepare(node: &Node<'_>) -> Result<Self, OpError>;

    /// Computes the outputs. Strings are written with [`Outputs::set_bytes`], in the layout of [`crate::strings`].
    ///
    /// # Errors
    /// When a value met while running does not fit. Outputs of another shape than [`CustomOp::shapes`] said, or of another
    /// size than their shape's, are an error too.
    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError>;
}

/// A prepared custom operator as a kernel, which trusts nothing that the operator leaves behind.
struct Prepared<T> {
    op: T,
    shapes: OutputShapes,
}

/// The shape of an output that the operator has not given one in this run: no tensor has it.
const NOT_GIVEN: [usize; 1] = [usize::MAX];

impl<T: CustomOp> Kernel for Prepared<T> {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(T::NAME)
    }

    fn run(&self, io: &mut Io<'_>, _: &mut dyn Context) -> Result<(), OpError> {
        for (output, shape) in io.outputs.iter_mut().zip(&self.shapes) {
            if let (OutputData::Value(value), OutputShape::Dynamic | OutputShape::Declared) =
                (&mut output.data, shape)
            {
                // What the last run left is no result of this one.
                value.assign(output.dtype, &NOT_GIVEN, &[]);
            }
        }
        let result = self.op.eval(io).and_then(|()| check_outputs(&mut io.outputs, &self.shapes));
        if result.is_err() {
            for output in io.outputs.iter_mut() {
                if let OutputData::Value(value) = &mut output.data {
                    value.reset(output.dtype, Shape::from([0]))?;
                }
            }
        }
        result
    }
}

/// Checks the outputs whose shape or size the operator has a say in.
fn check_outputs(outputs: &mut Outputs<'_>, shapes: &OutputShapes) -> Result<(), OpError> {
    for (i, (output, shape)) in outputs.iter_mut().zip(shapes).enumerate() {
        if let OutputData::Value(value) = &output.data {
            check_output(value, output.dtype, shape).map_err(|e| {
                OpError::new(e.kind(), format!("the operator's code left output {i} wrong: {}", e.message()))
            })?;
        }
    }
    Ok(())
}

fn check_output(value: &TensorValue, dtype: TensorType, shape: &OutputShape) -> Result<(), OpError> {
    if value.dtype() != dtype {
        return Err(OpError::runtime(format!("it is {}, the model has {dtype}", value.dtype())));
    }
    if dtype == TensorType::Variant {
        return value.list().map(drop).ok_or_else(|| OpError::runtime("it holds no list"));
    }
    match shape {
        OutputShape::Known(planned) if planned != value.shape() => {
            Err(OpError::runtime(format!("its shape is {}, it was planned with {planned}", value.shape())))
        }
        _ if **value.shape() == NOT_GIVEN => {
            Err(OpError::runtime("it got no shape: give it one with allocate or set_bytes"))
        }
        _ => value.check_size(),
    }
}

fn lower<T: CustomOp>(node: &Node<'_>, _: &LowerCx<'_>) -> Result<Box<dyn Kernel>, OpError> {
    Ok(Box::new(Prepared { op: T::prepare(node)?, shapes: T::shapes(node)? }))
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
