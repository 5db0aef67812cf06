/*
 * The evaluator: runs a graph's own list of equations, as `Graph.to_json` writes it, in a page without a kernel.
 *
 * It is mlp/ops.py and mlp/engine.py once more, with the same names in the same order, in float64. How a result is
 * shown is left to the views. A matrix is {shape, data}, row by row; its shape is [rows, columns], or [] for a scalar.
 * Once made, a matrix is never written to: values, steps and results may share it, and an edit makes a new one.
 */

/** What is refused, in a sentence for the reader; any other error is a fault, and no sentence of ours. */
class Refusal extends Error {}

// --- matrices --------------------------------------------------------------------------------------------------------

/** A matrix from nested arrays of numbers, a scalar from a number. */
function fromRows(shape, nested) {
  const [height, width] = shape.length ? shape : [1, 1];
  const rows = shape.length ? nested : [[nested]];
  const fits = Array.isArray(rows) && rows.length === height && rows.every((row) => row?.length === width);
  if (!fits || !rows.flat().every((number) => typeof number === "number")) {
    const received = JSON.stringify(nested)?.slice(0, 60);
    throw new Refusal(`numbers: expected shape ${shapeText(shape)}, received ${received}`);
  }
  return { shape: [...shape], data: Float64Array.from(rows.flat()) };
}

/** Nested arrays of numbers, row by row; of a scalar, the number. */
function toRows({ shape, data }) {
  if (!shape.length) return data[0];
  const [height, width] = shape;
  return Array.from({ length: height }, (_, i) => [...data.subarray(i * width, (i + 1) * width)]);
}

/** The same matrix with one entry changed; `index` is [row, column], or [] for a scalar. */
function withEntry(matrix, index, number) {
  const data = matrix.data.slice();
  data[position(matrix, index)] = number;
  return { shape: matrix.shape, data };
}

function entryOf(matrix, index) {
  return matrix.data[position(matrix, index)];
}

function position({ shape }, [row, column]) {
  return shape.length ? row * shape[1] + column : 0;
}

/** The indices of all entries, row by row. */
function indicesOf({ shape, data }) {
  return shape.length ? Array.from(data, (_, k) => [Math.floor(k / shape[1]), k % shape[1]]) : [[]];
}

function at({ shape, data }, i, j) {
  return data[i * shape[1] + j];
}

function scalar(number) {
  return { shape: [], data: Float64Array.of(number) };
}

/** The matrix whose entry in row i and column j is rule(i, j). */
function build([height, width], rule) {
  const data = new Float64Array(height * width);
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) data[i * width + j] = rule(i, j);
  }
  return { shape: [height, width], data };
}

/** One rule for every entry of a matrix, or of two of one shape. */
function elementwise(rule, A, B) {
  return { shape: A.shape, data: A.data.map((a, k) => rule(a, B?.data[k])) };
}

/** The sum of term(k) over k = 0, 1, …, count − 1. */
function sumOf(count, term) {
  let total = 0;
  for (let k = 0; k < count; k++) total += term(k);
  return total;
}

/** The smallest and the largest of numbers. Spread into arguments, those of a large array would fill the stack. */
function extremes(numbers) {
  let [low, high] = [Infinity, -Infinity];
  for (const number of numbers) [low, high] = [Math.min(low, number), Math.max(high, number)];
  return [low, high];
}

/** The size of the largest entry. */
function sizeOf({ data }) {
  return Math.max(...extremes(data).map(Math.abs));
}

function product(A, B) {
  const inner = A.shape[1];
  return build([A.shape[0], B.shape[1]], (i, j) => sumOf(inner, (k) => at(A, i, k) * at(B, k, j)));
}

function transposed(A) {
  return build([A.shape[1], A.shape[0]], (i, j) => at(A, j, i));
}

function plus(A, B) {
  return elementwise((a, b) => a + b, A, B);
}

function minus(A, B) {
  return elementwise((a, b) => a - b, A, B);
}

function times(A, factor) {
  return elementwise((a) => a * factor, A);
}

