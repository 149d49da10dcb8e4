// --- a small curve for each language -------------------------------------------------------------------------------
if ($("each-all")) {
  const WIDTH = 230, HEIGHT = 132, LEFT = 40, RIGHT = 8, TOP = 20, BOTTOM = 20;
  const scopes = [...new Set(rows.filter(row => row.setting === "monolingual").map(row => row.scope))].filter(s => !isMean(s));
  const parts = scopes.map(scope => {
    const found = rowsOf("monolingual", data.measure, scope).filter(row => row.kind === "trained");
    const zero = row => row.ratio === 0 ? 0 : null;
    return [scope, found.map(row => ({row, ratio: row.ratio, y: row.delta ?? zero(row),
                                      low: row.delta_low_90 ?? zero(row), high: row.delta_high_90 ?? zero(row)}))
                        .filter(point => point.y !== null)];
  });
  const values = parts.flatMap(([, points]) => points.flatMap(p => [p.y, p.low ?? p.y, p.high ?? p.y])).concat(-data.margin, 0);
  const air = 0.06 * (Math.max(...values) - Math.min(...values));
  const [low, high] = [Math.min(...values) - air, Math.max(...values) + air];
  const x = ratio => LEFT + ratio * (WIDTH - LEFT - RIGHT), y = value => TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);
  const marks = [];
  for (const [scope, points] of parts) {
    const svg = document.createElementNS($("curve").namespaceURI, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", scope);
    for (const [value, text] of ticks(low, high, 4)) {
      add(svg, "line", {class: value === 0 ? "grid zero" : "grid", x1: x(0), x2: x(1), y1: y(value), y2: y(value)});
      add(svg, "text", {class: "soft", x: LEFT - 5, y: y(value) + 4, "text-anchor": "end"}, text);
    }
    for (const ratio of [0, 0.5, 1])
      add(svg, "text", {class: "soft", x: x(ratio), y: HEIGHT - 5, "text-anchor": "middle"}, ratio);
    add(svg, "line", {class: "margin", x1: x(0), x2: x(1), y1: y(-data.margin), y2: y(-data.margin)});
    const unseen = data.trained.length && !data.trained.includes(scope) ? " (never trained on)" : "";
    add(svg, "text", {class: "title", x: LEFT, y: 13}, scope + unseen);
    for (let i = 0; i + 1 < points.length; i++) {
      const [a, b] = [points[i], points[i + 1]];
      if (data.ratios.some(ratio => ratio > a.ratio && ratio < b.ratio)) continue;  // a gap stays a gap
      add(svg, "line", {class: "path", x1: x(a.ratio), x2: x(b.ratio), y1: y(a.y), y2: y(b.y)});
      if ([a.low, b.low].includes(null)) continue;
      const corners = [[a.ratio, a.low], [b.ratio, b.low], [b.ratio, b.high], [a.ratio, a.high]];
      add(svg, "polygon", {class: "band", points: corners.map(([r, v]) => `${x(r)},${y(v)}`).join(" ")});
    }
    for (const {row, ratio, y: change} of points) {
      const values = row.delta === null ? "" : `; ${changed(row, 3)}; ${row.verdict}`;
      const text = `${scope}, r = ${ratio}: ${data.title} ${fixed(row.mean)}${values}.`;
      const mark = add(svg, "g", {class: "point", role: "img", "aria-label": text, "data-scope": scope, "data-ratio": ratio,
                                  "data-change": row.delta ?? 0, transform: `translate(${x(ratio)},${y(change)})`});
      const open = ["inconclusive", "untested"].includes(row.verdict);
      add(mark, "path", {class: open ? "mark hollow" : "mark", d: shapeOf(row.verdict), transform: "scale(.6)"});
      add(mark, "circle", {class: "hit", r: 9});
      tell(mark, $("each-readout"), text);
      marks.push(mark);
    }
    $("each-all").append(svg);
  }
  rove(marks, data.ratios.length);
  $("each-key").textContent = "▲ superior, ● non-inferior, ◇ inconclusive, ▼ degraded, ○ not tested (each language at 5 %).";
  $("each-readout").textContent = "Point at a marker, or reach it with Tab and the arrow keys, to read its values.";
}
