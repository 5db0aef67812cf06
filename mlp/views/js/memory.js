/*
 * Memory: every byte of a training step from a few settings, without running it, and what to do where it does not fit.
 *
 * The first half is mlp/networks.py, mlp/steps.py, mlp/memory.py and two plans of mlp/checkpoint.py once more, for the
 * networks that `network` makes; a browser test holds it to them, to the byte. The second half is the view, whose words
 * come with its state.
 */

// --- the account -----------------------------------------------------------------------------------------------------

const KINDS = ["parameters", "inputs", "gradients", "optimizer", "kept", "workspace"];
const INPUTS = 1;
const GRADIENTS = 2;
const OPTIMIZER = 3;

/** The graph of `network(widths, batch, …)`. */
function networkOf(widths, batch, { activation, loss, bias, weight_decay }) {
  const variables = [];
  const equations = [];
  const layers = widths.length - 1;
  const variable = (name, shape, role) => (variables.push({ name, shape, role }), name);
  const equation = (op, inputs, output, shape, attrs = {}) => {
    equations.push({ op, inputs, output, attrs });
    return variable(output, shape, "intermediate");
  };
  const weights = [];
  let below = variable("x", [widths[0], batch], "input");
  for (let layer = 1; layer <= layers; layer++) {
    const number = layers === 2 ? "" : layer;
    const above = layer === layers ? "o" : `z${number}`;
    const shape = [widths[layer], batch];
    weights.push(variable(`W${layer}`, [widths[layer], widths[layer - 1]], "parameter"));
    equation("matmul", [`W${layer}`, below], bias ? `a${layer}` : above, shape);
    if (bias) equation("bias", [`a${layer}`, variable(`b${layer}`, [widths[layer], 1], "parameter")], above, shape);
    if (layer < layers) below = equation(activation, [above], `h${number}`, shape);
  }
  variable("y", [widths[layers], batch], "target");
  equation(loss, ["o", "y"], "L", []);
  equation("l2", weights, "s", [], { weight_decay });
  equation("add", ["L", "s"], "J", []);
  return { variables, equations, objective: "J", output: "o" };
}

/** Every array by name, values and cotangents: its shape, and its kind as a place in KINDS. */
function shapesAndKinds(graph) {
  const found = new Map();
  for (const { name, shape, role } of graph.variables) {
    found.set(name, { shape, kind: { parameter: 0, intermediate: 4 }[role] ?? INPUTS });
    found.set(cotangentName(graph, name), { shape, kind: GRADIENTS });
  }
  return found;
}

/**
 * The steps of one pass, and with each the arrays that are born with it and those that nobody reads after it; and what
 * the caller brings. `policy` is "predict", "keep_all", "residuals", or a whole number k: keep every k-th layer's value
 * and compute the others again. Sizes play no part: a pass holds for other widths and batches too.
 */