/** The sum of the products of entries: the squared norm, where both are the same. */
function dot(A, B) {
  return sumOf(A.data.length, (k) => A.data[k] * B.data[k]);
}

/** A dictionary with no names but those put into it: a variable may well be called "constructor". */
function dictionary(...sources) {
  return Object.assign(Object.create(null), ...sources);
}

// --- the rules that take more than a line ----------------------------------------------------------------------------

const OWN = "own"; // in `saves`: the very input whose VJP this is, for operators that take any number of inputs

function passOn(delta) {
  return delta;
}

/** 1 / (1 + exp(−z)), in the form that keeps its digits where z < 0. */
function sigmoid(z) {
  const e = Math.exp(-Math.abs(z));
  return (z < 0 ? e : 1) / (1 + e);
}

const GELU_SCALE = 2 * Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;
const GELU_FLAT = 22; // beyond ±22 the gate is 0 or 1 to the last bit, so clipping there changes nothing, and z³ is finite

function geluGate(clipped) {
  return sigmoid(GELU_SCALE * clipped * (1 + GELU_CUBIC * clipped * clipped));
}

function gelu(z) {
  return geluGate(Math.min(Math.max(z, -GELU_FLAT), GELU_FLAT)) * z;
}

function geluSlope(z) {
  const clipped = Math.min(Math.max(z, -GELU_FLAT), GELU_FLAT);
  const gate = geluGate(clipped);
  const inner = GELU_SCALE * clipped * (1 + 3 * GELU_CUBIC * clipped * clipped);
  return gate * (1 + inner * (1 - gate));
}

/** Each column's maximum taken off, so that no exp overflows. */
function shifted(o) {
  const [rows, columns] = o.shape;
  const largest = Array(columns).fill(-Infinity);
  for (let k = 0; k < rows * columns; k++) largest[k % columns] = Math.max(largest[k % columns], o.data[k]);
  return build(o.shape, (i, j) => at(o, i, j) - largest[j]);
}

/** For each column, the sum of exp over its entries. */
function sumsOfExp(o) {
  const [rows, columns] = o.shape;
  return Array.from({ length: columns }, (_, j) => sumOf(rows, (i) => Math.exp(at(o, i, j))));
}

/** The probabilities of each column of logits. */
function softmax(o) {
  const logits = shifted(o);
  const sums = sumsOfExp(logits);
  return build(o.shape, (i, j) => Math.exp(at(logits, i, j)) / sums[j]);
}

/** What keeps y from being one-hot, with a single 1 in each column and zeros elsewhere; null if nothing does. */
function oneHot(y) {
  for (let j = 0; j < y.shape[1]; j++) {
    const column = toRows(y).map((row) => row[j]);
    const ones = column.filter((entry) => entry === 1).length;
    const zeros = column.filter((entry) => entry === 0).length;
    if (ones === 1 && ones + zeros === column.length) continue;
    const entries = column.slice(0, 6).map((entry) => format(entry)).join(", ") + (column.length > 6 ? ", ..." : "");
    return `one-hot columns (a single 1, zeros elsewhere), received column ${j} = (${entries})`;
  }
  return null;
}

// --- the table -------------------------------------------------------------------------------------------------------

/*
 * One row for each operator. forward(inputs, attrs) is its value. Of `vjps`, one for each input, rule(delta, saved,
 * attrs) is the instalment that the input's cotangent receives: from delta, the cotangent of the output, and from what
 * the rule `saves` (argument numbers, "out", OWN). A variadic operator has one for all its inputs; null says that there
 * is no derivative. `corner`: two slopes where the input is 0. `requires`: by argument number, what tells what is wrong
 * with that input's values, or null. The account of memory reads `workspace`, from the shapes of the inputs (of a VJP,
 * of delta and of what it saves) to those of temporary arrays; `flops`, where an operator takes more than one operation
 * an entry; and `vanishes`, whether with these numbers the value is 0.
 */
