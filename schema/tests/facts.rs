//! The schema and its binding agree with the facts of the file format: names, numbers, types, defaults and offsets.

use std::collections::{BTreeMap, BTreeSet};

const FACTS: &str = include_str!("facts.txt");
const SCHEMA: &str = include_str!("../tflite.fbs");
const BINDING: &str = include_str!("../src/generated/tflite_generated.rs");

/// The lines of `facts.txt`.
fn facts() -> BTreeSet<String> {
    FACTS.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// The same lines, derived from the schema by the format's rules: ids in order, a union taking two, offsets from ids.
fn facts_of_schema() -> BTreeSet<String> {
    let text: String = SCHEMA.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let mut facts = BTreeSet::new();
    let mut zero_members = BTreeMap::new();
    let mut unions = BTreeSet::new();
    for block in text.split('}') {
        let Some((head, body)) = block.split_once('{') else { continue };
        let head = head.rsplit(';').next().unwrap().trim();
        match head.split_once(' ').unwrap() {
            ("enum", head) => {
                for member in entries(body, ',') {
                    let (name, value) = without_attributes(member).split_once(" = ").unwrap();
                    facts.insert(format!("enum {head} | {name} {value}"));
                    if value == "0" {
                        zero_members.insert(head.split_once(" : ").unwrap().0, name);
                    }
                }
            }
            ("union", name) => {
                unions.insert(name);
                let members = std::iter::once("NONE").chain(entries(body, ',').map(without_attributes));
                facts.extend(
                    members.enumerate().map(|(tag, member)| format!("union {name} | {member} {tag}")),
                );
            }
            ("table", table) => {
                if entries(body, ';').next().is_none() {
                    facts.insert(format!("table {table}"));
                }
                let mut id = 0;
                for field in entries(body, ';') {
                    let (name, rest) = without_attributes(field).split_once(": ").unwrap();
                    let (ty, default) = rest.split_once(" = ").map_or((rest, None), |(ty, d)| (ty, Some(d)));
                    id += usize::from(unions.contains(ty));
                    let default = default.or_else(|| implied_default(ty, &zero_members)).unwrap_or("-");
                    let mark = if field.contains("(deprecated)") { " deprecated" } else { "" };
                    facts
                        .insert(format!("field {table}.{name} : {ty} | {id} {} {default}{mark}", 4 + 2 * id));
                    id += 1;
                }
            }
            other => panic!("unknown declaration {other:?}"),
        }
    }
    facts
}

fn entries(body: &str, separator: char) -> impl Iterator<Item = &str> {
    body.split(separator).map(str::trim).filter(|entry| !entry.is_empty())
}

fn without_attributes(entry: &str) -> &str {
    entry.split(" (").next().unwrap()
}

fn implied_default<'a>(ty: &str, zero_members: &BTreeMap<&str, &'a str>) -> Option<&'a str> {
    match ty {
        "bool" => Some("false"),
        "byte" | "ubyte" | "int" | "int32" | "uint" | "long" | "ulong" | "float" => Some("0"),
        _ => zero_members.get(ty).copied(),
    }
}

#[test]
fn the_schema_says_what_the_format_is() {
    let (expected, found) = (facts(), facts_of_schema());
    assert!(expected.len() > 700, "facts.txt is cut off: {} lines", expected.len());
    let missing: Vec<_> = expected.difference(&found).collect();
    let unknown: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:#?}\nunknown: {unknown:#?}");
}

/// `pub const` items of the binding by the type they belong to.
fn constants() -> BTreeMap<(String, String), String> {
    let mut owner = "";
    let mut constants = BTreeMap::new();
    for line in BINDING.lines() {
        if let Some(head) = line.strip_prefix("impl<'a> ").or_else(|| line.strip_prefix("impl ")) {
            owner = head.split(['<', ' ']).next().unwrap();
        } else if let Some(item) = line.strip_prefix("  pub const ")
            && let Some((name, rest)) = item.split_once(':')
        {
            let value = rest.rsplit(['=', '(']).next().unwrap().trim_matches([' ', ';', ')']);
            constants.insert((owner.to_owned(), name.to_owned()), value.to_owned());
        }
    }
    constants
}

#[test]
fn the_binding_has_the_numbers_of_the_format() {
    let constants = constants();
    let mut failures = Vec::new();
    let mut expect = |owner: &str, name: String, value: &str| {
        let found = constants.get(&(owner.to_owned(), name.clone()));
        if found.map(String::as_str) != Some(value) {
            failures.push(format!("{owner}::{name} is {found:?}, not {value}"));
        }
    };
    for fact in facts() {
        let (subject, numbers) = fact.split_once(" | ").unwrap_or((&fact, ""));
        let numbers: Vec<_> = numbers.split(' ').collect();
        match subject.split(' ').collect::<Vec<_>>()[..] {
            ["enum", name, ..] | ["union", name] => {
                expect(name, numbers[0].to_owned(), numbers[1]);
            }
            // The binding has no deprecated fields, and escapes Rust's keywords.
            ["field", path, ..] if numbers.last() != Some(&"deprecated") => {
                let (table, field) = path.split_once('.').unwrap();
                let escape = if field == "type" { "_" } else { "" };
                expect(table, format!("VT_{}{escape}", field.to_uppercase()), numbers[1]);
            }
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_file_is_recognized_by_its_identifier() {
    assert_eq!(ferrolite_schema::tflite::MODEL_IDENTIFIER, "TFL3");
    assert_eq!(ferrolite_schema::tflite::MODEL_EXTENSION, "tflite");
}
