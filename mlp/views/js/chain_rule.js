/*
 * The chain rule. In the scene "paths" every variable is one number: along a path from J the factors multiply, one more
 * with each step, and over all paths the products add up. In the scene "operator" one equation takes a cotangent back in
 * three stages: its Jacobian times the cotangent, the same without the zeros, and the shortcut that the engine computes.
 * Everything is computed here, from the evaluator's own rules.
 */

const IN_JACOBIAN = 1024; // entries that are shown; more make a table that nobody reads
const IN_MEMORY = 1 << 18; // entries that are computed
const FLOAT = 8; // bytes of a number

class ChainRuleView {
  constructor(model, place, told) {
    Object.assign(this, { model, told, isPaths: told.scene === "paths" });
    this.lab = new Lab(told, model.get("values"));
    this.names = Object.keys(told.ways);
    this.chosen = this.known(model.get("chosen") ?? told.chosen);
    this.stage = this.within(model.get("stage") ?? told.stage ?? 0);
    this.status = liveRegion();
    const options = this.names.map((name) => [name, this.isPaths ? unicodeName(name) : edgeText(...name.split("/"))]);
    this.choice = choice(this.isPaths ? `How ${this.J} depends on` : "Take the cotangent back through", options, (name) => this.choose(name));
    this.scene = (this.isPaths ? pathsOf : operatorOf)(this);
    this.numbers = numbersOf(this);
    const label = this.isPaths ? "The chain rule, path by path" : "The chain rule, one operator";
    const attributes = { class: "mlp-ui mlp-chain-rule", role: "group", "aria-label": label };
    const top = element("div", { class: "mlp-settings" }, this.choice.element, this.scene.controls);
    place.replaceChildren(element("div", attributes, top, this.scene.element, this.numbers.element, this.status));
    this.end = follow(model, {
      chosen: () => this.choose(model.get("chosen")),
      stage: () => this.go(model.get("stage")),
      values: () => this.lab.takeFrom(model) && this.draw(),
    });
    this.draw();
  }

  get J() {
    return unicodeName(this.lab.graph.objective);
  }

  get most() {
    return this.isPaths ? extremes(this.told.ways[this.chosen].map((path) => path.length))[1] : 2;
  }

  known(name) {
    if (!this.names.includes(name)) throw damaged(": it has no such way");
    return name;
  }

  within(stage) {
    return Math.max(0, Math.min(this.most, Number(stage) || 0));
  }

  choose(name) {
    if (name === this.chosen || !this.names.includes(name)) return;
    this.chosen = name;
    this.stage = this.within(this.isPaths ? this.stage : 0);
    this.tell({ chosen: name, stage: this.stage });
    this.draw();
  }

  go(stage) {
    const next = this.within(stage);
    if (next === this.stage) return;
    this.stage = next;
    this.tell({ stage: next });
    this.draw();
  }

  /** The reader has changed a number. */
  changed(before = "") {
    this.tell({ values: this.lab.nested() });
    this.draw(before);
  }

  tell(traits) {
    for (const [trait, value] of Object.entries(traits)) this.model.set(trait, value);
    this.model.save_changes();
  }

  draw(before = "") {
    this.choice.select.value = this.chosen;
    const words = this.scene.draw();
    this.numbers.draw();
    write(this.status, before + words);
  }
}

VIEWS["chain-rule"] = (model, place, told) => {
  return new ChainRuleView(model, place, told).end;
};

/** "∂o/∂W⁽²⁾". */
function edgeText(output, source) {
  return `∂${unicodeName(output)}/∂${unicodeName(source)}`;
}

/** What one equation makes of a cotangent of its output, for one of its inputs. */
function takenBack({ graph, result }, [equation, argnum], delta) {
  const { inputs, output, attrs } = graph.equations[equation];
  const { saves, rule } = vjpOf(graph.equations[equation], argnum);
  const names = { [OWN]: inputs[argnum], out: output };
  return rule(delta, saves.map((what) => result.values[inputs[what] ?? names[what]]), attrs);
}

/** The numbers that the reader may change, folded away. */
function numbersOf(view) {
  const { lab } = view;
  const complaint = complaintBox();
  const tables = lab.given.map((name) => {
    const entry = (index) => numberField(entryText(name, index), (number) => take(name, index, number), complaint, { size: 4 });
    const caption = [element("strong", {}, unicodeName(name)), ` ${sizeText(lab.shapes[name])}`];
    return { name, ...matrixTable(caption, lab.values[name], { entry: lab.values[name].data.length <= IN_TABLE ? entry : null }) };
  });
  const take = (name, index, number) => {
    const reason = lab.setEntry(name, index, number);
    if (reason === null) view.changed();
    return reason;
  };
  const reset = () => {
    lab.reset();
    complaint.say(null);
    view.changed("The book's numbers are back. ");
  };
  const back = resetButton(reset);
  const arrays = element("div", { class: "mlp-arrays" }, ...tables.map((table) => table.element));
  const summary = element("summary", {}, "Change the numbers");
  const draw = () => tables.forEach((table) => table.refresh(lab.values[table.name]));
  return { element: element("details", { class: "mlp-numbers" }, summary, arrays, complaint.element, back), draw };
}

