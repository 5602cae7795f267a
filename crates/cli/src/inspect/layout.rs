//! Layered layout of a directed acyclic graph, top to bottom (the method of Sugiyama, Tagawa and
//! Toda, 1981).
//!
//! 1. Each node's layer is the longest way to it from a source.
//! 2. An edge over several layers passes a narrow waypoint in each layer between.
//! 3. Sweeps down and up order each layer by the mean place of its neighbours.
//! 4. Further sweeps move each node towards the mean of its neighbours, keeping order and
//!    distance.

const ORDER_SWEEPS: usize = 8;
const PLACE_SWEEPS: usize = 12;
/// Free space between neighbours in a layer.
const GAP: f64 = 24.0;
/// Distance of one layer's middle from the next one's.
const LAYER_HEIGHT: f64 = 74.0;
/// Room that an edge takes where it passes a layer.
const WAYPOINT_WIDTH: f64 = 6.0;

/// A point, in the units of the given node widths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

/// Where everything lies. All coordinates are at least 0.
#[derive(Debug)]
pub struct Layout {
    /// The middle of each node.
    pub nodes: Vec<Point>,
    /// The points that each edge passes, its two ends' middles included.
    pub edges: Vec<Vec<Point>>,
    pub width: f64,
    pub height: f64,
}

/// Lays out nodes of these widths with these edges (from, to).
///
/// Edges must not form a cycle, and both ends must be nodes; edges that break this are drawn
/// straight.
pub fn layout(widths: &[f64], edges: &[(usize, usize)]) -> Layout {
    let layer_of = longest_ways(widths.len(), edges);
    let mut grid = Grid::new(widths, &layer_of);
    let ways: Vec<Vec<usize>> = edges.iter().map(|&(from, to)| grid.add_edge(from, to, &layer_of)).collect();
    grid.order();
    grid.place();

    let place = |item: &usize| Point { x: grid.x[*item], y: (grid.layer[*item] as f64 + 0.5) * LAYER_HEIGHT };
    let all = 0..widths.len();
    let right = all.clone().map(|node| grid.x[node] + widths[node] / 2.0).fold(0.0, f64::max);
    Layout {
        nodes: all.map(|node| place(&node)).collect(),
        edges: ways.iter().map(|way| way.iter().map(place).collect()).collect(),
        width: grid.x.iter().copied().fold(right, f64::max) + GAP,
        height: grid.layers.len() as f64 * LAYER_HEIGHT,
    }
}

/// For each node the number of edges on the longest way to it. Nodes on a cycle get 0.
fn longest_ways(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut followers = vec![vec![]; nodes];
    let mut waiting_for = vec![0usize; nodes];
    for &(from, to) in edges.iter().filter(|(from, to)| *from < nodes && *to < nodes) {
        followers[from].push(to);
        waiting_for[to] += 1;
    }
    let mut layer = vec![0; nodes];
    let mut ready: Vec<usize> = (0..nodes).filter(|&node| waiting_for[node] == 0).collect();
    while let Some(node) = ready.pop() {
        for &follower in &followers[node] {
            layer[follower] = layer[follower].max(layer[node] + 1);
            waiting_for[follower] -= 1;
            if waiting_for[follower] == 0 {
                ready.push(follower);
            }
        }
    }
    layer
}

/// Nodes and waypoints ("items") in layers. The first items are the nodes.
struct Grid {
    width: Vec<f64>,
    layer: Vec<usize>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// The items of each layer from left to right.
    layers: Vec<Vec<usize>>,
    x: Vec<f64>,
}

impl Grid {
    fn new(widths: &[f64], layer_of: &[usize]) -> Self {
        let count = layer_of.iter().max().map_or(0, |last| last + 1);
        let mut grid = Self {
            width: vec![],
            layer: vec![],
            above: vec![],
            below: vec![],
            layers: vec![vec![]; count],
            x: vec![],
        };
        for (&width, &layer) in widths.iter().zip(layer_of) {
            grid.add_item(width, layer);
        }
        grid
    }

    fn add_item(&mut self, width: f64, layer: usize) -> usize {
        let item = self.width.len();
        self.width.push(width);
        self.layer.push(layer);
        self.above.push(vec![]);
        self.below.push(vec![]);
        self.layers[layer].push(item);
        self.x.push(0.0);
        item
    }

    /// Connects two nodes through a waypoint in every layer between them; returns the items on
    /// the way.
    fn add_edge(&mut self, from: usize, to: usize, layer_of: &[usize]) -> Vec<usize> {
        let mut way = vec![from];
        for layer in layer_of[from] + 1..layer_of[to] {
            way.push(self.add_item(WAYPOINT_WIDTH, layer));
        }
        way.push(to);
        for pair in way.windows(2) {
            self.below[pair[0]].push(pair[1]);
            self.above[pair[1]].push(pair[0]);
        }
        way
    }

    /// The layers in the order of a sweep: downwards, or upwards.
    fn sweep(&self, downwards: bool) -> Vec<usize> {
        let down = 0..self.layers.len();
        if downwards { down.collect() } else { down.rev().collect() }
    }

    /// The neighbours an item looks to in a sweep, those of the layer swept before.
    fn towards(&self, item: usize, downwards: bool) -> &[usize] {
        if downwards { &self.above[item] } else { &self.below[item] }
    }

