"""Documents that people write: YAML and JSON, read into pydantic models.

    class Budget(Fields):
        name: Name
        share: Annotated[float, Field(gt=0, lt=1, strict=True), UNQUOTED]

    budget = read(text, "yaml", Budget)

`read` raises DocumentError with every problem of the text, each with its line and field. It takes
any pydantic model; models made of `Fields`, `Text` and the other parts here have these rules:

- A field that is null counts as left out; an unknown field is an error.
- YAML: a scalar without quotes stays the text that was written, so `on`, `1.0` and `no` are texts
  in a text field; a number field takes a number without quotes. Aliases, tags and duplicate
  fields are errors.
- JSON: a number or a boolean in a text field becomes a text.

    parsing     texts to values, with lines and limits
    models      parts of models
    problems    pydantic's errors, explained
    files       a document in a file, read again when it changes
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from clew.analysis.documents.models import (
    UNQUOTED,
    Distinct,
    EditorSchema,
    Fields,
    Name,
    OneOrMore,
    Text,
)
from clew.analysis.documents.parsing import MAX_BYTES, Form, ParseError, parse
from clew.analysis.documents.problems import DocumentError, DocumentProblem, list_problems

__all__ = [
    "MAX_BYTES",
    "UNQUOTED",
    "Distinct",
    "DocumentError",
    "DocumentProblem",
    "EditorSchema",
    "Fields",
    "Form",
    "Name",
    "OneOrMore",
    "Text",
    "read",
    "read_file",
]

Model = TypeVar("Model", bound=BaseModel)


def read(text: bytes, form: Form, model: type[Model], source: str = "document") -> Model:
    """Reads a text as a model. Raises DocumentError, in which `source` names the text."""
    try:
        document = parse(text, form)
    except ParseError as error:
        raise DocumentError(source, [DocumentProblem(error.line, "", error.detail)]) from error
    try:
        return model.model_validate(document.content)
    except ValidationError as error:
        raise DocumentError(source, list_problems(error, document, model)) from error


def read_file(path: Path, model: type[Model]) -> Model:
    """Reads a file as a model: as JSON if its name ends in .json, else as YAML. Raises
    DocumentError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        problem = DocumentProblem(None, "", error.strerror or str(error))
        raise DocumentError(str(path), [problem]) from error
    return read(text, "json" if path.suffix == ".json" else "yaml", model, str(path))
