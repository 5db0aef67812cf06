/*
 * Memory: every byte of a training step from a few settings, without running it, and what to do where it does not fit.
 *
 * The first half is mlp/networks.py, mlp/steps.py, mlp/memory.py and two plans of mlp/checkpoint.py once more, for the
 * networks that `network` makes; a browser test holds it to them, to the byte. The second half is the view.
 */

// --- the account -----------------------------------------------------------------------------------------------------

const KINDS = ["parameters", "inputs", "gradients", "optimizer", "kept", "workspace"];
const [WORKSPACE, INSTALMENT] = ["workspace", "an instalment"];

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

/**
 * One pass as turns, [phase, equation], and from when to when each array exists. `policy` is "predict", "keep_all",
 * "residuals", or a whole number k: keep every k-th layer's value, and compute the others again.
 */
class Pass {
  constructor(graph, policy) {
    this.graph = graph;
    this.policy = policy;
    this.variables = new Map(graph.variables.map((variable) => [variable.name, variable]));
    const [reached, leading] = [descendantsOf(graph, parametersOf(graph)), ancestorsOf(graph, graph.objective)];
    this.needsGradient = (name) => reached.has(name) && leading.has(name);
    const used = policy === "predict" ? ancestorsOf(graph, graph.output) : this.variables;
    this.needed = graph.variables.filter(({ name }) => this.isGiven(name) && used.has(name)).map(({ name }) => name);
    this.steps = this.withLifetimes(this.stepsOf(this.turns(used)));
  }

  /** The same pass over arrays of other sizes. */
  resized(graph) {
    const variables = new Map(graph.variables.map((variable) => [variable.name, variable]));
    return Object.assign(Object.create(Pass.prototype), this, { graph, variables });
  }

  isGiven(name) {
    return this.variables.has(name) && this.variables.get(name).role !== "intermediate";
  }

  turns(used) {
    const { equations } = this.graph;
    const all = [...equations.keys()];
    const going = (phase, some) => some.map((k) => [phase, k]);
    const back = (some) => going("backward", [...some].reverse().filter((k) => this.needsGradient(equations[k].output)));
    if (this.policy === "predict") return going("forward", all.filter((k) => used.has(equations[k].output)));
    if (typeof this.policy === "string") return [...going("forward", all), ...back(all)];
    const starts = all.filter((k) => equations[k].op === "matmul");
    const layers = starts.map((start, k) => all.slice(k ? start : 0, starts[k + 1]));
    const turns = going("forward", all);
    const segments = Math.ceil(layers.length / this.policy);
    for (let k = segments - 1; k >= 0; k--) {
      const segment = layers.slice(k * this.policy, (k + 1) * this.policy);
      // The last segment has just run; the value of a segment's last layer was kept.
      if (k < segments - 1) turns.push(...going("forward", [...segment.slice(0, -1).flat(), ...this.refill(segment.at(-1))]));
      turns.push(...back(segment.flat()));
    }
    return turns;
  }

  /** Of a layer's equations, those that make what its VJPs read, besides its input and its value, which are there. */
  refill(layer) {
    const { equations } = this.graph;
    const wanted = new Set(layer.flatMap((k) => equations[k].inputs.flatMap((_, argnum) => this.saved(equations[k], argnum))));
    [equations[layer[0]].inputs[1], equations[layer.at(-1)].output].forEach((name) => wanted.delete(name));
    const makers = [...layer].reverse().filter((k) => {
      if (wanted.has(equations[k].output)) equations[k].inputs.forEach((name) => wanted.add(name));
      return wanted.has(equations[k].output);
    });
    return makers.reverse();
  }

  /** The arrays that a VJP reads besides the cotangent; none where there is no way back. */
  saved(equation, argnum) {
    const name = equation.inputs[argnum];
    if (!this.needsGradient(name)) return [];
    const sources = { [OWN]: name, out: equation.output };
    return vjpOf(equation, argnum).saves.map((what) => equation.inputs[what] ?? sources[what]);
  }