// --- paths -----------------------------------------------------------------------------------------------------------

function pathsOf(view) {
  const list = element("ol", { class: "mlp-paths" });
  const total = element("p", { class: "mlp-verdict" });
  const move = (by) => view.go(view.stage + by);
  const less = button([icon("←"), " Back"], () => move(-1));
  const more = button(["Next factor ", icon("→")], () => move(1), { class: "mlp-primary" });
  const place = element("output", { class: "mlp-place" });
  const controls = element("span", { class: "mlp-setting" }, less, more, place);
  const draw = () => {
    const { lab, stage, chosen, most, J } = view;
    const paths = view.told.ways[chosen];
    const slopes = paths.map((path) => path.map((edge) => takenBack(lab, edge, unitOf(lab, edge)).data[0]));
    list.replaceChildren(...paths.map((path, k) => pathOf(view, path, slopes[k])));
    switchOff(less, stage === 0);
    switchOff(more, stage === most);
    write(place, `${stage} of ${counted(most, "factor")}`);
    const words = stage < most ? factorWords(view, paths, slopes) : totalWords(view, paths, slopes);
    write(total, stage < most ? `Start at ${J} and multiply by one factor after the other, towards ${unicodeName(chosen)}.` : words);
    return words;
  };
  return { element: element("div", { class: "mlp-scene" }, scrollBox("Paths", {}, list), total), controls, draw };
}

/** The cotangent 1, in the shape of an equation's output. */
function unitOf({ graph, result }, [equation]) {
  return elementwise(() => 1, result.values[graph.equations[equation].output]);
}

/** One path: J, and after each factor that is uncovered the variable it leads to, with the product so far. */
function pathOf({ lab, stage, J }, path, slopes) {
  let product = 1;
  const items = path.flatMap(([equation, argnum], k) => {
    const { output, inputs } = lab.graph.equations[equation];
    const isOpen = k < stage;
    product *= slopes[k];
    const factor = element("span", { class: "mlp-factor" }, element("span", {}, edgeText(output, inputs[argnum])), element("strong", {}, isOpen ? `× ${format(slopes[k])}` : "× ?"));
    const reached = element("span", { class: "mlp-reached" }, element("span", {}, unicodeName(inputs[argnum])), element("strong", {}, isOpen ? format(product) : "·"));
    return [element("li", { class: isOpen ? "" : "mlp-later" }, factor, icon("→"), reached)];
  });
  const start = element("span", { class: "mlp-reached" }, element("span", {}, J), element("strong", {}, "1"));
  return element("li", {}, element("ol", { class: "mlp-path" }, element("li", {}, start), ...items));
}

/** The factor that was uncovered last, for those who listen. */
function factorWords({ lab, stage, J }, paths, slopes) {
  if (stage === 0) return `Start at ${J} with 1.`;
  const said = paths.flatMap((path, k) => {
    if (stage > path.length) return [];
    const { output, inputs } = lab.graph.equations[path[stage - 1][0]];
    const below = inputs[path[stage - 1][1]];
    const product = slopes[k].slice(0, stage).reduce((a, b) => a * b, 1);
    return [`${edgeText(output, below)} is ${format(slopes[k][stage - 1])}, so along path ${k + 1} ∂${J}/∂${unicodeName(below)} is ${format(product)}.`];
  });
  return said.join(" ");
}

/** The sum over all paths, beside the backward pass and a nudge. */
function totalWords({ lab, chosen, J }, paths, slopes) {
  const products = slopes.map((path) => path.reduce((a, b) => a * b, 1));
  const sum = products.reduce((a, b) => a + b, 0);
  const { slope, corner } = difference(lab.graph, lab.result.values, chosen, indicesOf(lab.result.values[chosen])[0]);
  const terms = products.map((product) => (product < 0 && products.length > 1 ? `(${format(product)})` : format(product))).join(" + ");
  const added = products.length > 1 ? `${terms} = ${format(sum)}` : `${format(sum)}, along the only path`;
  const nudged = corner ? "a nudge meets a corner, where there are two slopes" : `nudging ${unicodeName(chosen)} gives ${format(slope)}`;
  const kept = lab.result.cotangents[chosen].data[0];
  return `∂${J}/∂${unicodeName(chosen)} = ${added}. The backward pass has ${format(kept)}; ${nudged}.`;
}

// --- one operator ----------------------------------------------------------------------------------------------------

