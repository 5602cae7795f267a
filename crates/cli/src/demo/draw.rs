//! Digits and probabilities drawn with characters.

use super::digits::{Digit, SIDE};
use super::{CLASSES, most_likely};
use crate::terminal::Style;

/// Lines and columns of a picture: each pixel of the digit is two columns wide and a line high, which is about square.
const LINES: usize = SIDE;
const COLUMNS: usize = SIDE * 2;
/// Classes whose bars are shown.
const BARS: usize = 4;
const BAR_COLUMNS: usize = 10;
/// From paper to ink.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];
/// Eighths of a column, from one to seven.
const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A digit beside the most likely classes, and what each model reads.
pub fn block(digit: &Digit, said: &[(&str, &[f32; CLASSES])], style: Style) -> Vec<String> {
    let picture = if style.enabled() { half_blocks(digit) } else { shades(digit) };
    let mut notes = said.first().map_or_else(Vec::new, |(_, probabilities)| bars(probabilities, style));
    notes.push(String::new());
    for (format, probabilities) in said {
        let read = most_likely(probabilities);
        let verdict = if read == digit.label() {
            style.good(&format!("reads {read}"))
        } else {
            style.bad(&format!("reads {read}, it is {}", digit.label()))
        };
        notes.push(format!("{format:<8}{verdict}"));
    }
    notes.resize(LINES.max(notes.len()), String::new());
    let empty = " ".repeat(COLUMNS);
    let pictures = picture.into_iter().chain(std::iter::repeat(empty));
    pictures.zip(notes).map(|(picture, note)| format!("  {picture}  {note}")).collect()
}

/// Blocks beside each other, each as wide as its widest line.
pub fn side_by_side(blocks: &[Vec<String>]) -> Vec<String> {
    let lines = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        blocks.iter().map(|block| block.iter().map(|line| visible_width(line)).max().unwrap_or(0)).collect();
    let line = |index: usize| {
        let mut joined = String::new();
        for (block, width) in blocks.iter().zip(&widths) {
            let text = block.get(index).map_or("", String::as_str);
            joined.push_str(text);
            joined.extend(std::iter::repeat_n(' ', width + 4 - visible_width(text)));
        }
        joined.trim_end().to_owned()
    };
    (0..lines).map(line).collect()
}

/// Columns that a line takes: its characters without escape sequences, which end with a letter.
fn visible_width(line: &str) -> usize {
    let mut hidden = false;
    line.chars()
        .filter(|&c| {
            let starts = c == '\x1b';
            let shown = !hidden && !starts;
            hidden = starts || hidden && !c.is_ascii_alphabetic();
            shown
        })
        .count()
}

/// Two dots to a character, one above the other, in shades of grey.
fn half_blocks(digit: &Digit) -> Vec<String> {
    // The 24 greys of the 256-colour palette, from black.
    let grey = |column: usize, half_line: usize| {
        let ink = digit.ink((column as f32 + 0.5) / 2.0, (half_line as f32 + 0.5) / 2.0);
        232 + (ink * 23.0).round() as u8
    };
    let line = |line: usize| {
        let dots = (0..COLUMNS).map(|column| {
            let (upper, lower) = (grey(column, line * 2), grey(column, line * 2 + 1));
            format!("\x1b[38;5;{upper};48;5;{lower}m▀")
        });
        dots.chain(["\x1b[0m".to_owned()]).collect()
    };
    (0..LINES).map(line).collect()
}

/// One shade per pixel, for output without colours.
fn shades(digit: &Digit) -> Vec<String> {
    let shade = |pixel: &f32| SHADES[(pixel * (SHADES.len() - 1) as f32).round() as usize];
    digit.input().chunks(SIDE).map(|row| row.iter().flat_map(|pixel| [shade(pixel); 2]).collect()).collect()
}

/// The most likely classes with their probabilities.
fn bars(probabilities: &[f32; CLASSES], style: Style) -> Vec<String> {
    let mut classes: Vec<usize> = (0..CLASSES).collect();
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let line = |(rank, class): (usize, usize)| {
        let text = format!("{class} {} {:>5.1} %", bar(probabilities[class]), probabilities[class] * 100.0);
        if rank == 0 { style.bold(&text) } else { style.dim(&text) }
    };
    classes.into_iter().take(BARS).enumerate().map(line).collect()
}

/// A bar for a share of 0 to 1, exact to an eighth of a column.
fn bar(share: f32) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (BAR_COLUMNS * 8) as f32).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend((eighths % 8).checked_sub(1).map(|part| EIGHTHS[part]));
    format!("{bar:<BAR_COLUMNS$}")
}

#[cfg(test)]
mod tests {
    use super::super::digits::held_back;
    use super::*;

    #[test]
    fn bars_grow_by_eighths() {
        let rows = [
            (0.0, ""),
            (0.0125, "▏"),
            (0.1, "█"),
            (0.55, "█████▌"),
            (1.0, "██████████"),
            (2.0, "██████████"),
        ];
        for (share, expected) in rows {
            assert_eq!(bar(share), format!("{expected:<BAR_COLUMNS$}"), "{share}");
        }
    }

    #[test]
    fn pictures_have_the_same_size_with_and_without_colours() {
        let digit = held_back().expect("the embedded file")[0];
        let mut probabilities = [0.0; CLASSES];
        probabilities[3] = 1.0;
        let said = [("float32", &probabilities), ("int8", &probabilities)];
        let plain = block(&digit, &said, Style::plain());
        let coloured = block(&digit, &said, Style::coloured());
        let widths =
            |lines: &[String]| -> Vec<usize> { lines.iter().map(|line| visible_width(line)).collect() };
        assert_eq!(plain.len(), LINES);
        assert_eq!(widths(&plain), widths(&coloured));
        assert!(
            plain.iter().all(|line| !line.contains('\x1b'))
                && coloured.iter().any(|line| line.contains('\x1b'))
        );
    }

    #[test]
    fn blocks_line_up() {
        let left = vec!["\x1b[1mab\x1b[0m".to_owned(), "abc".to_owned()];
        let right = vec!["x".to_owned()];
        assert_eq!(side_by_side(&[left, right]), ["\x1b[1mab\x1b[0m     x", "abc"]);
    }
}
