//! Operators of users: what the trait promises them, and what the library does not let them do to a model.

use std::sync::atomic::{AtomicI32, Ordering};

use ferrolite::custom::{CustomOp, InferError, Io, Node, OpError, OutputShape, OutputShapes, one};
use ferrolite::model_file::flexbuffers::{self, Value};
use ferrolite::model_file::options::{AddOptionsT, LessOptionsT, WhileOptionsT};
use ferrolite::model_file::{BuiltinOperator, ModelBuilder, Operator, Options, Tensor};
use ferrolite::{Interpreter, Model, Shape, TensorType, strings};

/// The bytes of attributes.
fn attributes(entries: &[(&'static str, Value<'static>)]) -> Vec<u8> {
    flexbuffers::encode(&Value::Map(entries.to_vec()))
}

/// A tensor of a model under test: type and shape.
type Spec = (TensorType, &'static [usize]);

/// Adds tensors to a subgraph.
fn tensors(builder: &mut ModelBuilder, graph: usize, specs: &[Spec]) -> Vec<usize> {
    let mut add = |(i, &(dtype, shape)): (usize, &Spec)| {
        builder.add_tensor(graph, Tensor::new(format!("t{i}"), dtype, shape))
    };
    specs.iter().enumerate().map(&mut add).collect()
}

/// A model of one custom operator; inputs that are `None` are absent.
fn model(name: &str, inputs: &[Option<Spec>], outputs: &[Spec], attributes: Vec<u8>) -> Model {
    let mut builder = ModelBuilder::new();
    let given: Vec<Spec> = inputs.iter().copied().flatten().collect();
    let xs = tensors(&mut builder, 0, &given);
    let ys = tensors(&mut builder, 0, outputs);
    let mut next = xs.iter().copied();
    let operands: Vec<Option<usize>> = inputs.iter().map(|i| i.and_then(|_| next.next())).collect();
    builder.add_operator(0, Operator::custom(name, operands, ys.iter().copied(), attributes));
    builder.set_inputs(0, xs).set_outputs(0, ys);
    load(&builder)
}

fn load(builder: &ModelBuilder) -> Model {
    Model::from_bytes(builder.to_bytes().unwrap()).unwrap()
}

fn interpreter(model: &Model) -> ferrolite::Result<Interpreter> {
    Interpreter::builder(model).threads(2).build()
}

/// What goes wrong from planning to the end of a run.
fn failure(model: &Model) -> String {
    let result = interpreter(model).and_then(|mut interpreter| {
        // A failed run leaves nothing behind that changes the next.
        let first = interpreter.invoke().map_err(|e| e.to_string());
        let second = interpreter.invoke();
        assert_eq!(first, second.as_ref().map(|_| ()).map_err(|e| e.to_string()));
        second
    });
    result.err().map(|e| e.to_string()).unwrap_or_default()
}

const SCALAR_TEXT: Spec = (TensorType::String, &[]);
const THREE: Spec = (TensorType::Float32, &[3]);
const FOUR: Spec = (TensorType::Float32, &[4]);

/// Writes what the accessor named by the attribute `as` reads from the attribute `value`.
struct Read(String);

impl CustomOp for Read {
    const NAME: &'static str = "Read";
    const INPUTS: (usize, usize) = (0, 0);

    fn shapes(_: &Node<'_>) -> Result<OutputShapes, InferError> {
        Ok(one(Shape::scalar()))
    }

    fn prepare(node: &Node<'_>) -> Result<Self, OpError> {
        let a = node.attributes()?;
        Ok(Self(match a.text("as")? {
            "int" => format!("{:?}", a.int("value")?),
            "int or 7" => format!("{:?}", a.int_or("value", 7)?),
            "positive" => format!("{:?}", a.positive("value")?),
            "float" => format!("{:?}", a.float("value")?),
            "float or 0.5" => format!("{:?}", a.float_or("value", 0.5)?),
            "bool or true" => format!("{:?}", a.bool_or("value", true)?),
            "text" => format!("{:?}", a.text("value")?),
            "ints" => format!("{:?}", a.ints("value")?),
            "floats" => format!("{:?}", a.floats("value")?),
            "bytes" => format!("{:?}", a.bytes("value")?),
            _ => format!("{:?}", a.get("value")),
        }))
    }

    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
        io.outputs.set_bytes(0, &[], &strings::encode(&[&self.0])?)
    }
}

