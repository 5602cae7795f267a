//! Thousands of damaged models through loading, planning and running: every one ends in a result or an error.
//!
//! Run it with overflow checks on (`cargo test --test hostile`).

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ferrolite::{Interpreter, Limits, Model};
use support::{read_cases, vector_files};

/// A small generator of pseudo-random numbers (xorshift), so that failures repeat.
struct Random(u64);

impl Random {
    fn next(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// One way of damaging a file.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let len = bytes.len();
    if len == 0 {
        return;
    }
    let at = random.next(len);
    match random.next(6) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << random.next(8),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.next(5)],
        3 => {
            let word = [0u32, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 65_536][random.next(6)];
            let at = at / 4 * 4;
            if let Some(target) = bytes.get_mut(at..at + 4) {
                target.copy_from_slice(&word.to_le_bytes());
            }
        }
        4 => {
            let (from, count) = (random.next(len), random.next(32));
            let piece: Vec<u8> = bytes.iter().skip(from).take(count).copied().collect();
            for (target, byte) in bytes[at..].iter_mut().zip(piece) {
                *target = byte;
            }
        }
        _ => {
            let end = (at + random.next(64)).min(len);
            bytes.drain(at..end);
        }
    }
}

/// Loads, plans and runs a model, stopping it after a second.
fn exercise(bytes: Vec<u8>) -> ferrolite::Result<()> {
    let model = Model::from_bytes(bytes)?;
    let limits = Limits { arena_bytes: 64 << 20, ..Limits::default() };
    let mut interpreter = Interpreter::builder(&model).threads(1).limits(limits).build()?;
    let token = interpreter.cancel_token();
    let guard = std::thread::spawn({
        let token = token.clone();
        move || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(1) && !token.is_cancelled() {
                std::thread::sleep(Duration::from_millis(5));
            }
            token.cancel();
        }
    });
    let result = interpreter.invoke();
    token.cancel();
    guard.join().expect("the watching thread does not fail");
    result
}

#[test]
fn mutations_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    for file in vector_files() {
        let mut cases = read_cases(&file);
        // A few models of each operator, small ones, so that damage hits structure more often than weights.
        cases.sort_by_key(|case| case.model.len());
        seeds.extend(cases.into_iter().take(4).map(|case| (case.name, case.model)));
    }
    assert!(!seeds.is_empty());
    let rounds = 3000usize.div_ceil(seeds.len());
    let (mut count, mut ran) = (0, 0);
    let mut panics = Vec::new();
    for (name, bytes) in &seeds {
        for round in 0..rounds {
            let mut damaged = bytes.clone();
            for _ in 0..=random.next(4) {
                damage(&mut damaged, &mut random);
            }
            count += 1;
            match catch_unwind(AssertUnwindSafe(|| exercise(damaged))) {
                Ok(Ok(())) => ran += 1,
                Ok(Err(e)) => assert!(!e.to_string().is_empty(), "{name}: an error without a sentence"),
                Err(_) => panics.push(format!("{name}, round {round}")),
            }
        }
    }
    println!("{count} damaged models of {} seeds: {ran} ran all the same", seeds.len());
    assert!(panics.is_empty(), "{} panics: {}", panics.len(), panics.join("; "));
}

#[test]
fn refusals_name_the_problem() {
    let rows: &[(&str, &[u8])] = &[
        ("empty", b""),
        ("short", b"TFL3"),
        ("wrong magic", b"\x1c\0\0\0XXXX\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("zip", b"PK\x03\x04 this is no model at all, but an archive"),
        ("text", b"<!doctype html><title>404 Not Found</title>"),
    ];
    for (name, bytes) in rows {
        let e = Model::from_bytes(bytes.to_vec()).expect_err(name);
        assert_eq!(e.kind(), ferrolite::ErrorKind::BadModel, "{name}: {e}");
    }
}
