//! Ferrolite in the browser: the wasm-bindgen surface.
