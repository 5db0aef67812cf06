/*
 * The stepper: one walk through forward, backward and update, seen in every panel at once, with numbers that the reader
 * can change. `Lab` holds the numbers and what follows from them; `StepperView` where the reader is; the rest draws.
 */

const PHASES = {
  forward: { mark: "→", does: "values" },
  backward: { mark: "⇐", does: "cotangents" },
  update: { mark: "↻", does: "parameters" },
};
const PLAY_EVERY = 1800; // milliseconds
const AT_ONCE = 4; // of many arrays or steps of one stop; the graph, and "Change anything", have the others
const SAID = 12; // of more names, a sentence has the first
const LIVES = 120; // of more arrays, the ledger shows those that a stop has to do with
// Milliseconds for the gradient check: before the page answers, at a time after that, and in all.
const [AT_ONCE_MS, SLICE_MS, IN_ALL_MS] = [50, 12, 4000];
const SPOKEN = 6; // numbers: who listens hears so many with a stop, and finds more in the tables
const CHANGE_SAID_AFTER = 600; // milliseconds: what changed is said once the reader has written it
const NARROW = "(max-width: 36rem)";

// --- the numbers -----------------------------------------------------------------------------------------------------

/** The graph and the numbers as the reader has changed them, and the passes that follow from them. */
class Lab {
  constructor(told, nested) {
    this.told = told;
    this.shapes = dictionary(Object.fromEntries(told.graph.variables.map(({ name, shape }) => [name, shape])));
    this.given = told.graph.variables.filter(({ role }) => role !== "intermediate").map(({ name }) => name);
    this.parameters = parametersOf(told.graph);
    this.reset();
    if (nested) this.take(nested);
  }

  /** Back to the book's numbers. */
  reset() {
    this.graph = this.told.graph;
    this.values = this.matrices(this.told.values);
    this.lr = this.told.lr;
    this.broken = null;
    this.updates = 0;
    this.before = null;
    const reason = problem(this.graph, this.values);
    if (reason) throw damaged(`: ${reason}`);
    this.compute();
    this.bookJ = this.result.J;
  }

  compute() {
    this.result = run(this.graph, this.values, { broken: this.broken, lr: this.lr });
    this.makers = new Map();
    this.paid = new Map();
    this.readings = new Map();
    for (const step of this.result.steps) {
      for (const name of step.reads) this.readings.set(name, [...(this.readings.get(name) ?? []), step.index]);
      if (step.phase === "forward") this.makers.set(step.variable, step);
      else this.paid.set(step.variable, [...this.shares(step.variable), step]);
    }
    this.checked = this.checking = this.walk = this.lives = null;
  }

  matrices(nested) {
    return Object.fromEntries(this.given.map((name) => [name, fromRows(this.shapes[name], nested[name])]));
  }

  nested() {
    return Object.fromEntries(this.given.map((name) => [name, toRows(this.values[name])]));
  }

  /** Take over a changed graph, values or learning rate; or return why not, and nothing has changed. */
  propose({ graph = this.graph, values = this.values, lr = this.lr }) {
    const reason = problem(graph, values) ?? run(graph, values).overflow;
    if (reason) return `${capitalized(reason)}.`;
    Object.assign(this, { graph, values, lr });
    this.compute();
    return null;
  }

  /** Values as nested lists, from Python. */
  take(nested) {
    try {
      return this.propose({ values: this.matrices(nested) });
    } catch (error) {
      if (error instanceof Refusal) return error.message;
      throw error;
    }
  }

  /** The values that Python has set: whether they are new, and were taken. */
  takeFrom(model) {
    const nested = model.get("values");
    return !isSame(nested, this.nested()) && this.take(nested) === null;
  }

  setEntry(name, index, number) {
    return this.propose({ values: { ...this.values, [name]: withEntry(this.values[name], index, number) } });
  }

  setAttribute(equation, attribute, number) {
    if (number < 0) return "It has to be 0 or more.";
    const changed = this.graph.equations.map((e, k) => {
      return k === equation ? { ...e, attrs: { ...e.attrs, [attribute]: number } } : e;
    });
    return this.propose({ graph: { ...this.graph, equations: changed } });
  }

  setRate(number) {
    return number > 0 ? this.propose({ lr: number }) : "A learning rate has to be more than 0.";
  }

  /** Make one of the classic mistakes, or stop making it. */
  breakIt(mistake) {
    this.broken = mistake;
    this.compute();
  }

  updated() {
    return update(this.graph, this.values, this.result, this.lr);
  }

  /** One step of gradient descent; the reason where J would not be finite any more. */
  step() {
    const before = this.result.J;
    const reason = this.propose({ values: this.updated() });
    if (reason) return reason;
    this.updates += 1;
    this.before = before;
    return null;
  }

  get isChanged() {
    return Boolean(this.updates || this.broken || this.lr !== this.told.lr || this.isEdited);
  }

  /** Whether J is about other numbers than the book's. */
  get isEdited() {
    if (this.graph !== this.told.graph) return true;
    const book = this.matrices(this.told.values);
    return this.given.some((name) => this.values[name].data.some((number, k) => number !== book[name].data[k]));
  }

  get check() {
    if (!this.checked) {
      this.checking = gradientChecks(this.graph, this.values, this.result);
      this.timeLeft = IN_ALL_MS;
      this.checkFor(AT_ONCE_MS);
    }
    return this.checked;
  }

  /** Go on with the gradient check for some time, of what is left for it; whether it is over then. */
  checkFor(time) {
    const start = performance.now();
    for (let isOver = false; !isOver && performance.now() - start < time; ) {
      const { value, done } = this.checking.next();
      this.checked = value ?? this.checked;
      isOver = done;
      if (done) this.checking = null;
    }
    this.timeLeft -= performance.now() - start;
    if (this.timeLeft <= 0) this.checking = null;
    return !this.checking;
  }

  /** How much of the gradient check is done, in words; empty if all of it. */
  get progress() {
    const [done, all] = [Object.keys(this.check.checks).length, this.check.names.length];
    if (done === all) return "";
    return this.checking ? `Checking: ${done} of ${counted(all, "cotangent")} so far.` : `Checked in the time there was: ${done} of ${counted(all, "cotangent")}, from ${unicodeName(this.graph.objective)} back. The others are not.`;
  }

  /** What was switched: the variants of the told state that hold now. */
  get variants() {
    const ops = this.graph.equations.map(({ op }) => op).filter((op, k) => op !== this.told.graph.equations[k].op);
    return [...new Set(ops)].map((op) => this.told.variants?.[op]).filter(Boolean);
  }

  /** The stops with their words and formulas, as the operators now are. */
  get stops() {
    this.walk ??= this.told.stops.map((stop, k) => Object.assign({}, stop, ...this.variants.map(({ stops }) => stops[k])));
    return this.walk;
  }

  get ledger() {
    if (this.lives) return this.lives;
    const changes = Object.assign({}, ...this.variants.map(({ ledger }) => ledger));
    const kept = this.told.ledger.filter(([name]) => !(name in changes));
    this.lives = [...kept, ...Object.values(changes).filter(Boolean)].map(lifeOf).sort((a, b) => a.born - b.born);
    return this.lives;
  }

  codeOf({ equation, argnum }) {
    const { op } = this.graph.equations[equation];
    const key = argnum === null ? op : `${op} ${OPS[op].variadic ? 0 : argnum}`;
    return [key, Object.assign({}, this.told.code, ...this.variants.map(({ code }) => code))[key] ?? ""];
  }

  /** A variable's value as a step finds it; only an update in mid-pass makes it another one. */
  valueAt(name, step) {
    const moved = this.shares(name).find(({ updated, index }) => updated && index < step);
    return moved ? moved.updated : this.result.values[name];
  }

  /** A cotangent as it is when a step begins. */
  cotangentAt(name, step) {
    if (name === this.graph.objective) return scalar(1);
    return this.shares(name).findLast(({ index }) => index < step)?.total ?? null;
  }

  /** An array by its name, "z" or "dJ/dz", as a step reads it: in the wrong order, a cotangent after its first share. */
  arrayAt(array, step) {
    const name = this.variableOf(array);
    if (name === array) return this.valueAt(name, step);
    return this.isHasty(name) && step < this.result.steps.length ? this.shares(name)[0].total : this.cotangentAt(name, step);
  }

  /** Whether a cotangent is passed on too early. */
  isHasty(name) {
    return this.broken === "hasty_order" && this.shares(name).length > 1;
  }

  /** What a step does wrong because a rule is broken on purpose; null if nothing. */
  wrongdoing({ phase, equation, variable, first, reads, index, updated }) {
    if (phase === "forward" || !this.broken) return null;
    const { op, output } = this.graph.equations[equation];
    if (this.broken === "overwrite") return first ? null : "what was there is replaced, not added to";
    if (this.broken === "drop_phi") return OPS[op].activation ? "φ′ is left out" : null;
    if (this.broken === "hasty_order") return this.isHasty(output) ? `${this.label(reads[0])} is read before all its instalments are in` : null;
    if (updated) return `${unicodeName(variable)} is updated now, before the pass is over`;
    const moved = reads.slice(1).find((name) => this.valueAt(name, index) !== this.result.values[name]);
    return moved ? `${unicodeName(moved)}, which is read here, has been updated already` : null;
  }

