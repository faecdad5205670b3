// Browse: the gallery by place, time and band; what is found worst; duplicates; marks.
import { call, failed, fault, get, query } from "../api.js";
import { choose, download, empty, fill, h, icon, segments, spinner, toast } from "../dom.js";
import { filters } from "../parts/filters.js";
import { picture, searchFor, tile } from "../parts/cards.js";
import { at, BANDS, condition, info, keep, mark, state } from "../state.js";

const TABS = [["images", "Images"], ["worst", "Worst queries"], ["duplicates", "Duplicates"], ["marks", "Marks"]];
const chosen = { tab: "images", group: "place", band: "all", query: "rgb", among: "tir", source: "own" };
const PAGE = 120;

export async function browse(tab) {
  if (TABS.some(([name]) => name === tab)) chosen.tab = tab;
  const panel = h("div", { class: "stack", role: "tabpanel", id: "panel" });
  const bar = h("div", { class: "tabs", role: "tablist", "aria-label": "Browse" });
  const show = { images, worst, duplicates, marks: marksPanel };

  async function open(name) {
    chosen.tab = name;
    fill(bar, ...TABS.map(([key, text]) => h("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "panel", "aria-selected": String(key === name), tabindex: key === name ? 0 : -1, onclick: () => open(key), onkeydown: (event) => move(event, key) }, text)));
    panel.setAttribute("aria-labelledby", `tab-${name}`);
    fill(panel, spinner("Loading"));
    try { await show[name](panel); } catch (error) { fill(panel, empty("Nothing to show", error.message)); }
  }
  async function move(event, key) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = TABS.map(([name]) => name);
    await open(names[(names.indexOf(key) + step + names.length) % names.length]);
    bar.querySelector('[aria-selected="true"]').focus();
  }
  const node = h("div", { class: "page" }, h("div", { class: "row between" }, h("h1", {}, "Browse"), h("p", { class: "soft small" }, about())), bar, panel);
  open(chosen.tab);
  return { node };
}

function about() {
  const one = info();
  return `${one.items.toLocaleString()} images, ${one.model}, ${one.dtype}`;
}

async function images(panel) {
  const list = h("div", { class: "stack" });
  const bands = [["all", "All"], ...Object.keys(info().bands).map((band) => [band, BANDS[band]])];
  let offset = 0;

  async function load(fresh) {
    if (fresh) { offset = 0; fill(list, spinner("Loading")); }
    const parts = [condition(), chosen.band === "all" ? "" : `band = '${chosen.band}'`].filter(Boolean);
    try {
      const found = await get(`${at()}/items${query({ where: parts.join(" AND "), sort: chosen.group, offset, limit: PAGE })}`);
      if (fresh) fill(list);
      list.querySelector(".more")?.remove();
      add(found);
    } catch (error) { fill(list, empty("Nothing to show", await fault(error, at(), state.where))); }
  }
  function add(found) {
    if (!found.total) { fill(list, empty("Nothing to show", "No image fulfils these filters.")); return; }
    for (const item of found.items) {
      const name = groupOf(item);
      let group = list.lastElementChild;
      if (!group || group.dataset.name !== name) {
        group = h("section", { class: "group" }, h("h2", {}, name), h("div", { class: "tiles" }));
        group.dataset.name = name;
        list.append(group);
      }
      group.lastElementChild.append(tile(item, searchFor));
    }
    offset += found.items.length;
    if (offset < found.total) list.append(h("div", { class: "row more" }, h("button", { type: "button", class: "button", onclick: () => load(false) }, `Show more of ${found.total.toLocaleString()}`)));
  }
  const folds = h("details", { class: "fold card pad" }, h("summary", {}, "Filters"), h("div", { style: { maxHeight: "none" } }, await filters(() => load(true))));
  fill(panel, h("div", { class: "row" }, choose("Group by", ["place", "time", "sequence", "condition", "camera", "split", "frame"].map((n) => [n, n]), chosen.group, (value) => { chosen.group = value; load(true); }),
    h("div", { class: "field" }, h("span", {}, "Band"), segments("browse-band", "Band", bands, chosen.band, (value) => { chosen.band = value; load(true); }))), folds, list);
  await load(true);
}

function groupOf(item) {
  if (chosen.group === "frame") return "All";
  const value = item.metadata[chosen.group];
  if (value === undefined) return `without ${chosen.group}`;
  return chosen.group === "time" ? String(value).slice(0, 10) : String(value);
}

async function worst(panel) {
  const measured = await get(`${at()}/benchmark`);
  const list = h("div", { class: "stack" });
  const sources = [["own", "this gallery's vectors"], ...measured.runs.map((run, n) => [String(n), `last benchmark: ${run.model}, ${BANDS[run.query_band]} to ${BANDS[run.gallery_band]}`])];
  if (!sources.some(([key]) => key === chosen.source)) chosen.source = "own";
  const source = choose("Measured by", sources, chosen.source, (v) => { chosen.source = v; worst(panel).catch(failed); });
  if (chosen.source !== "own") {
    fill(panel, h("div", { class: "row" }, source), list);
    benchmarked(list, measured.runs[Number(chosen.source)], measured.time);
    return;
  }
  const names = Object.keys(info().bands);
  if (names.length < 2) { fill(panel, sources.length > 1 ? h("div", { class: "row" }, source) : null, empty("One band alone", "Worst queries are frames that are not found across two bands; this gallery has one.")); return; }
  if (!names.includes(chosen.query)) chosen.query = names[0];
  if (!names.includes(chosen.among) || chosen.among === chosen.query) chosen.among = names.find((n) => n !== chosen.query);
  const pick = names.map((n) => [n, BANDS[n]]);
  fill(list, spinner("Measuring"));
  fill(panel, h("div", { class: "row" }, source, choose("Query", pick, chosen.query, (v) => { chosen.query = v; worst(panel).catch(failed); }), choose("Gallery", pick, chosen.among, (v) => { chosen.among = v; worst(panel).catch(failed); })), list);
  const found = await get(`${at()}/survey${query({ query: chosen.query, among: chosen.among, limit: 60 })}`);
  fill(list, h("p", { class: "soft" }, `${found.queries.toLocaleString()} queries among ${found.gallery.toLocaleString()}, by the gallery's own vectors, not re-ranked: ${recalls(found)}. A query is right where its own frame is first.`),
    found.worst.length ? h("div", { class: "worst" }, found.worst.map(worstCard)) : empty("Nothing went wrong", "Every query's own frame is found first."));
}

const recalls = (found) => Object.entries(found.recall).map(([k, v]) => `R@${k} ${v.toFixed(1)}`).join(", ");

function benchmarked(list, run, time) {
  const when = new Date(1000 * time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const shot = (item, text) => h("figure", {}, item ? tile(item, searchFor) : h("p", { class: "soft small" }, "not in this gallery"), h("figcaption", {}, text));
  const card = (row) => h("article", { class: "card pad stack" }, h("div", { class: "row between" }, h("h3", {}, row.frame), h("span", { class: "status failed" }, `found at ${row.rank}`)),
    h("div", { class: "trio pairs" }, shot(row.query, "query"), shot(row.right, "its own frame")));
  fill(list, h("p", { class: "soft" }, `crossband benchmark, ${when}: ${run.queries.toLocaleString()} queries, ${recalls(run)}. Choose a picture to see what this gallery finds for it.`),
    run.worst.length ? h("div", { class: "worst" }, run.worst.map(card)) : empty("Nothing went wrong", "Every query was found first, or these results are of an older version, which named no queries."));
}

function worstCard(row) {
  const shot = (item, text) => h("figure", {}, tile(item, searchFor), h("figcaption", {}, text));
  return h("article", { class: "card pad stack" }, h("div", { class: "row between" }, h("h3", {}, row.query.frame), h("span", { class: "status failed" }, `found at ${row.rank}`)),
    h("div", { class: "trio" }, shot(row.query, "query"), shot(row.first, "found first"), shot(row.right, "its own frame")),
    h("div", { class: "row" }, judge(row.query, row.first, true, "The same place too"), judge(row.query, row.first, false, "Really wrong")));
}

function judge(queried, item, right, text) {
  const one = { query: queried.id, item: item.id, queryName: queried.frame, itemName: item.frame, upload: false };
  const now = () => state.marks.find((m) => m.gallery === state.gallery && m.query === one.query && m.item === one.item)?.right;
  const button = h("button", { type: "button", class: "button small", "aria-pressed": String(now() === right), onclick: () => { mark(one, right); button.setAttribute("aria-pressed", String(now() === right)); toast(now() === right ? `Marked: ${text.toLowerCase()}` : "Mark removed"); } }, icon(right ? "yes" : "no"), text);
  return button;
}

async function duplicates(panel) {
  const names = Object.keys(info().bands);
  const band = names.includes(chosen.band) ? chosen.band : names[0];
  const found = await get(`${at()}/duplicates${query({ band, limit: 60 })}`);
  const shot = (item) => h("figure", {}, tile(item, searchFor), h("figcaption", {}, item.metadata.time ?? item.frame));
  fill(panel, h("div", { class: "row" }, segments("dup-band", "Band", names.map((n) => [n, BANDS[n]]), band, (v) => { chosen.band = v; duplicates(panel).catch(failed); })),
    h("p", { class: "soft" }, "Pairs of one band whose vectors lie nearest to each other: copies at 0, the next frame of a recording a little farther."),
    found.length ? h("div", { class: "worst" }, found.map((pair) => h("article", { class: "card pad stack" }, h("div", { class: "row between" }, h("h3", {}, `${pair.first.frame} and ${pair.second.frame}`), h("span", { class: "chip" }, `distance ${pair.distance.toFixed(3)}`)), h("div", { class: "trio pairs" }, shot(pair.first), shot(pair.second))))) : empty("Nothing to show", "There are fewer than two images of this band."));
}

async function marksPanel(panel) {
  const own = state.marks.filter((m) => m.gallery === state.gallery);
  if (!own.length) { fill(panel, empty("No marks yet", "Mark results as right or wrong in Search, Compare or Worst queries; they are kept in this browser and exported here as a manifest, as ground truth.")); return; }
  const usable = own.filter((m) => !m.upload);
  const remove = (one) => { state.marks = state.marks.filter((m) => m !== one); keep("marks", state.marks); marksPanel(panel); };
  fill(panel, 
    h("div", { class: "row between" }, h("p", { class: "soft" }, `${own.length} marks${own.length > usable.length ? `, ${own.length - usable.length} of them of pictures that were sent, which no manifest can name` : ""}. Frames marked as right share a place.`),
      h("button", { type: "button", class: "button primary", disabled: !usable.length, onclick: () => save(usable).catch(failed) }, icon("save"), "Export manifest")),
    h("div", { class: "card scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["Query", "Item", "Judgment", ""].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, own.map((m) => h("tr", {}, h("td", {}, m.queryName), h("td", {}, m.itemName), h("td", {}, m.right ? "same place" : "not the same"), h("td", { class: "right" }, h("button", { type: "button", class: "button small quiet", "aria-label": `Remove the mark of ${m.itemName}`, onclick: () => remove(m) }, "Remove"))))))));
}

async function save(marks) {
  const answer = await call(`${at()}/marks`, { method: "POST", json: { marks: marks.map(({ query: q, item, right }) => ({ query: q, item, right })) } });
  download("marks.csv", await answer.blob());
}