const OPS = {
  __proto__: null, // as in `dictionary`

  matmul: {
    forward: ([W, x]) => product(W, x),
    vjps: [
      { saves: [1], rule: (delta, [x]) => product(delta, transposed(x)) },
      { saves: [0], rule: (delta, [W]) => product(transposed(W), delta) },
    ],
    variadic: false,
    flops: ([W, x]) => 2 * W[0] * W[1] * x[1],
  },

  bias: {
    forward: ([a, b]) => build(a.shape, (i, j) => at(a, i, j) + at(b, i, 0)),
    vjps: [
      { saves: [], rule: passOn },
      { saves: [], rule: (delta) => build([delta.shape[0], 1], (i) => sumOf(delta.shape[1], (j) => at(delta, i, j))) },
    ],
    variadic: false,
  },

  identity: {
    forward: ([z]) => z,
    vjps: [{ saves: [], rule: passOn }],
    variadic: false,
    activation: true,
  },

  relu: {
    forward: ([z]) => elementwise((z) => Math.max(z, 0), z),
    // The slope at 0 is taken as 0, a choice.
    vjps: [{ saves: ["out"], rule: (delta, [h]) => elementwise((delta, h) => delta * (h > 0), delta, h) }],
    variadic: false,
    activation: true,
    corner: true,
  },

  tanh: {
    forward: ([z]) => elementwise(Math.tanh, z),
    vjps: [{ saves: ["out"], rule: (delta, [h]) => elementwise((delta, h) => delta * (1 - h * h), delta, h) }],
    variadic: false,
    activation: true,
  },

  sigmoid: {
    forward: ([z]) => elementwise(sigmoid, z),
    vjps: [{ saves: ["out"], rule: (delta, [h]) => elementwise((delta, h) => delta * (h * (1 - h)), delta, h) }],
    variadic: false,
    activation: true,
  },

  gelu: {
    forward: ([z]) => elementwise(gelu, z),
    vjps: [{ saves: [0], rule: (delta, [z]) => elementwise((delta, z) => delta * geluSlope(z), delta, z), workspace: ([, z]) => [z, z] }],
    workspace: ([z]) => [z],
    variadic: false,
    activation: true,
  },

  squared_error: {
    forward: ([o, y]) => {
      const difference = minus(o, y);
      return scalar(dot(difference, difference) / (2 * o.shape[1]));
    },
    // Here the 1/n of the average enters backward, and nowhere after.
    vjps: [
      { saves: [0, 1], rule: (delta, [o, y]) => times(minus(o, y), delta.data[0] / o.shape[1]) },
      { saves: [0, 1], rule: (delta, [o, y]) => times(minus(y, o), delta.data[0] / o.shape[1]) },
    ],
    workspace: ([o]) => [o],
    variadic: false,
    loss: true,
  },

  cross_entropy: {
    forward: ([o, y]) => {
      const logits = shifted(o);
      const logs = sumsOfExp(logits).map(Math.log);
      return scalar((sumOf(logs.length, (j) => logs[j]) - dot(y, logits)) / o.shape[1]);
    },
    vjps: [
      {
        saves: [0, 1],
        rule: (delta, [o, y]) => times(minus(softmax(o), y), delta.data[0] / o.shape[1]),
        workspace: ([, o]) => [o, [1, o[1]]],
      },
      null,
    ],
    workspace: ([o]) => [o, [1, o[1]]],
    variadic: false,
    loss: true,
    requires: { 1: oneHot },
  },

  l2: {
    forward: (weights, { weight_decay }) => {
      return scalar(0.5 * weight_decay * sumOf(weights.length, (k) => dot(weights[k], weights[k])));
    },
    vjps: [{ saves: [OWN], rule: (delta, [W], { weight_decay }) => times(W, delta.data[0] * weight_decay) }],
    variadic: true,
    vanishes: ({ weight_decay }) => weight_decay === 0,
  },

  add: {
    forward: (terms) => terms.reduce(plus),
    vjps: [{ saves: [], rule: passOn }],
    variadic: true,
  },
};

// --- the schedule ----------------------------------------------------------------------------------------------------

function cotangentName(graph, name) {
  return `d${graph.objective}/d${name}`;
}

function parametersOf(graph) {
  return graph.variables.filter(({ role }) => role === "parameter").map(({ name }) => name);
}