function passOf(graph, policy) {
  const { equations, objective } = graph;
  const arrays = shapesAndKinds(graph);
  const isGiven = (name) => arrays.get(name).kind < GRADIENTS;
  const needsGradient = (name) => arrays.get(name).kind !== INPUTS; // a network's objective depends on all else
  const used = policy === "predict" ? ancestorsOf(graph, graph.output) : arrays;
  const brought = graph.variables.map(({ name }) => name).filter((name) => isGiven(name) && used.has(name));

  /** What a VJP reads besides the cotangent. */
  const saved = (equation, argnum) => {
    const sources = { [OWN]: equation.inputs[argnum], out: equation.output };
    return vjpOf(equation, argnum).saves.map((what) => equation.inputs[what] ?? sources[what]);
  };

  /** Of a layer whose input and value are there, the equations that must run again: those that make what φ′ reads. */
  const refill = (layer) => (OPS[equations[layer.at(-1)].op].vjps[0].saves.includes(0) ? layer.slice(0, -1) : []);

  const turns = [];
  const forward = (some) => some.forEach((k) => turns.push({ k, isBack: false }));
  const backward = (some) => [...some].reverse().forEach((k) => turns.push({ k, isBack: true }));
  const all = [...equations.keys()];
  forward(all.filter((k) => used.has(equations[k].output)));
  if (typeof policy === "number") {
    const starts = all.filter((k) => equations[k].op === "matmul");
    const layers = starts.map((start, k) => all.slice(start, starts[k + 1]));
    for (let start = Math.floor((layers.length - 1) / policy) * policy; start >= 0; start -= policy) {
      const segment = layers.slice(start, start + policy);
      // The last segment has just run; the value of a segment's last layer was kept.
      if (start + policy < layers.length) forward([...segment.slice(0, -1).flat(), ...refill(segment.at(-1))]);
      backward(segment.flat());
    }
  } else if (policy !== "predict") backward(all);

  const started = new Set(); // arrays that hold a value, or an instalment that is not 0
  const steps = [];
  const step = (more) => steps.push({ born: [], freed: [], ...more });
  for (const { k, isBack } of turns) {
    const { op, inputs, output, attrs } = equations[k];
    if (!isBack) {
      step({ phase: "forward", op, inputs, again: started.has(output), reads: inputs, writes: output, makes: true, sized: inputs, workspace: OPS[op].workspace });
      started.add(output);
      continue;
    }
    const vanishes = OPS[op].vanishes?.(attrs) ?? false;
    inputs.forEach((name, argnum) => {
      if (!needsGradient(name)) return;
      const [delta, writes] = [output, name].map((what) => cotangentName(graph, what));
      const reads = [delta, ...saved(equations[k], argnum)];
      const isFirst = !started.has(writes);
      const makes = !vanishes; // an instalment of 0 is not added, and makes no array; a weight's layer pays another
      const workspace = vanishes ? undefined : vjpOf(equations[k], argnum).workspace;
      step({ phase: "backward", reads, writes, makes, sized: reads, workspace, adds: !vanishes && !isFirst });
      if (!vanishes) started.add(writes);
    });
  }

  const results = new Set(policy === "predict" ? [graph.output] : [objective, ...parametersOf(graph).map((name) => cotangentName(graph, name))]);
  const lives = [];
  const current = new Map(); // the life that an array is in: one that is written again begins a new one
  steps.forEach(({ phase, reads, writes, makes }, index) => {
    for (const name of makes ? [...reads, writes] : reads) {
      if (isGiven(name)) continue;
      if (!current.has(name) || (phase === "forward" && name === writes)) {
        current.set(name, { name });
        lives.push(current.get(name));
        steps[index].born.push(name);
      }
      current.get(name).last = index;
    }
  });
  for (const life of lives) {
    if (results.has(life.name) && current.get(life.name) === life) continue;
    const isKept = policy === "keep_all" && arrays.get(life.name).kind !== GRADIENTS;
    steps[isKept ? steps.length - 1 : life.last].freed.push(life.name);
  }
  return { steps, brought };
}

/**
 * What exists while each step of a pass runs, and during the update: `bytes` in the order of KINDS, their `total`, and
 * `made`, the arrays that begin with it, [name, bytes], those without a name at last: workspace. `optimizer` is how many
 * arrays it keeps for each parameter, and how many it needs during the update; null without an update.
 */
