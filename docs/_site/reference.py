"""What the reference must know of our source: the constructors that attrs and NamedTuple make, and our examples."""

import re
from collections.abc import Iterator
from typing import Any

import griffe


class Constructors(griffe.Extension):
    """Gives each attrs record and NamedTuple its constructor, which is made when the class is, and so in no source."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Visit all classes, as soon as the bases of each are known."""
        _add_constructors(pkg)


class Sections(griffe.Extension):
    """Makes "Example:" a section, and keeps a colon in "Returns:" from being read as the end of a type."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the text of a docstring."""
        if obj.docstring:
            text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            obj.docstring.value = re.sub(r"(?<=\nReturns:\n) +(?=[^\n]*: )", "    : ", text)


def _add_constructors(parent: griffe.Module | griffe.Class) -> None:
    for member in list(parent.members.values()):
        if member.is_alias or not (member.is_module or member.is_class):
            continue
        _add_constructors(member)
        if member.is_class and _is_record(member) and "__init__" not in member.members:
            positional = griffe.ParameterKind.positional_or_keyword
            found = {parameter.name: parameter for parameter in _parameters(member)}  # a subclass's comes last
            parameters = griffe.Parameters(griffe.Parameter("self", kind=positional), *found.values())
            member.set_member("__init__", griffe.Function("__init__", parameters=parameters, lineno=member.lineno))


def _is_record(class_: griffe.Class) -> bool:
    is_tuple = any(str(base) == "NamedTuple" for base in class_.bases)
    return is_tuple or any(decorator.callable_path.startswith("attrs.") for decorator in class_.decorators)


def _parameters(class_: griffe.Class) -> Iterator[griffe.Parameter]:
    """Yield the parameters of a record's constructor: the fields of its bases, then its own."""
    for each in filter(_is_record, [*reversed(class_.mro()), class_]):
        are_named = any("kw_only=True" in str(decorator.value) for decorator in each.decorators)
        for name, member in each.members.items():
            is_field = member.is_attribute and "instance-attribute" in member.labels
            options = _options(member) if is_field and "ClassVar" not in str(member.annotation) else {}
            if options and options["init"] != "False":
                is_named = are_named or options["kw_only"] == "True"
                yield griffe.Parameter(
                    options["alias"].strip("'\"") or name.lstrip("_"),
                    annotation=member.annotation,
                    kind=griffe.ParameterKind.keyword_only if is_named else griffe.ParameterKind.positional_or_keyword,
                    default=options["default"] or (f"{options['factory']}()" if options["factory"] else None),
                )


def _options(field: griffe.Attribute) -> dict[str, Any]:
    """Return the options of a field as text: those of `attrs.field(...)`, or a plain value as its default."""
    options = dict.fromkeys(("default", "factory", "alias", "init", "kw_only"), "")
    if isinstance(field.value, griffe.ExprCall) and field.value.function.canonical_path == "attrs.field":
        given = [each for each in field.value.arguments if isinstance(each, griffe.ExprKeyword)]
        return options | {each.name: str(each.value) for each in given}
    return options | {"default": "" if field.value is None else str(field.value)}
