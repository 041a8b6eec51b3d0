"""What the throughput tool makes of figures. Its measurements themselves are no test: they have no right answer."""
import os
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

import report

LABELS = ["weir, MTU 1500", "pasta, MTU 65520", "veth, MTU 1500"]
CLEAN = {"retransmitted": 0, "probes": 0, "retransmitted_percent": 0.0, "gap_ms": 5.0, "lost": 0, "stalled": 0}


def bulk(gbit_s, cpu, **more):
    return {**CLEAN, "gbit_s": gbit_s, "cpu_s_per_gb": cpu, **more}


SCALE = {"flows": 1000, "bytes_a_flow": 1919, "open_ns": 10388, "packet_ns": 553, "turn_ns": 54.2, "pass_ns": 95}
RESULTS = {
    "up-1": {
        "weir, MTU 1500": [bulk(9.0, 0.4), bulk(30.0, 0.9), bulk(10.0, 0.3)],
        "pasta, MTU 65520": ["stalled: no byte for 10000 ms", bulk(2.0, 0.5), bulk(3.0, 0.7, lost=1234)],
        "veth, MTU 1500": [bulk(17.0, None)],
    },
    "beside-up": {"weir, MTU 1500": [{"p50_us": 900.0, "p99_us": 2000.0, "alone_p99_us": 100.0, "times": 20.0, "gbit_s": 15.0}]},
    "rr": {"weir, MTU 1500": [{"p50_us": 40.0, "p99_us": 90.0, "cpu_us": 25.0}], "pasta, MTU 65520": ["no answer"]},
    "idle-1000": {"weir, MTU 1500": [{
        "opened": 1000, "per_s": 6538.0, "bytes_a_flow": 1900.0, "cpu_percent": 0.0, "wakeups": 0, "p50_us": 41.0,
        "p99_us": 99.0, "cpu_us": 26.0, "failures": 2, "error": "Connection timed out"}]},
}
UDP = {"lost_percent": 0.25, "reordered": 3, "duplicates": 0}
UDP_RESULTS = {
    "up-1": {"weir, MTU 1500": [bulk(10.0, 0.3)], "pasta, MTU 65520": [bulk(3.0, 0.7)]},
    "up-1-v6": {"weir, MTU 1500": [bulk(9.0, 0.3)], "pasta, MTU 65520": ["stalled"]},
    "rr-v6": {"weir, MTU 1500": [{"p50_us": 44.0}]},
    "udp-up-64": {"weir, MTU 1500": [{**UDP, "packets_s": 123456.0, "cpu_us": 3.25}],
                  "veth, MTU 1500": [{**UDP, "packets_s": 400000.0, "cpu_us": None}]},
    "udp-up-64-v6": {"weir, MTU 1500": [{**UDP, "packets_s": 61728.0, "cpu_us": 4.0}]},
    "udp-parity-up-64": {"weir, MTU 1500": [
        {"cpu_us_4": four, "cpu_us_6": 4.0, "ratio": ratio, "least": 0.9, "most": 1.1} for four, ratio in ((4, 1.0), (3, 1.2), (5, 0.7))]},
    "udp-rr": {"weir, MTU 1500": [{"p50_us": 50.0, "p99_us": 99.0, "cpu_us": 20.0}]},
    "time-wait-30": {"weir, MTU 1500": [{"operations": 29000, "failures": 0, "error": "", "late": 700, "per_s": 966.7,
                                         "p50_us": 300.0, "p99_us": 900.0, "cpu_us": 150.0}]},
    "dns": {"weir, MTU 1500": [{"per_s": 56482.8, "cpu_us": 16.8, "paced_per_s": 4999.8, "p50_us": 72.0, "p99_us": 197.0,
                                "worst_us": 3315.0, "unanswered": 2}]},
}


