//! Packed weights kept in a file: the second load packs nothing, no file changes a result.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use ferrolite::{Cpu, Interpreter, Model, WeightCacheRejection as Rejection, WeightCacheStatus};
use support::Case;
use tempfile::TempDir;

/// Vectors of the operators that pack weights, and of whole networks.
const PACKING: [&str; 10] = [
    "BATCH_MATMUL",
    "CONV_2D",
    "CONV_3D",
    "CONV_3D_TRANSPOSE",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
    "custom.Convolution2DTransposeBias",
    "custom.UnidirectionalSequenceGru",
    "networks",
];

/// An interpreter of a freshly loaded model, as another process would have it.
fn build(model: &[u8], cache: Option<&Path>, cpu: Cpu) -> Result<Interpreter, String> {
    let model = Model::from_bytes(model.to_vec()).map_err(|e| e.to_string())?;
    let mut builder = Interpreter::builder(&model).cpu(cpu).threads(2);
    if let Some(path) = cache {
        builder = builder.weight_cache(path);
    }
    builder.build().map_err(|e| e.to_string())
}

/// The outputs of a case's first run.
fn outputs(case: &Case, interpreter: &mut Interpreter) -> Result<Vec<Vec<u8>>, String> {
    for (i, bytes) in case.inputs.iter().enumerate() {
        interpreter.set_input_bytes(i, case.part(bytes, 0)).map_err(|e| e.to_string())?;
    }
    interpreter.invoke().map_err(|e| e.to_string())?;
    (0..case.outputs.len())
        .map(|o| interpreter.output_bytes(o).map(<[u8]>::to_vec).map_err(|e| e.to_string()))
        .collect()
}

/// Runs a case without a cache, with a new one, and with the one that left; says how many weights came from it.
fn three_loads(case: &Case, cpu: Cpu, path: &Path) -> Result<usize, String> {
    let _ = fs::remove_file(path);
    let want = outputs(case, &mut build(&case.model, None, cpu)?)?;
    let mut status = Vec::new();
    for _ in 0..2 {
        let mut interpreter = build(&case.model, Some(path), cpu)?;
        if outputs(case, &mut interpreter)? != want {
            return Err("other outputs".to_owned());
        }
        // What was packed while it ran, where shapes depend on data.
        interpreter.save_weight_cache();
        status.push(interpreter.weight_cache_status().ok_or("no status")?);
    }
    let [first, second] = &status[..] else { return Err("two loads".to_owned()) };
    let packed = first.misses;
    let fine = (first.hits, first.written) == (0, packed > 0)
        && (second.hits, second.misses, second.written) == (packed, 0, false);
    let told = status.iter().all(|s| s.rejected.is_none() && s.write_error.is_none());
    if fine && told { Ok(packed) } else { Err(format!("{status:?}")) }
}

