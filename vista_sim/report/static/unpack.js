// Data of the page: JSON as it stands, and packed parts that are opened when needed.

const DATA = JSON.parse(document.getElementById("report-data").textContent);
const byId = (id) => document.getElementById(id);

/** Bytes of a base64 part of the page. */
function bytesOf(id) {
  const text = atob(byId(id).textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Text of a packed part: base64 of gzip. */
async function textOf(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const opened = new Map();

/** Steps and frames of a run; opened once. */
function stepsOf(run) {
  if (!opened.has(run)) opened.set(run, textOf(`steps-${run}`).then(JSON.parse));
  return opened.get(run);
}

/** Numbers from their changes; what is not known is NaN. */
function summed(changes, unit) {
  let at = 0;
  return Float64Array.from(changes, (change) => (change === null ? NaN : (at += change) * unit));
}

/** Columns of the steps of an episode by name; a column without any value is missing. */
function columnsOf(data, episode) {
  const packed = data.episodes[episode];
  const columns = {};
  data.columns.forEach(([name, unit], i) => {
    if (packed[i]) columns[name] = summed(packed[i], unit);
  });
  return columns;
}

/** Index of the last value that is not above `value`; 0 before the first. */
function indexAt(values, value) {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (values[middle] <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** An element with classes and text. */
function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** A number with fixed digits; "" where it is not known. */
function fixed(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  const text = value.toFixed(digits);
  return Number(text) === 0 && text.startsWith("-") ? text.slice(1) : text.replace("-", "−");
}

/** Value of a CSS variable, as the theme has it now. */
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
