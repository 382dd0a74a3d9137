"""The report's style sheet. It is a Python string, so that it is part of the code from which the key of an artifact is
computed."""

STYLE = """
:root { color-scheme: light dark;
  --page: #f7f7f5; --card: #fff; --ink: #1c1d1f; --soft: #63666d; --line: #dcdcd8; --grid: #ecece8;
  --trained: #2f6fd0; --held: #7a5fc4; --cut: #c9720c; --rejected: #c43d4b; --left: #a2a6ad; --good: #1f8a4c;
  --chip-t: #d6e6ff; --chip-t-ink: #0c3b80; --chip-c: #efefec; --chip-c-ink: #4b4e54; --chip-x: #ffe6cc;
  --chip-x-ink: #8a4a00; }
@media (prefers-color-scheme: dark) { :root {
  --page: #141517; --card: #1c1e21; --ink: #e8e8e6; --soft: #9da1a9; --line: #34373c; --grid: #282b2f;
  --trained: #6ea5f5; --held: #a891ee; --cut: #eb9b45; --rejected: #ee7682; --left: #6d727b; --good: #56c283;
  --chip-t: #17375f; --chip-t-ink: #cfe2ff; --chip-c: #2a2d31; --chip-c-ink: #b4b8be; --chip-x: #4a2f12;
  --chip-x-ink: #ffcd99; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 12px; }
h3 { font-size: 15px; margin: 20px 0 8px; }
p { margin: 8px 0; max-width: 76ch; }
code, .chips, .file, .excerpt { font-family: ui-monospace, Menlo, Consolas, monospace; }
.sub, .note, .file, .counts, nav { color: var(--soft); }
.sub { font-size: 13px; overflow-wrap: anywhere; }
nav { margin: 14px 0 18px; font-size: 14px; }
nav a { color: inherit; margin-right: 16px; display: inline-block; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px;
  margin: 0 0 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 0 0 18px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.tile .name { display: block; font-size: 13px; color: var(--soft); }
.tile b { font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; display: block; }
.tile .note { font-size: 12.5px; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px; white-space: nowrap; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child { min-width: 170px; }
tr:last-child td { border-bottom: 0; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.pass, .fail { font-weight: 600; white-space: nowrap; }
.pass { color: var(--good); }
.fail { color: var(--rejected); }
.file { font-size: 12px; overflow-wrap: anywhere; }
.chart { width: 100%; min-width: 480px; max-width: 860px; height: auto; display: block; }
.chart .bar { fill: var(--trained); }
.chart .over, .chart .bar.over { fill: var(--cut); }
.chart .grid { stroke: var(--grid); }
.chart .axis { stroke: var(--line); }
.chart .tick { fill: var(--soft); font-size: 10.5px; }
.chart line.limit { stroke: var(--ink); stroke-dasharray: 4 3; }
.chart text.limit { fill: var(--ink); font-size: 11px; }
.stack { width: 100%; height: 22px; border-radius: 5px; display: block; }
.trained { fill: var(--trained); background: var(--trained); }
.held { fill: var(--held); background: var(--held); }
.lost { fill: var(--cut); background: var(--cut); }
.rejected { fill: var(--rejected); background: var(--rejected); }
.left { fill: var(--left); background: var(--left); }
.legend { list-style: none; margin: 8px 0 0; padding: 0; font-size: 14px; }
.legend li { display: inline-block; margin: 0 20px 4px 0; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px; }
.legend b { font-variant-numeric: tabular-nums; font-weight: 600; }
.legend span { color: var(--soft); }
details { border-top: 1px solid var(--line); padding: 8px 0; }
summary { cursor: pointer; }
summary b { font-variant-numeric: tabular-nums; }
.excerpt { font-size: 12.5px; background: var(--chip-c); color: var(--chip-c-ink); padding: 6px 9px;
  border-radius: 6px; margin: 4px 0 10px; overflow-wrap: anywhere; white-space: pre-wrap; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 12px 28px; }
.row { border-top: 1px solid var(--line); padding: 14px 0 10px; }
.row header { margin-bottom: 8px; }
.counts { font-size: 13px; }
.counts em { font-style: normal; color: var(--cut); }
.split, .why { border: 1px solid var(--line); border-radius: 99px; padding: 1px 9px; font-size: 12px;
  color: var(--soft); margin-left: 6px; white-space: nowrap; }
.why { border-color: var(--cut); color: var(--cut); }
.chips { font-size: 12.5px; line-height: 1.9; }
.chips b, .key b { font-weight: 400; padding: 2px 1px; margin: 0 1px 0 0; border-radius: 3px;
  white-space: pre-wrap; border-bottom: 2px solid transparent; }
.chips b { display: inline-block; line-height: 1.35; max-width: 100%; overflow-wrap: anywhere; }
.key b { font-family: ui-monospace, Menlo, Consolas, monospace; padding: 2px 5px; margin-left: 14px; }
.key b:first-child, .key b.f { margin-left: 0; }
b.t { background: var(--chip-t); color: var(--chip-t-ink); border-bottom-color: var(--trained); }
b.c { background: var(--chip-c); color: var(--chip-c-ink); }
b.x { background: var(--chip-x); color: var(--chip-x-ink); text-decoration: line-through; }
b.s { outline: 1px dashed currentColor; outline-offset: -1px; font-style: italic; }
b.f { opacity: .65; }
.images { display: flex; flex-wrap: wrap; gap: 12px; margin: 0 0 10px; align-items: flex-end; }
figure { margin: 0; }
figure img, .noimage { display: block; max-width: 128px; max-height: 128px; border-radius: 4px;
  border: 1px solid var(--line); background: var(--grid); }
.noimage { width: 96px; height: 64px; }
figcaption { font-size: 12px; line-height: 1.4; color: var(--soft); margin-top: 3px; }
.chips b.i { outline: 1px solid currentColor; outline-offset: -1px; padding: 2px 6px; }
dl { margin: 0; font-size: 13px; }
dt { color: var(--soft); }
dd { margin: 0; }
.gap { color: var(--soft); font-size: 12px; padding: 0 8px; font-style: italic; }
.key { font-size: 13px; color: var(--soft); max-width: none; line-height: 2; }
.key i { font-style: normal; font-family: ui-monospace, monospace; color: var(--ink); }
@media (max-width: 560px) { main { padding: 14px 10px 40px; } section { padding: 14px 12px; } }
"""
