/* What every canvas of Lacuna needs: colours of the theme, a sharp surface, and a few marks. */

const mix = (a, b, t) => a.map((v, i) => Math.round(v + t * (b[i] - v)));
const css = (rgb, opacity = 1) => `rgb(${rgb.join(" ")} / ${opacity})`;

/** Any CSS colour -> [r, g, b], read back from a pixel so that every notation the theme may use is understood. */
function rgbOf(colour, fallback) {
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  pen.fillStyle = fallback;
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

function themeOf(element, palette, classes) {
  const style = getComputedStyle(element);
  const text = rgbOf(style.getPropertyValue("--st-text-color").trim(), "#31333f");
  const ground = rgbOf(style.getPropertyValue("--st-background-color").trim(), "#fff");
  const dark = mean(ground) < 128;
  const family = style.fontFamily; // read once: the style object is live
  const accent = rgbOf(palette.unlearned, "#d55e00");
  return {
    text, ground, dark, accent,
    muted: mix(ground, text, 0.72),
    track: mix(ground, text, 0.09),
    grid: mix(ground, text, 0.16),
    original: rgbOf(palette.original, "#8a8f98"),
    retrained: dark ? text : rgbOf(palette.retrained, "#111"),
    classes: Array.from({ length: classes }, (_, c) => palette.classes[c % palette.classes.length]),
    near: dark ? [150, 170, 190] : [246, 249, 252], // lighter is nearer to retraining, in both themes
    far: dark ? [27, 36, 47] : [104, 128, 152],
    untouched: dark ? [158, 164, 174] : [112, 118, 128],
    weak: mix(accent, dark ? [150, 110, 60] : [255, 214, 130], 0.8),
    strong: mix(accent, dark ? [255, 255, 255] : [120, 20, 0], dark ? 0.12 : 0.25),
    font: (size, weight = 400) => `${weight} ${size}px ${family}`,
  };
}

/** A canvas made ready for the size it has on the page, and the pen scaled so that one unit is one CSS pixel. */
function surfaceOf(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(w * scale);
  canvas.height = Math.round(h * scale);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.face = "";
  return { canvas, pen, w, h, scale };
}

function line(pen, colour, width, x0, y0, x1, y1, dash = []) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
  pen.setLineDash([]);
}

function disc(pen, x, y, radius, { fill, stroke, width = 1, dash = [] }) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill) (pen.fillStyle = fill), pen.fill();
  if (stroke) (pen.strokeStyle = stroke), (pen.lineWidth = width), pen.setLineDash(dash), pen.stroke();
  pen.setLineDash([]);
}

/** Setting a font, even the same one, may cost a style resolution of the page. */
function face(pen, font) {
  if (pen.face !== font) pen.font = pen.face = font;
}

function write(pen, text, x, y, colour, font, align = "left") {
  pen.fillStyle = colour;
  face(pen, font);
  pen.textAlign = align;
  pen.fillText(text, x, y);
}