/** All whose values depend on some of these variables, which count too. */
function descendantsOf(graph, names) {
  const found = new Set(names);
  for (const { inputs, output } of graph.equations) {
    if (inputs.some((name) => found.has(name))) found.add(output);
  }
  return found;
}

/** A variable and all that its value depends on. */
function ancestorsOf(graph, name) {
  const found = new Set([name]);
  for (const { inputs, output } of [...graph.equations].reverse()) {
    if (found.has(output)) inputs.forEach((input) => found.add(input));
  }
  return found;
}

/**
 * All steps of one pass, in order: each equation once, then each VJP on the way from the objective to the parameters,
 * last equation first. `equation` is the equation's number, `variable` what the step is about; `reads` and `writes`
 * name arrays, a cotangent as "dJ/dz". A step that is not `first` adds to what is there; `final` is what it completes.
 */
function schedule(graph) {
  const steps = graph.equations.map(({ inputs, output }, equation) => {
    const arrays = { reads: [...inputs], writes: [output] };
    return { phase: "forward", equation, argnum: null, variable: output, ...arrays, first: true, final: [output] };
  });
  const back = graph.objective === null ? [] : backwardSteps(graph);
  return [...steps, ...back].map((step, index) => ({ index, ...step }));
}

function backwardSteps(graph) {
  const reached = descendantsOf(graph, parametersOf(graph));
  const leading = ancestorsOf(graph, graph.objective);
  const needsGradient = (name) => reached.has(name) && leading.has(name);
  const steps = [];
  const started = new Set();
  for (let equation = graph.equations.length - 1; equation >= 0; equation--) {
    const { inputs, output } = graph.equations[equation];
    if (!needsGradient(output)) continue;
    inputs.forEach((name, argnum) => {
      if (!needsGradient(name)) return;
      const sources = { [OWN]: name, out: output };
      const saved = vjpOf(graph.equations[equation], argnum).saves.map((what) => inputs[what] ?? sources[what]);
      const arrays = { reads: [cotangentName(graph, output), ...saved], writes: [cotangentName(graph, name)] };
      const first = !started.has(name);
      steps.push({ phase: "backward", equation, argnum, variable: name, ...arrays, first, final: [] });
      started.add(name);
    });
  }
  const last = new Map(steps.map((step) => [step.variable, step]));
  last.forEach((step, name) => step.final.push(name));
  return steps;
}

function vjpOf({ op, inputs }, argnum) {
  const vjp = OPS[op].vjps[OPS[op].variadic ? 0 : argnum];
  if (vjp === null) throw new Refusal(`${inputs[argnum]}: ${op} has no derivative with respect to it`);
  return vjp;
}

// --- running it ------------------------------------------------------------------------------------------------------

const MISTAKES = ["overwrite", "drop_phi", "update_mid_pass", "hasty_order"];

/**
 * One forward and one backward pass, with everything recorded: the objective J (null if there is none), the values and
 * the cotangents by variable, and the schedule's steps, each with its `instalment` (backward) and its `total`, which is
 * the value, or the cotangent so far. `overflow` says what is not finite and which step made it; null if nothing is.
 *
 * `broken` makes one of the classic mistakes:
 *   "overwrite"        an instalment replaces what is there instead of being added;
 *   "drop_phi"         activations pass the cotangent on as if their slope were 1;
 *   "update_mid_pass"  a parameter is updated, with learning rate `lr`, as soon as its gradient is final, and what runs
 *                      later reads the new value: the step has it as `updated`, `values` keeps the old one;
 *   "hasty_order"      a cotangent is passed on as it is after its first instalment.
 */
