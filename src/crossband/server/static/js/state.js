// What the views share. Marks and preferences stay in this browser.

const kept = (name, otherwise) => {
  try { return JSON.parse(localStorage.getItem(`crossband.${name}`)) ?? otherwise; } catch { return otherwise; }
};
export const keep = (name, value) => localStorage.setItem(`crossband.${name}`, JSON.stringify(value));

export const state = {
  health: null,
  galleries: [],
  gallery: null,
  query: null, // { upload | item, band, units, name, crop, frame, video, ... }
  answer: null,
  among: "other", // bands to search in: other, all, rgb, nir, tir
  filters: {}, // column -> { values: Set } or { low, high }
  where: "",
  options: kept("options", { k: 24, rerank: 10, least: 0, itself: true }),
  palette: kept("palette", "iron"),
  range: { low: null, high: null },
  compared: null, // the match that Compare shows
  marks: kept("marks", []),
};

export const PALETTES = [["iron", "Iron"], ["white-hot", "White hot"], ["black-hot", "Black hot"], ["inferno", "Inferno"], ["glacier", "Glacier"], ["rainbow", "Rainbow"]];
export const BANDS = { rgb: "RGB", nir: "NIR", tir: "TIR" };
export const BAND_NAMES = { rgb: "visible", nir: "near infrared", tir: "thermal" };

export const info = () => state.galleries.find((one) => one.name === state.gallery);
export const at = () => `/galleries/${encodeURIComponent(state.gallery)}`;

const text = (value) => `'${String(value).replaceAll("'", "''")}'`;

export function condition(filters = state.filters, where = state.where) {
  const parts = [];
  for (const [column, chosen] of Object.entries(filters)) {
    if (chosen.values?.size) parts.push(`${column} IN (${[...chosen.values].map(text).join(", ")})`);
    const said = chosen.kind === "number" ? Number : text;
    if (chosen.low !== undefined && chosen.low !== null && chosen.low !== "") parts.push(`${column} >= ${said(chosen.low)}`);
    if (chosen.high !== undefined && chosen.high !== null && chosen.high !== "") parts.push(`${column} <= ${said(chosen.high)}`);
  }
  if (where.trim()) parts.push(`(${where.trim()})`);
  return parts.join(" AND ");
}

export function searchCondition() {
  const parts = [condition()].filter(Boolean);
  const own = state.query?.band;
  if (state.among === "other" && own) parts.push(`band <> ${text(own)}`);
  else if (["rgb", "nir", "tir"].includes(state.among)) parts.push(`band = ${text(state.among)}`);
  if (!state.options.itself && state.query?.item && state.query.name) parts.push(`frame <> ${text(state.query.name)}`);
  return parts.join(" AND ");
}

export const marked = (query, item) => state.marks.find((m) => m.gallery === state.gallery && m.query === query && m.item === item);

export function mark(one, right) {
  const there = marked(one.query, one.item);
  state.marks = state.marks.filter((m) => m !== there);
  if (!there || there.right !== right) state.marks.push({ ...one, gallery: state.gallery, right });
  keep("marks", state.marks);
}

export function when(value) {
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? String(value) : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

export const shown = (value) => (typeof value === "number" ? String(Math.round(value * 1e6) / 1e6) : String(value));
