"""Style rules of weir that a compiler does not check, over every source file of the workspace.

- size: at most 500 lines a file and 70 lines a function.
- layers: an #include points only along the arrows of LAYERS.
- RFC citations are written "RFC 9293" or "RFC 9293 \u00a73.10.7.4", and never name the TCP
  specification that RFC 9293 replaced.

Each check is a function from (path, text) to a list of (line number, message); tidy_test.py runs them.
"""

import ast
import os
import re

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70

CXX = (".h", ".cc", ".c", ".inc")
PYTHON = (".py", ".bzl")  # Starlark is parsed by Python's own parser
SIZED = CXX + PYTHON + (".sh",)
CITING = SIZED + (".def", ".md")

SKIPPED_DIRECTORIES = {".git", "__pycache__"}

_PROTOCOL = ["runtime/base", "runtime/buffer", "netstack/*", "netstack/wire", "netstack/ip",
             "netstack/udp", "netstack/tcp"]

# Folder -> what its files may include. "x/y" stands for everything below that folder, "x/*" for the
# files directly in x, a name with a dot for one file. The longest matching folder decides.
LAYERS = {
    "runtime/base": ["runtime/base"],
    "runtime/buffer": ["runtime/base", "runtime/buffer"],
    "runtime/core": ["runtime/base", "runtime/buffer", "runtime/core"],
    "runtime/io": ["runtime/base", "runtime/buffer", "runtime/core", "runtime/io"],
    "xdp": ["runtime/base", "runtime/buffer", "xdp"],
    "netstack": _PROTOCOL,
    "netstack/wire": _PROTOCOL,
    "netstack/ip": _PROTOCOL,
    "netstack/udp": _PROTOCOL,
    "netstack/tcp": _PROTOCOL,
    "netstack/link": _PROTOCOL + ["netstack/link", "xdp/xdp_link.h"],
    "netstack/socket": ["runtime", "xdp"] + _PROTOCOL + ["netstack/link", "netstack/socket"],
    "netstack/host": ["runtime", "xdp", "netstack"],
    "examples": ["examples", "netstack/host", "netstack/socket", "runtime"],
    "bench": ["bench", "examples", "netstack", "runtime", "tests/support", "xdp"],
    "tests": ["bench", "examples", "netstack", "runtime", "tests", "xdp"],
}


def source_files(root):
    """Yields the paths, relative to root, of the files that some check reads."""
    for directory, names, files in os.walk(root):
        names[:] = [n for n in names if n not in SKIPPED_DIRECTORIES
                    and not (directory == root and n.startswith("bazel-"))]
        for name in sorted(files):
            if name.endswith(CITING):
                yield os.path.relpath(os.path.join(directory, name), root)


def check_file_size(path, text):
    lines = text.count("\n") + (not text.endswith("\n"))
    if path.endswith(SIZED) and lines > MAX_FILE_LINES:
        return [(lines, f"{lines} lines; a file has at most {MAX_FILE_LINES}")]
    return []


_CXX_NOISE = re.compile(
    r'R"(?P<delimiter>[^(\s]*)\(.*?\)(?P=delimiter)"'  # raw string
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'"  # a character, not a digit separator
    r"|//[^\n]*|/\*.*?\*/"
    r"|^[ \t]*\#(?:\\\n|[^\n])*",  # preprocessor line with its continuations
    re.DOTALL | re.MULTILINE)


def _blank(match):
    """Replaces a match by as many newlines as it has, and by 0 to keep an expression there."""
    return "0" + "\n" * match.group(0).count("\n")


_ATTRIBUTE = re.compile(r"\balignas\s*\([^)]*\)|__attribute__\s*\(\(.*?\)\)|\[\[.*?\]\]", re.DOTALL)
_TYPE = re.compile(r"^(?:template\s*<.*>\s*)?(?:typedef\s+)?(?:class|struct|union|enum)\b", re.DOTALL)


# What may stand before a declaration: blanked comments and access specifiers.
_BEFORE = re.compile(r"^(?:0?\s+|(?:public|private|protected)\s*:)+")


