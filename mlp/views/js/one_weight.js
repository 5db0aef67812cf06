/*
 * One weight: a slider moves it, J follows, and the slope of J over it is one number of the backward pass. Below, the
 * slopes of all weights, by nudging each and by one backward pass, with what either costs. The numbers (`Lab`) and the
 * curve (`curveChart`) are the stepper's.
 */

const SIDE = 32; // rows and columns of a matrix that are shown; fields reach the rest
const TICKS = 40; // in which all weights are nudged, if the reader sees motion
const TICK = 60; // milliseconds
const SLICE = 12; // milliseconds of nudging, after which the page has its turn

class OneWeightView {
  constructor(model, place, told) {
    this.model = model;
    this.told = told;
    this.lab = new Lab(told, model.get("values"));
    const all = this.lab.parameters.flatMap((name) => indicesOf(this.lab.values[name]).map((index) => ({ name, index, label: entryText(name, index) })));
    this.weights = new Map(all.map((weight) => [weight.label, weight]));
    this.chosen = this.find(model.get("chosen") ?? told.chosen);
    if (!this.chosen) throw damaged(": it has no such weight");
    this.centre = this.value;
    this.asks = told.ask === true; // whether the reader is still to say which way
    this.answer = "";
    this.status = liveRegion();
    this.parts = [objectiveOf, moverOf, weightsOf, waysOf].map((make) => make(this));
    const [head, mover, weights, ways] = this.parts.map((part) => part.element);
    const stage = element("div", { class: "mlp-stage" }, mover, weights);
    const attributes = { class: "mlp-ui mlp-one-weight", role: "group", "aria-label": `One weight of ${this.J}` };
    place.replaceChildren(element("div", attributes, head, stage, ways, this.status));
    this.unfollow = follow(model, {
      chosen: () => this.choose(this.find(model.get("chosen"))),
      values: () => this.lab.takeFrom(model) && this.redraw(true),
    });
    this.redraw();
  }

  end() {
    this.parts.forEach((part) => part.end?.());
    clearTimeout(this.timer);
    this.unfollow();
  }

  get J() {
    return unicodeName(this.lab.graph.objective);
  }

  get value() {
    return entryOf(this.lab.values[this.chosen.name], this.chosen.index);
  }

  /** A weight's entry of the gradient. */
  gradient({ name, index }) {
    return entryOf(this.lab.result.cotangents[name], index);
  }

  find({ name, index }) {
    return this.weights.get(entryText(name, index));
  }

  choose(weight) {
    if (!weight || weight === this.chosen) return;
    this.chosen = weight;
    this.centre = this.value;
    this.settle();
    this.tell("chosen", { name: weight.name, index: weight.index });
    this.redraw();
    this.say();
  }

  /** Move the chosen weight: null, or why not. */
  move(number) {
    const reason = this.lab.setEntry(this.chosen.name, this.chosen.index, number);
    if (reason === null) this.changed();
    return reason;
  }

  changed(before) {
    this.settle();
    this.tell("values", this.lab.nested());
    this.redraw(true);
    this.say(before);
  }

  reset() {
    this.lab.reset();
    this.centre = this.value;
    this.changed("The book's numbers are back. ");
  }

  /** The question is over: the curve and its slope are shown. */
  settle(answer = "") {
    this.asks = false;
    this.answer = answer;
  }

  /** Take the reader's answer, which way brings J down. */
  guess(sign) {
    const { gradient, corner } = this.slopes;
    const isRight = gradient * sign < 0;
    this.settle(corner || gradient === 0 ? "" : `You said ${sign > 0 ? "up" : "down"}: ${isRight ? "right" : "it is the other way"}. `);
    this.redraw();
    this.say();
  }

  tell(trait, value) {
    this.model.set(trait, value);
    this.model.save_changes();
  }

  /** What is new, in words, for those who listen; once the slider rests. */
  say(before = "") {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.status.textContent = `${before}${this.chosen.label} is ${format(this.value)}, ${this.J} is ${format(this.lab.result.J, 5)}. ${this.words}`;
    }, SAY_AFTER);
  }

  redraw(isMoved = false) {
    if (Math.abs(this.value - this.centre) > REACH) this.centre = this.value;
    this.slopes = slopesAt(this.lab, this.chosen);
    this.words = this.answer + slopeSentence(this);
    this.parts.forEach((part) => part.draw(isMoved));
  }
}