    fn order(&mut self) {
        let mut place = vec![0.0; self.width.len()];
        let number = |layer: &[usize], place: &mut [f64]| {
            layer.iter().enumerate().for_each(|(i, &item)| place[item] = i as f64);
        };
        self.layers.iter().for_each(|layer| number(layer, &mut place));
        for sweep in 0..ORDER_SWEEPS {
            let downwards = sweep % 2 == 0;
            for index in self.sweep(downwards) {
                let mut layer = std::mem::take(&mut self.layers[index]);
                let wish = |item: usize| {
                    mean(self.towards(item, downwards).iter().map(|&n| place[n])).unwrap_or(place[item])
                };
                let mut keyed: Vec<(f64, usize)> = layer.iter().map(|&item| (wish(item), item)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                layer.clear();
                layer.extend(keyed.iter().map(|&(_, item)| item));
                number(&layer, &mut place);
                self.layers[index] = layer;
            }
        }
    }

    fn place(&mut self) {
        for sweep in 0..PLACE_SWEEPS {
            let downwards = sweep % 2 == 0;
            for index in self.sweep(downwards) {
                let layer = std::mem::take(&mut self.layers[index]);
                let wish = |item: usize| {
                    mean(self.towards(item, downwards).iter().map(|&n| self.x[n])).unwrap_or(self.x[item])
                };
                let wishes: Vec<f64> = layer.iter().map(|&item| wish(item)).collect();
                let widths: Vec<f64> = layer.iter().map(|&item| self.width[item]).collect();
                for (&item, x) in layer.iter().zip(spread(&wishes, &widths)) {
                    self.x[item] = x;
                }
                self.layers[index] = layer;
            }
        }
        let left =
            self.x.iter().zip(&self.width).map(|(x, width)| x - width / 2.0).fold(f64::INFINITY, f64::min);
        self.x.iter_mut().for_each(|x| *x += GAP - left);
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// The places nearest to the wishes (least squares) that keep the order and leave [`GAP`] between
/// neighbours: isotonic regression, by pooling adjacent violators, of the wishes less the room
/// that everything to their left takes.
fn spread(wishes: &[f64], widths: &[f64]) -> Vec<f64> {
    let mut room = Vec::with_capacity(wishes.len());
    let mut taken = 0.0;
    for (i, width) in widths.iter().enumerate() {
        taken += if i == 0 { 0.0 } else { (widths[i - 1] + width) / 2.0 + GAP };
        room.push(taken);
    }
    // Blocks of neighbours that touch: sum of their wishes and how many they are.
    let mut blocks: Vec<(f64, usize)> = vec![];
    for (wish, room) in wishes.iter().zip(&room) {
        blocks.push((wish - room, 1));
        while let [.., (left, left_count), (right, right_count)] = blocks[..] {
            if left / left_count as f64 <= right / right_count as f64 {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push((left + right, left_count + right_count));
        }
    }
    let places = blocks.iter().flat_map(|&(sum, count)| std::iter::repeat_n(sum / count as f64, count));
    places.zip(&room).map(|(place, room)| place + room).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chain_is_straight() {
        let layout = layout(&[100.0, 60.0, 80.0], &[(0, 1), (1, 2)]);
        assert!(layout.nodes.windows(2).all(|pair| pair[0].x == pair[1].x && pair[0].y < pair[1].y));
    }

    #[test]
    fn a_skipping_edge_goes_around() {
        let layout = layout(&[100.0; 3], &[(0, 1), (1, 2), (0, 2)]);
        let [_, passing, _] = layout.edges[2][..] else { panic!("one waypoint: {:?}", layout.edges[2]) };
        assert_eq!(passing.y, layout.nodes[1].y);
        assert!((passing.x - layout.nodes[1].x).abs() >= 50.0 + GAP);
    }

    #[test]
    fn nothing_to_lay_out() {
        let layout = layout(&[], &[]);
        assert_eq!((layout.nodes.len(), layout.height), (0, 0.0));
    }

    fn graphs() -> impl Strategy<Value = (Vec<f64>, Vec<(usize, usize)>)> {
        (1usize..20).prop_flat_map(|nodes| {
            let edge = (0..nodes, 0..nodes).prop_filter_map("acyclic", |(a, b)| (a < b).then_some((a, b)));
            (
                prop::collection::vec(10.0f64..200.0, nodes),
                prop::collection::vec(edge, 0..(nodes * 2).min(nodes * (nodes - 1) / 2 + 1)),
            )
        })
    }

    proptest! {
        #[test]
        fn nodes_never_overlap_and_edges_go_down((widths, edges) in graphs()) {
            let layout = layout(&widths, &edges);
            for (a, p) in layout.nodes.iter().enumerate() {
                prop_assert!(p.x - widths[a] / 2.0 >= 0.0 && p.x + widths[a] / 2.0 <= layout.width);
                prop_assert!(p.y >= 0.0 && p.y <= layout.height);
                for (b, q) in layout.nodes.iter().enumerate().skip(a + 1) {
                    let apart = (p.x - q.x).abs() + 1e-6 >= (widths[a] + widths[b]) / 2.0 + GAP;
                    prop_assert!(p.y != q.y || apart, "{a} and {b}: {p:?} {q:?}");
                }
            }
            for (way, (from, to)) in layout.edges.iter().zip(&edges) {
                prop_assert_eq!((way[0], way[way.len() - 1]), (layout.nodes[*from], layout.nodes[*to]));
                prop_assert!(way.windows(2).all(|pair| pair[1].y - pair[0].y == LAYER_HEIGHT));
            }
        }
    }
}
