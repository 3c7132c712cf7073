#!/usr/bin/python3
"""A terminal's screen as SVG: screen.py COLUMNS LINES, of what `tmux
capture-pane -e` prints.

Understands what `shmallocctl top` uses: bold, dim, reverse, the eight colours.
"""
import html
import re
import sys
import unicodedata

WIDTH, HEIGHT, SIZE = 8.4, 18, 14
NO_BREAK = "\u00a0"  # spaces beside each other would be one
INK, PAPER = "#d8dee9", "#161b22"
COLORS = ["#484f58", "#ff7b72", "#7ee787", "#e3b341",
          "#79c0ff", "#d2a8ff", "#76e3ea", "#d8dee9"]


def look_change(look, codes):
    for code in [int(c or 0) for c in codes.split(";")]:
        if code == 0:
            look = {}
        elif code in (1, 2, 7):
            look = {**look, {1: "bold", 2: "dim", 7: "reverse"}[code]: True}
        elif code in (22, 27):
            look = {k: v for k, v in look.items()
                    if k not in {22: ("bold", "dim"), 27: ("reverse",)}[code]}
        elif 30 <= code < 38:
            look = {**look, "ink": COLORS[code - 30]}
        elif 40 <= code < 48:
            look = {**look, "paper": COLORS[code - 40]}
        elif code in (39, 49):
            look = {k: v for k, v in look.items()
                    if k != {39: "ink", 49: "paper"}[code]}
    return look


def runs(line, look):
    """Pairs of a look and text; and the look at the end."""
    found = []
    for part in re.split(r"(\x1b\[[0-9;]*m|\x1b\(B|\x0f|\x0e)", line):
        match = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
        if match:
            look = look_change(look, match[1])
        elif part and part[0] >= " ":
            found.append((look, part))
    return found, look


def run_draw(look, text, x, y):
    ink, paper = look.get("ink", INK), look.get("paper")
    if look.get("reverse"):
        ink, paper = paper or PAPER, look.get("ink", INK)
    n = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    if paper:
        yield (f'<rect x="{x:.1f}" y="{y}" width="{n * WIDTH:.1f}" '
               f'height="{HEIGHT}" fill="{paper}"/>')
    if text.strip():
        style = ' font-weight="bold"' if look.get("bold") else ""
        style += ' opacity="0.6"' if look.get("dim") else ""
        yield (f'<text x="{x:.1f}" y="{y + 13}" fill="{ink}"{style} '
               f'textLength="{n * WIDTH:.1f}" lengthAdjust="spacing">'
               f"{html.escape(text).replace(' ', NO_BREAK)}</text>")


def main():
    columns, lines = int(sys.argv[1]), int(sys.argv[2])
    width, height = columns * WIDTH + 24, lines * HEIGHT + 24
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
          f'height="{height}" font-family="DejaVu Sans Mono, Menlo, Consolas, '
          f'monospace" font-size="{SIZE}">')
    print(f'<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>')
    look = {}
    for i, line in enumerate(sys.stdin.read().split("\n")[:lines]):
        found, look = runs(line, look)
        x = 12
        for at, text in found:
            for drawn in run_draw(at, text, x, 12 + i * HEIGHT):
                print(drawn)
            x += len(text) * WIDTH
    print("</svg>")


main()