VIEWS["one-weight"] = (model, place, told) => {
  const view = new OneWeightView(model, place, told);
  return () => view.end();
};

/** Which way the chosen weight should move. */
function slopeSentence({ J, slopes: { gradient, left, right, corner } }) {
  const sides = `${format(left)} to the left, ${format(right)} to the right`;
  if (corner) return `A corner: ${J} has two slopes here, ${sides}. The backward pass says ${format(gradient)}, since the book takes φ′(0) = 0.`;
  if (Math.abs(gradient) < DUST) return `Raise it a little and ${J} stays where it is.`;
  const [way, move] = gradient > 0 ? ["rises", "lower"] : ["falls", "raise"];
  return `Raise it a little and ${J} ${way} at ${format(Math.abs(gradient))} per unit: to bring ${J} down, ${move} it.`;
}

/** J, and the way back. */
function objectiveOf(view) {
  const now = element("strong", { class: "mlp-objective" });
  const book = element("span", { class: "mlp-changes" });
  const back = resetButton(() => view.reset());
  const draw = () => {
    const { isEdited, bookJ, result } = view.lab;
    now.textContent = `${view.J} = ${format(result.J, 5)}`;
    book.textContent = isEdited ? `The book's numbers give ${format(bookJ, 5)}.` : "";
    switchOff(back, !isEdited);
  };
  return { element: element("p", { class: "mlp-top" }, now, book, back), draw };
}

// --- the chosen weight -----------------------------------------------------------------------------------------------

function moverOf(view) {
  const complaint = complaintBox();
  const chart = element("div", { class: "mlp-chart" });
  const slider = element("input", { type: "range", step: 0.05, oninput: () => set(Number(slider.value)) });
  const set = (number) => complaint.say(view.move(Number(number.toPrecision(12))));
  const nudge = (sign, text, by) => button([icon(sign), unseen(text)], () => set(view.value + by), { class: "mlp-nudge" });
  const [less, more] = [nudge("−", "less by 0.1", -0.1), nudge("+", "more by 0.1", 0.1)];
  const row = element("div", { class: "mlp-setting" });
  const slope = element("data");
  const which = element("span");
  const words = element("p", { class: "mlp-words" });
  const says = element("div", { class: "mlp-says" }, element("p", { class: "mlp-slope" }, "slope ", slope, " = ", which, ", found by one backward pass"), words);
  const guess = (label, sign) => button(label, () => (view.guess(sign), slider.focus()), { class: "mlp-primary" });
  const question = element("div", { class: "mlp-ask" }, element("p", {}, `Which way should it go, to bring ${view.J} down?`), element("div", { class: "mlp-bar" }, guess("Up", 1), guess("Down", -1)));
  let field = null;
  let shown = null;
  const draw = () => {
    const { chosen, centre, value, slopes, lab } = view;
    if (shown !== chosen) {
      shown = chosen;
      const id = uniqueId("weight");
      field = numberField(chosen.label, (number) => view.move(number), complaint, { id, size: 6 });
      field.element.removeAttribute("aria-label");
      row.replaceChildren(element("label", { for: id }, chosen.label), less, field.element, more);
      complaint.say(null);
    }
    field.show(value);
    furnished(slider, { "aria-label": `Slide ${chosen.label}`, "aria-valuetext": format(value), min: centre - REACH, max: centre + REACH }, []);
    slider.value = value;
    chart.replaceChildren(curveChart(lab, { ...chosen, centre }, value, slopes), view.asks ? question : "");
    for (const part of [chart.firstChild, says]) part.classList.toggle("mlp-later", view.asks);
    const cotangent = unicodeCotangent(lab.graph, chosen.name);
    slope.value = view.gradient(chosen);
    slope.textContent = format(view.gradient(chosen));
    which.textContent = chosen.index.length ? `the entry (${chosen.index.map((k) => k + 1).join(", ")}) of ${cotangent}` : cotangent;
    words.textContent = view.words;
  };
  return { element: element("div", { class: "mlp-mover" }, row, complaint.element, chart, slider, says), draw };
}

// --- all weights, one of which is chosen -----------------------------------------------------------------------------

/** A table for each parameter, or its beginning; `cell(weight)` makes an entry. Afterwards `refresh()` shows it anew. */
function tablesOf(view, caption, className, cell) {
  const { lab } = view;
  const tables = lab.parameters.map((name) => {
    const read = () => beginning(lab.values[name]);
    return { read, ...matrixTable(caption(name), read(), { className, entry: (index) => cell(view.find({ name, index })) }) };
  });
  return { elements: tables.map((table) => table.element), refresh: () => tables.forEach((table) => table.refresh(table.read())) };
}

