// Pictures of a tile server below a map, where whoever started the server named one.
import { METERS } from "./chart.js";
import { s } from "../dom.js";

const SIDE = 256; // pixels of a tile
const DEEPEST = 19;
const AROUND = 40075016.686; // meters, the equator in the tiles' projection

// Returns what draws the tiles that a view of width x height pixels shows, into a group of an SVG.
export function tileLayer(group, address, { south, west, narrow }) {
  const kept = new Map(); // a tile that stays in view is not loaded again

  const left = (z, x) => ((x / 2 ** z) * 360 - 180 - west) * narrow;
  const top = (z, y) => ((Math.atan(Math.sinh(Math.PI * (1 - (2 * y) / 2 ** z))) * 180) / Math.PI - south) * METERS;
  const column = (z, east) => Math.floor(((east / narrow + west + 180) / 360) * 2 ** z);
  const row = (z, north) => {
    const latitude = (Math.max(-85, Math.min(85, north / METERS + south)) * Math.PI) / 180;
    return Math.floor(((1 - Math.asinh(Math.tan(latitude)) / Math.PI) / 2) * 2 ** z);
  };

  return (view, width, height) => {
    const z = Math.max(0, Math.min(DEEPEST, Math.round(Math.log2((AROUND * (narrow / METERS) * view.zoom) / SIDE))));
    const last = 2 ** z - 1;
    const within = (n) => Math.max(0, Math.min(last, n));
    const [x0, x1] = [0, width].map((x) => within(column(z, (x - view.x) / view.zoom)));
    const [y0, y1] = [0, height].map((y) => within(row(z, (view.y - y) / view.zoom)));
    const shown = new Set();
    for (let x = x0; x <= x1; x += 1) {
      for (let y = y0; y <= y1; y += 1) {
        const name = `${z}/${x}/${y}`;
        shown.add(name);
        if (!kept.has(name)) {
          const href = address.replace("{z}", z).replace("{x}", x).replace("{y}", y);
          kept.set(name, group.appendChild(s("image", { class: "map-tile", href, preserveAspectRatio: "none" })));
        }
        const [a, b] = [view.x + left(z, x) * view.zoom, view.y - top(z, y) * view.zoom];
        const place = { x: a, y: b, width: view.x + left(z, x + 1) * view.zoom - a + 0.5, height: view.y - top(z, y + 1) * view.zoom - b + 0.5 };
        for (const [key, value] of Object.entries(place)) kept.get(name).setAttribute(key, value);
      }
    }
    for (const [name, tile] of kept) if (!shown.has(name)) { tile.remove(); kept.delete(name); }
  };
}
