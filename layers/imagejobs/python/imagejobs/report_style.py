"""Step `report`: how the page looks, by day, by night and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --card: #ffffff; --text: #1b2430; --quiet: #56616f; --line: #d9dee5; --accent: #0b6b4f;
  --warn: #8a4b00; --warn-ground: #fff4e0; --check: #eceff3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161c; --card: #1b2129; --text: #e6eaf0; --quiet: #a3aebb; --line: #333c47; --accent: #63d3ac;
    --warn: #ffc66d; --warn-ground: #33270f; --check: #252c36;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 2rem 1.25rem; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 0 0 .25rem; font-size: 1.25rem; }
h3 { margin: 1.25rem 0 .25rem; font-size: 1rem; }
p { margin: .25rem 0 .75rem; }
code { font: .9em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
a { color: var(--accent); overflow-wrap: anywhere; }
.quiet, footer, caption, .caption, .url, figcaption span { color: var(--quiet); }
.notice { padding: .75rem 1rem; border-left: 4px solid var(--warn); background: var(--warn-ground); }
.notice strong { color: var(--warn); }
section { margin-top: 1.5rem; padding: 1.25rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0 0; }
.tiles div { display: flex; flex-direction: column-reverse; padding: .75rem 1rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
.tiles dt { color: var(--quiet); font-size: .875rem; }
.tiles dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles div:first-child dd { color: var(--accent); }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 1.25rem; }
.pair { margin: 0; padding-top: .75rem; border-top: 1px solid var(--line); min-width: 0; }
.pair figcaption { margin-bottom: .5rem; overflow-wrap: anywhere; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; }
.side { min-width: 0; }
.side img, .missing { display: block; width: 100%; height: 13rem; object-fit: contain; background: var(--check);
  border-radius: 6px; }
.missing { display: grid; place-content: center; margin: 0; padding: .75rem; text-align: center; font-size: .875rem;
  color: var(--quiet); overflow-wrap: anywhere; overflow: auto; }
.caption, .url { margin: .25rem 0 0; font-size: .8125rem; overflow-wrap: anywhere; }
.table { overflow-x: auto; margin-top: .75rem; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; }
caption { padding: .25rem 0; text-align: left; }
th, td { padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; min-width: 4.5rem; }
th.number, td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
footer { max-width: 70rem; margin: 0 auto; padding: 0 1.25rem 2rem; font-size: .875rem; }
@media print {
  :root { color-scheme: light; --ground: #fff; --card: #fff; --text: #000; --quiet: #444; --line: #bbb; --check: #fff;
    --accent: #000; --warn: #000; --warn-ground: #fff; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  section { padding: 0; border: 0; }
  .pair, tr, .tiles div { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  .pairs { grid-template-columns: 1fr 1fr; }
  .side img, .missing { height: 8rem; }
}
"""
