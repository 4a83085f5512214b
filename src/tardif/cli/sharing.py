"""Options that stand once and are given to every verb that needs them, and a help that shows them by sections.

A group is a dataclass whose fields are options (``Annotated`` with ``typer.Option``). A verb that takes a group has one
parameter for it; the command line shows its fields among the verb's own options.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ClassVar, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

from tardif.cli.app import app

_CONTEXT = "context"

Verb = TypeVar("Verb", bound=Callable[..., None])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """The parent of groups of options.

    Attributes:
        given: the names of those that were written on the command line.
    """

    given: frozenset[str] = frozenset()

    # How what is written is read, by option; those that are not named are taken as they are.
    READ: ClassVar[dict[str, Callable[[Any], Any]]] = {}

    def arguments(self) -> dict[str, Any]:
        """The options by name, as the Python calls take them.

        Raises:
            SettingError: what was written in one cannot be read.
        """
        values = {name: getattr(self, name) for name in names_of(type(self))}
        return {name: self.READ[name](value) if name in self.READ else value for name, value in values.items()}


def names_of(group: type[Group]) -> list[str]:
    """The names of a group's options."""
    return [field.name for field in dataclasses.fields(group) if field.name != "given"]


def verb(group: type[Group] | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a verb of the command line.

    Args:
        group: whose options the verb takes; its parameter ``options`` is given them.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        return app.command(cls=SectionedCommand)(function if group is None else _spread(function, group))

    return register


def _spread(function: Callable[..., None], group: type[Group]) -> Callable[..., None]:
    """A function whose parameter ``options`` is replaced by a group's options."""
    hints, own = get_type_hints(group, include_extras=True), inspect.signature(function, eval_str=True)
    fields = {field.name: field for field in dataclasses.fields(group)}
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(name, keyword, default=fields[name].default, annotation=hints[name])
        for name in names_of(group)
    ]
    kept = [parameter.replace(kind=keyword) for name, parameter in own.parameters.items() if name != "options"]
    context = inspect.Parameter(_CONTEXT, keyword, annotation=typer.Context)

    @wraps(function)
    def run(**values: Any) -> None:
        asked: typer.Context = values.pop(_CONTEXT)
        chosen = {name: values.pop(name) for name in names_of(group)}
        given = frozenset(name for name in chosen if _was_given(asked, name))
        function(**values, options=group(**chosen, given=given))

    parameters = [*kept, *shared, context]
    vars(run)["__signature__"] = own.replace(parameters=parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def spelt(names: Iterable[str]) -> str:
    """Options as they are written on the command line."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


class SectionedCommand(TyperCommand):
    """A verb whose help shows its options by sections, as plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options: first those of no section."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                plain = "Arguments" if parameter.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or plain, []).append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)