#[test]
fn attributes_of_every_kind() {
    use Value::*;
    let list = || Vector(vec![Int(-2), UInt(3), Float(1.5), Bool(true)]);
    let nested = || Map(vec![("inner", Map(vec![("deep", Vector(vec![String("x"), Null]))]))]);
    type Row = (&'static str, &'static str, Option<Value<'static>>, &'static str);
    let rows: Vec<Row> = vec![
        ("integer", "int", Some(Int(i64::MIN)), "-9223372036854775808"),
        ("float as integer", "int", Some(Float(-2.5)), "-2"),
        ("unsigned beyond", "int", Some(UInt(u64::MAX)), "error: is UInt"),
        ("text as integer", "int", Some(String("1")), "error: not a whole number"),
        ("no integer", "int", None, "error: lacks the attribute 'value'"),
        ("null is absent", "int or 7", Some(Null), "7"),
        ("zero", "positive", Some(Int(0)), "error: at least 1"),
        ("one", "positive", Some(UInt(1)), "1"),
        ("float", "float", Some(Float(f64::NEG_INFINITY)), "-inf"),
        ("integer as float", "float", Some(UInt(u64::MAX)), "1.8446744073709552e19"),
        ("no float", "float or 0.5", None, "0.5"),
        ("truth value", "bool or true", Some(Bool(false)), "false"),
        ("number as truth value", "bool or true", Some(Float(0.0)), "false"),
        ("text as truth value", "bool or true", Some(String("no")), "error: not a truth value"),
        ("text", "text", Some(String("naïve")), "\"naïve\""),
        ("no text", "text", Some(Blob(&[1])), "error: not text"),
        ("integers", "ints", Some(list()), "[-2, 3, 1, 1]"),
        ("no list", "ints", Some(Int(1)), "error: not a list of whole numbers"),
        ("text in a list", "ints", Some(Vector(vec![String("1")])), "error: not a list of whole numbers"),
        ("floats", "floats", Some(list()), "[-2.0, 3.0, 1.5, 1.0]"),
        ("empty list", "floats", Some(Vector(vec![])), "[]"),
        ("blob", "bytes", Some(Blob(&[0, 255])), "[0, 255]"),
        ("text as bytes", "bytes", Some(String("A")), "[65]"),
        (
            "nested",
            "value",
            Some(nested()),
            r#"Some(Map([("inner", Map([("deep", Vector([String("x"), Null]))]))]))"#,
        ),
    ];
    for (name, read, value, expected) in rows {
        let mut entries = vec![("as", String(read))];
        entries.extend(value.map(|v| ("value", v)));
        let model = model("Read", &[], &[SCALAR_TEXT], attributes(&entries)).with_custom_op::<Read>();
        if let Some(expected) = expected.strip_prefix("error: ") {
            let error = failure(&model);
            assert!(error.contains(expected) && error.contains("Read (operator 0)"), "{name}: {error}");
            continue;
        }
        let mut interpreter = interpreter(&model).unwrap();
        interpreter.invoke().unwrap();
        let text = strings::decode(interpreter.output_bytes(0).unwrap()).unwrap().concat();
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected, "{name}");
    }
}

#[test]
fn attributes_that_are_no_map() {
    let rows: [(&str, Vec<u8>, &str); 4] = [
        ("no bytes", vec![], "lacks the attribute 'as'"),
        ("a number", flexbuffers::encode(&Value::Int(3)), "no map from names to values"),
        ("a list", flexbuffers::encode(&Value::Vector(vec![])), "no map from names to values"),
        ("no FlexBuffers", vec![7; 9], "cannot be read"),
    ];
    for (name, bytes, expected) in rows {
        let error = failure(&model("Read", &[], &[SCALAR_TEXT], bytes).with_custom_op::<Read>());
        assert!(error.contains(expected), "{name}: {error}");
    }
}

