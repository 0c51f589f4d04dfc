"use strict";
// Draws the charts of #data with uPlot. The tables, and all that is text, came with the page.
(() => {
  const dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
  const main = document.getElementById("main");
  let plots = [], printing = false;

  const tone = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim() || "#888";
  const short = x => Math.abs(x) >= 1000 ? x.toFixed(0) : String(+x.toPrecision(3));
  const seconds = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400, 604800];
  const units = {
    "s": x => x >= 3600 ? Math.floor(x / 3600) + ":" + String(Math.floor(x % 3600 / 60)).padStart(2, "0") + ":" + String(Math.round(x % 60)).padStart(2, "0") : x >= 60 ? Math.floor(x / 60) + ":" + String(Math.round(x % 60)).padStart(2, "0") : short(x) + " s",
    "%": x => short(x) + " %",
    "ms": x => x >= 1000 ? short(x / 1000) + " s" : x < 1 ? short(x * 1000) + " µs" : short(x) + " ms",
    "/s": x => short(x) + " /s",
    "nines": x => "p" + +(100 - 100 * Math.pow(10, -x)).toFixed(Math.max(0, Math.ceil(x) - 1) + (x % 1 ? 1 : 0)),
    "run": x => Number.isInteger(x) ? String(x) : "",
    "odds": x => x > 6 ? "1e" + x.toFixed(0) : x < -2 ? "<0.01" : short(Math.pow(10, x)),
  };
  const written = (unit, x) => x == null ? "–" : (units[unit] || String)(x);

  // logSplits are 1, 2 and 5 of each power of ten, or finer where that gives too few.
  function logSplits(low, high) {
    for (const steps of [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 7, 8], Array.from({length: 90}, (_, i) => 1 + i / 10)]) {
      const out = [];
      for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
        for (const s of steps) {
          const x = +(s * Math.pow(10, e)).toPrecision(6);
          if (x >= low && x <= high) out.push(x);
        }
      if (out.length >= 3) return out;
    }
    return [low, high];
  }

  function yRange(c, low, high) {
    if (low == null) [low, high] = c.y.log ? [1, 10] : [0, 1];
    if (c.y.log) return [low / 1.15, high * 1.15];
    for (const r of c.rules || []) if (c.y.min == null) [low, high] = [Math.min(low, r.at), Math.max(high, r.at)];
    if (c.y.min != null && c.y.max == null) for (const r of c.rules || []) if (r.at < 3 * high) high = Math.max(high, r.at);
    const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    return [c.y.min ?? low - room, c.y.max ?? high + room];
  }

  // zoomed is the whole of the axis, unless part of it was asked for.
  function zoomed(u, c, low, high) {
    const first = c.at[0], last = c.at[c.at.length - 1];
    if (low == null) return [0, 1];
    if (low !== first || high !== last) return [low, high];
    const from = c.x.min ?? first, to = c.x.max ?? last;
    return from < to ? [from, to] : [from - 0.5, to + 0.5];
  }

  // badges are the moments in sight, those that would cover each other as one.
  function badges(u, px) {
    const out = [];
    moments.forEach((m, i) => {
      if (m.at < u.scales.x.min || m.at > u.scales.x.max) return;
      const x = Math.round(u.valToPos(m.at, "x", true)) + 0.5, last = out[out.length - 1];
      if (last && x - last.xs[last.xs.length - 1] < 18 * px) {
        last.xs.push(x);
        last.to = i + 1;
      } else out.push({xs: [x], from: i + 1, to: i + 1});
    });
    return out;
  }

  let moments = [], regions = [];

  // beneath draws phases and limits, above the numbered moments.
  function beneath(c, u) {
    const ctx = u.ctx, {left, top, width, height} = u.bbox, px = devicePixelRatio;
    ctx.save();
    ctx.beginPath(); ctx.rect(left, top, width, height); ctx.clip();
    if (c.time && !c.small) {
      ctx.font = 11 * px + "px system-ui, sans-serif";
      regions.forEach((r, i) => {
        if (r.label.includes("/")) return;
        const from = Math.max(u.valToPos(r.from, "x", true), left), to = Math.min(u.valToPos(r.to, "x", true), left + width);
        if (to <= from) return;
        ctx.globalAlpha = 0.06; ctx.fillStyle = tone("ink");
        if (i % 2 === 0) ctx.fillRect(from, top, to - from, height);
        ctx.globalAlpha = 1; ctx.fillStyle = tone("soft"); ctx.textAlign = "center"; ctx.textBaseline = "bottom";
        ctx.strokeStyle = tone("paper"); ctx.lineWidth = 3 * px;
        if (ctx.measureText(r.label).width > to - from - 6 * px) return;
        ctx.strokeText(r.label, (from + to) / 2, top + height - 4 * px);
        ctx.fillText(r.label, (from + to) / 2, top + height - 4 * px);
      });
    }
    for (const r of c.rules || []) {
      const y = Math.round(u.valToPos(r.at, "y", true)) + 0.5;
      ctx.strokeStyle = tone(r.tone); ctx.fillStyle = tone(r.tone); ctx.lineWidth = 1.5 * px; ctx.setLineDash([6 * px, 4 * px]);
      ctx.beginPath(); ctx.moveTo(left, y); ctx.lineTo(left + width, y); ctx.stroke();
      ctx.font = (c.small ? 10 : 11) * px + "px system-ui, sans-serif"; ctx.textBaseline = "bottom";
      const right = r.tone === "fail" && c.small;
      ctx.textAlign = right ? "right" : "left";
      const text = r.label + (c.small ? "" : " " + written(c.y.unit, r.at)), x = right ? left + width - 2 * px : left + 4 * px;
      ctx.setLineDash([]); ctx.strokeStyle = tone("paper"); ctx.lineWidth = 3 * px; ctx.strokeText(text, x, y - 2 * px);
      ctx.fillText(text, x, y - 2 * px);
    }
    ctx.restore();
  }

  function above(c, u) {
    if (!c.time) return;
    const ctx = u.ctx, {top, height} = u.bbox, px = devicePixelRatio, y = top - 11 * px;
    ctx.save();
    ctx.font = "600 " + 10 * px + "px system-ui, sans-serif"; ctx.textAlign = "center"; ctx.textBaseline = "middle"; ctx.lineWidth = px;
    for (const b of badges(u, px)) {
      ctx.strokeStyle = tone("soft"); ctx.setLineDash([2 * px, 3 * px]);
      for (const x of b.xs) { ctx.beginPath(); ctx.moveTo(x, y); ctx.lineTo(x, top + height); ctx.stroke(); }
      const text = b.from === b.to ? String(b.from) : b.from + "–" + b.to;
      const width = Math.max(16 * px, ctx.measureText(text).width + 9 * px);
      const left = Math.min(Math.max((b.xs[0] + b.xs[b.xs.length - 1]) / 2 - width / 2, 0), ctx.canvas.width - width);
      ctx.fillStyle = tone("ink"); ctx.beginPath(); ctx.roundRect(left, y - 8 * px, width, 16 * px, 8 * px); ctx.fill();
      ctx.fillStyle = tone("paper"); ctx.fillText(text, left + width / 2, y + 0.5 * px);
    }
    ctx.restore();
  }

  function options(c, width) {
    const axis = {stroke: tone("soft"), grid: {stroke: tone("line"), width: 1}, ticks: {stroke: tone("line"), width: 1}, font: (c.small ? 10 : 12) + "px system-ui, sans-serif"};
    const plain = (u, values) => values.map(v => v == null ? "" : written(c.x.unit, v));
    return {
      width, height: c.small ? 140 : 300,
      padding: [c.time ? 24 : 12, 16, 0, 0],
      scales: {x: {time: false, range: (u, low, high) => zoomed(u, c, low, high)}, y: {distr: c.y.log ? 3 : 1, range: (u, low, high) => yRange(c, low, high)}},
      axes: [
        {...axis, size: c.small ? 28 : 34, space: c.small ? 60 : 70, values: plain, ...(c.x.unit === "s" ? {incrs: seconds} : {}), ...(c.x.unit === "nines" ? {splits: (u, i, low, high) => [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7, 8].filter(x => x <= high)} : {})},
        {...axis, size: c.small ? 46 : 62, space: c.small ? 24 : 32, values: (u, values) => values.map(v => v == null ? "" : written(c.y.unit, v)),
          ...(c.y.log ? {splits: (u, i, low, high) => logSplits(low, high), filter: (u, splits) => splits} : {})},
      ],
      series: [
        {label: {nines: "percentile", run: "run"}[c.x.unit] || "time", value: (u, x) => written(c.x.unit, x)},
        ...c.series.map(s => ({
          label: s.label, stroke: tone(s.tone), width: s.tone === "band" ? 1 : 2, dash: dashes[s.dash || 0], spanGaps: !!s.spans,
          value: (u, y) => written(c.y.unit, y),
          points: s.dots ? {show: true, size: 5, fill: tone(s.tone), width: 0} : {show: (u, i) => s.points || u.data[i].filter(v => v != null).length < 3, size: 6},
          ...(s.dots ? {paths: () => null} : {}),
        })),
      ],
      bands: (c.bands || []).map(b => ({series: [b[0] + 1, b[1] + 1], fill: tone(c.series[b[0]].tone) + "30"})),
      legend: {show: !c.small, markers: {width: 3, fill: "transparent", stroke: (u, i) => tone(c.series[i - 1].tone), dash: (u, i) => c.series[i - 1].dots ? "dotted" : c.series[i - 1].dash ? c.series[i - 1].dash === 2 ? "dotted" : "dashed" : "solid"}},
      cursor: {points: {size: 7}, drag: {x: true, y: false}, ...(c.time && !c.small ? {sync: {key: "time", scales: ["x", null]}} : {})},
      hooks: {drawAxes: [u => beneath(c, u)], draw: [u => above(c, u)]},
    };
  }

  function draw(c, box) {
    const width = Math.max(box.clientWidth, 200);
    const u = new uPlot(options(c, width), [c.at, ...c.series.map(s => s.values)], box);
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Chart: " + c.title + ". Left and right arrow keys read its points; its table follows.");
    const say = box.querySelector(".spoken") || box.appendChild(Object.assign(document.createElement("p"), {className: "spoken"}));
    say.setAttribute("role", "status");
    let at = -1;
    box.onkeydown = e => {
      const step = {ArrowRight: 1, ArrowLeft: -1, PageDown: 20, PageUp: -20}[e.key];
      if (!step && e.key !== "Home" && e.key !== "End") return;
      e.preventDefault();
      const last = c.at.length - 1;
      at = e.key === "Home" ? 0 : e.key === "End" ? last : Math.max(0, Math.min(last, at + step));
      u.setCursor({left: u.valToPos(c.at[at], "x"), top: 0});
      say.textContent = written(c.x.unit, c.at[at]) + ": " + c.series.map(s => s.label + " " + written(c.y.unit, s.values[at])).join(", ");
    };
    box.querySelectorAll(".u-legend th").forEach(th => {
      th.tabIndex = 0;
      th.setAttribute("role", "button");
      th.onkeydown = e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); e.stopPropagation(); th.click(); } };
    });
    plots.push({u, box, c});
    count(plots[plots.length - 1]);
  }

  // update draws what is new or has another form, and gives the others their new points.
  function update(data, afresh) {
    const began = performance.now();
    moments = data.moments || [];
    regions = data.regions || [];
    const old = plots;
    plots = [];
    for (const c of data.charts || []) {
      const box = document.querySelector('[data-chart="' + c.id + '"]');
      if (!box) continue;
      const was = old.find(p => p.box === box);
      if (!afresh && was && form(was.c) === form(c)) {
        const zoomed = was.u.scales.x.min > (was.c.x.min ?? was.c.at[0]) || was.u.scales.x.max < (was.c.x.max ?? was.c.at[was.c.at.length - 1]);
        Object.assign(was.c, c);
        was.u.setData([c.at, ...c.series.map(s => s.values)], !zoomed);
        if (zoomed) was.u.redraw();
        plots.push(was);
        count(was);
        continue;
      }
      draw(c, box);
    }
    for (const p of old) if (!plots.includes(p)) p.u.destroy();
    document.documentElement.dataset.drawn = plots.length;
    document.documentElement.dataset.ms = Math.round(performance.now() - began);
  }

  // form is what of a chart cannot change under it.
  const form = c => JSON.stringify([c.series.map(s => [s.label, s.tone]), c.bands]);

  function count(p) { p.box.dataset.points = p.c.series.reduce((n, s) => n + s.values.filter(v => v != null).length, 0); }

  let latest = JSON.parse(document.getElementById("data").textContent);
  const drawAll = () => update(latest, true);

  drawAll();
  let width = main.clientWidth;
  new ResizeObserver(() => {
    if (printing || main.clientWidth === width) return;
    width = main.clientWidth;
    drawAll();
  }).observe(main);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  matchMedia("print").addEventListener("change", e => { printing = e.matches; drawAll(); });

  // become makes one tree into another where they differ: what is open, focused or scrolled stays so, and the plots are uPlot's.
  function become(a, b) {
    if (a.isEqualNode(b) || a.classList?.contains("plot") && b.classList?.contains("plot") && a.dataset.chart === b.dataset.chart) return;
    if (a.nodeType !== Node.ELEMENT_NODE || a.nodeName !== b.nodeName || a.id !== b.id) return a.replaceWith(b);
    for (const {name} of [...a.attributes]) if (name !== "open" && !b.hasAttribute(name)) a.removeAttribute(name);
    for (const {name, value} of b.attributes) if (a.getAttribute(name) !== value) a.setAttribute(name, value);
    const old = [...a.childNodes], now = [...b.childNodes];
    now.forEach((n, i) => old[i] ? become(old[i], n) : a.append(n));
    old.slice(now.length).forEach(n => n.remove());
  }

  if (document.documentElement.hasAttribute("data-live")) {
    const live = document.getElementById("live"), events = new EventSource("events");
    let ended = false;
    events.onmessage = e => {
      const message = JSON.parse(e.data), next = document.createElement("template");
      next.innerHTML = message.body;
      const wanted = main.cloneNode(false);
      wanted.append(next.content);
      become(main, wanted);
      document.title = message.title;
      latest = message.data;
      update(latest, false);
      ended = message.ended;
      const text = ended ? "The run has ended. This page stays as it is." : "Live: the run goes on.";
      if (live.textContent !== text) live.textContent = text;
      if (ended) events.close();
    };
    events.onerror = () => { if (!ended) live.textContent = "The connection to the run was lost. What it said last is below."; };
  }
})();
