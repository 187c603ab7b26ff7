// Files of what is shown.
export function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export async function png({ width, height, paint }, name) {
  const canvas = document.createElement('canvas');
  const ratio = 2;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  paint(context);
  save(await new Promise((done) => canvas.toBlob(done, 'image/png')), `${name}.png`);
}

// The same drawing on a context that writes SVG (svgcanvas, MIT), loaded when it is first wanted.
export async function svg({ width, height, paint }, name) {
  const { Context } = await import('./lib/svgcanvas.js');
  const context = new Context(width, height);
  paint(context);
  save(new Blob([context.getSerializedSvg(true)], { type: 'image/svg+xml' }), `${name}.svg`);
}

export function csv({ head, rows }, name) {
  const cell = (value) => (typeof value === 'number' ? String(value) : `"${String(value).replaceAll('"', '""')}"`);
  const lines = [head, ...rows].map((row) => row.map(cell).join(','));
  save(new Blob([`\uFEFF${lines.join('\r\n')}\r\n`], { type: 'text/csv' }), `${name}.csv`);
}

export async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    // without the permission: by a field that is selected
    const area = document.createElement('textarea');
    area.value = words;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}
