//! Properties over models and bytes that nobody picked.

use ferrolite_model::options::{AddOptionsT, Conv2DOptionsT, ReshapeOptionsT};
use ferrolite_model::{
    BuiltinOperator, Layout, Model, ModelBuilder, OpCode, Operator, Options, Quantization, Signature, Tensor,
    TensorType, flexbuffers, strings,
};
use proptest::prelude::*;

/// A chain of operators that each read what the one before made and a constant. Options and codes only have to fit each
/// other: nothing here runs.
fn chain(constants: &[(TensorType, Vec<usize>, u8)], names: &[String]) -> ModelBuilder {
    let mut b = ModelBuilder::new();
    let mut value = b.add_tensor(0, Tensor::new("input", TensorType::Float32, &[1, 2]));
    b.set_inputs(0, [value]);
    for (index, (dtype, shape, fill)) in constants.iter().enumerate() {
        let name = names.get(index).cloned().unwrap_or_default();
        let tensor = Tensor::new(name.clone(), *dtype, shape);
        let bytes = match dtype {
            TensorType::String => strings::encode(&vec![vec![*fill; 3]; shape.iter().product()]).unwrap(),
            _ => vec![*fill; tensor.byte_len().unwrap_or(4)],
        };
        let channels = shape.first().copied().unwrap_or_default();
        let quantization = Quantization::per_channel(vec![0.5; channels], 0);
        let tensor = if channels > 1 { tensor.quantized(quantization) } else { tensor };
        let constant = b.add_constant(0, tensor, bytes);
        let next =
            b.add_tensor(0, Tensor { shape_signature: vec![-1, 2], ..Tensor::new(name, *dtype, &[1, 2]) });
        let (code, options): (OpCode, Options) = match index % 4 {
            0 => (BuiltinOperator::ADD.into(), AddOptionsT::default().into()),
            1 => {
                (BuiltinOperator::CONV_2D.into(), Conv2DOptionsT { stride_w: 2, ..Default::default() }.into())
            }
            2 => {
                let options = ReshapeOptionsT { new_shape: Some(vec![1, -1]) };
                (BuiltinOperator::RESHAPE.into(), options.into())
            }
            _ => (OpCode::Custom("Mine".into()), Options::None),
        };
        let version = i32::from(*fill);
        let operator = Operator::new(code, [Some(value), None, Some(constant)], [next], options);
        b.add_operator(0, Operator { version, custom_options: vec![*fill; index].into(), ..operator });
        value = next;
    }
    b.set_outputs(0, [value]);
    b.add_metadata("note", vec![1, 2, 3]).set_description("a chain");
    let (inputs, outputs) = (vec![("in".into(), 0)], vec![("out".into(), value)]);
    b.add_signature(Signature { key: "serve".into(), inputs, outputs, subgraph: 0 });
    b
}

fn constants() -> impl Strategy<Value = Vec<(TensorType, Vec<usize>, u8)>> {
    let dtype = proptest::sample::select(TensorType::ALL);
    proptest::collection::vec((dtype, proptest::collection::vec(1_usize..4, 0..4), any::<u8>()), 0..9)
}

/// Replaces a few bytes.
fn damage(bytes: &mut [u8], changes: &[(prop::sample::Index, u8)]) {
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
}

proptest! {
    #[test]
    fn written_models_read_back_equal(constants in constants(), names in proptest::collection::vec(".{0,6}", 9)) {
        let model = chain(&constants, &names).finish().unwrap();
        for layout in [Layout::Auto, Layout::Appended] {
            let bytes = model.to_bytes_with(layout).unwrap();
            let again = Model::parse(bytes);
            prop_assert_eq!(again.as_ref(), Ok(&model));
        }
    }

    #[test]
    fn damaged_files_never_panic(
        constants in constants(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = chain(&constants, &[]).to_bytes().unwrap();
        damage(&mut bytes, &changes);
        if let Ok(model) = Model::parse(bytes) {
            // What is accepted keeps its promises.
            for tensor in model.subgraphs().iter().flat_map(|subgraph| &subgraph.tensors) {
                let dense = tensor.sparsity.is_none() && tensor.dtype.bits().is_some();
                if let (true, Some(data)) = (dense, model.tensor_data(tensor)) {
                    prop_assert_eq!(Some(data.len()), tensor.byte_len());
                }
            }
            let _ = model.associated_files();
            let again = Model::parse(model.to_bytes().unwrap()).map(|_| ());
            prop_assert_eq!(again, Ok(()));
        }
    }

    #[test]
    fn flexbuffers_of_any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = flexbuffers::parse(&bytes) {
            let written = flexbuffers::encode(&value);
            let again = flexbuffers::parse(&written).map(|_| ());
            prop_assert_eq!(again, Ok(()), "{:?}", value);
        }
    }
}

/// Every byte of a small file, with every single bit flipped and at the extremes.
#[test]
fn every_byte_damaged() {
    let constants = [
        (TensorType::Float32, vec![2, 2], 1),
        (TensorType::String, vec![2], 2),
        (TensorType::Int4, vec![3], 3),
        (TensorType::Int8, vec![], 4),
    ];
    let good = chain(&constants, &["a".into(), "b".into()]).to_bytes().unwrap();
    let mut refused = 0_usize;
    for at in 0..good.len() {
        let old = good[at];
        for new in (0..8).map(|bit| old ^ (1 << bit)).chain([0, 0x7f, 0x80, 0xff]) {
            let mut bytes = good.clone();
            bytes[at] = new;
            refused += usize::from(Model::parse(bytes).is_err());
        }
    }
    assert!(refused > good.len(), "only {refused} of the damaged files were refused");
    for len in 0..good.len() {
        assert!(Model::parse(good[..len].to_vec()).is_err() || len > good.len() - 16, "cut to {len} bytes");
    }
}
