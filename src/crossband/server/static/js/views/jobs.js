// Jobs: long work, followed by server-sent events.
import { get } from "../api.js";
import { h } from "../dom.js";
import { flightForm, indexForm, jobList } from "../parts/work.js";
import { state } from "../state.js";

export async function jobs() {
  const [all, choices] = await Promise.all([get("/jobs"), get("/jobs/choices")]);
  const list = jobList(all, state.health.writable ? "Start one above." : "This server is read-only; with --writable folders can be indexed and flights run.");
  const forms = state.health.writable ? h("div", { class: "row" }, indexForm(choices, list.take), flightForm(choices, list.take)) : null;
  return { node: h("div", { class: "page" }, h("h1", {}, "Jobs"), forms, list.node), close: list.close };
}
