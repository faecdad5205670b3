// Flight: what the chain found in a thermal flight.
import { address, get } from "../api.js";
import { choose, empty, h, icon } from "../dom.js";
import { chart, toMeters } from "../parts/chart.js";

export async function flight(name) {
  const flights = (await get("/flights")).filter((one) => one.result);
  const head = h("div", { class: "row between" }, h("h1", {}, "Flight"));
  if (!flights.length) {
    return { node: h("div", { class: "page" }, head, h("div", { class: "card pad" }, empty("No flight yet", "Start the server with --flight and a folder that crossband reid --flight wrote; or, with --writable, --flight, --map and --models, run the chain here.", h("p", {}, h("br"), h("a", { class: "button", href: "#/jobs" }, "Go to jobs"))))) };
  }
  const chosen = flights.find((one) => one.name === name) ?? flights[0];
  const base = `/flights/${encodeURIComponent(chosen.name)}`;
  const [found, ground] = await Promise.all([get(base), get("/map")]);
  head.append(h("div", { class: "row" }, flights.length > 1 ? choose("Result", flights.map((f) => [f.name, f.name]), chosen.name, (v) => { location.hash = `#/flight/${encodeURIComponent(v)}`; }) : h("strong", {}, chosen.name),
    h("a", { class: "button", href: address(`${base}/geojson`), download: "matches.geojson" }, icon("save"), "GeoJSON")));
  const all = toMeters([...found.positions.map((p) => ({ ...p, title: `Frame ${p.frame}` })), ...found.matches.filter((m) => m.lat !== null).map((m) => ({ ...m, title: `Rank ${m.rank}: ${m.kind}` }))], ground);
  const hits = all.points.filter((p) => p.rank).slice(0, 40);
  const points = all.points.filter((p) => !p.rank);
  const rows = new Map();
  const pick = (p) => { const row = rows.get(p.rank); if (row) { row.scrollIntoView({ block: "nearest" }); row.focus(); } };
  const drawn = all.points.length ? chart({ points: points.map((p) => ({ ...p, color: "#5b7fa8" })), hits, tracks: [{ color: "#5b7fa8", path: points }], ground: all.ground, onpick: pick, label: "The flight's positions, and the objects found" }) : null;
  const body = found.matches.map((m) => {
    const row = h("tr", { tabindex: -1 }, h("td", { class: "right" }, String(m.rank)), h("td", {}, m.kind), h("td", {}, m.frame), h("td", { class: "right" }, m.distance.toFixed(3)), h("td", { class: "right" }, `${Math.round(100 * m.score)} %`),
      h("td", { class: "number" }, m.lat === null ? "unknown" : `${m.lat.toFixed(6)}, ${m.lon.toFixed(6)}`), h("td", {}, h("span", { class: `status ${m.distance <= found.threshold ? "done" : ""}` }, m.distance <= found.threshold ? "near enough" : "too far")));
    rows.set(m.rank, row);
    return row;
  });
  const verdict = h("div", { class: `card verdict ${found.there ? "yes" : "no"}` }, h("strong", {}, found.there ? "The object is in this flight" : "Probably not in this flight"),
    h("span", { class: "soft" }, `: ${found.n_objects.toLocaleString()} objects in ${found.n_frames.toLocaleString()} frames were compared; nearer than ${found.threshold.toFixed(3)} counts as found.`));
  const picture = h("img", { src: address(`${base}/picture`), alt: "The photograph, its thermal translation, and the nearest objects with their places on the map", loading: "lazy" });
  const node = h("div", { class: "page flight" }, head, verdict,
    h("div", { class: "two" }, h("div", { class: "card scroll" }, h("table", {}, h("caption", { class: "visually-hidden" }, "Ranked objects"), h("thead", {}, h("tr", {}, [["Rank", 1], ["Kind"], ["Frame"], ["Distance", 1], ["Score", 1], ["Position"], ["Verdict"]].map(([t, r]) => h("th", { scope: "col", class: r ? "right" : null }, t)))), h("tbody", {}, body))), drawn?.node),
    h("div", { class: "card pad" }, picture),
    h("p", { class: "soft small" }, "GeoJSON is what the library writes; it writes no KML."));
  return { node, close: drawn?.close };
}
