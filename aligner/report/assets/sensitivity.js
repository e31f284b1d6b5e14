"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("chart");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  let chart = null;

  function draw() {
    const axis = { stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } };
    if (chart) chart.destroy();
    place.replaceChildren();
    chart = new uPlot({
      width: place.clientWidth, height: 320,
      scales: { x: { time: false, range: (_, low, high) => [low - 0.5, high + 0.5] }, y: { range: (_, low, high) => [0, high * 1.05 || 1] } },
      axes: [axis, { ...axis, size: 62 }],
      series: [
        { label: "restored", value: (_, __, ___, at) => (at === null || at === undefined ? "point at the chart" : `${at} nodes, last ${data.names[at]}`.slice(0, 90)) },
        { label: "error left", stroke: colour("local"), width: 1.5, points: { show: data.names.length < 60, size: 5 },
          value: (_, value) => (value === null || value === undefined ? "" : Number(value).toPrecision(3)) },
      ],
      cursor: { y: false },
    }, [data.names.map((_, at) => at), data.left], place);
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
  new ResizeObserver(() => { if (chart.width !== place.clientWidth) chart.setSize({ width: place.clientWidth, height: 320 }); }).observe(place);
})();
