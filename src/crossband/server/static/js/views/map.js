// Map: where the gallery's frames and the results were taken.
import { get, query } from "../api.js";
import { empty, fill, h } from "../dom.js";
import { chart, colorOf, toMeters } from "../parts/chart.js";
import { chips, partner, picture, searchFor } from "../parts/cards.js";
import { at, condition, shown, state } from "../state.js";

const RADIUS = 25; // meters
const FLIGHTS = 6; // whose tracks are drawn

export async function map() {
  const [places, ground] = await Promise.all([get(`${at()}/positions${query({ where: condition() })}`), get("/map")]);
  const inMeters = places.length && !places.some((p) => Number.isFinite(p.lat)); // flights have latitudes
  const flown = inMeters ? [] : await flights();
  const named = new Map(places.map((p) => [p.frame, p]));
  const matches = (state.answer?.matches ?? []).filter((m) => Number.isFinite(m.metadata.lat) || Number.isFinite(m.metadata.x));
  const found = toMeters([...places, ...flown, ...matches.map((m) => ({ ...m.metadata, ...named.get(m.frame), rank: m.rank, match: m, frame: m.frame, id: m.id }))], ground);
  if (!found.points.length) {
    return { node: h("div", { class: "page" }, h("div", { class: "card pad" }, empty("No positions", "The frames of this gallery, or those that the filters leave, have neither lat and lon nor x and y in their manifest."))) };
  }
  const groups = [...new Set(found.points.map(groupOf))].sort();
  const points = [];
  const hits = [];
  for (const p of found.points) {
    p.color = colorOf(groups.indexOf(groupOf(p)));
    p.title = p.flight ? `Flight ${p.flight}, frame ${p.frame}` : p.rank ? `Rank ${p.rank}: ${p.frame}` : `${p.frame}${p.place ? `, ${p.place}` : ""}`;
    if (!p.flight) (p.rank ? hits : points).push(p);
  }
  const own = tracksOf(points, (p) => p.sequence ?? p.place ?? "").map((path) => path.sort((a, b) => String(a.time).localeCompare(String(b.time))));
  const tracks = [...own, ...tracksOf(found.points.filter((p) => p.flight), (p) => p.flight)].map((path) => ({ path, color: path[0].color }));
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
  const drawn = chart({ points, hits, tracks, ground: found.ground, tiles: found.tiles, onpick: pick, label: "Positions of frames; each point is a button" });
  return { node: h("div", { class: "page map" }, drawn.node, side), close: drawn.close };
}

const groupOf = (p) => (p.flight ? `flight ${p.flight}` : p.place ?? p.sequence ?? "");

// Positions of the frames of the flights that were searched.
async function flights() {
  const done = (await get("/flights")).filter((one) => one.result).slice(0, FLIGHTS);
  const found = await Promise.all(done.map((one) => get(`/flights/${encodeURIComponent(one.name)}`)));
  return found.flatMap((one, n) => one.positions.map((p) => ({ frame: p.frame, lat: p.lat, lon: p.lon, flight: done[n].name })));
}

function tracksOf(points, nameOf) {
  const named = new Map();
  for (const p of points) {
    if (!named.has(nameOf(p))) named.set(nameOf(p), []);
    named.get(nameOf(p)).push(p);
  }
  return [...named.values()].filter((path) => path.length > 1);
}

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
