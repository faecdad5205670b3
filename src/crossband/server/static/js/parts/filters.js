// Facets of a gallery as a form; what is chosen is in state.filters.
import { failed, get, query } from "../api.js";
import { h } from "../dom.js";
import { at, shown, state } from "../state.js";

const SKIPPED = new Set(["band"]);
const TITLES = { lat: "latitude", lon: "longitude", x: "x, meters", y: "y, meters" };

export async function filters(onchange) {
  const box = h("div", {});
  const facets = await get(`${at()}/facets${query({})}`).catch((error) => { failed(error); return []; });
  box.append(...facets.filter((f) => !SKIPPED.has(f.column)).map((facet) => fold(facet, onchange)));
  box.append(raw(onchange));
  return box;
}

function chosen(column, kind) {
  return (state.filters[column] ??= { kind, values: new Set() });
}

function fold(facet, onchange) {
  const active = state.filters[facet.column];
  const isTime = facet.column === "time";
  const body = facet.kind === "number" || isTime ? range(facet, isTime, onchange) : values(facet, onchange);
  return h("details", { class: "fold", open: Boolean(active && (active.values?.size || active.low || active.high)) },
    h("summary", {}, TITLES[facet.column] ?? facet.column, h("span", { class: "count" }, facet.kind === "number" || isTime ? "" : facet.distinct.toLocaleString())), body);
}

function values(facet, onchange) {
  const now = state.filters[facet.column]?.values;
  const rows = facet.values.map(({ value, items }) => h("label", { class: "check" },
    h("input", { type: "checkbox", checked: Boolean(now?.has(value)), onchange: (event) => {
      const set = chosen(facet.column, "text").values;
      event.target.checked ? set.add(value) : set.delete(value);
      onchange();
    } }), h("span", { title: value }, value), h("span", { class: "count" }, items.toLocaleString())));
  const more = facet.distinct - facet.values.length;
  return h("div", {}, rows, more > 0 ? h("p", { class: "soft small" }, `and ${more.toLocaleString()} more; name them in the condition below`) : null);
}

function range(facet, isTime, onchange) {
  const type = isTime ? "text" : "number";
  const field = (end, label, hint) => h("label", { class: "field" }, h("span", {}, label),
    h("input", { type, step: "any", placeholder: isTime ? String(hint).slice(0, 19) : shown(hint), value: state.filters[facet.column]?.[end] ?? "", onchange: (event) => {
      chosen(facet.column, facet.kind)[end] = event.target.value.trim();
      onchange();
    } }));
  return h("div", {}, h("div", { class: "row" }, field("low", "from", facet.low), field("high", "to", facet.high)));
}

function raw(onchange) {
  return h("details", { class: "fold", open: Boolean(state.where) }, h("summary", {}, "condition"),
    h("div", {}, h("label", { class: "field" }, h("span", {}, "as in camera = 'north' AND lat > 46.5"),
      h("input", { type: "text", spellcheck: false, value: state.where, onchange: (event) => { state.where = event.target.value; onchange(); } }))));
}