  /** The variable that an array belongs to: of "dJ/dz", z. */
  variableOf(array) {
    const start = `d${this.graph.objective}/d`;
    return !(array in this.shapes) && array.startsWith(start) ? array.slice(start.length) : array;
  }

  /** How an array is written in text. */
  label(array) {
    const name = this.variableOf(array);
    return name === array ? unicodeName(name) : unicodeCotangent(this.graph, name);
  }

  /** All steps that add to a variable's cotangent. */
  shares(name) {
    return this.paid.get(name) ?? [];
  }
}

/** A life as the state writes it. */
function lifeOf([name, kind, bytes, born, freed]) {
  return { name, kind, bytes, born, freed };
}

// --- where the reader is ---------------------------------------------------------------------------------------------

/** One stepper in a page: the step, the controls, and the panels, which follow. */
class StepperView {
  constructor(model, place, told) {
    this.model = model;
    this.told = told;
    this.lab = new Lab(told, model.get("values"));
    this.count = told.stops.length;
    this.step = this.clamped(this.startingStep());
    this.timer = null;
    this.edited = null; // the entry that was changed last: { name, isUp, did }
    this.stepsTo = new Map(told.stops.flatMap(({ steps }, stop) => steps.map((step) => [step, stop])));
    this.build(place);
    this.listen();
    this.redraw();
  }

  startingStep() {
    const addressed = this.model.get("inPage") ? this.stopCalled(addressedStop(this.told.name)) : -1;
    return addressed >= 0 ? addressed : this.model.get("step");
  }

  stopCalled(id) {
    return this.told.stops.findIndex((stop) => stop.id === id);
  }

  clamped(step) {
    return Math.min(Math.max(Number(step) || 0, 0), this.count - 1);
  }

  get stop() {
    return this.lab.stops[this.step];
  }

  /** The schedule's step that has just run. */
  get now() {
    return this.stop.steps.at(-1) ?? this.lab.result.steps.length;
  }

  /** What the stop's steps did, in this run. */
  get steps() {
    return this.stop.steps.map((index) => this.lab.result.steps[index]);
  }

  // -- the frame

  build(place) {
    this.head = headOf(this);
    this.controls = controlsOf(this);
    this.says = saysOf(this);
    this.sheet = numberSheet(this);
    this.status = liveRegion();
    this.panels = [graphPanel, formulaPanel, numbersPanel, rulePanel, memoryPanel, codePanel, checkPanel].map((make) => make(this));
    const [graph, ...others] = this.panels.map((panel) => this.fold(panel));
    const [{ card }] = this.panels; // below the controls, which so stay where they are
    this.root = element(
      "div",
      { class: "mlp-ui mlp-stepper", role: "group", "aria-label": `Stepper through ${unicodeName(this.lab.graph.objective)}`, tabindex: "-1" },
      ...[this.head.element, graph, this.controls.element, this.says.element, card, ...others, this.sheet.element, this.status],
    );
    this.root.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves the keys to the view
    place.replaceChildren(this.root);
  }

  /** A panel as a `details` element; what the reader opens is remembered. */
  fold(panel) {
    const key = `mlp-view:${this.told.name}:open`;
    const first = matchMedia(NARROW).matches ? ["graph", "formula"].filter((name) => this.told.show.includes(name)) : this.told.show;
    const known = () => (recalled(key) ?? {})[panel.key] ?? first.includes(panel.key);
    const open = known();
    panel.fold = element("details", { class: `mlp-panel mlp-panel-${panel.key}`, open }, element("summary", {}, panel.title), panel.body);
    panel.fold.addEventListener("toggle", () => {
      if (panel.fold.open !== known()) remember(key, { ...recalled(key), [panel.key]: panel.fold.open });
    });
    panel.fold.addEventListener("toggle", () => {
      if (!panel.fold.open) return panel.closed?.();
      panel.draw();
      this.goOnChecking();
    });
    return panel.fold;
  }

  listen() {
    this.onHash = () => {
      const stop = this.stopCalled(addressedStop(this.told.name));
      if (stop < 0) return;
      this.go(stop); // a link in the prose leads here
      this.root.scrollIntoView();
      this.root.focus({ preventScroll: true });
    };
    this.unfollow = follow(this.model, {
      step: () => this.model.get("step") !== this.step && this.go(this.model.get("step")),
      values: () => this.lab.takeFrom(this.model) && this.redraw(),
    });
    if (this.model.get("inPage")) addEventListener("hashchange", this.onHash);
    this.root.addEventListener("keydown", (event) => this.key(event));
  }

  end() {
    this.pause();
    clearTimeout(this.checkTimer);
    clearTimeout(this.sayTimer);
    this.unfollow();
    removeEventListener("hashchange", this.onHash);
  }

  // -- moving

  /** Show a stop. */
  go(step, { told = "" } = {}) {
    const from = this.stop.phase;
    this.step = this.clamped(step);
    this.edited = null;
    this.sheet.choose(null);
    if (this.model.get("step") !== this.step) {
      this.model.set("step", this.step);
      this.model.save_changes();
    }
    if (this.model.get("inPage")) setAddress(this.told.name, this.stop.id);
    this.redraw();
    this.announce(from, told);
  }

  /** Say where we are; while playing, only where a phase begins. */
  announce(from, told = "") {
    const { phase, words } = this.stop;
    if (this.timer === null) this.say([`${told}Stop ${this.step + 1} of ${this.count}, ${phase}. ${words}`, this.made, this.confession].filter(Boolean).join(" "));
    else if (phase !== from) this.say(`${capitalized(phase)}.`);
  }

  /** Say something to those who listen; what was still to be said is no longer true. */
  say(text) {
    clearTimeout(this.sayTimer);
    this.status.textContent = text;
  }

  /** What the stop has made, as far as one can listen to it: "z is 3, 2, −2, 1." */
  get made() {
    if (this.stop.phase === "update") return outlookText(this.lab);
    const last = new Map(this.steps.slice(0, AT_ONCE).map((step) => [step.variable, step]));
    const short = [...last.values()].filter(({ total }) => total.data.length <= SPOKEN);
    return short.map(({ writes, final, phase, total: { shape, data } }) => {
      const rows = shape.length && shape[1] > 1 ? Array.from({ length: shape[0] }, (_, i) => data.slice(i * shape[1], (i + 1) * shape[1])) : [data];
      const numbers = rows.map((row) => [...row].map((number) => format(number)).join(", ")).join("; ");
      return `${this.lab.label(writes[0])}${phase === "backward" && !final.length ? " so far" : ""} is ${numbers}.`;
    }).join(" ");
  }