function run(graph, values, { broken = null, lr = 0.1 } = {}) {
  if (broken !== null) oneOf(broken, MISTAKES, "broken");
  const parameters = new Set(parametersOf(graph));
  const arrays = dictionary(values);
  const residuals = dictionary(values); // what VJPs read
  const cotangents = dictionary();
  const deltas = dictionary(); // the cotangents as they are passed on
  const steps = schedule(graph).map((step) => {
    const { op, inputs, output, attrs } = graph.equations[step.equation];
    const name = step.variable;
    if (step.phase === "forward") {
      const total = OPS[op].forward(inputs.map((input) => arrays[input]), attrs);
      arrays[name] = residuals[name] = total;
      return { ...step, instalment: null, total, updated: null };
    }
    if (output === graph.objective) cotangents[output] = deltas[output] = scalar(1); // ∂J/∂J: where backward starts
    const saved = step.reads.slice(1).map((source) => residuals[source]);
    const rule = broken === "drop_phi" && OPS[op].activation ? passOn : vjpOf({ op, inputs }, step.argnum).rule;
    const instalment = rule(deltas[output], saved, attrs);
    const total = step.first || broken === "overwrite" ? instalment : plus(cotangents[name], instalment);
    cotangents[name] = total;
    if (step.first || broken !== "hasty_order") deltas[name] = total;
    const isUpdated = broken === "update_mid_pass" && step.final.length > 0 && parameters.has(name);
    const updated = isUpdated ? stepped(arrays[name], total, lr) : null;
    if (isUpdated) residuals[name] = updated;
    return { ...step, instalment, total, updated };
  });
  const J = graph.objective === null ? null : arrays[graph.objective].data[0];
  return { J, values: arrays, cotangents, steps, overflow: overflowOf(graph, steps) };
}

function overflowOf(graph, steps) {
  const step = steps.find(({ total }) => !isFiniteMatrix(total));
  if (!step) return null;
  const { op, inputs, output } = graph.equations[step.equation];
  const what = `step ${step.index}, ${step.phase}, of '${output} = ${op}(${inputs.join(", ")})'`;
  return `${step.writes[0]}: expected finite numbers, received inf or NaN from ${what}`;
}

/** The values after one step of gradient descent; all but the parameters stay. */
function update(graph, values, { cotangents }, lr) {
  const moved = parametersOf(graph).filter((name) => name in cotangents);
  return dictionary(values, ...moved.map((name) => ({ [name]: stepped(values[name], cotangents[name], lr) })));
}

function stepped(parameter, gradient, lr) {
  return elementwise((w, g) => w - lr * g, parameter, gradient);
}

/** The values of all variables, forward only. What is among `values` is not computed, so any variable can be set. */
function forward(graph, values) {
  const arrays = dictionary(values);
  for (const { op, inputs, output, attrs } of graph.equations) {
    arrays[output] ??= OPS[op].forward(inputs.map((name) => arrays[name]), attrs);
  }
  return arrays;
}

// --- checks: nudge an entry, run forward, see what J does ------------------------------------------------------------

// What Python's check goes by, from mlp/check.py, put in front of the script.
const { STEP, SCALES, SMALLER, TOLERANCE, DOUBT, SHARP, SURE, DUST, CORNER, SMALL, RESTLESS, OVERFLOW } = CHECK;
const AT_CORNER = "at a corner, where J has two slopes";

/** The values of all variables after one entry of one is set; what does not depend on that is not computed again. */
function moved(graph, here, name, index, number) {
  const moving = descendantsOf(graph, [name]);
  const fixed = Object.fromEntries(Object.entries(here).filter(([other]) => !moving.has(other)));
  return forward(graph, { ...fixed, [name]: withEntry(here[name], index, number) });
}

/** J with one entry nudged to a number, and whether no operator's input leaves the side of its corner where it was. */
function nudged(graph, here, name, index, number) {
  const arrays = moved(graph, here, name, index, number);
  const J = arrays[graph.objective].data[0];
  const sides = cornered(graph).map((z) => [here[z], arrays[z]]);
  const leaves = sides.some(([A, B]) => A.data.some((a, k) => a === 0 && B.data[k] !== 0));
  const isBeside = Number.isFinite(J) && sides.every(([A, B]) => A.data.every((a, k) => Math.sign(a) === Math.sign(B.data[k])));
  return { w: entryOf(arrays[name], index), J, leaves, isBeside };
}

/** The variables that an operator with a corner reads. */
function cornered(graph) {
  return graph.equations.filter(({ op }) => OPS[op].corner === true).map(({ inputs: [z] }) => z);
}

