"""Small drawings for reports, as SVG that takes its colours from the page."""

import math
from html import escape


def points(data, width, height, least, pad=4):
    """Scale [[x, y], ...] into a box; y spans at least that share of the greatest."""
    xs, ys = [p[0] for p in data], [p[1] for p in data]
    x_span = max(xs) - min(xs) or 1
    y_span = max(max(ys) - min(ys), least * max(ys)) or 1
    low = (max(ys) + min(ys) - y_span) / 2
    return " ".join(f"{pad + (x - min(xs)) / x_span * (width - 2 * pad):.1f},"
                    f"{height - pad - (y - low) / y_span * (height - 2 * pad):.1f}"
                    for x, y in data)


def curve(data, label, width=220, height=50, least=0):
    """A line without axes; label says in words what it shows."""
    if not data:
        return ""
    if len(data) == 1:
        data = [[data[0][0] - 1, data[0][1]], data[0]]
    return (f'<svg class="curve" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{escape(label)}">'
            f'<title>{escape(label)}</title><polyline points="'
            f'{points(data, width, height, least)}"/></svg>')


def rate(low, middle, high, label, width=160):
    """A share between 0 and 1 with its interval."""
    def x(v):
        return 5 + v * (width - 10)

    return (f'<svg class="rate" viewBox="0 0 {width} 14" width="{width}" '
            f'height="14" role="img" aria-label="{escape(label)}">'
            f'<title>{escape(label)}</title>'
            f'<line class="axis" x1="3" x2="{width - 3}" y1="7" y2="7"/>'
            f'<line class="range" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="7" y2="7"/>'
            f'<circle cx="{x(middle):.1f}" cy="7" r="4"/></svg>')


def duration(us):
    """Microseconds for people."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{us / size:.3g} {unit}"
    return f"{us:.0f} µs"


LEFT, RIGHT, ROW, GAP, HEAD = 78, 26, 13, 9, 22


def axis(low, high):
    """Powers of ten that enclose both."""
    first = math.floor(math.log10(max(low, 1)))
    last = max(math.ceil(math.log10(max(high, 1))), first + 1)
    return [10 ** n for n in range(first, last + 1)]


def ranges(groups, label, every, width=460):
    """Percentiles on a logarithmic axis: {group: [(name, p50, p90, p99), ...]}.

    The axis is long enough for every value, also those of other drawings.
    A bar goes from the median to the 99th percentile, a tick is at the 90th.
    """
    ticks = axis(min(every), max(every))
    low, span = math.log10(ticks[0]), math.log10(ticks[-1]) - math.log10(ticks[0])
    height = HEAD + sum(len(r) * ROW + GAP for r in groups.values()) + 4

    def x(us):
        return LEFT + (math.log10(max(us, 1)) - low) / span * (width - LEFT - RIGHT)

    out = [f'<svg class="ranges" viewBox="0 0 {width} {height}" role="img" '
           f'aria-label="{escape(label)}">']
    for t in ticks:
        out.append(f'<line class="axis" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{HEAD - 6}" '
                   f'y2="{height}"/><text class="tick" x="{x(t):.1f}" y="{HEAD - 10}">'
                   f'{duration(t)}</text>')
    y = HEAD
    for group, rows in groups.items():
        out.append(f'<text class="group" x="0" y="{y + len(rows) * ROW / 2 + 4:.1f}">'
                   f'{escape(group)}</text>')
        for i, (name, p50, p90, p99) in enumerate(rows):
            mid = y + ROW / 2
            tip = (f"{group}, {name} at once: median {duration(p50)}, 90 % "
                   f"{duration(p90)}, 99 % {duration(p99)}")
            out.append(
                f'<g class="n{i}"><title>{escape(tip)}</title>'
                f'<line class="range" x1="{x(p50):.1f}" x2="{x(p99):.1f}" '
                f'y1="{mid}" y2="{mid}"/>'
                f'<circle cx="{x(p50):.1f}" cy="{mid}" r="3.5"/>'
                f'<line class="p90" x1="{x(p90):.1f}" x2="{x(p90):.1f}" '
                f'y1="{mid - 4}" y2="{mid + 4}"/></g>')
            y += ROW
        y += GAP
    return "".join(out) + "</svg>"
