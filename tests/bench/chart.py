"""Bars as SVG: nothing but text, lines and rectangles."""
import dataclasses
from xml.sax.saxutils import escape

COLUMNS, WIDTH, MARGIN = 2, 430, 20
TITLE_HEIGHT, BAR_HEIGHT, BAR_STEP, LABEL_WIDTH, VALUE_WIDTH = 30, 14, 20, 160, 50
OURS, PEERS, LIMITS = "#0b6e99", "#b8b2a7", "#e4e0d9"


@dataclasses.dataclass
class Panel:
    title: str
    bars: list  # of (label, value)


def _colour(label):
    if label.startswith("weir"):
        return OURS
    return LIMITS if label.startswith(("veth", "loopback")) else PEERS


def _panel(panel, x, y):
    parts = [f'<text x="{x}" y="{y + 16}" font-weight="bold">{escape(panel.title)}</text>']
    largest = max(value for _label, value in panel.bars) or 1
    for number, (label, value) in enumerate(panel.bars):
        top = y + TITLE_HEIGHT + number * BAR_STEP
        length = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) * value / largest
        left = x + LABEL_WIDTH
        parts += [
            f'<text x="{left - 6}" y="{top + 11}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{BAR_HEIGHT}" fill="{_colour(label)}"/>',
            f'<text x="{left + length + 4:.1f}" y="{top + 11}">{value:.3g}</text>']
    return parts


def svg(panels):
    """The panels in two columns, row by row."""
    parts, y = [], MARGIN
    for row in range(0, len(panels), COLUMNS):
        shown = panels[row:row + COLUMNS]
        for column, panel in enumerate(shown):
            parts += _panel(panel, MARGIN + column * (WIDTH + MARGIN), y)
        y += TITLE_HEIGHT + max(len(p.bars) for p in shown) * BAR_STEP + MARGIN
    width = MARGIN + COLUMNS * (WIDTH + MARGIN)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{y}" fill="#fff"/>', *parts, "</svg>", ""])