const STAGES = ["Jacobian × cotangent", "Without the zeros", "The shortcut"];

function operatorOf(view) {
  const group = uniqueId("stage");
  const radios = STAGES.map((name, k) => {
    const input = element("input", { type: "radio", name: group, onchange: () => view.go(k) });
    return { input, element: element("label", {}, input, ` ${k + 1}. ${name}`) };
  });
  const controls = element("fieldset", { class: "mlp-stages" }, element("legend", { class: "mlp-unseen" }, "Stage"), ...radios.map((radio) => radio.element));
  const words = element("p", { class: "mlp-words" });
  const shown = element("div", { class: "mlp-folding" });
  const costs = element("div", { class: "mlp-costs" });
  const draw = () => {
    radios.forEach(({ input }, k) => (input.checked = k === view.stage));
    const folded = foldedOf(view);
    write(words, stageWords(view, folded));
    shown.replaceChildren(...stageParts(view, folded));
    costs.replaceChildren(costTable(view, folded));
    return words.textContent;
  };
  return { element: element("div", { class: "mlp-scene" }, words, shown, scrollBox("What each stage takes", {}, costs)), controls, draw };
}

/** One equation's way back, in all three stages; `matrix` is null where it would be too large even to make. */
function foldedOf({ lab, told, chosen }) {
  const [output, source] = chosen.split("/");
  const edges = told.ways[chosen];
  const [delta, into] = [lab.result.cotangents[output], lab.result.values[source]];
  const [rows, columns] = [delta.data.length, into.data.length];
  const added = (cotangent) => edges.map((edge) => takenBack(lab, edge, cotangent)).reduce(plus);
  const shortcut = added(delta);
  const { op, inputs } = lab.graph.equations[edges[0][0]];
  const factors = inputs.map((name) => lab.shapes[name]);
  const work = op === "matmul" ? factors[0][0] * factors[0][1] * factors[1][1] : columns;
  const base = { output, source, delta, into, rows, columns, shortcut, work: work * edges.length };
  if (rows * columns > IN_MEMORY) return { ...base, matrix: null, filled: null, dense: null, sparse: null };
  const matrix = { shape: [rows, columns], data: new Float64Array(rows * columns) };
  for (let k = 0; k < rows; k++) {
    const unit = { shape: delta.shape, data: delta.data.map((_, other) => (other === k ? 1 : 0)) };
    matrix.data.set(added(unit).data, k * columns);
  }
  const result = (keep) => {
    const sums = new Float64Array(columns);
    matrix.data.forEach((slope, k) => keep(slope) && (sums[k % columns] += slope * delta.data[Math.floor(k / columns)]));
    return { shape: into.shape, data: sums };
  };
  const filled = matrix.data.reduce((count, slope) => count + (slope !== 0), 0);
  return { ...base, matrix, filled, dense: result(() => true), sparse: result((slope) => slope !== 0) };
}

/** What a way back ends in: a cotangent, or an instalment to it where the variable is read elsewhere too. */
function shareName(lab, source) {
  const readers = lab.graph.equations.flatMap(({ inputs }) => inputs).filter((name) => name === source).length;
  return `${readers > 1 ? "instalment to " : ""}${unicodeCotangent(lab.graph, source)}`;
}

/** How far two results are apart, as a part of the largest entry. */
function apartness(A, B) {
  const size = Math.max(1, sizeOf(B));
  return A.data.reduce((most, a, k) => Math.max(most, Math.abs(a - B.data[k]) / size), 0);
}

function stageWords({ lab, stage, J }, { output, source, delta, into, matrix, rows, columns, filled, work }) {
  const [name, back] = [edgeText(output, source), shareName(lab, source)];
  const isFlat = [delta, into].some(({ shape }) => shape.length && Math.min(...shape) > 1);
  if (!matrix && stage < 2) return `${name} would have ${rows} × ${columns} entries, ${bytesText(rows * columns * FLOAT)}: too many to make here. The shortcut makes none of them.`;
  if (stage === 0) {
    const [outputs, inputs] = [sideText("row", rows, output), sideText("column", columns, source)];
    const cotangent = `∂${J}/∂${unicodeName(output)}, which has the shape of ${unicodeName(output)}`;
    return `The table has ${outputs} and ${inputs}. Its transpose times the cotangent ${cotangent}, is ${back.startsWith("instalment") ? "an " : ""}${back}.${isFlat ? " Matrices are read row by row." : ""}`;
  }
  if (stage === 1) return `${filled} of ${counted(rows * columns, "entry", "entries")} ${filled === 1 ? "is" : "are"} not 0 with these numbers.${filled < rows * columns ? " The others are multiplied, added, and change nothing." : ""}`;
  const columnsOf = delta.shape[1] > 1 ? `, all ${delta.shape[1]} examples at once` : "";
  const more = filled !== null && work > filled ? ` Stage 2 has ${filled}, as it also leaves out zeros that only these numbers bring; the engine does not look for them.` : "";
  return `What the engine computes: no Jacobian at all, ${counted(work, "multiplication")}${columnsOf}, the same numbers.${more}`;
}

