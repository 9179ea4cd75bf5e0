// Bars, lines and heat maps.
const HUES = [215, 24, 152, 275, 45, 340, 185, 95, 255, 5];
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
const lineColour = (index) => `hsl(${HUES[index % HUES.length]} 62% var(--lightness))`;

// Rows of bars: { name, value, behind, text }; `behind` is a paler bar for comparison, all of one scale.
function bars(rows, most = Math.max(...rows.map((row) => Math.max(row.value, row.behind || 0)), 1e-12)) {
  const width = (value) => `width:${((100 * value) / most).toFixed(2)}%`;
  return h("div", {}, rows.map((row) => h("div", { class: "bar-row" },
    h("span", { class: "name", title: row.name }, row.name),
    h("span", { class: "track" },
      row.behind === undefined ? null : h("i", { class: "behind", style: width(row.behind) }),
      h("i", { style: width(row.value) })),
    h("span", { class: "value" }, row.text))));
}

function ticks(low, high, wanted = 4) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

// Lines: series of { name, points: [[x, y]] }; marks are x at which something begins, with texts.
function lines({ series, x, y, low, high, marks = [], whole = false }) {
  const points = series.flatMap((one) => one.points).filter(([, value]) => value !== null);
  if (!points.length) return h("p", { class: "soft" }, "Nothing was recorded.");
  const xs = points.map(([at]) => at), ys = points.map(([, value]) => value);
  const [left, right] = [Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1e-9)];
  const bottom = low ?? Math.min(...ys), top = Math.max(high ?? Math.max(...ys), bottom + 1e-9);
  const box = { left: 46, right: 12, top: 18, bottom: 34, width: innerWidth < 560 ? 350 : 540, height: 240 };
  const px = (at) => box.left + ((at - left) / (right - left)) * (box.width - box.left - box.right);
  const py = (value) => box.height - box.bottom - ((value - bottom) / (top - bottom)) * (box.height - box.top - box.bottom);
  const xTicks = ticks(left, right, 6).filter((at) => !whole || Number.isInteger(at));
  const begun = marks.filter(([at]) => at >= left && at < right);
  const crowded = begun.some(([at], index) => index && px(at) - px(begun[index - 1][0]) < 44);
  const drawn = s("svg", { class: "chart", viewBox: `0 0 ${box.width} ${box.height}`, role: "img", "aria-label": `${y} by ${x}` },
    ticks(bottom, top).map((value) => [
      s("line", { class: "axis", x1: box.left, x2: box.width - box.right, y1: py(value), y2: py(value) }),
      s("text", { x: box.left - 6, y: py(value) + 4, "text-anchor": "end" }, short(value))]),
    xTicks.map((at) => s("text", { x: px(at), y: box.height - box.bottom + 16, "text-anchor": "middle" }, short(at))),
    begun.map(([at, text]) => [
      s("line", { class: "mark", x1: px(at), x2: px(at), y1: box.top, y2: box.height - box.bottom }),
      s("text", { x: px(at) + 4, y: box.top - 5 }, crowded ? text.replace(/^\D+/, "") : text)]),
    s("text", { x: (box.left + box.width - box.right) / 2, y: box.height - 4, "text-anchor": "middle" }, x),
    series.map((one, index) => drawLine(one, one.colour || lineColour(index), px, py)));
  const legend = series.length > 1 ? h("div", { class: "legend" }, series.map((one, index) =>
    h("span", {}, h("i", { class: "dot", style: `background:${one.colour || lineColour(index)}` }), one.name))) : null;
  return h("div", {}, drawn, legend);
}
function drawLine(one, colour, px, py) {
  const known = one.points.filter(([, value]) => value !== null);
  const path = known.map(([at, value], index) => `${index ? "L" : "M"}${px(at).toFixed(1)} ${py(value).toFixed(1)}`).join("");
  const few = known.length < 40;
  return [s("path", { d: path, style: `fill:none;stroke:${colour};stroke-width:${one.thick ? 3 : 1.8};stroke-linejoin:round` }),
    few ? known.map(([at, value]) => s("circle", { cx: px(at), cy: py(value), r: 2.6, style: `fill:${colour}` },
      s("title", {}, `${one.name}: ${short(value)} at ${short(at)}`))) : []];
}

// A heat map between two values: rows and columns with names; `tight` has no numbers in the cells.
function heat({ rows, columns, values, form, least = 0, most, tight = false, corner = "" }) {
  const shade = (value) => Math.max(0, Math.min(1, (value - least) / (most - least)));
  const style = (value) => `background:color-mix(in srgb, var(--ink) ${Math.round(6 + 82 * shade(value))}%, var(--card));` +
    `color:${shade(value) > (dark ? 0.7 : 0.85) ? "var(--back)" : "var(--text)"}`;
  const cell = (value, title) => value === null || value === undefined ? h("td") :
    h("td", { class: tight ? "cell tight" : "cell", style: style(value), title: `${title}: ${form(value)}` }, tight ? "" : form(value));
  const head = h("thead", {}, h("tr", {}, h("th", {}, corner), columns.map((name) => h("th", {}, name))));
  const body = h("tbody", {}, rows.map((name, row) => h("tr", {}, h("th", { title: name }, name),
    columns.map((column, index) => cell(values[row][index], `${name}, ${column || index + 1}`)))));
  return h("div", { class: "scroll" }, h("table", { class: "heat" }, head, body));
}
