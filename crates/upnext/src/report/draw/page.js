// Draws the figures that the page carries, in the page's own colours, and again when these change.
'use strict';
(() => {
  const figures = JSON.parse(document.getElementById('figures').textContent);
  const narrow = matchMedia('(max-width: 560px)');
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const coarse = matchMedia('(pointer: coarse)');
  // Only these keys hold colours; names of videos stand under others and are never looked up.
  const coloured = new Set(['color', 'colorscale']);
  const paint = (value, style, key) => {
    if (typeof value === 'string') {
      return coloured.has(key) && value.startsWith('@') ? style.getPropertyValue('--' + value.slice(1)).trim() : value;
    }
    if (Array.isArray(value)) return value.map(one => paint(one, style, key));
    if (value && typeof value === 'object') {
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, paint(one, style, name)]));
    }
    return value;
  };
  const axis = (given, style) => ({
    automargin: true, gridcolor: style.getPropertyValue('--line').trim(), linecolor: style.getPropertyValue('--line').trim(),
    zeroline: false, fixedrange: coarse.matches, separatethousands: true, exponentformat: 'none', ...given,
    title: { standoff: 8, ...given?.title }, tickfont: { size: narrow.matches ? 10 : 11.5 },
  });
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue('--' + name).trim();
    const drawn = figures.map(figure => {
      const place = document.getElementById(figure.id);
      const layout = paint(figure.layout, style);
      const traces = paint(figure.traces, style);
      // On a phone the words above lines would stand on each other: the first of them is enough.
      for (const note of narrow.matches ? layout.annotations ?? [] : []) {
        if (note.yref === 'paper') note.text = note.text.split('<br>')[0];
      }
      for (const trace of traces) {
        const bar = trace.type === 'heatmap' ? (trace.colorbar ??= {}) : trace.marker?.colorbar;
        if (bar) Object.assign(bar, { thickness: 10, outlinewidth: 0, len: 0.9, tickfont: { size: 11 } });
      }
      return Plotly.react(place, traces, {
        showlegend: false, ...layout, xaxis: axis(layout.xaxis, style), yaxis: axis(layout.yaxis, style),
        paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', autosize: true,
        font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour('soft') },
        margin: { l: narrow.matches ? 40 : 56, r: 12, t: layout.annotations?.length ? 34 : 10, b: 44 },
        hoverlabel: { bgcolor: colour('ink'), bordercolor: colour('ink'), font: { color: colour('ground'), size: 12 } },
        modebar: { bgcolor: 'rgba(0,0,0,0)', color: colour('edge'), activecolor: colour('accent') },
        dragmode: coarse.matches ? false : 'zoom',
      }, {
        responsive: true, displaylogo: false, showTips: false, scrollZoom: false,
        modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d', 'toImage'],
        displayModeBar: coarse.matches ? false : 'hover',
      });
    });
    Promise.all(drawn).then(() => { document.documentElement.dataset.drawn = String(drawn.length); });
  };
  draw();
  for (const query of [narrow, dark, coarse]) query.addEventListener('change', draw);

  // The table of contents follows the reader.
  const links = new Map([...document.querySelectorAll('nav a')].map(link => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const [id, link] of links) {
        if (id === entry.target.id) link.setAttribute('aria-current', 'true'); else link.removeAttribute('aria-current');
      }
    }
  }, { rootMargin: '-8% 0px -80% 0px' });
  document.querySelectorAll('section[id]').forEach(section => seen.observe(section));
})();
