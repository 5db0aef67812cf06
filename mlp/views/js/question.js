/*
 * A question that the page judges: fields for numbers and shapes, choices, or steps to put in order. What is right, and
 * what is said of each wrong answer, comes with the data; all of it is text, never markup.
 */

/**
 * The kinds of questions, each (told, changed, say) → what is shown, and a judge: what is missing, or the reasons why it
 * is wrong. With `wrong`, words for how much is, the reasons would give the answer away: the first try is told these words
 * only, each later one a reason besides.
 */
const ASKED = { __proto__: null, fields: fieldsOf, choices: choicesOf, order: orderOf };

VIEWS.question = (model, place, told) => {
  const verdict = element("div", { class: "mlp-answered", role: "status", "aria-live": "polite" });
  const status = liveRegion();
  const part = ASKED[told.kind](told, () => verdict.replaceChildren(), (text) => write(status, text));
  let tries = 0;
  const judge = (event) => {
    event.preventDefault();
    const { missing, wrong, reasons: all = [] } = part.judge();
    const ok = !missing && !all.length;
    if (!ok && !missing) tries += 1;
    const reasons = wrong && !ok ? [wrong, ...all.slice(0, Math.min(tries - 1, 1))] : all;
    const words = missing ? [element("p", {}, missing)] : ok ? rightOf(told) : wrongOf(reasons);
    verdict.replaceChildren(element("div", { class: missing ? "" : ok ? "mlp-right" : "mlp-not-yet" }, ...words));
    if (missing) return;
    model.set("verdict", { ok, reasons });
    model.save_changes();
  };
  const check = element("button", { type: "submit", class: "mlp-primary" }, "Check");
  const asked = element("fieldset", {}, element("legend", {}, String(told.ask)), part.element);
  const form = element("form", { novalidate: true, onsubmit: judge }, asked, element("div", { class: "mlp-settings" }, check));
  place.replaceChildren(element("div", { class: "mlp-ui mlp-question" }, form, verdict, status));
  return () => {};
};

function rightOf({ right }) {
  return [element("p", { class: "mlp-verdict" }, "✓ Right."), right ? element("p", {}, right) : null];
}

function wrongOf(reasons) {
  const list = reasons.map((reason) => element("li", {}, reason));
  return [element("p", { class: "mlp-verdict" }, "✗ Not yet."), element("ul", {}, ...list)];
}

// --- numbers and shapes ----------------------------------------------------------------------------------------------

function fieldsOf({ fields }, changed) {
  const rows = fields.map((field) => {
    const id = uniqueId("answer");
    const input = element("input", { id, type: "text", inputmode: field.shape ? null : "decimal", autocomplete: "off", spellcheck: "false", oninput: changed });
    const hint = field.shape ? "(rows, columns), or () for a single number" : field.unit;
    const label = element("label", { for: id }, field.label, hint ? unseen(`, ${hint}`) : null);
    const unit = hint ? element("span", { class: "mlp-hint", "aria-hidden": "true" }, hint) : null;
    return { field, input, element: element("div", { class: "mlp-setting" }, label, input, unit) };
  });
  const judge = () => {
    const found = rows.map(({ field, input }) => ({ label: field.label, ...readAnswer(field, input.value) }));
    const unread = found.find(({ problem }) => problem);
    if (unread) return { missing: `${unread.label}: ${unread.problem}` };
    const reasons = rows.map(({ field }, k) => ({ label: field.label, reason: reasonFor(field, found[k].answer) }));
    return { reasons: reasons.filter(({ reason }) => reason).map(({ label, reason }) => `${label}: ${reason}`) };
  };
  return { element: element("div", { class: "mlp-fields" }, ...rows.map((row) => row.element)), judge };
}

/** What was written as a list of numbers, or the problem with it. */
function readAnswer({ shape }, text) {
  if (!shape) {
    const { number, reason } = readNumber(text);
    return reason ? { problem: reason } : { answer: [number] };
  }
  const inside = /^\s*([([]?)\s*([1-9]\d*(?:\s*[\s,;×x*]\s*[1-9]\d*)*)?\s*,?\s*[)\]]?\s*$/.exec(text);
  const sizes = inside?.[2] ?? "";
  const isGrouped = /\d[,\s]\d{3}(?!\d)/.test(sizes) && new Set(sizes.match(/\D+/g)).size > 1; // (1,234, 3)
  if (isGrouped || !(inside?.[1] || sizes)) return { problem: "Write a shape such as (5, 2), or () for a single number." };
  return { answer: (sizes.match(/\d+/g) ?? []).map(Number) };
}

