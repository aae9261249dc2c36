"""Reads Bazel's build event files and reports the tests: logs of failures, skips, and a count.

Usage: test_report.py EVENTS.json...

Prints the tail of every failed test's log, a loud SKIPPED line with the reason for every test case
that did not run, and last the line "N passed, N failed". Exit code 1 when a case failed or nothing
ran. A test that ends without a result file (a crash, a time limit) is one failed case.
"""

import json
import os
import sys
import urllib.parse
import xml.etree.ElementTree

LOG_TAIL_LINES = 60


def local_path(uri):
    return urllib.parse.unquote(urllib.parse.urlparse(uri).path)


def read_results(path):
    """Yields (label, status, {output name: path}) for each test that `path` tells about."""
    with open(path, encoding="utf-8", errors="replace") as events:
        for line in events:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue  # Bazel was stopped while it wrote
            if "testResult" not in event:
                continue
            result = event["testResult"]
            outputs = {o["name"]: local_path(o.get("uri", ""))
                       for o in result.get("testActionOutput", [])}
            yield event["id"]["testResult"]["label"], result.get("status", "NO_STATUS"), outputs


def read_cases(path):
    """Returns [(name, "passed" | "failed" | "skipped", reason)] from a JUnit XML file, or None."""
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return None
    cases = []
    for case in root.iter("testcase"):
        name = ".".join(p for p in (case.get("classname"), case.get("name")) if p)
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            cases.append((name, "failed", ""))
        elif skipped is not None or case.get("result") in ("skipped", "suppressed"):
            reason = skipped.get("message") if skipped is not None else "disabled"
            cases.append((name, "skipped", " ".join((reason or "").split())))
        else:
            cases.append((name, "passed", ""))
    return cases


def read_lines(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            return log.read().splitlines()
    except OSError:
        return []


def report(results):
    """Prints what happened in `results`; returns (passed, failed)."""
    passed = failed = 0
    skips = []
    for label, status, outputs in results:
        lines = read_lines(outputs.get("test.log", ""))
        cases = read_cases(outputs.get("test.xml", "")) or []
        counts = {kind: sum(1 for c in cases if c[1] == kind)
                  for kind in ("passed", "failed", "skipped")}
        ok = status == "PASSED"
        passed += counts["passed"]
        failed += counts["failed"]
        if not ok:
            if counts["failed"] == 0:
                failed += 1
            print(f"\n==== {status}: {label} (last {LOG_TAIL_LINES} lines of its log)")
            print("\n".join(lines[-LOG_TAIL_LINES:]))
        elif not cases:
            passed += 1  # passed without writing a result file
        skips += [f"{label} {name}: {reason}" for name, kind, reason in cases if kind == "skipped"]
        if counts["skipped"] == 0:
            # Scripts say it in their log; GoogleTest's own lines are in the result file already.
            skips += [f"{label}: {line.strip()}" for line in lines if "SKIPPED" in line]
    if skips:
        print()
    for skip in skips:
        print(f"*** SKIPPED {skip}")
    return passed, failed


def main(paths):
    results = [result for path in paths if os.path.exists(path) for result in read_results(path)]
    passed, failed = report(results)
    if passed + failed == 0:
        print("no test ran", file=sys.stderr)
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
