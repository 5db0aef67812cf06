/*
 * The kit: what every view is built with. Elements, formulas, pictures and tables made node by node, so that no name or
 * number from outside can become markup; fields that refuse in place; panels that remember; islands brought to life.
 * What a view shows, and when, is left to the view.
 */

// --- elements --------------------------------------------------------------------------------------------------------

const MATHML = "http://www.w3.org/1998/Math/MathML";
const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: attributes by name, functions as listeners ("onclick"), the rest children or text. */
function element(tag, attributes = {}, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

/** An SVG element. */
function drawn(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

function furnished(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Text that is touched only where it changes, so that nothing is laid out, or read out, again. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Let a place hold the elements of these parts, in this order; those that stay are not moved. */
function arrange(place, parts) {
  const wanted = parts.map((part) => part.element);
  [...place.children].filter((child) => !wanted.includes(child)).forEach((child) => child.remove());
  wanted.forEach((child, k) => place.children[k] === child || place.insertBefore(child, place.children[k] ?? null));
}

const SCRIPT = Math.random().toString(36).slice(2, 8); // in Jupyter each view has a script of its own
let uniqueCount = 0;

/** An id that nothing else in the page has. */
function uniqueId(what) {
  uniqueCount += 1;
  return `mlp-${what}-${SCRIPT}-${uniqueCount}`;
}

/** Text for those who listen; nobody sees it. */
function unseen(...text) {
  return element("span", { class: "mlp-unseen" }, ...text);
}

/** A picture of a control: decoration, never the only signal. */
function icon(character) {
  return element("span", { "aria-hidden": "true", class: "mlp-icon" }, character);
}

function button(label, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, ...[label].flat());
}

function closeButton(onclick) {
  return button([icon("×"), unseen("Close")], onclick, { class: "mlp-close" });
}

function resetButton(onclick) {
  return button([icon("↺"), " Reset"], onclick, { class: "mlp-reset", title: "Bring the book's numbers back" });
}

const SAY_AFTER = 400; // milliseconds of rest, so that sliding is not read out number by number

/** Where a view says things to those who listen. */
function liveRegion() {
  return element("p", { class: "mlp-unseen", role: "status", "aria-live": "polite" });
}

/** A choice among names; `options` are pairs of a value and what is shown. */
function choice(label, options, onchange) {
  const id = uniqueId("choice");
  const select = element("select", { id, onchange: () => onchange(select.value) });
  select.append(...options.map(([value, shown]) => element("option", { value }, shown)));
  return { element: element("span", { class: "mlp-setting" }, element("label", { for: id }, label), select), select };
}

/** Switch a control off or on; not by `disabled`, which would drop the focus. */
function switchOff(control, isOff) {
  control.setAttribute("aria-disabled", String(isOff));
}

/** The head of a table; a corner without a word is no head. */
function headOfTable(words) {
  return element("thead", {}, element("tr", {}, ...words.map((word) => (word ? element("th", { scope: "col" }, word) : element("td")))));
}

/** A box in which wide things scroll sideways; it takes the focus only while there is something to scroll. */
function scrollBox(label, attributes, ...children) {
  const box = element("div", { role: "group", "aria-label": label, ...attributes }, ...children);
  whileItScrolls(box, { tabindex: 0 });
  return box;
}

/** Give a box these attributes only while there is something in it to scroll. */
function whileItScrolls(box, attributes) {
  box.classList.add("mlp-scroll");
  const watch = new ResizeObserver(() => {
    for (const [name, value] of Object.entries(attributes)) {
      if (scrolls(box)) box.setAttribute(name, value);
      else box.removeAttribute(name);
    }
  });
  [box, ...box.children].forEach((node) => watch.observe(node));
}

function scrolls(box) {
  return box.scrollWidth > box.clientWidth + 1;
}

// --- names -----------------------------------------------------------------------------------------------------------

/** W1 as W⁽¹⁾. */
function unicodeName(name) {
  const [, letters, digits] = /^([A-Za-z]+)([0-9]+)$/.exec(name) ?? [];
  return letters ? `${letters}⁽${[...digits].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}⁾` : name;
}

/** ∂J/∂W⁽¹⁾. */
function unicodeCotangent(graph, name) {
  return `∂${unicodeName(graph.objective)}/∂${unicodeName(name)}`;
}

/** 4×1, or "a number". */
function sizeText(shape) {
  return shape.length ? shape.join("×") : "a number";
}

/** "1 step", "1,200 steps". */
function counted(count, what, many = `${what}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? what : many}`;
}

/** A number of bytes, exact below 10 kB, as mlp/text.py writes it. */
function bytesText(count) {
  if (count < 10_000) return `${count.toLocaleString("en")} B`;
  const power = [1, 2, 3, 4].find((k) => count < 999.5 * 1e3 ** k) ?? 5;
  return `${format(count / 1e3 ** power, 3)} ${" kMGTP"[power]}B`;
}

/** "a", "a and b", "a, b and c". */
function enumerated(words) {
  return [words.slice(0, -1).join(", "), words.at(-1)].filter(Boolean).join(" and ");
}

function capitalized(text) {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

// --- formulas --------------------------------------------------------------------------------------------------------

const MATH_TAGS = /^m(ath|row|[ino]|text|space|frac|sqrt|root|style|su[bp]|subsup|under|over|underover|table|t[rd])$/;
const IN_FORMULA = 36; // entries: a larger matrix is shown by its corners

function mathNode(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS(MATHML, tag), attributes, children);
}

const LEAVES = /^m([ino]|text|space)$/;

/** A formula's tree with every leaf as [tag, text]: a state leaves out the tag where the text says it. */
function spelled(tree) {
  if (typeof tree === "string") return [/^[\d.]+$/.test(tree) ? "mn" : /^\p{L}/u.test(tree) ? "mi" : "mo", tree];
  const [tag, ...children] = tree;
  return LEAVES.test(tag) ? tree : [tag, ...children.map(spelled)];
}

/** A formula's tree as MathML; `fill(k)` gives the node for the slot "@k". What is no MathML becomes plain text. */
function mathTree([tag, ...children], fill) {
  if (!MATH_TAGS.test(tag)) return mathNode("mtext", {}, String(tag));
  if (children.length !== 1 || typeof children[0] !== "string") {
    return mathNode(tag === "math" ? "mrow" : tag, cotangentClass(tag, children), ...children.map((c) => mathTree(c, fill)));
  }
  const [text] = children;
  const slot = tag === "mtext" && /^@(\d+)$/.exec(text);
  if (slot && fill) return fill(Number(slot[1]));
  if (tag === "mspace") return mathNode("mspace", /^[\d.]+em$/.test(text) ? { width: text } : {});
  return mathNode(tag, tag === "mo" && !fill && /^[()[\]‖]$/.test(text) ? { stretchy: "false" } : {}, text);
}

/** A fraction ∂J/∂z has the colour of the way back. */
function cotangentClass(tag, [above]) {
  return tag === "mfrac" && above?.[1]?.[1] === "∂" ? { class: "mlp-of-cotangent" } : {};
}

/** One formula after the other, each in pieces that begin with its signs of equality, so that it can wrap there. */
function formulaRows(tree, fill) {
  const whole = spelled(tree);
  const top = whole[0] === "math" ? whole[1] : whole;
  const parts = top[0] === "mrow" ? top.slice(1) : [top];
  const rows = [[[]]];
  for (const part of parts) {
    if (part[0] === "mspace" && part[1] === "2em") {
      rows.push([[]]);
      continue;
    }
    if (isEquality(part) && rows.at(-1).at(-1).length) rows.at(-1).push([]);
    rows.at(-1).at(-1).push(part);
  }
  return rows.map((pieces) => {
    const maths = pieces.map((piece) => {
      return mathNode("math", { displaystyle: "true" }, ...piece.map((part) => mathTree(part, fill)));
    });
    return element("div", { class: "mlp-formula-row" }, ...maths);
  });
}

function isEquality([tag, text]) {
  return (tag === "mo" || tag === "mtext") && typeof text === "string" && /^(=|\+=|←)$/.test(text.trim());
}

/** A matrix or a number inside a formula; of a large one, the first and last rows and columns. */
function mathMatrix({ shape, data }, attributes) {
  if (!shape.length) return mathNode("mn", attributes, format(data[0]));
  const [rows, columns] = shape.map((count) => shown(count, data.length > IN_FORMULA));
  const cell = (text) => mathNode("mtd", {}, mathNode(text === "⋯" ? "mo" : "mn", {}, text));
  const row = (i) => columns.map((j) => cell(i === null || j === null ? "⋯" : format(data[i * shape[1] + j])));
  const table = mathNode("mtable", {}, ...rows.map((i) => mathNode("mtr", {}, ...row(i))));
  return mathNode("mrow", { ...attributes, class: `mlp-matrix-math ${attributes.class ?? ""}` }, table);
}

/** Indices to show, null where some are left out. */
function shown(count, shorten) {
  const all = [...Array(count).keys()];
  return shorten && count > 5 ? [...all.slice(0, 3), null, count - 1] : all;
}

// --- pictures --------------------------------------------------------------------------------------------------------

const SVG_TAGS = new Set("svg g path rect circle line polyline text title desc style".split(" "));
const SVG_ATTRIBUTES = new Set(
  ("class style d x y r rx cx cy width height points transform viewBox fill stroke stroke-width text-anchor aria-label " +
    "data-direction data-variable data-equation data-equations data-argnum data-op data-shape data-hidden").split(" "),
);

/** A picture from SVG text, or null: only shapes and text are taken over, nothing that runs or loads. */
function picture(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  return parsed.localName === "svg" && parsed.namespaceURI === SVG ? adopted(parsed) : null;
}

function adopted(source) {
  const node = document.createElementNS(SVG, source.localName);
  for (const { name, value } of source.attributes) {
    if (SVG_ATTRIBUTES.has(name) && isHarmless(value)) node.setAttribute(name, value);
  }
  for (const child of source.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) node.append(child.data);
    else if (SVG_TAGS.has(child.localName) && child.namespaceURI === SVG) {
      if (child.localName !== "style" || isHarmless(child.textContent)) node.append(adopted(child));
    }
  }
  return node;
}

/** A style or an attribute that asks for nothing from outside. */
function isHarmless(text) {
  return !/url\(|@import|\\|expression|javascript:/i.test(text);
}

// --- tables ----------------------------------------------------------------------------------------------------------

const IN_TABLE = 64; // entries: above, a map of sizes
const IN_MAP = 64; // rows and columns of such a map

/**
 * A matrix as a table. `entry(index)` may give a field for an entry; without it, numbers. `refresh(matrix)` shows other
 * numbers of the same shape in the same cells, so that a field keeps the focus.
 */
function matrixTable(caption, matrix, { className = "", entry = null } = {}) {
  const cells = [];
  const place = element("div", { class: `mlp-array ${matrix.shape.length ? "" : "mlp-single"} ${className}` });
  const isMap = !entry && matrix.data.length > IN_TABLE;
  if (isMap) place.append(sizeMap(caption, matrix));
  else place.append(visibleCaption(caption), numberTable(caption, matrix, entry, cells));
  const label = [caption].flat().map((part) => part.textContent ?? part).join("");
  whileItScrolls(place, { role: "group", "aria-label": label, tabindex: 0 });
  const refresh = (next) => {
    if (isMap) place.replaceChildren(sizeMap(caption, next));
    else cells.forEach((cell, k) => cell.show(next.data[k]));
  };
  return { element: place, refresh };
}

/** Beside the table, which would otherwise be as wide as its caption; who listens has the table's own. */
function visibleCaption(caption) {
  const parts = [caption].flat().map((part) => (typeof part === "string" ? part : part.cloneNode(true)));
  return element("p", { class: "mlp-caption", "aria-hidden": "true" }, ...parts);
}

function numberTable(caption, matrix, entry, cells) {
  const [height, width] = matrix.shape.length ? matrix.shape : [1, 1];
  const cell = (index, number) => {
    const made = entry?.(index) ?? plainEntry();
    made.show(number);
    cells.push(made);
    return element("td", {}, made.element);
  };
  const body = Array.from({ length: height }, (_, i) => {
    const index = (j) => (matrix.shape.length ? [i, j] : []);
    const numbers = Array.from({ length: width }, (_, j) => cell(index(j), matrix.data[i * width + j]));
    return element("tr", {}, element("th", { scope: "row" }, unseen("row "), String(i + 1)), ...numbers);
  });
  const heads = Array.from({ length: width }, (_, j) => {
    return element("th", { scope: "col" }, unseen("column "), String(j + 1));
  });
  const head = element("thead", {}, element("tr", {}, element("td"), ...heads));
  const single = !matrix.shape.length;
  const rows = single ? [element("tr", {}, body[0].lastElementChild)] : body;
  return element("table", {}, element("caption", { class: "mlp-unseen" }, ...[caption].flat()), single ? null : head, element("tbody", {}, ...rows));
}

function plainEntry() {
  const node = element("span");
  return { element: node, show: (number) => (node.textContent = format(number)) };
}

/** A large matrix as squares, the larger the number the larger the square, hollow where it is negative; and in words. */
function sizeMap(caption, { shape: [height, width], data }) {
  const [low, high] = extremes(data);
  const largest = Math.max(-low, high) || 1;
  const square = (number) => {
    const size = Math.sqrt(Math.abs(number) / largest).toFixed(2);
    return element("td", {}, element("span", { class: number < 0 ? "mlp-negative" : "mlp-positive", style: `--size:${size}` }));
  };
  const rows = Array.from({ length: Math.min(height, IN_MAP) }, (_, i) => {
    return element("tr", {}, ...Array.from({ length: Math.min(width, IN_MAP) }, (_, j) => square(data[i * width + j])));
  });
  const cut = height > IN_MAP || width > IN_MAP ? `, the first ${counted(Math.min(height, IN_MAP), "row")} and ${counted(Math.min(width, IN_MAP), "column")}` : "";
  const mean = data.reduce((sum, number) => sum + number, 0) / data.length;
  const words = `from ${format(low)} to ${format(high)}, mean ${format(mean)}${cut}; hollow is negative`;
  const map = element("table", { class: "mlp-map", "aria-hidden": "true" }, element("tbody", {}, ...rows));
  return element("div", {}, element("p", { class: "mlp-caption" }, ...[caption].flat(), ` ${words}`), map);
}

// --- fields ----------------------------------------------------------------------------------------------------------

/**
 * A number as people write it, or the reason why it is none: with a decimal comma, groups of three digits, as a fraction, a
 * product, a power. A comma that may be either is asked about; where the number is to be whole, it groups digits.
 */
function readNumber(text, isWhole = false) {
  const written = `“${text.trim().slice(0, 30)}”`;
  if (!text.trim()) return { reason: "The field is empty: write a number." };
  if (text.length > 200) return { reason: `${written} is too long for a number.` }; // and its brackets for a recursion
  const tokens = plainSum(text).match(/(\d[\d.,]*|[.,]\d+)(e[+-]?\d+)?|\S/gi);
  const take = (signs) => tokens.length && signs.includes(tokens[0]) && tokens.shift();
  const chain = (part, signs, join) => {
    let value = part();
    for (let sign = take(signs); sign; sign = take(signs)) value = join(sign, value, part());
    return value;
  };
  const sum = () => chain(product, "+-", (sign, a, b) => (sign === "+" ? a + b : a - b));
  const product = () => chain(signed, "*/", (sign, a, b) => (sign === "*" ? a * b : a / b));
  const signed = () => (take("-") ? -signed() : take("+") ? signed() : power());
  const power = () => {
    const base = take("(") ? [sum(), tokens.length && take(")") !== ")" && refuse("is no number")][0] : digits(tokens.shift() ?? "");
    return take("^") ? base ** signed() : base;
  };
  const digits = (token) => {
    const [, plain, exponent = ""] = /^([\d.,]+)(e.+)?$/i.exec(token) ?? [];
    if (!plain || /^0\d.*,/.test(plain)) refuse("is no number");
    const isOneGroup = /^[1-9]\d{0,2},\d{3}$/.test(plain);
    if (isOneGroup && !isWhole) refuse(`may be ${plain.replace(",", "")} or ${plain.replace(",", ".")}: write it without a comma`);
    const mark = isOneGroup || BY_COMMAS.test(plain) ? "," : BY_POINTS.test(plain) ? "." : null;
    const point = (mark ? plain.replaceAll(mark, "") : plain).replace(",", ".");
    if (Number.isNaN(Number(point))) refuse("is no number");
    return Number(point + exponent);
  };
  const refuse = (why) => {
    throw new SyntaxError(`${written} ${why}.`);
  };
  try {
    const number = sum();
    if (tokens.length || Number.isNaN(number)) refuse("is no number");
    return Number.isFinite(number) ? { number: number + 0 } : { reason: `${written} is too large: no float64 holds it.` };
  } catch ({ message }) {
    return { reason: message };
  }
}

const BY_COMMAS = /^[1-9]\d{0,2}((,\d{3}){2,}|(,\d{3})+\.\d*)$/; // which group digits: 1,000,000 or 1,000.5
const BY_POINTS = /^[1-9]\d{0,2}((\.\d{3}){2,}|(\.\d{3})+,\d*)$/;

/** A sum as it is written, with the signs of a programmer: 10⁻³ as 10^(-3), ½ as (1/2), 8 × 64 as 8*64, 1 000 as 1000. */
function plainSum(text) {
  const digits = text.replace(/[⁻⁰¹²³⁴-⁹]+/g, "^($&)").replace(/[¼-¾]/g, "($&)").normalize("NFKC");
  const signs = digits.replace(/[−–]/g, "-").replace(/[×·⋅]/g, "*").replace(/[⁄÷]/g, "/").replace(/\*\*/g, "^");
  const whole = signs.replace(/[\d.,]+(e[+-]?\d+)?([ '’_][\d.,]+)+/gi, (text) => (BY_SPACES.test(text) ? text.replace(/[ '’_]/g, "") : text));
  return whole.replace(/([\d.,]*\d)\s*x\s*(?=\d)/gi, (text, number) => (/^0+x$/i.test(text) ? text : `${number}*`)); // 0x10 is no product
}

const BY_SPACES = /^[1-9]\d{0,2}([ '’_])\d{3}(\1\d{3})*([.,]\d*)?$/;

/** A number as text that reads back to the same number. */
function exactText(number) {
  return String(number).replace("-", "−");
}

/** The same where nobody writes: of many digits, six. */
function shortText(number) {
  const text = exactText(number);
  return text.length > SHORT ? format(number, 6) : text;
}

const [SHORT, WIDEST] = [8, 12]; // characters: a field shows so many as they are, and is at most so wide

/**
 * A field for a number. `take(number)` returns null, or the reason why it does not want it; then the last good value
 * stays, and comes back when the field is left. While the field has the focus it is the reader's: nothing else writes
 * into it, and what may yet become a good number ("-", "2e", the 0 of 0.05) is complained of when it is left, or at Enter.
 */
function numberField(label, take, complaint, attributes = {}, isWhole = false) {
  let [good, refusal] = [0, null];
  const read = (text) => readNumber(text, isWhole);
  const complain = (isTime) => {
    complaint.say(isTime && refusal && `${label}: ${refusal} It stays ${exactText(good)}.`);
    mark(isTime && refusal);
  };
  const input = element("input", {
    type: "text",
    inputmode: "decimal",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": label,
    "aria-describedby": complaint.element.id,
    ...attributes,
    oninput: () => {
      fit();
      const { number, reason } = read(input.value);
      refusal = reason ?? take(number);
      complain(reason && read(`${input.value}1`).reason);
      if (!refusal) good = number;
    },
    onkeydown: ({ key }) => key === "Enter" && complain(true),
    onfocus: () => put(exactText(good)) && input.select(), // as it is where a field is reached by Tab
    onblur: () => {
      if (refusal) complain(true);
      refusal = null;
      put(shortText(good));
      mark(false);
    },
  });
  const fit = () => input.style.setProperty("--chars", Math.min(input.value.length, WIDEST));
  /** Write a number into the field; whether it is another text. */
  const put = (text) => {
    if (input.value === text) return false;
    input.value = text;
    fit();
    return true;
  };
  const mark = (isWrong) => (isWrong ? input.setAttribute("aria-invalid", "true") : input.removeAttribute("aria-invalid"));
  const show = (number) => {
    good = number;
    if (document.activeElement !== input) put(shortText(number));
  };
  return { element: input, show };
}

/** A place for reasons: it speaks up when there is one. */
function complaintBox() {
  const box = element("p", { class: "mlp-complaint", role: "alert", id: uniqueId("complaint") });
  return { element: box, say: (reason) => write(box, reason ?? "") };
}

// --- what is remembered ----------------------------------------------------------------------------------------------

/** What this browser remembers for a view; where it may not remember, nothing. */
function recalled(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Private windows and full disks: the view works, and forgets.
  }
}

// --- views and their places ------------------------------------------------------------------------------------------

const STATE_FORMAT = "mlp-view";
const STATE_VERSION = 1;

/** The views by name, each (model, place, told) → a function that ends it. Fragments after this one add theirs. */
const VIEWS = { __proto__: null };

/** A refusal of data that is not what was written once; `why` begins with its sign. */
function damaged(why = "") {
  return new Refusal(`The data of this view is damaged${why}.`);
}

/** What a state tells; throws, in a sentence for the reader, if it is not one of ours. */
function readState(text) {
  let told;
  try {
    told = typeof text === "string" ? JSON.parse(text) : text;
  } catch {
    throw damaged();
  }
  if (told?.format !== STATE_FORMAT) throw new Refusal("The data of this view is not what this page can show.");
  if (!(told.version <= STATE_VERSION)) {
    throw new Refusal(`This view was made by a newer version (${told.version}); this page knows version ${STATE_VERSION}.`);
  }
  if (!VIEWS[told.view]) throw new Refusal(`This page has no view called “${told.view}”.`);
  return told;
}

/** Show a model in a place; what cannot be shown leaves a message there. Returns a function that ends the view. */
function renderView(model, place) {
  try {
    place.dir = "ltr"; // formulas, numbers and graphs are, whatever the page around them
    const told = readState(model.get("state"));
    const end = VIEWS[told.view](model, place, told);
    // JupyterLab takes arrow keys from whatever has the focus and is not written in, unless that very element says no.
    place.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
    return end;
  } catch (error) {
    const reason = error instanceof Refusal ? error.message : `The data of this view is damaged, or too much for this page (${error}).`;
    place.replaceChildren(element("p", { class: "mlp-message", role: "status" }, `${reason.replace(/\.?$/, ".")} It stays a picture here.`));
    return () => {};
  }
}

/** Listen to traits of a model, until the returned function is called. */
function follow(model, listeners) {
  const each = (what) => Object.entries(listeners).forEach(([trait, listener]) => model[what](`change:${trait}`, listener));
  each("on");
  return () => each("off");
}

function isSame(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** A model without a kernel: it keeps what it is given, and tells those who asked. */
function islandModel(content) {
  const listeners = new Map();
  return {
    get: (name) => content[name],
    set: (name, value) => {
      content[name] = value;
      for (const listener of listeners.get(`change:${name}`) ?? []) listener();
    },
    save_changes: () => {},
    on: (event, listener) => listeners.set(event, [...(listeners.get(event) ?? []), listener]),
    off: (event, listener) => listeners.set(event, (listeners.get(event) ?? []).filter((other) => other !== listener)),
  };
}

/** Give life to every figure of a page that carries a view's state. */
function hydrateIslands(root) {
  for (const figure of root.querySelectorAll("figure.mlp-view")) {
    if (figure.querySelector(":scope > .mlp-root")) continue;
    const place = element("div", { class: "mlp-root" });
    const told = islandContent(figure);
    renderView(islandModel(told), place);
    const still = figure.querySelector(":scope > img, :scope > svg, :scope > .mlp-still");
    if (place.querySelector(".mlp-message")) figure.prepend(place); // the picture stays: it is better than nothing
    else if (still) still.replaceWith(place);
    else figure.prepend(place);
    if (addressedStop(told.state?.name) !== null) place.scrollIntoView();
  }
}

function islandContent(figure) {
  try {
    const { state, svg } = JSON.parse(figure.querySelector(':scope > script[type="application/json"]').textContent);
    const inline = figure.querySelector(":scope > svg");
    return { state, svg: svg ?? inline?.outerHTML ?? "", step: state.step ?? 0, values: state.values, inPage: true };
  } catch {
    return { state: "" };
  }
}

// --- the page's address ----------------------------------------------------------------------------------------------

/** The stop that the address names for a view, as #name:stop; null if none. */
function addressedStop(name) {
  let address = location.hash.slice(1);
  try {
    address = decodeURIComponent(address);
  } catch {
    return null;
  }
  return name && address.startsWith(`${name}:`) ? address.slice(name.length + 1) : null;
}

const ADDRESS_AFTER = 150; // milliseconds: browsers refuse addresses that change too often

let addressTimer = null;

/** Let the address name a stop, once the reader rests there, without a new entry in the history. */
function setAddress(name, stop) {
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => {
    try {
      history.replaceState(history.state, "", `#${name}:${stop}`);
    } catch {
      // A page that may not: the view moves all the same.
    }
  }, ADDRESS_AFTER);
}