function eventsOf({ steps, brought }, graph, itemsize, optimizer) {
  const arrays = shapesAndKinds(graph);
  const shapeOf = (name) => arrays.get(name).shape;
  const size = (name) => itemsize * entriesIn(shapeOf(name));
  const parameters = parametersOf(graph).map(size);
  const now = KINDS.map(() => 0);
  const count = (names, sign) => names.forEach((name) => (now[arrays.get(name).kind] += sign * size(name)));
  const found = [];
  const event = (phase, what, born, work) => {
    const bytes = [...now.slice(0, -1), sumOf(work.length, (k) => work[k])];
    const made = [...born.map((name) => [name, size(name)]), ...work.map((bytes) => ["", bytes])];
    found.push({ index: found.length, phase, what, bytes, total: sumOf(bytes.length, (k) => bytes[k]), made });
  };
  count(brought, 1);
  now[OPTIMIZER] = (optimizer?.[0] ?? 0) * sumOf(parameters.length, (k) => parameters[k]);
  for (const { phase, writes, born, freed, sized, workspace, adds } of steps) {
    count(born, 1);
    const work = (workspace?.(sized.map(shapeOf)) ?? []).map((shape) => itemsize * entriesIn(shape));
    event(phase, writes, born, adds ? [...work, size(writes)] : work);
    count(freed, -1);
  }
  if (optimizer) event("update", "parameters", [], Array(optimizer[1]).fill(extremes(parameters)[1]));
  return found;
}

/** Floating-point operations of the equations that run once more, as a part of one forward pass. */
function extraOf({ steps }, graph) {
  const arrays = shapesAndKinds(graph);
  const total = [0, 0];
  for (const { phase, op, inputs, again } of steps) {
    if (phase === "backward") continue;
    const shapes = inputs.map((name) => arrays.get(name).shape);
    total[Number(again)] += OPS[op].flops?.(shapes) ?? Math.max(...shapes.map(entriesIn));
  }
  return total[1] / total[0];
}

function entriesIn(shape) {
  return shape.reduce((product, count) => product * count, 1);
}

/** The first event at which most bytes exist. */
function peakOf(events) {
  return events.reduce((most, event) => (event.total > most.total ? event : most));
}

// --- the view --------------------------------------------------------------------------------------------------------

const MEGABYTE = 1e6;
const STACK = [0, 1, 3, 4, 2, 5]; // of KINDS, from the bottom up: first what is always there

