// Jobs as rows that follow their server-sent events, and the forms that start them.
import { address, failed, form, post } from "../api.js";
import { choose, empty, fill, h, toast } from "../dom.js";
import { state } from "../state.js";

const ENDED = ["done", "failed", "canceled"];

// Rows of jobs, the newest first; onend is told of each that comes to its end.
export function jobList(jobs, nothing, onend = () => {}) {
  const node = h("div", { class: "card" });
  const streams = new Map();
  const told = new Map();

  function draw() {
    const sorted = [...told.values()].sort((a, b) => b.created - a.created);
    fill(node, ...(sorted.length ? sorted.map((job) => row(job, take)) : [empty("No jobs", nothing)]));
  }
  function take(job) {
    told.set(job.id, job);
    draw();
    if (ENDED.includes(job.status) || streams.has(job.id)) return;
    const stream = new EventSource(address(`/jobs/${job.id}/events`));
    streams.set(job.id, stream);
    stream.onmessage = (event) => {
      const now = JSON.parse(event.data);
      told.set(now.id, now);
      draw();
      if (!ENDED.includes(now.status)) return;
      stream.close();
      toast(`${now.kind} ${now.status}: ${now.what}`, now.status === "failed");
      onend(now);
    };
    stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) streams.delete(job.id); };
  }
  jobs.forEach(take);
  draw();
  return { node, take, close: () => streams.forEach((stream) => stream.close()) };
}

function row(job, take) {
  const result = job.result ? Object.entries(job.result).filter(([, v]) => !Array.isArray(v)).map(([k, v]) => `${k} ${v}`).join(", ") : "";
  const ended = ENDED.includes(job.status);
  return h("article", { class: "job", "aria-label": `${job.kind}: ${job.what}` },
    h("div", { class: "row between" }, h("div", { class: "row" }, h("h2", {}, `${job.kind}: ${job.what}`), h("span", { class: `status ${job.status}` }, job.status)),
      ended || !state.health.writable ? null : h("button", { type: "button", class: "button small", onclick: () => post(`/jobs/${job.id}/cancel`).then(take).catch(failed) }, "Cancel")),
    job.stages.length ? h("ol", { class: "stages-list" }, job.stages.map(stage)) : null,
    h("p", { class: "soft small" }, [job.error, !ended && !job.stages.length ? "starting" : "", result, `${Math.round(job.seconds)} s`].filter(Boolean).join(" · ")),
    job.result?.flight ? h("a", { href: `#/flight/${encodeURIComponent(job.result.flight)}` }, "Open the result") : null,
    job.notes.length ? h("details", {}, h("summary", { class: "small" }, job.notes.length === 1 ? "1 remark" : `${job.notes.length} remarks`), h("ul", { class: "small soft" }, job.notes.map((n) => h("li", {}, n)))) : null);
}

function stage({ name, done, total }) {
  const share = total ? done / total : 0;
  return h("li", {}, h("span", { class: "row between small" }, h("span", {}, name), h("span", { class: "soft number" }, `${done.toLocaleString()} of ${total.toLocaleString()}`)),
    h("div", { class: "progress", role: "progressbar", "aria-label": `Progress of ${name}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share) }, h("div", { style: { width: `${100 * share}%` } })));
}

export function indexForm(choices, take) {
  if (!choices.folders.length) return h("p", { class: "soft" }, "Start the server with --folder to allow folders to be indexed.");
  const chosen = { folder: choices.folders[0], gallery: state.gallery };
  return h("form", { class: "card pad controls", "aria-label": "Index a folder", onsubmit: (event) => { event.preventDefault(); post("/jobs", { json: { kind: "index", ...chosen } }).then(take).catch(failed); } },
    choose("Index the folder", choices.folders.map((f) => [f, f]), chosen.folder, (v) => { chosen.folder = v; }),
    choose("into the gallery", state.galleries.map((g) => [g.name, g.name]), chosen.gallery, (v) => { chosen.gallery = v; }),
    h("button", { type: "submit", class: "button primary" }, "Start"));
}

export function flightForm(choices, take) {
  if (!choices.flights.length) return null;
  const chosen = { flight: choices.flights[0] };
  const file = h("input", { type: "file", required: true, "aria-label": "Photograph of the object" });
  return h("form", { class: "card pad controls", "aria-label": "Run a flight", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const { id } = await post("/uploads", { form: form({ image: file.files[0] }) });
      take(await post("/jobs", { json: { kind: "flight", upload: id, ...chosen } }));
    } catch (error) { failed(error); }
  } }, choose("Find in the flight", choices.flights.map((f) => [f, f]), chosen.flight, (v) => { chosen.flight = v; }),
  h("label", { class: "field" }, h("span", {}, "the object of this color photograph"), file), h("button", { type: "submit", class: "button primary" }, "Start"));
}
