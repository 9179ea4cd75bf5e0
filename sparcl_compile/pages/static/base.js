// Elements, numbers and sections that all pages share. Names come from files of strangers: they become text, never markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}
const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const count = (number) => Math.round(number).toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(1)} %`;
function short(number) {
  const steps = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [unit, letter] = steps.find(([size]) => Math.abs(number) >= size) || [1, ""];
  const scaled = number / unit;
  return `${Number.isInteger(scaled) ? scaled : scaled.toPrecision(3)}${letter && ` ${letter}`}`;
}
const bytes = (number) => `${short(number)}B`.replace(/(\d)B$/, "$1 B");
const dash = (value, form) => (value === null || value === undefined ? "-" : form(value));

function tile(value, text) {
  return h("div", { class: "tile" }, h("b", {}, value), h("span", {}, text));
}
function factList(facts) {
  const shown = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined);
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
}
// A section with a card for each subject, side by side where the screen has the width. A `half` one shares its row with its
// neighbour where there is one subject only.
const half = (title, text, body) => section(title, text, body, "half");
function section(title, text, body, kind = "") {
  const named = DATA.subjects.length > 1;
  const cards = DATA.subjects.map((subject, index) => h("div", { class: "card" }, named ? h("h3", {}, subject.name) : null, body(subject, index)));
  return h("section", { class: named ? "" : kind }, h("h2", {}, title), text ? h("p", { class: "lead" }, text) : null, h("div", { class: named ? "pair" : "" }, cards));
}
function show(...sections) {
  document.getElementById("page").append(...sections);
}
// Buttons of which one is pressed; each value calls `chosen`.
function choice(label, values, first, chosen) {
  const buttons = values.map(([value, text]) => h("button", { type: "button", "aria-pressed": String(value === first), onclick: () => press(value) }, text));
  function press(value) {
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(values[index][0] === value)));
    chosen(value);
  }
  return h("span", { class: "group", role: "group", "aria-label": label }, buttons);
}
