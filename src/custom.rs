//! Custom operators.
//!
//! A model may name operators that the library does not know. Implement [`CustomOp`] for a type and hand it to
//! [`Model::with_custom_op`](crate::Model::with_custom_op):
//!
//! ```
//! use ferrolite::custom::{CustomOp, InferError, Io, Node, OpError, OutputShapes, one};
//! use ferrolite::model_file::flexbuffers::{self, Value};
//! use ferrolite::model_file::{ModelBuilder, OpCode, Operator, Tensor};
//! use ferrolite::{Interpreter, Model, TensorType};
//!
//! /// Multiplies every element by the attribute `factor`.
//! struct Scale {
//!     factor: f32,
//! }
//!
//! impl CustomOp for Scale {
//!     const NAME: &'static str = "Scale";
//!
//!     fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError> {
//!         Ok(one(node.shape(0)?.clone()))
//!     }
//!
//!     fn prepare(node: &Node<'_>) -> Result<Self, OpError> {
//!         Ok(Self { factor: node.attributes()?.float("factor")? as f32 })
//!     }
//!
//!     fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
//!         for (y, x) in io.outputs.get::<f32>(0)?.iter_mut().zip(io.inputs.get::<f32>(0)?) {
//!             *y = x * self.factor;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A model with that operator; usually a file.
//! let mut builder = ModelBuilder::new();
//! let x = builder.add_tensor(0, Tensor::new("x", TensorType::Float32, &[3]));
//! let y = builder.add_tensor(0, Tensor::new("y", TensorType::Float32, &[3]));
//! let attributes = flexbuffers::encode(&Value::Map(vec![("factor", Value::Float(2.5))]));
//! builder.add_operator(
//!     0,
//!     Operator {
//!         code: OpCode::Custom("Scale".to_owned()),
//!         version: 1,
//!         inputs: vec![Some(x)],
//!         outputs: vec![y],
//!         custom_options: attributes.into(),
//!         ..Operator::default()
//!     },
//! );
//! builder.set_inputs(0, [x]).set_outputs(0, [y]);
//! let model = Model::from_bytes(builder.finish()?.to_bytes()?)?.with_custom_op::<Scale>();
//!
//! let mut interpreter = Interpreter::builder(&model).build()?;
//! interpreter.input_mut::<f32>(0)?.copy_from_slice(&[1.0, -2.0, 4.0]);
//! interpreter.invoke()?;
//! assert_eq!(interpreter.output::<f32>(0)?, [2.5, -5.0, 10.0]);
//! # Ok(())
//! # }
//! ```

pub use ferrolite_ops::{
    Attributes, CustomOp, InferError, Inputs, Ints, Io, Node, OpError, OpErrorKind, Operand, OutputShape,
    OutputShapes, Outputs, TensorInfo, one,
};
