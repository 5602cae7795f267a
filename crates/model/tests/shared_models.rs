//! Every model of the shared folder is accepted.

use std::path::PathBuf;

use ferrolite_model::Model;

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
