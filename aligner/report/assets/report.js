"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const pairs = data.pairs;
  document.addEventListener("click", (event) => { // a long name and its short form change places
    const long = event.target.closest("button.long");
    if (!long) return;
    [long.textContent, long.title] = [long.title, long.textContent];
    long.setAttribute("aria-expanded", String(long.title.length < long.textContent.length));
  });
  if (!pairs.length) { setUpTheme(() => {}); return; }
  const body = document.querySelector("#pairs tbody");
  const rows = [...body.rows].sort((a, b) => a.dataset.place - b.dataset.place);
  const scroller = document.getElementById("scroller");
  const detail = document.getElementById("detail");
  const search = document.getElementById("search");
  const culprit = (pair) => pair.verdict === "introduced" || pair.verdict === "nonfinite";
  const LONGEST = 72;
  let selected = -1;
  let order = pairs.map((_, place) => place);

  // ---- words and numbers -------------------------------------------------------------------------------------
  function number(value, digits = 3) {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-4 || size >= 10 ** digits)
      ? value.toExponential(digits - 1).replace(/\.?0+e/, "e")
      : String(Number(value.toPrecision(digits)));
  }
  const multiple = (times) => (times >= 10 && times < 1e9 ? Number(times.toPrecision(2)).toLocaleString("en") : number(times, 2));
  const errorNumber = (errors, key, digits) =>
    errors === null ? "–" : errors[key] === null ? (key === "cosine" ? "–" : "not finite") : number(errors[key], digits);
  const percent = (share) => share === null ? "–" : share > 0 && share < 0.001 ? "<0.1%" : share > 0.999 && share < 1 ? "99.9%" : `${Number((share * 100).toFixed(1))}%`;
  const shape = (dims) => dims === null ? "?" : dims.length ? dims.join("×") : "scalar";
  const label = (side) => (side.index === null ? side.name : `${side.name} #${side.index}`);

  const shorten = (text, most) => (text.length <= most ? text : `${text.slice(0, most / 3)}…${text.slice(-(2 * most) / 3)}`); // as the terminal does
  function holding(tag, text, className) { // endless words, the names of fused tensors, lose their middle until a click
    const whole = make(tag, undefined, className);
    text.split(/( )/).forEach((word) => {
      if (word.length <= LONGEST) { whole.append(...parted(word)); return; }
      const button = make("button", shorten(word, LONGEST), "long");
      button.type = "button";
      button.title = word;
      whole.append(button);
    });
    return whole;
  }

  function make(tag, text, className) {
    const element = document.createElement(tag);
    if (text !== undefined) element.append(...parted(String(text))); // never innerHTML: names are not ours
    if (className) element.className = className;
    return element;
  }
  // a name breaks between its parts before it breaks anywhere, but not at the point of a number
  const parted = (text) => (text.length <= 12 ? [text] : text.split(/(?<=[^\d\s][/._:;])(?=[^/._:;])|(?<=\d[/._:;])(?=[^/._:;\d])/)
    .flatMap((part, at) => (at ? [document.createElement("wbr"), part] : [part])));

  // ---- sorting and filtering ---------------------------------------------------------------------------------
  const KEYS = {
    place: (pair, place) => place,
    verdict: (pair) => ["introduced", "nonfinite", "inherited", "incomparable", "nondeterministic", "aligned"].indexOf(pair.verdict),
    reference: (pair) => label(pair.reference),
    candidate: (pair) => label(pair.candidate),
    op: (pair) => pair.op,
    shape: (pair) => (pair.candidate.shape || []).reduce((all, dim) => all * dim, 1),
    accumulated: (pair) => error(pair.accumulated),
    local: (pair) => error(pair.local),
    bound: (pair) => pair.bound,
    source: (pair) => pair.reference.source || pair.candidate.source,
  };
  const error = (errors) => (errors === null ? null : errors.max_abs === null ? Infinity : errors.max_abs);
  const words = new Intl.Collator("en", { numeric: true });
  const haystack = pairs.map((pair) => [pair.reference, pair.candidate].flatMap((side) =>
    [side.name, side.node, side.op, side.kind, side.scope, side.source, ...side.names]).concat(pair.rule, pair.note)
    .filter(Boolean).join("\n").toLowerCase());

  function compare(a, b, direction) {
    if (a === null || b === null) return (a === null) - (b === null); // what was not measured stays last
    return direction * (typeof a === "string" ? words.compare(a, b) : a === b ? 0 : a < b ? -1 : 1);
  }

  function sort(header) {
    const ascending = header.getAttribute("aria-sort");
    const numeric = header.classList.contains("n") && header.dataset.key !== "place";
    const next = ascending === null ? (numeric ? "descending" : "ascending") : ascending === "ascending" ? "descending" : "ascending";
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", next);
    const key = KEYS[header.dataset.key];
    const values = pairs.map(key);
    const direction = next === "ascending" ? 1 : -1;
    order = pairs.map((_, place) => place).sort((a, b) => compare(values[a], values[b], direction) || a - b);
    const sorted = document.createDocumentFragment();
    for (const place of order) sorted.append(rows[place]);
    body.append(sorted);
  }

  function filter() {
    const wanted = new Set([...document.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
    const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    pairs.forEach((pair, place) => {
      const keep = wanted.has(pair.verdict) && terms.every((term) => haystack[place].includes(term));
      rows[place].hidden = !keep;
      shown += keep;
    });
    document.getElementById("count").textContent = shown === pairs.length ? shown : `${shown} of ${pairs.length}`;
    document.getElementById("nothing").hidden = shown > 0;
  }

  function showAll() {
    search.value = "";
    for (const box of document.querySelectorAll("[name=verdict]")) box.checked = true;
    filter();
  }

  for (const header of document.querySelectorAll("#pairs th")) header.firstElementChild.addEventListener("click", () => sort(header));
  document.getElementById("filters").addEventListener("input", filter);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clear").addEventListener("click", showAll);

  // ---- one pair ----------------------------------------------------------------------------------------------
  function table(head, lines) {
    const made = make("table");
    if (head) {
      const row = made.createTHead().insertRow();
      for (const title of head) row.append(make(title ? "th" : "td", title)); // an empty heading heads nothing
    }
    const rowsOf = made.createTBody();
    for (const [name, ...cells] of lines) {
      if (cells.every((cell) => cell === "" || cell === null)) continue;
      fill(rowsOf.insertRow(), name, cells, DIFFERING.has(name) && cells[0] !== cells[1]);
    }
    return made;
  }
  function fill(row, name, cells, differs) {
    row.append(make("td", differs ? `≠ ${name}` : name)); // readable without colour too
    for (const cell of cells) row.append(make("td", cell === "" || cell === null ? "–" : cell));
    if (differs) row.className = "differs";
  }
  const DIFFERING = new Set(["NaN, inf", "dtype"]);

  function unique(side) {
    if (side.unique === null) return "";
    const few = (list) => list.map((value) => number(value, 4)).join(" ");
    const whole = side.unique <= side.unique_head.length && !side.unique_estimated;
    const values = whole || !side.unique_tail.length
      ? few(side.unique_head) : `${few(side.unique_head)} … ${few(side.unique_tail)}`;
    const many = side.unique_estimated
      ? `≈${Number(side.unique.toPrecision(2)).toLocaleString("en")}` : side.unique.toLocaleString("en");
    return `${many}: ${values}`;
  }

  function both(pair, read) { return [read(pair.reference), read(pair.candidate)]; }

  function sidesTable(pair) {
    const lines = [
      ["tensor", ...both(pair, (side) => side.name)],
      ["index", ...both(pair, (side) => (side.index === null ? "" : String(side.index)))],
      ["also", ...both(pair, (side) => side.names.slice(0, 4).join(", "))],
      ["node", ...both(pair, (side) => (side.node === side.name ? "" : side.node))],
      ["op", ...both(pair, (side) => side.op)],
      ["module", ...both(pair, (side) => side.scope || "")],
      ["source", ...both(pair, (side) => side.source || "")],
      ["shape", ...both(pair, (side) => shape(side.shape))],
      ["dtype", ...both(pair, (side) => side.dtype || "")],
      ["mean", ...both(pair, (side) => number(side.mean, 6))],
      ["min", ...both(pair, (side) => number(side.min, 6))],
      ["max", ...both(pair, (side) => number(side.max, 6))],
      ["unique", ...both(pair, unique)],
      ["NaN, inf", ...both(pair, (side) => (side.nan || side.inf ? `${side.nan}, ${side.inf}` : ""))],
    ];
    return table(["", ...sides()], lines);
  }

  function errorsTable(pair) {
    const columns = [pair.local, pair.accumulated];
    const line = (name, read) => [name, ...columns.map((errors) => (errors === null ? "–" : read(errors)))];
    const text = (errors, item) => item.share ? `${percent(errors[item.key])} of elements`
      : errorNumber(errors, item.key, item.digits) + (item.at ? ` at [${errors[item.at].join(", ")}]` : "");
    return table(["", pair.local ? "local (this node alone)" : "local: not measured", "accumulated (from the inputs on)"],
      data.statistics.map((item) => line(item.label, (errors) => text(errors, item))));
  }

  function floors(pair) {
    const worst = pair.local || pair.accumulated;
    const line = (name, floor) => {
      if (floor === null) return [name, ""];
      const times = worst && worst.max_abs !== null && floor > 0 ? ` (max abs is ${multiple(worst.max_abs / floor)}×)` : "";
      return [name, number(floor, 4) + times];
    };
    return table(null, [
      line("bound", pair.bound), line("noise", pair.noise),
      ["axes", pair.axes ? `candidate = transpose(reference, [${pair.axes.join(", ")}])` : ""],
      ["paired by", `${pair.rule}, confidence ${percent(pair.confidence)}`],
      ["note", pair.note || ""],
    ]);
  }

  function sideBySide(strip) {
    const box = make("div", undefined, "pictures");
    for (const picture of strip) {
      const figure = make("figure", undefined, picture.wide ? "wide" : "");
      const image = make("img");
      image.src = picture.src;
      image.alt = picture.caption;
      figure.append(image, make("figcaption", picture.caption));
      box.append(figure);
    }
    return box;
  }

  // ---- the region's nodes, settings and weights --------------------------------------------------------------
  const sides = () => [`reference (${data.frameworks[0]})`, `candidate (${data.frameworks[1]})`];

  function nodesTable(region) {
    const made = table(["", ...sides()], []);
    const [ours, theirs] = region.nodes;
    for (let at = 0; at < Math.max(ours.length, theirs.length); at++) {
      const row = made.tBodies[0].insertRow();
      row.append(make("td", String(at + 1)));
      for (const node of [ours[at], theirs[at]]) {
        const cell = make("td");
        if (node) cell.append(make("b", node.op), " ", holding("span", node.name), ...[...node.facts, ...node.weights.map((name) => `weight ${name}`), node.source]
          .filter(Boolean).map((fact) => holding("div", fact, "fact")));
        row.append(cell);
      }
    }
    return made;
  }

  function weightParts(weight) {
    const title = make("h4", weight.differs ? `≠ ${weight.title}` : weight.title, weight.differs ? "differs" : "");
    title.append(make("span", ` ${weight.apart}`, "faint"));
    const parts = [title];
    if (weight.strip.length) parts.push(sideBySide(weight.strip), make("p", weight.tiles, "faint tiles"));
    if (weight.lines.length) parts.push(table(null, weight.lines));
    return parts;
  }

  function region(pair, place) {
    const found = data.regions && data.regions[place];
    if (!found) {
      const names = [pair.reference_nodes, pair.candidate_nodes].map((nodes) => nodes.join(", "));
      return Math.max(pair.reference_nodes.length, pair.candidate_nodes.length) > 1
        ? [make("h3", "Nodes"), table(["", ...sides()], [["nodes", ...names]])] : [];
    }
    const made = [];
    const differing = found.settings.filter((setting) => setting[3]).length + found.weights.filter((weight) => weight.differs).length;
    if (found.settings.length) {
      const settings = table(["", ...sides()], []);
      for (const [name, ours, theirs, differs] of found.settings) fill(settings.tBodies[0].insertRow(), name, [ours, theirs], differs);
      made.push(make("h3", "Settings"), settings);
    }
    if (found.weights.length) made.push(make("h3", "Weights"), ...found.weights.flatMap(weightParts));
    const many = Math.max(...found.nodes.map((side) => side.length));
    if (many) {
      const box = make("details");
      box.open = !differing; // where nothing differs by the numbers, the nodes are what there is to look at
      box.append(make("summary", `reference ${found.nodes[0].length}, candidate ${found.nodes[1].length}`), nodesTable(found));
      made.push(make("h3", "Nodes"), box);
    }
    return made;
  }

  const finite = (value) => (value === null ? "not finite" : number(value, 6));
  function pictures(place) {
    const preview = data.previews && data.previews[place];
    if (!preview) return [];
    const made = [make("h3", `Pictures, ${preview.error === "local" ? "fed with the reference's tensors" : "from the inputs on"}`)];
    const above = place === data.first && document.querySelector(".headline img"); // the first strip stands there
    made.push(...preview.strips.slice(above ? 1 : 0).map(sideBySide));
    if (preview.tiles) made.push(make("p", preview.tiles, "faint"));
    return made;
  }
  function worst(place) {
    const preview = data.previews && data.previews[place];
    if (!preview || !preview.worst.length) return [];
    return [make("h3", "Worst elements"), table(["", "reference", "candidate"],
      preview.worst.map(([index, ours, theirs]) => [`[${index.join(", ")}]`, finite(ours), finite(theirs)]))];
  }

  function show(place) {
    const pair = pairs[place];
    const name = pair.reference.scope || pair.reference.node || pair.reference.name;
    const title = make("h2", `#${place + 1} ${shorten(name, LONGEST)}`);
    title.title = name;
    const verdict = make("p", undefined, pair.verdict);
    verdict.append(make("span", (culprit(pair) ? "→ " : "") + data.words[pair.verdict], "v"),
      ` ${pair.op}${place === data.first ? ", the first divergence" : ""}${data.outputs.includes(place) ? ", an output" : ""}`);
    detail.replaceChildren(title, verdict);
    for (const cause of data.causes[place] || []) {
      if (cause.headline && place === data.first) continue; // it stands above, word for word
      const facts = make("dl", undefined, "answer");
      facts.append(make("dt", "why"), holding("dd", `${cause.title}: ${cause.evidence}`), make("dt", "what to do"), make("dd", cause.suggestion, "todo"));
      detail.append(facts);
    }
    detail.append(...pictures(place), ...region(pair, place), make("h3", "Tensors"), sidesTable(pair), make("h3", "Errors"), errorsTable(pair), floors(pair), ...worst(place));
    detail.scrollTop = 0;
  }

  function select(place, { scroll = true, address = true } = {}) {
    if (!(place >= 0 && place < pairs.length)) return;
    if (rows[selected]) rows[selected].removeAttribute("aria-selected");
    selected = place;
    const row = rows[place];
    if (row.hidden) showAll();
    row.setAttribute("aria-selected", "true");
    if (scroll) {
      const top = row.offsetTop - scroller.clientHeight / 3;
      const inside = row.offsetTop > scroller.scrollTop + 30 && row.offsetTop + row.offsetHeight < scroller.scrollTop + scroller.clientHeight;
      if (!inside) scroller.scrollTop = top;
    }
    show(place);
    mark(place);
    if (address) history.replaceState(null, "", `#pair-${place + 1}`);
  }

  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) select(Number(row.dataset.place), { scroll: false });
  });
  function follow() {
    const found = /^#pair-(\d+)$/.exec(location.hash);
    if (found) { select(Number(found[1]) - 1); scroller.scrollIntoView({ block: "nearest" }); }
    return Boolean(found);
  }
  window.addEventListener("hashchange", follow);

  // ---- keyboard ----------------------------------------------------------------------------------------------
  function step(by, wanted = () => true) {
    const visible = order.filter((place) => !rows[place].hidden && (place === selected || wanted(pairs[place])));
    const here = visible.indexOf(selected);
    const next = here < 0 ? visible[0] : visible[here + by];
    if (next !== undefined) select(next);
  }
  const help = document.getElementById("help");
  document.getElementById("help-button").addEventListener("click", () => help.showModal());
  const ACTIONS = {
    ArrowDown: () => step(1), j: () => step(1), ArrowUp: () => step(-1), k: () => step(-1),
    n: () => step(1, culprit), p: () => step(-1, culprit),
    f: () => data.first !== null && select(data.first),
    Enter: () => detail.focus(),
    "/": () => { search.focus(); search.select(); },
    "?": () => help.showModal(),
    Escape: showAll,
    t: () => document.getElementById("theme").click(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target === search) {
      if (event.key === "Escape") { showAll(); search.blur(); }
      if (event.key === "Enter" || event.key === "ArrowDown") { search.blur(); step(order[0] === selected ? 0 : 1); scroller.focus(); }
      return;
    }
    const arrows = event.key.startsWith("Arrow") || event.key === "Enter";
    if (arrows && !scroller.contains(document.activeElement)) return; // elsewhere they scroll the page
    if (event.target.closest("button, summary, a, input") && (event.key === "Enter" || event.key === " ")) return;
    const action = ACTIONS[event.key];
    if (action) { action(); event.preventDefault(); }
  });

  // ---- chart -------------------------------------------------------------------------------------------------
  const place = document.getElementById("chart");
  const SERIES = {
    accumulated: pairs.map((pair) => pair.accumulated && pair.accumulated.max_abs),
    local: pairs.map((pair) => pair.local && pair.local.max_abs),
    bound: pairs.map((pair) => pair.bound),
    noise: pairs.map((pair) => pair.noise),
  };
  let floor, ceiling;
  function measure() {
    const known = Object.values(SERIES).flat().filter((value) => value > 0);
    const least = known.reduce((a, b) => Math.min(a, b), Infinity);
    const most = known.reduce((a, b) => Math.max(a, b), 0);
    floor = known.length ? 10 ** Math.floor(Math.log10(least) - 0.3) : 1e-8;
    ceiling = known.length ? 10 ** Math.ceil(Math.log10(most) + 0.1) : 1;
  }
  // A logarithm has no zero: an error of exactly 0 is drawn on the lower edge, one that is not finite on the upper.
  // A bound of 0, where a node only moves numbers, would drag its line down and up again: the line passes over it.
  const drawn = (name) => SERIES[name].map((value, at) =>
    value === 0 ? (name === "bound" ? null : floor) : value === null && pairs[at][name] && typeof pairs[at][name] === "object" ? ceiling : value);
  let chart = null;

  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }

  function series(name, options = {}) {
    return {
      label: name === "beside" ? "other run" : name, stroke: colour(name), width: 1.5, spanGaps: false, points: { show: pairs.length < 60, size: 4 }, fill: name === "local" ? `${colour(name)}55` : undefined,
      value: (_, __, ___, at) => (at === null || at === undefined ? MEANING[name] : exact(name, at)), ...options,
    };
  }
  function exact(name, at) {
    const value = SERIES[name][at];
    return value === null && pairs[at][name] && typeof pairs[at][name] === "object" ? "not finite" : number(value, 3);
  }

  const MEANING = { accumulated: "from the inputs on", local: "this node alone", bound: "what rounding explains", noise: "one rounding unit, carried through", beside: "its local errors" }; // until the pointer asks for a number

  const many = (name) => SERIES[name].filter((value) => value > 0).length;
  const STYLE = () => ({
    local: { paths: uPlot.paths.bars({ size: [0.35, 3] }), width: 1, points: { show: false } }, // spikes: each node for itself
    bound: { dash: [6, 4], spanGaps: true },
    beside: { paths: () => null, points: { show: true, size: 6, fill: colour("beside") } },
    noise: many("noise") > pairs.length / 2 ? { dash: [2, 3], spanGaps: true } // a floor; else measured at few nodes only
      : { paths: () => null, points: { show: true, size: 6, fill: colour("noise") } },
  });
  function decades() {
    const [low, high] = [Math.log10(floor), Math.log10(ceiling)].map(Math.round);
    const stride = Math.max(1, Math.ceil((high - low) / 8));
    const ticks = [];
    for (let power = low; power <= high; power += stride) ticks.push(10 ** power);
    return ticks;
  }

  function draw() {
    const names = Object.keys(SERIES).filter((name) => SERIES[name].some((value) => value !== null) || drawn(name).some((value) => value !== null));
    const culprits = pairs.map((pair, at) => (culprit(pair) ? drawn(pair.local ? "local" : "accumulated")[at] : null));
    const axis = { stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
    const options = {
      width: place.clientWidth, height: 300,
      scales: { x: { time: false, range: (_, low, high) => [low - 0.5, high + 0.5] }, y: { distr: 3, range: () => [floor, ceiling] } },
      axes: [{ ...axis, incrs: [1, 2, 5].flatMap((step) => [step, 10 * step, 100 * step, 1000 * step, 10000 * step]).sort((a, b) => a - b) }, { ...axis, size: 62, splits: decades, filter: (_, ticks) => ticks, values: (_, ticks) => ticks.map((tick) => tick.toExponential(0).replace("e+", "e")) }],
      series: [
        { label: "pair", value: (_, __, ___, at) => (at === null || at === undefined ? "point at the chart" : `#${at + 1} ${pairs[at].reference.scope || label(pairs[at].candidate)} (${pairs[at].op})`.slice(0, 90)) },
        ...names.map((name) => series(name, STYLE()[name])),
        { label: "introduced", stroke: colour("red"), paths: () => null, points: { show: true, size: 9, fill: colour("red") }, value: (_, value, ___, at) => (at === null || at === undefined ? "errs by itself" : culprit(pairs[at]) ? "yes" : "no") },
      ],
      cursor: { focus: { prox: 20 }, y: false },
      hooks: { draw: [marks] },
    };
    if (chart) chart.destroy();
    place.replaceChildren();
    chart = new uPlot(options, [pairs.map((_, at) => at + 1), ...names.map(drawn), culprits], place);
    chart.over.addEventListener("click", () => {
      if (chart.select.width > 2 || chart.cursor.idx === null) return; // the end of a zoom
      select(chart.cursor.idx);
      scroller.scrollIntoView({ block: "nearest" });
    });
  }

  function marks(drawnChart) {
    const lines = [[data.first, colour("red"), [5, 3]], [selected, colour("link"), []]];
    for (const [at, stroke, dash] of lines) {
      if (at === null || at < 0) continue;
      const x = drawnChart.valToPos(at + 1, "x", true);
      const box = drawnChart.bbox;
      if (x < box.left || x > box.left + box.width) continue;
      const ctx = drawnChart.ctx;
      ctx.save();
      ctx.strokeStyle = stroke;
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(x, box.top);
      ctx.lineTo(x, box.top + box.height);
      ctx.stroke();
      ctx.restore();
    }
  }
  function mark() { if (chart) chart.redraw(false); }

  function setUpTheme(changed) {
    const button = document.getElementById("theme");
    const choices = ["auto", "light", "dark"];
    let choice = 0;
    button.addEventListener("click", () => {
      choice = (choice + 1) % choices.length;
      if (choice) document.documentElement.dataset.theme = choices[choice];
      else delete document.documentElement.dataset.theme;
      button.textContent = `theme: ${choices[choice]}`;
      changed();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  }

  setUpTheme(draw);
  measure();
  draw();
  document.addEventListener("beside", (event) => { SERIES.beside = event.detail; measure(); draw(); });
  new ResizeObserver(() => { if (chart && chart.width !== place.clientWidth) chart.setSize({ width: place.clientWidth, height: 300 }); }).observe(place);
  window.addEventListener("beforeprint", () => { if (chart) chart.setSize({ width: 680, height: 260 }); }); // a page's width
  window.addEventListener("afterprint", () => { if (chart) chart.setSize({ width: place.clientWidth, height: 300 }); });
  if (!follow()) select(data.first !== null ? data.first : 0, { address: false });
})();
