// A map of positions: pan, zoom, axes in meters, a picture below where there is one.
import { address } from "../api.js";
import { fill, h, icon, s } from "../dom.js";
import { tileLayer } from "./tiles.js";

export const METERS = 111320;
const [LEFT, RIGHT] = [56, 78]; // pixels beside the positions, for the numbers and the buttons
const COLORS = ["#2f6fbb", "#c4572a", "#2f8f5b", "#8b55b8", "#b08a1e", "#c23f7a", "#3d9aa6", "#7a6a58", "#5a63c9", "#7f9a2c", "#96492f", "#c98bd0"];
export const colorOf = (n) => COLORS[n % COLORS.length];

// Points with x, y or with lat, lon, in meters east and north of a common origin.
export function toMeters(points, ground) {
  const geographic = points.some((p) => p.lat !== null && p.lat !== undefined);
  if (!geographic) return { points: points.filter((p) => Number.isFinite(p.x)).map((p) => ({ ...p, east: p.x, north: p.y })), ground: null };
  const known = points.filter((p) => Number.isFinite(p.lat) && Number.isFinite(p.lon));
  const placed = ground && ground.kind !== "none" && ground.south !== null;
  const south = placed ? ground.south : Math.min(...known.map((p) => p.lat));
  const west = placed ? ground.west : Math.min(...known.map((p) => p.lon));
  const narrow = METERS * Math.cos((south * Math.PI) / 180);
  const tiles = ground?.tiles && known.length ? { address: ground.tiles, attribution: ground.attribution, origin: { south, west, narrow } } : null;
  return { points: known.map((p) => ({ ...p, east: (p.lon - west) * narrow, north: (p.lat - south) * METERS })), ground: placed ? ground : null, tiles };
}

