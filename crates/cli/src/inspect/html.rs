//! The picture as one HTML page that needs nothing else: SVG drawn here, and a small script that
//! moves it, searches it and shows details.

use super::layout::{Layout, Point, layout};
use super::picture::{Graph, Picture, Role};
use std::fmt::Write;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

const BOX_HEIGHT: f64 = 42.0;
const CHARACTER_WIDTH: f64 = 8.8;
const SMALL_CHARACTER_WIDTH: f64 = 6.4;
const PADDING: f64 = 22.0;

/// The page. Names and values from the model are data in it, never markup.
///
/// # Errors
/// None that occur: the picture is plain data; kept so that no failure is hidden.
pub fn page(picture: &Picture) -> serde_json::Result<String> {
    let mut drawings = String::new();
    for (index, graph) in picture.graphs.iter().enumerate() {
        draw(&mut drawings, index, graph);
    }
    // Inside a script element only `<` could end the data early.
    let data = serde_json::to_string(picture)?.replace('<', "\\u003c");
    let parts = [
        ("title", escape(&picture.title)),
        ("style", STYLE.to_owned()),
        ("script", SCRIPT.to_owned()),
        ("drawings", drawings),
        ("data", data),
    ];
    Ok(fill(PAGE, &parts))
}

/// Replaces `{{name}}` for each part, in one pass, so that no value is searched for names.
fn fill(template: &str, parts: &[(&str, String)]) -> String {
    let mut pieces = template.split("{{");
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        if let Some((_, value)) = parts.iter().find(|(part, _)| *part == name) {
            result.push_str(value);
        }
        result.push_str(rest);
    }
    result
}

fn draw(out: &mut String, index: usize, graph: &Graph) {
    let widths: Vec<f64> = graph.nodes.iter().map(|node| box_width(&node.label, &node.note)).collect();
    let edges: Vec<(usize, usize)> = graph.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let layout = layout(&widths, &edges);
    let Layout { width, height, .. } = layout;
    // Writing to a string cannot fail, so the results of write! carry nothing.
    let _ = write!(
        out,
        r#"<svg class="graph" data-graph="{index}" data-width="{width:.0}" data-height="{height:.0}"><g>"#
    );
    for (edge, way) in layout.edges.iter().enumerate() {
        let _ = write!(out, r#"<path class="edge" data-edge="{edge}" d="{}"/>"#, curve(way));
    }
    for (number, node) in graph.nodes.iter().enumerate() {
        let (place, width) = (layout.nodes[number], widths[number]);
        let _ = write!(
            out,
            r#"<g class="node {}" data-node="{number}" transform="translate({:.1} {:.1})"><rect x="{:.1}" y="{:.1}" width="{width:.1}" height="{BOX_HEIGHT}" rx="{}"/><text y="-3">{}</text><text class="note" y="12">{}</text></g>"#,
            role_class(node.role),
            place.x,
            place.y,
            -width / 2.0,
            -BOX_HEIGHT / 2.0,
            if matches!(node.role, Role::Input | Role::Output) { 20 } else { 6 },
            escape(&node.label),
            escape(&node.note),
        );
    }
    out.push_str("</g></svg>\n");
}

fn box_width(label: &str, note: &str) -> f64 {
    let label = label.chars().count() as f64 * CHARACTER_WIDTH;
    let note = note.chars().count() as f64 * SMALL_CHARACTER_WIDTH;
    label.max(note).max(40.0) + PADDING
}

fn role_class(role: Role) -> &'static str {
    match role {
        Role::Input => "input",
        Role::Output => "output",
        Role::Layer => "layer",
        Role::Elementwise => "elementwise",
        Role::Reduce => "reduce",
        Role::Shape => "shape",
        Role::State => "state",
        Role::Other => "other",
        Role::Unsupported => "unsupported",
    }
}

/// An SVG path through the points, vertical at each; it leaves the first box at its lower side
/// and meets the last one at its upper side.
fn curve(way: &[Point]) -> String {
    let mut path = String::new();
    let last = way.len().saturating_sub(1);
    for (i, point) in way.iter().enumerate() {
        let y = match i {
            0 => point.y + BOX_HEIGHT / 2.0,
            i if i == last => point.y - BOX_HEIGHT / 2.0 - 4.0,
            _ => point.y,
        };
        if i == 0 {
            let _ = write!(path, "M{:.1} {y:.1}", point.x);
        } else {
            let before = way[i - 1];
            let start = before.y + if i == 1 { BOX_HEIGHT / 2.0 } else { 0.0 };
            let middle = (start + y) / 2.0;
            let _ =
                write!(path, "C{:.1} {middle:.1} {:.1} {middle:.1} {:.1} {y:.1}", before.x, point.x, point.x);
        }
    }
    path
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::picture::{Edge, Node};
    use super::*;

    fn picture(name: &str) -> Picture {
        let node = |role| Node {
            label: name.to_owned(),
            note: name.to_owned(),
            role,
            details: vec![(name.to_owned(), name.to_owned())],
        };
        let edges = vec![Edge { from: 0, to: 1, details: vec![] }];
        let graphs =
            vec![Graph { name: name.to_owned(), nodes: vec![node(Role::Input), node(Role::Layer)], edges }];
        Picture { title: name.to_owned(), facts: vec![], graphs }
    }

    #[test]
    fn names_from_the_model_cannot_become_markup() {
        let page = page(&picture("</script><img src=x>{{script}}\"\u{1}")).expect("plain data");
        assert!(!page.contains("<img"), "{page}");
        assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
        assert_eq!(page.matches(SCRIPT).count(), 1);
    }

    #[test]
    fn every_box_and_arrow_is_drawn() {
        let page = page(&picture("CONV_2D")).expect("plain data");
        for part in [
            "data-node=\"0\"",
            "data-node=\"1\"",
            "data-edge=\"0\"",
            "class=\"node layer\"",
            "data-graph=\"0\"",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("{{") && !page.contains("http://") && !page.contains("https://"));
    }
}