/** The first rows and columns of a large matrix; of any other, all. */
function beginning(matrix) {
  const size = matrix.shape.map((count) => Math.min(count, SIDE));
  return size.length ? build(size, (i, j) => at(matrix, i, j)) : matrix;
}

function weightsOf(view) {
  const group = uniqueId("weights");
  const radios = new Map();
  const complaint = complaintBox();
  const pick = (weight) => {
    const text = element("span");
    const radio = element("input", { type: "radio", name: group, onchange: () => view.choose(weight) });
    radios.set(weight, radio);
    const show = (number) => {
      text.textContent = format(number, 3);
      radio.setAttribute("aria-label", `${weight.label}: ${format(number)}`);
    };
    return { element: element("label", { class: "mlp-pick" }, radio, text), show };
  };
  const caption = (name) => [element("strong", {}, unicodeName(name)), ` ${sizeText(view.lab.shapes[name])}`];
  const tables = tablesOf(view, caption, "", pick);
  const fields = radios.size < view.weights.size ? ["row", "column"].map((label, axis) => placeField(view, label, axis, complaint)) : [];
  /** Up and down go to the entry above and below; the browser itself goes left and right. */
  const onkeydown = (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const { name, index: [row, column] } = view.chosen;
    const radio = by && radios.get(view.find({ name, index: [row + by, column] }));
    if (!radio) return;
    event.preventDefault();
    radio.focus();
    radio.click();
  };
  const draw = (isMoved) => {
    if (isMoved) tables.refresh();
    fields.forEach((field) => field.draw());
    radios.forEach((radio, weight) => (radio.checked = weight === view.chosen));
  };
  const legend = element("legend", { class: "mlp-hint" }, "Choose another weight: tap it, or use the arrow keys.");
  const arrays = element("div", { class: "mlp-arrays", onkeydown }, ...tables.elements);
  const row = element("div", { class: "mlp-settings" }, ...fields.map((field) => field.element), complaint.element);
  return { element: element("fieldset", { class: "mlp-weights" }, legend, arrays, row), draw };
}

/** Row or column of the chosen weight, where not every weight is in sight. */
function placeField(view, label, axis, complaint) {
  const take = (number) => {
    const { name, index } = view.chosen;
    const weight = view.find({ name, index: index.map((k, side) => (side === axis ? number - 1 : k)) });
    if (!weight) return `${unicodeName(name)} is ${sizeText(view.lab.shapes[name])}, counted from 1.`;
    view.choose(weight);
    return null;
  };
  const field = numberField(label, take, complaint, { size: 4 });
  const shown = element("span", { class: "mlp-setting" }, element("span", { "aria-hidden": "true" }, label), field.element);
  return { element: shown, draw: () => field.show((view.chosen.index[axis] ?? 0) + 1) };
}

// --- all slopes, two ways --------------------------------------------------------------------------------------------

function waysOf(view) {
  const { lab } = view;
  const weights = [...view.weights.values()];
  const count = weights.length;
  const verdict = element("p", { class: "mlp-verdict", role: "status" });
  const nudges = wayOf(view, "Nudge every weight", () => (timer === null ? start() : stop()));
  const back = wayOf(view, "One backward pass", () => backward());
  let [made, corners, missed, error, isOff, timer, isBack] = [0, 0, 0, 0, false, null, false];
  const start = () => {
    [made, corners, missed, error, isOff] = [0, 0, 0, 0, false];
    nudges.clear();
    tick();
  };
  const stop = () => {
    clearTimeout(timer);
    timer = null;
    draw();
  };
  /** Some weights more, each by two forward passes; then the page has its turn. */
  const tick = () => {
    const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const until = performance.now() + SLICE;
    const goal = isStill ? count : Math.min(count, made + Math.ceil(count / TICKS));
    do {
      const weight = weights[made];
      const plain = difference(lab.graph, lab.result.values, weight.name, weight.index);
      const found = judge(lab.graph, lab.result.values, weight.name, weight.index, view.gradient(weight), plain);
      nudges.enter(weight, plain.slope);
      if (plain.corner) corners += 1;
      else if (found.reason) missed += 1;
      else {
        error = Math.max(error, Math.abs(found.slope - view.gradient(weight)));
        isOff ||= found.error > TOLERANCE;
      }
      made += 1;
    } while (made < goal && performance.now() < until);
    timer = made < count ? setTimeout(tick, isStill ? 0 : TICK) : null;
    draw();
  };
  const backward = () => {
    isBack = true;
    for (const weight of weights) back.enter(weight, view.gradient(weight));
    draw();
  };
  const draw = (isMoved = false) => {
    if (isMoved) {
      clearTimeout(timer);
      [made, timer, isBack] = [0, null, false];
      nudges.clear();
      back.clear();
    }
    nudges.tell(2 * made, `${made < count ? `of ${2 * count} ` : ""}forward passes`, timer === null ? null : "Stop");
    back.tell(isBack ? 1 : 0, isBack ? "backward pass, after 1 forward" : "backward passes");
    const text = isBack ? (made === count ? agreement(view, count, corners, missed, error, isOff) : "") + steepestText(view, weights) : "";
    write(verdict, text);
  };
  const title = element("p", { class: "mlp-hint" }, `${count === 1 ? "Its slope" : `The slopes of all ${count} weights`}, found in two ways:`);
  const columns = element("div", { class: "mlp-ways" }, nudges.element, back.element);
  return { element: element("section", { class: "mlp-all", "aria-label": "All slopes" }, title, columns, verdict), draw, end: stop };
}

