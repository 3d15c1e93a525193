"use strict";
const at = (id) => document.getElementById(id);
let facts = null, frames = [], shown = null, file = null;

async function ask(path, body) {
  const headers = body ? { "X-Name": encodeURIComponent(body.name) } : {};
  const answer = await fetch(path, body ? { method: "POST", body, headers } : {});
  const values = await answer.json();
  if (!answer.ok) throw new Error(values.error);
  return values;
}

async function guarded(work) {
  at("error").textContent = "";
  document.body.style.cursor = "progress";
  try { await work(); } catch (error) { at("error").textContent = error.message; }
  document.body.style.cursor = "";
}

function take(given) {
  return guarded(async () => {
    if (given.size > facts.max_bytes) throw new Error(`the file is larger than ${facts.max_bytes / 1e6} MB`);
    file = given;
    at("number").textContent = "looking ...";
    frames = (await ask("look", file)).frames;
    at("frames").hidden = frames.length < 2;
    at("frame").max = frames.length - 1;
    at("frame").value = 0;
    await show(0);
    at("result").hidden = false;
    at("regeneration").replaceChildren();
  });
}

async function load(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

async function show(number) {
  const frame = frames[number];
  at("number").textContent = `${number + 1} of ${frames.length}`;
  at("picture").src = frame.picture;
  at("map").hidden = at("points").hidden = !frame.depth;
  at("tasks").replaceChildren(...Object.entries(frame.tasks).map(([name, url]) => figure(name, url)));
  if (!frame.depth) return;
  const bytes = Uint8Array.from(atob(frame.depth), (c) => c.charCodeAt(0));
  const depth = new Float32Array(bytes.buffer);
  const sorted = Float32Array.from(depth).sort();
  const near = sorted[Math.floor(0.02 * sorted.length)], far = sorted[Math.floor(0.98 * sorted.length)];
  shown = { ...frame, depth, near, far };
  paint();
  draw(await colours(frame));
}

function figure(caption, url) {
  const whole = document.createElement("figure"), image = document.createElement("img"), text = document.createElement("figcaption");
  image.src = url; image.alt = text.textContent = caption;
  whole.append(image, text);
  return whole;
}

// Colours go with inverse depth: 1 at `near`, 0 at `far`.
const level = (depth) => {
  const low = 1 / shown.far, high = Math.max(1 / shown.near, low * 1.001);
  return Math.round(255 * Math.min(1, Math.max(0, (1 / depth - low) / (high - low))));
};

function paint() {
  const canvas = at("painted"), { rows, columns, depth } = shown;
  canvas.width = columns; canvas.height = rows;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  depth.forEach((value, i) => image.data.set([...facts.colours[level(value)], 255], 4 * i));
  context.putImageData(image, 0, 0);
  const bar = at("bar").getContext("2d"), strip = bar.createImageData(256, 1);
  for (let i = 0; i < 256; i++) strip.data.set([...facts.colours[255 - i], 255], 4 * i);
  bar.putImageData(strip, 0, 0);
  at("near").textContent = say(shown.near);
  at("far").textContent = say(shown.far);
  at("readout").textContent = "point at a pixel";
}

const say = (depth) => `${depth.toPrecision(3)} ${shown.unit === "metres" ? "m" : "(up to scale)"}`;

function read(event) {
  if (!shown) return;
  const box = at("painted").getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left) / box.width * shown.columns);
  const row = Math.floor((event.clientY - box.top) / box.height * shown.rows);
  if (row < 0 || column < 0 || row >= shown.rows || column >= shown.columns) return;
  at("readout").textContent = `${say(shown.depth[row * shown.columns + column])} at column ${column}, row ${row}`;
}

async function colours(frame) {
  const canvas = document.createElement("canvas");
  canvas.width = frame.columns; canvas.height = frame.rows;
  const context = canvas.getContext("2d");
  context.drawImage(await load(frame.picture), 0, 0, frame.columns, frame.rows);
  return context.getImageData(0, 0, frame.columns, frame.rows).data;
}

// The cloud, drawn point by point, far ones first: 2D is enough and works everywhere.
const view = { yaw: 0.3, pitch: 0.15, zoom: 1, pixels: null };

