// --- monolingual quality against what the ratio buys ---------------------------------------------------------------
if ($("front")) {
  const HEIGHT = 380, LEFT = 56, RIGHT = 24, TOP = 14, BOTTOM = 46;
  const percent = value => `${Math.round(100 * value)} %`;
  const digits3 = value => value.toLocaleString("en", {maximumSignificantDigits: 3, useGrouping: false});
  // No stronger than its interval: the words of in_words in tables.py.
  const inWords = row => row.value > 0
    ? (row.low !== null && row.low > 0 ? "a cost" : "a cost by the means; none is not excluded")
    : (row.high !== null && row.high <= 0 ? "no cost" : "no cost by the means; one is not excluded");
  const price = (row, view) => {
    if (!row) return "";
    if (row.value === null) return `; price: ${row.word}`;
    const [value, low, high] = [row.value, row.low, row.high].map(edge => edge === null ? "" : digits3(view.per * edge));
    const interval = low && high ? `, 95 % interval [${low}, ${high}]` : "";
    return `; price: ${value} monolingual points lost per ${view.unit}${interval} (${inWords(row)})`;
  };

  // Beside a mark at (x, y): right, left, above and below it.
  const beside = (x, y) => [[x + 10, y - 8, "start"], [x + 10, y + 17, "start"], [x - 10, y - 8, "end"], [x - 10, y + 17, "end"],
                            [x, y - 14, "middle"], [x, y + 24, "middle"], [x + 12, y + 4, "start"], [x - 12, y + 4, "end"]];

  const draw = () => {
    const view = data.against[chosen("against")], svg = $("front"), name = `${view.setting} ${view.measure}`;
    svg.replaceChildren();
    for (const part of document.querySelectorAll("div[data-against]")) part.hidden = part.dataset.against !== name;
    const mono = rowsOf("monolingual", data.measure, "macro"), other = rowsOf(view.setting, view.measure, "macro");
    const bought = pointsOf(other), base = mono.find(row => row.kind === "trained" && row.ratio === 0);
    const about = derived.filter(one => one.against === name);
    const points = pointsOf(mono).map((point, i) => ({...point, x: bought[i].y, there: bought[i].row}))
      .filter(point => point.row && point.there);
    const floors = mono.filter(isFloor)
      .map(row => ({row, y: row.mean, there: other.find(one => one.kind === row.kind)})).filter(one => one.there)
      .map(one => ({...one, x: one.there.mean}));
    const span = key => {
      const values = points.map(point => point[key]);
      if (key === "y" && base) values.push(base.mean - data.margin);
      if (!values.length) values.push(...floors.map(one => one[key]));
      const [low, high] = [Math.min(...values), Math.max(...values)], air = Math.max(0.12 * (high - low), 0.002);
      return [low - air, high + air];
    };
    const [left, right] = span("x"), [low, high] = span("y");
    const width = Math.max(svg.clientWidth || 720, 260);
    const x = value => LEFT + (value - left) / (right - left) * (width - LEFT - RIGHT);
    const y = value => TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const bottom = HEIGHT - BOTTOM;
    for (const [value, text] of ticks(low, high)) {
      add(svg, "line", {class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value)});
      add(svg, "text", {class: "soft", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end"}, text);
    }
    for (const [value, text] of ticks(left, right, width < 500 ? 4 : 8)) {
      add(svg, "line", {class: "grid", x1: x(value), x2: x(value), y1: TOP, y2: bottom});
      add(svg, "text", {class: "soft", x: x(value), y: bottom + 19, "text-anchor": "middle"}, text);
    }
    const better = view.more ? `${view.name} (better →)` : `${view.name} (← less, better)`;
    add(svg, "text", {x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 5, "text-anchor": "middle"}, better);
    const named = [];
    if (base) {
      const level = y(base.mean - data.margin);
      add(svg, "line", {class: "margin", x1: LEFT, x2: width - RIGHT, y1: level, y2: level});
      named.push([`tolerable loss: ${data.margin}${width < 460 ? "" : " below r = 0 (the margin)"}`, along(LEFT + 4, width - RIGHT - 4, level)]);
    }
    const frontOf = ratio => about.find(one => one.statistic === "front" && one.ratio === ratio);
    const front = points.filter(p => frontOf(p.ratio)?.by_means === "on the front").sort((a, b) => a.x - b.x);
    add(svg, "polyline", {class: "frontier", points: front.map(p => `${x(p.x)},${y(p.y)}`).join(" ")});
    const shown = [...points, ...floors.filter(one => one.x > left && one.x < right && one.y > low && one.y < high)];
    const write = labeller(svg, {x: LEFT, y: 0, width: width - LEFT, height: bottom}, shown.map(point => around(x(point.x), y(point.y), 16)));
    const marked = [];
    for (const point of shown) {
      const {row, there} = point, is = frontOf(point.ratio), label = floorNames.get(row.kind) ?? `r = ${point.ratio}`;
      const parts = [`${label}: monolingual ${data.title} ${fixed(row.mean)}, ${view.name} ${fixed(there.mean, view.digits)}`];
      if (is) {
        parts.push(`; by the means ${is.by_means}${is.value === null ? "" : `, in ${percent(is.value)} of the resamples`}; ${is.word}`);
        if (is.word === "dominated") parts.push(` by r = ${is.rival} (${holm(is.p_holm)})`);
      }
      parts.push(price(about.find(one => one.statistic === "price" && one.ratio === point.ratio), view));
      const text = `${parts.join("")}.`, at = {transform: `translate(${x(point.x)},${y(point.y)})`};
      const mark = add(svg, "g", {class: "point", role: "img", "aria-label": text, "data-ratio": point.ratio ?? row.kind,
                                  "data-x": there.mean, "data-y": row.mean, tabindex: 0, ...at});
      const on = is?.by_means === "on the front" && !isFloor(row);
      const shape = isFloor(row) ? "missing" : point.ratio === 0 ? "baseline" : "circle";
      add(mark, "path", {class: on ? "mark" : "mark hollow", d: shapeOf(shape)});
      const often = is && is.value !== null ? ` (${percent(is.value)})` : "";
      const short = `${floorNames.get(row.kind) ?? point.ratio}${often}`;
      marked.push([short, beside(x(point.x), y(point.y)), "halo"]);
      add(mark, "circle", {class: "hit", r: 13});
      tell(mark, $("front-readout"), text);
    }
    const corners = [[LEFT + 4, "start"], [width - RIGHT - 4, "end"]].flatMap(([at, anchor]) => [TOP + 10, bottom - 8].map(height => [at, height, anchor]));
    named.push([`↑ better monolingual ${data.title}`, corners]);
    for (const [text, spots] of [...marked, ...named]) write(text, spots, "halo");
    $("front-finding").textContent = view.finding || `Monolingual ${data.title} against ${view.name[0].toLowerCase()}${view.name.slice(1)}`;
    $("front-title").textContent = `Monolingual ${data.title} against ${view.name[0].toLowerCase()}${view.name.slice(1)}, means.`;
    const isTested = about.some(one => one.statistic === "front");
    $("front-key").textContent = (!isTested ? "Number: the share r. No front is drawn: it needs two shares, two questions and three seeds that have "
      + "every share." : "Number: the share r, and in how many resamples it is on the front. Filled, joined by a line: on "
      + "the front by the means; hollow: by the means another share is better in both. The table says what is shown.") + floors.map(({row, there}) =>
        ` ${floorNames.get(row.kind)}: ${fixed(row.mean)} and ${fixed(there.mean, view.digits)}.`).join("");
    $("front-readout").textContent = "Point at a marker, or reach it with the Tab key, to read its values.";
  };
  on("against", draw);
  onWidth(draw);
  draw();
}
