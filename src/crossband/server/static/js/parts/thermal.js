// Palette and range of temperatures, shared by the views.
import { choose, fill, h, numeric } from "../dom.js";
import { keep, PALETTES, state } from "../state.js";

export function thermalControls(onchange) {
  const ramp = h("div", { class: `ramp ${state.palette}` });
  const low = h("span", {}, "");
  const high = h("span", {}, "");
  const inputs = h("div", { class: "row" });
  const draw = () => fill(inputs, 
    choose("Palette", PALETTES, state.palette, (value) => {
      state.palette = value;
      keep("palette", value);
      ramp.className = `ramp ${value}`;
      onchange();
    }),
    numeric("From", state.range.low, (v) => { state.range.low = v; onchange(); }, { step: "any", placeholder: "auto" }),
    numeric("To", state.range.high, (v) => { state.range.high = v; onchange(); }, { step: "any", placeholder: "auto" }),
    h("button", { type: "button", class: "button quiet", onclick: () => { state.range = { low: null, high: null }; draw(); onchange(); } }, "Auto"));
  draw();
  const node = h("div", { class: "controls" }, inputs,
    h("div", { class: "legend" }, ramp, h("div", { class: "ends" }, low, high)));
  return {
    node,
    tell(about) {
      const unit = about?.unit === "celsius" ? " °C" : about?.unit === "counts" ? " counts" : "";
      low.textContent = about && about.low !== null && about.low !== undefined ? `${about.low.toFixed(1)}${unit}` : "";
      high.textContent = about && about.high !== null && about.high !== undefined ? `${about.high.toFixed(1)}${unit}` : "";
    },
  };
}

export const look = (size) => ({ palette: state.palette, low: state.range.low, high: state.range.high, size });
