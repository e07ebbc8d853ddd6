"use strict";
const $ = id => document.getElementById(id);

// --- what a page holds: typed arrays, packed by msfit.view.packing --------------------------------------------------
const TYPES = {f4: Float32Array, i2: Int16Array, u2: Uint16Array, u1: Uint8Array};
function decode(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}
async function unpack(element) {
  const stream = new Blob([decode(element.textContent)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer()), Type = TYPES[element.dataset.type];
  const size = Type.BYTES_PER_ELEMENT, n = planes.length / size;
  element.remove();
  if (size === 1) return planes;
  const words = new (size === 2 ? Uint16Array : Uint32Array)(n), [a, b, c, d] = [0, 1, 2, 3].map(j => planes.subarray(j * n, (j + 1) * n));
  if (size === 2) for (let i = 0; i < n; i++) words[i] = a[i] | b[i] << 8;
  else for (let i = 0; i < n; i++) words[i] = a[i] | b[i] << 8 | c[i] << 16 | d[i] << 24;
  return new Type(words.buffer);
}
