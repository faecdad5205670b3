// Search: a picture, filters, results.
import { failed, fault, form, picture, post, query } from "../api.js";
import { choose, empty, fill, h, icon, segments, spinner, toast } from "../dom.js";
import { filters } from "../parts/filters.js";
import { look } from "../parts/thermal.js";
import { result, searchFor } from "../parts/cards.js";
import { at, BANDS, info, keep, PALETTES, searchCondition, state } from "../state.js";

export async function search(argument) {
  const shot = h("div", { class: "stack" });
  const found = h("section", { class: "stack", "aria-label": "Results", "aria-live": "polite" });
  const limits = h("div", { class: "stack" });
  const side = h("aside", { class: "side card pad stack", "aria-label": "Query and filters" }, h("h1", {}, "Search"), shot,
    h("details", { class: "options", open: matchMedia("(min-width: 1081px)").matches }, h("summary", {}, "Options and filters"), limits));
  const node = h("div", { class: "page search" }, side, found);
  let running = null;

  async function run() {
    if (!state.query) return;
    running?.abort();
    running = new AbortController();
    fill(found, spinner("Searching"));
    const { upload, item, band, units, frame, crop } = state.query;
    const values = { upload, item, band: item ? null : band, units: item ? null : units, k: state.options.k, where: searchCondition(), rerank: state.options.rerank, least: state.options.least || null, crop: crop?.join(","), video_frame: frame };
    try {
      state.answer = await post(`${at()}/search`, { form: form(values), signal: running.signal });
      drawResults();
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(found, empty("No result", await fault(error, at(), state.where)));
      if (error.status === 404 && upload) { state.query = null; drawQuery(); }
    }
  }

  function drawResults() {
    const { answer } = state;
    if (!answer) {
      fill(found, welcome());
      return;
    }
    const count = answer.matches.length;
    const head = h("div", { class: "row between" }, h("h2", {}, count ? `${count} ${count === 1 ? "match" : "matches"}` : "Nothing found"),
      h("p", { class: "soft small" }, `${answer.seconds.toFixed(2)} s${answer.hidden ? `, ${answer.hidden} below the least probability` : ""}`));
    fill(found, head, verdict(answer), count ? h("div", { class: "grid" }, answer.matches.map((match) => result(match, open, searchFor))) : empty("Nothing found", "Loosen the filters, or search in more bands."));
  }

  function open(match) {
    state.compared = match;
    location.hash = "#/compare";
  }

  async function take(file) {
    if (!file) return;
    fill(shot, spinner("Reading the picture"));
    try {
      const told = await post("/uploads", { form: form({ image: file }) });
      state.query = { upload: told.id, band: told.band, name: file.name || "pasted picture", units: told.likely_units === told.units ? null : told.likely_units, guess: told, frame: 0 };
      told.remarks.forEach((text) => toast(text));
      state.answer = null;
      drawQuery();
      await run();
    } catch (error) {
      drawQuery();
      failed(error);
    }
  }

  function drawQuery() {
    if (!state.query) {
      fill(shot, drop(take));
      return;
    }
    const q = state.query;
    const view = cropper(q, () => { drawQuery(); run(); });
    const parts = [view.node, h("div", { class: "row between" }, h("strong", { class: "small" }, q.name),
      h("span", { class: "row" }, q.crop ? h("button", { type: "button", class: "button small", onclick: () => { q.crop = null; drawQuery(); run(); } }, "Whole picture") : null,
        h("button", { type: "button", class: "button small", onclick: () => { state.query = null; state.answer = null; drawQuery(); drawResults(); } }, "Other picture")))];
    if (q.upload) {
      parts.push(h("div", { class: "stack" }, segments("band", "Band of the picture", Object.entries(BANDS), q.band, (band) => { q.band = band; drawQuery(); run(); }),
        q.guess ? h("p", { class: "soft small" }, `Guessed: ${q.guess.why}${q.guess.sure ? "" : ". Change the band if that is wrong"}.`) : null));
      if (q.band === "tir") parts.push(h("div", { class: "row" }, choose("Palette", PALETTES, state.palette, (value) => { state.palette = value; keep("palette", value); drawQuery(); }),
        choose("Units", [["", "as the file says"], ["counts", "counts"], ["centikelvin", "centikelvin"], ["kelvin", "kelvin"], ["celsius", "celsius"]], q.units ?? "", (value) => { q.units = value || null; drawQuery(); run(); })));
      if (q.guess?.video) parts.push(h("label", { class: "field" }, h("span", {}, "Frame of the video"), h("input", { type: "number", min: 0, max: 10000, step: 1, value: q.frame, onchange: (e) => { q.frame = Math.max(0, Math.floor(Number(e.target.value) || 0)); drawQuery(); run(); } })));
    }
    parts.push(h("p", { class: "soft small" }, "Drag over the picture to search for a part of it."));
    fill(shot, ...parts);
  }

  const paste = (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) { event.preventDefault(); take(file); }
  };
  const over = (event) => event.preventDefault();
  const dropped = (event) => { event.preventDefault(); take(event.dataTransfer?.files?.[0]); };
  addEventListener("paste", paste);
  addEventListener("dragover", over);
  addEventListener("drop", dropped);

  const there = Object.keys(info()?.bands ?? {});
  const among = [["other", "Others"], ["all", "All"], ...there.map((band) => [band, BANDS[band]])];
  fill(limits, 
    h("div", { class: "stack" }, h("h2", {}, "Search in"), segments("among", "Bands to search in", among, state.among, (value) => { state.among = value; run(); })),
    h("div", { class: "row" },
      choose("Results", ["12", "24", "48", "96"].map((n) => [n, n]), String(state.options.k), (value) => set({ k: Number(value) })),
      info()?.reranks ? choose("Re-rank", [["0", "none"], ["10", "first 10"], ["25", "first 25"]], String(state.options.rerank), (value) => set({ rerank: Number(value) })) : null),
    h("label", { class: "field" }, h("span", {}, "Least probability of same place"),
      h("input", { type: "range", min: 0, max: 0.95, step: 0.05, value: state.options.least, "aria-valuetext": `${Math.round(100 * state.options.least)} percent`, onchange: (e) => set({ least: Number(e.target.value) }) })),
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: state.options.itself, onchange: (e) => set({ itself: e.target.checked }) }), h("span", {}, "Show the query's own frame")),
    h("h2", {}, "Filters"), await filters(run));
  function set(values) {
    Object.assign(state.options, values);
    keep("options", state.options);
    run();
  }

  drawQuery();
  if (argument === "go" && state.query && !state.answer) run();
  else drawResults();
  return { node, close: () => { running?.abort(); removeEventListener("paste", paste); removeEventListener("dragover", over); removeEventListener("drop", dropped); } };
}

