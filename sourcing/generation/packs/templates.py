"""Templates of a pack: the closed Jinja environment, which templates are plain, and the text that plain ones render.

A plain template does nothing that could fail, or take longer than its inputs are long: it prints inputs through a few
harmless filters, asks whether they are there, and goes through a list once. All others are rendered by `Sandbox`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.meta import TrackingCodeGenerator
from jinja2.runtime import Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sourcing.errors import PromptError

__all__ = [
    "Templates",
    "compile_template",
    "is_plain",
    "parse_template",
    "render_error",
    "template_environment",
    "undeclared_names",
]

_MAX_POWER_BITS = 4096
_MAX_DEPTH = 200  # of a syntax tree
_PRINTED = (str, int, float, list, tuple, dict, type(None), Undefined)


class Templates(NamedTuple):
    """The templates of a pack as plain data. `blocks` begin with as many line breaks as lines stand before them in
    their file, so that their lines are those of the file.
    """

    file: str
    blocks: tuple[str, ...]
    includes: Mapping[str, tuple[str, str]]  # name → (file, source)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"**"})  # a bignum of it would take for ever, within one instruction

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _MAX_POWER_BITS:
            raise OverflowError(f"a power of more than {_MAX_POWER_BITS} bits")
        return super().call_binop(context, operator, left, right)


def template_environment(includes: Mapping[str, tuple[str, str]], *, checked: bool = True) -> _Environment:
    """Jinja with nothing in reach but the inputs: no files, no globals, no randomness; a missing name is an error.

    `checked` refuses to print what has no text of its own, such as a generator, of which only an address would show.
    """
    environment = _Environment(
        loader=jinja2.FunctionLoader(lambda name: (includes[name][1], includes[name][0], lambda: True)),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable if checked else None,
    )
    environment.globals.clear()
    del environment.filters["random"]
    environment.filters["tojson"] = _to_json
    return environment


def parse_template(source: str, file: str, environment: _Environment) -> nodes.Template:
    """The syntax tree of a template; PromptError with file and line where `source` is none."""
    try:
        tree = environment.parse(source)
        waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
        while waiting:
            node, depth = waiting.pop()
            if depth > _MAX_DEPTH:
                raise RecursionError
            waiting.extend((child, depth + 1) for child in node.iter_child_nodes())
        return tree
    except jinja2.TemplateSyntaxError as error:
        finding = f"not a Jinja template ({error.message})"
        raise PromptError(f"{file} line {error.lineno}", finding, "mend it") from error
    except RecursionError as error:
        raise PromptError(file, "not a Jinja template (nested too deeply)", "make it simpler") from error


def compile_template(source: str, file: str, environment: jinja2.Environment) -> jinja2.Template:
    """The compiled template, whose errors name the file; raises whatever its constants raise."""
    return jinja2.Template.from_code(environment, environment.compile(source, filename=file), {}, None)


def render_error(error: BaseException, file: str, first_line: int) -> PromptError:
    """PromptError for an error raised by a template, with file and line."""
    own, line = file, error.lineno if isinstance(error, jinja2.TemplateSyntaxError) else first_line
    trace = error.__traceback__
    while trace is not None:
        if "__jinja_exception__" in trace.tb_frame.f_globals:
            here = trace.tb_frame.f_code.co_filename
            file, line = here, max(trace.tb_lineno, first_line if here == own else 1)
        trace = trace.tb_next
    finding = f"it does not render ({str(error) or type(error).__name__})"
    return PromptError(f"{file} line {line}", finding, "mend the template")


def undeclared_names(tree: nodes.Template) -> dict[str, int]:
    """Names that a template takes from outside, and the line of each. Evaluates no constants.

    TemplateError where it does not compile.
    """
    names = _Names(tree.environment)
    names.visit(tree)
    lines = {node.name: node.lineno for node in reversed(list(tree.find_all(nodes.Name)))}
    return {name: lines.get(name, tree.lineno) for name in sorted(names.undeclared_identifiers)}


class _Names(TrackingCodeGenerator):
    def __init__(self, environment: jinja2.Environment | None) -> None:
        assert environment is not None
        super().__init__(environment)
        self.optimizer = None

    def _output_child_to_const(self, *_: object) -> NoReturn:
        raise nodes.Impossible


def _printable(value: object) -> object:
    if isinstance(value, _PRINTED):
        return value
    what = "macro" if isinstance(value, Macro) else type(value).__name__
    raise TypeError(f"a {what} has no text of its own; add `| list` or `| join(', ')`, or call it")


def _to_json(value: object, indent: int | None = None) -> str:
    """JSON as text, not for HTML as Jinja's own is. Only `</` is written `<\\/`, so that it closes no frame."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=indent).replace("</", "<\\/")


