//! The style sheet of the page: warm paper and ink, one blue that grows stronger with rank (`r1` to `r5`), five hues for
//! stages (`s1` to `s5`); every colour has a light and a dark value.

/// The sheet.
pub(super) const STYLE: &str = r#":root {
  --paper: #fbfaf7; --ink: #1b1d22; --soft: #5d626d; --line: #e3e0d8; --grid: #e9e6df; --card: #f3f1ea;
  --accent: #1f5fa8; --warn: #8a5a00; --warn-paper: #fdf3dc; --good: #0b7a4b; --bad: #b3261e;
  --s1: #2a78d6; --s2: #1baf7a; --s3: #e0a100; --s4: #6a4fc0; --s5: #dd5145;
  --r1: #b9d4f3; --r2: #86b6ea; --r3: #4c8fdb; --r4: #1f66b8; --r5: #123f78;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171b; --ink: #e9e8e4; --soft: #a0a4ad; --line: #2c3038; --grid: #262a31; --card: #1d2026;
    --accent: #7db4f2; --warn: #f0c76a; --warn-paper: #2b2414; --good: #5cc796; --bad: #f08a80;
    --s1: #4a94ea; --s2: #22a578; --s3: #cf9510; --s4: #9685ea; --s5: #e46d62;
    --r1: #3d6798; --r2: #4a80bd; --r3: #639fdf; --r4: #97c4f5; --r5: #d6e8fd;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-feature-settings: "kern"; -webkit-text-size-adjust: 100%;
}
main { max-width: 960px; margin: 0 auto; padding: 56px 32px 96px; }
header { margin-bottom: 56px; }
.over { margin: 0 0 8px; color: var(--accent); font-weight: 600; letter-spacing: .02em; }
h1 { margin: 0; font-size: 34px; line-height: 1.2; font-weight: 650; letter-spacing: -.015em; text-wrap: balance; }
.sub { margin: 12px 0 0; color: var(--soft); max-width: none; }
section { margin-top: 64px; }
h2 { margin: 0 0 6px; font-size: 22px; font-weight: 650; letter-spacing: -.01em; }
h3 { margin: 28px 0 4px; font-size: 15px; font-weight: 600; }
p { margin: 0 0 16px; max-width: 68ch; }
.note { margin-top: 12px; color: var(--soft); font-size: 13.5px; max-width: 82ch; }
.warn { margin-top: 28px; padding: 16px 20px; border-radius: 8px; background: var(--warn-paper); font-size: 14.5px; }
.warn p { margin: 0; font-weight: 600; color: var(--warn); }
.warn ul { margin: 4px 0 0; padding-left: 18px; }
svg { display: block; width: 100%; height: auto; margin: 4px 0 20px; font-size: 12.5px; }
svg text { fill: var(--ink); }
svg .tick { fill: var(--soft); text-anchor: middle; font-size: 12px; font-variant-numeric: tabular-nums; }
svg .name { text-anchor: end; font-size: 13px; }
svg .value { fill: var(--ink); font-variant-numeric: tabular-nums; paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
svg .grid { stroke: var(--grid); fill: none; }
svg .base { stroke: var(--soft); fill: none; }
svg .whisker { stroke: var(--ink); stroke-width: 1.25; fill: none; opacity: .7; }
svg .span { stroke: var(--line); stroke-width: 3; fill: none; }
svg circle { stroke: var(--paper); stroke-width: 2; }
svg [class^="on-"] { fill: #fff; text-anchor: middle; font-weight: 600; font-size: 12px; }
svg .on-s3 { fill: #241a00; }
.s1 { fill: var(--s1); background: var(--s1); } .s2 { fill: var(--s2); background: var(--s2); }
.s3 { fill: var(--s3); background: var(--s3); } .s4 { fill: var(--s4); background: var(--s4); }
.s5 { fill: var(--s5); background: var(--s5); }
.r1 { fill: var(--r1); background: var(--r1); } .r2 { fill: var(--r2); background: var(--r2); }
.r3 { fill: var(--r3); background: var(--r3); } .r4 { fill: var(--r4); background: var(--r4); }
.r5 { fill: var(--r5); background: var(--r5); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 0 0 8px; padding: 0; color: var(--soft); font-size: 13.5px; }
.legend i { display: inline-block; width: 11px; height: 11px; margin-right: 7px; border-radius: 3px; }
details { margin-top: 16px; } summary { cursor: pointer; color: var(--accent); font-size: 14px; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 0 6px 18px; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
th, .more td { border-top: 0; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
th { color: var(--soft); font-weight: 500; font-size: 12.5px; vertical-align: bottom; white-space: normal; line-height: 1.3; }
td:first-child { font-weight: 550; max-width: 260px; overflow: hidden; text-overflow: ellipsis; }
.good td:last-child { color: var(--good); font-weight: 600; } .bad td:last-child { color: var(--bad); font-weight: 600; }
.dim td { color: var(--soft); }
dl { margin: 24px 0 0; display: grid; grid-template-columns: minmax(96px, max-content) 1fr; gap: 8px 28px; font-size: 14px; }
dt { color: var(--soft); overflow-wrap: anywhere; max-width: 220px; } dd { margin: 0; overflow-wrap: anywhere; }
.pairs { margin: 8px 0 28px; gap: 5px 28px; }
code, pre { font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
dd code { color: var(--soft); }
pre { margin: 8px 0 16px; padding: 14px 18px; border-radius: 8px; background: var(--card); white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 640px) { main { padding: 32px 18px 64px; } h1 { font-size: 26px; } }
@media print { main { max-width: none; padding: 0; } section { break-inside: avoid; } }
"#;