/** One way to all slopes: a button, what it has cost, and a table for each parameter, which fills. */
function wayOf(view, label, onclick) {
  const go = button(label, onclick, { class: "mlp-primary" });
  const passes = element("strong");
  const what = element("span");
  const cells = new Map();
  const unknown = (weight) => {
    const node = element("span");
    cells.set(weight, node);
    return { element: node, show: () => (node.textContent = "·") };
  };
  const caption = (name) => [element("strong", {}, unicodeCotangent(view.lab.graph, name)), unseen(`, ${label}`)];
  const tables = tablesOf(view, caption, "mlp-is-cotangent", unknown);
  const enter = (weight, slope) => cells.has(weight) && (cells.get(weight).textContent = format(slope));
  const tell = (number, text, other) => {
    passes.textContent = number;
    what.textContent = ` ${text}`;
    go.textContent = other ?? label;
    cells.forEach((node, weight) => node.parentNode.classList.toggle("mlp-chosen", weight === view.chosen));
  };
  const arrays = scrollBox(`Slopes, ${label}`, { class: "mlp-arrays" }, ...tables.elements);
  return { element: element("div", { class: "mlp-way" }, go, element("p", { class: "mlp-passes" }, passes, what), arrays), clear: tables.refresh, enter, tell };
}

function agreement({ J }, count, corners, missed, error, isOff) {
  const apart = error === 0 ? "to the last bit" : `to within ${format(error, 1)}`;
  const measured = count - corners - missed;
  const all = measured < count ? `${measured} of ${counted(count, "slope")}` : count === 1 ? "the slope" : `all ${count} slopes`;
  const verdict = !measured ? "" : isOff ? `✗ The two differ by up to ${format(error, 2)}. ` : `✓ The two agree on ${all}, ${apart}. `;
  const unknown = missed ? `– At ${missed} nudging cannot tell: J's last digits, or corners on both sides, hide the slope. ` : "";
  return verdict + unknown + (corners ? `At ${counted(corners, "weight")} ${J} has a corner: nudging gives the mean of two slopes, and the book takes φ′(0) = 0. ` : "");
}

/** Whether what a weight moves has an operator at its corner. It computes nothing, since passes are counted. */
function isNearCorner({ graph, result: { values } }, { name }) {
  const reached = descendantsOf(graph, [name]);
  return graph.equations.some(({ op, inputs: [z] }) => OPS[op].corner === true && reached.has(z) && values[z].data.includes(0));
}

/** The answer to the page's question. */
function steepestText(view, weights) {
  const size = (weight) => Math.abs(view.gradient(weight));
  const most = weights.reduce((best, other) => (size(other) > size(best) ? other : best));
  if (size(most) < DUST) return `All slopes are 0: no small move of one weight changes ${view.J}.`;
  const slope = view.gradient(most);
  const steepest = `The steepest is at ${most.label}: ${format(slope)}. `;
  if (isNearCorner(view.lab, most)) return `${steepest}But a unit that it moves is at its corner, so the slopes to the left and to the right may differ.`;
  return `${steepest}${slope > 0 ? "Lower" : "Raise"} that weight, and ${view.J} falls fastest.`;
}
