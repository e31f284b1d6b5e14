"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("chart");
  if (!data.names.length) return;
  const known = [...data.median, ...data.high, ...data.max].filter((value) => value > 0);
  const floor = known.length ? 10 ** Math.floor(Math.log10(Math.min(...known)) - 0.3) : 1e-8;
  const ceiling = known.length ? 10 ** Math.ceil(Math.log10(Math.max(...known)) + 0.1) : 1;
  const drawn = (values) => values.map((value) => (value === null ? ceiling : value || floor)); // a logarithm has no zero
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const number = (value) => (value === null ? "not finite" : Number(value).toPrecision(3));
  let chart = null;

  function draw() {
    const axis = { stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
    const line = (label, values, words, options) => ({
      label, width: 1.5, points: { show: data.names.length < 60, size: 4 },
      value: (_, __, ___, at) => (at === null || at === undefined ? words : number(values[at])), ...options,
    });
    if (chart) chart.destroy();
    place.replaceChildren();
    chart = new uPlot({
      width: place.clientWidth, height: 320,
      scales: { x: { time: false, range: (_, low, high) => [low - 0.5, high + 0.5] }, y: { distr: 3, range: () => [floor, ceiling] } },
      axes: [axis, { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : tick.toExponential(0).replace("e+", "e"))) }],
      series: [
        { label: "node", value: (_, __, ___, at) => (at === null || at === undefined ? "point at the chart" : `#${at + 1} ${data.names[at]}`.slice(0, 90)) },
        line("median", data.median, "half of the samples", { stroke: colour("bound"), dash: [6, 4] }),
        line("99 %", data.high, "all but one in a hundred", { stroke: colour("accumulated") }),
        line("max", data.max, "the worst sample", { stroke: colour("local") }),
        { label: "errs", stroke: colour("red"), paths: () => null, points: { show: true, size: 9, fill: colour("red") },
          value: (_, __, ___, at) => (at === null || at === undefined ? "by itself" : `on ${data.introduced[at]} samples`) },
      ],
      cursor: { y: false },
    }, [data.names.map((_, at) => at + 1), drawn(data.median), drawn(data.high), drawn(data.max),
      drawn(data.max).map((value, at) => (data.introduced[at] ? value : null))], place);
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
  new ResizeObserver(() => { if (chart.width !== place.clientWidth) chart.setSize({ width: place.clientWidth, height: 320 }); }).observe(place);
})();
