// Flight: the chain over a thermal flight, started and followed, and what it found.
import { address, get } from "../api.js";
import { choose, empty, h, icon } from "../dom.js";
import { chart, toMeters } from "../parts/chart.js";
import { flightForm, jobList } from "../parts/work.js";
import { state } from "../state.js";

const EXPORTS = { geojson: "GeoJSON", kml: "KML" };
const COLOR = "#5b7fa8";

export async function flight(name) {
  const [all, jobs, choices] = await Promise.all([get("/flights"), get("/jobs"), get("/jobs/choices")]);
  const done = all.filter((one) => one.result);
  const head = h("div", { class: "row between" }, h("h1", {}, "Flight"));
  const open = (job) => { if (job.result?.flight) location.hash = `#/flight/${encodeURIComponent(job.result.flight)}`; };
  const own = jobs.filter((job) => job.kind === "flight").slice(0, 3);
  const list = jobList(own, "", open);
  const form = state.health.writable ? flightForm(choices, (job) => { list.node.hidden = false; list.take(job); }) : null;
  list.node.hidden = !own.length;
  const shown = done.length ? await result(done.find((one) => one.name === name) ?? done[0], done, head) : { nodes: form || own.length ? [] : [nothing()] };
  const node = h("div", { class: "page flight" }, head, form, shown.nodes, list.node);
  return { node, close: () => { list.close(); shown.close?.(); } };
}

function nothing() {
  return h("div", { class: "card pad" }, empty("No flight yet", "Start the server with --flight and a folder that crossband reid --flight wrote; or, with --writable, --flight, --map and --models, run the chain here."));
}

async function result(chosen, done, head) {
  const base = `/flights/${encodeURIComponent(chosen.name)}`;
  const [found, ground] = await Promise.all([get(base), get("/map")]);
  head.append(h("div", { class: "row" }, done.length > 1 ? choose("Result", done.map((f) => [f.name, f.name]), chosen.name, (v) => { location.hash = `#/flight/${encodeURIComponent(v)}`; }) : h("strong", {}, chosen.name),
    chosen.exports.map((kind) => h("a", { class: "button", href: address(`${base}/${kind}`), download: `matches.${kind}` }, icon("save"), EXPORTS[kind]))));
  const rows = new Map();
  const pick = (p) => { const row = rows.get(p.rank); if (row) { row.scrollIntoView({ block: "nearest" }); row.focus(); } };
  const drawn = positions(found, ground, pick);
  const table = h("table", {}, h("caption", { class: "visually-hidden" }, "Ranked objects"),
    h("thead", {}, h("tr", {}, [["Rank", 1], ["Kind"], ["Frame"], ["Distance", 1], ["Score", 1], ["Position"], ["Verdict"]].map(([t, r]) => h("th", { scope: "col", class: r ? "right" : null }, t)))),
    h("tbody", {}, found.matches.map((m) => { const row = objectRow(m, found.threshold); rows.set(m.rank, row); return row; })));
  const verdict = h("div", { class: `card verdict ${found.there ? "yes" : "no"}` }, h("strong", {}, found.there ? "The object is in this flight" : "Probably not in this flight"),
    h("span", { class: "soft" }, `: ${found.n_objects.toLocaleString()} objects in ${found.n_frames.toLocaleString()} frames were compared; nearer than ${found.threshold.toFixed(3)} counts as found.`));
  const picture = h("img", { src: address(`${base}/picture`), alt: "The photograph, its thermal translation, and the nearest objects with their places on the map", loading: "lazy" });
  const nodes = [verdict, h("div", { class: "two" }, h("div", { class: "card scroll" }, table), drawn?.node), h("div", { class: "card pad" }, picture)];
  return { nodes, close: drawn?.close };
}

function positions(found, ground, pick) {
  const all = toMeters([...found.positions.map((p) => ({ ...p, title: `Frame ${p.frame}` })), ...found.matches.filter((m) => m.lat !== null).map((m) => ({ ...m, title: `Rank ${m.rank}: ${m.kind}` }))], ground);
  if (!all.points.length) return null;
  const hits = all.points.filter((p) => p.rank).slice(0, 40);
  const points = all.points.filter((p) => !p.rank);
  return chart({ points: points.map((p) => ({ ...p, color: COLOR })), hits, tracks: [{ color: COLOR, path: points }], ground: all.ground, tiles: all.tiles, onpick: pick, label: "The flight's positions, and the objects found" });
}

function objectRow(m, threshold) {
  const near = m.distance <= threshold;
  return h("tr", { tabindex: -1 }, h("td", { class: "right" }, String(m.rank)), h("td", {}, m.kind), h("td", {}, m.frame), h("td", { class: "right" }, m.distance.toFixed(3)), h("td", { class: "right" }, `${Math.round(100 * m.score)} %`),
    h("td", { class: "number" }, m.lat === null ? "unknown" : `${m.lat.toFixed(6)}, ${m.lon.toFixed(6)}`), h("td", {}, h("span", { class: `status ${near ? "done" : ""}` }, near ? "near enough" : "too far")));
}