VIEWS.memory = (model, place, told) => {
  const passes = new Map();
  let lastKey = null;
  let timer = null;

  /** Words that came with the state, with what goes into their {slots}. */
  const say = (key, slots) => filled(told.words[key], slots);

  /** What is wrong with settings, in a sentence; null if nothing is. */
  const refusal = (settings) => {
    for (const [key, most] of Object.entries(told.limits)) {
      const number = settings[key];
      if (!(Number.isInteger(number) && number > 0 && number <= most)) return say(key === "budget" ? key : "whole", { most: most.toLocaleString("en") });
    }
    for (const [key, names] of Object.entries(told.choices)) if (!names.includes(settings[key])) return `${key}: ${settings[key]}?`;
    const { depth, batch, machines, micro_batches, policy } = settings;
    if (machines * micro_batches > batch) return say("few", settings);
    return depth === 1 && /sqrt|every/.test(policy) ? say("single") : null;
  };

  const set = (settings) => {
    view.settings = settings;
    model.set("settings", settings);
    model.save_changes();
    redraw();
    clearTimeout(timer);
    timer = setTimeout(() => write(status, say("peak", view.peak) + view.verdict), SAY_AFTER);
  };

  /** Change some settings: null, or why not. What is changed several times in a row is undone at once. */
  const change = (some, key = null) => {
    const settings = { ...view.settings, ...some };
    const reason = refusal(settings);
    if (reason || isSame(settings, view.settings)) return reason;
    if (key === null || key !== lastKey) view.past.push(view.settings);
    lastKey = key;
    set(settings);
    return null;
  };

  const undo = () => {
    lastKey = null;
    if (view.past.length) set(view.past.pop());
  };

  /** What settings take: on one machine, in one pass over `part` examples, with the sums of gradients if there are any. */
  const account = (settings, part = partOf(settings)) => {
    const { depth, width, policy } = settings;
    const itemsize = told.itemsizes[settings.dtype];
    const plan = { sqrt: Math.ceil(Math.sqrt(depth)), every: settings.segment }[policy] ?? policy;
    const graph = networkOf(Array(depth + 1).fill(width), part, settings);
    const key = JSON.stringify([plan, graph.equations]);
    if (passes.size > 8) passes.clear();
    if (!passes.has(key)) passes.set(key, passOf(graph, plan));
    const pass = passes.get(key);
    const isTraining = policy !== "predict";
    const events = eventsOf(pass, graph, itemsize, isTraining ? told.optimizers[settings.optimizer] : null);
    const weights = eventsOf({ steps: [], brought: parametersOf(graph) }, graph, itemsize, [0, 0])[0].total;
    if (isTraining && settings.micro_batches > 1) {
      for (const event of events) {
        event.bytes[GRADIENTS] += weights;
        event.total += weights;
      }
    }
    return { pass, graph, events, weights, peak: peakOf(events) };
  };

  const where = (event) => say("step", { ...event, array: arrayText(event.what) });

  /** Where the budget is crossed, and by what. */
  const outText = ({ what, total, made }, budget) => {
    let now = total - sumOf(made.length, (k) => made[k][1]);
    const slots = { ...view.stop, there: bytesText(now) };
    if (now > budget) return say("before", slots);
    const [name, bytes] = made.find(([, bytes]) => (now += bytes) > budget);
    return say("out", { ...slots, array: name ? arrayText(name) : `workspace for ${arrayText(what)}`, bytes: bytesText(bytes) });
  };

  const redraw = () => {
    const { budget } = view.settings;
    view.found = account(view.settings);
    const { events, peak } = view.found;
    view.stop = events.find(({ total }) => total > budget) ?? null;
    view.look = view.stop ?? peak;
    view.peak = { bytes: bytesText(peak.total), where: where(peak) };
    view.verdict = view.stop ? outText(view.stop, budget) : say("fits", { budget: bytesText(budget) });
    parts.forEach((part) => part.draw());
  };

  const takeSettings = () => {
    const settings = model.get("settings");
    if (isSame(settings, view.settings) || refusal(settings)) return;
    view.settings = settings;
    redraw();
  };

  // What its parts see: `past` are the settings to which Undo goes back.
  const view = { told, settings: model.get("settings") ?? told.settings, past: [], say, change, undo, account, where };
  const reason = refusal(view.settings);
  if (reason) throw new Refusal(`The data of this view is damaged. ${reason}`);
  const status = liveRegion();
  const parts = [memoryHeadOf, memorySettingsOf, memoryChartOf, waysOutOf].map((make) => make(view));
  const attributes = { class: "mlp-ui mlp-memory", role: "group", "aria-label": "Memory of a training step" };
  view.toUndo = () => parts[0].undo.focus();
  place.replaceChildren(element("div", attributes, ...parts.map((part) => part.element), status));
  const unfollow = follow(model, { settings: takeSettings });
  redraw();
  return () => {
    clearTimeout(timer);
    parts.forEach((part) => part.end?.());
    unfollow();
  };
};

/** A count of what is not always whole: rounded, and exact to two digits below 10. */
function countText(count) {
  return count < 10 ? format(count, 2) : Math.round(count).toLocaleString("en");
}

function filled(text, slots) {
  return text.replace(/{(\w+)}/g, (_, slot) => slots[slot]);
}

/** How many examples one pass takes. */
function partOf({ batch, machines, micro_batches }) {
  return Math.ceil(Math.ceil(batch / machines) / micro_batches);
}

/** ∂J/∂z⁽²⁾ for "dJ/dz2". */
function arrayText(array) {
  const [above, below] = array.split("/d");
  return below ? `∂${unicodeName(above.slice(1))}/∂${unicodeName(below)}` : unicodeName(array);
}