/// Does what its attribute `how` says, which is mostly wrong.
struct Misbehave(String);

fn error(how: &str, stage: &str) -> Result<(), OpError> {
    if how == stage { Err(OpError::invalid(format!("no {stage} today"))) } else { Ok(()) }
}

impl CustomOp for Misbehave {
    const NAME: &'static str = "Misbehave";

    fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError> {
        let how = node.attributes()?.text("how")?;
        error(how, "shapes")?;
        let known = one(node.shape(0)?.clone());
        match how {
            "no shapes" => Ok(OutputShapes::new()),
            "two shapes" => Ok(known.iter().chain(&known).cloned().collect()),
            "shape beyond memory" => Ok(one(Shape::from([usize::MAX, 2]))),
            "content of no input" => Err(InferError::NeedsValue(9)),
            _ if how.starts_with("dynamic") => Ok(core::iter::once(OutputShape::Dynamic).collect()),
            _ => Ok(known),
        }
    }

    fn prepare(node: &Node<'_>) -> Result<Self, OpError> {
        let how = node.attributes()?.text("how")?;
        error(how, "prepare")?;
        Ok(Self(how.to_owned()))
    }

    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
        error(&self.0, "eval")?;
        let three = strings::encode(&["a", "b", "c"])?;
        match self.0.as_str() {
            "other shape" => io.outputs.allocate(0, Shape::from([4])),
            "fewer bytes" => io.outputs.set_bytes(0, &[3], &[0; 8]),
            "other type" => io.outputs.get::<i64>(0).map(drop),
            "output 1" => io.outputs.get::<f32>(1).map(drop),
            "input 1" => io.inputs.get::<f32>(1).map(drop),
            "dynamic, fewer bytes" => io.outputs.set_bytes(0, &[3], &[0; 8]),
            "dynamic, shape beyond memory" => io.outputs.allocate(0, Shape::from([usize::MAX, 2])),
            "dynamic, other type" => {
                for output in io.outputs.iter_mut() {
                    if let ferrolite_ops::OutputData::Value(value) = &mut output.data {
                        value.reset(TensorType::Int8, Shape::from([5]))?;
                    }
                }
                Ok(())
            }
            "more strings" | "dynamic, more strings" => io.outputs.set_bytes(0, &[2], &three),
            "strings in another shape" => io.outputs.set_bytes(0, &[3, 1], &three),
            "no string tensor" | "dynamic, no string tensor" => io.outputs.set_bytes(0, &[3], &[9; 40]),
            _ => Ok(()),
        }
    }
}