  stepsOf(turns) {
    const { graph } = this;
    const owed = new Map();
    for (const [phase, k] of turns) {
      if (phase === "backward") graph.equations[k].inputs.forEach((name) => owed.set(name, (owed.get(name) ?? 0) + 1));
    }
    const started = new Set(); // arrays that hold a value, or an instalment that is not 0
    const steps = [];
    for (const [phase, k] of turns) {
      const equation = graph.equations[k];
      const { op, inputs, output, attrs } = equation;
      const vanishes = OPS[op].vanishes?.(attrs) ?? false;
      if (phase === "forward") {
        const work = (shape) => OPS[op].workspace?.(inputs.map(shape)) ?? [];
        steps.push({ phase, equation, writes: output, reads: inputs, makes: true, again: started.has(output), work, added: null });
        started.add(output);
        continue;
      }
      inputs.forEach((name, argnum) => {
        if (!this.needsGradient(name)) return;
        owed.set(name, owed.get(name) - 1);
        const writes = cotangentName(graph, name);
        const saved = this.saved(equation, argnum);
        const first = !started.has(writes);
        const vjp = vjpOf(equation, argnum);
        const work = (shape) => (vanishes ? [] : vjp.workspace?.([output, ...saved].map(shape)) ?? []);
        // An instalment of 0 is not added, and makes no array, unless there is no other.
        const makes = !vanishes || (first && owed.get(name) === 0);
        const added = vanishes || first ? null : name; // whose cotangent receives an instalment more
        steps.push({ phase, equation, writes, reads: [cotangentName(graph, output), ...saved], makes, again: false, work, added });
        if (!vanishes) started.add(writes);
      });
    }
    return steps;
  }

  /** With each step the arrays that are born with it, and those that nobody reads after it. */
  withLifetimes(steps) {
    const { graph, policy } = this;
    const results = new Set(policy === "predict" ? [graph.output] : [graph.objective, ...parametersOf(graph).map((name) => cotangentName(graph, name))]);
    const lives = [];
    const current = new Map(); // the life that an array is in: one that is written again begins a new one
    steps.forEach(({ phase, reads, writes, makes }, index) => {
      for (const name of makes ? [...reads, writes] : reads) {
        if (this.isGiven(name)) continue;
        if (!current.has(name) || (phase === "forward" && name === writes)) {
          current.set(name, { name, first: index });
          lives.push(current.get(name));
        }
        current.get(name).last = index;
      }
    });
    const found = steps.map((step) => ({ ...step, born: [], freed: [] }));
    for (const life of lives) {
      found[life.first].born.push(life.name);
      if (results.has(life.name) && current.get(life.name) === life) continue;
      const isKept = policy === "keep_all" && this.variables.has(life.name);
      found[isKept ? steps.length - 1 : life.last].freed.push(life.name);
    }
    return found;
  }

  /** The shape of a value, or of a cotangent. */
  shape(array) {
    return (this.variables.get(array) ?? this.variables.get(array.slice(array.indexOf("/d") + 2))).shape;
  }

  kind(array) {
    const variable = this.variables.get(array);
    return variable ? { parameter: 0, intermediate: 4 }[variable.role] ?? 1 : 2;
  }

  /**
   * What exists while each step runs, in bytes: `bytes` in the order of KINDS, their `total`, and `made`: [name, shape] of
   * what begins with it, workspace last. `optimizer` is how many arrays of its own it keeps for each parameter, and how
   * many it needs during the update; null without an update.
   */
  events(itemsize, optimizer) {
    const shapeOf = (array) => this.shape(array);
    const bytesOf = (shape) => itemsize * entries(shape);
    const sum = (sizes) => sizes.reduce((total, size) => total + size, 0);
    const parameters = parametersOf(this.graph).map((name) => bytesOf(this.shape(name)));
    const now = KINDS.map(() => 0);
    const count = (names, sign) => names.forEach((name) => (now[this.kind(name)] += sign * bytesOf(this.shape(name))));
    const found = [];
    const event = (phase, what, born, work) => {
      const bytes = [...now.slice(0, -1), sum(work.map(([, shape]) => bytesOf(shape)))];
      const made = [...born.map((name) => [name, this.shape(name)]), ...work];
      found.push({ index: found.length, phase, what, bytes, total: sum(bytes), made });
    };
    count(this.needed, 1);
    now[KINDS.indexOf("optimizer")] = (optimizer?.[0] ?? 0) * sum(parameters);
    for (const { phase, writes, born, freed, work, added } of this.steps) {
      count(born, 1);
      const temporary = work(shapeOf).map((shape) => [WORKSPACE, shape]);
      event(phase, writes, born, added ? [...temporary, [INSTALMENT, this.shape(added)]] : temporary);
      count(freed, -1);
    }
    if (optimizer) event("update", "parameters", [], Array(optimizer[1]).fill([WORKSPACE, [Math.max(...parameters) / itemsize]]));
    return found;
  }

  /** Floating-point operations of the equations that run once more, and of one forward pass. */
  flops() {
    const total = { again: 0, once: 0 };
    for (const { phase, equation: { op, inputs }, again } of this.steps) {
      if (phase === "backward") continue;
      const shapes = inputs.map((name) => this.shape(name));
      total[again ? "again" : "once"] += OPS[op].flops?.(shapes) ?? Math.max(...shapes.map(entries));
    }
    return total;
  }
}

function entries(shape) {
  return shape.reduce((product, count) => product * count, 1);
}

/** The first event at which most bytes exist. */
function peakOf(events) {
  return events.reduce((most, event) => (event.total > most.total ? event : most));
}