function memoryHeadOf(view) {
  const peak = element("strong", { class: "mlp-objective" });
  const where = element("span", { class: "mlp-changes" });
  const verdict = element("p", { class: "mlp-words" });
  const undo = button([icon("↶"), " Undo"], () => view.undo(), { class: "mlp-undo" });
  const reset = button([icon("↺"), " Reset"], () => view.change(view.told.settings), { class: "mlp-reset" });
  const draw = () => {
    const { settings, stop, past, told } = view;
    const part = partOf(settings);
    write(peak, `Peak ${view.peak.bytes}`);
    write(where, `at ${view.peak.where}${part < settings.batch ? view.say("part", { ...settings, part }) : ""}`);
    write(verdict, view.verdict);
    verdict.classList.toggle("mlp-wrong", stop !== null);
    switchOff(undo, !past.length);
    switchOff(reset, isSame(settings, told.settings));
  };
  const row = element("div", { class: "mlp-top" }, peak, where, element("span", { class: "mlp-links" }, undo, reset));
  return { element: element("div", {}, row, verdict), draw, undo };
}

// --- its settings ----------------------------------------------------------------------------------------------------

const FOLDED = ["activation", "weight_decay", "bias", "micro_batches", "machines"];

function memorySettingsOf(view) {
  const { limits, choices, words, settings } = view.told;
  const complaint = complaintBox();
  const change = (key, value) => {
    const reason = view.change({ [key]: value }, key);
    complaint.say(reason);
    if (reason) draw();
  };
  const field = (key, label, unit = 1) => {
    return numberField(label, (number) => view.change({ [key]: unit === 1 ? number : Math.round(number * unit) }, key), complaint, {}, unit === 1);
  };
  /** A number as a field and as a slider, which goes over `stops`. */
  const dial = (key, label, stops, unit = 1) => {
    const input = field(key, label, unit);
    const slider = element("input", { type: "range", max: stops.length - 1, "aria-label": `Slide ${label}`, oninput: () => change(key, stops[slider.value]) });
    const drawDial = () => {
      const number = view.settings[key];
      input.show(number / unit);
      slider.value = stops.filter((stop) => stop <= number).length - 1;
      slider.setAttribute("aria-valuetext", unit === 1 ? number : bytesText(number));
    };
    return { element: element("div", { class: "mlp-dial" }, label, input.element, slider), draw: drawDial };
  };
  const pick = (key) => {
    const made = choice(key, choices[key].map((name) => [name, words[name] ?? name]), (name) => change(key, name));
    return { element: made.element, draw: () => (made.select.value = view.settings[key]) };
  };
  const count = (key, label) => {
    const input = field(key, label);
    return { element: element("label", { class: "mlp-setting" }, label, input.element), draw: () => input.show(view.settings[key]) };
  };
  const tick = (key, label, on, off) => {
    const box = element("input", { type: "checkbox", onchange: () => change(key, box.checked ? on : off) });
    return { element: element("label", { class: "mlp-setting" }, box, label), draw: () => (box.checked = Boolean(view.settings[key])) };
  };
  const dials = [["depth", "layers"], ["width", "width"], ["batch", "batch"]].map(([key, label]) => dial(key, label, powers(2, 4, 1, limits[key])));
  dials.push(dial("budget", "budget, MB", powers(10, 10, 1e4, 1e13), MEGABYTE));
  const segment = count("segment", "k");
  const optimizer = pick("optimizer");
  const main = [pick("policy"), segment, optimizer, pick("dtype")];
  const more = [pick("activation"), tick("weight_decay", "weight decay", settings.weight_decay || 1e-4, 0), tick("bias", "bias", true, false), count("micro_batches", "micro-batches"), count("machines", "machines")];
  let drawn = settings;
  const draw = () => {
    for (const part of [...dials, ...main, ...more]) part.draw();
    if (FOLDED.some((key) => view.settings[key] !== drawn[key])) folded.open = true; // a way out has changed it
    drawn = view.settings;
    segment.element.hidden = view.settings.policy !== "every";
    optimizer.element.hidden = view.settings.policy === "predict"; // which trains nothing
  };
  const row = (parts, name) => element("div", { class: name }, ...parts.map((part) => part.element));
  const folded = element("details", { class: "mlp-panel" }, element("summary", {}, "More settings"), row(more, "mlp-settings"));
  return { element: element("div", {}, row(dials, "mlp-dials"), row(main, "mlp-settings"), folded, complaint.element), draw };
}