function slopeOf(from, to) {
  return (to.J - from.J) / (to.w - from.w);
}

/**
 * The slope of J at one entry of any variable: the centred difference, with a nudge of 1e-5 as a part of max(1, |entry|);
 * where that takes an operator across its corner, by smaller nudges or to one side. `left` and `right` are the slopes to
 * both sides: at a `corner` they may differ, and then neither they nor their mean is a gradient.
 */
function difference(graph, values, name, index) {
  const here = forward(graph, values);
  const w = entryOf(here[name], index);
  const reach = STEP * Math.max(1, Math.abs(w));
  const at = { w, J: here[graph.objective].data[0] };
  const [below, above] = [w - reach, w + reach].map((number) => nudged(graph, here, name, index, number));
  const corner = below.leaves || above.leaves;
  const doubt = corner || (below.isBeside && above.isBeside) ? (Number.EPSILON * Math.max(leastOf(graph), Math.abs(at.J))) / reach : Infinity;
  const plain = { slope: slopeOf(below, above), doubt };
  const found = Number.isFinite(doubt) ? plain : [...SCALES, ...SMALLER].reduce((found, scale) => found ?? slopes(graph, here, name, index, at, scale * reach), null);
  return { ...(found ?? plain), left: slopeOf(below, at), right: slopeOf(at, above), corner };
}

/** Probabilities add up to 1: of labels' losses J has no digit that is smaller beside 1, however small it is. */
function leastOf({ equations }) {
  return equations.some(({ op }) => OPS[op].requires) ? 1 : 0;
}

/**
 * Two differences, put together so that what bends J cancels, and how far to trust the result; null if corners are in the
 * way. As in mlp/check.py: centred, by h and 2h; where a corner is near on one side, to the other side only.
 */
function slopes(graph, here, name, index, at, h) {
  const to = (k) => nudged(graph, here, name, index, at.w + k * h);
  const sides = [1, -1].map((sign) => [to(sign), to(2 * sign), sign]);
  const free = sides.filter(([near, far]) => near.isBeside && far.isBeside && near.w !== at.w);
  if (!free.length) return null;
  const [[one, two, sign], other] = free;
  const last = other ? other[1] : to(4 * sign);
  if (!last.isBeside) return null;
  const [narrow, wide, cost] = other
    ? [slopeOf(other[0], one), slopeOf(last, two), 1]
    : [2 * slopeOf(at, one) - slopeOf(at, two), 2 * slopeOf(at, two) - slopeOf(at, last), 4];
  const rounding = (cost * Number.EPSILON * Math.max(leastOf(graph), ...[at, one, two, last].map(({ J }) => Math.abs(J)))) / h; // of the subtraction
  return { slope: (4 * narrow - wide) / 3, doubt: Math.max(Math.abs(narrow - wide), rounding), rounding, h };
}

/**
 * The cotangents of a result against differences: for each variable, in the order in which backward completes them, its
 * `verdict`, "right", "wrong" or "not measured"; the largest relative `error` and the `index` where it is, the `gradient`
 * and the `slope` there; of `size` entries how many were `measured`, and for what `reasons` others were not, with their
 * number. Intermediate variables are nudged too, so `guilty`, the first that is wrong, names the node where a mistake was
 * made, not one that it was handed on to. `ok` says that all are right. Graphs may take long: after each entry comes what
 * is known by then, at last everything.
 */
