/* The figures of the page as files: each as SVG or PNG, with its title, how to read it, where it comes from and its key
 * inside. They are taken from what the browser has drawn, so nothing is drawn twice and no server has to draw at all. A
 * canvas has pixels only: its SVG holds these, and all words as text.
 */

/**
 * @typedef {{ source: string, key: string }} Data
 * @typedef {{ plot: HTMLElement, title: string, caption: string, words: string }} Figure
 */

const NAMES = "h1, h2, h3, h4, [data-testid=stCaptionContainer], .js-plotly-plot, canvas[data-testid]";
const NO_FIGURES = "[data-testid=stDataFrame], .js-plotly-plot, .gauge"; // whose canvases are theirs
const SPACE = "http://www.w3.org/2000/svg";
const FONT = "13px system-ui, 'DejaVu Sans', sans-serif";
const LINE = 18;
const EDGE = 14;
const SHARP = 2; // pixels of a PNG for each of the page

/** @param {import("./types").Component<Data>} component */
export default function ({ parentElement, data }) {
  const root = /** @type {HTMLElement} */ (parentElement.querySelector(".lacuna-figures"));
  const list = () => root.replaceChildren(...rows(figures(document), data));
  root.onpointerenter = root.onfocus = list; // the page may have drawn more since
  list();
}

/** What `NAMES` names, in order, also within the canvas views. @param {ParentNode} root @returns {HTMLElement[]} */
function named(root) {
  return /** @type {HTMLElement[]} */ ([...root.querySelectorAll("*")]).flatMap((each) => [
    ...(each.matches(NAMES) && !each.parentElement?.closest(NO_FIGURES) ? [each] : []),
    ...(each.shadowRoot ? named(each.shadowRoot) : []),
  ]);
}

/** Every figure of a page, by the heading and the caption that stand nearest. @param {ParentNode} page */
function figures(page) {
  /** @type {Figure[]} */
  const found = [];
  let [title, caption] = ["", ""];
  for (const element of named(page)) {
    if (element instanceof HTMLCanvasElement) {
      const how = /** @type {HTMLElement | null | undefined} */ (element.closest("section")?.querySelector(".how"));
      const words = element.getAttribute("aria-label") ?? "";
      if (element.clientWidth) found.push({ plot: element, title, caption: how?.innerText.trim() ?? caption, words });
    } else if (element.matches(".js-plotly-plot")) {
      const words = element.closest("[role=figure]")?.getAttribute("aria-label") ?? "";
      if (element.clientWidth) found.push({ plot: element, title, caption, words });
    } else if (element.matches("[data-testid=stCaptionContainer]")) {
      caption = element.innerText.trim();
      const last = found[found.length - 1];
      if (last && last.title === title && !last.caption) last.caption = caption; // it stands below its figure
    } else [title, caption] = [element.innerText.trim(), ""];
  }
  return found;
}

/** @param {Figure[]} found @param {Data} data */
function rows(found, data) {
  const head = document.createElement("p");
  head.textContent = found.length ? "Figures of this page" : "No figure of this page can be taken along.";
  const list = document.createElement("ul");
  list.append(...found.map((figure, number) => row(figure, number, data)));
  return [head, list];
}

/** @param {Figure} figure @param {number} number @param {Data} data */
function row(figure, number, data) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  name.textContent = figure.title || "Figure";
  name.title = figure.words || name.textContent;
  item.append(name);
  if (figure.plot.querySelector(".gl-container canvas")) { // its pixels are gone as soon as they are shown
    const cannot = document.createElement("span");
    cannot.className = "cannot";
    cannot.textContent = "a map: take the live picture";
    item.append(cannot);
    return item;
  }
  for (const kind of /** @type {const} */ (["SVG", "PNG"])) {
    const button = document.createElement("button");
    button.textContent = kind;
    button.setAttribute("aria-label", `${figure.title} as ${kind}`);
    button.onclick = async () => {
      const drawn = svgOf(figure, data);
      const text = new XMLSerializer().serializeToString(drawn);
      const blob = kind === "SVG" ? new Blob([text], { type: "image/svg+xml" }) : await pngOf(drawn, text);
      save(blob, `lacuna-${data.key}-${number + 1}.${kind.toLowerCase()}`);
    };
    item.append(button);
  }
  return item;
}

/** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] */
function element(name, attributes, text) {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, `${value}`);
  if (text !== undefined) made.textContent = text;
  return made;
}

/**
 * A figure as drawn, on the page's ground, above what there is to say of it.
 * @param {Figure} figure @param {Data} data
 */
function svgOf({ plot, title, caption, words }, { source }) {
  // A page may show more than the choice: whose numbers a figure has, its own words say.
  const said = [caption, words, `On the page “${document.title}” of Lacuna, beside this choice: ${source}`];
  const style = getComputedStyle(document.querySelector(".stApp") ?? document.body);
  const width = Math.max(plot.clientWidth + 2 * EDGE, 520);
  const top = EDGE + 1.5 * LINE;
  const under = top + plot.clientHeight + LINE;
  const lines = said.filter(Boolean).flatMap((text) => wrapped(text, width - 2 * EDGE));
  const height = under + lines.length * LINE + EDGE / 2;
  const drawn = element("svg", { xmlns: SPACE, width, height, viewBox: `0 0 ${width} ${height}` });
  const ink = { fill: style.color, style: `font: ${FONT}` };
  drawn.append(
    element("title", {}, title), element("desc", {}, said.filter(Boolean).join("\n")),
    element("rect", { width, height, fill: style.backgroundColor }),
    element("text", { ...ink, x: EDGE, y: EDGE + LINE / 2, style: `font: 600 ${FONT}` }, title),
    ...(plot instanceof HTMLCanvasElement ? [element("image", {
      href: plot.toDataURL(), x: EDGE, y: top, width: plot.clientWidth, height: plot.clientHeight,
    })] : []),
    ...Array.from(plot.querySelectorAll(".main-svg"), (layer) => {
      const copy = /** @type {SVGElement} */ (layer.cloneNode(true));
      for (const [name, value] of [["x", EDGE], ["y", top]]) copy.setAttribute(`${name}`, `${value}`);
      copy.removeAttribute("style"); // places it on the page, and its ground is the page's
      for (const hover of copy.querySelectorAll(".hoverlayer, .zoomlayer")) hover.remove();
      return copy;
    }),
    ...lines.map((text, i) => element("text", { ...ink, x: EDGE, y: under + i * LINE }, text)));
  return drawn;
}

/** Lines that break at spaces, and within an address. @param {string} text @param {number} width in px */
function wrapped(text, width) {
  const pen = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  pen.font = FONT;
  /** @type {string[]} */
  const lines = [];
  for (const word of text.split(/(?<=[\s&])/)) {
    const longer = (lines[lines.length - 1] ?? "") + word;
    if (lines.length && pen.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** @param {Element} drawn @param {string} text the same, written out @returns {Promise<Blob>} */
async function pngOf(drawn, text) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = SHARP * Number(drawn.getAttribute("width"));
  canvas.height = SHARP * Number(drawn.getAttribute("height"));
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob((blob) => done(/** @type {Blob} */ (blob)), "image/png"));
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
