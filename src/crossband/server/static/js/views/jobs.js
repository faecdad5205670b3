// Jobs: long work, followed by server-sent events.
import { address, failed, form, get, post } from "../api.js";
import { choose, empty, fill, h, toast } from "../dom.js";
import { state } from "../state.js";

const ENDED = ["done", "failed", "canceled"];

export async function jobs() {
  const [all, choices] = await Promise.all([get("/jobs"), get("/jobs/choices")]);
  const list = h("div", { class: "card" });
  const streams = new Map();
  const told = new Map(all.map((job) => [job.id, job]));

  function draw() {
    const sorted = [...told.values()].sort((a, b) => b.created - a.created);
    fill(list, ...(sorted.length ? sorted.map(row) : [empty("No jobs", state.health.writable ? "Start one above." : "This server is read-only; with --writable folders can be indexed and flights run.")]));
  }
  function row(job) {
    const share = job.status === "done" ? 1 : job.total ? job.done / job.total : 0;
    const result = job.result ? Object.entries(job.result).filter(([, v]) => !Array.isArray(v)).map(([k, v]) => `${k} ${v}`).join(", ") : "";
    return h("article", { class: "job", "aria-label": `${job.kind}: ${job.what}` },
      h("div", { class: "row between" }, h("div", { class: "row" }, h("h2", {}, `${job.kind}: ${job.what}`), h("span", { class: `status ${job.status}` }, job.status)),
        ENDED.includes(job.status) || !state.health.writable ? null : h("button", { type: "button", class: "button small", onclick: () => post(`/jobs/${job.id}/cancel`).then(take).catch(failed) }, "Cancel")),
      h("div", { class: "progress", role: "progressbar", "aria-label": `Progress of ${job.what}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share) }, h("div", { style: { width: `${100 * share}%` } })),
      h("p", { class: "soft small" }, [job.error ?? (job.status === "running" ? job.stage : ""), job.total && job.status === "running" ? `${job.done} of ${job.total}` : "", result, `${Math.round(job.seconds)} s`].filter(Boolean).join(" · ")),
      job.result?.flight ? h("a", { href: `#/flight/${encodeURIComponent(job.result.flight)}` }, "Open the result") : null,
      job.notes.length ? h("details", {}, h("summary", { class: "small" }, job.notes.length === 1 ? "1 remark" : `${job.notes.length} remarks`), h("ul", { class: "small soft" }, job.notes.map((n) => h("li", {}, n)))) : null);
  }
  function take(job) {
    told.set(job.id, job);
    draw();
    if (!ENDED.includes(job.status) && !streams.has(job.id)) {
      const stream = new EventSource(address(`/jobs/${job.id}/events`));
      streams.set(job.id, stream);
      stream.onmessage = (event) => {
        const now = JSON.parse(event.data);
        told.set(now.id, now);
        draw();
        if (ENDED.includes(now.status)) { stream.close(); toast(`${now.kind} ${now.status}: ${now.what}`, now.status === "failed"); }
      };
      stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) streams.delete(job.id); };
    }
  }
  all.forEach(take);
  draw();
  const forms = state.health.writable ? h("div", { class: "row" }, indexForm(choices, take), flightForm(choices, take)) : null;
  return { node: h("div", { class: "page" }, h("h1", {}, "Jobs"), forms, list), close: () => streams.forEach((stream) => stream.close()) };
}

function indexForm(choices, take) {
  if (!choices.folders.length) return h("p", { class: "soft" }, "Start the server with --folder to allow folders to be indexed.");
  const chosen = { folder: choices.folders[0], gallery: state.gallery };
  return h("form", { class: "card pad controls", "aria-label": "Index a folder", onsubmit: (event) => { event.preventDefault(); post("/jobs", { json: { kind: "index", ...chosen } }).then(take).catch(failed); } },
    choose("Index the folder", choices.folders.map((f) => [f, f]), chosen.folder, (v) => { chosen.folder = v; }),
    choose("into the gallery", state.galleries.map((g) => [g.name, g.name]), chosen.gallery, (v) => { chosen.gallery = v; }),
    h("button", { type: "submit", class: "button primary" }, "Start"));
}

function flightForm(choices, take) {
  if (!choices.flights.length) return null;
  const chosen = { flight: choices.flights[0] };
  const file = h("input", { type: "file", required: true, "aria-label": "Photograph of the object" });
  return h("form", { class: "card pad controls", "aria-label": "Run a flight", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const { id } = await post("/uploads", { form: form({ image: file.files[0] }) });
      take(await post("/jobs", { json: { kind: "flight", upload: id, ...chosen } }));
    } catch (error) { failed(error); }
  } }, choose("Find in the flight", choices.flights.map((f) => [f, f]), chosen.flight, (v) => { chosen.flight = v; }), file, h("button", { type: "submit", class: "button primary" }, "Start"));
}