function drop(take) {
  const box = h("label", { class: "drop", ondragenter: () => box.classList.add("over"), ondragleave: () => box.classList.remove("over"), ondrop: () => box.classList.remove("over") },
    h("input", { type: "file", "aria-label": "Choose a picture", onchange: (event) => take(event.target.files[0]) }),
    h("span", { class: "ring" }), h("span", {}, icon("upload"), h("strong", {}, "Drop, paste or choose a picture"), h("br"),
      h("span", { class: "soft small" }, "Color, near infrared or thermal: JPEG, PNG, 8 or 16-bit TIFF, radiometric JPEG, or a video")));
  return box;
}

function welcome() {
  const one = info();
  const bands = Object.entries(one?.bands ?? {}).map(([band, n]) => `${n.toLocaleString()} ${BANDS[band]}`).join(", ");
  return h("div", { class: "card pad" }, empty("Where is this, in the other spectrum?", "Give a picture. What shows the same place in other bands appears here, best first, with the probability that it is the same place.",
    h("p", { class: "small" }, h("br"), one ? `${one.name}: ${bands} images, described by ${one.model}. ` : "", h("a", { href: "#/browse" }, "Or begin with an image of the gallery"))));
}

function verdict(answer) {
  const best = answer.matches[0]?.same_place;
  if (best === null || best === undefined) return null;
  const yes = best >= 0.5;
  return h("div", { class: `card verdict ${yes ? "yes" : "no"}` }, h("strong", {}, yes ? "This place is in the gallery" : "Probably not in this gallery"),
    h("span", { class: "soft" }, `: ${Math.round(100 * best)} % that the first match shows the same place.`));
}

function cropper(q, run) {
  const base = q.item ? `${at()}/items/${q.item}/image${query(look(900))}` : `/uploads/${q.upload}/image${query({ band: q.band, units: q.units, frame: q.frame, ...look(900) })}`;
  const image = h("img", { alt: `The query: ${q.name}`, draggable: false, hidden: true });
  picture(base).then((told) => { image.src = told.url; image.hidden = false; q.height = told.height; q.width = told.width; }).catch(failed);
  const frame = h("div", { class: "crop", hidden: true });
  const box = h("div", { class: "query" }, image, frame, h("span", { class: "band" }, BANDS[q.band]));
  let start = null;

  // The picture lies in its element with bars beside it (object-fit: contain).
  const inside = () => {
    const r = image.getBoundingClientRect();
    const scale = Math.min(r.width / image.naturalWidth, r.height / image.naturalHeight);
    const [w, high] = [image.naturalWidth * scale, image.naturalHeight * scale];
    return { left: r.left + (r.width - w) / 2, top: r.top + (r.height - high) / 2, w, high };
  };
  const share = (event) => {
    const r = inside();
    return [Math.min(1, Math.max(0, (event.clientX - r.left) / r.w)), Math.min(1, Math.max(0, (event.clientY - r.top) / r.high))];
  };
  const draw = (crop) => {
    frame.hidden = !crop;
    if (!crop) return;
    const r = inside();
    const own = box.getBoundingClientRect();
    Object.assign(frame.style, { left: `${r.left - own.left + crop[0] * r.w}px`, top: `${r.top - own.top + crop[1] * r.high}px`, width: `${(crop[2] - crop[0]) * r.w}px`, height: `${(crop[3] - crop[1]) * r.high}px` });
  };
  const part = (event) => {
    const [x, y] = share(event);
    return [Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y)].map((v) => Math.round(v * 1e4) / 1e4);
  };
  image.addEventListener("load", () => draw(q.crop));
  box.addEventListener("pointerdown", (event) => { if (image.naturalWidth) { start = share(event); box.setPointerCapture(event.pointerId); } });
  box.addEventListener("pointermove", (event) => { if (start) draw(part(event)); });
  box.addEventListener("pointerup", (event) => {
    if (!start) return;
    const crop = part(event);
    start = null;
    const enough = crop[2] - crop[0] > 0.04 && crop[3] - crop[1] > 0.04;
    draw(enough ? crop : q.crop);
    if (enough) { q.crop = crop; run(); }
  });
  return { node: box };
}