#[test]
fn misbehaviour_is_an_error_that_names_the_operator() {
    const TEXTS: Spec = (TensorType::String, &[3]);
    let rows: &[(&'static str, Spec, &str)] = &[
        ("shapes", THREE, "no shapes today"),
        ("prepare", THREE, "no prepare today"),
        ("eval", THREE, "no eval today"),
        ("no shapes", THREE, "gives 0 outputs, the file lists 1"),
        ("two shapes", THREE, "gives 2 outputs, the file lists 1"),
        ("shape beyond memory", THREE, "more elements than"),
        ("content of no input", THREE, "depends on content that is not to be had"),
        ("other shape", THREE, "planned with another shape than [4]"),
        ("fewer bytes", THREE, "planned with 12 bytes, but has 8"),
        ("other type", THREE, "INT64"),
        ("output 1", THREE, "output 1 is missing"),
        ("input 1", THREE, "input 1 is missing"),
        ("dynamic, nothing given", THREE, "output 0 wrong: it got no shape"),
        ("dynamic, nothing given", TEXTS, "output 0 wrong: it got no shape"),
        ("dynamic, fewer bytes", THREE, "has 12 bytes, 8 were given"),
        ("dynamic, shape beyond memory", THREE, "more elements than"),
        ("dynamic, other type", THREE, "it is INT8, the model has FLOAT32"),
        ("more strings", TEXTS, "its shape is [2], it was planned with [3]"),
        ("dynamic, more strings", TEXTS, "has 2 strings, 3 were given"),
        ("strings in another shape", TEXTS, "its shape is [3,1], it was planned with [3]"),
        ("no string tensor", TEXTS, "offsets leave its buffer"),
        ("dynamic, no string tensor", TEXTS, "offsets leave its buffer"),
    ];
    for &(how, output, expected) in rows {
        let attributes = attributes(&[("how", Value::String(how))]);
        let model = model("Misbehave", &[Some(THREE)], &[output], attributes).with_custom_op::<Misbehave>();
        let error = failure(&model);
        let placed = error.contains("Misbehave (operator 0)");
        assert!(placed && error.contains(expected), "{how}, {}: {error}", output.0);
    }
}

/// The sum of up to three inputs, which may be absent; how many there are; nothing.
struct Gather3;

impl CustomOp for Gather3 {
    const NAME: &'static str = "Gather3";
    const INPUTS: (usize, usize) = (1, 3);
    const OUTPUTS: (usize, usize) = (3, 3);

    fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError> {
        let shape = node.inputs.iter().flatten().next().ok_or_else(|| OpError::invalid("no inputs"))?;
        let shapes = [shape.info.shape.clone(), Shape::scalar(), Shape::from([0, 4])];
        Ok(shapes.map(OutputShape::Known).into_iter().collect())
    }

    fn prepare(_: &Node<'_>) -> Result<Self, OpError> {
        Ok(Self)
    }

    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
        let (sum, count) = io.outputs.pair::<f32, i32>(0, 1)?;
        sum.fill(0.0);
        count[0] = 0;
        for i in 0..3 {
            if let Some(x) = io.inputs.optional::<f32>(i)? {
                sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
                count[0] += 1;
            }
        }
        assert!(io.outputs.get::<i64>(2)?.is_empty());
        Ok(())
    }
}

#[test]
fn several_outputs_and_optional_inputs() {
    const NONE: Spec = (TensorType::Float32, &[0]);
    let outputs = [THREE, (TensorType::Int32, &[]), (TensorType::Int64, &[0, 4])];
    type Row<'a> = (&'a str, &'a [Option<Spec>], &'a [f32], i32);
    let rows: &[Row<'_>] = &[
        ("one", &[Some(THREE)], &[1.0; 3], 1),
        ("the middle one absent", &[Some(THREE), None, Some(THREE)], &[3.0; 3], 2),
        ("the first absent", &[None, Some(THREE)], &[1.0; 3], 1),
        ("all", &[Some(THREE), Some(THREE), Some(THREE)], &[6.0; 3], 3),
        ("no elements", &[Some(NONE), Some(NONE)], &[], 2),
    ];
    for &(name, inputs, sum, count) in rows {
        let model = model("Gather3", inputs, &outputs, vec![]).with_custom_op::<Gather3>();
        let mut interpreter = interpreter(&model).unwrap();
        for i in 0..interpreter.inputs().len() {
            interpreter.input_mut::<f32>(i).unwrap().fill(i as f32 + 1.0);
        }
        interpreter.invoke().unwrap();
        assert_eq!(interpreter.output::<f32>(0).unwrap(), sum, "{name}");
        assert_eq!(interpreter.output::<i32>(1).unwrap(), [count], "{name}");
        assert_eq!(interpreter.output_shape(2), [0, 4], "{name}");
    }
    type Refused<'a> = (&'a [Option<Spec>], &'a [Spec], &'a str);
    let refused: [Refused<'_>; 4] = [
        (&[], &outputs, "has 0 inputs, it takes 1 to 3"),
        (&[Some(THREE); 4], &outputs, "has 4 inputs, it takes 1 to 3"),
        (&[Some(THREE)], &outputs[..2], "has 2 outputs, it takes 3 to 3"),
        (&[None], &outputs, "no inputs"),
    ];
    for (inputs, outputs, expected) in refused {
        let error = failure(&model("Gather3", inputs, outputs, vec![]).with_custom_op::<Gather3>());
        assert!(error.contains(expected), "{error}");
    }
}

