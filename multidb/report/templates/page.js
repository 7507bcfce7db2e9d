"use strict";
// Sorts and filters the tables. Without it the page has everything, too.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];

  const sort = (column, heading) => {
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    const text = (row) => row.cells[column].textContent.trim();
    const compared = heading.hasAttribute("data-number")
      ? (a, b) => (parseFloat(text(a)) || 0) - (parseFloat(text(b)) || 0)
      : (a, b) => text(a).localeCompare(text(b));
    const rows = [...body.rows].sort((a, b) => (ascending ? compared(a, b) : compared(b, a)));
    headings.forEach((each) => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    body.append(...rows);
  };

  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => sort(column, heading));
    heading.replaceChildren(button);
  });

  const label = document.createElement("label");
  const input = document.createElement("input");
  label.className = "filter";
  input.type = "search";
  label.append("Filter", input);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  table.parentElement.before(label);
}
