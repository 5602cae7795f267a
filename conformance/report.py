"""Writes comparisons as Markdown and as one self-contained HTML page."""

import html

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2430 }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #dde3ea; vertical-align: top }
.equal { color: #1a7f37 } .within { color: #9a6700 } .different, .failed { color: #c0262d; font-weight: 600 }
.refused { color: #6a737d } code { font-size: .9em }
"""
SPANS = {"equal": "equal", "within tolerance": "within", "different": "different"}


def summary(results):
    """How many comparisons came out how, as (verdict, count)."""
    counts = {"equal": 0, "within tolerance": 0, "different": 0, "failed": 0, "refused by LiteRT": 0}
    for result in results:
        counts[overall(result)] += 1
    return [(verdict, count) for verdict, count in counts.items() if count]


def overall(result):
    """The worst verdict of one comparison."""
    if result.refusal:
        return "refused by LiteRT"
    if result.failure:
        return "failed"
    verdicts = {output.verdict for output in result.outputs}
    return next((v for v in ("different", "within tolerance") if v in verdicts), "equal")


def rows(result):
    """The table rows of one comparison: (model, fed, output, verdict, note)."""
    if result.refusal or result.failure:
        return [(result.model, result.fed, "", overall(result), result.refusal or result.failure)]
    labels = "; ".join(f"{runtime}: {label} {score:.4f}" for runtime, label, score in result.labels)
    made = []
    for k, output in enumerate(result.outputs):
        shape = "x".join(str(d) for d in output.shape)
        note = ", ".join(part for part in (output.error, labels if k == 0 else "") if part)
        made.append((result.model, result.fed, f"{output.name} {output.dtype} {shape}", output.verdict, note))
    return made


def layer_cells(layer):
    if isinstance(layer, str):
        return ("", "", "", "", layer)
    return (str(layer.position), layer.operator, layer.tensor, layer.verdict, layer.error)


HEAD = ("model", "fed", "output", "verdict", "error")
LAYER_HEAD = ("step", "operator", "tensor", "verdict", "error")


def write_markdown(path, results):
    def table(head, lines):
        yield "| " + " | ".join(head) + " |"
        yield "|" + " --- |" * len(head)
        yield from ("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)

    text = ["# Ferrolite and LiteRT", "", ", ".join(f"{count} {verdict}" for verdict, count in summary(results)), ""]
    text += table(HEAD, (row for result in results for row in rows(result)))
    for result in results:
        if result.layers:
            text += ["", f"## Where {result.model} ({result.fed}) parts", ""]
            text += table(LAYER_HEAD, map(layer_cells, result.layers))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")


def write_html(path, results):
    def cell(text, verdict=False):
        name = SPANS.get(text, text.split(" ")[0]) if verdict else ""
        return f'<td class="{name}">{html.escape(text)}</td>' if name else f"<td>{html.escape(text)}</td>"

    def table(head, lines):
        yield "<table><tr>" + "".join(f"<th>{title}</th>" for title in head) + "</tr>"
        for line in lines:
            yield "<tr>" + "".join(cell(str(text), verdict=k == 3) for k, text in enumerate(line)) + "</tr>"
        yield "</table>"

    text = ["<!doctype html><meta charset=utf-8><title>Ferrolite and LiteRT</title>", f"<style>{STYLE}</style>"]
    text += ["<h1>Ferrolite and LiteRT</h1>", "<p>" + ", ".join(f"{n} {v}" for v, n in summary(results)) + "</p>"]
    text += table(HEAD, (row for result in results for row in rows(result)))
    for result in results:
        if result.layers:
            text.append(f"<h2>Where {html.escape(result.model)} ({html.escape(result.fed)}) parts</h2>")
            text += table(LAYER_HEAD, map(layer_cells, result.layers))
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