/// The positive ones of the inputs, times the attribute `factor`.
struct Positives {
    factor: f32,
}

impl CustomOp for Positives {
    const NAME: &'static str = "Positives";

    fn shapes(_: &Node<'_>) -> Result<OutputShapes, InferError> {
        Ok(core::iter::once(OutputShape::Dynamic).collect())
    }

    fn prepare(node: &Node<'_>) -> Result<Self, OpError> {
        Ok(Self { factor: node.attributes()?.float("factor")? as f32 })
    }

    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
        let x = io.inputs.get::<f32>(0)?;
        let kept: Vec<f32> = x.iter().filter(|x| **x > 0.0).map(|x| x * self.factor).collect();
        io.outputs.allocate(0, Shape::from([kept.len()]))?;
        io.outputs.get::<f32>(0)?.copy_from_slice(&kept);
        Ok(())
    }
}

/// Twice the same operator with other attributes on one input, a builtin operator behind each.
#[test]
fn dynamic_shapes_and_an_operator_used_twice() {
    let mut builder = ModelBuilder::new();
    let t = tensors(&mut builder, 0, &[FOUR; 5]);
    for (k, factor) in [(1, 2.0), (3, -10.0)] {
        let attributes = attributes(&[("factor", Value::Float(factor))]);
        builder.add_operator(0, Operator::custom("Positives", [t[0]], [t[k]], attributes));
        builder.add_operator(0, Operator::new(BuiltinOperator::ABS, [t[k]], [t[k + 1]], Options::None));
    }
    builder.set_inputs(0, [t[0]]).set_outputs(0, [t[2], t[3], t[4]]);
    let model = load(&builder).with_custom_op::<Positives>();
    let rows: [(&[f32], &[f32]); 4] =
        [(&[1.0, -2.0, 3.0, 0.0], &[1.0, 3.0]), (&[-1.0; 4], &[]), (&[2.0; 4], &[2.0; 4]), (&[], &[])];
    for threads in [1, 4] {
        let mut interpreter = Interpreter::builder(&model).threads(threads).build().unwrap();
        for (x, kept) in rows {
            interpreter.resize_input(0, &[x.len()]).unwrap();
            interpreter.input_mut::<f32>(0).unwrap().copy_from_slice(x);
            interpreter.invoke().unwrap();
            for (o, factor) in [(0, 2.0), (1, -10.0), (2, 10.0)] {
                let expected: Vec<f32> = kept.iter().map(|x| x * factor).collect();
                assert_eq!(interpreter.output::<f32>(o).unwrap(), expected, "output {o} of {x:?}");
                assert_eq!(interpreter.output_shape(o), [kept.len()]);
            }
        }
    }
}

/// Input 0 as often as input 1 says.
struct Repeat;

impl CustomOp for Repeat {
    const NAME: &'static str = "Repeat";
    const INPUTS: (usize, usize) = (2, 2);

    fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError> {
        let times = node.ints(1)?;
        let [times] = times[..] else { return Err(OpError::invalid("one number of times").into()) };
        let times =
            usize::try_from(times).map_err(|_| OpError::invalid(format!("{times} times is too few")))?;
        let mut shape = Shape::from([times]);
        node.shape(0)?.iter().for_each(|&dim| shape.push(dim));
        Ok(one(shape))
    }