class Report(unittest.TestCase):
    def setUp(self):
        self.tables = report.tables(RESULTS, LABELS)

    def row(self, title, label, tables=None):
        table, = [t for t in tables or self.tables if t.title.startswith(title)]
        cells, = [cells for row, cells in table.rows if row == label]
        return dict(zip(table.columns, cells))

    def test_b19_throughput_side_by_side(self):
        self.assertEqual([label for label, _cells in self.tables[0].rows], LABELS)
        self.assertEqual(self.row("Bulk data", "weir, MTU 1500"), {"up, 1 stream": "10 (0.4)"})  # the medians
        self.assertEqual(self.row("Bulk data", "veth, MTU 1500"), {"up, 1 stream": "17"})  # no process, no CPU
        self.assertEqual(self.row("A round trip beside", "weir, MTU 1500"), {
            "up: p50, µs": "900", "p99": "2,000", "p99 alone": "100", "times": "20", "Gbit/s beside": "15"})
        self.assertEqual(self.row("Round trips", "weir, MTU 1500"), {"RR p50, µs": "40", "p99": "90", "CPU µs each": "25"})
        self.assertEqual(self.row("1,000 idle", "weir, MTU 1500")["bytes each"], "1,900")

    def test_b19_udp_has_tables_of_its_own(self):
        tables = report.tables(UDP_RESULTS, LABELS)
        self.assertEqual(self.row("UDP:", "weir, MTU 1500", tables), {"up, 64 bytes": "123,456 (3.2)"})
        self.assertEqual(self.row("UDP:", "veth, MTU 1500", tables), {"up, 64 bytes": "400,000"})  # no process, no CPU
        self.assertEqual(self.row("Beside it: lost", "weir, MTU 1500", tables), {"up, 64 bytes": "0.25 %; 3; 0"})
        self.assertEqual(self.row("UDP on both families", "weir, MTU 1500", tables), {"up, 64 bytes": "4; 4; 1 (0.9 to 1.1)"})
        self.assertEqual(self.row("Round trips on UDP", "weir, MTU 1500", tables)["p99"], "99")

    def test_ipv6_stands_beside_ipv4(self):
        tables = report.tables(UDP_RESULTS, LABELS)
        self.assertEqual(self.row("IPv6", "up, 1 stream, Gbit/s", tables), {
            "weir, MTU 1500": "9 (0.9)", "pasta, MTU 65520": "failed"})
        self.assertEqual(self.row("IPv6", "RR p50, µs", tables), {
            "weir, MTU 1500": "44", "pasta, MTU 65520": ""})  # nothing to compare with; not run
        self.assertEqual(self.row("IPv6", "UDP up, 64 bytes, per s", tables)["weir, MTU 1500"], "61,728 (0.5)")
        self.assertEqual(self.row("Bulk data", "weir, MTU 1500", tables), {"up, 1 stream": "10 (0.3)"})  # IPv4's alone

    def test_t117_answers_from_the_cache(self):
        self.assertEqual(self.row("The resolver", "weir, MTU 1500", report.tables(UDP_RESULTS, LABELS)), {
            "per s": "56,483", "CPU µs each": "16.8", "answered of 5,000 a second": "5,000", "p50, µs": "72", "p99": "197",
            "worst": "3,315"})
        self.assertIn(("dns", "weir, MTU 1500", "2 questions without an answer"), report.failures(UDP_RESULTS))

    def test_too_few_connections_are_a_failure(self):
        self.assertIn(("time-wait-30", "weir, MTU 1500", "700 connections too few in the time"), report.failures(UDP_RESULTS))
        self.assertEqual(self.row("1,000 connections", "weir, MTU 1500", report.tables(UDP_RESULTS, LABELS))["per s"], "966.7")

    def test_a_failed_round_does_not_count_and_is_told(self):
        self.assertEqual(self.row("Bulk data", "pasta, MTU 65520"), {"up, 1 stream": "2.5 (0.6)"})
        self.assertEqual(set(self.row("Round trips", "pasta, MTU 65520").values()), {"failed"})
        self.assertEqual([(case, label) for case, label, _text in report.failures(RESULTS)], [
            ("up-1", "pasta, MTU 65520"), ("up-1", "pasta, MTU 65520"), ("rr", "pasta, MTU 65520"),
            ("idle-1000", "weir, MTU 1500")])
        self.assertIn("1,234 bytes", report.as_text(self.tables, RESULTS))

    def test_what_was_not_run_has_no_place(self):
        self.assertEqual(len(self.tables), 5)
        self.assertNotIn("down", report.as_text(self.tables, RESULTS))

    def test_figures_are_readable(self):
        for value, text in ((None, "–"), (0, "0"), (0.0123, "0.0123"), (0.5, "0.5"), (12.345, "12.3"), (1234.5, "1,234"),
                            (0.00001, "0.000010")):
            self.assertEqual(report.show(value), text)

    def test_the_documents_are_written(self):
        about = report.About(command="./dev bench", rounds=3, seconds=5, versions=["weir 1", "pasta 2"])
        with tempfile.TemporaryDirectory() as directory:
            report.write(directory, about, self.tables, RESULTS, LABELS)
            with open(os.path.join(directory, "benchmarks.md"), encoding="utf-8") as file:
                text = file.read()
            picture = ElementTree.parse(os.path.join(directory, "benchmarks.svg")).getroot()
        for part in ("| weir, MTU 1500 | 10 (0.4) |", "`./dev bench`", "- pasta 2\n", "stalled: no byte"):
            self.assertIn(part, text)
        self.assertEqual(len(picture.findall("{*}rect")), 1 + 3 + 2)  # the ground, Gbit/s of three, CPU of two

    def test_h12_simulated_sockets_have_a_part_of_their_own(self):
        scale = {"scale": {"weir, 1,000 flows": [SCALE, {**SCALE, "packet_ns": 999}, {**SCALE, "packet_ns": 600}]}}
        about = report.About(command="./dev bench scale", rounds=3, seconds=5, versions=[])
        texts = []
        with tempfile.TemporaryDirectory() as directory:
            for results, labels in ((RESULTS, LABELS), (scale, []), (RESULTS, LABELS), (scale, [])):
                report.write(directory, about, report.tables(results, labels), results, labels)
                with open(os.path.join(directory, "benchmarks.md"), encoding="utf-8") as file:
                    texts.append(file.read())
        row = "| weir, 1,000 flows | 1,919 | 10,388 | 600 | 54.2 | 95 |"
        self.assertEqual([text.count(row) for text in texts], [0, 1, 1, 1])
        self.assertEqual([text.count("| weir, MTU 1500 | 10 (0.4) |") for text in texts], [1, 1, 1, 1])
        self.assertEqual(texts[1], texts[2])  # a run of the other keeps it, in its place
        self.assertLess(texts[3].index(row), texts[3].index("## What went wrong"))

    def test_b19_each_part_is_kept_by_runs_of_others(self):
        policy = {"policy-judge": {"address, no rule": [{"rules_20": 245.2, "rules_1000": 264.2, "rules_4090": 271.6}]},
                  "policy-read": {"ClientHello": [{"bytes": 1991, "ns": 235}]}}
        scale = {"scale": {"weir, 1,000 flows": [SCALE]}}
        about = report.About(command="./dev bench policy", rounds=3, seconds=5, versions=[])
        with tempfile.TemporaryDirectory() as directory:
            for results, labels in ((RESULTS, LABELS), (policy, []), (scale, []), (policy, []), (RESULTS, LABELS)):
                report.write(directory, about, report.tables(results, labels), results, labels)
            with open(os.path.join(directory, "benchmarks.md"), encoding="utf-8") as file:
                text = file.read()
        for part in ("| address, no rule | 245 | 264 | 272 |", "| ClientHello | 1,991 | 235 |", "| weir, 1,000 flows | 1,919 |"):
            self.assertEqual(text.count(part), 1)


if __name__ == "__main__":
    unittest.main()
