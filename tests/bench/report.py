#!/usr/bin/python3
"""Tells the results of a benchmark: as text, in docs/PERFORMANCE.md, and as a plot.

    report.py results.json                 prints the tables
    report.py results.json --docs          writes them into docs/PERFORMANCE.md, and docs/performance.svg
"""
import collections
import json
import os
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAMES = dict(tim3="TIM3", postgres="PostgreSQL", redis="Redis")
MODEL_LOAD = "16,000 outstanding"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
# a load of another system, and the one of TIM3 that is set against it
AGAINST = {"1 client": "1 client", "16 clients": "16 clients", "64 clients": "64 clients",
           "batches of 1,000": "1,000 outstanding", "1,000 outstanding": "1,000 outstanding"}


def name(row):
    return NAMES[row["system"]] + (f" ({row['variant']})" if row.get("variant") else "")


def middle(row, field):
    values = [one[field] for one in row["rounds"] if field in one]
    return statistics.median(values) if values else None


def middle_of(values):
    return statistics.median(values) if values else None


def show(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def show_ms(value):
    return show(value, 2 if value is not None and value < 10 else 1 if value is not None and value < 100 else 0)


def show_ratio(value):
    return "" if value is None else f"{value:.2f}"


class Table:
    """Columns whose name begins with + are set to the right."""

    def __init__(self, title, columns, notes=()):
        self.title, self.columns, self.rows, self.notes = title, columns, [], list(notes)

    def add(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def text(self):
        heads = [column.lstrip("+") for column in self.columns]
        widths = [max(map(len, cells)) for cells in zip(heads, *self.rows)]
        lines = [self.title]
        for cells in [heads, *self.rows]:
            line = "  ".join(cell.rjust(width) if column[0] == "+" else cell.ljust(width)
                             for cell, width, column in zip(cells, widths, self.columns))
            lines.append("  " + line.rstrip())
        return "\n".join(lines + ["  " + note for note in self.notes]) + "\n"

    def markdown(self):
        lines = [f"**{self.title}**", "", "| " + " | ".join(column.lstrip("+") for column in self.columns) + " |",
                 "|" + "|".join("---:" if column[0] == "+" else "---" for column in self.columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n" + "".join(f"\n{note}\n" for note in self.notes)


def ratio(row, rows):
    """How many times as many mints TIM3 does under the same load, round by round; of TIM3's other variants, too."""
    if row["system"] == "tim3" and row["variant"] == "split":
        return None
    wanted = row["load"] if row["system"] == "tim3" else AGAINST[row["load"]]
    for other in rows:
        if other["system"] == "tim3" and other["variant"] == "split" and other["load"] == wanted:
            pairs = zip(other["rounds"], row["rounds"])
            return middle_of([ours["per_second"] / theirs["per_second"] for ours, theirs in pairs])
    return None


def distribution(block):
    return "uniformly" if not block["zipf"] else f"by Zipf's law, {block['zipf']}"


def mints_table(block):
    table = Table(f"Durable mints, {block['accounts']:,} accounts drawn {distribution(block)}; medians of "
                  f"{len(block['rows'][0]['rounds'])} rounds of {block['seconds']} s",
                  ["system", "load", "+mints/s", "+TIM3 / this", "+p50 ms", "+p99 ms", "+p99.9 ms", "+CPU µs/mint",
                   "+client µs/mint", "+written B/mint", "+device B/mint", "+memory MB"])
    for row in block["rows"]:
        table.add(name(row), row["load"], show(middle(row, "per_second")), show_ratio(ratio(row, block["rows"])),
                  show_ms(middle(row, "p50_ms")), show_ms(middle(row, "p99_ms")), show_ms(middle(row, "p999_ms")),
                  show(middle(row, "cpu_us"), 1), show(middle(row, "client_cpu_us"), 1),
                  show(middle(row, "written_bytes")), show(middle(row, "device_bytes")),
                  show(max(one["memory_mb"] for one in row["rounds"])))
    return table


def agents_table(block, field, title, digits):
    rows = [row for row in block["rows"] if row["system"] == "tim3"]
    if not rows:
        return None
    agents = sorted({agent for row in rows for one in row["rounds"] for agent, used in one[field].items() if used})
    several = len({row["variant"] for row in rows}) > 1
    table = Table(title, ["agent"] + ["+" + row["load"] + (f" ({row['variant']})" if several else "") for row in rows])
    for agent in agents:
        table.add(agent, *(show(middle_of([one[field].get(agent, 0.0) for one in row["rounds"]]), digits)
                           for row in rows))
    return table


def model_table(block):
    """What the measured CPU times allow where there are CPUs enough: each process has one to itself, and the busiest
    sets the pace. Ledgers are split into shards, and coordinators are added; the others stay one each."""
    table = Table("A model, not measured: CPUs enough, each process on one of its own",
                  ["TIM3", "+shards", "+coordinators", "+mints/s at most", "the busiest", "+CPUs in use"])
    for row in block["rows"]:
        if row["system"] != "tim3" or row["load"] != MODEL_LOAD:
            continue
        roles = collections.Counter()
        for agent in row["rounds"][0]["cpu_us_by_process"]:
            used = middle_of([one["cpu_us_by_process"].get(agent, 0.0) for one in row["rounds"]])
            hosts = row["variant"] == "merged" and agent == "coordinator.TIM3.0"
            roles["ledgers" if hosts else agent.split(".")[0]] += used
        for shards, coordinators in ((1, 1), (2, 2), (4, 4), (8, 8)):
            parts = dict(lock_manager=shards, token_manager=shards, ledgers=shards, coordinator=coordinators)
            each = {role: used / parts.get(role, 1) for role, used in roles.items()}
            busiest = max(each, key=each.get)
            most = 1e6 / each[busiest]
            table.add(row["variant"], shards, coordinators, show(most), busiest.replace("_", " "),
                      show(most * sum(roles.values()) / 1e6, 1))
    return table if table.rows else None


def rates_table(block):
    table = Table("Mints begun at a rate, whatever is answered meanwhile",
                  ["system", "load", "+begun/s", "+completed/s", "+of the peak", "+overloaded", "+not begun", "+p50 ms",
                   "+p99 ms", "+p99.9 ms"])
    for row in block["rates"]:
        def total(read):
            return show(sum(read(one) for one in row["rounds"]))
        table.add(name(row), row["load"], show(middle(row, "rate")), show(middle(row, "per_second")),
                  show_ratio(middle(row, "of_peak")), total(lambda one: one["errors"].get("overloaded", 0)),
                  total(lambda one: one["not_begun"]),
                  show_ms(middle(row, "p50_ms")), show_ms(middle(row, "p99_ms")), show_ms(middle(row, "p999_ms")))
    return table


def limits_table(results):
    table = Table("What the machine does one at a time, in the same run",
                  ["what", "+median a second", "+least", "+most"])
    labels = dict(fdatasync_per_second="fdatasync of a small append to a file of fixed size",
                  scattered_pages_per_second="scattered pages of 4 KiB, an fdatasync behind each 1,000",
                  lmdb_commits_per_second="small durable commits of LMDB",
                  zmq_round_trips_per_second="round trips over ZeroMQ (ipc, DEALER to ROUTER)")
    for key, label in labels.items():
        values = [one[key] for one in results["limits"]]
        table.add(label, show(statistics.median(values)), show(min(values)), show(max(values)))
    return table


def recovery_table(results):
    table = Table("kill -9 of the token manager, then a start: until the first new mint is completed",
                  ["TIM3", "+accounts with tokens", "+all stores MB", "+median ms", "+least ms", "+most ms",
                   "+a mint without kill, median ms"])
    for row in results["recovery"]:
        took = [seconds * 1000 for seconds in row["took_s"]]
        table.add(row["variant"], show(row["accounts"]), show(row["store_mb"]), show_ms(statistics.median(took)),
                  show_ms(min(took)), show_ms(max(took)), show_ms(1000 * statistics.median(row["without_s"])))
    return table


def scale_table(results):
    rows = results["scale"]
    table = Table("More coordinators, more shards", ["TIM3", "load", "+mints/s", "+against the first", "+p99 ms",
                                                     "+CPU µs/mint"])
    for row in rows:
        first = next(other for other in rows if other["load"] == row["load"])
        change = middle_of([a["per_second"] / b["per_second"] for a, b in zip(row["rounds"], first["rounds"])])
        table.add(row["variant"], row["load"], show(middle(row, "per_second")), show_ratio(change),
                  show_ms(middle(row, "p99_ms")), show(middle(row, "cpu_us"), 1))
    return table


def tables(results):
    found = []
    for block in results.get("mints", []):
        found += [mints_table(block), agents_table(block, "cpu_us_by_process", "TIM3's CPU µs per mint, by agent", 1),
                  agents_table(block, "written_bytes_by_process", "TIM3's bytes written per mint, by agent", 0),
                  agents_table(block, "commits_by_process", "TIM3's commits per mint, by agent", 3)]
        if block.get("rates"):
            found.append(rates_table(block))
    if results.get("mints"):
        found.append(model_table(results["mints"][0]))
    if results.get("recovery"):
        found.append(recovery_table(results))
    if results.get("scale"):
        found.append(scale_table(results))
    if results.get("limits"):
        found.append(limits_table(results))
    return [table for table in found if table]


def machine_lines(results):
    machine = results["machine"]
    load = machine["load_average"]
    lines = [f"{results['when']}, TIM3 {machine['version']} ({machine['commit']})",
             f"{machine['cpus']} CPUs ({machine['cpu']}), {machine['memory_gb']} GB, Linux {machine['kernel']}; data on "
             f"{machine['filesystem']}",
             f"load average {load[0]} before, {load[1]} at most, {load[2]} after; {machine['note']}"]
    lines += [f"{NAMES[key]}: {text}" for key, text in results["versions"].items()]
    lines += [f"not measured: {text}" for text in results["missing"]]
    return lines


def verified_lines(results):
    return [f"{NAMES[one['system']]}, {one['what']}: {one['found']}" for one in results["verified"]]


def print_text(results):
    print("\n".join(machine_lines(results)) + "\n")
    for table in tables(results):
        print(table.text())
    for block in results.get("mints", []):
        for system, size in block.get("flushed_bytes", {}).items():
            print(f"{NAMES[system]} wrote another {size:,.0f} bytes per mint afterwards (checkpoint)")
    print("verified:")
    for line in verified_lines(results):
        print("  " + line)


def markdown(results):
    parts = ["\n".join("- " + line for line in machine_lines(results)) + "\n"]
    parts += [table.markdown() for table in tables(results)]
    for block in results.get("mints", []):
        parts += [f"{NAMES[system]} wrote another {size:,.0f} bytes per mint at the checkpoint after the rounds.\n"
                  for system, size in block.get("flushed_bytes", {}).items()]
    parts.append("Verified after the rounds:\n\n" + "\n".join("- " + line for line in verified_lines(results)) + "\n")
    return "\n".join(parts)


# -------------------------------------------------------------------------------------------------- plot

def plot_script(block, target):
    """Bars by load and system; the lines are the least and the most of the rounds."""
    order = ["1 client", "16 clients", "64 clients", "1,000 outstanding", "16,000 outstanding"]
    systems = []
    for row in block["rows"]:
        if name(row) not in systems:
            systems.append(name(row))
    place = {"batches of 1,000": "1,000 outstanding"}
    lines = ["$data << END"]
    for load in order:
        cells = ['"' + load.replace(" ", "\\n") + '"']
        for system in systems:
            rates = [one["per_second"] for row in block["rows"] for one in row["rounds"]
                     if name(row) == system and place.get(row["load"], row["load"]) == load]
            cells += [f"{statistics.median(rates):.0f} {min(rates):.0f} {max(rates):.0f}" if rates else "NaN NaN NaN"]
        lines.append(" ".join(cells))
    lines += ["END", "set terminal svg size 760,400 font 'sans-serif,12' background '#ffffff'",
              f"set output '{target}'", "set style data histograms",
              "set style histogram errorbars gap 1 lw 1", "set errorbars 0.6 lc rgb '#333333'",
              "set style fill solid 0.85 noborder", "set logscale y",
              "set yrange [10:*]", "set grid ytics lc '#dddddd'", "set key top left", "set border 3",
              "set tics nomirror", "set bmargin 3.5", "set ylabel 'durable mints per second'",
              f"set title '{block['accounts']:,} accounts; at 1,000: TIM3 and Redis outstanding, PostgreSQL in batches'"]
    colours = ["#1f6f8b", "#c96b2c", "#7a8f3c", "#6b5b95"]
    # medians are put in the middle of their own line: least and most are in the columns behind
    plots = [f"$data using {3 * i + 2}:{3 * i + 3}:{3 * i + 4}{':xtic(1)' if i == 0 else ''} title "
             f"'{system}' lc rgb '{colours[i % len(colours)]}'" for i, system in enumerate(systems)]
    return "\n".join(lines + ["plot " + ", ".join(plots)]) + "\n"


def plot(results, target):
    if not results.get("mints"):
        return
    if not shutil.which("gnuplot"):
        print("no plot: gnuplot is not installed (scripts/install-deps --bench)", file=sys.stderr)
        return
    subprocess.run(["gnuplot"], input=plot_script(results["mints"][0], target), text=True, check=True)


def write_docs(results):
    path = os.path.join(ROOT, "docs", "PERFORMANCE.md")
    with open(path) as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    text = f"{before}{BEGIN}\n{markdown(results)}{END}{after}"
    with open(path, "w") as file:
        file.write(text)
    plot(results, os.path.join(ROOT, "docs", "performance.svg"))


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-") or sys.argv[2:] not in ([], ["--docs"]):
        sys.exit(__doc__)
    with open(sys.argv[1]) as file:
        results = json.load(file)
    if sys.argv[2:]:
        write_docs(results)
    else:
        print_text(results)


if __name__ == "__main__":
    main()