def _opens_function(header):
    """Whether the `{` after `header` (the text since the last ; { or }) begins a function's body."""
    header = _ATTRIBUTE.sub("", header)
    if "(" not in header or re.match(r"(?:inline\s+)?namespace\b|extern\b\s*0\s*$", header):
        return False
    if _TYPE.match(header) and ")" not in header.split(":")[0]:
        return False
    # `T x = {...}` and `T x[] = {...}` are data, however long.
    return not re.search(r"(?:^|[^=!<>])=\s*$", header)


def cxx_functions(text):
    """Yields (first line, last line) of each outermost function body in C or C++ `text`."""
    text = _CXX_NOISE.sub(_blank, text)
    line, start = 1, 0
    stack = []  # for each open brace: the line its function began on, or None
    for position, char in enumerate(text):
        if char == "\n":
            line += 1
        elif char in ";{}":
            header = _BEFORE.sub("", text[start:position])
            start = position + 1
            if char == "{":
                inside = any(entry is not None for entry in stack)
                function = not inside and _opens_function(header)
                first = line - header.count("\n")
                stack.append(first if function else None)
            elif char == "}" and stack:
                first = stack.pop()
                if first is not None:
                    yield first, line


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno


def shell_functions(text):
    first = None
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"(function\s+)?\w[\w-]*\s*\(\)\s*\{\s*$", line):
            first = number
        elif line.rstrip() == "}" and first is not None:
            yield first, number
            first = None


def check_function_size(path, text):
    if path.endswith(CXX):
        functions = cxx_functions(text)
    elif path.endswith(PYTHON):
        functions = python_functions(text)
    elif path.endswith(".sh"):
        functions = shell_functions(text)
    else:
        return []
    return [(first, f"{last - first + 1} lines; a function has at most {MAX_FUNCTION_LINES}")
            for first, last in functions if last - first + 1 > MAX_FUNCTION_LINES]


def _allows(rule, include):
    if rule.endswith("/*"):
        return os.path.dirname(include) == rule[:-2]
    return include == rule or include.startswith(rule + "/")


def check_layers(path, text):
    if not path.endswith(CXX + (".def",)):
        return []
    folders = [f for f in LAYERS if path.startswith(f + "/")]
    if not folders:
        return []
    folder = max(folders, key=len)
    roots = {f.split("/")[0] for f in LAYERS}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if not match:
            continue
        include = match.group(1)
        if "/" not in include:
            problems.append((number, f'"{include}": write it from the root of the workspace'))
        elif include.split("/")[0] in roots and not any(
                _allows(rule, include) for rule in LAYERS[folder]):
            problems.append((number, f'{folder} must not include "{include}"'))
    return problems


_RFC = re.compile(r"(?<![A-Za-z0-9])(?:RFC|rfc)(?P<gap>[\s_#.-]*)(?P<number>[0-9]+)"
                  r"(?P<rest>[,:]?\s*(?:§\s*[\w.]*|(?i:section|sect?\.|chapter)\s*[0-9.]+)?)")
_REPLACED = "793"  # replaced by RFC 9293


def check_rfc(path, text):
    if not path.endswith(CITING):
        return []
    problems = []
    for match in _RFC.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        cited = match.group(0).strip()
        rest = match.group("rest").rstrip(",: \n\t")
        if match.group("number").lstrip("0") == _REPLACED:
            problems.append((line, f'"{cited}": cite RFC 9293, which replaced it'))
        elif (not cited.startswith("RFC") or not re.fullmatch(r"\s+(?://\s*|#\s*)?|[ ]", match.group("gap"))
              or (rest and not re.fullmatch(r"\s+§[0-9A-Z]+(\.[0-9]+)*\.?", rest))):
            problems.append((line, f'"{cited}": write "RFC <number>" or "RFC <number> §x.y"'))
    return problems


CHECKS = [check_file_size, check_function_size, check_layers, check_rfc]


def check_tree(root):
    """Runs every check over every file below root; returns "path:line: message" lines."""
    problems = []
    for path in source_files(root):
        with open(os.path.join(root, path), encoding="utf-8") as source:
            text = source.read()
        for check in CHECKS:
            problems += [f"{path}:{line}: {message}" for line, message in check(path, text)]
    return problems
