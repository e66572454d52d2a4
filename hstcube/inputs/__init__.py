"""What people and files give: words, numbers, names, units, arrays, rows and cards, checked."""
