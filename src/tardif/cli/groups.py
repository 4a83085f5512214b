"""Groups of options: dataclasses whose fields are the options of a verb.

A field declares its option in one place: its type, its help, its default and how its value is read. A verb with a
parameter whose type is a group takes all options of that group:

    @dataclass(frozen=True, kw_only=True)
    class Mining(Group):
        section = "Hard negatives"

        window: Annotated[str, "Ranks that negatives are drawn from.", ranks] = "1-50"
        overwrite: Annotated[bool, "Replace what is there."] = False

    @verb
    def mine(source: Annotated[Path, typer.Argument(help="The data.")], mining: Mining) -> None: ...

The first remark after the type is the help, or a ``typer.Option`` where an option needs more. A function after it
reads the value. A flag that is off by default has no ``--no-`` form.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

import typer
from typer.core import TyperCommand

from tardif.cli.app import app

_CONTEXT = "context"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """The parent of groups of options.

    Attributes:
        section: the heading of the group's options in the help; None lists them with the verb's own.
        given: the names of the options that were written on the command line.
    """

    section: ClassVar[str | None] = None

    # A field of the group, not of the command line: which options were typed.
    given: frozenset[str] = frozenset()

    def arguments(self) -> dict[str, Any]:
        """Read the options, by name, as the Python calls take them.

        Raises:
            SettingError: the text of an option cannot be read.
        """
        # get_type_hints, not the annotations: with postponed evaluation those are texts.
        hints = get_type_hints(type(self), include_extras=True)
        found = {}
        for name in names_of(type(self)):
            remarks, value = get_args(hints[name])[2:], getattr(self, name)
            found[name] = remarks[0](value) if remarks else value
        return found


def names_of(group: type[Group]) -> list[str]:
    """List the names of a group's options."""
    return [field.name for field in dataclasses.fields(group) if field.name != "given"]


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function a verb of the command line. A parameter that is a group becomes the options of the group."""
    own = inspect.signature(function, eval_str=True).parameters
    # Options are annotated, groups are plain classes.
    groups: dict[str, type[Group]] = {name: p.annotation for name, p in own.items() if isinstance(p.annotation, type)}
    parameters = [_parameter(name, p.annotation, p.default) for name, p in own.items() if name not in groups]
    for group in groups.values():
        hints = get_type_hints(group, include_extras=True)
        parameters += [
            _parameter(name, hints[name], _default(group, name), _section(group, name)) for name in names_of(group)
        ]
    parameters.append(inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))

    @wraps(function)
    def run(**values: Any) -> None:
        context: typer.Context = values.pop(_CONTEXT)
        values = {option: _at_home(value) for option, value in values.items()}
        for name, group in groups.items():
            chosen = {option: values.pop(option) for option in names_of(group)}
            given = frozenset(option for option in chosen if _was_given(context, option))
            values[name] = group(**chosen, given=given)
        function(**values)

    # typer reads the options from the signature.
    # wraps copies the function's own signature, with the groups in it; typer must see the options.
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return app.command(cls=SectionedCommand)(run)


def _at_home(value: Any) -> Any:
    """Paths with ``~`` expanded: in ``--model=~/x`` the shell leaves it."""
    if isinstance(value, list | tuple):
        return type(value)(map(_at_home, value))
    if not isinstance(value, Path):
        return value
    from tardif.folders import expanded

    return expanded(value)


def _parameter(name: str, hint: Any, default: Any, section: str | None = None) -> inspect.Parameter:
    """An option as typer reads it: a parameter annotated with a type and typer's own description."""
    kind, remark = get_args(hint)[:2]
    if isinstance(remark, str):
        # typer gives a flag without a name a --no- form, which a flag that is off by default does not need.
        flag = ["--" + name.replace("_", "-")] if kind is bool and default is False else []
        info = typer.Option(*flag, help=remark)
    else:
        info = copy.copy(remark)  # several verbs share an option, and each has its own section for it
    info.rich_help_panel = section
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=default, annotation=Annotated[kind, info])


def _default(group: type[Group], name: str) -> Any:
    default = group.__dataclass_fields__[name].default
    return inspect.Parameter.empty if default is dataclasses.MISSING else default


def _section(group: type[Group], name: str) -> str | None:
    """The section of the class that declares an option."""
    # The class that declares an option decides its section, also where a child lists the option.
    parents = [parent for parent in group.__mro__ if issubclass(parent, Group)]
    return next(parent.section for parent in parents if name in inspect.get_annotations(parent))


def _was_given(context: typer.Context, name: str) -> bool:
    # typer fills what was not given with defaults: only click's source tells a default that was typed.
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def spelt(names: Iterable[str]) -> str:
    """Write options as on the command line.

    >>> spelt(["batch_size", "lr"])
    '--batch-size, --lr'
    """
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def option_for(function: Callable[..., None], name: str, value: Any) -> str:
    """Return the option of a verb that sets a parameter to a value; empty where a flag that is off by default does."""
    kind, info = get_args(inspect.signature(function).parameters[name].annotation)[:2]
    # Of an option within Annotated, typer keeps the first name where otherwise the default is.
    written = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    names = [part for name in written for part in name.split("/")]
    yes = next((part for part in names if part.startswith("--")), spelt([name]))
    if value is not False or kind not in (bool, bool | None):
        return yes
    return next((part for part in names if part.startswith("--no-")), "") if names else f"--no-{yes.removeprefix('--')}"


class SectionedCommand(TyperCommand):
    """A verb with its options listed by section in the help, as plain text.

    typer itself shows sections only with rich, which takes longer to import than the help may take.
    """

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
