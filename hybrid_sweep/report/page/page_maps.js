// --- maps: language pairs at a ratio, languages over the ratios ----------------------------------------------------
{
  const th = (text, scope) => Object.assign(document.createElement("th"), {textContent: text, scope});

  // Fills a table: `lines` are [name, [row or undefined, ...]], `most` is the value with the full colour.
  const fill = (table, output, head, lines, {column, digits, least = 0, most, name, same}) => {
    const top = table.createTHead();
    (top.rows[0] ?? top.insertRow()).replaceChildren(...head.map(text => th(text, "col")));
    const marks = [];
    const made = lines.map(([title, found]) => {
      const line = document.createElement("tr");
      line.append(th(title, "row"), ...found.map((row, i) => {
        const cell = document.createElement("td"), value = row?.[column] ?? null;
        marks.push(cell);
        if (same && head[i + 1] === title) cell.className = "same";
        cell.textContent = value === null ? "–" : column === "delta" ? signed(value, digits) : fixed(value, digits);
        const what = row ? `${name(row)}: ${fixed(row.mean, digits)}` : `${title}, ${head[i + 1]}: no value`;
        const level = row && isFloor(row) ? floorNames.get(row.kind) : `r = ${row?.ratio}`;
        const change = row && row.delta !== null ? `; ${changed(row, digits)}` : "";
        tell(cell, output, row ? `${level}, ${what}${change}.` : `${what}.`);
        if (value === null) return cell;
        cell.dataset.value = value;
        const share = Math.round(100 * (Math.abs(value) - least) / (most - least || 1));
        cell.style.background = `color-mix(in oklab, var(${value < 0 ? "--less" : "--more"}) ${share}%, var(--card))`;
        return cell;
      }));
      return line;
    });
    (table.tBodies[0] ?? table.createTBody()).replaceChildren(...made);
    rove(marks, head.length - 1);
    output.textContent = "Point at a cell, or reach it with Tab and the arrow keys, to read its values.";
  };
  const level = row => String(row.ratio ?? row.kind);
  const lines = [...data.ratios.map(String), ...[...floorNames.keys()].filter(kind => rows.some(row => row.kind === kind))];
  const named = line => floorNames.get(line) ?? line;
  const largest = found => found.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);

  // Of many languages the page has matrices in thousandths instead of the rows of each pair.
  const unpacked = ({names, levels}) => levels.flatMap(({level, mean, delta}) => mean.map((value, i) => {
    const [query, passage] = [names[Math.floor(i / names.length)], names[i % names.length]], alone = query === passage;
    const at = typeof level === "string" ? {kind: level, ratio: null} : {kind: "trained", ratio: level};
    const change = delta[i] === null ? null : delta[i] / 1000;
    return value === null ? null : {...at, packed: true, measure: data.measure, setting: alone ? "monolingual" : "cross-lingual",
      scope: alone ? query : `${query}>${passage}`, mean: value / 1000, delta: change};
  })).filter(row => row);
  const ofPairs = data.pairs ? unpacked(data.pairs) : rows;

  const pairs = () => {
    const column = chosen("heat") === 1 ? "delta" : "mean";
    const all = ofPairs.filter(row => row.measure === data.measure && row.setting && !isMean(row.scope) && row.setting !== "multilingual");
    const cells = new Map(all.filter(row => level(row) === $("ratio").value).map(row => [row.scope, row]));
    const alone = all.filter(row => row.setting === "monolingual").map(row => row.scope);
    const names = [...new Set(alone.length ? alone : all.flatMap(row => row.scope.split(">")))].sort();
    const row = query => names.map(passage => cells.get(query === passage ? query : `${query}>${passage}`));
    fill($("heat"), $("heat-readout"), ["question \\ passage", ...names], names.map(query => [query, row(query)]), {
      column, digits: 3, most: largest(all.map(row => row[column] ?? 0)), same: true,  // one scale for all ratios
      name: row => `${data.title}, ${words(row.scope, row.setting)}`,
    });
  };
  if ($("heat")) {
    options($("ratio"), lines, lines.map(named));
    $("ratio").addEventListener("change", pairs);
    on("heat", pairs);
    pairs();
  }

  const bias = () => {
    $("bias-finding").textContent = data.bias[Number($("bias-view").value)].finding || data.bias[Number($("bias-view").value)].name;
    const view = data.bias[Number($("bias-view").value)], column = chosen("bias-value") === 1 ? "delta" : "mean";
    const all = rows.filter(row => row.setting === view.setting && row.measure === view.measure && row.scope);
    const names = [...new Set(all.map(row => row.scope))];
    const at = scope => lines.map(line => all.find(row => row.scope === scope && level(row) === line));
    const values = all.map(row => row[column]).filter(value => value !== null);
    fill($("bias-map"), $("bias-readout"), ["question", ...lines.map(named)], names.map(scope => [words(scope), at(scope)]), {
      column, digits: view.digits, most: largest(values), least: column === "delta" ? 0 : 0.8 * Math.min(...values),
      name: row => `${view.name}, ${words(row.scope)}`,
    });
  };
  if ($("bias-map")) {
    $("bias-view").addEventListener("change", bias);
    on("bias-value", bias);
    bias();
  }
}