function* gradientChecks(graph, values, { cotangents, steps }) {
  const here = forward(graph, values);
  const whole = run(graph, values).cotangents; // without mistakes: where it is not 0, a 0 is no agreement
  const names = steps.filter(({ phase }) => phase === "backward").flatMap(({ final }) => final);
  const found = { ok: true, guilty: null, checks: dictionary(), names };
  for (const name of names) {
    const check = { error: 0, index: null, gradient: null, slope: null, size: here[name].data.length, measured: 0, reasons: {} };
    let moves = false;
    for (const index of indicesOf(here[name])) {
      const gradient = entryOf(cotangents[name], index);
      const plain = difference(graph, here, name, index);
      const { error, slope, reason } = judge(graph, here, name, index, gradient, plain, entryOf(whole[name], index) === 0);
      if (reason) check.reasons[reason] = (check.reasons[reason] ?? 0) + 1;
      else {
        check.measured += 1;
        moves ||= slope !== 0;
        if (check.index === null || error > check.error) Object.assign(check, { error, index, gradient, slope });
      }
      yield found;
    }
    // Entries on which J does not depend make no variable right whose other entries are not measured.
    const isRight = check.measured === check.size || moves;
    const verdict = check.error > TOLERANCE ? "wrong" : isRight ? "right" : "not measured";
    found.checks[name] = { ...check, verdict };
    found.ok &&= verdict === "right";
    if (verdict === "wrong") found.guilty ??= name;
  }
  yield found;
}

/**
 * What nudging says of one entry's gradient, beginning with its `difference`: its relative error and the slope, or the
 * `reason` why it cannot tell.
 * `isStill` says whether J may be taken not to depend on the entry where gradient and slope are 0.
 */
function judge(graph, here, name, index, gradient, { slope, doubt, corner }, isStill = gradient === 0) {
  const as = (slope) => ({ error: relativeError(gradient, slope), slope, reason: "" });
  const agrees = ({ slope, doubt }) => as(slope).error <= TOLERANCE && DOUBT * doubt <= SHARP * Math.abs(slope);
  if (corner) return { ...as(slope), reason: AT_CORNER };
  if (!Number.isFinite(gradient) || agrees({ slope, doubt }) || (gradient === 0 && slope === 0 && isStill)) return as(slope);
  const w = entryOf(here[name], index);
  const size = Math.max(1, Math.abs(w));
  const J = here[graph.objective].data[0];
  const at = { w, J };
  const apart = (found) => Math.abs(gradient - found.slope);
  let best = null;
  for (const scale of [...SCALES, ...SMALLER]) {
    if (best && SMALLER.includes(scale)) break;
    const found = slopes(graph, here, name, index, at, STEP * scale * size);
    if (found && agrees(found)) return as(found.slope);
    if (found && (!best || found.doubt < best.doubt)) best = found;
    if (best && apart(best) > SURE * best.doubt) break;
  }
  if (!best) return { ...as(slope), reason: Number.isFinite(slope) ? CORNER : OVERFLOW };
  const again = (part) => slopes(graph, here, name, index, at, best.h * part);
  const steady = (found) => found && apart(best) > DOUBT * Math.abs(found.slope - best.slope);
  const isDust = best.slope === 0 && Math.abs(gradient) < DUST;
  const isApart = as(best.slope).error > TOLERANCE && apart(best) > DOUBT * best.doubt && !isDust;
  if (isApart && [3, 5, 6, 7, 9].every((part) => steady(again(part / 8)))) return as(best.slope);
  if (gradient === 0 && isStill) return as(0);
  const isSmall = DOUBT * best.rounding > SHARP * Math.max(Math.abs(gradient), Math.abs(best.slope));
  return { ...as(best.slope), reason: isSmall ? SMALL : RESTLESS };
}

function relativeError(a, b) {
  const size = Math.max(Math.abs(a), Math.abs(b));
  if (!Number.isFinite(size)) return Infinity;
  return size === 0 ? 0 : Math.abs(a - b) / size;
}

/** Pairs [number, J] for `count` numbers, evenly spaced, in one entry of any variable. */
function curve(graph, values, name, index, from, to, count) {
  const here = forward(graph, values);
  return Array.from({ length: count }, (_, k) => {
    const number = count > 1 ? from + ((to - from) * k) / (count - 1) : from;
    return [number, moved(graph, here, name, index, number)[graph.objective].data[0]];
  });
}

// --- the same network, changed ---------------------------------------------------------------------------------------

/** The same graph with another activation in every place of one. */
function withOp(graph, activation) {
  return withOperator(graph, activation, "activation");
}

/** The same graph with another loss. */
function withLoss(graph, loss) {
  return withOperator(graph, loss, "loss");
}

