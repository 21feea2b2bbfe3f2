"""What a reader of a page would stumble over, found in a browser: JavaScript that looks, and its findings.

Every function takes a ``chromium.Browser`` that shows a page, and returns a list of what is wrong, in words.
"""

SEEN = """
const seen = e => { const r = e.getBoundingClientRect(), s = getComputedStyle(e);
    return r.width > 0 && r.height > 0 && s.visibility != 'hidden' && s.clipPath == 'none'; };
const words = e => e.textContent.trim().replace(/\\s+/g, ' ').slice(0, 40);
const texts = root => [...root.querySelectorAll('*')].filter(e => seen(e) && e.localName != 'style' &&
    [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()));
const box = e => {
    const r = document.createRange(); r.selectNodeContents(e); return r.getBoundingClientRect(); };
const apart = (a, b, by) => a.right - by <= b.left || b.right - by <= a.left ||
    a.bottom - by <= b.top || b.bottom - by <= a.top;
"""
OVERFLOW = """
const whole = document.documentElement, wide = whole.clientWidth, wrong = [];
if (whole.scrollWidth > wide) wrong.push('the page is ' + whole.scrollWidth + ' wide');
for (const e of document.querySelectorAll('main *')) {
    if (!seen(e) || e.closest('.wide')) continue;
    const r = e.getBoundingClientRect();
    if (r.right > wide + 1 || r.left < -1) wrong.push(e.tagName + ' beyond the window: ' + words(e));
}
return wrong;
"""
OVERLAP = """
const wrong = [];
for (const drawn of document.querySelectorAll('svg')) {
    if (!seen(drawn)) continue;
    const edge = drawn.getBoundingClientRect();
    const all = [...drawn.querySelectorAll('text')].map(t => [t, t.getBoundingClientRect()]);
    all.forEach(([t, a], i) => {
        if (a.left < edge.left - 1 || a.right > edge.right + 1 ||
            a.top < edge.top - 1 || a.bottom > edge.bottom + 1)
            wrong.push('outside of its picture: ' + words(t));
        for (const [u, b] of all.slice(i + 1))
            if (!apart(a, b, 1.5)) wrong.push('overlap: ' + words(t) + ' / ' + words(u));
    });
}
const blocks = texts(document.querySelector('main')).filter(e => !e.closest('svg')).map(e => [e, box(e)]);
blocks.push(...[...document.querySelectorAll('svg')].filter(seen).map(e => [e, e.getBoundingClientRect()]));
blocks.forEach(([e, a], i) => { for (const [f, b] of blocks.slice(i + 1)) {
    const inside = x => {
        const w = x.closest('.wide'); return w && w.scrollWidth > w.clientWidth ? w : null; };
    if (e.contains(f) || f.contains(e) || inside(e) != inside(f)) continue;
    if (!apart(a, b, 2)) wrong.push('overlap: ' + (words(e) || 'picture') + ' / ' + (words(f) || 'picture'));
} });
return wrong;
"""
CONTRAST = """
const parse = c => {
    const m = c.match(/[\\d.]+/g).map(Number); return [m[0], m[1], m[2], m.length > 3 ? m[3] : 1]; };
const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = e => { let layers = [];
    for (let n = e; n; n = n.parentElement) layers.push(parse(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]); };
const wrong = [], ratios = [];
for (const e of texts(document.body)) {
    const s = getComputedStyle(e), below = ground(e);
    let ink = over(parse(e.closest('svg') ? s.fill : s.color), below), opaque = 1;
    for (let n = e; n; n = n.parentElement) opaque *= getComputedStyle(n).opacity;
    ink = over([...ink.slice(0, 3), opaque], below);
    const [a, b] = [light(ink), light(below)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    ratios.push(ratio);
    if (!(ratio >= 4.5)) wrong.push(ratio.toFixed(2) + ': ' + words(e));
}
return ratios.length ? wrong : ['no text'];
"""


def _look(browser, script):
    return browser.run("(() => {" + SEEN + script + "})()")


def overflow(browser):
    """What reaches beyond the window, but for what can be scrolled on its own."""
    return _look(browser, OVERFLOW)


def overlaps(browser):
    """Words of a picture that overlap or leave it, and blocks of the page that overlap."""
    return _look(browser, OVERLAP)


def faint(browser):
    """Texts whose contrast with what is behind them is below 4.5, as WCAG AA asks."""
    return _look(browser, CONTRAST)