/** "a row for each of the 4 entries of h", "one row for s". */
function sideText(what, count, name) {
  return count > 1 ? `a ${what} for each of the ${count} entries of ${unicodeName(name)}` : `one ${what} for ${unicodeName(name)}`;
}

function stageParts({ lab, told, chosen, stage }, folded) {
  const { output, source, delta, matrix, shortcut, dense, sparse } = folded;
  const title = (name, shape) => [element("strong", {}, name), ` ${sizeText(shape)}`];
  const plain = { className: "mlp-is-cotangent" };
  const result = [dense, sparse, shortcut][stage] ?? shortcut;
  const cotangent = matrixTable(title(unicodeCotangent(lab.graph, output), delta.shape), delta, plain).element;
  const made = matrixTable(title(shareName(lab, source), result.shape), result, plain).element;
  const sign = (text) => element("span", { class: "mlp-sign", "aria-hidden": "true" }, text);
  if (stage === 2) {
    const formula = formulaRows(told.rules[chosen], () => mathNode("mtext", {}, ""));
    return [element("div", { class: "mlp-rule" }, ...formula), sign("="), made];
  }
  if (!matrix) return [];
  return [jacobianTable(lab, folded, stage === 1), sign("ᵀ ×"), cotangent, sign("="), made];
}

/** The Jacobian as a heat map that is a table: shade for size, the number for everything else. */
function jacobianTable(lab, { output, source, matrix, rows, columns }, isFolded) {
  const caption = `${edgeText(output, source)}, ${rows} by ${columns}`;
  const largest = sizeOf(matrix) || 1;
  const isCut = rows * columns > IN_JACOBIAN;
  const [down, across] = isCut ? [Math.min(rows, 16), Math.min(columns, 16)] : [rows, columns];
  const names = (name, count) => indicesOf(lab.result.values[name]).slice(0, count).map((index) => entryLabel(name, index, lab.shapes[name]));
  const cell = (slope) => {
    const shade = `--heat:${Math.round((70 * Math.abs(slope)) / largest)}%`;
    const isGone = isFolded && slope === 0;
    return element("td", { class: isGone ? "mlp-struck" : "", style: shade }, isGone ? unseen("0, left out") : format(slope, 3));
  };
  const body = names(output, down).map((label, k) => {
    const cells = Array.from({ length: across }, (_, l) => cell(matrix.data[k * columns + l]));
    return element("tr", {}, element("th", { scope: "row" }, label), ...cells);
  });
  const table = element("table", { class: "mlp-heat" }, element("caption", { class: "mlp-unseen" }, caption), headOfTable(["", ...names(source, across)]), element("tbody", {}, ...body));
  const cut = isCut ? ` Shown: the first ${counted(down, "row")} and ${counted(across, "column")}.` : "";
  return element("div", { class: "mlp-array" }, element("p", { class: "mlp-caption" }, element("strong", {}, edgeText(output, source)), ` ${rows}×${columns}.${cut}`), scrollBox(caption, {}, table));
}

/** "h₂" of a column, "W⁽²⁾₁₃" of a matrix. */
function entryLabel(name, index, shape) {
  const below = (k) => [...String(k + 1)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");
  const places = shape.length && shape[1] === 1 ? index.slice(0, 1) : index;
  const separator = shape.some((count) => count > 9) && places.length > 1 ? "," : "";
  return unicodeName(name) + places.map(below).join(separator);
}

function costTable({ stage }, { matrix, rows, columns, filled, work, dense, sparse, shortcut }) {
  const same = (other) => (other === null ? "not made" : apartness(other, shortcut) <= 1e-12 ? "✓ equal" : "✗ differs");
  const lines = [
    [rows * columns * FLOAT, rows * columns, same(dense)],
    [matrix && filled * FLOAT, matrix && filled, same(sparse)],
    [0, work, "the engine's own"],
  ];
  const row = ([bytes, count, verdict], k) => {
    const texts = [bytes === null ? "?" : bytesText(bytes), count === null ? "?" : count.toLocaleString("en"), verdict];
    const current = k === stage ? { "aria-current": "true", class: "mlp-chosen" } : {};
    return element("tr", current, element("th", { scope: "row" }, `${k + 1}. ${STAGES[k]}`), ...texts.map((text) => element("td", {}, text)));
  };
  return element("table", {}, element("caption", { class: "mlp-unseen" }, "What each stage takes"), headOfTable(["Stage", "Jacobian held", "Multiplications", "Result"]), element("tbody", {}, ...lines.map(row)));
}