/** From `least` to `most`, `each` numbers to a factor of `base`: whole, and round where the base is. */
function powers(base, each, least, most) {
  const found = new Set();
  for (let k = 0; ; k++) {
    const number = least * base ** (k / each);
    if (number >= most) return [...found, most];
    found.add(base === 10 ? Number(number.toPrecision(2)) : Math.round(number));
  }
}

// --- its chart -------------------------------------------------------------------------------------------------------

const CHART_HEIGHT = 260;
const [CHART_LEFT, CHART_RIGHT, CHART_TOP, CHART_FLOOR] = [66, 10, 26, CHART_HEIGHT - 38];
const PATTERNS = ["M0 0", "M3 3h1", "M0 0L6 6", "M0 0L6 6M6 0L0 6", "M0 6L6 0", "M0 3H6"]; // of KINDS, colour not being enough

function memoryChartOf(view) {
  const ids = KINDS.map(uniqueId);
  const chart = element("div", { class: "mlp-chart" });
  const slider = element("input", { type: "range", "aria-label": "Look at a step", oninput: () => ((view.look = view.found.events[slider.value]), draw()) });
  const words = element("p", { class: "mlp-caption" });
  const cells = [...KINDS, ""].map(() => [element("td"), element("td")]);
  const swatch = (kind) => drawn("svg", { class: "mlp-swatch", "aria-hidden": "true" }, drawn("rect", { width: 20, height: 14, fill: `url(#${ids[kind]})`, class: `mlp-kind-${KINDS[kind]}` }));
  const row = (kind, ...name) => element("tr", {}, element("th", { scope: "row" }, ...name), ...cells[kind]);
  const rows = [...STACK].reverse().map((kind) => row(kind, swatch(kind), ` ${KINDS[kind]} `, element("small", {}, view.told.words[KINDS[kind]])));
  const table = element("table", { class: "mlp-facts" }, element("caption", { class: "mlp-unseen" }, "Bytes by kind"), headOfTable(["", "here", "at the peak"]), element("tbody", {}, ...rows, row(KINDS.length, "alive")));
  let width = 0;
  const draw = () => {
    const { found: { events, peak }, look } = view;
    slider.max = events.length - 1;
    slider.value = look.index;
    slider.setAttribute("aria-valuetext", `${view.where(look)}: ${bytesText(look.total)}`);
    if (width) chart.replaceChildren(memoryChart(view, ids, width));
    write(words, `${capitalized(view.where(look))}.`);
    cells.forEach((pair, kind) => pair.forEach((cell, k) => write(cell, bytesText([look, peak][k].bytes[kind] ?? [look, peak][k].total))));
  };
  const watch = new ResizeObserver(() => {
    const room = Math.min(Math.floor(chart.clientWidth), 900);
    if (!room || room === width) return;
    width = room;
    draw();
  });
  watch.observe(chart);
  return { element: element("div", { class: "mlp-timeline" }, chart, slider, words, table), draw, end: () => watch.disconnect() };
}

