"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const D = JSON.parse($("data").textContent);
  const { nx, ny, bands } = D;
  const N = nx * ny;

  async function planes(text, size) {
    const letters = atob(text), packed = new Uint8Array(letters.length);
    // loops: from() with a function takes most of the time until a large page is ready
    for (let i = 0; i < packed.length; i++) packed[i] = letters.charCodeAt(i);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const number = bytes.length / size;
    const out = new Uint8Array(bytes.length);
    for (let k = 0; k < size; k++) {
      for (let i = 0; i < number; i++) out[i * size + k] = bytes[k * number + i];
    }
    return out.buffer;
  }

  async function unpack(part) {
    if (part.kind === "whole") return new Uint32Array(await planes(part.data, 4));
    if (part.kind === "float") return new Float32Array(await planes(part.data, 4));
    const steps = new Int16Array(await planes(part.data, 2));
    const grow = part.kind === "log" ? Math.exp : Math.sinh, out = new Float32Array(steps.length);
    for (let i = 0; i < out.length; i++) {
      out[i] = steps[i] === -32768 ? NaN : grow(steps[i] * part.step) * part.noise[Math.floor(i / N)];
    }
    return out;
  }

  const names = ["flux", "error", "before", "mask", "groups", "group_flux", "group_error"];
  const [flux, error, before, mask, groups, groupFlux, groupError] = await Promise.all(
    names.map((name) => D.arrays[name] && unpack(D.arrays[name])));
  const now = { x: D.start[0], y: D.start[1], band: bands.length - 1 };
  const view = $("view"), at = view.getContext("2d");
  const zoom = Math.max(1, Math.ceil(920 / Math.max(nx, ny)));
  const small = document.createElement("canvas");
  view.width = nx * zoom;
  view.height = ny * zoom;
  view.style.aspectRatio = `${nx} / ${ny}`;

  const tell = (value) => !Number.isFinite(value) ? "no data" :
    Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(3) : String(+value.toPrecision(4));

  // a flux with its error, both to the second figure of the error
  function tellBoth(value, error) {
    const places = 1 - Math.floor(Math.log10(error)), size = Math.abs(value);
    if (!(error > 0 && error < 1e5 && size < 1e5 && places <= 8)) return `${tell(value)} ± ${tell(error)}`;
    return [value, error].map((one) => places > 0 ? one.toFixed(places) : String(Math.round(one))).join("\u00a0±\u00a0");
  }

  // every `step`th pixel along x and y: stamps need no more
  function shade(canvas, values, band, noise, top, step = 1) {
    const [width, height] = [Math.ceil(nx / step), Math.ceil(ny / step)];
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height), pixels = image.data;
    const range = Math.asinh(top / 3) + 0.5;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const value = values(band * N + y * step * nx + x * step), k = 4 * ((height - 1 - y) * width + x);
        const grey = 255 * (1 - (Math.asinh(value / noise / 3) + 0.5) / range);
        const known = !Number.isNaN(value);
        pixels[k] = known ? grey : 205;
        pixels[k + 1] = known ? grey : 215;
        pixels[k + 2] = known ? grey : 235;
        pixels[k + 3] = 255;
      }
    }
    context.putImageData(image, 0, 0);
  }

  function edges(context, scale, inside) {
    context.beginPath();
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) {
        const here = inside(y * nx + x);
        if (x + 1 < nx && here !== inside(y * nx + x + 1)) {
          context.moveTo((x + 1) * scale, (ny - y) * scale);
          context.lineTo((x + 1) * scale, (ny - y - 1) * scale);
        }
        if (y + 1 < ny && here !== inside((y + 1) * nx + x)) {
          context.moveTo(x * scale, (ny - y - 1) * scale);
          context.lineTo((x + 1) * scale, (ny - y - 1) * scale);
        }
      }
    }
    context.stroke();
  }

  const inMask = (i) => mask[i] === 1;
  const states = {
    after: (i) => flux[i],
    before: (i) => before[i],
    snr: (i) => flux[i] / error[i],
  };

  // ink on paper: what is drawn over an image stands out on bright and dark pixels
  const DARK = ["#111", "rgba(255,255,255,.8)"], LIGHT = ["#fff", "rgba(0,0,0,.7)"];

  function stroke(context, [ink, paper], width, draw) {
    context.lineCap = context.lineJoin = "round";
    for (const [colour, broad] of [[paper, 2.6 * width], [ink, width]]) {
      context.strokeStyle = colour;
      context.lineWidth = broad;
      context.beginPath();
      draw();
      context.stroke();
    }
  }

  function word(context, [ink, paper], text, x, y) {
    const unit = context.canvas.width / 460;
    context.lineJoin = "round";
    context.strokeStyle = paper;
    context.lineWidth = 3 * unit;
    context.strokeText(text, x, y);
    context.fillStyle = ink;
    context.fillText(text, x, y);
  }

  function furniture(context, scale, colours) {
    const width = nx * scale, height = ny * scale, unit = width / 460;
    const length = D.bar / D.scale * scale, x = width - 46 * unit, y = height - 46 * unit;
    context.font = `600 ${14 * unit}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    stroke(context, colours, 2 * unit, () => {
      context.moveTo(14 * unit, height - 14 * unit);
      context.lineTo(14 * unit + length, height - 14 * unit);
      for (const [dx, dy] of Object.values(D.compass)) {
        context.moveTo(x, y);
        context.lineTo(x + 22 * unit * dx, y - 22 * unit * dy);
      }
    });
    word(context, colours, `${D.bar}″`, 14 * unit + length / 2, height - 28 * unit);
    for (const [name, [dx, dy]] of Object.entries(D.compass)) {
      word(context, colours, name, x + 33 * unit * dx, y - 33 * unit * dy);
    }
  }

  function drawColour() {
    const canvas = $("colour"), image = $("colour-image"), scale = Math.max(1, Math.ceil(720 / nx));
    canvas.width = nx * scale;
    canvas.height = ny * scale;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    context.strokeStyle = "#ff8a3d";
    context.lineWidth = Math.max(1.5, canvas.width / 360);
    edges(context, scale, inMask);
    furniture(context, scale, LIGHT);
    image.hidden = true;
    canvas.hidden = false;
  }

  function topOf(band) {
    return D.top[band] * 10 ** ((50 - Number($("stretch").value)) / 25);
  }

  const chosen = () => (groups && $("whose").value === "bin" ? groups[now.y * nx + now.x] : 0);

  function drawView() {
    const state = $("state").value;
    const snr = state === "snr";
    shade(small, states[state], now.band, snr ? 1 : D.noise[now.band], topOf(now.band));
    at.imageSmoothingEnabled = false;
    at.drawImage(small, 0, 0, view.width, view.height);
    at.strokeStyle = "#e8590c";
    at.lineWidth = Math.max(1.5, view.width / 400);
    edges(at, zoom, inMask);
    const bin = chosen();
    at.lineWidth = Math.max(2, view.width / 300);
    at.strokeStyle = "#1c7ed6";
    if (bin) edges(at, zoom, (i) => groups[i] === bin);
    const around = Math.max(0, 8 - zoom);
    stroke(at, LIGHT, view.width / 300, () => at.rect(now.x * zoom - around,
      (ny - 1 - now.y) * zoom - around, zoom + 2 * around, zoom + 2 * around));
    furniture(at, zoom, DARK);
  }

  function sky(x, y) {
    if (!D.wcs) return "";
    const R = Math.PI / 180, { crpix, crval, cd } = D.wcs;
    const dx = x - crpix[0], dy = y - crpix[1];
    const xi = R * (cd[0][0] * dx + cd[0][1] * dy), eta = R * (cd[1][0] * dx + cd[1][1] * dy);
    const d0 = R * crval[1], below = Math.cos(d0) - eta * Math.sin(d0);
    const ra = (crval[0] + Math.atan2(xi, below) / R + 360) % 360;
    const dec = Math.atan2(Math.sin(d0) + eta * Math.cos(d0), Math.hypot(xi, below)) / R;
    return `RA ${ra.toFixed(6)}°  Dec ${dec.toFixed(6)}°`;
  }

  function sedNow() {
    const bin = chosen(), G = D.groups;
    const [fluxes, errors, number, i] = bin ? [groupFlux, groupError, G.id.length, bin - 1] :
      [flux, error, N, now.y * nx + now.x];
    const points = bands.map((_, band) => [fluxes[band * number + i], errors[band * number + i]]);
    const model = bin && G.model ? G.model.map((row) => row[bin - 1]) : null;
    return { bin, points, model };
  }

  function ticks(low, high) {
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough * 0.999);
    const out = [];
    for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-9); k++) out.push(k * step);
    return out;
  }

  function element(name, attributes, parent, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  function sedAxes(plot, low, high, log) {
    const box = { left: 54, right: 10, top: 22, bottom: 38, width: 440, height: 330 };
    const ends = [Math.min(...D.pivot) * 0.92, Math.max(...D.pivot) * 1.08].map(Math.log);
    const x = (value) => box.left + (box.width - box.left - box.right) *
      (Math.log(value) - ends[0]) / (ends[1] - ends[0]);
    const [from, to] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
    const y = (value) => box.height - box.bottom -
      (box.height - box.bottom - box.top) * ((log ? Math.log10(Math.max(value, 1e-30)) : value) - from) / (to - from);
    const marks = log ? [] : ticks(from, to);
    for (let k = Math.floor(from); log && k <= to; k++) {
      for (const m of to - from < 1.5 ? [1, 2, 5] : [1]) {
        const value = m * 10 ** k;
        if (value >= low && value <= high) marks.push(value);
      }
    }
    for (const value of marks) {
      element("line", { class: "grid", x1: box.left, x2: box.width - box.right, y1: y(value), y2: y(value) }, plot);
      element("text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, plot, String(+value.toPrecision(3)));
    }
    let last = -Infinity;
    for (const value of [0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.2, 1.6, 2, 3, 4, 5, 7, 10, 15, 20]) {
      if (Math.log(value) <= ends[0] || Math.log(value) >= ends[1] || x(value) - last < 34) continue;
      last = x(value);
      element("line", { class: "grid", x1: last, x2: last, y1: box.top, y2: box.height - box.bottom }, plot);
      element("text", { x: last, y: box.height - box.bottom + 15, "text-anchor": "middle" }, plot, String(value));
    }
    if (!log && low < 0) {
      element("line", { class: "axis", x1: box.left, x2: box.width - box.right, y1: y(0), y2: y(0) }, plot);
    }
    element("text", { x: (box.left + box.width) / 2, y: box.height - 5, "text-anchor": "middle" }, plot, "wavelength [µm]");
    element("text", { transform: `translate(12 ${(box.top + box.height - box.bottom) / 2}) rotate(-90)`,
      "text-anchor": "middle" }, plot, `flux [${D.unit}]`);
    return { x, y, box };
  }

  function drawSed() {
    const { bin, points, model } = sedNow(), log = $("log").checked, plot = $("sed");
    const known = points.filter(([f, e]) => Number.isFinite(f) && Number.isFinite(e));
    const all = known.flatMap(([f, e]) => [f - e, f + e]).concat((model || []).filter(Number.isFinite));
    const bright = all.filter((value) => value > 0);
    plot.replaceChildren();
    const high = Math.max(...(log ? bright : [...all, 0]), log ? 1e-6 : 0) || 1;
    const low = log ? Math.max(Math.min(...bright, high / 10) / 1.2, high / 1e4) : Math.min(0, ...all);
    const { x, y, box } = sedAxes(plot, low - (log ? 0 : (high - low) * 0.02), log ? high * 1.3 : high + (high - low) * 0.08, log);
    const floor = box.height - box.bottom, put = (value) => Math.min(Math.max(y(value), box.top), floor);
    const drawn = points.map(([f, e], band) => ({ f, e, band })).filter(({ f }) => Number.isFinite(f) && (!log || f > 0));
    const path = (rows) => rows.map(([across, up], k) => `${k ? "L" : "M"}${across} ${up}`).join("");
    element("path", { class: "sed", d: path(drawn.map(({ f, band }) => [x(D.pivot[band]), put(f)])) }, plot);
    for (const { f, e, band } of drawn) {
      const across = x(D.pivot[band]);
      element("line", { class: "whisker", x1: across, x2: across, y1: put(f - e), y2: put(f + e) }, plot);
      const dot = element("circle", { class: band === now.band ? "dot now" : "dot", cx: across, cy: put(f), r: 4 }, plot);
      element("title", {}, dot, `${bands[band]}: ${tellBoth(f, e)} ${D.unit}`);
    }
    (model || []).forEach((value, band) => {
      if (!Number.isFinite(value) || (log && value <= 0)) return;
      const across = x(D.pivot[band]), up = put(value);
      element("path", { class: "model", d: `M${across} ${up - 6}l6 6l-6 6l-6 -6z` }, plot);
    });
    const name = bin ? `bin ${D.groups.id[bin - 1]}, ${D.groups.pixels[bin - 1]} pixels` : `pixel x ${now.x + D.origin[0]}, y ${now.y + D.origin[1]}`;
    element("text", { x: box.left, y: 13 }, plot, `${name}${model ? "   ◇ model" : ""}`);
    plot.setAttribute("aria-label", `Spectral energy distribution of ${name}; its numbers are in the table below it.`);
    writeSed(points, model);
    const [f, e] = points[now.band], fit = bin && D.groups.said && D.groups.said[bin - 1] ? `  ${D.groups.said[bin - 1]}` : "";
    $("chosen").textContent = `${name}  ${sky(now.x, now.y)}  ${bands[now.band]} ${tellBoth(f, e)} ${D.unit}` +
      `${inMask(now.y * nx + now.x) ? "" : "  outside the mask"}${fit}`;
  }

  function writeSed(points, model) {
    $("numbers").replaceChildren(...points.map(([f, e], band) => {
      const row = document.createElement("tr");
      row.dataset.flux = String(f);
      row.dataset.error = String(e);
      for (const text of [bands[band], tell(f), tell(e), model ? tell(model[band]) : ""]) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    }));
  }

  function all() {
    $("band").value = now.band;
    document.querySelectorAll("#stamps button").forEach((button, band) =>
      button.setAttribute("aria-pressed", String(band === now.band)));
    drawView();
    drawSed();
  }

  function stamps() {
    const rows = before ? ["before", "after"] : ["after"];
    bands.forEach((name, band) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = `show ${name}`;
      for (const state of rows) {
        const canvas = document.createElement("canvas");
        shade(canvas, states[state], band, D.noise[band], D.top[band], Math.ceil(Math.max(nx, ny) / 160));
        button.append(canvas);
      }
      button.append(name);
      button.addEventListener("click", () => { now.band = band; all(); });
      $("stamps").append(button);
    });
  }

  function option(select, value, text) {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = text;
    select.append(made);
  }

  const clamp = (value, most) => Math.max(0, Math.min(most - 1, Math.floor(value)));
  function pixelAt(event) {
    const box = event.currentTarget.getBoundingClientRect();
    return [clamp((event.clientX - box.left) / box.width * nx, nx),
      ny - 1 - clamp((event.clientY - box.top) / box.height * ny, ny)];
  }

  function point(event) {
    const [x, y] = pixelAt(event), state = $("state").value;
    const value = states[event.currentTarget === view ? state : "after"](now.band * N + y * nx + x);
    $("pointer").textContent = `x ${x + D.origin[0]}  y ${y + D.origin[1]}  ${sky(x, y)}  ${bands[now.band]} ` +
      `${tell(value)} ${state === "snr" && event.currentTarget === view ? "S/N" : D.unit}`;
  }

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  function key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const move = moves[event.key], far = event.shiftKey ? 10 : 1;
    if (move) {
      now.x = clamp(now.x + far * move[0], nx);
      now.y = clamp(now.y + far * move[1], ny);
    } else if (event.key === "," || event.key === ".") {
      now.band = (now.band + (event.key === "." ? 1 : bands.length - 1)) % bands.length;
    } else if (event.key === "b" && before) {
      $("state").value = $("state").value === "before" ? "after" : "before";
    } else return;
    event.preventDefault();
    all();
  }

  bands.forEach((name, band) => option($("band"), band, name));
  option($("state"), "after", D.matched ? "matched" : "the cube");
  if (before) option($("state"), "before", "as observed");
  option($("state"), "snr", "signal / noise of a pixel");
  option($("whose"), "pixel", "the pixel");
  if (groups) option($("whose"), "bin", "its bin");
  if (D.groups && D.groups.model) $("whose").value = "bin";
  $("band").addEventListener("change", () => { now.band = Number($("band").value); all(); });
  $("state").addEventListener("change", drawView);
  $("stretch").addEventListener("input", drawView);
  $("log").addEventListener("change", drawSed);
  $("whose").addEventListener("change", all);
  for (const canvas of [view, $("colour")]) {
    canvas.addEventListener("click", (event) => { [now.x, now.y] = pixelAt(event); all(); });
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerleave", () => { $("pointer").textContent = ""; });
  }
  view.addEventListener("keydown", key);
  await $("colour-image").decode();
  drawColour();
  stamps();
  all();
  document.documentElement.dataset.ready = "yes";
})();
