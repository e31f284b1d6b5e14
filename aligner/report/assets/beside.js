"use strict";
// Another run's report, JSON or page, beside this one: what a change mended, and what it broke.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const button = document.getElementById("beside-button");
  const chooser = document.getElementById("beside-file");
  const section = document.getElementById("beside");
  const said = document.getElementById("beside-said");
  const rows = [...document.querySelectorAll("#pairs tbody tr")].sort((a, b) => a.dataset.place - b.dataset.place);
  const culprit = (pair) => pair.verdict === "introduced" || pair.verdict === "nonfinite";
  const size = (errors) => (errors ? errors.max_abs : null);

  function number(value) {
    if (value === null || value === undefined) return "–";
    const text = value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e3) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
    return text.replace(/\.?0+e/, "e");
  }
  function make(tag, text, className) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text; // never innerHTML: names are not ours
    if (className) element.className = className;
    return element;
  }

  function read(text) { // a page holds its pairs in the element this script reads its own from
    if (!text.trimStart().startsWith("<")) {
      const report = JSON.parse(text);
      if (report.format !== "aligner.comparison/1" || !Array.isArray(report.pairs)) throw new Error("no report of a comparison");
      return { pairs: report.pairs, verdict: String(report.verdict), outputs: report.outputs };
    }
    const page = new DOMParser().parseFromString(text, "text/html"); // runs nothing
    const held = page.querySelector("#data[type='application/json']");
    if (!held) throw new Error("no page that aligner wrote");
    const { pairs, outputs } = JSON.parse(held.textContent);
    const verdict = page.querySelector(".badge");
    return { pairs, verdict: verdict ? verdict.textContent.toLowerCase() : "?", outputs: outputs.map((place) => pairs[place]).filter(Boolean) };
  }

  function answers(other) { // by both names, then by the candidate's, then by the reference's
    const keys = [(pair) => JSON.stringify([pair.reference.name, pair.candidate.name]), (pair) => pair.candidate.name, (pair) => pair.reference.name];
    const found = data.pairs.map(() => null);
    const left = new Set(other);
    for (const key of keys) {
      const known = new Map([...left].map((pair) => [key(pair), pair]));
      data.pairs.forEach((pair, place) => {
        const answer = found[place] ? undefined : known.get(key(pair));
        if (answer && left.delete(answer)) found[place] = answer;
      });
    }
    return { found, left: left.size };
  }

  function column(found) {
    for (const cell of document.querySelectorAll(".beside")) cell.remove();
    const head = document.querySelector("#pairs thead tr");
    head.cells[6].before(make("th", "other run", "n beside"));
    rows.forEach((row, place) => {
      const pair = found[place];
      const text = pair ? `${data.words[pair.verdict] || pair.verdict} ${number(size(pair.local || pair.accumulated))}` : "–";
      row.cells[6].before(make("td", text, `n beside${pair ? (culprit(pair) ? " bad" : "") : ""}`));
    });
  }

  function named(places) { // how many, and the first of them by number and name
    const links = places.slice(0, 5).flatMap((place) => {
      const link = make("a", `#${place + 1} ${data.pairs[place].candidate.node || data.pairs[place].candidate.name}`);
      link.href = `#pair-${place + 1}`;
      return [", ", link];
    });
    const brackets = links.length ? [" (", ...links.slice(1), places.length > 5 ? ", …)" : ")"] : [];
    return [make("b", String(places.length)), ...brackets];
  }

  function tell(name, other, found, left) {
    const places = (here, there) => data.pairs.flatMap((pair, place) => (found[place] && culprit(pair) === here && culprit(found[place]) === there ? [place] : []));
    const [mended, broken, both] = [places(true, false), places(false, true), places(true, true)];
    const alone = found.filter((pair) => !pair).length;
    const line = make("p");
    line.append(make("b", other.verdict.toUpperCase()), ` in ${name}. Nodes that err by themselves here and not there: `, ...named(mended),
      "; there and not here: ", ...named(broken), "; in both: ", ...named(both), `. Pairs that stand here alone: ${alone}, there alone: ${left}.`);
    const table = make("table", undefined, "plain");
    const head = table.createTHead().insertRow();
    for (const title of ["output", "max abs here", "max abs there"]) head.append(make("th", title));
    const body = table.createTBody();
    for (const place of data.outputs) {
      const pair = data.pairs[place];
      const there = pair && (found[place] || (other.outputs || []).find((one) => one.candidate.name === pair.candidate.name));
      if (!pair) continue;
      const row = body.insertRow();
      row.append(make("td", pair.candidate.name), make("td", number(size(pair.accumulated)), "n"), make("td", there ? number(size(there.accumulated)) : "–", "n"));
    }
    said.replaceChildren(line, ...(body.rows.length ? [table] : []));
  }

  async function take(file) {
    if (!file) return;
    section.hidden = false;
    try {
      const other = read(await file.text());
      const { found, left } = answers(other.pairs);
      tell(file.name, other, found, left);
      if (rows.length) column(found);
      document.dispatchEvent(new CustomEvent("beside", { detail: found.map((pair) => (pair && size(pair.local || pair.accumulated)) || null) })); // none, or 0: no point
    } catch (error) {
      said.replaceChildren(make("p", `${file.name} cannot be read: ${error.message}. Choose what align compare wrote with --json or --html.`, "bad"));
    }
    section.scrollIntoView({ block: "nearest" });
  }

  button.addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => { take(chooser.files[0]); chooser.value = ""; });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });
})();
