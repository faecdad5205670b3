// Map: where the gallery's frames and the results were taken.
import { get, query } from "../api.js";
import { empty, fill, h } from "../dom.js";
import { chart, colorOf, toMeters } from "../parts/chart.js";
import { chips, partner, picture, searchFor } from "../parts/cards.js";
import { at, condition, shown, state } from "../state.js";

const RADIUS = 25; // meters

export async function map() {
  const [places, ground] = await Promise.all([get(`${at()}/positions${query({ where: condition() })}`), get("/map")]);
  const named = new Map(places.map((p) => [p.frame, p]));
  const matches = (state.answer?.matches ?? []).filter((m) => Number.isFinite(m.metadata.lat) || Number.isFinite(m.metadata.x));
  const found = toMeters([...places, ...matches.map((m) => ({ ...m.metadata, ...named.get(m.frame), rank: m.rank, match: m, frame: m.frame, id: m.id }))], ground);
  if (!found.points.length) {
    return { node: h("div", { class: "page" }, h("div", { class: "card pad" }, empty("No positions", "The frames of this gallery, or those that the filters leave, have neither lat and lon nor x and y in their manifest."))) };
  }
  const sequences = [...new Set(found.points.map((p) => p.sequence ?? p.place ?? ""))];
  const groups = [...new Set(found.points.map(groupOf))].sort();
  const points = [];
  const hits = [];
  for (const p of found.points) {
    p.color = colorOf(groups.indexOf(groupOf(p)));
    p.title = p.rank ? `Rank ${p.rank}: ${p.frame}` : `${p.frame}${p.place ? `, ${p.place}` : ""}`;
    (p.rank ? hits : points).push(p);
  }
  const tracks = sequences.map((name) => ({ path: points.filter((p) => (p.sequence ?? p.place ?? "") === name).sort((a, b) => String(a.time).localeCompare(String(b.time))) })).filter((t) => t.path.length > 1).map((t) => ({ ...t, color: t.path[0].color }));
  const side = h("aside", { class: "card pad stack", "aria-label": "Chosen position", "aria-live": "polite" });

  async function pick(p) {
    fill(side, h("p", { class: "soft" }, "Loading"));
    const item = await get(`${at()}/items/${p.id}`);
    const other = partner(item);
    const geographic = Number.isFinite(p.lat);
    fill(side, h("h2", {}, p.title), picture(item.id, `${item.frame}, ${item.band}`, 640), other ? picture(item.bands[other], `${item.frame}, ${other}`, 640) : null, chips(item.metadata),
      h("p", { class: "soft small number" }, geographic ? `${p.lat.toFixed(6)}, ${p.lon.toFixed(6)}` : `${shown(p.x)}, ${shown(p.y)} m`),
      h("button", { type: "button", class: "button primary", onclick: () => filterTo(p, geographic) }, `Only search within ${RADIUS} m`),
      h("button", { type: "button", class: "button", onclick: () => searchFor(item) }, "Search for this image"));
  }

  const legend = found.ground?.legend ?? {};
  const filtered = Object.values(state.filters).some((f) => f.near);
  fill(side, h("h1", {}, "Map"), h("p", { class: "soft" }, `${points.length.toLocaleString()} positions${hits.length ? `, ${hits.length} results` : ""}. Choose one to see its images, or to search around it.`),
    filtered ? h("button", { type: "button", class: "button", onclick: () => { for (const name of ["lat", "lon", "x", "y"]) delete state.filters[name]; dispatchEvent(new HashChangeEvent("hashchange")); } }, "Remove the filter by position") : null,
    groups.length > 1 && groups.length <= 16 ? h("div", { class: "stack small" }, groups.map((name, n) => h("span", {}, swatch(colorOf(n)), name || "no place"))) : null,
    Object.keys(legend).length ? h("div", { class: "stack small" }, h("h3", {}, "Ground"), Object.entries(legend).map(([name, color]) => h("span", {}, swatch(color), name))) : null);
  const drawn = chart({ points, hits, tracks, ground: found.ground, onpick: pick, label: "Positions of frames; each point is a button" });
  return { node: h("div", { class: "page map" }, drawn.node, side), close: drawn.close };
}

const groupOf = (p) => p.place ?? p.sequence ?? "";
const swatch = (color) => h("span", { class: "swatch", style: { background: color } });

function filterTo(p, geographic) {
  const [a, b] = geographic ? ["lat", "lon"] : ["x", "y"];
  const dy = geographic ? RADIUS / 111320 : RADIUS;
  const dx = geographic ? RADIUS / (111320 * Math.cos((p.lat * Math.PI) / 180)) : RADIUS;
  const spans = geographic ? { [a]: dy, [b]: dx } : { [a]: dx, [b]: dy };
  for (const [name, span] of Object.entries(spans)) state.filters[name] = { kind: "number", near: true, values: new Set(), low: Number((p[name] - span).toFixed(7)), high: Number((p[name] + span).toFixed(7)) };
  state.answer = null;
  location.hash = state.query ? "#/search/go" : "#/search";
}