#[test]
fn the_second_load_packs_nothing_and_computes_the_same() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights");
    let mut wrong = Vec::new();
    for file in support::vector_files() {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if !PACKING.contains(&name.as_str()) {
            continue;
        }
        let mut from_file = 0;
        for case in support::read_cases(&file) {
            for cpu in Cpu::all() {
                match three_loads(&case, cpu, &path) {
                    Ok(packed) => from_file += packed,
                    // What a case is about may be an error.
                    Err(e) if build(&case.model, None, cpu).is_err() => drop(e),
                    Err(e) => wrong.push(format!("{name} {} on {}: {e}", case.name, cpu.name())),
                }
            }
        }
        assert!(from_file > 0, "no case of {name} packs anything");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn asset(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/cli/assets").join(name)).unwrap()
}

/// A model, its outputs for one input, and a cache of its weights.
struct Workplace {
    folder: TempDir,
    model: Vec<u8>,
    want: Vec<u8>,
    packed: usize,
    file: Vec<u8>,
}

impl Workplace {
    fn new(model: &str) -> Self {
        let (folder, model) = (TempDir::new().unwrap(), asset(model));
        let mut place = Self { folder, model, want: Vec::new(), packed: 0, file: Vec::new() };
        let (want, status) = place.load();
        (place.want, place.packed) = (want, status.misses);
        place.file = fs::read(place.path()).unwrap();
        place
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("weights")
    }

    /// Loads the model and runs it.
    fn load(&self) -> (Vec<u8>, WeightCacheStatus) {
        run(build(&self.model, Some(&self.path()), Cpu::detect()).unwrap())
    }

    /// Loads with another file in the cache's place: it must not change the outputs, and be replaced by what was there before
    /// if it was rejected.
    fn load_with(&self, name: &str, file: &[u8]) -> WeightCacheStatus {
        fs::write(self.path(), file).unwrap();
        let (outputs, status) = self.load();
        assert_eq!(outputs, self.want, "{name}");
        assert_eq!((status.hits + status.misses, &status.write_error), (self.packed, &None), "{name}");
        assert_eq!(status.written, status.rejected.is_some(), "{name}: {status:?}");
        if status.rejected.is_some() {
            assert!(status.misses > 0, "{name}: {status:?}");
            assert!(fs::read(self.path()).unwrap() == self.file, "{name}: another file is written");
        }
        status
    }
}

fn run(mut interpreter: Interpreter) -> (Vec<u8>, WeightCacheStatus) {
    let len = interpreter.input_bytes(0).unwrap().len();
    let input: Vec<u8> = match len {
        256 => (0..64).flat_map(|i| ((i * 5 % 17) as f32 / 16.0).to_le_bytes()).collect(),
        len => (0..len).map(|i| (i * 37) as u8).collect(),
    };
    interpreter.set_input_bytes(0, &input).unwrap();
    interpreter.invoke().unwrap();
    let outputs = interpreter.output_bytes(0).unwrap().to_vec();
    (outputs, interpreter.weight_cache_status().unwrap())
}

const HEADER: usize = 128;

#[test]
fn a_file_that_was_cut_is_rejected_and_replaced() {
    for model in ["digits_f32.tflite", "digits_int8.tflite"] {
        let place = Workplace::new(model);
        let whole = place.file.len();
        let lens = (0..2 * HEADER).chain((2 * HEADER..whole).step_by(997)).chain([whole - 1]);
        for len in lens {
            let status = place.load_with(&format!("{model}, {len} of {whole} bytes"), &place.file[..len]);
            let wanted = if len < HEADER { HEADER } else { whole } as u64;
            assert_eq!(status.rejected, Some(Rejection::Truncated { found: len as u64, wanted }), "{model}");
        }
        let longer = [&place.file[..], &[0]].concat();
        assert_eq!(place.load_with("one byte more", &longer).rejected, Some(Rejection::Damaged));
        assert_eq!(place.load_with("whole", &place.file).hits, place.packed);
    }
}

#[test]
fn a_file_with_another_bit_is_rejected_and_replaced() {
    for model in ["digits_f32.tflite", "digits_int8.tflite"] {
        let place = Workplace::new(model);
        let table = u64::from_le_bytes(place.file[24..32].try_into().unwrap()) as usize;
        let payload = HEADER + table;
        let places = (0..payload).chain((payload..place.file.len()).step_by(331));
        for at in places {
            let mut file = place.file.clone();
            file[at] ^= 1 << (at % 8);
            let name = format!("{model}, byte {at} of {payload}+{}", file.len() - payload);
            let status = place.load_with(&name, &file);
            match (at, &status.rejected) {
                (0..8, Some(Rejection::NotACache)) | (8..16, Some(Rejection::Format(_))) => {}
                // The length may be less than there is, or more.
                (16..24, Some(Rejection::Truncated { .. } | Rejection::Damaged)) => {}
                (24.., Some(Rejection::Damaged)) => {}
                // Between the parts there are zeros that nobody reads.
                (_, None) if at >= payload && place.file[at] == 0 => assert_eq!(status.hits, place.packed),
                (_, other) => panic!("{name}: {other:?}"),
            }
            // Damage to one part costs that part.
            assert!(at < payload || status.misses <= 1, "{name}: {status:?}");
        }
    }
}

#[test]
fn files_of_others_are_rejected_and_replaced() {
    let (float, int) = (Workplace::new("digits_f32.tflite"), Workplace::new("digits_int8.tflite"));
    assert_eq!(float.load_with("int8", &int.file).rejected, Some(Rejection::OtherModel));
    assert_eq!(int.load_with("float", &float.file).rejected, Some(Rejection::OtherModel));

    // The same model with other weights, and with one byte more.
    let graph = Model::from_bytes(float.model.clone()).unwrap();
    let graph = graph.graph();
    let contents = graph.subgraphs()[0].tensors.iter().filter_map(|tensor| graph.tensor_data(tensor));
    let weights = contents.max_by_key(|data| data.len()).expect("weights");
    let at = float.model.windows(weights.len()).position(|part| part == weights).expect("in the file");
    let mut retrained = float.model.clone();
    retrained[at + 2] ^= 0x40;
    for (name, model) in [("retrained", retrained), ("longer", [&float.model[..], &[0; 16]].concat())] {
        fs::write(float.path(), &float.file).unwrap();
        let (outputs, status) = run(build(&model, Some(&float.path()), Cpu::detect()).unwrap());
        assert_eq!(status.rejected, Some(Rejection::OtherModel), "{name}");
        let (without, again) = run(build(&model, Some(&float.path()), Cpu::detect()).unwrap());
        assert_eq!((outputs, again.misses), (without, 0), "{name}");
    }

    for name in ["", "text", "\u{89}FLPACK\n"] {
        let rejected = float.load_with(name, name.repeat(100).as_bytes()).rejected;
        assert!(rejected.is_some(), "{name}: {rejected:?}");
    }
}

#[test]
fn files_for_other_processors_are_rejected_and_replaced() {
    let place = Workplace::new("digits_int8.tflite");
    let mut file: Option<&str> = None;
    for cpu in Cpu::all() {
        let path = place.folder.path().join("processors");
        let (_, status) = run(build(&place.model, Some(&path), cpu).unwrap());
        let other = file.map(|name| Rejection::OtherCpu(name.to_owned()));
        assert_eq!((status.rejected, status.hits, status.written), (other, 0, true), "{}", cpu.name());
        let (_, again) = run(build(&place.model, Some(&path), cpu).unwrap());
        assert_eq!((again.rejected, again.misses, again.written), (None, 0, false), "{}", cpu.name());
        file = Some(cpu.name());
    }
}

#[test]
fn a_place_that_cannot_be_written_is_told_about() {
    let place = Workplace::new("digits_f32.tflite");
    let folder = place.folder.path();
    for (name, path, readable) in
        [("a folder", folder.to_path_buf(), false), ("no such folder", folder.join("none/weights"), true)]
    {
        let (outputs, status) = run(build(&place.model, Some(&path), Cpu::detect()).unwrap());
        assert_eq!((outputs, status.hits, status.misses), (place.want.clone(), 0, place.packed), "{name}");
        assert_eq!(status.rejected.is_none(), readable, "{name}: {status:?}");
        assert!(!status.written && status.write_error.is_some(), "{name}: {status:?}");
    }
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["weights"], "nothing is left behind");
}

