// A result, and small pictures of items.
import { address, query } from "../api.js";
import { h, icon } from "../dom.js";
import { at, BAND_NAMES, BANDS, mark, marked, shown, state, when } from "../state.js";

export const thumb = (id, size = 320) => address(`${at()}/items/${id}/thumbnail${query({ size, palette: state.palette })}`);

const OTHER = { rgb: ["tir", "nir"], nir: ["rgb", "tir"], tir: ["rgb", "nir"] };
export const partner = (item) => OTHER[item.band].find((band) => item.bands[band]);

export function picture(id, alt, size) {
  return h("img", { src: thumb(id, size), alt, loading: "lazy", decoding: "async" });
}

export function result(match, oncompare, onsearch) {
  const other = partner(match);
  const name = `rank ${match.rank}, ${match.frame}, ${BANDS[match.band]}`;
  const sure = match.same_place;
  return h("article", { class: "card result", "aria-label": name },
    h("button", { type: "button", class: "shot", "aria-label": `Compare ${name}${other ? `, or ${BANDS[other]}` : ""}`, onclick: () => oncompare(match) },
      picture(match.id, "", 480), other ? h("img", { class: "other", src: thumb(match.bands[other], 480), alt: "", loading: "lazy" }) : null,
      h("span", { class: `band own ${other ? "paired" : ""}` }, BANDS[match.band]), other ? h("span", { class: "band other" }, BANDS[other]) : null),
    h("span", { class: "rank", "aria-hidden": "true" }, String(match.rank)),
    h("div", { class: "body" },
      h("div", { class: "name", title: match.frame }, match.frame),
      sure === null || sure === undefined
        ? h("div", { class: "sure" }, h("span", {}, `distance ${match.distance.toFixed(3)}`))
        : h("div", { class: "sure", title: `${match.inliers} matches agree` }, h("div", { class: "meter" }, bar(sure)), h("span", {}, `same place ${Math.round(100 * sure)} %`)),
      chips(match.metadata),
      h("div", { class: "tools" },
        h("button", { type: "button", class: "button small quiet", title: "Compare", onclick: () => oncompare(match) }, icon("compare"), h("span", {}, "Compare")),
        h("button", { type: "button", class: "icon-button", title: "Search for this", "aria-label": `Search for ${name}`, onclick: () => onsearch(match) }, icon("search")),
        ...marks(match, name))));
}

function bar(share) {
  return h("div", { class: share >= 0.5 ? "high" : "", style: { width: `${Math.round(100 * share)}%` } });
}

export function marks(match, name) {
  const query = state.query?.item ?? state.query?.upload;
  const buttons = [];
  const draw = () => {
    const now = marked(query, match.id);
    buttons[0].setAttribute("aria-pressed", String(now?.right === true));
    buttons[1].setAttribute("aria-pressed", String(now?.right === false));
  };
  for (const [right, kind, text] of [[true, "yes", "right"], [false, "no", "wrong"]]) {
    buttons.push(h("button", { type: "button", class: `icon-button ${kind}`, title: `Mark as ${text}`, "aria-label": `Mark ${name} as ${text}`, onclick: () => {
      mark({ query, item: match.id, queryName: state.query?.name ?? "", itemName: match.frame, upload: Boolean(state.query?.upload) }, right);
      draw();
    } }, icon(kind)));
  }
  draw();
  return buttons;
}

export function chips(metadata) {
  const wanted = ["place", "condition", "camera", "sequence"].filter((name) => metadata[name] !== undefined);
  const texts = wanted.map((name) => shown(metadata[name]));
  if (metadata.time) texts.push(when(metadata.time));
  return h("div", { class: "chips" }, texts.slice(0, 4).map((text) => h("span", { class: "chip", title: text }, text)));
}

export function tile(item, onopen, label = item.frame) {
  return h("button", { type: "button", class: "tile", title: `${label}, ${BAND_NAMES[item.band]}`, onclick: () => onopen(item) },
    picture(item.id, "", 280), h("span", { class: "band" }, BANDS[item.band]), h("span", { class: "label" }, label));
}

export function searchFor(item) {
  state.query = { item: item.id, band: item.band, name: item.frame, units: null };
  state.answer = null;
  location.hash = "#/search/go";
}
