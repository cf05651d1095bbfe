"""Parts of models that documents are read into."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from clew.analysis.documents.parsing import PlainScalar

_NUMBER = re.compile(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)


class Fields(BaseModel):
    """A mapping with these fields and no others. A field that is null counts as left out.

    A model with a `shorthand` can also be written as the value of that field alone."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
    shorthand: ClassVar[str | None] = None

    @property
    def document(self) -> Any:
        """The model as a document: dicts, lists and scalars, without the fields left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @model_validator(mode="before")
    @classmethod
    def _fields(cls, value: Any) -> Any:
        if isinstance(value, dict):
            fields = cls.model_fields
            return {
                name: inner
                for name, inner in value.items()
                if inner is not None or name not in fields
            }
        if cls.shorthand and isinstance(value, str | int | float):
            return {cls.shorthand: value}
        return value

    @model_serializer(mode="wrap")
    def _shortened(self, serialize: SerializerFunctionWrapHandler) -> Any:
        fields = serialize(self)
        return fields[self.shorthand] if [*fields] == [self.shorthand] else fields

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        for inner in schema["properties"].values():
            if inner.get("default") in (None, [], {}):
                inner.pop("default", None)  # it is left out, rather than written so
        if cls.shorthand is None:
            return schema
        described = {name: schema.pop(name) for name in ("title", "description") if name in schema}
        return described | {"anyOf": [schema["properties"][cls.shorthand], schema]}


def _text(value: Any) -> Any:
    """A number or a boolean of JSON as the text that YAML has for it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("write a text that is not blank")
    return text


def _number(value: Any) -> Any:
    if isinstance(value, PlainScalar) and _NUMBER.fullmatch(value):
        return float(value)
    return value


_NOT_BLANK = AfterValidator(_not_blank)
_AS_TEXT = BeforeValidator(_text)
_PATTERN = {"pattern": r"\S"}

Text = Annotated[str, Field(max_length=1000, json_schema_extra=_PATTERN), _NOT_BLANK, _AS_TEXT]
"""Up to 1,000 characters, not all of them blank."""
Name = Annotated[str, Field(max_length=200, json_schema_extra=_PATTERN), _NOT_BLANK, _AS_TEXT]
"""Up to 200 characters, not all of them blank."""
UNQUOTED = BeforeValidator(_number)
"""Annotates a float that has `Field(strict=True)`: a number in quotes is a text, and refused."""


class EditorSchema(GenerateJsonSchema):
    """The JSON schema of a YAML file for editors: they read `500` as a number and `true` as a
    boolean, which are texts in a text field."""

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """Scalars of any type."""
        return super().str_schema(schema) | {"type": ["string", "number", "boolean"]}


class OneOrMore:
    """Annotates a tuple: written as a list, or as its only item without a list."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        schema = handler(source)
        return core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, list | tuple) else [value],
            schema,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                self._shortened, schema=schema
            ),
        )

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core)
        return {"anyOf": [schema["items"], schema]}

    @staticmethod
    def _shortened(values: Any, serialize: SerializerFunctionWrapHandler) -> Any:
        items = serialize(values)
        return items[0] if len(items) == 1 else items


class Distinct:
    """Annotates a tuple of models: no two items have the same text in any of these fields. Also
    checked when an item has another problem."""

    def __init__(self, *fields: str) -> None:
        self._names = fields

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._validate, handler(source))

    def _validate(self, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        problems: list[InitErrorDetails] = []
        try:
            value = validate(value)
        except ValidationError as error:
            problems += (_details(problem) for problem in error.errors(include_url=False))
        if isinstance(value, list | tuple):
            problems += self._duplicates(value)
        if problems:
            raise ValidationError.from_exception_data("items", problems)
        return value

    def _duplicates(self, items: Sequence[Any]) -> Iterator[InitErrorDetails]:
        first: dict[tuple[str, str], int] = {}
        for index, item in enumerate(items):
            texts = {name: _text_in(item, name) for name in self._names}
            for name, text in texts.items():
                if text is not None and first.setdefault((name, text), index) != index:
                    earlier = first[name, text] + 1
                    detail = f"item {earlier} of this list has the {name} {text!r} already"
                    error = PydanticCustomError("duplicate", "{detail}", {"detail": detail})
                    yield InitErrorDetails(type=error, loc=(index,), input=text)
                    break


def _text_in(item: Any, name: str) -> str | None:
    """The text in a field of an item: a model, or the value that it is read from."""
    if isinstance(item, BaseModel):
        return str(getattr(item, name))
    text = item.get(name) if isinstance(item, dict) else item
    return text if isinstance(text, str) else None


def _details(problem: Any) -> InitErrorDetails:
    """A problem of a validation, to be raised again."""
    error = PydanticCustomError(problem["type"], problem["msg"], problem.get("ctx"))
    return InitErrorDetails(type=error, loc=problem["loc"], input=problem["input"])
