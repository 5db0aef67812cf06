/*
 * Plans for a chain of layers, walked run by run: a row of layers that go forward and a row of layers that go back. What
 * is held at each run, and the words for it, come with the data.
 */

VIEWS.walks = (model, place, told) => {
  const { plans } = told;
  const here = (trait) => model.get(trait) ?? told[trait];
  const chosen = choice("plan", plans.map(({ name }) => [name, name]), (name) => tell({ plan: name, run: 0 }));
  const slider = element("input", { type: "range", min: 0, "aria-label": "Run", oninput: () => tell({ run: Number(slider.value) }) });
  const step = (label, by) => button(label, () => tell({ run: Math.min(Math.max(Number(slider.value) + by, 0), Number(slider.max)) }));
  const ends = [step("‹ Back", -1), step("Next ›", 1)];
  const picture = element("div", { class: "mlp-walk" });
  const words = element("p", { class: "mlp-words", "aria-live": "polite" });
  const bar = element("div", { class: "mlp-settings" }, chosen.element, ...ends);
  const tell = (traits) => {
    for (const [trait, value] of Object.entries(traits)) model.set(trait, value);
    model.save_changes();
    draw();
  };
  const draw = () => {
    const plan = plans.find(({ name }) => name === here("plan")) ?? plans[0];
    const last = plan.runs.length - 1;
    const at = Math.min(here("run"), last);
    const run = plan.runs[at];
    chosen.select.value = plan.name;
    furnished(slider, { max: last, "aria-valuetext": run.words }, []);
    slider.value = at;
    ends.forEach((end, side) => switchOff(end, at === side * last));
    write(words, run.words);
    const now = plan.runs.slice(0, at + 1);
    picture.replaceChildren(...["forward", "backward"].map((phase) => element("ol", { "data-phase": phase, "aria-label": phase }, ...told.layers.map((label, k) => {
      const count = now.filter((one) => one.layer === k && one.phase === phase).length;
      const state = [run.layer === k && run.phase === phase ? "now" : "", phase === "forward" && run.held.includes(k) ? "held" : "", count ? "run" : ""];
      return element("li", { "data-is": state.join(" ") }, label, count > 1 ? element("small", {}, `×${count}`) : "", state[1] ? unseen(" held") : "");
    }))));
  };
  place.replaceChildren(element("div", { class: "mlp-ui mlp-walks" }, bar, slider, picture, words));
  draw();
  return follow(model, { plan: draw, run: draw });
};
