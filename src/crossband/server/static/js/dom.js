// Elements, without a framework. Text always goes through textContent: nothing that came from a file is markup.

const kept = (children) => children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false);

// Puts children in place of those that are there; what is null or false is left out.
export function fill(node, ...children) {
  node.replaceChildren(...kept(children));
}

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  apply(node, props);
  node.append(...kept(children));
  return node;
}

export function s(tag, props = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  apply(node, props);
  node.append(...kept(children));
  return node;
}

function apply(node, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(node.style, value);
    else if (name === "class") node.setAttribute("class", value);
    else if (name in node && !(node instanceof SVGElement) && !["list", "form", "width", "height"].includes(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
}

const PATHS = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14Zm5 12 4.5 4.5",
  compare: "M12 3v18M4 6h5v12H4zM15 6h5v12h-5z",
  map: "M9 4 3 6.5v13.5l6-2.5 6 2.5 6-2.5V4l-6 2.5zM9 4v13.5M15 6.5V20",
  browse: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  flight: "M3 13l18-8-6 16-3.5-6.5z",
  reports: "M6 3h9l4 4v14H6zM15 3v4h4M9 12h7M9 16h7",
  jobs: "M12 4v4M12 16v4M4 12h4M16 12h4M6.5 6.5l2.8 2.8M14.7 14.7l2.8 2.8M6.5 17.5l2.8-2.8M14.7 9.3l2.8-2.8",
  moon: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5Z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
  upload: "M12 16V5M7.5 9.5 12 5l4.5 4.5M5 16v3h14v-3",
  yes: "M5 12.5l4.5 4.5L19 7.5",
  no: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  home: "M4 11l8-7 8 7M6 10v10h12V10",
  again: "M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5",
  save: "M12 5v11M7.5 11.5 12 16l4.5-4.5M5 19h14",
};

export function icon(name) {
  const d = PATHS[name];
  return s("svg", { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.8", "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" }, s("path", { d }));
}

export function segments(name, label, choices, value, onchange) {
  return h("fieldset", {}, h("legend", { class: "visually-hidden" }, label),
    h("div", { class: "segments" }, choices.map(([key, text]) => h("label", {},
      h("input", { type: "radio", name, value: key, checked: key === value, onchange: () => onchange(key) }), h("span", {}, text)))));
}

export function choose(label, choices, value, onchange, extra = {}) {
  return h("label", { class: "field", ...extra }, h("span", {}, label),
    h("select", { onchange: (e) => onchange(e.target.value) },
      choices.map(([key, text]) => h("option", { value: key, selected: key === value }, text))));
}

export function numeric(label, value, onchange, extra = {}) {
  return h("label", { class: "field tiny" }, h("span", {}, label),
    h("input", { type: "number", value: value ?? "", onchange: (e) => onchange(e.target.value === "" ? null : Number(e.target.value)), ...extra }));
}

export function toast(text, bad = false) {
  const node = h("div", { class: bad ? "toast bad" : "toast" }, text);
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), bad ? 9000 : 4000);
}

export function download(name, blob) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 5000);
}

export const empty = (title, text, ...more) => h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, text), ...more);
export const spinner = (text) => h("div", { class: "row empty", role: "status" }, h("span", { class: "spinner" }), h("span", {}, text));