    fn prepare(_: &Node<'_>) -> Result<Self, OpError> {
        Ok(Self)
    }

    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
        let x = strings::decode(io.inputs.bytes(0)?)?;
        let shape = io.outputs.shape(0)?.to_vec();
        let all: Vec<&[u8]> = x.iter().copied().cycle().take(shape.iter().product()).collect();
        io.outputs.set_bytes(0, &shape, &strings::encode(&all)?)
    }
}

#[test]
fn strings_in_shapes_that_depend_on_content() {
    let inputs = [Some((TensorType::String, &[2][..])), Some((TensorType::Int32, &[1][..]))];
    let model = model("Repeat", &inputs, &[(TensorType::String, &[1, 2])], vec![]).with_custom_op::<Repeat>();
    let mut interpreter = interpreter(&model).unwrap();
    interpreter.set_input_bytes(0, &strings::encode(&["añ", ""]).unwrap()).unwrap();
    for times in [2, 0, 1, -1, 3] {
        interpreter.input_mut::<i32>(1).unwrap()[0] = times;
        let Ok(count) = usize::try_from(times) else {
            assert!(interpreter.invoke().unwrap_err().to_string().contains("-1 times is too few"));
            continue;
        };
        interpreter.invoke().unwrap();
        assert_eq!(interpreter.output_shape(0), [count, 2]);
        let texts = strings::decode(interpreter.output_bytes(0).unwrap()).unwrap();
        assert_eq!(texts, ["añ".as_bytes(), b""].repeat(count));
    }
}

/// How often it ran since it was prepared.
struct Count(AtomicI32);

impl CustomOp for Count {
    const NAME: &'static str = "Count";
    const INPUTS: (usize, usize) = (0, 0);
    const STATEFUL: bool = true;

    fn shapes(_: &Node<'_>) -> Result<OutputShapes, InferError> {
        Ok(one(Shape::scalar()))
    }

    fn prepare(_: &Node<'_>) -> Result<Self, OpError> {
        Ok(Self(AtomicI32::new(0)))
    }

    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
        io.outputs.get::<i32>(0)?[0] = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(())
    }
}

#[test]
fn operators_with_a_state_run_every_time() {
    let model = model("Count", &[], &[(TensorType::Int32, &[])], vec![]).with_custom_op::<Count>();
    let mut interpreter = interpreter(&model).unwrap();
    for run in 1..4 {
        interpreter.invoke().unwrap();
        assert_eq!(interpreter.output::<i32>(0).unwrap(), [run]);
    }
}

/// Appends the attribute `item`: a step of a loop that makes its tensor longer.
struct Append {
    item: f32,
}

impl CustomOp for Append {
    const NAME: &'static str = "Append";

    fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError> {
        Ok(one(Shape::from([node.shape(0)?.num_elements()? + 1])))
    }

    fn prepare(node: &Node<'_>) -> Result<Self, OpError> {
        Ok(Self { item: node.attributes()?.float("item")? as f32 })
    }

    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
        let (x, y) = (io.inputs.get::<f32>(0)?, io.outputs.get::<f32>(0)?);
        y[..x.len()].copy_from_slice(x);
        y[x.len()] = self.item;
        Ok(())
    }
}

