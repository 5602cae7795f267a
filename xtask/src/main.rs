//! Build steps that cargo alone does not do: `cargo run -p xtask -- web OUT` makes the WebAssembly package in folder OUT.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo run -p xtask -- web OUT";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["web", out] => web(Path::new(out)),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// Compiles `ferrolite-web` with simd128 and generates its JavaScript binding.
fn web(out: &Path) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the workspace has no folder")?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("web");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .env("RUSTFLAGS", "-Ctarget-feature=+simd128")
        .args([
            "build",
            "--release",
            "-p",
            "ferrolite-web",
            "--target",
            "wasm32-unknown-unknown",
            "--target-dir",
        ])
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(
            "ferrolite-web does not build for wasm32-unknown-unknown: is the target installed?".into()
        );
    }
    let wasm = target.join("wasm32-unknown-unknown/release/ferrolite_web.wasm");
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(&wasm)
        .web(true)?
        .omit_default_module_path(false)
        .typescript(true)
        .generate(out)?;
    let size = std::fs::metadata(out.join("ferrolite_web_bg.wasm"))?.len();
    println!("{}: {size} bytes of wasm", out.display());
    Ok(())
}