/** Why an answer is wrong; nothing if it is right. */
function reasonFor({ answer, wrong, tolerance, shape, other }, received) {
  const fits = (wanted) => wanted.length === received.length && wanted.every((number, k) => Math.abs(number - received[k]) <= Math.max(tolerance, 1e-12) * Math.abs(number));
  if (fits(answer)) return "";
  const how = () => (shape ? sizesApart(answer, received) : numbersApart(answer[0], received[0]));
  return wrong.find(([value]) => fits(value))?.[1] ?? [how(), other].filter(Boolean).join(" ");
}

function numbersApart(answer, received) {
  return `${exactText(received)} ${received === -answer ? "has the wrong sign" : `is too ${received < answer ? "small" : "large"}`}.`;
}

function sizesApart(answer, received) {
  const [rows, columns] = answer.map((size, k) => size === received[k]);
  const wrong = `the ${rows ? "columns" : columns ? "rows" : "rows and the columns"} are not right`;
  const axes = answer.length ? "it should have rows and columns" : "it should be a single number, ()";
  return `(${received.join(", ")}): ${answer.length === received.length ? wrong : axes}.`;
}

// --- choices ---------------------------------------------------------------------------------------------------------

function choicesOf({ options, several }, changed) {
  const name = uniqueId("options");
  const rows = options.map((option) => {
    const input = element("input", { type: several ? "checkbox" : "radio", name, onchange: changed });
    return { option, input, element: element("label", { class: "mlp-option" }, input, element("span", {}, option.label)) };
  });
  const judge = () => {
    if (!rows.some(({ input }) => input.checked)) return { missing: several ? "Choose first: tick what applies." : "Choose one first." };
    const found = rows.filter(({ option, input }) => (several || input.checked) && input.checked !== option.right);
    const wrong = several && `${found.length} of the ${rows.length} ${found.length === 1 ? "is" : "are"} wrong: ticked and should not be, or the other way round.`;
    return { wrong, reasons: found.map(({ option }) => option.why) };
  };
  return { element: element("div", {}, ...rows.map((row) => row.element)), judge };
}

// --- an order --------------------------------------------------------------------------------------------------------

function orderOf({ steps, needs, start }, changed, say) {
  const order = start.map((k) => ({ k, label: steps[k], element: null }));
  const list = element("ol", {});
  const move = (step, by, control) => {
    const to = order.indexOf(step) + by;
    if (to < 0 || to >= order.length) return;
    order.splice(to - by, 1);
    order.splice(to, 0, step);
    draw();
    control.focus(); // a browser drops the focus of what is moved
    changed();
    say(`${step.label} is now in place ${to + 1} of ${order.length}.`);
  };
  for (const step of order) {
    const [up, down] = [[-1, "↑", "up"], [1, "↓", "down"]].map(([by, sign, way]) => {
      const control = button([icon(sign), unseen(`Move ${step.label} ${way}`)], () => move(step, by, control));
      return control;
    });
    step.controls = [up, down];
    step.element = element("li", {}, element("span", { class: "mlp-step" }, step.label), up, down);
  }
  const draw = () => {
    arrange(list, order);
    order.forEach(({ controls }, k) => controls.forEach((control, side) => switchOff(control, k === (side ? order.length - 1 : 0))));
  };
  const judge = () => {
    if (order.every(({ k }, at) => k === start[at])) return { missing: "Move the steps first." };
    const early = order.flatMap(({ k, label }, at) => {
      const late = needs[k].filter((other) => order.findIndex((step) => step.k === other) > at);
      return late.length ? [`${label} is computed from ${enumerated(late.map((other) => steps[other]))}, which ${late.length > 1 ? "come" : "comes"} later here.`] : [];
    });
    return { wrong: `${early.length} of the ${order.length} steps ${early.length === 1 ? "comes" : "come"} too early.`, reasons: early };
  };
  draw();
  return { element: list, judge };
}