function withOperator(graph, op, kind) {
  oneOf(op, Object.keys(OPS).filter((name) => OPS[name][kind]), kind);
  return { ...graph, equations: graph.equations.map((e) => (OPS[e.op][kind] ? { ...e, op } : e)) };
}

// --- what readers bring ----------------------------------------------------------------------------------------------

/** What is wrong with values for a graph, in a sentence; null if nothing is. */
function problem(graph, values) {
  const foreign = graph.equations.find(({ op }) => !(op in OPS));
  if (foreign) return `${foreign.output}: expected an operator of the rule table, received ${foreign.op}`;
  const given = graph.variables.filter(({ role }) => role !== "intermediate");
  const names = given.map(({ name }) => name);
  const missing = names.filter((name) => !Object.hasOwn(values, name));
  const unknown = Object.keys(values).filter((name) => !names.includes(name));
  if (missing.length) return `values: expected ${listed(names)}; missing ${listed(missing)}`;
  if (unknown.length) return `values: expected ${listed(names)}; unknown ${listed(unknown)}`;
  for (const { name, shape } of given) {
    const wrong = wrongEntries(graph, name, shape, values[name]);
    if (wrong) return `${name}: expected ${wrong}`;
  }
  return null;
}

function wrongEntries(graph, name, shape, matrix) {
  const size = shape.reduce((a, b) => a * b, 1);
  if (shapeText(matrix.shape) !== shapeText(shape) || matrix.data.length !== size) {
    return `shape ${shapeText(shape)}, received ${shapeText(matrix.shape)}`;
  }
  const index = indicesOf(matrix).find((index) => !Number.isFinite(entryOf(matrix, index)));
  if (index) return `finite numbers, received ${format(entryOf(matrix, index))} at ${shapeText(index)}`;
  for (const { op, inputs } of graph.equations) {
    for (const [argnum, check] of Object.entries(OPS[op].requires ?? {})) {
      const wrong = inputs[argnum] === name ? check(matrix) : null;
      if (wrong) return wrong;
    }
  }
  return null;
}

function isFiniteMatrix({ data }) {
  return data.every(Number.isFinite);
}

function oneOf(value, allowed, what) {
  if (!allowed.includes(value)) throw new Refusal(`${what}: expected one of ${listed(allowed)}, received ${value}`);
}

/** Names for a message: all of them, or the first few and how many more. */
function listed(names) {
  return names.length > 10 ? `${names.slice(0, 10).join(", ")}, ... (${names.length - 10} more)` : names.join(", ");
}

function shapeText(shape) {
  return `(${shape.join(", ")})`;
}

// --- numbers in words ------------------------------------------------------------------------------------------------

/**
 * A number with at most `digits` significant digits, a real minus sign, and no negative zero: what mlp/text.py writes,
 * character by character, as Python's format "g" does it.
 */
function format(number, digits = 4) {
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "nan" : number > 0 ? "inf" : "−inf";
  if (number === 0) return "0";
  const sign = number < 0 ? "−" : "";
  const text = rounded(Math.abs(number), digits);
  const [mantissa, exponent] = text.split("e");
  const power = Number(exponent);
  if (power >= -4 && power < digits) return sign + withoutZeros(Number(text).toFixed(digits - 1 - power));
  const size = String(Math.abs(power)).padStart(2, "0");
  return `${sign}${withoutZeros(mantissa)}e${power < 0 ? "−" : "+"}${size}`;
}

/** "1.230e+2": rounded to so many digits; half-way between two, to the even one, as Python does. */
function rounded(size, digits) {
  if (!/^[\d.]*5e/.test(size.toExponential())) return size.toExponential(digits - 1); // half-way cases end in 5
  const [mantissa, exponent] = size.toExponential(100).split("e"); // all its digits: no half-way case has a hundred
  const [kept, rest] = [mantissa.slice(0, digits + 1), mantissa.slice(digits + 1)];
  const isTieToEven = /^50*$/.test(rest) && /[02468]\.?$/.test(kept);
  return isTieToEven ? `${kept}e${exponent}` : size.toExponential(digits - 1);
}

function withoutZeros(text) {
  return text.includes(".") ? text.replace(/\.?0*$/, "") : text;
}
