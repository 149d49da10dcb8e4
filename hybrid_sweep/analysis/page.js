"use strict";
(() => {
  const data = JSON.parse(document.getElementById("results").textContent);
  const rows = data.rows.map(row => Object.fromEntries(data.columns.map((name, i) => [name, row[i]])));
  const $ = id => document.getElementById(id);
  const chosen = name => Number(document.querySelector(`input[name=${name}]:checked`)?.value ?? 0);
  const on = (name, what) => document.querySelectorAll(`input[name=${name}]`).forEach(i => i.addEventListener("change", what));
  const fixed = (value, digits = 3) => value.toFixed(digits).replace("-", "\u2212");
  const signed = (value, digits) => (Number(value.toFixed(digits)) < 0 ? "" : "+") + fixed(Number(value.toFixed(digits)) + 0, digits);
  const words = scope => scope === "macro" ? "mean of languages" : scope.replace(">", " → ");
  const rowsOf = (setting, measure, scope) =>
    rows.filter(row => row.setting === setting && row.measure === measure && row.scope === scope);
  const options = (select, values, names) => {
    const before = select.value;
    select.replaceChildren(...values.map((value, i) => new Option(names[i], value)));
    if (values.includes(before)) select.value = before;
  };

  // --- the curve ---------------------------------------------------------------------------------------------------
  const SHAPES = {
    baseline: "M-5,-5H5V5H-5Z", superior: "M0,-7L7,5H-7Z", degraded: "M0,7L7,-5H-7Z", inconclusive: "M0,-7L7,0L0,7L-7,0Z",
    circle: "M-6,0A6,6 0 1 1 6,0A6,6 0 1 1 -6,0Z", missing: "M-5,-5L5,5M-5,5L5,-5",
  };
  const HEIGHT = 330, LEFT = 52, RIGHT = 16, TOP = 14, BOTTOM = 46, FLOORS = {untrained: "Untrained encoder", bm25: "BM25"};
  const add = (parent, tag, attributes, text) => {
    const made = document.createElementNS(parent.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return parent.appendChild(made);
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

  const told = (point, view) => {
    const {row, ratio} = point, digits = view.digits;
    if (!row) return `r = ${ratio}: missing, no point is finished.`;
    const parts = [`r = ${ratio}: ${view.name}, ${words(row.scope)}: ${fixed(row.mean, digits)}`];
    if (row.delta !== null) {
      const over = row.delta_interval === "crossed" ? "seeds and questions" : "questions only";
      const interval = row.delta_low_90 === null ? "no interval"
        : `90 % interval [${signed(row.delta_low_90, digits)}, ${signed(row.delta_high_90, digits)}] over ${over}`;
      parts.push(`change to r = 0: ${signed(row.delta, digits)}, ${interval}`);
      if (row.p_holm !== null) parts.push(row.p_holm < 0.001 ? "Holm p < 0.001" : `Holm p = ${row.p_holm.toFixed(3)}`);
    } else if (row.low !== null) {
      parts.push(`95 % interval [${fixed(row.low, digits)}, ${fixed(row.high, digits)}]`);
    }
    if (row.verdict) parts.push(row.verdict);
    const partial = row.status === "partial" ? ", others missing" : "";
    return `${parts.join("; ")}; seeds ${row.seeds.replaceAll(" ", ", ")}${partial}; ${row.n_questions} questions.`;
  };

  const ticks = (low, high) => {
    const raw = (high - low) / 8, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= raw);
    const first = Math.ceil(low / step - 1e-9);
    return Array.from({length: Math.floor(high / step + 1e-9) - first + 1}, (_, i) => [(first + i) * step, step]);
  };

  const curve = () => {
    const view = data.views[chosen("view")], svg = $("curve");
    svg.replaceChildren();
    if (!view) return;
    const scopes = [...new Set(rows.filter(r => r.setting === view.setting && r.measure === view.measure).map(r => r.scope))];
    options($("scope"), scopes, scopes.map(words));
    const found = rowsOf(view.setting, view.measure, $("scope").value), points = pointsOf(found);
    const tested = view.setting === "monolingual", base = points.find(p => p.ratio === 0 && p.row);
    const floors = found.filter(row => row.kind in FLOORS);
    const values = points.filter(p => p.row).flatMap(p => [p.y, p.low ?? p.y, p.high ?? p.y]);
    if (tested && base) values.push(base.y - data.margin);
    if (!values.length) values.push(...floors.map(row => row.mean));
    let low = values.length ? Math.min(...values) : 0, high = values.length ? Math.max(...values) : 1;
    const room = (high - low) / 4, near = floors.filter(row => row.mean > low - room && row.mean < high + room);
    for (const {mean} of near) [low, high] = [Math.min(low, mean), Math.max(high, mean)];
    const air = Math.max(0.1 * (high - low), 0.002);
    [low, high] = [low - air, high + air];
    const width = Math.max(svg.clientWidth || 720, 260);
    const x = ratio => LEFT + ratio * (width - LEFT - RIGHT);
    const y = value => TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    for (const [value, step] of ticks(low, high)) {
      add(svg, "line", {class: "grid", x1: x(0), x2: x(1), y1: y(value), y2: y(value)});
      const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
      add(svg, "text", {class: "soft", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end"}, fixed(value, digits));
    }
    for (const ratio of [0, 0.25, 0.5, 0.75, 1])
      add(svg, "text", {class: "soft", x: x(ratio), y: HEIGHT - BOTTOM + 20, "text-anchor": "middle"}, ratio);
    add(svg, "text", {x: x(0.5), y: HEIGHT - 6, "text-anchor": "middle"}, "share r of cross-lingual training batches");
    if (tested && base) {
      const level = y(base.y - data.margin);
      add(svg, "line", {class: "margin", x1: x(0), x2: x(1), y1: level, y2: level});
      add(svg, "text", {x: x(0) + 4, y: level + 15}, `r = 0 minus the margin of ${data.margin}`);
    }
    for (const {kind, mean} of near) {
      add(svg, "line", {class: kind, x1: x(0), x2: x(1), y1: y(mean), y2: y(mean)});
      const [end, anchor] = kind === "bm25" ? [0, "start"] : [1, "end"];
      add(svg, "text", {class: "soft", x: x(end), y: y(mean) - 4, "text-anchor": anchor}, FLOORS[kind]);
    }
    for (let i = 0; i + 1 < points.length; i++) {
      const [a, b] = [points[i], points[i + 1]];
      if (!a.row || !b.row) continue;
      add(svg, "line", {class: "path", x1: x(a.ratio), x2: x(b.ratio), y1: y(a.y), y2: y(b.y)});
      if ([a.low, b.low].includes(null)) continue;
      const corners = [[a.ratio, a.low], [b.ratio, b.low], [b.ratio, b.high], [a.ratio, a.high]];
      add(svg, "polygon", {class: "band", points: corners.map(([r, v]) => `${x(r)},${y(v)}`).join(" ")});
    }
    for (const point of points) {
      const {row, ratio} = point, text = told(point, view);
      const level = row ? y(point.y) : HEIGHT - BOTTOM - 8;
      const place = {class: "point", tabindex: 0, role: "img", transform: `translate(${x(ratio)},${level})`};
      const mark = add(svg, "g", {...place, "aria-label": text, "data-ratio": ratio, "data-mean": row?.mean ?? "missing"});
      const different = tested ? !["inconclusive", "untested"].includes(row?.verdict) : ratio === 0 || row?.p_holm < 0.05;
      const shape = !row ? "missing" : tested ? row.verdict : ratio === 0 ? "baseline" : "circle";
      add(mark, "path", {class: different && row ? "mark" : "mark hollow", d: SHAPES[shape] ?? SHAPES.circle});
      if (!row) add(mark, "text", {y: -10, "text-anchor": "middle"}, "missing");
      add(mark, "circle", {class: "hit", r: 13});
      for (const event of ["mouseenter", "focus", "click"]) mark.addEventListener(event, () => { $("readout").textContent = text; });
    }
    $("curve-title").textContent = `${view.name}, ${words($("scope").value)}.`;
    const weak = points.some(p => p.row?.delta_interval === "conditional");
    const band = !base ? "95 % interval of the mean"
      : `90 % interval of the change to r = 0, over ${weak ? "questions only (too few seeds)" : "seeds and questions"}`;
    const marks = tested ? " ■ r = 0, ▲ superior, ● non-inferior, ◇ inconclusive, ▼ degraded, ○ not tested."
      : weak || !base ? "" : " Filled marker: differs from r = 0 (5 %, Holm).";
    $("key").textContent = `Band: ${band}.${marks}`
      + floors.map(row => ` ${FLOORS[row.kind]}: ${fixed(row.mean, view.digits)}.`).join("");
    $("readout").textContent = "Point at a marker, or reach it with the Tab key, to read its values.";
  };
  on("view", curve);
  $("scope").addEventListener("change", curve);
  addEventListener("resize", curve);
  curve();

  // --- language pairs ----------------------------------------------------------------------------------------------
  const heat = () => {
    const which = $("ratio").value, change = chosen("heat") === 1, column = change ? "delta" : "mean";
    const all = rows.filter(row => row.measure === "RR@10" && row.scope !== "macro" && row.setting !== "multilingual");
    const most = Math.max(1e-9, ...all.map(row => Math.abs(row[column] ?? 0)));  // one scale for all ratios
    const cells = new Map(all.filter(row => String(row.ratio ?? row.kind) === which).map(row => [row.scope, row]));
    const names = [...new Set(all.flatMap(row => row.scope.split(">")))].sort();
    const table = $("heat"), head = table.createTHead().rows[0] ?? table.tHead.insertRow();
    const th = (text, scope) => Object.assign(document.createElement("th"), {textContent: text, scope});
    head.replaceChildren(th("question \\ passage", "col"), ...names.map(name => th(name, "col")));
    const body = table.tBodies[0] ?? table.createTBody();
    body.replaceChildren(...names.map(query => {
      const line = document.createElement("tr");
      line.append(th(query, "row"), ...names.map(passage => {
        const cell = document.createElement("td"), row = cells.get(query === passage ? query : `${query}>${passage}`);
        const value = row?.[column] ?? null;
        if (query === passage) cell.className = "same";
        if (value === null) return Object.assign(cell, {textContent: "–"});
        cell.textContent = change ? signed(value, 3) : fixed(value);
        cell.dataset.value = value;
        const share = Math.round(100 * Math.abs(value) / most);
        cell.style.background = `color-mix(in oklab, var(${value < 0 ? "--less" : "--more"}) ${share}%, var(--card))`;
        return cell;
      }));
      return line;
    }));
  };
  if ($("heat")) {
    const lines = [...data.ratios.map(String), ...Object.keys(FLOORS).filter(kind => rows.some(row => row.kind === kind))];
    options($("ratio"), lines, lines.map(line => FLOORS[line] ?? line));
    $("ratio").addEventListener("change", heat);
    on("heat", heat);
    heat();
  }

  // --- sortable tables ---------------------------------------------------------------------------------------------
  const key = row => column => {
    const cell = row.cells[column], text = cell.textContent.trim();
    return {text, number: Number.parseFloat(cell.dataset.value ?? text.replaceAll(",", "")), empty: text === ""};
  };
  const compare = (a, b, sign) => a.empty !== b.empty ? (a.empty ? 1 : -1)
    : Number.isNaN(a.number) !== Number.isNaN(b.number) ? (Number.isNaN(a.number) ? 1 : -1)
    : sign * (Number.isNaN(a.number) ? a.text.localeCompare(b.text) : a.number - b.number);
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => head.firstChild.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => compare(key(a)(column), key(b)(column), sign)));
    }));
  }
})();
