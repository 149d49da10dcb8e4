"use strict";
// What every part of the page uses. html.py puts this file and page_*.js, each a block of its own, into one function.
const data = JSON.parse(document.getElementById("results").textContent);
const rowsIn = ({columns, rows}) => rows.map(row => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
const rows = rowsIn(data), derived = rowsIn(data.derived);
const $ = id => document.getElementById(id);
const chosen = name => Number(document.querySelector(`input[name=${name}]:checked`)?.value ?? 0);
const on = (name, what) => document.querySelectorAll(`input[name=${name}]`).forEach(i => i.addEventListener("change", what));
// As Python writes a number: an exact half goes to the even digit.
const fixed = (value, digits = 3) => {
  const half = Math.abs(value * 2 ** (digits + 1)) % 2 === 1;
  return (half ? 2 * Math.round(value * 10 ** digits / 2) / 10 ** digits : value).toFixed(digits);
};
const signed = (value, digits = 3) => {
  const rounded = Number(fixed(value, digits)) + 0;
  return (rounded < 0 ? "" : "+") + rounded.toFixed(digits);
};
const between = (low, high, digits) => `[${signed(low, digits)}, ${signed(high, digits)}]`;
const holm = p => p < 0.001 ? "Holm p < 0.001" : `Holm p = ${fixed(p, p < 0.0995 ? 3 : 2)}`;
// Names from files are looked up in maps alone: an object knows "constructor" and "toString" without having been told.
const means = new Map(Object.entries(data.means)), floorNames = new Map(Object.entries(data.floors));
const isMean = scope => means.has(scope);
const isFloor = row => floorNames.has(row.kind);
const words = (scope, setting) => {
  const pair = setting === "cross-lingual";
  return means.get(scope)?.[pair ? 1 : 0] ?? (pair ? scope.replace(">", " → ") : scope);
};
const rowsOf = (setting, measure, scope) =>
  rows.filter(row => row.setting === setting && row.measure === measure && row.scope === scope);
const options = (select, values, names) => {
  const before = select.value;
  select.replaceChildren(...values.map((value, i) => new Option(names[i], value)));
  if (values.includes(before)) select.value = before;
};

// --- drawing -------------------------------------------------------------------------------------------------------
const SHAPES = new Map(Object.entries({
  baseline: "M-5,-5H5V5H-5Z", superior: "M0,-7L7,5H-7Z", degraded: "M0,7L7,-5H-7Z", inconclusive: "M0,-7L7,0L0,7L-7,0Z",
  circle: "M-6,0A6,6 0 1 1 6,0A6,6 0 1 1 -6,0Z", missing: "M-5,-5L5,5M-5,5L5,-5",
}));
const shapeOf = name => SHAPES.get(name) ?? SHAPES.get("circle");
const add = (parent, tag, attributes, text) => {
  const made = document.createElementNS(parent.namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return parent.appendChild(made);
};
const hits = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
// Writes labels into a figure: each at the first of its places [x, y, anchor] that lies within the frame and covers
// neither a mark nor another label; where there is none it is left out, since the key says the same.
const labeller = (svg, frame, marks) => {
  const taken = [...marks];
  return (text, spots, style = "soft halo") => {
    const label = add(svg, "text", {class: style}, text);
    for (const [x, y, anchor] of spots) {
      for (const [name, value] of [["x", x], ["y", y], ["text-anchor", anchor]]) label.setAttribute(name, value);
      const box = label.getBBox(), inside = box.x >= frame.x && box.x + box.width <= frame.x + frame.width
        && box.y >= frame.y && box.y + box.height <= frame.y + frame.height;
      if (!inside || taken.some(other => hits(box, other))) continue;
      taken.push(box);
      return;
    }
    label.remove();
  };
};
const around = (x, y, size) => ({x: x - size / 2, y: y - size / 2, width: size, height: size});
// Left, right and in the middle of a level line, above it and below.
const along = (left, right, level) => [[left, "start"], [right, "end"], [(left + right) / 2, "middle"]]
  .flatMap(([x, anchor]) => [[x, level + 15, anchor], [x, level - 5, anchor]]);
const ticks = (low, high, most = 8) => {
  const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= raw);
  const first = Math.ceil(low / step - 1e-9), digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({length: Math.floor(high / step + 1e-9) - first + 1},
                    (_, i) => [(first + i) * step, fixed((first + i) * step + 0, digits)]);
};
// Pointing at a mark, focusing or touching it writes its text below the figure.
const tell = (mark, output, text) => {
  for (const event of ["mouseenter", "focus", "click"]) mark.addEventListener(event, () => { output.textContent = text; });
};
// A phone fires resize when its bars come and go: only another width asks for another drawing.
const onWidth = draw => {
  let before = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== before) draw();
    before = innerWidth;
  });
};
// One Tab stop for many marks or cells; the arrow keys move among them, `across` to a line.
const rove = (marks, across) => {
  marks.forEach((mark, i) => {
    mark.setAttribute("tabindex", i === 0 ? 0 : -1);
    mark.addEventListener("focus", () => marks.forEach(one => one.setAttribute("tabindex", one === mark ? 0 : -1)));
    mark.addEventListener("keydown", event => {
      const move = new Map([["ArrowRight", 1], ["ArrowLeft", -1], ["ArrowDown", across], ["ArrowUp", -across]]).get(event.key);
      if (!move) return;
      event.preventDefault();
      marks[i + move]?.focus();
    });
  });
};

// What one curve draws, as in curve.png: the mean at r = 0 plus the paired difference, with the 90 % interval of that
// difference; without r = 0 the plain mean with its 95 % interval. A planned ratio without a row is a gap.
const pointsOf = found => {
  const trained = found.filter(row => row.kind === "trained");
  const base = trained.find(row => row.ratio === 0);
  return data.ratios.map(ratio => {
    const row = trained.find(one => one.ratio === ratio);
    if (!row) return {ratio};
    if (!base) return {ratio, row, y: row.mean, low: row.low, high: row.high};
    if (row === base) return {ratio, row, y: row.mean, low: row.mean, high: row.mean};
    if (row.delta === null) return {ratio, row, y: row.mean, low: null, high: null};
    const edge = value => value === null ? null : base.mean + value;
    return {ratio, row, y: base.mean + row.delta, low: edge(row.delta_low_90), high: edge(row.delta_high_90)};
  });
};
const changed = (row, digits) => {
  if (row.packed) return `change to r = 0: ${signed(row.delta, digits)}, its interval is in results.csv`;
  const over = row.delta_interval === "crossed" ? "seeds and questions" : "questions only";
  const interval = row.delta_low_90 === null ? "no interval"
    : `90 % interval ${between(row.delta_low_90, row.delta_high_90, digits)} over ${over}`;
  return `change to r = 0: ${signed(row.delta, digits)}, ${interval}${row.p_holm === null ? "" : `; ${holm(row.p_holm)}`}`;
};
