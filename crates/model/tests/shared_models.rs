//! Every model of the shared folder is accepted, and the same after writing and reading it again.

use std::path::PathBuf;

use ferrolite_model::{Layout, Model};

/// Real models, kept outside the project. Absent on most machines.
fn shared_models() -> Option<Vec<PathBuf>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED shared_models: no folder {}", folder.display());
        return None;
    };
    let files = entries.map(|entry| entry.unwrap().path());
    let mut models: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "tflite")).collect();
    models.sort();
    assert!(!models.is_empty(), "no models in {}", folder.display());
    Some(models)
}

#[test]
fn real_models_are_accepted() {
    let Some(paths) = shared_models() else { return };
    let mut failures = Vec::new();
    for path in paths {
        if let Err(error) = Model::parse(std::fs::read(&path).unwrap()) {
            failures.push(format!("{}: {error}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn writing_and_reading_gives_an_equal_model() {
    let Some(paths) = shared_models() else { return };
    let mut failures = Vec::new();
    for path in paths {
        let model = Model::parse(std::fs::read(&path).unwrap()).unwrap();
        for layout in [Layout::Auto, Layout::Appended] {
            let again = Model::parse(model.to_bytes_with(layout).unwrap());
            if again.as_ref() != Ok(&model) {
                failures.push(format!("{} {layout:?}: {:?}", path.display(), again.err()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
