// Reports: what the verbs have written, shown without any right to run a script.
import { address, get } from "../api.js";
import { empty, fill, h } from "../dom.js";

export async function reports(chosen) {
  const found = await get("/reports");
  if (!found.length) {
    return { node: h("div", { class: "page" }, h("h1", {}, "Reports"), h("div", { class: "card pad" }, empty("No reports", "Start the server with --reports and the folder that benchmark, explain or demo wrote."))) };
  }
  const frame = h("div", {});
  const list = h("div", { class: "list" });
  const open = (one) => {
    const place = address(`/reports/${one.id}`);
    fill(list, ...found.map((other) => h("button", { type: "button", "aria-current": other === one ? "true" : null, onclick: () => open(other) }, h("strong", {}, other.file), h("span", { class: "soft small" }, `${other.folder}, ${new Date(1000 * other.time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}`))));
    if (one.kind === "page") fill(frame, h("iframe", { class: "card", src: place, sandbox: "", title: one.file }));
    else if (one.kind === "picture") fill(frame, h("div", { class: "card pad" }, h("img", { src: place, alt: one.file })));
    else fill(frame, h("div", { class: "card pad" }, empty(one.file, `${Math.ceil(one.bytes / 1024)} KiB`, h("p", {}, h("br"), h("a", { class: "button", href: place, download: one.file.split("/").pop() }, "Download")))));
  };
  open(found.find((one) => one.id === chosen) ?? found[0]);
  return { node: h("div", { class: "page reports" }, h("aside", { class: "card pad stack", "aria-label": "Reports" }, h("h1", {}, "Reports"), list), frame) };
}
