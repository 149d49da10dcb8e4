// --- the curve -----------------------------------------------------------------------------------------------------
{
  const HEIGHT = 312, LEFT = 52, RIGHT = 22, TOP = 12, BOTTOM = 44;

  const BIAS = new Set(["same@10", "RD"]);

  const PLAIN = new Map([["superior", "gains (superior)"], ["non-inferior", "holds (non-inferior)"],
                         ["inconclusive", "open (inconclusive)"], ["degraded", "loses (degraded)"], ["untested", "not tested"]]);

  const told = (point, view, fit, whole) => {
    const {row, ratio} = point, digits = view.digits;
    if (!row) return `r = ${ratio}: missing, no point is finished.`;
    const parts = [`r = ${ratio}: ${view.name}, ${words(row.scope, row.setting)}: ${fixed(row.mean, digits)}`];
    if (row.delta !== null) parts.push(changed(row, digits));
    else if (row.low !== null) parts.push(`95 % interval [${fixed(row.low, digits)}, ${fixed(row.high, digits)}]`);
    if (row.verdict) parts.push(row.verdict);
    if (row.delta !== null) parts.push(`questions won ${row.won}, tied ${row.tied}, lost ${row.lost}`);
    if (fit) parts.push(`fitted change ${signed(fit.value, digits)}, 95 % band ${between(fit.low, fit.high, digits)}`);
    if (whole) parts.push(`95 % band over all shares at once ${between(whole.low, whole.high, digits)}`);
    const partial = row.status === "partial" ? ", others missing" : "";
    return `${parts.join("; ")}; seeds ${row.seeds.replaceAll(" ", ", ")}${partial}; ${row.n_questions} questions.`;
  };

  // The shape of this curve in words: its slope, and whether it turns.
  const shaped = (about, digits) => {
    const slope = about.find(one => one.statistic === "slope"), turn = about.find(one => one.statistic === "reversal");
    const parts = [];
    if (slope) {
      const interval = slope.low === null ? "" : `, 95 % interval ${between(slope.low, slope.high, digits)}`;
      parts.push(`Slope per unit of r: ${signed(slope.value, digits)}${interval}: ${slope.word}.`);
    }
    if (turn) parts.push(`${turn.word[0].toUpperCase()}${turn.word.slice(1)}.`);
    return parts.join(" ");
  };

  const draw = () => {
    const view = data.views[Number($("view").value)], svg = $("curve");
    svg.replaceChildren();
    if (!view) return;
    const scopes = [...new Set(rows.filter(r => r.setting === view.setting && r.measure === view.measure).map(r => r.scope))];
    options($("scope"), scopes, scopes.map(scope => words(scope, view.setting)));
    const scope = $("scope").value, found = rowsOf(view.setting, view.measure, scope), points = pointsOf(found);
    const about = derived.filter(one => one.setting === view.setting && one.measure === view.measure && one.scope === scope);
    const tested = view.setting === "monolingual", base = points.find(p => p.ratio === 0 && p.row);
    const fits = base ? about.filter(one => one.statistic === "isotonic" && one.value !== null) : [];
    const fit = $("shape").checked ? fits : [];
    const whole = base ? about.filter(one => one.statistic === "band" && one.low !== null) : [];
    $("shape").disabled = fits.length < 2;
    const floors = found.filter(isFloor);
    const values = points.filter(p => p.row).flatMap(p => [p.y, p.low ?? p.y, p.high ?? p.y]);
    for (const one of whole) values.push(base.y + one.low, base.y + one.high);
    for (const one of fit) values.push(...[one.value, one.low, one.high].filter(v => v !== null).map(v => base.y + v));
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
    for (const [value, text] of ticks(low, high)) {
      add(svg, "line", {class: "grid", x1: x(0), x2: x(1), y1: y(value), y2: y(value)});
      add(svg, "text", {class: "soft", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end"}, text);
    }
    for (const ratio of [0, 0.25, 0.5, 0.75, 1])
      add(svg, "text", {class: "soft", x: x(ratio), y: HEIGHT - BOTTOM + 20, "text-anchor": "middle"}, ratio);
    add(svg, "text", {x: x(0.5), y: HEIGHT - 5, "text-anchor": "middle"}, "share r of cross-lingual training batches");
    const named = [], verdicts = [];  // labels, the first ones first
    if (tested && base) {
      const level = y(base.y - data.margin);
      add(svg, "line", {class: "margin", x1: x(0), x2: x(1), y1: level, y2: level});
      named.push([`tolerable loss: ${data.margin}${width < 460 ? "" : " below r = 0 (the margin)"}`, along(x(0) + 4, x(1) - 4, level), "halo"]);
    }
    if (tested && scope === "macro" && data.best !== null) {
      add(svg, "line", {class: "best", x1: x(data.best), x2: x(data.best), y1: TOP, y2: HEIGHT - BOTTOM});
      const side = data.best > 0.5 ? "end" : "start";
      const text = `r = ${data.best}${width < 460 ? " holds" : ": largest share shown to hold"}`, at = x(data.best) + (side === "end" ? -6 : 6);
      named.push([text, [TOP + 12, TOP + 28, HEIGHT - BOTTOM - 8, HEIGHT - BOTTOM - 24].map(height => [at, height, side]), "halo"]);
    }
    for (const {kind, mean} of near) {
      add(svg, "line", {class: kind, x1: x(0), x2: x(1), y1: y(mean), y2: y(mean)});
      named.push([floorNames.get(kind), along(x(0) + 4, x(1) - 4, y(mean)), "soft halo"]);
    }
    for (let i = 0; i + 1 < points.length; i++) {
      const [a, b] = [points[i], points[i + 1]];
      if (!a.row || !b.row) continue;
      add(svg, "line", {class: "path", x1: x(a.ratio), x2: x(b.ratio), y1: y(a.y), y2: y(b.y)});
      if ([a.low, b.low].includes(null)) continue;
      const corners = [[a.ratio, a.low], [b.ratio, b.low], [b.ratio, b.high], [a.ratio, a.high]];
      add(svg, "polygon", {class: "band", points: corners.map(([r, v]) => `${x(r)},${y(v)}`).join(" ")});
    }
    const widest = points.filter(p => p.row && p.ratio > 0 && p.ratio < 1 && p.low !== null)
      .sort((a, b) => b.high - b.low - a.high + a.low)[0];
    if (widest && y(widest.low) - y(widest.high) > 40 && width >= 460) {
      const name = base ? "band: 90 % interval of the change" : "band: 95 % interval";
      const spots = [[8, "start"], [-8, "end"]].flatMap(([step, anchor]) =>
        [y(widest.high) + 18, y(widest.low) - 8].map(height => [x(widest.ratio) + step, height, anchor]));
      named.push([name, spots, "soft halo"]);
    }
    for (const side of whole.length > 1 ? ["low", "high"] : []) {
      const line = whole.map(one => `${x(one.ratio)},${y(base.y + one[side])}`).join(" ");
      add(svg, "polyline", {class: "whole", points: line, "data-side": side});
    }
    for (const side of fit.length > 1 ? ["low", "high", "value"] : []) {
      const known = fit.filter(one => one[side] !== null);
      const line = known.map(one => `${x(one.ratio)},${y(base.y + one[side])}`).join(" ");
      add(svg, "polyline", {class: side === "value" ? "fit" : "fit edge", points: line, "data-side": side});
    }
    for (const point of points) {
      const {row, ratio} = point, text = told(point, view, fit.find(one => one.ratio === ratio), whole.find(one => one.ratio === ratio && ratio > 0));
      const level = row ? y(point.y) : HEIGHT - BOTTOM - 8;
      const place = {class: "point", tabindex: 0, role: "img", transform: `translate(${x(ratio)},${level})`};
      const mark = add(svg, "g", {...place, "aria-label": text, "data-ratio": ratio, "data-mean": row?.mean ?? "missing"});
      const different = tested ? !["inconclusive", "untested"].includes(row?.verdict) : ratio === 0 || (row?.p_holm ?? 1) < 0.05;
      const shape = !row ? "missing" : tested ? row.verdict : ratio === 0 ? "baseline" : "circle";
      add(mark, "path", {class: different && row ? "mark" : "mark hollow", d: shapeOf(shape)});
      if (!row) add(mark, "text", {y: -10, "text-anchor": "middle"}, "missing");
      const before = points[points.indexOf(point) - 1]?.row?.verdict;
      if (row && tested && row.verdict !== before)
        verdicts.push([PLAIN.get(row.verdict) ?? "", ["middle", "end", "start"].flatMap(anchor =>
          [24, -14, 40, -30].map(step => [x(ratio), level + step, anchor])), "halo"]);
      add(mark, "circle", {class: "hit", r: 13});
      tell(mark, $("readout"), text);
    }
    $("curve-finding").textContent = scope === "macro" && view.finding || `${view.name}, ${words(scope, view.setting)}`;
    $("curve-title").textContent = `${view.name}, ${words(scope, view.setting)}.`;
    const better = [[x(0) + 4, "start"], [x(1) - 4, "end"]].flatMap(([at, anchor]) => [TOP + 12, HEIGHT - BOTTOM - 8].map(height => [at, height, anchor]));
    named.push([BIAS.has(view.measure) ? "↓ less bias" : "↑ better", better, "soft halo"]);
    const boxes = points.map(point => around(x(point.ratio), point.row ? y(point.y) : HEIGHT - BOTTOM - 8, 16));
    const label = labeller(svg, {x: LEFT, y: 0, width: width - LEFT, height: HEIGHT - BOTTOM}, boxes);
    for (const parts of [...verdicts, ...named]) label(...parts);
    const weak = points.some(p => p.row?.delta_interval === "conditional");
    const band = !base ? "95 % interval of the mean"
      : `90 % interval of the change to r = 0, over ${weak ? "questions only (too few seeds)" : "seeds and questions"}`;
    const marks = tested ? " ■ r = 0, ▲ superior, ● non-inferior (loses less than the margin), ◇ inconclusive, ▼ degraded, ○ not tested."
      : weak || !base ? "" : " Filled marker: differs from r = 0 (5 %, Holm).";
    const dashed = fit.length > 1 ? ` Dash-dotted: isotonic fit (${fit[0].word}) with its 95 % band.` : "";
    const dotted = whole.length > 1 ? " Dotted: 95 % band that holds the whole curve." : "";
    $("key").textContent = `Band: ${band}.${dotted}${marks}${dashed} ${shaped(about, view.digits)}`
      + floors.map(row => ` ${floorNames.get(row.kind)}: ${fixed(row.mean, view.digits)}.`).join("");
    $("readout").textContent = "Point at a marker, or reach it with the Tab key, to read its values.";
  };
  for (const name of ["view", "scope", "shape"]) $(name).addEventListener("change", draw);
  onWidth(draw);
  draw();
}
