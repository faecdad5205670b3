// Compare: query and match side by side and over each other, aligned by their matches.
import { failed, form, get, picture, post, query } from "../api.js";
import { choose, empty, fill, h, icon, s, segments } from "../dom.js";
import { look, thermalControls } from "../parts/thermal.js";
import { marks } from "../parts/cards.js";
import { at, BANDS, shown, state, when } from "../state.js";

const MODES = [["side", "Side by side"], ["slider", "Slider"], ["fade", "Fade"], ["blink", "Blink"], ["checker", "Checkerboard"]];
const SHOWN = 80; // match lines

export async function compare() {
  if (!state.compared || !state.query) {
    return { node: h("div", { class: "page" }, h("div", { class: "card pad" }, empty("Nothing to compare yet", "Search for a picture and open one of its matches.", h("p", {}, h("br"), h("a", { class: "button primary", href: "#/search" }, "Go to search"))))) };
  }
  const match = state.compared;
  const q = state.query;
  const view = { mode: "side", zoom: 1, x: 0, y: 0, share: 0.5, registration: null, lines: true, kind: "homography", band: match.band };
  const first = { about: null, image: h("img", { alt: `The query: ${q.name}`, draggable: false }) };
  const second = { about: null, image: h("img", { alt: `The match: ${match.frame}`, draggable: false }) };
  const stages = h("div", { class: "stages" });
  const share = h("label", { class: "field" }, h("span", {}, "Position"), h("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0.5, oninput: (e) => { view.share = Number(e.target.value); place(); } }));
  const told = h("p", { class: "soft small", role: "status" }, "Aligning");
  const thermal = thermalControls(load);
  const tools = h("div", { class: "controls card pad" });

  const itemOf = () => match.bands[view.band] ?? match.id;
  const sourceOf = (which) => (which === first ? (q.item ? { item: q.item, band: q.band } : { upload: q.upload, band: q.band, units: q.units, frame: q.frame }) : { item: itemOf(), band: view.band });
  const path = (which, what, more) => {
    const from = sourceOf(which);
    return from.item ? `${at()}/items/${from.item}/${what}${query(more)}` : `/uploads/${from.upload}/${what}${query({ ...more, band: from.band, units: from.units, frame: from.frame })}`;
  };

  async function load() {
    try {
      await Promise.all([first, second].map(async (which) => {
        const crop = which === first && q.crop ? q.crop.join(",") : null;
        which.about = await picture(path(which, "image", { ...look(2400), crop }));
        which.image.src = which.about.url;
        await which.image.decode();
      }));
    } catch (error) { failed(error); return; }
    thermal.tell([second, first].map((w) => w.about).find((about) => about.unit));
    fit();
  }

  async function align() {
    told.textContent = "Aligning";
    view.registration = null;
    const values = { first_upload: q.upload, first_item: q.item, first_band: q.item ? null : q.band, first_crop: q.crop?.join(","), second_item: itemOf(), gallery: state.gallery, units: q.upload ? q.units : null, model: view.kind };
    try {
      const found = await post("/align", { form: form(values) });
      view.registration = found;
      told.textContent = `${found.inliers} matches agree, same place ${Math.round(100 * found.same_place)} %, corners known to ${found.error_px.toFixed(1)} pixels`;
    } catch (error) { told.textContent = `Not aligned: ${error.message}`; }
    build();
  }

  function build() {
    fill(stages);
    stages.classList.toggle("single", view.mode !== "side");
    const planes = [];
    const make = (captions, ...images) => {
      const plane = h("div", { class: "plane" }, images);
      const readout = h("span", { class: "readout", hidden: true });
      const stage = h("div", { class: "stage", tabindex: 0, role: "group", "aria-label": `${captions}. Arrow keys move, plus and minus zoom.` }, plane, h("span", { class: "caption" }, captions), readout);
      planes.push({ stage, plane, readout });
      follow(stage, planes.length === 1 ? first : second, readout);
      stages.append(stage);
      return stage;
    };
    const names = [`${BANDS[q.band]}  ${q.name}`, `${BANDS[view.band]}  ${match.frame}`];
    if (view.mode === "side") {
      make(names[0], first.image);
      make(names[1], second.image);
      view.svg = s("svg", { class: "lines", "aria-hidden": "true" });
      stages.append(view.svg);
      second.image.className = "";
      second.layer = null;
    } else {
      second.layer = h("div", {}, second.image);
      view.handle = view.mode === "slider" ? h("div", { class: "handle" }) : null;
      const stage = make(`${names[0]}  over  ${names[1]}`, first.image, second.layer);
      if (view.handle) stage.append(view.handle);
      view.svg = null;
    }
    view.planes = planes;
    share.hidden = !["slider", "fade"].includes(view.mode);
    share.firstChild.textContent = view.mode === "fade" ? "Share of the match" : "Position";
    fit();
  }

  function fit() {
    const stage = view.planes?.[0]?.stage;
    if (!stage || !first.image.naturalWidth) return;
    const r = stage.getBoundingClientRect();
    view.base = Math.min(r.width / first.image.naturalWidth, r.height / first.image.naturalHeight);
    Object.assign(view, { zoom: 1, x: (r.width - first.image.naturalWidth * view.base) / 2, y: (r.height - first.image.naturalHeight * view.base) / 2 });
    place();
  }

  // From pixels of the second picture, as shown, to pixels of the first, as shown.
  function homography() {
    const scaleOf = (which) => which.image.naturalWidth / (which.about.width || which.image.naturalWidth);
    if (!view.registration) {
      const wide = first.image.naturalWidth / second.image.naturalWidth;
      return [wide, 0, 0, 0, first.image.naturalHeight / second.image.naturalHeight, 0, 0, 0, 1];
    }
    const [a, b] = [scaleOf(first), scaleOf(second)];
    const back = inverse(view.registration.matrix.flat());
    return multiply([a, 0, 0, 0, a, 0, 0, 0, 1], multiply(back, [1 / b, 0, 0, 0, 1 / b, 0, 0, 0, 1]));
  }

  function place() {
    if (!view.planes || !view.base) return;
    const scale = view.base * view.zoom;
    for (const [n, { plane }] of view.planes.entries()) {
      const own = n === 0 ? scale : scale * (first.image.naturalWidth / (second.image.naturalWidth || 1));
      plane.style.transform = `translate(${view.x}px, ${view.y}px) scale(${own})`;
    }
    if (second.layer && second.image.naturalWidth) {
      const m = homography();
      second.image.style.transform = `matrix3d(${m[0]},${m[3]},0,${m[6]},${m[1]},${m[4]},0,${m[7]},0,0,1,0,${m[2]},${m[5]},0,${m[8]})`;
      const [w, high] = [first.image.naturalWidth, first.image.naturalHeight];
      const layer = second.layer;
      Object.assign(layer.style, { position: "absolute", left: 0, top: 0, width: `${w}px`, height: `${high}px`, overflow: "hidden", opacity: view.mode === "fade" ? view.share : 1, clipPath: view.mode === "slider" ? `inset(0 0 0 ${100 * view.share}%)` : "none" });
      layer.className = view.mode === "checker" ? "checker" : view.mode === "blink" ? "blink" : "";
      const cell = `${w / 5}px ${w / 5}px`;
      layer.style.maskSize = layer.style.webkitMaskSize = view.mode === "checker" ? cell : "auto";
      if (view.handle) view.handle.style.left = `${view.x + w * view.share * scale}px`;
    } else second.image.style.transform = "none";
    drawLines(scale);
  }

  function drawLines(scale) {
    if (!view.svg) return;
    fill(view.svg);
    const found = view.registration;
    if (!found || !view.lines || view.planes.length < 2) return;
    const box = view.svg.getBoundingClientRect();
    const at2 = view.planes.map(({ stage }) => stage.getBoundingClientRect());
    const to = (n, x, y) => {
      const which = n ? second : first;
      const natural = which.image.naturalWidth / (which.about?.width || which.image.naturalWidth);
      const own = n ? scale * (first.image.naturalWidth / second.image.naturalWidth) : scale;
      return [at2[n].left - box.left + view.x + x * natural * own, at2[n].top - box.top + view.y + y * natural * own];
    };
    const inside = ([x, y], n) => x >= at2[n].left - box.left && x <= at2[n].right - box.left && y >= at2[n].top - box.top && y <= at2[n].bottom - box.top;
    const step = Math.max(1, Math.floor(found.matches.length / SHOWN));
    for (let i = 0; i < found.matches.length; i += step) {
      const [x0, y0, x1, y1] = found.matches[i];
      const [p, r] = [to(0, x0, y0), to(1, x1, y1)];
      if (!inside(p, 0) || !inside(r, 1)) continue;
      const color = `hsl(${(170 + (230 * y0) / found.first_size[0]) % 360} 80% 62%)`;
      view.svg.append(s("line", { x1: p[0], y1: p[1], x2: r[0], y2: r[1], stroke: color }), s("circle", { cx: p[0], cy: p[1], r: 3, stroke: color }), s("circle", { cx: r[0], cy: r[1], r: 3, stroke: color }));
    }
  }

  function follow(stage, which, readout) {
    let from = null;
    let asked = 0;
    let timer = null;
    const zoomAt = (factor, cx, cy) => {
      const zoom = Math.min(24, Math.max(0.5, view.zoom * factor));
      const real = zoom / view.zoom;
      Object.assign(view, { zoom, x: cx - (cx - view.x) * real, y: cy - (cy - view.y) * real });
      place();
    };
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const r = stage.getBoundingClientRect();
      zoomAt(Math.exp(-event.deltaY * 0.0016), event.clientX - r.left, event.clientY - r.top);
    }, { passive: false });
    stage.addEventListener("dblclick", fit);
    stage.addEventListener("pointerdown", (event) => { from = { px: event.clientX, py: event.clientY, x: view.x, y: view.y }; stage.setPointerCapture(event.pointerId); });
    stage.addEventListener("pointerup", () => { from = null; });
    stage.addEventListener("pointermove", (event) => {
      const r = stage.getBoundingClientRect();
      if (from && view.mode === "slider") {
        view.share = Math.min(1, Math.max(0, (event.clientX - r.left - view.x) / (first.image.naturalWidth * view.base * view.zoom)));
        share.lastChild.value = view.share;
        place();
      } else if (from) {
        Object.assign(view, { x: from.x + event.clientX - from.px, y: from.y + event.clientY - from.py });
        place();
      } else {
        clearTimeout(timer);
        timer = setTimeout(() => temperature(event.clientX - r.left, event.clientY - r.top), 70);
      }
    });
    stage.addEventListener("pointerleave", () => { clearTimeout(timer); asked += 1; readout.hidden = true; });
    stage.addEventListener("keydown", (event) => {
      const r = stage.getBoundingClientRect();
      const moves = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
      if (moves[event.key]) Object.assign(view, { x: view.x + moves[event.key][0], y: view.y + moves[event.key][1] });
      else if (event.key === "+" || event.key === "=") zoomAt(1.25, r.width / 2, r.height / 2);
      else if (event.key === "-") zoomAt(0.8, r.width / 2, r.height / 2);
      else if (event.key === "0") fit();
      else return;
      event.preventDefault();
      place();
    });

    async function temperature(px, py) {
      let target = which;
      let x = (px - view.x) / (view.base * view.zoom);
      let y = (py - view.y) / (view.base * view.zoom);
      if (view.mode === "side" && which === second) {
        const ratio = second.image.naturalWidth / first.image.naturalWidth;
        [x, y] = [x * ratio, y * ratio];
      }
      if (view.mode !== "side" && q.band !== "tir") {
        target = second;
        const m = inverse(homography());
        const w = m[6] * x + m[7] * y + m[8];
        [x, y] = [(m[0] * x + m[1] * y + m[2]) / w, (m[3] * x + m[4] * y + m[5]) / w];
      }
      const about = target.about;
      if (!about || (target === first ? q.band : view.band) !== "tir") { readout.hidden = true; return; }
      const real = about.width / target.image.naturalWidth;
      let [column, row] = [Math.floor(x * real), Math.floor(y * real)];
      if (column < 0 || row < 0 || column >= about.width || row >= about.height) { readout.hidden = true; return; }
      if (target === first && q.crop && q.width) { column += Math.floor(q.crop[0] * q.width); row += Math.floor(q.crop[1] * q.height); }
      const mine = ++asked;
      const found = await get(path(target, "temperature", { x: column, y: row })).catch(() => null);
      if (!found || mine !== asked) return;
      readout.hidden = false;
      readout.textContent = found.celsius === null ? `${shown(found.value)} counts` : `${found.celsius.toFixed(1)} °C`;
    }
  }

  function drawTools() {
    const bands = Object.keys(match.bands).map((band) => [band, BANDS[band]]);
    fill(tools, 
      h("div", { class: "field" }, h("span", {}, "View"), segments("mode", "How the two are shown", MODES, view.mode, (mode) => { view.mode = mode; build(); })), share,
      bands.length > 1 ? h("div", { class: "field" }, h("span", {}, "Band of the match"), segments("match-band", "Band of the match", bands, view.band, async (band) => { view.band = band; build(); await load(); await align(); })) : null,
      choose("Transform", [["homography", "Homography"], ["affine", "Affine"], ["similarity", "Similarity"]], view.kind, (kind) => { view.kind = kind; align(); }),
      h("label", { class: "check" }, h("input", { type: "checkbox", checked: view.lines, onchange: (e) => { view.lines = e.target.checked; place(); } }), h("span", {}, "Match lines")),
      h("button", { type: "button", class: "button", onclick: fit }, icon("home"), "Fit"));
  }

  const facts = { frame: match.frame, rank: match.rank, "same place": match.same_place === null ? "not compared" : `${Math.round(100 * match.same_place)} %`, distance: match.distance?.toFixed(4), ...match.metadata };
  const node = h("div", { class: "page compare" },
    h("div", { class: "row between" }, h("div", { class: "row" }, h("h1", {}, "Compare"), told),
      h("div", { class: "row" }, neighbors(match), ...marks(match, match.frame), h("a", { class: "button", href: "#/search" }, "Back to results"))),
    tools, stages, h("div", { class: "card pad" }, thermal.node),
    h("section", { class: "card pad stack", "aria-label": "About the match" }, h("h2", {}, "About the match"),
      h("dl", { class: "facts" }, Object.entries(facts).filter(([, v]) => v !== undefined).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, name === "time" ? when(value) : shown(value)))))));
  drawTools();
  build();
  load().then(align);
  const resized = new ResizeObserver(() => fit());
  resized.observe(stages);
  return { node, close: () => resized.disconnect() };
}

function neighbors(match) {
  const all = state.answer?.matches ?? [];
  const here = all.findIndex((one) => one.id === match.id);
  const step = (n, text) => h("button", { type: "button", class: "button", disabled: !all[here + n], onclick: () => { state.compared = all[here + n]; dispatchEvent(new HashChangeEvent("hashchange")); } }, text);
  return [step(-1, "Previous"), step(1, "Next")];
}

function multiply(a, b) {
  return [0, 1, 2].flatMap((r) => [0, 1, 2].map((c) => a[3 * r] * b[c] + a[3 * r + 1] * b[3 + c] + a[3 * r + 2] * b[6 + c]));
}

function inverse(m) {
  const [a, b, c, d, e, f, g, i, j] = m;
  const det = a * (e * j - f * i) - b * (d * j - f * g) + c * (d * i - e * g);
  return [e * j - f * i, c * i - b * j, b * f - c * e, f * g - d * j, a * j - c * g, c * d - a * f, d * i - e * g, b * g - a * i, a * e - b * d].map((v) => v / det);
}