function memoryChart(view, ids, width) {
  const { found: { events, peak }, settings: { budget }, stop, look } = view;
  const right = width - CHART_RIGHT;
  const full = Math.max(peak.total, budget);
  const x = (index) => Number((CHART_LEFT + (index * (right - CHART_LEFT)) / events.length).toFixed(1));
  const y = (bytes) => Number((CHART_FLOOR - (bytes / full) * (CHART_FLOOR - CHART_TOP - 16)).toFixed(1));
  const middle = ({ index }) => x(index + 0.5);
  // At most a column for each pixel: of neighbours, the one at which most is alive.
  const each = Math.ceil(events.length / (right - CHART_LEFT));
  const columns = [];
  for (let from = 0; from < events.length; from += each) {
    const event = peakOf(events.slice(from, from + each));
    columns.push({ event, from: x(from), to: x(Math.min(from + each, events.length)), base: 0 });
  }
  const path = (name, d, more) => drawn("path", { class: name, d, ...more });
  const areas = STACK.map((kind) => {
    const low = columns.map(({ from, to, base }) => `L${to} ${y(base)}L${from} ${y(base)}`).reverse();
    for (const column of columns) column.base += column.event.bytes[kind];
    const high = columns.map(({ from, to, base }) => `L${from} ${y(base)}L${to} ${y(base)}`);
    return path(`mlp-band mlp-kind-${KINDS[kind]}`, `M${[...high, ...low].join("").slice(1)}Z`, { fill: `url(#${ids[kind]})` });
  });
  // Under the axis, which way each step goes: a bar forward, two thin lines backward.
  const strip = (phase, ...heights) => columns.filter(({ event }) => event.phase === phase).map(({ from, to }) => heights.map((height) => `M${from} ${CHART_FLOOR + height}H${to}`).join("")).join("");
  const text = (words, left, top, anchor, name = "") => drawn("text", { x: left, y: top, "text-anchor": anchor, class: name }, words);
  const turn = x(events.findIndex(({ phase }) => phase === "backward"));
  const side = stop && middle(stop) > width / 2 ? [-12, "end"] : [12, "start"];
  const patterns = KINDS.map((kind, k) => {
    const attributes = { id: ids[k], width: 6, height: 6, patternUnits: "userSpaceOnUse", class: `mlp-kind-${kind}` };
    return drawn("pattern", attributes, drawn("rect", { class: "mlp-tint", width: 6, height: 6 }), path("mlp-lines", PATTERNS[k]));
  });
  return drawn(
    "svg",
    { width, height: CHART_HEIGHT, role: "img" },
    drawn("title", {}, view.say("chart", { ...view.peak, count: events.length, budget: bytesText(budget) })),
    drawn("defs", {}, patterns),
    areas,
    stop && drawn("rect", { class: "mlp-never", x: x(stop.index + 1), y: 0, width: right - x(stop.index + 1), height: CHART_FLOOR }),
    path("mlp-axis", `M${CHART_LEFT} ${CHART_TOP - 6}V${CHART_FLOOR}H${right}`),
    path("mlp-look", `M${middle(look)} ${CHART_TOP - 6}V${CHART_FLOOR + 12}`),
    path("mlp-strip", strip("forward", 7)),
    path("mlp-strip-back", strip("backward", 5, 9)),
    turn < CHART_LEFT
      ? text("forward →", CHART_LEFT + 8, 14, "start")
      : [text("forward →", turn - 8, 14, "end"), text("← backward", turn + 8, 14, "start"), path("mlp-axis", `M${turn} 4V${CHART_FLOOR}`)],
    [0, 0.5, 1].map((part) => text(bytesText(Math.round(part * full)), CHART_LEFT - 6, y(part * full) + 4, "end")),
    path("mlp-budget", `M${CHART_LEFT} ${y(budget)}H${right}`),
    text("budget", right, y(budget) + 15, "end", "mlp-halo"),
    stop
      ? [path("mlp-stop", `M${middle(stop) - 6} ${y(budget) - 6}l12 12m0 -12l-12 12`), text("out of memory here", middle(stop) + side[0], y(budget) - 10, side[1], "mlp-halo mlp-out")]
      : drawn("circle", { class: "mlp-here", cx: middle(peak), cy: y(peak.total), r: 4 }),
    text("step 0", CHART_LEFT, CHART_HEIGHT - 8, "start"),
    text(events.length - 1, right, CHART_HEIGHT - 8, "end"),
  );
}

// --- ways out --------------------------------------------------------------------------------------------------------

