"use strict";
const picture = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("canvas");
const hover = document.getElementById("hover");
const panel = document.getElementById("panel");
const chooser = document.getElementById("graphs");
const search = document.getElementById("search");
const found = document.getElementById("found");
const drawings = [...document.querySelectorAll("svg.graph")];

// One view per subgraph: what the drawing is moved and scaled by.
const views = drawings.map(() => null);
let current = 0;
let chosen = null;

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function list(details) {
  const made = element("dl");
  for (const [name, value] of details) made.append(element("dt", name), element("dd", value));
  return made;
}

function apply() {
  const { x, y, scale } = views[current];
  drawings[current].firstElementChild.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
}

function fit(scale) {
  const { width, height } = drawings[current].dataset;
  const room = canvas.getBoundingClientRect();
  const whole = Math.min(room.width / width, room.height / height, 1.4);
  const used = scale ?? whole;
  views[current] = {
    scale: used,
    x: (room.width - width * used) / 2,
    y: scale === undefined ? (room.height - height * used) / 2 : 8,
  };
  apply();
}

// A tall graph is unreadable as a whole, so it opens at its top in a legible size.
function open(index) {
  drawings[current].classList.remove("shown");
  current = index;
  drawings[current].classList.add("shown");
  if (!views[current]) {
    fit();
    if (views[current].scale < 0.7) fit(Math.min(1, canvas.clientWidth / drawings[current].dataset.width));
  }
  choose(null);
  mark();
}

function zoom(factor, x, y) {
  const view = views[current];
  const scale = Math.min(4, Math.max(0.02, view.scale * factor));
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  apply();
}

function light(node) {
  const graph = picture.graphs[current];
  drawings[current].querySelectorAll(".edge").forEach((path) => {
    const edge = graph.edges[path.dataset.edge];
    path.classList.toggle("lit", node !== null && (edge.from === node || edge.to === node));
  });
  drawings[current].querySelectorAll(".node").forEach((box) => {
    box.classList.toggle("lit", node !== null && Number(box.dataset.node) === node);
  });
}

function choose(node) {
  chosen = node;
  light(node);
  panel.replaceChildren();
  if (node === null) {
    panel.append(element("h2", picture.title), list(picture.facts));
    return;
  }
  const { label, details } = picture.graphs[current].nodes[node];
  panel.append(element("h2", label), list(details));
}

function mark() {
  const wanted = search.value.trim().toLowerCase();
  let hits = 0;
  drawings[current].querySelectorAll(".node").forEach((box) => {
    const { label, note, details } = picture.graphs[current].nodes[box.dataset.node];
    const text = [label, note, ...details.flat()].join("\n").toLowerCase();
    const hit = text.includes(wanted);
    hits += hit;
    box.classList.toggle("missed", !hit);
  });
  found.textContent = wanted ? `${hits} found` : "";
}

function describe(target) {
  const graph = picture.graphs[current];
  const box = target.closest(".node");
  if (box) {
    const node = graph.nodes[box.dataset.node];
    return [node.label, node.details];
  }
  const path = target.closest(".edge");
  return path && ["Tensor", graph.edges[path.dataset.edge].details];
}

canvas.addEventListener("pointermove", (event) => {
  const said = canvas.classList.contains("moving") ? null : describe(event.target);
  hover.hidden = !said;
  if (!said) return;
  hover.replaceChildren(element("strong", said[0]), list(said[1].slice(0, 12)));
  const room = canvas.getBoundingClientRect();
  const left = event.clientX - room.left + 14;
  const top = event.clientY - room.top + 14;
  hover.style.left = `${Math.max(0, Math.min(left, room.width - hover.offsetWidth - 6))}px`;
  hover.style.top = `${Math.max(0, Math.min(top, room.height - hover.offsetHeight - 6))}px`;
});
canvas.addEventListener("pointerleave", () => (hover.hidden = true));

let grabbed = null;
canvas.addEventListener("pointerdown", (event) => {
  grabbed = { x: event.clientX, y: event.clientY, target: event.target, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!grabbed) return;
  const [dx, dy] = [event.clientX - grabbed.x, event.clientY - grabbed.y];
  if (!grabbed.moved && Math.hypot(dx, dy) < 4) return;
  grabbed = { ...grabbed, x: event.clientX, y: event.clientY, moved: true };
  canvas.classList.add("moving");
  views[current].x += dx;
  views[current].y += dy;
  apply();
});
canvas.addEventListener("pointerup", () => {
  canvas.classList.remove("moving");
  if (grabbed && !grabbed.moved) {
    const box = grabbed.target.closest(".node");
    choose(box ? Number(box.dataset.node) : null);
  }
  grabbed = null;
});
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const room = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - room.left, event.clientY - room.top);
  },
  { passive: false },
);
canvas.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  const factor = { "+": 1.25, "-": 0.8 }[event.key];
  if (step) {
    views[current].x += step[0];
    views[current].y += step[1];
    apply();
  } else if (factor) {
    zoom(factor, canvas.clientWidth / 2, canvas.clientHeight / 2);
  }
});
search.addEventListener("input", mark);
document.getElementById("fit").addEventListener("click", () => fit());
document.getElementById("actual").addEventListener("click", () => fit(1));
chooser.addEventListener("change", () => open(Number(chooser.value)));

picture.graphs.forEach((graph, index) => {
  const option = element("option", `${graph.name} (${graph.nodes.length})`);
  option.value = index;
  chooser.append(option);
});
chooser.hidden = picture.graphs.length < 2;
if (drawings.length) open(0);