function draw(pixels) {
  view.pixels = pixels ?? view.pixels;
  if (!shown || !view.pixels) return;
  const canvas = at("cloud"), context = canvas.getContext("2d"), { width, height } = canvas;
  const { rows, columns, depth, near, far } = shown;
  const focal = columns / 2 / Math.tan((Number(at("fov").value) || 70) * Math.PI / 360);
  const middle = 2 / (1 / near + 1 / far), sines = [Math.sin(view.yaw), Math.sin(view.pitch)];
  const cosines = [Math.cos(view.yaw), Math.cos(view.pitch)], step = Math.max(1, Math.round(Math.sqrt(rows * columns / 60000)));
  const points = [];
  for (let row = 0; row < rows; row += step) for (let column = 0; column < columns; column += step) {
    const z = depth[row * columns + column];
    if (z > 1.5 * far) continue;
    const x = (column - columns / 2) / focal * z, y = (row - rows / 2) / focal * z, d = z - middle;
    const x2 = cosines[0] * x + sines[0] * d, d2 = cosines[0] * d - sines[0] * x;
    points.push([x2, cosines[1] * y - sines[1] * d2, sines[1] * y + cosines[1] * d2 + middle * 1.2, 4 * (row * columns + column)]);
  }
  points.sort((a, b) => b[2] - a[2]);
  const image = context.createImageData(width, height), screen = 0.8 * width * view.zoom;
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  for (const [x, y, z, i] of points) {
    if (z < 0.05 * middle) continue;
    const u = Math.round(width / 2 + screen * x / z), v = Math.round(height / 2 + screen * y / z), size = Math.min(4, Math.ceil(step * screen / focal / z * middle / 2));
    for (let b = 0; b < size; b++) for (let a = 0; a < size; a++) {
      const p = u + a, q = v + b;
      if (p >= 0 && q >= 0 && p < width && q < height) image.data.set(view.pixels.subarray(i, i + 3), 4 * (q * width + p));
    }
  }
  context.putImageData(image, 0, 0);
}

function settings() {
  at("settings").replaceChildren(...facts.edits[at("name").value].map((name) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { name, value: [facts.usual[name]].flat().join(" "), size: 8 });
    label.append(`${name} `, input);
    return label;
  }));
}

function regenerate() {
  return guarded(async () => {
    if (!file) throw new Error("drop a picture first");
    const query = new URLSearchParams({ edit: at("name").value });
    for (const input of at("settings").querySelectorAll("input")) {
      const values = input.value.trim().split(/[\s,]+/).map(Number);
      query.set(input.name, JSON.stringify(values.length > 1 ? values : values[0]));
    }
    const { pictures } = await ask(`dejavu?${query}`, file);
    at("regeneration").replaceChildren(...Object.entries(pictures).map(([name, url]) => figure(name, url)));
  });
}

function tab(name) {
  for (const each of ["depth", "dejavu"]) {
    at(each).hidden = each !== name;
    at(`tab-${each}`).classList.toggle("on", each === name);
  }
}

guarded(async () => {
  facts = await ask("facts");
  at("model").textContent = facts.model;
  at("limit").textContent = `(up to ${facts.max_bytes / 1e6} MB)`;
  at("without").hidden = facts.dejavu;
  at("edit").hidden = !facts.dejavu;
  at("name").replaceChildren(...Object.keys(facts.edits).map((name) => new Option(name)));
  at("name").value = facts.usual.edit;
  settings();
  at("name").onchange = settings;
  at("file").onchange = () => at("file").files[0] && take(at("file").files[0]);
  at("frame").oninput = () => guarded(() => show(Number(at("frame").value)));
  at("fov").onchange = () => draw();
  at("painted").onpointermove = read;
  at("edit").onsubmit = (event) => { event.preventDefault(); regenerate(); };
  at("tab-depth").onclick = () => tab("depth");
  at("tab-dejavu").onclick = () => tab("dejavu");
  for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  at("cloud").onpointermove = (event) => {
    if (!(event.buttons & 1)) return;
    view.yaw += event.movementX / 200; view.pitch += event.movementY / 200;
    draw();
  };
  at("cloud").onwheel = (event) => { event.preventDefault(); view.zoom *= event.deltaY < 0 ? 1.1 : 1 / 1.1; draw(); };
});
