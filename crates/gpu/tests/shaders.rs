//! Every shader is valid WGSL within WebGPU's core features; no device is needed.

use ferrolite_kernels::wgsl;
use naga::valid::{Capabilities, ValidationFlags, Validator};

#[test]
fn all_shaders_validate() {
    let check = |shader: &wgsl::Shader| -> Result<(), String> {
        let module =
            naga::front::wgsl::parse_str(shader.source).map_err(|e| e.emit_to_string(shader.source))?;
        Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .map_err(|e| e.emit_to_string(shader.source))?;
        let entries: Vec<&str> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
        if entries != ["main"] {
            return Err(format!("its entry points are {entries:?}"));
        }
        let chooses = module.overrides.iter().any(|(_, o)| o.name.as_deref() == Some("OP"));
        if chooses != shader.has_op {
            return Err(format!("has_op is {}, but it declares OP: {chooses}", shader.has_op));
        }
        Ok(())
    };
    let wrong: Vec<String> = wgsl::ALL
        .iter()
        .filter_map(|shader| check(shader).err().map(|e| format!("{}: {e}", shader.name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