/// A loop of so many turns as its first input lacks to 4; `item` is an attribute of Append.
fn looped(item: Value<'static>) -> Model {
    let state: [Spec; 2] = [(TensorType::Int32, &[]), (TensorType::Float32, &[0])];
    let mut builder = ModelBuilder::new();
    let main = tensors(&mut builder, 0, &[state, state].concat());
    let options = WhileOptionsT { cond_subgraph_index: 1, body_subgraph_index: 2 };
    let turns = Operator::new(BuiltinOperator::WHILE, main[..2].to_vec(), main[2..].to_vec(), options);
    builder.add_operator(0, turns);
    builder.set_inputs(0, main[..2].to_vec()).set_outputs(0, main[2..].to_vec());
    let constant = |builder: &mut ModelBuilder, graph: usize, number: i32| {
        let tensor = Tensor::new("number", TensorType::Int32, &[]);
        builder.add_constant(graph, tensor, number.to_le_bytes().to_vec())
    };
    builder.add_subgraph("condition");
    let four = constant(&mut builder, 1, 4);
    let t = tensors(&mut builder, 1, &[state[0], state[1], (TensorType::Bool, &[])]);
    let less = LessOptionsT::default();
    builder.add_operator(1, Operator::new(BuiltinOperator::LESS, [t[0], four], [t[2]], less));
    builder.set_inputs(1, t[..2].to_vec()).set_outputs(1, [t[2]]);
    builder.add_subgraph("body");
    let one = constant(&mut builder, 2, 1);
    let t = tensors(&mut builder, 2, &[state, state].concat());
    let add = AddOptionsT::default();
    builder.add_operator(2, Operator::new(BuiltinOperator::ADD, [t[0], one], [t[2]], add));
    builder.add_operator(2, Operator::custom("Append", [t[1]], [t[3]], attributes(&[("item", item)])));
    builder.set_inputs(2, t[..2].to_vec()).set_outputs(2, t[2..].to_vec());
    load(&builder).with_custom_op::<Append>()
}

#[test]
fn in_the_body_of_a_loop() {
    let mut interpreter = interpreter(&looped(Value::Int(9))).unwrap();
    interpreter.resize_input(1, &[2]).unwrap();
    for (from, turns) in [(0, 4), (3, 1), (4, 0), (1, 3)] {
        interpreter.input_mut::<i32>(0).unwrap()[0] = from;
        interpreter.input_mut::<f32>(1).unwrap().copy_from_slice(&[1.0, 2.0]);
        interpreter.invoke().unwrap();
        let expected: Vec<f32> = [1.0, 2.0].into_iter().chain(vec![9.0; turns]).collect();
        assert_eq!(interpreter.output::<f32>(1).unwrap(), expected, "from {from}");
    }
    let error = failure(&looped(Value::String("nine")));
    assert!(error.contains("Append (operator 1 of subgraph 2)") && error.contains("'item'"), "{error}");
}

/// A builtin custom operator's name, with a meaning of its own.
struct Other;

impl CustomOp for Other {
    const NAME: &'static str = "Roll";
    const VERSION: i32 = 2;

    fn shapes(node: &Node<'_>) -> Result<OutputShapes, InferError> {
        Ok(one(node.shape(0)?.clone()))
    }

    fn prepare(_: &Node<'_>) -> Result<Self, OpError> {
        Ok(Self)
    }

    fn eval(&self, io: &mut Io<'_>) -> Result<(), OpError> {
        io.outputs.get::<f32>(0)?.fill(5.0);
        Ok(())
    }
}

#[test]
fn names_and_versions() {
    let unknown = model("Positives", &[Some(THREE)], &[THREE], vec![]);
    assert_eq!(unknown.unsupported_operators(), [("Positives".to_owned(), 1)]);
    assert!(failure(&unknown).contains("Positives"), "{}", failure(&unknown));
    assert!(unknown.with_custom_op::<Positives>().unsupported_operators().is_empty());

    let own = model("Roll", &[Some(THREE)], &[THREE], vec![]).with_custom_op::<Other>();
    let mut interpreter = interpreter(&own).unwrap();
    interpreter.invoke().unwrap();
    assert_eq!(interpreter.output::<f32>(0).unwrap(), [5.0; 3]);

    for (version, expected) in
        [(2, ""), (3, "version 3 of the operator is not supported, versions 1 to 2 are")]
    {
        let mut builder = ModelBuilder::new();
        let t = tensors(&mut builder, 0, &[THREE, THREE]);
        let operator = Operator { version, ..Operator::custom("Roll", [t[0]], [t[1]], vec![]) };
        builder.add_operator(0, operator);
        builder.set_inputs(0, [t[0]]).set_outputs(0, [t[1]]);
        let error = failure(&load(&builder).with_custom_op::<Other>());
        assert!(error.contains(expected) && error.is_empty() == expected.is_empty(), "{error}");
    }
}