_Kind = Literal["text", "list", "other"]
_TEXT_FILTERS = frozenset({"upper", "lower", "capitalize", "title", "trim", "string", "escape", "e", "tojson"})
_TESTS = frozenset({"defined", "undefined", "none"})
_LOOP_FIELDS = frozenset({"index", "index0", "first", "last", "length", "revindex", "revindex0"})


def is_plain(template: nodes.Template, kinds: Mapping[str, str], includes: Mapping[str, nodes.Template]) -> bool:
    """True when the template fails for no inputs, and its text is not much longer than the inputs.

    `kinds` are the types of the inputs, `includes` the parsed templates by name.
    """
    input_kinds: dict[str, _Kind] = {
        name: "text" if kind == "string" else "list" if kind == "list" else "other" for name, kind in kinds.items()
    }
    return _Plain(input_kinds, includes, ()).all_plain(template.body)


class _Plain:
    def __init__(
        self, kinds: Mapping[str, _Kind], includes: Mapping[str, nodes.Template], inside: tuple[str, ...]
    ) -> None:
        self.kinds, self.includes, self.inside = kinds, includes, inside

    def all_plain(self, body: Sequence[nodes.Node]) -> bool:
        return all(map(self._statement, body))

    def _statement(self, node: nodes.Node) -> bool:
        if isinstance(node, nodes.Output):
            return all(isinstance(part, nodes.TemplateData) or self.kind(part) is not None for part in node.nodes)
        if isinstance(node, nodes.If):
            branches = [*node.body, *node.elif_, *node.else_]
            return self.kind(node.test) is not None and self.all_plain(branches)
        if isinstance(node, nodes.For):
            return self._loop(node)
        if isinstance(node, nodes.Include) and isinstance(node.template, nodes.Const):
            name = node.template.value
            if name not in self.includes or name in self.inside or "loop" in self.kinds or not node.with_context:
                return False
            return _Plain(self.kinds, self.includes, (*self.inside, name)).all_plain(self.includes[name].body)
        return False

    def _loop(self, node: nodes.For) -> bool:
        """True for one loop over a list; within another it would be as long as both lists multiplied."""
        if node.recursive or "loop" in self.kinds or not isinstance(node.target, nodes.Name):
            return False
        within = _Plain({**self.kinds, node.target.name: "text", "loop": "other"}, self.includes, self.inside)
        test = node.test is None or within.kind(node.test) is not None
        return self.kind(node.iter) == "list" and test and within.all_plain(node.body) and self.all_plain(node.else_)

    def kind(self, node: nodes.Node | None) -> _Kind | None:
        """The kind of a plain expression; None for one that is not plain."""
        if isinstance(node, nodes.Const):
            return "text" if isinstance(node.value, str) else "other"
        if isinstance(node, nodes.Name):
            return self.kinds.get(node.name) if node.name != "loop" else None
        if isinstance(node, nodes.Getattr):
            in_loop = isinstance(node.node, nodes.Name) and node.node.name == "loop" and "loop" in self.kinds
            return "other" if in_loop and node.attr in _LOOP_FIELDS else None
        if isinstance(node, nodes.Filter):
            return self._filtered(node)
        if isinstance(node, nodes.Test):
            plain = node.name in _TESTS and not node.args and not node.kwargs and self.kind(node.node) is not None
            return "other" if plain else None
        if isinstance(node, nodes.Not):
            return None if self.kind(node.node) is None else "other"
        if isinstance(node, (nodes.And, nodes.Or)):
            return self._either(node.left, node.right)
        if isinstance(node, nodes.CondExpr):
            return None if self.kind(node.test) is None else self._either(node.expr1, node.expr2)
        if isinstance(node, nodes.Compare):
            parts = [node.expr, *(operand.expr for operand in node.ops)]
            equal = all(operand.op in ("eq", "ne") for operand in node.ops)
            return "other" if equal and None not in map(self.kind, parts) else None
        if isinstance(node, nodes.Concat):
            return None if None in map(self.kind, node.nodes) else "text"
        return None

    def _either(self, left: nodes.Node, right: nodes.Node | None) -> _Kind | None:
        one, other = self.kind(left), self.kind(right)
        return None if one is None or other is None else one if one == other else "other"

    def _filtered(self, node: nodes.Filter) -> _Kind | None:
        kind = self.kind(node.node)
        texts = [each.value for each in node.args if isinstance(each, nodes.Const) and isinstance(each.value, str)]
        if kind is None or node.kwargs or node.dyn_args or node.dyn_kwargs or len(texts) != len(node.args):
            return None
        if node.name == "replace" and len(texts) == 2 and texts[0] and len(texts[1]) <= len(texts[0]) + 1:
            return "text"
        if node.name == "join" and kind != "other" and len(texts) <= 1 and len("".join(texts)) <= 8:
            return "text"
        if node.name == "default" and len(texts) == 1:
            return "text" if kind == "text" else "other"
        if node.name == "length" and kind != "other" and not texts:
            return "other"
        return "text" if node.name in _TEXT_FILTERS and not texts else None
