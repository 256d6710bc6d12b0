"""How the page at /docs looks: one style sheet inside the page, for a light and a dark screen."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --raised: #f6f7f9; --line: #dfe3e8; --text: #1d2430; --quiet: #5b6675; --link: #0b5cad;
  --get: #0b6b53; --post: #0b5cad; --put: #8a5a00; --patch: #8a5a00; --delete: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161c; --raised: #1a2029; --line: #2c3542; --text: #e3e8ef; --quiet: #9aa6b5; --link: #7db8f5;
    --get: #5fd0ad; --post: #7db8f5; --put: #e8b65a; --patch: #e8b65a; --delete: #ff8a80;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--ground); color: var(--text);
  font: 16px/1.55 system-ui, sans-serif;
}
h1 { margin: 0; font-size: 1.75rem; }
h1 small { font-weight: 400; font-size: 1rem; color: var(--quiet); }
h2 { margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); font-size: 1.25rem; }
h2::first-letter { text-transform: uppercase; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
code { font: .9em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: 1rem 0; }
details { margin: .5rem 0; border: 1px solid var(--line); border-radius: .4rem; background: var(--raised); }
details details { background: var(--ground); }
summary { padding: .55rem .8rem; cursor: pointer; }
details > :not(summary) { margin-inline: .8rem; }
.method { display: inline-block; min-width: 4.2rem; font: 700 .8rem ui-monospace, monospace; }
.get { color: var(--get); } .post { color: var(--post); } .put { color: var(--put); }
.patch { color: var(--patch); } .delete { color: var(--delete); }
.quiet { color: var(--quiet); }
.wide { overflow-x: auto; margin-block: .5rem .8rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { padding: .35rem .6rem .35rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { border-top: 0; color: var(--quiet); font-weight: 600; }
"""