export function chart({ points, hits = [], tracks = [], ground = null, tiles = null, onpick, label }) {
  const below = s("g", { "aria-hidden": "true" });
  const scene = s("g");
  const axes = s("g", { class: "axes", "aria-hidden": "true" });
  const svg = s("svg", { role: "group", "aria-label": label }, below, scene, axes);
  const drawTiles = tiles ? tileLayer(below, tiles.address, tiles.origin) : () => {};
  const view = { x: 0, y: 0, zoom: 1 };
  const zoomBy = (factor) => { const r = svg.getBoundingClientRect(); zoomAt(factor, r.width / 2, r.height / 2); };
  const node = h("div", { class: "card chart" }, svg, h("div", { class: "zoom" },
    h("button", { type: "button", class: "icon-button", "aria-label": "Zoom in", onclick: () => zoomBy(1.4) }, icon("plus")),
    h("button", { type: "button", class: "icon-button", "aria-label": "Zoom out", onclick: () => zoomBy(1 / 1.4) }, icon("minus")),
    h("button", { type: "button", class: "icon-button", "aria-label": "Show everything", onclick: () => fit() }, icon("home"))),
    tiles ? h("p", { class: "attribution small" }, tiles.attribution) : null);
  let picked = null;

  const all = [...points, ...hits, ...tracks.flatMap((one) => one.path)];
  const xs = all.map((p) => p.east);
  const ys = all.map((p) => p.north);
  const bounds = ground && !all.length ? [0, 0, ground.width, ground.height] : [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];

  function fit() {
    const r = svg.getBoundingClientRect();
    if (!r.width) return;
    const wide = Math.max(bounds[2] - bounds[0], 12);
    const high = Math.max(bounds[3] - bounds[1], 12);
    view.zoom = Math.min((r.width - LEFT - RIGHT) / wide, (r.height - 90) / high);
    view.x = (r.width + LEFT - RIGHT) / 2 - ((bounds[0] + bounds[2]) / 2) * view.zoom;
    view.y = r.height / 2 + ((bounds[1] + bounds[3]) / 2) * view.zoom;
    draw();
  }

  const to = (p) => [view.x + p.east * view.zoom, view.y - p.north * view.zoom];

  function draw() {
    const { width, height } = svg.getBoundingClientRect();
    drawTiles(view, width, height);
    fill(scene);
    if (ground) {
      const [left, top] = to({ east: 0, north: ground.height });
      scene.append(s("image", { href: address("/map/picture"), x: left, y: top, width: ground.width * view.zoom, height: ground.height * view.zoom, preserveAspectRatio: "none", opacity: 0.85 }));
    }
    for (const { color, path } of tracks) scene.append(s("polyline", { class: "track", stroke: color, points: path.map((p) => to(p).join(",")).join(" ") }));
    for (const p of points) {
      const [cx, cy] = to(p);
      scene.append(button(s("circle", { class: "dot", cx, cy, r: 6, fill: p.color ?? COLORS[0] }), p));
    }
    for (const p of [...hits].sort((a, b) => b.rank - a.rank)) {
      const [cx, cy] = to(p);
      scene.append(button(s("circle", { class: "hit", cx, cy, r: 12 }), p), s("text", { class: "hit-text", x: cx, y: cy + 4 }, String(p.rank)));
    }
    if (picked) {
      const [cx, cy] = to(picked);
      scene.append(s("circle", { class: "pick", cx, cy, r: 15 }));
    }
    drawAxes();
  }

  function button(circle, p) {
    const pick = () => { picked = p; draw(); onpick?.(p); };
    for (const [name, value] of Object.entries({ tabindex: 0, role: "button", "aria-label": p.title ?? p.frame })) circle.setAttribute(name, value);
    circle.append(s("title", {}, p.title ?? p.frame));
    circle.addEventListener("click", pick);
    circle.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } });
    return circle;
  }

  function drawAxes() {
    fill(axes);
    const r = svg.getBoundingClientRect();
    const rough = 90 / view.zoom;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5, 10].find((n) => n * power >= rough) ?? 10);
    const said = (v) => (Math.abs(v) >= 1000 && step >= 100 ? `${v / 1000} km` : `${Math.round(v * 10) / 10} m`);
    for (let v = Math.ceil(-view.x / view.zoom / step) * step; view.x + v * view.zoom < r.width; v += step) {
      const x = view.x + v * view.zoom;
      axes.append(s("line", { class: "gridline", x1: x, x2: x, y1: 0, y2: r.height - 22 }), s("text", { x: x + 4, y: r.height - 8 }, said(v)));
    }
    for (let v = Math.ceil((view.y - r.height) / view.zoom / step) * step; view.y - v * view.zoom > 0; v += step) {
      const y = view.y - v * view.zoom;
      if (y > 30 && y < r.height - 30) axes.append(s("line", { class: "gridline", x1: 0, x2: r.width, y1: y, y2: y }), s("text", { x: 10, y: y + 4 }, said(v)));
    }
    axes.append(s("text", { x: r.width - 60, y: r.height - 26 }, "east"), s("text", { x: 10, y: 18 }, "north"));
  }

  function zoomAt(factor, cx, cy) {
    view.x = cx - (cx - view.x) * factor;
    view.y = cy - (cy - view.y) * factor;
    view.zoom *= factor;
    draw();
  }

  let from = null;
  svg.addEventListener("pointerdown", (event) => { if (event.target === svg || event.target.tagName === "image" || event.target.tagName === "polyline") { from = [event.clientX - view.x, event.clientY - view.y]; svg.setPointerCapture(event.pointerId); } });
  svg.addEventListener("pointermove", (event) => { if (from) { view.x = event.clientX - from[0]; view.y = event.clientY - from[1]; draw(); } });
  svg.addEventListener("pointerup", () => { from = null; });
  svg.addEventListener("wheel", (event) => { event.preventDefault(); const r = svg.getBoundingClientRect(); zoomAt(Math.exp(-event.deltaY * 0.0015), event.clientX - r.left, event.clientY - r.top); }, { passive: false });
  const resized = new ResizeObserver(fit);
  resized.observe(node);
  return { node, close: () => resized.disconnect() };
}
