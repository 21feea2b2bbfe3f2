"""How a page looks: on a screen, on a telephone, in light and dark, on paper."""

from .colours import BAND, LINES, PAPER, RULE, SOFT, TEXT

STYLE = """
:root{color-scheme:light dark;%(light)s}
@media(prefers-color-scheme:dark){:root{%(dark)s}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--text);font:16px/1.55 system-ui,sans-serif}
main{max-width:66rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.75rem;line-height:1.25;margin:.5rem 0 1rem;overflow-wrap:break-word}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--rule)}
p,li{max-width:46rem;overflow-wrap:break-word}
.note{background:var(--band);border-left:4px solid %(mark)s;padding:.6rem .9rem;margin:1rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%%,20rem),1fr))}
.figures{gap:1.75rem 1.25rem;margin:1rem 0}
figure{margin:0;min-width:0;max-width:26rem}
figure svg{display:block;width:100%%;height:auto}
.broad{grid-column:1/-1;max-width:100%%}
.frame svg{max-width:100%%;height:auto}
.wide svg{width:auto;max-width:none}
figcaption,caption,legend{color:var(--soft);font-size:.875rem;text-align:left}
figcaption{margin-top:.25rem}
.wide{overflow-x:auto;max-width:100%%}
.tables{display:flex;flex-wrap:wrap;gap:1rem 3rem;margin:1rem 0}
table{border-collapse:collapse;font-size:.9375rem}
caption{padding-bottom:.35rem}
th,td{padding:.3rem .9rem .3rem .5rem;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}
th,td{max-width:30rem;overflow-wrap:break-word}
th{font-weight:600}
thead th{background:var(--band)}
.number{text-align:right;font-variant-numeric:tabular-nums}
.slider{border:0;margin:1rem 0;padding:0;min-width:0}
.slider legend{padding:0;margin-bottom:.5rem;max-width:46rem}
.stops{display:flex;flex-wrap:wrap;gap:2px;margin-bottom:.75rem}
.stops label{position:relative}
.stops input{position:absolute;inset:0;width:100%%;height:100%%;margin:0;opacity:0;cursor:pointer}
.stops span{display:block;min-width:1.75rem;padding:.1rem .3rem;text-align:center;font-size:.8125rem}
.stops span{background:var(--band);border-radius:3px;font-variant-numeric:tabular-nums}
.stops input:checked+span{background:var(--text);color:var(--paper)}
.stops input:focus-visible+span{outline:3px solid %(mark)s;outline-offset:1px}
.frame{display:none}
.frame h3{font-size:.875rem;font-weight:400;color:var(--soft);margin:.25rem 0}
@supports not selector(:has(a)){.frame{display:block}}
@media screen{.frame h3{position:absolute;clip-path:inset(50%%)}}
@media print{h2,figure,.frame{break-inside:avoid}.stops{display:none}.wide{overflow:visible}
.wide svg{max-width:100%%;height:auto}
.slider .frame{display:inline-block;width:32%%;vertical-align:top}.frame svg{width:100%%;height:auto}}
"""


def style(stops=0):
    """The style sheet of a page whose longest slider has ``stops``."""
    names = {"paper": PAPER, "text": TEXT, "soft": SOFT, "rule": RULE, "band": BAND}
    themes = {
        theme: ";".join(f"--{name}:{colours[theme]}" for name, colours in names.items())
        for theme in ("light", "dark")
    }
    shown = ",".join(
        f".slider:has(.stops>:nth-child({i}) input:checked) .frame:nth-child({i})"
        for i in range(1, stops + 1)
    )
    return STYLE % (themes | {"mark": LINES[1]}) + (shown + "{display:block}\n") * bool(stops)
