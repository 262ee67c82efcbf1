"""The production code as syntax trees: who imports what, and what can be reached from a function's handler."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.template.expansion import ROOT

FUNCTIONS = ROOT / "functions"
LAYER = ROOT / "layers" / "imagejobs" / "python"

Definition = ast.FunctionDef | ast.ClassDef


def handler_path(step: str) -> Path:
    """The file of a step's handler."""
    return FUNCTIONS / step / "app.py"


@cache
def package_modules() -> dict[str, Path]:
    """Every module of the shared package, by its dotted name."""
    return {_dotted_name(path): path for path in sorted((LAYER / "imagejobs").rglob("*.py"))}


def _dotted_name(path: Path) -> str:
    return ".".join(path.relative_to(LAYER).with_suffix("").parts).removesuffix(".__init__")


@cache
def parse(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of the modules that the file imports when it runs; those under `TYPE_CHECKING` left out."""
    return frozenset(name for node in _runtime_nodes(parse(path)) for name in _imported_by(node))


def _runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _runtime_nodes(node)


def _imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.module, "The project imports by absolute names."
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        submodules = [name for name in inner if name in package_modules()]
        return submodules if len(submodules) == len(inner) else [node.module, *submodules]
    return []


@dataclass(frozen=True, slots=True)
class _Module:
    """What a name in a module can stand for.

    Attributes:
        imported: A local name to the module and the name in it (None for the module itself).
        definitions: Functions and classes by name, methods as `Class.method`.
    """

    imported: dict[str, tuple[str, str | None]]
    definitions: dict[str, Definition]


@cache
def _module(path: Path) -> _Module:
    tree = parse(path)
    top = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    definitions: dict[str, Definition] = {definition.name: definition for definition in top}
    for definition in top:
        for member in definition.body:
            if isinstance(definition, ast.ClassDef) and isinstance(member, ast.FunctionDef):
                definitions[f"{definition.name}.{member.name}"] = member
    imported: dict[str, tuple[str, str | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                local_name = alias.asname or alias.name
                imported[local_name] = (whole, None) if whole in package_modules() else (node.module, alias.name)
    return _Module(imported, definitions)


def reachable_code(step: str) -> list[ast.AST]:
    """Code that a step's handler can come to, by the names that it uses and that those use in turn.

    A class that is named brings its methods, except the class methods: those come by `Class.method` alone.
    """
    start = parse(handler_path(step))
    found: dict[tuple[Path, str], ast.AST] = {}
    waiting: list[tuple[Path, ast.AST]] = [(handler_path(step), start)]
    while waiting:
        path, code = waiting.pop()
        for target, name in _named_in(path, code):
            definition = _module(target).definitions.get(name)
            if definition is not None and (target, name) not in found:
                found[target, name] = definition
                waiting.append((target, definition))
    return [start, *(code for code in found.values() if not isinstance(code, ast.ClassDef))]


def _named_in(path: Path, code: ast.AST) -> Iterator[tuple[Path, str]]:
    """Definitions of ours that `code`, which stands in the file at `path`, names."""
    for node in _own_nodes(code):
        if isinstance(node, ast.Name):
            yield from _meant_by(path, node.id, None)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield from _meant_by(path, node.value.id, node.attr)
    if isinstance(code, ast.ClassDef):
        methods = [member for member in code.body if isinstance(member, ast.FunctionDef)]
        yield from ((path, f"{code.name}.{method.name}") for method in methods if not _is_classmethod(method))


def _own_nodes(code: ast.AST) -> Iterator[ast.AST]:
    """All nodes of `code`; of a class only what is not in its methods, which stand for themselves."""
    if not isinstance(code, ast.ClassDef):
        yield from ast.walk(code)
        return
    for member in ast.iter_child_nodes(code):
        if not isinstance(member, ast.FunctionDef):
            yield from ast.walk(member)


def _meant_by(path: Path, name: str, attribute: str | None) -> Iterator[tuple[Path, str]]:
    """The definition that `name` or `name.attribute` means in the file at `path`, when it is one of ours."""
    module_name, inner = _module(path).imported.get(name, (None, name))
    target = package_modules().get(module_name) if module_name else path
    if target is None:
        return
    dotted = [part for part in (inner, attribute) if part]
    yield target, ".".join(dotted)
    if inner:
        yield target, inner


def _is_classmethod(method: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "classmethod" for node in method.decorator_list)


def first_arguments(code: ast.AST, *callees: str) -> Iterator[ast.expr]:
    """First argument of every call of something whose last name is one of `callees`."""
    for node in ast.walk(code):
        if isinstance(node, ast.Call) and node.args and _last_name(node.func) in callees:
            yield node.args[0]


def _last_name(callee: ast.expr) -> str | None:
    if isinstance(callee, ast.Attribute):
        return callee.attr
    return callee.id if isinstance(callee, ast.Name) else None