function waysOutOf(view) {
  const title = element("p", { class: "mlp-verdict" });
  const list = element("ul", { class: "mlp-outs" });
  const place = element("section", { "aria-label": "Ways out" }, title, list);
  const draw = () => {
    place.hidden = view.stop === null;
    const ways = view.stop ? waysOut(view) : [];
    write(title, view.told.words[ways.some(({ peak }) => peak <= view.settings.budget) ? "choose" : "none"]);
    list.replaceChildren(...ways.map((way) => wayOutOf(view, way)));
  };
  return { element: place, draw };
}

function wayOutOf(view, { label, change, peak, cost }) {
  if (!change) return element("li", { class: "mlp-owed" }, label);
  const apply = () => {
    view.change(change);
    view.toUndo(); // the button itself is gone
  };
  const over = peak - view.settings.budget;
  const result = view.say(peak >= view.found.peak.total ? "worse" : over > 0 ? "over" : "under", { peak: bytesText(peak), over: bytesText(over) });
  return element("li", {}, button(label, apply), element("span", {}, element("strong", {}, result), cost));
}

/** What could be done: each with the settings that it changes (null where it is of no use), its peak, and its cost. */
function waysOut(view) {
  const { settings, told, found: { weights } } = view;
  const { batch, machines, micro_batches, policy, depth, budget } = settings;
  const isTraining = policy !== "predict";
  // All sizes are a constant and a multiple of the examples in a pass, so two accounts give every other.
  const [one, two] = [1, 2].map((part) => view.account(settings, part).events.map(({ total }) => total));
  const peakWith = (some) => {
    const part = partOf({ ...settings, ...some });
    const sums = isTraining && micro_batches === 1 && some.micro_batches ? weights : 0;
    return one.reduce((most, bytes, k) => Math.max(most, bytes + (two[k] - bytes) * (part - 1)), 0) + sums;
  };
  /** Halve or double a setting until it fits; where nothing fits, what gives the least; null where there is no more. */
  const search = (key, factor, last) => {
    let best = null;
    for (let number = settings[key], peak = Infinity; number !== last && peak > budget; ) {
      number = factor < 1 ? Math.max(last, Math.ceil(number * factor)) : Math.min(last, number * factor);
      peak = peakWith({ [key]: number });
      if (!best || peak < best.peak) best = { change: { [key]: number }, peak };
    }
    return best?.change ?? null;
  };
  const k = Math.ceil(Math.sqrt(depth));
  const isOpen = isTraining && depth > 1 && policy !== "sqrt" && (policy !== "every" || settings.segment !== k);
  const changes = {
    residuals: policy === "keep_all" ? { policy: "residuals" } : undefined,
    batch: search("batch", 0.5, machines * micro_batches),
    micro_batches: search("micro_batches", 2, Math.floor(batch / machines)),
    sqrt: isOpen ? { policy: "sqrt" } : null,
    dtype: settings.dtype === "float32" ? null : { dtype: "float32" },
    machines: search("machines", 2, Math.min(told.limits.machines, Math.floor(batch / micro_batches))),
  };
  const ways = [];
  for (const [key, change] of Object.entries(changes)) {
    if (change === null) ways.push({ label: told.words.refused[key] });
    if (!change) continue;
    const after = { ...settings, ...change };
    const { pass, graph, peak } = view.account(after);
    const sent = Math.round((2 * (after.machines - 1) * weights) / after.machines);
    const slots = {
      ...after,
      k,
      part: partOf(after),
      share: Math.ceil(batch / after.machines),
      times: countText(batch / after.batch),
      extra: countText(100 * extraOf(pass, graph)),
      sums: bytesText(weights),
      sent: bytesText(sent),
    };
    const [label, cost] = told.words[isTraining ? "training" : "predicting"][key].map((text) => filled(text, slots));
    ways.push({ label, change, cost, peak: peak.total });
  }
  return ways;
}
