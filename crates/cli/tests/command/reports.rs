//! What the commands tell: the demo, `bench`, `inspect`, completions and the manual.

use crate::support::Workshop;
use serde_json::Value;

#[test]
fn the_demo_reads_digits_well() {
    let stdout = Workshop::new().succeed("");
    let accuracy = |format: &str| -> Option<f64> {
        let line =
            stdout.lines().find(|line| line.trim_start().starts_with(format) && line.contains("KiB"))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        words[..words.iter().position(|word| *word == "%")?].last()?.parse().ok()
    };
    for format in ["float32", "int8"] {
        assert!(accuracy(format).is_some_and(|percent| percent >= 98.5), "{format} in {stdout}");
    }
    for part in ["all 360 digits", "kernels, float32", "kernels, int8", "CONV_2D", "reads 0", "█"] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
    assert!(!stdout.contains('\x1b'), "no colours where there is no terminal");
}

#[test]
fn bench_keeps_its_promised_line() {
    let workshop = Workshop::new();
    let rows = [
        ("plain", "bench digits_f32.tflite --seconds 0.05 --json", false),
        (
            "signature",
            "bench digits_int8.tflite --seconds 0 --warmup 0 --signature serving_default --json",
            false,
        ),
        ("profile", "bench digits_f32.tflite --seconds 0 --threads 1 --isa portable --profile --json", true),
    ];
    for (name, line, profiled) in rows {
        let stdout = workshop.succeed(line);
        let report: Value = serde_json::from_str(stdout.lines().last().expect("a line")).expect(name);
        for key in ["load_ms", "first_ms", "median_ms", "p90_ms", "min_ms", "arena_mb"] {
            assert!(report[key].as_f64().is_some_and(|value| value > 0.0), "{name}: {key} in {report}");
        }
        assert!(report["runs"].as_u64().is_some_and(|runs| runs >= 1), "{name}: {report}");
        for key in ["peak_rss_mb", "growth_mb"] {
            assert_eq!(report[key].is_number(), cfg!(target_os = "linux"), "{name}: {key} in {report}");
        }
        let steps = report["profile"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(!steps.is_empty(), profiled, "{name}: {report}");
        let shares: f64 = steps.iter().filter_map(|step| step["share"].as_f64()).sum();
        assert!(!profiled || (shares - 1.0).abs() < 1e-6, "{name}: shares sum to {shares}");
        assert!(
            steps.iter().all(|step| step["kernel"].as_str().is_some_and(|kernel| !kernel.is_empty())),
            "{name}"
        );
    }
}

#[test]
fn a_weight_cache_is_created_used_and_replaced() {
    let workshop = Workshop::new();
    let bench = |model: &str| -> Value {
        let line = format!("bench {model} --seconds 0 --json --weight-cache weights");
        serde_json::from_str(workshop.succeed(&line).lines().last().expect("a line")).expect("JSON")
    };
    let rows = [
        ("created", "digits_f32.tflite", "missing", true, ""),
        ("used", "digits_f32.tflite", "used", false, ""),
        ("of another model", "digits_int8.tflite", "rejected", true, "another model"),
        ("replaced", "digits_int8.tflite", "used", false, ""),
    ];
    for (name, model, state, written, reason) in rows {
        let cache = &bench(model)["weight_cache"];
        assert_eq!(
            (cache["state"].as_str(), cache["written"].as_bool()),
            (Some(state), Some(written)),
            "{name}"
        );
        assert!(cache["reason"].as_str().unwrap_or_default().contains(reason), "{name}: {cache}");
        let (hits, misses) = (cache["hits"].as_u64(), cache["misses"].as_u64());
        let (from, other) = if state == "used" { (hits, misses) } else { (misses, hits) };
        assert!(from > Some(0) && other == Some(0), "{name}: {cache}");
    }
    assert!(workshop.succeed("bench digits_int8.tflite --seconds 0 --json").contains("load_ms"));
    workshop.succeed("run digits_f32.tflite --outputs plain.npz");
    for (line, told) in [
        ("bench digits_int8.tflite --seconds 0 --weight-cache weights", "used ("),
        ("run digits_f32.tflite --outputs kept.npz --weight-cache weights", "weight cache rejected, written"),
        ("run digits_f32.tflite --outputs kept.npz --weight-cache weights", "weight cache used"),
        ("run digits_f32.tflite --weight-cache none/weights", "cannot write none/weights"),
    ] {
        let stdout = workshop.succeed(line);
        assert!(stdout.contains(told), "{line}: {stdout}");
    }
    assert_eq!(workshop.read("plain.npz"), workshop.read("kept.npz"));
}

#[test]
fn bench_prints_a_table_with_kernels() {
    let stdout = Workshop::new().succeed("bench digits_int8.tflite --seconds 0.01 --profile");
    for part in ["load", "first run", "median", "90 % within", "arena", "SOFTMAX", "share", "kernel"] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
}

#[test]
fn inspect_shows_the_model_in_each_form() {
    let workshop = Workshop::new();
    let text = workshop.succeed("inspect digits_int8.tflite --html graph.html");
    for part in
        ["serving_default", "probabilities", "DEPTHWISE_CONV_2D", "plan", "arena", "wrote graph.html", "INT8"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("not supported"), "{text}");

    let json: Value =
        serde_json::from_str(&workshop.succeed("inspect digits_int8.tflite --json")).expect("JSON");
    assert_eq!(json["signatures"][0]["inputs"][0]["name"], "image");
    assert_eq!(json["subgraphs"][0]["operators"][0]["name"], "CONV_2D");
    assert_eq!(json["unsupported"].as_array().map(Vec::len), Some(0));
    assert!(json["plan"].as_str().is_some_and(|plan| plan.contains("CONV_2D")));
    let convolutions = json["operators"].as_array().into_iter().flatten().find(|o| o["name"] == "CONV_2D");
    assert_eq!(convolutions.map(|o| &o["count"]), Some(&Value::from(3)));

    let page = std::fs::read_to_string(workshop.path("graph.html")).expect("reads");
    assert!(page.starts_with("<!doctype html>") && page.matches("class=\"node ").count() >= 13);
}

#[test]
fn shells_and_the_manual_are_served() {
    let workshop = Workshop::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = workshop.succeed(&format!("completions {shell}"));
        assert!(script.contains("ferrolite") && script.contains("inspect"), "{shell}");
    }
    let manual = workshop.succeed("man");
    assert!(manual.contains(".TH") && manual.contains("inspect"));
    assert!(workshop.succeed("man bench").contains("warmup"));
    assert!(workshop.succeed("--help").contains("Exit codes"));
    assert!(workshop.succeed("--version").starts_with("ferrolite "));
}