#[test]
fn interpreters_that_start_at_once_share_a_file() {
    let place = Workplace::new("digits_f32.tflite");
    let path = place.folder.path().join("at once");
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| run(build(&place.model, Some(&path), Cpu::detect()).unwrap())))
            .collect();
        for load in loads {
            let (outputs, status) = load.join().unwrap();
            assert_eq!((outputs, status.rejected, status.write_error), (place.want.clone(), None, None));
        }
    });
    assert!(fs::read(&path).unwrap() == place.file);
}

#[test]
fn weights_that_another_interpreter_packed_are_kept_too() {
    let place = Workplace::new("digits_f32.tflite");
    let model = Model::from_bytes(place.model.clone()).unwrap();
    let _first = Interpreter::builder(&model).build().unwrap();
    assert_eq!(model.packed_weights(), place.packed);
    fs::remove_file(place.path()).unwrap();
    let second = Interpreter::builder(&model).weight_cache(place.path()).build().unwrap();
    let status = second.weight_cache_status().unwrap();
    assert_eq!((status.hits, status.misses, status.written), (0, 0, true));
    assert!(fs::read(place.path()).unwrap() == place.file);
}

#[test]
fn without_a_cache_there_is_no_status() {
    let mut interpreter = build(&asset("digits_f32.tflite"), None, Cpu::detect()).unwrap();
    interpreter.save_weight_cache();
    assert_eq!(interpreter.weight_cache_status(), None);
}

#[cfg(feature = "mmap")]
#[test]
fn mapped_files_give_the_same() {
    let place = Workplace::new("digits_int8.tflite");
    let mapped = |name: &str| {
        let model = Model::from_bytes(place.model.clone()).unwrap();
        // SAFETY: files are replaced here, not changed.
        let builder =
            unsafe { Interpreter::builder(&model).weight_cache_mapped(place.folder.path().join(name)) };
        run(builder.build().unwrap())
    };
    let (outputs, status) = mapped("weights");
    assert_eq!((outputs, status.hits, status.misses), (place.want.clone(), place.packed, 0));
    // One that is used while it is replaced stays what it was.
    let model = Model::from_bytes(place.model.clone()).unwrap();
    // SAFETY: as above.
    let builder = unsafe { Interpreter::builder(&model).weight_cache_mapped(place.path()) };
    let used = builder.build().unwrap();
    let other = place.folder.path().join("other");
    fs::write(&other, b"").unwrap();
    fs::rename(&other, place.path()).unwrap();
    assert_eq!(run(used).0, place.want);
    let (outputs, status) = mapped("weights");
    assert_eq!((outputs, status.misses, status.written), (place.want.clone(), place.packed, true));
    assert_eq!(status.rejected, Some(Rejection::Truncated { found: 0, wanted: HEADER as u64 }));
    let (outputs, status) = mapped("weights");
    assert_eq!((outputs, status.hits), (place.want.clone(), place.packed));
}