  /** What is wrong here because the reader broke a rule; empty if nothing. */
  get confession() {
    const wrong = this.steps.map((step) => this.lab.wrongdoing(step)).find(Boolean);
    return wrong ? `Broken on purpose: ${wrong}.` : "";
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    if (event.key === "Escape") {
      this.sheet.choose(null);
      this.panels[0].closed();
    }
    const isScrubbing = event.key === " " && event.target.matches(".mlp-scrubber");
    if (event.target.closest("input, select, textarea") && !isScrubbing) return;
    const keys = { ArrowLeft: this.step - 1, ArrowRight: this.step + 1, Home: 0, End: this.count - 1 };
    const box = event.target.closest(".mlp-scroll");
    if (event.key in keys && !(box === event.target && scrolls(box))) this.go(keys[event.key]);
    else if (event.key === " " && !event.target.closest("button, summary, a, [role=button]")) this.toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  toggle() {
    if (this.timer === null) this.play();
    else this.pause();
  }

  play() {
    if (this.step === this.count - 1) this.go(0);
    this.timer = setInterval(() => {
      this.go(this.step + 1);
      if (this.step === this.count - 1) this.pause();
    }, PLAY_EVERY);
    this.controls.draw();
  }

  pause() {
    if (this.timer === null) return;
    clearInterval(this.timer);
    this.timer = null;
    this.controls.draw();
    this.announce(null);
  }

  // -- changing numbers

  /** The reader has changed something: every panel follows, and Python is told. */
  changed({ everything = false } = {}) {
    this.model.set("values", this.lab.nested());
    this.model.save_changes();
    this.redraw(everything ? "draw" : "refresh");
    clearTimeout(this.sayTimer);
    this.sayTimer = setTimeout(() => {
      this.say([changesText(this.lab) || "The book's numbers.", this.stop.phase === "update" && this.made].filter(Boolean).join(" "));
    }, CHANGE_SAID_AFTER);
  }

  /** Change one entry; until the reader goes on, the picture shows what that can reach. */
  edit(name, index, number) {
    const before = this.lab.result.values;
    const reason = this.lab.setEntry(name, index, number);
    const now = this.lab.result.values;
    const didMove = (other) => other !== name && now[other].data.some((entry, k) => entry !== before[other].data[k]);
    if (reason === null) this.edited = { name, isUp: false, did: Object.keys(now).filter(didMove) };
    return this.attempt(reason);
  }

  /** A change that may be refused: null, or the reason. */
  attempt(reason, options) {
    if (reason === null) this.changed(options);
    return reason;
  }

  reset() {
    this.lab.reset();
    this.edited = null;
    this.changed({ everything: true });
    this.say("The book's numbers are back.");
  }

  update() {
    const reason = this.lab.step();
    if (reason) return reason;
    const { updates, before, result } = this.lab;
    this.controls.next.focus();
    this.changed();
    this.go(0, { told: `Update ${updates}: J from ${format(before, 5)} to ${format(result.J, 5)}. ` });
    return null;
  }

  // -- drawing

  redraw(how = "draw") {
    this.root.dataset.phase = this.stop.phase;
    this.head.draw();
    this.controls.draw();
    this.says.draw();
    this.sheet.draw();
    for (const panel of this.panels) {
      if (panel.fold.open) (panel[how] ?? panel.draw)();
    }
    this.panels[0].settle(); // measures, so it comes after all that is written
    this.goOnChecking();
  }

  /** What is left of a long gradient check, in slices between which the page answers. */
  goOnChecking() {
    clearTimeout(this.checkTimer);
    if (!this.lab.checking) return;
    this.checkTimer = setTimeout(() => {
      const isKnown = this.lab.check.guilty;
      const isOver = this.lab.checkFor(SLICE_MS);
      if (isOver || isKnown !== this.lab.check.guilty) return this.redraw();
      this.panels.at(-1).draw();
      this.goOnChecking();
    });
  }
}

VIEWS.stepper = (model, place, told) => {
  const view = new StepperView(model, place, told);
  return () => view.end();
};

// --- head, controls, sentence ----------------------------------------------------------------------------------------

/** The three phases, visibly apart, and "10 of 14". */
function headOf(view) {
  const phases = [...new Set(view.told.stops.map(({ phase }) => phase))];
  const items = phases.map((phase) => {
    const { mark } = PHASES[phase] ?? { mark: "•" };
    return element("li", { class: `mlp-phase mlp-phase-${phase}` }, icon(mark), ` ${phase}`);
  });
  const count = element("p", { class: "mlp-count" });
  const draw = () => {
    items.forEach((item, k) => {
      if (phases[k] === view.stop.phase) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    });
    count.textContent = `${view.step + 1} of ${view.count}`;
  };
  return { element: element("div", { class: "mlp-head" }, element("ol", { class: "mlp-phases" }, ...items), count), draw };
}

/** First, Back, Next, Last, Play; the scrubber and the list of stops. */
function controlsOf(view) {
  const move = (label, mark, to, name) => {
    return button([icon(mark), element("span", { class: "mlp-word" }, label)], () => view.go(to()), { class: `mlp-${name}` });
  };
  const first = move("First", "⇤", () => 0, "first");
  const back = move("Back", "‹", () => view.step - 1, "back");
  const next = move("Next", "›", () => view.step + 1, "next");
  const last = move("Last", "⇥", () => view.count - 1, "last");
  const [sign, word] = [icon(""), element("span", { class: "mlp-word" })];
  const play = button([sign, word], () => view.toggle(), { class: "mlp-play" });
  const scrubber = element("input", { type: "range", min: 0, max: view.count - 1, step: 1, "aria-label": "Stop", class: "mlp-scrubber" });
  scrubber.addEventListener("input", () => view.go(scrubber.value));
  const list = element("select", { class: "mlp-stops", "aria-label": "Go to stop", onchange: () => view.go(list.value) });
  const draw = () => {
    const { phase, title } = view.stop;
    listStops(list, view);
    list.value = scrubber.value = view.step;
    scrubber.setAttribute("aria-valuetext", `${view.step + 1} of ${view.count}, ${phase}: ${title}`);
    for (const [control, isOff] of [[first, view.step === 0], [back, view.step === 0], [next, isLast(view)], [last, isLast(view)]]) {
      switchOff(control, isOff);
    }
    const isPlaying = view.timer !== null;
    write(sign, isPlaying ? "❚❚" : "▶");
    write(word, isPlaying ? "Pause" : "Play");
  };
  const bar = element("div", { class: "mlp-bar" }, first, back, next, last, play);
  return { element: element("div", { class: "mlp-controls" }, scrubber, bar, list), draw, next };
}

function isLast(view) {
  return view.step === view.count - 1;
}

/** The stops by name in groups by phase; made again only where a name has changed. */
function listStops(list, { lab }) {
  const titles = lab.stops.map(({ title }) => title).join("\n");
  if (list.dataset.titles === titles) return;
  list.dataset.titles = titles;
  const groups = new Map();
  lab.stops.forEach(({ phase, title }, k) => {
    if (!groups.has(phase)) groups.set(phase, element("optgroup", { label: phase }));
    groups.get(phase).append(element("option", { value: k }, `${k + 1}. ${title}`));
  });
  list.replaceChildren(...groups.values());
}

/** The sentence of this stop; what was changed, with a way back; at the end, the update. */
function saysOf(view) {
  const words = element("p", { class: "mlp-words" });
  const changes = element("p", { class: "mlp-changes" });
  const back = resetButton(() => view.reset());
  const note = element("div", { class: "mlp-note" }, changes, back);
  const step = updateBox(view);
  const draw = () => {
    write(words, view.stop.words);
    note.hidden = !view.lab.isChanged;
    write(changes, [changesText(view.lab), view.edited ? reachText(view.lab.graph, view.edited) : ""].filter(Boolean).join(" "));
    step.draw();
  };
  return { element: element("div", { class: "mlp-says" }, words, step.element, note), draw };
}

function changesText({ updates, before, result, bookJ, broken, graph, isEdited, lr, told }) {
  const J = unicodeName(graph.objective);
  const times = `${updates} ${updates === 1 ? "update" : "updates"}`;
  const moved = updates ? `${times} so far: ${J} was ${format(before, 5)} before the last one, now it is ${format(result.J, 5)}.` : "";
  const edited = updates || !isEdited ? "" : `Your numbers: ${J} = ${format(result.J, 5)}; the book's give ${format(bookJ, 5)}.`;
  const rate = lr === told.lr ? "" : `η is ${format(lr)}.`;
  return [moved, edited, rate, broken ? "One rule is broken on purpose." : ""].filter(Boolean).join(" ");
}

/** At the last stop: the learning rate, J before and after, and the button. */
function updateBox(view) {
  const complaint = complaintBox();
  const rate = rateField(view, complaint);
  const outlook = element("p", { class: "mlp-outlook" });
  const go = button([icon("↻"), " Update, and step again"], () => complaint.say(view.update()), { class: "mlp-primary" });
  const box = element("div", { class: "mlp-update" }, rate.element, outlook, go, complaint.element);
  const draw = () => {
    box.hidden = view.stop.phase !== "update";
    if (box.hidden) return;
    outlook.textContent = outlookText(view.lab);
    rate.show(view.lab.lr);
  };
  return { element: box, draw };
}

/** Where an update would lead. */
function outlookText(lab) {
  const J = unicodeName(lab.graph.objective);
  const after = objectiveAt(lab.graph, lab.updated());
  if (!Number.isFinite(after)) return `This update would take ${J} beyond what a float64 holds.`;
  const way = after < lab.result.J ? "down" : after > lab.result.J ? "up: this step is too long" : "no change";
  return `This update takes ${J} from ${format(lab.result.J, 5)} to ${format(after, 5)}, ${way}.${lab.broken && way === "down" ? doubtText(lab, J) : ""}`;
}

function objectiveAt(graph, values) {
  return forward(graph, values)[graph.objective].data[0];
}

/**
 * Why a wrong gradient is not right for bringing J down: what the right one does, and a length at which it wins. There
 * is one: to first order no step of the same length brings J down as far.
 */
function doubtText({ graph, values, lr, result, parameters }, J) {
  const right = run(graph, values);
  const slopes = ({ cotangents }) => parameters.flatMap((name) => [...(cotangents[name]?.data ?? [])]);
  if (isSame(slopes(right), slopes(result))) return "";
  const length = (pass) => Math.sqrt(slopes(pass).reduce((sum, slope) => sum + slope * slope, 0));
  const to = (pass, rate) => objectiveAt(graph, update(graph, values, pass, rate));
  const told = ` The right gradient would take it to ${format(to(right, lr), 5)}. That ${J} falls in one step proves nothing`;
  for (let size = lr * length(result), k = 0; k < 30; size /= 2, k++) {
    const [best, own] = [right, result].map((pass) => to(pass, size / length(pass)));
    const digits = [5, 7, 9].find((count) => format(best, count) !== format(own, count));
    if (best < own && digits) return `${told}: of steps ${format(size, 2)} long, the right one takes ${J} to ${format(best, digits)}, this one to ${format(own, digits)}.`;
  }
  return `${told}.`;
}

function rateField(view, complaint) {
  const id = uniqueId("rate");
  const take = (number) => view.attempt(view.lab.setRate(number));
  const field = changeable(view, { label: "learning rate η", take, read: () => view.lab.lr, by: 0.01 }, complaint, { id });
  field.element.removeAttribute("aria-label");
  return { element: element("span", { class: "mlp-setting" }, element("label", { for: id }, "learning rate η"), field.element), show: field.show };
}

// --- the graph -------------------------------------------------------------------------------------------------------

function graphPanel(view) {
  const svg = picture(view.model.get("svg"));
  const card = nodeCard(view);
  const box = scrollBox("Graph", { class: "mlp-graph-box" }, svg ?? element("p", {}, "The picture of this graph is damaged."));
  const nodes = svg ? nodesOf(svg, view, card) : { variables: new Map(), operators: [], edges: [] };
  const draw = () => {
    if (svg) light(view, svg, nodes, view.edited ?? card.cone());
    card.draw();
  };
  const settle = () => centre(svg?.querySelector(".mlp-operator.mlp-current, .mlp-node.mlp-current"), box);
  new ResizeObserver(settle).observe(box);
  return { key: "graph", title: "Graph", body: box, card: card.element, draw, settle, closed: () => card.show(null) };
}

/** The picture's parts by what they stand for; squares become buttons. */
function nodesOf(svg, view, card) {
  svg.setAttribute("role", "group");
  const variables = new Map();
  for (const node of svg.querySelectorAll(".mlp-node[data-variable]")) {
    const name = node.dataset.variable;
    if (!(name in view.lab.shapes)) continue;
    variables.set(name, node);
    const focused = () => {
      card.show(name);
      if (node.matches(":focus-visible")) centre(node, svg.parentNode); // by keyboard: a finger's node stays under the finger
    };
    furnished(node, { tabindex: 0, role: "button", onfocus: focused, onclick: () => visit(view, name, card), onkeydown: pressed }, []);
  }
  const operators = [...svg.querySelectorAll(".mlp-node:not([data-variable])")].map((node) => ({ node, holds: equationsOf(node.dataset) }));
  const edges = [...svg.querySelectorAll(".mlp-edge")];
  return { variables, operators, edges };
}

/** Enter and Space on a square are a click. */
function pressed(event) {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  event.stopPropagation();
  event.currentTarget.dispatchEvent(new MouseEvent("click", { bubbles: true }));
}

/** Which equations a node stands for: one, a layer's, or from the first to the last of a gap. */
function equationsOf({ equation, equations }) {
  if (equation !== undefined) return (k) => k === Number(equation);
  const numbers = (equations ?? "").split(" ").map(Number);
  return (k) => k >= numbers[0] && k <= numbers.at(-1);
}

/** To the stop that made what the square now shows. */
function visit(view, name, card) {
  card.show(name);
  const stop = view.stop.phase === "forward" ? makerStop(view, name) : sharesStop(view, name);
  if (stop !== null) view.go(stop);
}

function makerStop({ lab, stepsTo }, name) {
  return stepsTo.get(lab.makers.get(name)?.index) ?? null;
}

function sharesStop({ lab, stepsTo }, name) {
  return stepsTo.get(lab.shares(name).at(-1)?.index) ?? null;
}

/** Light the stop in the picture, and what depends on a variable, or what it depends on. */
function light(view, svg, { variables, operators, edges }, asked) {
  const { lab, now, steps, stop } = view;
  const isBack = stop.phase !== "forward";
  svg.dataset.direction = isBack ? "backward" : "forward";
  svg.setAttribute("aria-label", `Computational graph of ${unicodeName(lab.graph.objective)}, ${stop.phase}`);
  const written = new Set(steps.flatMap(({ variable }) => variable));
  const guilty = lab.broken && lab.check.guilty;
  const cone = asked && coneOf(lab.graph, asked);
  const inCone = (isIn) => ({ cone: cone && isIn, faded: cone && !isIn });
  const uses = (equation) => cone?.equations.has(equation);
  for (const [name, node] of variables) {
    const { filled, pending } = standing(lab, name, now, isBack);
    const isCurrent = written.has(name) || (stop.phase === "update" && lab.parameters.includes(name));
    mark(node, { current: isCurrent, written: isCurrent, filled, pending, final: isCurrent && !pending, guilty: name === guilty, ...inCone(cone?.names.has(name)) });
    const relation = cone?.names.has(name) && name !== asked.name ? `, ${asked.isUp ? "needed by" : "depends on"} ${unicodeName(asked.name)}` : "";
    node.setAttribute("aria-label", nodeText(view, name, filled, pending) + (name === guilty ? ", wrong" : "") + relation);
  }
  for (const { node, holds } of operators) mark(node, { current: steps.some(({ equation }) => holds(equation)), ...inCone([...(cone?.equations ?? [])].some(holds)) });
  for (const edge of edges) {
    const { variable, equation } = edge.dataset;
    const isCone = cone && (cone.names.has(variable) || !(variable in lab.shapes)) && uses(Number(equation));
    mark(edge, { current: steps.some((step) => isOn(edge.dataset, step, operators)), ...inCone(isCone) });
  }
  renameOperators(lab, operators);
}

/** All that depends on a variable, or that it depends on: the variables, itself too, and the equations between them. */
function coneOf(graph, { name, isUp }) {
  const names = isUp ? ancestorsOf(graph, name) : descendantsOf(graph, [name]);
  const isBetween = ({ inputs, output }) => (isUp ? names.has(output) : inputs.some((input) => names.has(input)));
  return { names, equations: new Set(graph.equations.flatMap((equation, k) => (isBetween(equation) ? [k] : []))) };
}

/** The same in words; of a change that was made, which of them it did reach. */
function reachText(graph, { name, isUp, did }) {
  const { names } = coneOf(graph, { name, isUp });
  const others = graph.variables.map((variable) => variable.name).filter((other) => other !== name && names.has(other));
  const said = (list) => enumerated([...list.slice(0, SAID).map(unicodeName), ...(list.length > SAID ? [`${list.length - SAID} more`] : [])]);
  const own = unicodeName(name);
  if (!others.length) return isUp ? `${own} is given: it depends on nothing.` : `Nothing depends on ${own}.`;
  if (did) return `A change of ${own} can reach ${said(others)}; ${did.length === others.length ? "this one did" : `this one reached ${said(did) || "none of them"}`}.`;
  return isUp ? `${own} depends on ${said(others)}, and on nothing else.` : `On ${own} depend${others.length > 1 ? "" : "s"} ${said(others)}, and nothing else.`;
}

function mark(node, classes) {
  for (const [name, isOn] of Object.entries(classes)) node.classList.toggle(`mlp-${name}`, Boolean(isOn));
}

/** Whether a square's value, or on the way back its cotangent, is there, and whether shares are still to come. */
function standing(lab, name, now, isBack) {
  if (!isBack) {
    return { filled: !(lab.makers.get(name)?.index > now), pending: false };
  }
  if (name === lab.graph.objective) return { filled: true, pending: false };
  const shares = lab.shares(name);
  const arrived = shares.filter(({ index }) => index <= now).length;
  return { filled: arrived > 0, pending: arrived > 0 && arrived < shares.length };
}

/** Whether a step uses an edge: forward all of its operator's, backward the two that the cotangent takes. */
function isOn({ variable, equation, argnum }, step, operators) {
  const box = operators.find(({ holds }) => holds(Number(equation)));
  if (!box?.holds(step.equation)) return false;
  if (step.phase === "forward" || argnum === undefined) return true;
  return variable === step.variable && (Number(equation) !== step.equation || Number(argnum) === step.argnum);
}

/** A switched operator has another name in its circle. */
function renameOperators({ told, graph }, operators) {
  for (const { node } of operators.filter(({ node }) => node.dataset.op !== undefined)) {
    const { op } = graph.equations[node.dataset.equation];
    const isSwitched = op !== told.graph.equations[node.dataset.equation].op;
    const label = node.querySelector(".mlp-label:not(.mlp-switched)");
    node.querySelector(".mlp-switched")?.remove();
    if (label) label.style.display = isSwitched ? "none" : "";
    if (isSwitched) node.append(drawn("text", { class: "mlp-label mlp-switched", "text-anchor": "middle", y: 4.5 }, told.variants?.[op]?.symbol ?? op));
  }
}

/** Bring a node into sight, where the picture scrolls. */
function centre(node, box) {
  if (!node || box.tabIndex < 0) return;
  const [inner, outer] = [node.getBoundingClientRect(), box.getBoundingClientRect()];
  box.scrollLeft += inner.left + inner.width / 2 - (outer.left + outer.width / 2);
}

/** A square in words: name, shape, what it holds. */
function nodeText({ lab, now, stop }, name, filled, pending) {
  const isBack = stop.phase !== "forward";
  const label = isBack && lab.shares(name).length ? unicodeCotangent(lab.graph, name) : unicodeName(name);
  const matrix = isBack ? lab.cotangentAt(name, now + 1) : lab.valueAt(name, now);
  const size = sizeText(lab.shapes[name]);
  if (isBack && name !== lab.graph.objective && !lab.shares(name).length) return `${label}, ${size}, no cotangent is computed`;
  if (!filled || !matrix) return `${label}, ${size}, not computed yet`;
  const numbers = matrix.data.length <= 12 ? [...matrix.data].map((number) => format(number)).join(", ") : `${matrix.data.length} numbers`;
  return `${label}, ${size}, ${numbers}${pending ? ", not final yet" : ""}`;
}

/** Who made a variable, who reads it, its shape and its numbers, which of a given one can be changed; and its cone. */
function nodeCard(view) {
  const complaint = complaintBox();
  const [title, told, reach] = [element("p", { class: "mlp-card-name" }), element("p"), element("p")];
  const [arrays, links] = [element("div", { class: "mlp-arrays" }), element("p", { class: "mlp-links" })];
  const close = closeButton(() => show(null));
  const ways = [["", "what depends on it"], ["up", "what it depends on"]];
  const way = choice("Light up", ways, () => {
    view.edited = null;
    view.redraw("refresh");
  });
  const place = element("aside", { class: "mlp-card", "aria-label": "The chosen variable", hidden: true }, close, title, told, way.element, reach, arrays, complaint.element, links);
  const tables = new Map();
  let name = null;
  const show = (next) => {
    if (next === null && place.contains(document.activeElement)) view.root.focus(); // not lost with what had it
    if (next !== name) complaint.say(null);
    name = next;
    view.edited = null;
    view.panels[0].draw();
  };
  const cone = () => name && { name, isUp: way.select.value === "up" };
  const table = (caption, read, role, isGiven) => {
    const key = [name, role, caption].join();
    const field = isGiven && read().data.length <= IN_TABLE ? (index) => entryField(view, name, index, null, complaint) : null;
    if (!tables.has(key)) tables.set(key, arrayTable({ caption: [caption, ""], read, role }, field));
    tables.get(key).refresh();
    return tables.get(key);
  };
  const draw = () => {
    place.hidden = name === null;
    if (name === null) return;
    const { lab, now, stop } = view;
    title.replaceChildren(element("strong", {}, unicodeName(name)), `, ${sizeText(lab.shapes[name])}`);
    write(told, originText(view, name));
    write(reach, reachText(lab.graph, cone()));
    const [value, cotangent] = [standing(lab, name, now, false), standing(lab, name, now, true)];
    const isThere = stop.phase !== "forward" && cotangent.filled && lab.cotangentAt(name, now + 1);
    const [key, so] = [name, cotangent.pending ? " so far" : ""]; // the tables outlive this choice
    arrange(arrays, [
      ...(value.filled ? [table("value", () => view.lab.valueAt(key, view.now), "value", lab.given.includes(name))] : []),
      ...(isThere ? [table(`${unicodeCotangent(lab.graph, name)}${so}`, () => view.lab.cotangentAt(key, view.now + 1), "cotangent")] : []),
    ]);
    const to = (label, at) => at !== null && button(`${label} (stop ${at + 1})`, () => view.go(at), { class: "mlp-link" });
    links.replaceChildren(...[to("its value", makerStop(view, name)), to("its cotangent", sharesStop(view, name))].filter(Boolean));
  };
  return { element: place, show, draw, cone };
}

/** Who made a variable, and who reads it. */
function originText({ lab, stepsTo }, name) {
  const title = (equation) => titleOf(lab, stepsTo, equation);
  const maker = lab.graph.equations.findIndex(({ output }) => output === name);
  const readers = [...lab.graph.equations.keys()].filter((k) => lab.graph.equations[k].inputs.includes(name));
  const made = maker < 0 ? "Given: nothing computes it, and you can change it." : `Made by ${title(maker)}.`;
  return `${made} ${readers.length ? `Read by ${enumerated(readers.map(title))}.` : "Nothing reads it: it is the result."}`;
}

// --- the formula -----------------------------------------------------------------------------------------------------

function formulaPanel(view) {
  const symbols = element("div", { class: "mlp-formula" });
  const numbers = element("div", { class: "mlp-formula" });
  const box = scrollBox("Formula, in symbols and in numbers", { class: "mlp-formula-box" }, symbols, numbers);
  const warning = element("p", { class: "mlp-broken" });
  const draw = () => {
    warning.hidden = !view.confession;
    warning.textContent = view.confession && `✗ ${view.confession}`;
    symbols.replaceChildren(...formulaRows(view.stop.formula));
    numbers.replaceChildren(...(view.stop.numbers ? formulaRows(view.stop.numbers, (k) => slotNode(view, view.stop.slots[k])) : []));
  };
  return { key: "formula", title: "Formula", body: element("div", {}, box, warning), draw };
}

/** The numbers that go where a formula has "@k". */
function slotNode({ lab, stop }, slot) {
  const at = stop.steps.find((index) => lab.result.steps[index].reads.includes(slot)) ?? stop.steps[0] ?? lab.result.steps.length;
  if (slot === "learning rate") return mathNode("mn", {}, format(lab.lr));
  const [, what, name] = /^(instalment|new|\w+ of) (.+)$/.exec(slot) ?? [null, "", slot];
  if (what === "instalment") return mathMatrix(lab.result.steps[Number(name)].instalment, { class: "mlp-of-cotangent" });
  if (what === "new") return mathMatrix(lab.updated()[name], { class: "mlp-of-value" });
  if (what) return mathNode("mn", {}, format(lab.graph.equations.find(({ output }) => output === name).attrs[what.slice(0, -3)]));
  const isCotangent = lab.variableOf(slot) !== slot;
  const matrix = stop.phase === "update" && !isCotangent ? lab.values[slot] : lab.arrayAt(slot, at);
  return matrix ? mathMatrix(matrix, { class: isCotangent ? "mlp-of-cotangent" : "mlp-of-value" }) : mathNode("mtext", {}, "?");
}

// --- the numbers -----------------------------------------------------------------------------------------------------

function numbersPanel(view) {
  const lens = entryLens(view);
  const arrays = element("div", { class: "mlp-arrays" });
  const hint = element("p", { class: "mlp-hint" });
  const givenTable = givenTables(view, lens);
  const computed = new Map();
  const computedTable = (array) => {
    const key = [array.key, ...array.caption].join();
    if (!computed.has(key)) computed.set(key, arrayTable(array));
    computed.get(key).refresh();
    return computed.get(key);
  };
  const more = settings(view, givenTable);
  const body = element("div", {}, hint, arrays, lens.element, more.element);
  let tables = [];
  const draw = () => {
    const shownArrays = arraysOf(view);
    const given = shownArrays.filter(({ isGiven }) => isGiven).map(({ key }) => key);
    tables = shownArrays.map((array) => (array.isGiven ? givenTable(array.key) : computedTable(array)));
    arrange(arrays, tables);
    const most = view.stop.phase === "update" ? view.lab.parameters.length : extremes([...view.steps.map(({ reads }) => reads.length), view.steps.length])[1];
    hint.hidden = given.length === 0;
    write(hint, `Numbers in a frame can be changed; everything follows.${most > AT_ONCE ? ` Of many, the first ${AT_ONCE} of ${most} are here; the others under “Change anything”.` : ""}`);
    lens.draw();
    more.draw(given);
  };
  const refresh = () => {
    tables.forEach((table) => table.refresh());
    lens.draw();
    more.refresh();
  };
  return { key: "numbers", title: "Numbers", body, draw, refresh };
}

/** The arrays that a stop reads and writes, each with how to read it now; entries of a given one can be changed. */
function arraysOf(view) {
  const { lab, stop } = view;
  const found = new Map();
  const add = (key, caption, read, role, isGiven = false) => {
    if (!found.has(key)) found.set(key, { key, caption, read, role, isGiven });
  };
  const reads = (array, index) => {
    const read = () => lab.arrayAt(array, index);
    const role = lab.variableOf(array) === array ? "value" : "cotangent";
    add(array, [lab.label(array), "read"], read, role, lab.given.includes(array) && read() === lab.values[array]);
  };
  for (const { index, phase, reads: names, writes, first, final } of view.steps.slice(0, AT_ONCE)) {
    names.slice(0, AT_ONCE).forEach((name) => reads(name, index));
    const result = () => lab.result.steps[index];
    if (phase === "forward") add(writes[0], [lab.label(writes[0]), "written"], () => result().total, "value");
    else {
      if (!first) add(`share ${index}`, [`${lab.label(writes[0])}, this instalment`, "added"], () => result().instalment, "cotangent");
      const state = final.length ? (first ? "written" : "sum, final") : "so far, not final";
      add(`total ${writes[0]}`, [lab.label(writes[0]), state], () => result().total, "cotangent");
    }
  }
  if (stop.phase === "update") {
    for (const name of lab.parameters.slice(0, AT_ONCE)) {
      reads(name, 0);
      reads(cotangentName(lab.graph, name), Infinity);
      add(`new ${name}`, [`${unicodeName(name)} after the update`, "to come"], () => lab.updated()[name], "value");
    }
  }
  return [...found.values()];
}

function arrayTable({ caption: [name, what], read, role }, entry = null) {
  const matrix = read();
  const caption = [element("strong", {}, name), ` ${sizeText(matrix.shape)}${what && `, ${what}`}`];
  const table = matrixTable(caption, matrix, { className: `mlp-is-${role}`, entry });
  let shown = matrix;
  const refresh = () => {
    if (shown !== read()) table.refresh((shown = read()));
  };
  return { element: table.element, refresh };
}

/** A table for each given array, made once and shown wherever it is wanted, with its own place for reasons. */
function givenTables(view, lens) {
  const made = new Map();
  const make = (name) => {
    const complaint = complaintBox();
    const array = { caption: [unicodeName(name), "given"], read: () => view.lab.values[name], role: "value" };
    const isEditable = view.lab.values[name].data.length <= IN_TABLE;
    const table = arrayTable(array, isEditable ? (index) => entryField(view, name, index, lens, complaint) : null);
    return { element: element("div", {}, table.element, complaint.element), refresh: table.refresh, complaint };
  };
  return (name) => {
    if (!made.has(name)) made.set(name, make(name));
    const table = made.get(name);
    table.complaint.say(null);
    table.refresh();
    return table;
  };
}

/** A field for one entry of what the reader may change; with the focus, the entry goes under the lens. */
function entryField(view, name, index, lens, complaint) {
  const entry = { label: entryText(name, index), take: (number) => view.edit(name, index, number), read: () => entryOf(view.lab.values[name], index), by: 0.1 };
  return changeable(view, entry, complaint, { size: 4 }, () => lens?.choose(name, index));
}

/** A field for a number of the reader's. On a phone the sheet comes with it, and the keyboard only for the sheet's. */
function changeable(view, number, complaint, attributes, onfocus) {
  const field = numberField(number.label, number.take, complaint, attributes);
  field.element.addEventListener("focus", () => {
    onfocus?.(); // may open something above the field
    view.sheet.choose(number, field.element);
  });
  const quiet = () => (field.element.inputMode = matchMedia(`(pointer: coarse) and ${NARROW}`).matches ? "none" : "decimal");
  field.element.addEventListener("pointerdown", quiet); // again: a phone may have been turned
  quiet();
  return field;
}

/** Less, the other sign, more. */
function nudges(read, take, by) {
  const nudge = (label, text, next) => button([icon(label), unseen(text)], () => take(Number(next(read()).toPrecision(12))), { class: "mlp-nudge" });
  return [nudge("−", `less by ${format(by)}`, (number) => number - by), nudge("±", "change the sign", (number) => -number), nudge("+", `more by ${format(by)}`, (number) => number + by)];
}

/** At the bottom of a phone's screen: −, the value, +, and the sign, which a phone's keys for numbers may lack. */
function numberSheet(view) {
  const complaint = complaintBox();
  const [title, result] = [element("strong"), element("output")];
  const place = element("section", { class: "mlp-sheet", hidden: true });
  let [chosen, field] = [null, null];
  const take = (number) => {
    const reason = chosen.take(number);
    complaint.say(reason && `${reason} It stays ${exactText(chosen.read())}.`);
  };
  const close = closeButton(() => {
    choose(null);
    view.root.focus({ preventScroll: true });
  });
  const choose = (next, from = null) => {
    if (chosen === next) return;
    complaint.say(null);
    chosen = next;
    place.hidden = chosen === null;
    if (place.hidden) return;
    field = numberField(chosen.label, (number) => chosen.take(number), complaint, { "aria-label": `Value of ${chosen.label}` });
    title.textContent = chosen.label;
    place.setAttribute("aria-label", `Change ${chosen.label}`);
    const [less, sign, more] = nudges(chosen.read, take, chosen.by);
    const row = element("div", { class: "mlp-sheet-row" }, less, field.element, more, sign);
    place.replaceChildren(element("p", {}, title, result, close), row, complaint.element);
    draw();
    from?.scrollIntoView({ block: "nearest" }); // not under the sheet
  };
  const draw = () => {
    if (chosen === null) return;
    field.show(chosen.read());
    const { graph, result: { J } } = view.lab;
    write(result, `${unicodeName(graph.objective)} = ${format(J, 5)}`);
  };
  return { element: place, choose, draw };
}

/** "W⁽¹⁾ row 1, column 2". */
function entryText(name, index) {
  return index.length ? `${unicodeName(name)} row ${index[0] + 1}, column ${index[1] + 1}` : unicodeName(name);
}

/** Everything that can be changed: the other given arrays, λ, η, activation and loss. */
function settings(view, givenTable) {
  const complaint = complaintBox();
  const places = element("div", { class: "mlp-arrays" });
  const knobs = knobsOf(view, complaint);
  const row = element("div", { class: "mlp-settings" }, ...knobs.elements);
  const reset = button([icon("↺"), " Reset everything"], () => view.reset(), { class: "mlp-reset" });
  const fold = element("details", { class: "mlp-more" }, element("summary", {}, "Change anything"), row, complaint.element, places, reset);
  let tables = [];
  let beside = []; // what the stop shows anyway
  let drawnBeside = null;
  const draw = (next = beside) => {
    beside = next;
    if (!fold.open) return;
    if (drawnBeside === beside.join()) return refresh();
    drawnBeside = beside.join();
    knobs.refresh();
    tables = view.lab.given.filter((name) => !beside.includes(name)).map(givenTable);
    arrange(places, tables);
    complaint.say(null);
  };
  const refresh = () => {
    if (!fold.open) return;
    knobs.refresh();
    tables.forEach((table) => table.refresh());
  };
  fold.addEventListener("toggle", () => draw());
  return { element: fold, draw, refresh };
}

function knobsOf(view, complaint) {
  const { told } = view;
  const fields = [];
  const attributes = told.graph.equations.flatMap(({ attrs, output, symbols }, k) => {
    return Object.keys(attrs).map((attribute) => ({ k, attribute, label: `${symbolText(symbols?.[attribute] ?? "\\lambda")} in ${unicodeName(output)}` }));
  });
  for (const { k, attribute, label } of attributes) {
    const read = () => view.lab.graph.equations[k].attrs[attribute];
    const take = (number) => view.attempt(view.lab.setAttribute(k, attribute, number));
    const field = changeable(view, { label, take, read, by: 0.1 }, complaint, { id: uniqueId("knob") });
    fields.push({ element: element("span", { class: "mlp-setting" }, element("label", { for: field.element.id }, label), field.element), refresh: () => field.show(read()) });
  }
  const rate = rateField(view, complaint);
  fields.push({ element: rate.element, refresh: () => rate.show(view.lab.lr) });
  for (const [kind, change] of [["activation", withOp], ["loss", withLoss]]) {
    const knob = operatorChoice(view, kind, change, complaint);
    if (knob) fields.push(knob);
  }
  return { elements: fields.map((field) => field.element), refresh: () => fields.forEach((field) => field.refresh()) };
}

function symbolText(tex) {
  const known = { "\\lambda": "λ", "\\mu": "μ", "\\gamma": "γ", "\\alpha": "α", "\\beta": "β" };
  return known[tex] ?? tex.replace(/[\\{}]/g, "");
}

/** A choice of activation or loss, among those whose words and formulas came with the state. */
function operatorChoice(view, kind, change, complaint) {
  const { told } = view;
  const isKind = ({ op }) => OPS[op]?.[kind];
  const used = [...new Set(told.graph.equations.filter(isKind).map(({ op }) => op))];
  const others = Object.keys(told.variants ?? {}).filter((op) => isKind({ op }));
  if (!used.length || !others.length) return null;
  const mixed = used.length > 1 ? [["", "mixed"]] : [];
  const ops = [...new Set([...(used.length > 1 ? [] : used), ...others])];
  const knob = choice(kind, [...mixed, ...ops.map((op) => [op, op.replace("_", " ")])], (op) => {
    const back = op === "" || (used.length === 1 && op === used[0]);
    const graph = back ? restored(view.lab, kind) : change(view.lab.graph, op);
    complaint.say(view.attempt(view.lab.propose({ graph }), { everything: true }));
    refresh();
  });
  const refresh = () => {
    const now = view.lab.graph.equations.find(isKind).op;
    knob.select.value = view.lab.graph.equations.filter(isKind).every(({ op }) => op === now) ? now : "";
  };
  return { element: knob.element, refresh };
}

/** The graph with the book's own operators of a kind again; where nothing else was changed, the book's own graph. */
function restored({ told, graph }, kind) {
  const equations = graph.equations.map((e, k) => (OPS[e.op]?.[kind] ? { ...e, op: told.graph.equations[k].op } : e));
  const isBook = JSON.stringify(equations) === JSON.stringify(told.graph.equations);
  return isBook ? told.graph : { ...graph, equations };
}

// --- one number under the lens ---------------------------------------------------------------------------------------

const REACH = 2; // how far the curve of J goes to both sides
const POINTS = 81;

/** The chosen entry: a slider, −, sign, +; the curve of J over it with its tangent; gradient and difference. */
function entryLens(view) {
  let chosen = null; // { name, index, centre }
  const complaint = complaintBox();
  const title = element("strong");
  const slider = element("input", { type: "range", min: -REACH, max: REACH, step: 0.1, oninput: () => set(Number((chosen.centre + Number(slider.value)).toPrecision(12))) });
  const chart = element("div", { class: "mlp-chart" });
  const facts = element("div");
  const value = () => entryOf(view.lab.values[chosen.name], chosen.index);
  const set = (number) => complaint.say(view.edit(chosen.name, chosen.index, number));
  const close = closeButton(() => show(null));
  const box = element("section", { class: "mlp-lens", "aria-label": "One number", hidden: true }, close, element("p", {}, title, " ", element("span", { class: "mlp-nudges" }, ...nudges(value, set, 0.1))), chart, slider, complaint.element, facts);
  const show = (next) => {
    chosen = next;
    draw();
  };
  const choose = (name, index) => {
    if (chosen?.name !== name || chosen.index.join() !== index.join()) show({ name, index, centre: entryOf(view.lab.values[name], index) });
  };
  const draw = () => {
    box.hidden = chosen === null;
    if (box.hidden) return;
    if (Math.abs(value() - chosen.centre) > REACH) chosen.centre = value();
    title.textContent = `${entryText(chosen.name, chosen.index)} = ${format(value())}`;
    slider.setAttribute("aria-label", `Slide ${entryText(chosen.name, chosen.index)}`);
    slider.setAttribute("aria-valuetext", format(value()));
    slider.value = value() - chosen.centre;
    const slopes = slopesAt(view.lab, chosen);
    chart.replaceChildren(curveChart(view.lab, chosen, value(), slopes));
    facts.replaceChildren(slopeTable(view.lab, chosen, slopes), slopeWords(view.lab, chosen, slopes));
  };
  return { element: box, choose, draw };
}

function slopesAt({ graph, values, result }, { name, index }) {
  const gradient = name in result.cotangents ? entryOf(result.cotangents[name], index) : null;
  const plain = difference(graph, values, name, index);
  return { gradient, found: gradient === null ? null : judge(graph, result.values, name, index, gradient, plain), ...plain };
}

function slopeTable({ graph }, { name }, { gradient, slope, left, right, corner }) {
  const row = (label, number) => element("tr", {}, element("th", { scope: "row" }, label), element("td", {}, format(number, 6)));
  const rows = [
    gradient === null ? null : row(`gradient, one entry of ${unicodeCotangent(graph, name)}`, gradient),
    corner ? null : row("by nudging: centred difference", slope),
    corner ? row("by nudging down", left) : null,
    corner ? row("by nudging up", right) : null,
  ];
  return element("table", { class: "mlp-facts" }, element("caption", {}, `The slope of ${unicodeName(graph.objective)} here`), element("tbody", {}, ...rows.filter(Boolean)));
}

function slopeWords({ graph, broken }, { name }, { gradient, found, slope, left, right, corner }) {
  const J = unicodeName(graph.objective);
  const say = (text) => element("p", { class: "mlp-hint" }, text);
  if (corner) return say(`A corner: two slopes, ${format(left)} and ${format(right)}. The book uses φ′(0) = 0.`);
  if (gradient === null) return say(`${unicodeCotangent(graph, name)} is not computed: nobody asked for it. Nudging still tells the slope.`);
  if (found.reason) return say(`Nudging cannot tell whether they agree: ${found.reason}.`);
  if (found.error > TOLERANCE) return say(`They disagree${broken ? ": the rule that you broke is on this number's way" : ""}.`);
  const way = Math.abs(slope) < 1e-9 ? `${J} does not move` : `${J} ${slope > 0 ? "rises" : "falls"} at that rate`;
  return say(`They agree. Raise it a little and ${way}.`);
}

/** J over one entry, with the point where it is and the tangent whose slope is the gradient; at a corner, both slopes. */
function curveChart(lab, { name, index, centre }, w, slopes) {
  const { gradient, slope, corner } = slopes;
  const [width, height, left, bottom] = [360, 190, 46, 24];
  const points = curve(lab.graph, lab.values, name, index, centre - REACH, centre + REACH, POINTS).filter(([, J]) => Number.isFinite(J));
  const J = lab.result.J;
  const heights = [J, ...points.map(([, J]) => J)];
  const [low, high] = extremes(heights);
  const room = (high - low || 1) * 0.08;
  const x = (number) => left + ((number - centre + REACH) / (2 * REACH)) * (width - left - 8);
  const y = (J) => height - bottom - ((J - low + room) / (high - low + 2 * room || 1)) * (height - bottom - 8);
  const line = points.map(([number, J], k) => `${k ? "L" : "M"}${x(number).toFixed(1)} ${y(J).toFixed(1)}`).join("");
  const across = (slope, side) => {
    if (!Number.isFinite(slope)) return ""; // of a rule broken on purpose, or where J ends
    const span = slope * side > 0 ? high - J + room : J - low + room; // so that a steep tangent stays inside
    const far = side * Math.min(REACH * 0.4, span / (Math.abs(slope) || 1));
    return `M${x(w).toFixed(1)} ${y(J).toFixed(1)}L${x(w + far).toFixed(1)} ${y(J + slope * far).toFixed(1)}`;
  };
  const sides = corner ? [slopes.left, slopes.right] : [gradient, gradient];
  const labels = [
    drawn("text", { x: left + 7, y: 18 }, unicodeName(lab.graph.objective)),
    drawn("text", { x: left - 6, y: y(high) + 4, "text-anchor": "end" }, format(high, 3)),
    drawn("text", { x: left - 6, y: y(low) + 4, "text-anchor": "end" }, format(low, 3)),
    ...[centre - REACH, centre, centre + REACH].map((number, k) => {
      return drawn("text", { x: x(number), y: height - 6, "text-anchor": ["start", "middle", "end"][k] }, format(number, 3));
    }),
  ];
  const told = `${unicodeName(lab.graph.objective)} over ${entryText(name, index)} from ${format(centre - REACH)} to ${format(centre + REACH)}: at ${format(w)} it is ${format(J)}, slope ${corner ? "different to both sides" : format(slope)}.`;
  const ids = [uniqueId("title"), uniqueId("desc")];
  return drawn(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": ids.join(" ") },
    drawn("title", { id: ids[0] }, `${unicodeName(lab.graph.objective)} as ${entryText(name, index)} moves`),
    drawn("desc", { id: ids[1] }, told),
    drawn("path", { class: "mlp-axis", d: `M${left} 8V${height - bottom}H${width - 8}` }),
    drawn("path", { class: "mlp-curve", d: line }),
    gradient === null ? null : drawn("path", { class: "mlp-tangent", d: across(sides[0], -1) + across(sides[1], 1) }),
    drawn("circle", { class: "mlp-here", cx: x(w), cy: y(J), r: 5 }),
    ...labels,
  );
}

// --- the local rule and the instalments ------------------------------------------------------------------------------

function rulePanel(view) {
  const body = element("div", { class: "mlp-shares" });
  const draw = () => {
    const { stop } = view;
    const names = [...new Set(view.steps.map(({ variable }) => variable))].slice(0, AT_ONCE);
    if (stop.phase === "update") body.replaceChildren(element("p", {}, "All cotangents are final: now, and not before, the parameters may move."));
    else if (stop.phase === "forward") body.replaceChildren(...oweText(view));
    else body.replaceChildren(...names.map((name) => instalments(view, name)));
  };
  return { key: "rule", title: "Instalments", body, draw };
}

/** Forward: what this step will pay back, and when. */
function oweText({ lab, steps, stepsTo }) {
  const inputs = steps.slice(0, AT_ONCE).flatMap(({ equation }) => lab.graph.equations[equation].inputs.map((name) => ({ name, equation })));
  const owed = inputs.filter(({ name }, k) => inputs.findIndex((other) => other.name === name) === k).slice(0, 2 * AT_ONCE);
  return owed.map(({ name, equation }) => {
    const share = lab.shares(name).find((s) => s.equation === equation);
    const cotangent = unicodeCotangent(lab.graph, name);
    const text = share
      ? `On the way back this step pays an instalment to ${cotangent} (stop ${stepsTo.get(share.index) + 1}).`
      : `${cotangent} is not computed: nobody asked for it.`;
    return element("p", {}, text);
  });
}

/** The title of the stop that an equation belongs to. */
function titleOf({ stops }, stepsTo, equation) {
  return stops[stepsTo.get(equation)].title;
}

/** Backward: the shares of one cotangent that have arrived, those still owed, and the sum so far. */
function instalments({ lab, now, stepsTo }, name) {
  const shares = lab.shares(name);
  const arrived = shares.filter(({ index }) => index <= now);
  const cotangent = unicodeCotangent(lab.graph, name);
  const sum = arrived.map((share) => shareText(lab, share)).join(lab.broken === "overwrite" ? ", then overwritten by " : " + ");
  const missing = shares.length - arrived.length;
  const owing = shares.filter(({ index }) => index > now).map((s) => `${titleOf(lab, stepsTo, s.equation)} still owes one (stop ${stepsTo.get(s.index) + 1})`);
  const state = missing
    ? `Not final: ${arrived.length} of ${shares.length} instalments ${arrived.length === 1 ? "is" : "are"} in; ${enumerated(owing)}.`
    : `Final: ${shares.length === 1 ? "its only instalment is" : `all ${shares.length} instalments are`} in.`;
  const items = shares.map((share) => {
    const isIn = share.index <= now;
    const from = `${titleOf(lab, stepsTo, share.equation)} (stop ${stepsTo.get(share.index) + 1})`;
    return element("li", { class: isIn ? "mlp-in" : "mlp-owed" }, icon(isIn ? "✓ " : "… "), `${isIn ? "in" : "owed"}: from ${from}`);
  });
  const table = (caption, matrix) => matrixTable(caption, matrix, { className: "mlp-is-cotangent" }).element;
  const parts = arrived.length > 1 ? arrived.map((share) => table(shareText(lab, share), share.instalment)) : [];
  const total = table(`${cotangent}${missing ? " so far" : ""}`, arrived.at(-1).total);
  return element(
    "div",
    {},
    element("p", {}, element("strong", {}, `${cotangent}${missing ? " so far" : ""}`), `: ${sum}. ${state}`),
    element("ul", {}, ...items),
    element("div", { class: "mlp-arrays" }, ...parts, total),
  );
}

/** What one share is, short: 0.1·W⁽¹⁾, or ∂J/∂z·xᵀ. */
function shareText({ graph, broken }, { equation, argnum }) {
  const { op, inputs, output, attrs } = graph.equations[equation];
  const delta = unicodeCotangent(graph, output);
  const names = inputs.map(unicodeName);
  if (op === "l2") return `${format(attrs.weight_decay)}·${names[argnum]}`;
  if (op === "matmul") return argnum === 0 ? `${delta}·${names[1]}ᵀ` : `${names[0]}ᵀ·${delta}`;
  if (OPS[op].activation && op !== "identity" && broken !== "drop_phi") return `${delta} ⊙ ${op}′`;
  if (OPS[op].loss) return `the slope of ${op.replace("_", " ")}`;
  return op === "bias" && argnum === 1 ? `${delta}, summed over the examples` : delta;
}

// --- memory ----------------------------------------------------------------------------------------------------------

function memoryPanel(view) {
  const [total, cut] = [element("p"), element("p", { class: "mlp-hint" })];
  const body = element("tbody");
  const table = element(
    "table",
    { class: "mlp-ledger" },
    element("caption", {}, "Every array from birth to release, if only what backward still reads is kept"),
    headOfTable(["array", "life", "now"]),
    body,
  );
  let [drawn, rows] = [null, null];
  const draw = () => {
    const { lab, now } = view;
    const last = lab.result.steps.length - 1;
    const at = Math.min(now, last);
    const isHeld = ({ kind, born, freed }) => born <= at && at <= freed && (now <= last || kind !== "workspace");
    const held = lab.ledger.filter(isHeld);
    write(total, `${held.reduce((sum, { bytes }) => sum + bytes, 0).toLocaleString("en")} bytes are alive in ${counted(held.length, "array")}.`);
    if (drawn !== lab.ledger) {
      drawn = lab.ledger;
      rows = new Map(); // made when they are first shown
    }
    const isTouched = ({ born, freed, name }) => [born, freed, ...(lab.readings.get(name) ?? [])].some((step) => view.stop.steps.includes(step));
    const shownLives = drawn.length <= LIVES ? drawn : drawn.filter(isTouched).slice(0, LIVES);
    write(cut, shownLives.length < drawn.length ? `Of ${drawn.length} arrays, these ${shownLives.length} are born, read or freed here.` : "");
    const parts = shownLives.map((entry) => {
      if (!rows.has(entry)) rows.set(entry, lifeRow(view, entry, last));
      rows.get(entry).show(isHeld(entry) ? "kept" : now < entry.born ? "later" : "freed");
      return rows.get(entry);
    });
    arrange(body, parts);
    body.style.setProperty("--now", `${((at + 0.5) / (last + 1)) * 100}%`);
  };
  return { key: "memory", title: "Memory", body: element("div", {}, total, cut, scrollBox("Memory", {}, table)), draw };
}

/** The life of one array: a bar, and in words why it is there now. */
function lifeRow(view, entry, last) {
  const { name, bytes, born, freed } = entry;
  const [start, end] = [(born / (last + 1)) * 100, ((freed + 1) / (last + 1)) * 100];
  const bar = element("span", { style: `--from:${start}%;--to:${end}%` });
  const life = `stops ${view.stepsTo.get(born) + 1} to ${view.stepsTo.get(freed) + 1}`;
  const [state, why] = [element("strong"), element("span")];
  const row = element(
    "tr",
    {},
    element("th", { scope: "row" }, ledgerName(view.lab, name), element("small", {}, ` ${bytes.toLocaleString("en")} B`)),
    element("td", {}, element("span", { class: "mlp-track", "aria-hidden": "true" }, bar), unseen(life)),
    element("td", {}, state, why),
  );
  const show = (now) => {
    const reason = whyText(view, entry, now);
    bar.className = `mlp-life mlp-${now}`;
    write(state, now);
    write(why, reason && `: ${reason}`);
  };
  return { element: row, show };
}

function ledgerName(lab, name) {
  const [, what, of] = /^(work \d+|instalment) of (.+)$/.exec(name) ?? [null, "", name];
  return what ? `${what.startsWith("work") ? "workspace" : "an instalment"} for ${lab.label(of)}` : lab.label(of);
}

/** Why an array is still there, or may go. */
function whyText({ lab, now, stepsTo }, { name, kind, freed }, state) {
  if (state === "later") return "";
  const readers = (lab.readings.get(name) ?? []).filter((index) => index > now);
  const why = [...new Set(readers.map((index) => `stop ${stepsTo.get(index) + 1} ${readingText(lab, index, name)}`))];
  if (state === "freed") return `after stop ${stepsTo.get(freed) + 1}${insteadText(lab, name)}`;
  if (kind === "gradient") return readers.length ? enumerated(why) : "the update reads it";
  if (kind === "workspace") return "for this step only";
  if (why.length) return enumerated(why);
  return name === lab.graph.objective ? "it is the result" : kind === "parameter" || kind === "input" ? "it is yours" : "until this step ends";
}

function readingText(lab, index, name) {
  const { phase, equation } = lab.result.steps[index];
  const { op } = lab.graph.equations[equation];
  if (phase === "forward" || lab.variableOf(name) !== name) return "reads it";
  if (op === "relu") return "asks where it was positive";
  return op === "matmul" ? "multiplies by it" : "needs it for its slope";
}

/** z may go: the activation's backward asks h instead. */
function insteadText({ graph }, name) {
  const reader = graph.equations.find(({ op, inputs }) => OPS[op].activation && inputs[0] === name);
  return reader && OPS[reader.op].vjps[0].saves.includes("out") ? `: ${reader.op}'s backward asks ${unicodeName(reader.output)} instead` : "";
}

// --- code ------------------------------------------------------------------------------------------------------------

function codePanel(view) {
  const body = element("div");
  let drawn = null;
  const draw = () => {
    const rules = new Map(view.steps.map((step) => view.lab.codeOf(step).reverse())); // by their lines: each once
    if (view.stop.phase === "update") rules.set("for name, param in params.items():\n    param -= lr * grads[name]", "the update");
    if (drawn === (drawn = [...rules.keys()].join())) return;
    const box = ([lines, key]) => scrollBox(`Code of ${key}`, { class: "mlp-code" }, element("pre", {}, element("code", {}, lines)));
    body.replaceChildren(...[...rules].map(box));
  };
  return { key: "code", title: "Code", body, draw };
}

// --- break it --------------------------------------------------------------------------------------------------------

function checkPanel(view) {
  const { told } = view.lab;
  const buttons = Object.entries(told.breaks).map(([mistake, [label]]) => {
    return button(label, () => toggleMistake(view, mistake), { "aria-pressed": "false", "data-mistake": mistake, class: "mlp-break" });
  });
  const verdict = element("p", { class: "mlp-verdict", role: "status" });
  const progress = element("p", { class: "mlp-hint" });
  const table = element("div");
  const note = isHastyPossible(view.lab) ? null : element("p", { class: "mlp-hint" }, told.hasty);
  const hint = element("p", { class: "mlp-hint" }, told.hint);
  const body = element("div", {}, hint, element("div", { class: "mlp-breaks" }, ...buttons), note, verdict, progress, scrollBox("Gradient check", {}, table));
  let drawn = [];
  const draw = () => {
    const { lab } = view;
    for (const node of buttons) {
      node.setAttribute("aria-pressed", String(node.dataset.mistake === lab.broken));
      switchOff(node, node.dataset.mistake === "hasty_order" && !isHastyPossible(lab));
    }
    verdict.classList.toggle("mlp-wrong", lab.check.guilty !== null);
    write(verdict, verdictText(lab));
    write(progress, lab.progress);
    const now = [lab.check, lab.check.guilty, !lab.checking]; // while it is checked, a table for each slice would cost too much
    if (now.some((part, k) => part !== drawn[k])) table.replaceChildren(checkTable(lab));
    drawn = now;
  };
  return { key: "check", title: "Break it: the gradient check", body, draw };
}

function toggleMistake(view, mistake) {
  if (mistake === "hasty_order" && !isHastyPossible(view.lab)) return;
  view.lab.breakIt(view.lab.broken === mistake ? null : mistake);
  view.redraw();
}

/** Whether something between parameters and objective waits for a second share. */
function isHastyPossible(lab) {
  return lab.graph.variables.some(({ name, role }) => role === "intermediate" && lab.shares(name).length > 1);
}

function verdictText({ check, broken, graph, progress, told }) {
  const missed = Object.keys(check.checks).filter((name) => check.checks[name].verdict === "not measured");
  if (!check.guilty && missed.length) return `– Not measured: ${listed(missed.map((name) => unicodeCotangent(graph, name)))}. No other gradient is found wrong${progress ? " so far" : ""}.`;
  if (!check.guilty && progress) return broken ? "No gradient is found wrong so far." : "So far every gradient agrees with nudging.";
  if (!check.guilty) return broken ? "✓ No gradient is wrong: with these numbers the mistake does no harm." : "✓ Every gradient agrees with nudging.";
  const { gradient, slope } = check.checks[check.guilty];
  const cotangent = unicodeCotangent(graph, check.guilty);
  return `✗ ${cotangent} is wrong: it says ${format(gradient)} where nudging says ${format(slope)}. ${broken ? capitalized(told.breaks[broken][1]) : "The rule and the differences disagree"}.`;
}

function checkTable({ check, graph }) {
  const row = ([name, { verdict, error, gradient, slope, size, measured, reasons, index }]) => {
    const agrees = measured < size ? `✓ agrees on ${measured} of ${size}` : "✓ agrees";
    const why = Object.entries(reasons).map(([reason, count]) => `${count < size ? `${count} ` : ""}${reason}`);
    const told = { right: agrees, wrong: name === check.guilty ? "✗ wrong first here" : "✗ wrong", "not measured": "– not measured" }[verdict];
    const numbers = [gradient, slope].map((number) => element("td", {}, number === null ? "–" : format(number, 6)));
    return element("tr", { class: verdict === "wrong" ? "mlp-wrong" : null }, element("th", { scope: "row" }, unicodeCotangent(graph, name)), ...numbers, element("td", {}, index === null ? "–" : format(error, 2)), element("td", {}, [told, ...why].join("; ")));
  };
  return element(
    "table",
    { class: "mlp-facts" },
    element("caption", {}, "The worst entry of each cotangent, in the order of backward"),
    headOfTable(["", "backward says", "nudging says", "relative error", "verdict"]),
    element("tbody", {}, ...Object.entries(check.checks).map(row)),
  );
}
