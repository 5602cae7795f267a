//! The loss over the steps as a curve of text.

const WIDTH: usize = 64;
const HEIGHT: usize = 10;
/// Eighths of a cell, from one to eight.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws the values, each column the mean of its share of them; the scale is linear from zero or the least value to the
/// greatest.
pub fn draw(values: &[f64]) -> String {
    let columns = means(values);
    let Some(greatest) = columns.iter().copied().reduce(f64::max) else { return String::new() };
    let least = columns.iter().copied().fold(0.0, f64::min);
    let range = if greatest > least { greatest - least } else { 1.0 };
    let cells = |value: f64| ((value - least) / range * (HEIGHT * 8) as f64).round() as usize;
    let mut out = String::new();
    for row in (0..HEIGHT).rev() {
        let label = match row {
            row if row + 1 == HEIGHT => format!("{greatest:9.4}"),
            0 => format!("{least:9.4}"),
            _ => " ".repeat(9),
        };
        let line: String = columns
            .iter()
            .map(|&value| match cells(value).saturating_sub(row * 8) {
                0 => ' ',
                eighths => BLOCKS[eighths.min(8) - 1],
            })
            .collect();
        out.push_str(&format!("{label} │{}\n", line.trim_end()));
    }
    out.push_str(&format!("{} └{}\n", " ".repeat(9), "─".repeat(columns.len())));
    out
}

/// At most [`WIDTH`] means of equal shares of the values.
fn means(values: &[f64]) -> Vec<f64> {
    let width = WIDTH.min(values.len());
    (0..width)
        .map(|c| {
            let share = &values[c * values.len() / width..(c + 1) * values.len() / width];
            share.iter().sum::<f64>() / share.len() as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_curve_falls() {
        let values: Vec<f64> = (0..1000).map(|i| 1.0 / f64::from(i + 1)).collect();
        let plot = draw(&values);
        let lines: Vec<&str> = plot.lines().collect();
        assert_eq!(lines.len(), HEIGHT + 1);
        let ink = |line: &str| line.chars().filter(|c| BLOCKS.contains(c)).count();
        assert!(lines[..HEIGHT].windows(2).all(|w| ink(w[0]) <= ink(w[1])), "{plot}");
        assert!(ink(lines[0]) >= 1 && ink(lines[HEIGHT - 1]) > 5, "{plot}");
    }

    #[test]
    fn any_values_are_drawn() {
        for values in [&[][..], &[0.0], &[2.0; 3], &[-1.0, 1.0], &[f64::MAX, 0.0]] {
            let _ = draw(values);
        }
    }
}
