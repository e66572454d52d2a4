"use strict";
(() => {
  const table = document.getElementById("fields"), body = table.tBodies[0];
  const heads = [...table.querySelectorAll("thead th")];

  function compare(one, other) {
    const numbers = [one, other].map(Number);
    if (one !== "" && other !== "" && numbers.every(Number.isFinite)) return numbers[0] - numbers[1];
    return one.localeCompare(other, "en", { numeric: true });
  }

  function sort(head, column) {
    const falling = head.getAttribute("aria-sort") !== "descending";
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value;
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      if ((a === "") !== (b === "")) return a === "" ? 1 : -1;
      return falling ? compare(b, a) : compare(a, b);
    });
    body.append(...rows);
  }

  heads.forEach((head) => head.querySelector("button").addEventListener("click", () => sort(head, head.cellIndex)));
  document.documentElement.dataset.ready = "yes";
})();
