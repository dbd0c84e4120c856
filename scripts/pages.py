# SPDX-License-Identifier: Apache-2.0
"""Tables, line charts and marked blocks of the pages in docs/ that programs write."""

import math
import re

COLORS = ["#1b6ca8", "#c8553d", "#588157", "#8d6a9f", "#b08900", "#4a4e69"]
DASHES = ["none", "2 3", "9 4", "9 3 2 3", "none", "4 4"]  # curves that coincide stay visible


def number(x, digits=3):
    if x is None:
        return "-"
    if x >= 100:
        return f"{x:.0f}"
    return f"{x:.{max(0, digits - 1 - math.floor(math.log10(x)))}f}" if x > 0 else "0"


def fixed(x):
    return "-" if x is None else f"{x:.2f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _steps(low, high, most):
    """Round numbers from low to high, at most about `most`."""
    step = next(m * 10.0 ** e for e in range(-6, 7) for m in (1, 2, 5) if (high - low) / (m * 10.0 ** e) <= most)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _decades(low, high):
    """1, 2 and 5 of every power of ten from low to high."""
    return [m * 10.0 ** e for e in range(-12, 12) for m in (1, 2, 5) if low <= m * 10.0 ** e <= high]


def plot(path, title, x_label, y_label, curves, log_x=True, log_y=False, from_y=None, lines=True):
    """Lines; curves is {name: [(x, y), ...]}, or [(x, y, low, high), ...] with intervals. A logarithmic x axis is
    labelled at every x. Without `lines`, a cloud of points."""
    bars = {n: [p for p in c if len(p) == 4 and (p[2] > 0 or not log_y)] for n, c in curves.items()}
    curves = {n: [p[:2] for p in c if p[1] is not None and (p[1] > 0 or not log_y)] for n, c in curves.items()}
    curves = {n: c for n, c in curves.items() if c}
    if not curves:
        return False
    width, height, left, top, right, bottom = 640, 380, 64, 40, 190, 52
    xs = sorted({x for c in curves.values() for x, _ in c})
    ys = [y for c in curves.values() for _, y in c] + [y for b in bars.values() for p in b for y in p[2:]]
    low, high = (min(ys) / 1.2, max(ys) * 1.2) if log_y else (min(0.0, 1.08 * min(ys)), max(ys) * 1.08)
    if from_y is not None:
        low = from_y
    fx = math.log if log_x else float
    fy = math.log if log_y else float

    def px(x):
        span = fx(xs[-1]) - fx(xs[0]) or 1.0
        return left + (fx(x) - fx(xs[0])) / span * (width - left - right)

    def py(y):
        return height - bottom - (fy(y) - fy(low)) / (fy(high) - fy(low)) * (height - top - bottom)

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           f'font-family="sans-serif" font-size="12" role="img" aria-label="{title}">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="22" font-size="14" font-weight="bold">{title}</text>']
    if log_y:
        ticks = _decades(low, high)
        if len(ticks) > 12:
            ticks = [t for t in ticks if f"{t:.0e}"[0] == "1"]
    else:
        ticks = _steps(low, high, 8)
    for y in ticks:
        svg.append(f'<line x1="{left}" x2="{width - right}" y1="{py(y):.1f}" y2="{py(y):.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{py(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in xs if log_x and lines else _decades(xs[0], xs[-1]) if log_x else _steps(xs[0], xs[-1], 8):
        svg.append(f'<text x="{px(x):.1f}" y="{height - bottom + 18}" text-anchor="middle">{x:g}</text>')
    for i, (name, c) in enumerate(curves.items()):
        color = COLORS[i % len(COLORS)]
        points = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in sorted(c))
        dash = f'stroke-dasharray="{DASHES[i % len(DASHES)]}"'
        if lines:
            svg.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2" {dash}/>')
        svg += [f'<line x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{py(max(a, low)):.1f}" y2="{py(b):.1f}" stroke="{color}" '
                f'stroke-width="1.5" opacity="0.6"/>' for x, _, a, b in bars.get(name, ())]
        if len(c) <= 20 or not lines:
            svg += [f'<circle cx="{px(x):.1f}" cy="{py(y):.1f}" r="3" fill="{color}"/>' for x, y in c]
        y_key = top + 10 + 20 * i
        svg.append((f'<line x1="{width - right + 12}" x2="{width - right + 32}" y1="{y_key}" y2="{y_key}" '
                    f'stroke="{color}" stroke-width="3" {dash}/>' if lines else
                    f'<circle cx="{width - right + 22}" cy="{y_key}" r="4" fill="{color}"/>') +
                   f'<text x="{width - right + 38}" y="{y_key + 4}">{name}</text>')
    svg.append(f'<text x="{(left + width - right) / 2}" y="{height - 12}" text-anchor="middle">{x_label}</text>')
    svg.append(f'<text transform="translate(16 {(top + height - bottom) / 2}) rotate(-90)" '
               f'text-anchor="middle">{y_label}</text></svg>')
    path.write_text("\n".join(svg) + "\n")
    return True


def fill(path, block, text):
    """Replaces what stands between <!-- block --> and <!-- end --> of a page."""
    page = path.read_text()
    pattern = re.compile(rf"(<!-- {re.escape(block)} -->\n).*?(<!-- end -->)", re.S)
    if len(pattern.findall(page)) != 1:
        raise SystemExit(f"{path}: expected one block {block!r}")
    path.write_text(pattern.sub(lambda m: m[1] + "\n" + text.strip() + "\n\n" + m[2], page))
