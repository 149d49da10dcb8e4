// --- sortable tables -----------------------------------------------------------------------------------------------
{
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
}
